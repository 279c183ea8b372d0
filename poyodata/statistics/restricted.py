"""Statistics restricted to a stimulus: ``moments@drifting_gratings``, with columns ``skewness@drifting_gratings``.

A restriction means time within the epochs of that stimulus, grey between its sweeps included, and of that what the
statistic may see anyway: train-role time. It needs no labels of trials, and works with every statistic that asks for no
other stimulus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from poyodata.errors import StatisticError
from poyodata.statistics.statistic import Interval, Resampling, Statistic, Stretch

_Value = TypeVar("_Value")


def parse_restricted(name: str) -> tuple[str, str | None]:
    """Part a name of a statistic or column from the stimulus that it is restricted to.

    Raises
    ------
    StatisticError
        When ``@`` is followed by nothing, or is there twice.

    Examples
    --------
    >>> parse_restricted("skewness@drifting_gratings"), parse_restricted("skewness")
    (('skewness', 'drifting_gratings'), ('skewness', None))
    """
    if not isinstance(name, str):
        raise StatisticError(f"statistics and columns are named by texts, such as 'skewness'; {name!r} arrived.")
    own, at, stimulus = name.partition("@")
    if at and (not own or not stimulus or "@" in stimulus):
        raise StatisticError(f"{name!r} does not say name@stimulus, such as 'skewness@drifting_gratings'.")
    return own, stimulus or None


def restricted_name(name: str, stimulus: str | None) -> str:
    """Name of a statistic or column, restricted to a stimulus.

    Examples
    --------
    >>> restricted_name("skewness", "drifting_gratings")
    'skewness@drifting_gratings'
    """
    return name if stimulus is None else f"{name}@{stimulus}"


def bound_names(column: str) -> tuple[str, str]:
    """Names of the columns that hold the ends of a column's interval.

    Examples
    --------
    >>> bound_names("skewness@drifting_gratings")
    ('skewness_low@drifting_gratings', 'skewness_high@drifting_gratings')
    """
    own, stimulus = parse_restricted(column)
    return restricted_name(f"{own}_low", stimulus), restricted_name(f"{own}_high", stimulus)


def restrict(statistic: Statistic, stimulus: str) -> Statistic:
    """Make of a statistic the one that looks at the epochs of one stimulus alone.

    Parameters
    ----------
    statistic : Statistic
    stimulus : str

    Returns
    -------
    Statistic
        With names and definitions that say so; its lineage has ``during``.

    Raises
    ------
    StatisticError
        When the statistic needs another stimulus, or is restricted already.

    Examples
    --------
    >>> from poyodata.statistics import MOMENTS
    >>> restrict(MOMENTS, "drifting_gratings").columns["skewness@drifting_gratings"].definition
    'Fisher-Pearson g1 = m3 / m2^1.5, biased. Within epochs of drifting_gratings alone.'
    """
    if statistic.during is not None:
        raise StatisticError(f"{statistic.name!r} looks at {statistic.during!r} alone already; leave @{stimulus} out.")
    if statistic.stimulus not in (None, stimulus):
        raise StatisticError(
            f"{statistic.name!r} needs {statistic.stimulus!r}, of which there is nothing within epochs of "
            f"{stimulus!r}; leave '@{stimulus}' out."
        )
    columns = {
        restricted_name(name, stimulus): replace(
            column, definition=f"{column.definition} Within epochs of {stimulus} alone."
        )
        for name, column in statistic.columns.items()
    }
    interval = None if statistic.interval is None else partial(_interval, statistic.interval, stimulus)
    return replace(
        statistic,
        name=restricted_name(statistic.name, stimulus),
        columns=columns,
        finalize=partial(_finalize, statistic.finalize, stimulus),
        interval=interval,
        during=stimulus,
    )


def _renamed(values: Mapping[str, _Value], stimulus: str) -> dict[str, _Value]:
    return {restricted_name(name, stimulus): value for name, value in values.items()}


# Module functions under `partial` rather than closures: they travel to other processes by name.
def _finalize(
    finalize: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]],
    stimulus: str,
    state: Any,
    params: Mapping[str, Any],
) -> Mapping[str, Any]:
    return _renamed(finalize(state, params), stimulus)


def _interval(
    interval: Callable[[Sequence[Stretch], Mapping[str, Any], Resampling], Interval],
    stimulus: str,
    stretches: Sequence[Stretch],
    params: Mapping[str, Any],
    resampling: Resampling,
) -> Interval:
    return _renamed(interval(stretches, params, resampling), stimulus)
