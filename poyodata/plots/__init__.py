"""Pictures of neurons and of their statistics; each takes ``ax`` and returns the Axes."""

from __future__ import annotations

from poyodata.plots.axes import column_label
from poyodata.plots.groups import column_by_group
from poyodata.plots.information import information_curve
from poyodata.plots.plane import MAX_KURTOSIS, MAX_SKEWNESS, moments_plane
from poyodata.plots.raster import raster
from poyodata.plots.tuning import tuning_curves

__all__ = [
    "MAX_KURTOSIS",
    "MAX_SKEWNESS",
    "column_by_group",
    "column_label",
    "information_curve",
    "moments_plane",
    "raster",
    "tuning_curves",
]
