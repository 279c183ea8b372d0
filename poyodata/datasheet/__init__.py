"""Datasheets: a manifest as one HTML page, an interactive plane for notebooks, and traces of a selection."""

from __future__ import annotations

from poyodata.datasheet.sample import draw_sample, write_sample
from poyodata.datasheet.widget import PlaneWidget, plane_widget
from poyodata.datasheet.write import write_datasheet

__all__ = ["PlaneWidget", "draw_sample", "plane_widget", "write_datasheet", "write_sample"]
