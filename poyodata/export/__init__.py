"""Export: any selection of a store as NWB 2, Parquet, NumPy or torch_brain files, with its lineage."""

from __future__ import annotations

from poyodata.export.folder import FORMATS, LINEAGE, export
from poyodata.export.recording import Recording
from poyodata.export.selection import Selection, select

__all__ = ["FORMATS", "LINEAGE", "Recording", "Selection", "export", "select"]
