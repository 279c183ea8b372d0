"""Which statistics there are, and what their columns mean."""

from __future__ import annotations

import importlib.metadata
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from poyodata.errors import StatisticError, nearest
from poyodata.statistics.declaration import check_declaration, code_of
from poyodata.statistics.described import describe_column, describe_whole
from poyodata.statistics.dynamics import DYNAMICS
from poyodata.statistics.information import INFORMATION
from poyodata.statistics.moments import MomentState
from poyodata.statistics.moments_interval import moments_interval
from poyodata.statistics.quality import QUALITY
from poyodata.statistics.restricted import parse_restricted, restrict, restricted_name
from poyodata.statistics.robust import ROBUST
from poyodata.statistics.statistic import Column, KeptBlocks, Statistic, Stretch
from poyodata.statistics.tuning import TUNING


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> MomentState:  # noqa: ARG001 - the shape all statistics have
    return MomentState.of(stretch.traces)


def _finalize(state: MomentState, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    return state.finalize()


def _number(unit: str, definition: str, low: float = -math.inf, high: float = math.inf) -> Column:
    return Column(dtype="float64", unit=unit, definition=definition, low=low, high=high)


MOMENTS = Statistic(
    name="moments",
    version=1,
    group="moments",
    columns={
        "mean": _number("dF/F", "Mean over frames."),
        "std": _number("dF/F", "Standard deviation over frames, biased (divided by n).", 0.0),
        "skewness": _number("1", "Fisher-Pearson g1 = m3 / m2^1.5, biased."),
        "kurtosis": _number("1", "EXCESS kurtosis g2 = m4 / m2^2 - 3, biased.", -2.0),
        "kurtosis_pearson": _number("1", "Pearson's kurtosis m4 / m2^2, biased; 3 for a Gaussian.", 1.0),
        "n_frames": Column(
            dtype="int64", unit="frames", definition="Frames that entered; missing ones are left out.", low=0
        ),
        "missing_fraction": _number("1", "Share of frames that are NaN or infinite.", 0.0, 1.0),
    },
    chunk=_chunk,
    combine=MomentState.merge,
    finalize=_finalize,
    nan_policy="Frames that are NaN or infinite are left out and counted; a constant trace has no skewness or kurtosis "
    "(NaN), a trace without frames none of the moments.",
    kept_blocks=KeptBlocks(pack=vars, unpack=lambda arrays: MomentState(**arrays)),
    interval=moments_interval,
)

STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic for statistic in (MOMENTS, ROBUST, DYNAMICS, *INFORMATION, *TUNING, *QUALITY)
}
"""Every statistic by name. Their columns have names of their own: results of all can stand in one table."""

BUILT_IN: tuple[str, ...] = tuple(STATISTICS)
"""Names of the statistics that poyodata brings: all that are computed where none is named."""

ENTRY_POINTS = "poyodata.statistics"
"""Group of entry points under which installed packages offer a `Statistic`."""

_log = logging.getLogger(__name__)


def register_statistic(statistic: Statistic) -> Statistic:
    """Make a statistic of one's own known, by name, wherever statistics are named: in calls, diets and restrictions.

    What was computed is kept by name, version and params, not by code: raise the version when what it gives changes. A
    package offers statistics to everyone who installs it as entry points of the group `ENTRY_POINTS`.

    Parameters
    ----------
    statistic : Statistic
        With names that no other has. One that was registered before is replaced.

    Returns
    -------
    Statistic
        The same.

    Raises
    ------
    StatisticError
        When it is not declared well, a name is taken, or its functions changed and its version did not.

    Examples
    --------
    The brightest frame of every neuron, in ten lines:

    >>> import numpy as np
    >>> from poyodata.statistics import Column, Statistic
    >>> peak = Statistic(
    ...     name="peak",
    ...     version=1,
    ...     columns={"peak_dff_frame": Column(dtype="float64", unit="dF/F", definition="Brightest frame.")},
    ...     chunk=lambda stretch, params: np.fmax.reduce(stretch.traces, axis=0, initial=-np.inf),
    ...     combine=np.fmax,
    ...     finalize=lambda highest, params: {"peak_dff_frame": np.where(np.isfinite(highest), highest, np.nan)},
    ...     nan_policy="Missing frames are left out; NaN without frames.",
    ... )
    >>> _ = register_statistic(peak)
    >>> print(describe_statistic("peak_dff_frame@drifting_gratings").splitlines()[0])
    peak_dff_frame@drifting_gratings [dF/F]: Brightest frame. Within epochs of drifting_gratings alone.
    >>> unregister_statistic("peak")
    """
    known = known_statistics()
    check_declaration(statistic, [other for name, other in known.items() if name != getattr(statistic, "name", None)])
    before = known.get(statistic.name)
    if before is not None:
        if statistic.name in BUILT_IN:
            raise StatisticError(f"the statistic {statistic.name!r} is poyodata's own; choose another name.")
        if before.lineage == statistic.lineage and code_of(before) != code_of(statistic):
            raise StatisticError(
                f"the statistic {statistic.name!r} changed, and its version is still {statistic.version}; raise it, so "
                f"that results kept of the one before are not taken for its own."
            )
    STATISTICS[statistic.name] = statistic
    return statistic


def unregister_statistic(name: str) -> None:
    """Forget a statistic that was registered; what was computed with it stays kept.

    Raises
    ------
    StatisticError
        When none of that name was.
    """
    own = [known for known in known_statistics() if known not in BUILT_IN]
    if name not in own:
        raise StatisticError(f"no statistic {name!r} was registered: {nearest(name, own)}")
    del STATISTICS[name]


def known_statistics() -> Mapping[str, Statistic]:
    """Every statistic by name: built in, of installed packages, and registered.

    Packages are looked for on the first call. One whose statistic cannot be had is named in a warning and left out.
    """
    if not _packages:
        # First, since a package may register statistics itself while it is imported.
        _packages.append(ENTRY_POINTS)
        for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
            try:
                register_statistic(entry.load())
            except Exception as error:  # whatever a package raises when it is imported
                _log.warning(
                    "the statistic %s of an installed package (%s) is left out: %s: %s; update or remove the package",
                    *(entry.name, entry.value, type(error).__name__, error),
                )
    return STATISTICS


_packages: list[str] = []


def find_statistics(names: str | Sequence[str] | None = None) -> tuple[Statistic, ...]:
    """Give the statistics of these names, each once.

    Parameters
    ----------
    names : str or sequence of str, optional
        A name may be restricted to a stimulus, as in ``"moments@drifting_gratings"``. By default all that are built in.

    Raises
    ------
    StatisticError
        For an unknown name, and for the name of a column.

    Examples
    --------
    >>> [statistic.name for statistic in find_statistics(["moments", "moments@drifting_gratings"])]
    ['moments', 'moments@drifting_gratings']
    """
    if names is None:
        names = BUILT_IN
    return tuple(_find(name) for name in as_names(names))


def as_names(names: str | Iterable[str]) -> list[str]:
    """Give names as a list, each once.

    Raises
    ------
    StatisticError
        When there is none, or something else than texts.
    """
    given: object = names
    listed: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not listed:
        raise StatisticError(f"no statistic was named; known are {', '.join(known_statistics())}.")
    for name in listed:
        if isinstance(name, Statistic):
            raise StatisticError(f"statistics are named by texts: write {name.name!r}, registered where it is yours.")
        if not isinstance(name, str):
            raise StatisticError(f"statistics are named by texts, such as 'moments'; {name!r} arrived.")
    return list(dict.fromkeys(listed))


def _find(name: str) -> Statistic:
    known = known_statistics()
    own, stimulus = parse_restricted(name)
    if own in known:
        return known[own] if stimulus is None else restrict(known[own], stimulus)
    owners = [statistic.name for statistic in known.values() if own in statistic.columns]
    if owners:
        owner = restricted_name(owners[0], stimulus)
        raise StatisticError(f"{name!r} is a column of the statistic {owner!r}; name the statistic.")
    raise StatisticError(f"no statistic is called {own!r}: {nearest(own, known)}")


def _find_column(name: str) -> Statistic | None:
    """Give the statistic with a column, restricted where the column is."""
    own, stimulus = parse_restricted(name)
    for statistic in known_statistics().values():
        if own in statistic.columns:
            return statistic if stimulus is None else restrict(statistic, stimulus)
    return None


def column_metadata(columns: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Give unit, convention and origin of columns, for the tables and axes of reports.

    Parameters
    ----------
    columns : iterable of str, optional
        Also restricted ones. By default all columns of all statistics, without restriction.

    Returns
    -------
    dict
        Column name to ``statistic``, ``version``, ``dtype``, ``unit``, ``definition`` and ``range``: two numbers, or
        None for an end that is open.

    Raises
    ------
    StatisticError
        When no statistic gives one of them.

    Examples
    --------
    >>> column_metadata()["fisher_direction"]["unit"]
    'rad^-2'
    >>> column_metadata(["kurtosis@drifting_gratings"])["kurtosis@drifting_gratings"]["statistic"]
    'moments@drifting_gratings'
    """
    if columns is None:
        columns = [name for statistic in known_statistics().values() for name in statistic.columns]
    found = {}
    for name in columns:
        statistic = _find_column(name)
        if statistic is None:
            raise _no_column(name)
        found[name] = metadata_of(statistic, statistic.columns[name])
    return found


def metadata_of(statistic: Statistic, column: Column) -> dict[str, Any]:
    """Say of one column what `column_metadata` does, in plain values."""
    return {
        "statistic": statistic.name,
        "version": statistic.version,
        "dtype": column.dtype,
        "unit": column.unit,
        "definition": column.definition,
        "range": [float(end) if math.isfinite(end) else None for end in (column.low, column.high)],
    }


def interval_of(name: str) -> str | None:
    """Name the column whose interval has this end; None for every other name.

    Examples
    --------
    >>> interval_of("skewness_low@drifting_gratings"), interval_of("skewness")
    ('skewness@drifting_gratings', None)
    """
    if _find_column(name) is not None:
        return None
    own, stimulus = parse_restricted(name)
    for end in ("_low", "_high"):
        column = restricted_name(own.removesuffix(end), stimulus)
        if own.endswith(end) and _find_column(column) is not None:
            return column
    return None


def _no_column(name: str) -> StatisticError:
    own, _ = parse_restricted(name)
    column = interval_of(name)
    if column is not None:
        return StatisticError(
            f"{name!r} is an end of the interval of {column!r}: name that column, and ask for intervals "
            "(intervals=0.95, on the command line --intervals)."
        )
    known = [column for statistic in known_statistics().values() for column in statistic.columns]
    return StatisticError(f"no statistic has a column {own!r}: {nearest(own, known)}")


def select_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Name the statistics that give these columns, in the registry's order, restricted ones after their own.

    Raises
    ------
    StatisticError
        When no statistic gives one of them.

    Examples
    --------
    >>> select_columns(["kurtosis", "skewness", "mean@drifting_gratings"])
    ('moments', 'moments@drifting_gratings')
    """
    wanted = {known["statistic"] for known in column_metadata(columns).values()}
    order = {name: place for place, name in enumerate(known_statistics())}
    return tuple(sorted(wanted, key=lambda name: (order[parse_restricted(name)[0]], name)))


def describe_statistic(name: str) -> str:
    """Say in words what a statistic, or one of its columns, is; either may be restricted to a stimulus.

    Raises
    ------
    StatisticError
        When neither is called so.

    Examples
    --------
    >>> print(describe_statistic("kurtosis").splitlines()[0])
    kurtosis [1]: EXCESS kurtosis g2 = m4 / m2^2 - 3, biased.
    """
    own, _ = parse_restricted(name)
    if own in known_statistics():
        return describe_whole(_find(name))
    statistic = _find_column(name)
    column = interval_of(name)
    if column is not None:
        end = "Lower" if own.endswith("_low") else "Upper"
        return f"{name}: {end} end of the confidence interval of {column}.\n{describe_statistic(column)}"
    if statistic is None:
        columns = [column for known in known_statistics().values() for column in known.columns]
        close = nearest(own, [*known_statistics(), *columns])
        raise StatisticError(f"no statistic and no column is called {own!r}: {close}")
    return describe_column(name, statistic.columns[name], statistic)
