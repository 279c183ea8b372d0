"""Which statistics there are, and what their columns mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from poyodata.errors import StatisticError, nearest
from poyodata.statistics.dynamics import DYNAMICS
from poyodata.statistics.fisher import FISHER_DIRECTION
from poyodata.statistics.moments import MomentState
from poyodata.statistics.robust import ROBUST
from poyodata.statistics.statistic import Column, Statistic, Stretch
from poyodata.statistics.tuning import TUNING


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> MomentState:  # noqa: ARG001 - the shape all statistics have
    return MomentState.of(stretch.traces)


def _finalize(state: MomentState, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    return state.finalize()


def _number(unit: str, definition: str) -> Column:
    return Column(dtype="float64", unit=unit, definition=definition)


MOMENTS = Statistic(
    name="moments",
    version=1,
    group="moments",
    columns={
        "mean": _number("dF/F", "Mean over frames."),
        "std": _number("dF/F", "Standard deviation over frames, biased (divided by n)."),
        "skewness": _number("1", "Fisher-Pearson g1 = m3 / m2^1.5, biased."),
        "kurtosis": _number("1", "EXCESS kurtosis g2 = m4 / m2^2 - 3, biased."),
        "kurtosis_pearson": _number("1", "Pearson's kurtosis m4 / m2^2, biased; 3 for a Gaussian."),
        "n_frames": Column(dtype="int64", unit="frames", definition="Frames that entered; missing ones are left out."),
        "missing_fraction": _number("1", "Share of frames that are NaN or infinite."),
    },
    chunk=_chunk,
    combine=MomentState.merge,
    finalize=_finalize,
    nan_policy="Frames that are NaN or infinite are left out and counted; a constant trace has no skewness or kurtosis "
    "(NaN), a trace without frames none of the moments.",
)

STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic for statistic in (MOMENTS, ROBUST, DYNAMICS, FISHER_DIRECTION, *TUNING)
}
"""Every statistic by name. Their columns have names of their own: results of all can stand in one table."""


def find_statistics(names: str | Sequence[str]) -> tuple[Statistic, ...]:
    """Give the statistics of these names, each once.

    Raises
    ------
    StatisticError
        For an unknown name, and for the name of a column.

    Examples
    --------
    >>> [statistic.name for statistic in find_statistics("moments")]
    ['moments']
    """
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    if not names:
        raise StatisticError(f"no statistic was named; known are {', '.join(STATISTICS)}.")
    return tuple(_find(name) for name in names)


def _find(name: str) -> Statistic:
    if name in STATISTICS:
        return STATISTICS[name]
    owners = [statistic.name for statistic in STATISTICS.values() if name in statistic.columns]
    if owners:
        raise StatisticError(f"{name!r} is a column of the statistic {owners[0]!r}; name the statistic.")
    raise StatisticError(f"no statistic is called {name!r}: {nearest(name, STATISTICS)}")


def column_metadata() -> dict[str, dict[str, Any]]:
    """Give unit, convention and origin of every column, for the tables and axes of reports.

    Returns
    -------
    dict
        Column name to ``statistic``, ``version``, ``dtype``, ``unit`` and ``definition``.

    Examples
    --------
    >>> column_metadata()["fisher_direction"]["unit"]
    'rad^-2'
    """
    return {
        name: {
            "statistic": statistic.name,
            "version": statistic.version,
            "dtype": column.dtype,
            "unit": column.unit,
            "definition": column.definition,
        }
        for statistic in STATISTICS.values()
        for name, column in statistic.columns.items()
    }


def select_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Name the statistics that give these columns, in the registry's order.

    Raises
    ------
    StatisticError
        When no statistic gives one of them.

    Examples
    --------
    >>> select_columns(["kurtosis", "skewness"])
    ('moments',)
    """
    known = column_metadata()
    wanted = set()
    for name in columns:
        if name not in known:
            raise StatisticError(f"no statistic has a column {name!r}: {nearest(name, known)}")
        wanted.add(known[name]["statistic"])
    return tuple(name for name in STATISTICS if name in wanted)


def describe_statistic(name: str) -> str:
    """Say in words what a statistic, or one of its columns, is.

    Raises
    ------
    StatisticError
        When neither is called so.

    Examples
    --------
    >>> print(describe_statistic("kurtosis"))
    kurtosis [1]: EXCESS kurtosis g2 = m4 / m2^2 - 3, biased. (statistic moments, version 1)
    """
    known = column_metadata()
    if name in known and name not in STATISTICS:
        column = known[name]
        origin = f"(statistic {column['statistic']}, version {column['version']})"
        return f"{name} [{column['unit']}]: {column['definition']} {origin}"
    if name not in STATISTICS:
        raise StatisticError(f"no statistic and no column is called {name!r}: {nearest(name, [*STATISTICS, *known])}")
    statistic = STATISTICS[name]
    looks = f"looks at labels of {statistic.stimulus}" if statistic.uses_labels else "looks at traces alone"
    lines = [f"{statistic.name}, version {statistic.version}; {looks}"]
    lines += [f"  {key} [{column.unit}]: {column.definition}" for key, column in statistic.columns.items()]
    lines += [f"  missing: {statistic.nan_policy}"]
    lines += [f"  parameter {key}: {value}" for key, value in statistic.params.items()]
    return "\n".join(lines)
