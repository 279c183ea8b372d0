"""What every neuron is like: declared statistics, computed on train-role time and kept by what they depend on."""

from __future__ import annotations

from poyodata.statistics.compute import compute_statistics
from poyodata.statistics.dynamics import DYNAMICS
from poyodata.statistics.groups import clustered_intervals, summarise_by
from poyodata.statistics.information import FISHER_DIRECTION, TrialResponses, fisher_direction
from poyodata.statistics.information.population import population_information
from poyodata.statistics.knee import LineKnee, knee_over_lines, kneedle
from poyodata.statistics.learned.columns import (
    LearnedColumns,
    list_columns,
    read_columns,
    remove_columns,
    write_columns,
)
from poyodata.statistics.learned.lineage import ColumnLineage, lineage_of
from poyodata.statistics.membership import membership_flips, memberships
from poyodata.statistics.moments import MomentState
from poyodata.statistics.quality import QUALITY
from poyodata.statistics.registry import (
    BUILT_IN,
    MOMENTS,
    STATISTICS,
    column_metadata,
    describe_statistic,
    find_statistics,
    known_statistics,
    register_statistic,
    select_columns,
    unregister_statistic,
)
from poyodata.statistics.restricted import bound_names, parse_restricted, restrict, restricted_name
from poyodata.statistics.robust import ROBUST
from poyodata.statistics.statistic import Column, KeptBlocks, Resampling, Statistic, Stretch
from poyodata.statistics.tuning import TUNING
from poyodata.statistics.written import write_statistics

__all__ = [
    "BUILT_IN",
    "DYNAMICS",
    "FISHER_DIRECTION",
    "MOMENTS",
    "QUALITY",
    "ROBUST",
    "STATISTICS",
    "TUNING",
    "Column",
    "ColumnLineage",
    "KeptBlocks",
    "LearnedColumns",
    "LineKnee",
    "MomentState",
    "Resampling",
    "Statistic",
    "Stretch",
    "TrialResponses",
    "bound_names",
    "clustered_intervals",
    "column_metadata",
    "compute_statistics",
    "describe_statistic",
    "find_statistics",
    "fisher_direction",
    "knee_over_lines",
    "kneedle",
    "known_statistics",
    "lineage_of",
    "list_columns",
    "membership_flips",
    "memberships",
    "parse_restricted",
    "population_information",
    "read_columns",
    "register_statistic",
    "remove_columns",
    "restrict",
    "restricted_name",
    "select_columns",
    "summarise_by",
    "unregister_statistic",
    "write_columns",
    "write_statistics",
]
