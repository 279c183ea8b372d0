"""What every neuron is like: declared statistics, computed on train-role time and kept by what they depend on."""

from __future__ import annotations

from poyodata.statistics.compute import compute_statistics
from poyodata.statistics.dynamics import DYNAMICS
from poyodata.statistics.fisher import FISHER_DIRECTION, TrialResponses, fisher_direction
from poyodata.statistics.moments import MomentState
from poyodata.statistics.registry import (
    MOMENTS,
    STATISTICS,
    column_metadata,
    describe_statistic,
    find_statistics,
    select_columns,
)
from poyodata.statistics.robust import ROBUST
from poyodata.statistics.statistic import Column, Resampling, Statistic, Stretch
from poyodata.statistics.tuning import TUNING

__all__ = [
    "DYNAMICS",
    "FISHER_DIRECTION",
    "MOMENTS",
    "ROBUST",
    "STATISTICS",
    "TUNING",
    "Column",
    "MomentState",
    "Resampling",
    "Statistic",
    "Stretch",
    "TrialResponses",
    "column_metadata",
    "compute_statistics",
    "describe_statistic",
    "find_statistics",
    "fisher_direction",
    "select_columns",
]
