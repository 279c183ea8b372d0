"""Figures and self-contained HTML pages."""

from __future__ import annotations

from poyodata.report.page import Page

__all__ = ["Page"]
