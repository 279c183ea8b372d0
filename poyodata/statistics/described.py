"""Statistics and their columns in words: definition, unit, range, convention, what is looked at, missing values."""

from __future__ import annotations

import math

from poyodata.statistics.statistic import Column, Statistic

_INDENT = "  "


def describe_column(name: str, column: Column, statistic: Statistic) -> str:
    """Say all that is declared of one column.

    Parameters
    ----------
    name : str
        Of the column, with its restriction where it has one.
    column : Column
    statistic : Statistic
        That gives it.

    Returns
    -------
    str
        The definition first, one fact a line after it.

    Examples
    --------
    >>> from poyodata.statistics.registry import MOMENTS
    >>> print(describe_column("kurtosis", MOMENTS.columns["kurtosis"], MOMENTS).splitlines()[0])
    kurtosis [1]: EXCESS kurtosis g2 = m4 / m2^2 - 3, biased.
    """
    facts = {"range": _range(column), **_shared(statistic)}
    lines = [f"{name} [{column.unit}]: {column.definition}", *_aligned(facts)]
    return "\n".join(lines)


def describe_whole(statistic: Statistic) -> str:
    """Say all that is declared of a statistic and of each of its columns.

    Examples
    --------
    >>> from poyodata.statistics.registry import MOMENTS
    >>> print(describe_whole(MOMENTS).splitlines()[0])
    moments, version 1, of the group moments
    """
    facts = _shared(statistic)
    del facts["statistic"]
    columns = [
        f"{_INDENT}{name} [{column.unit}], {_range(column)}: {column.definition}"
        for name, column in statistic.columns.items()
    ]
    head = f"{statistic.name}, version {statistic.version}, of the group {statistic.group}"
    return "\n".join([head, *columns, *_aligned(facts)])


def _shared(statistic: Statistic) -> dict[str, str]:
    """What holds for every column of a statistic."""
    params = ", ".join(f"{key} = {value}" for key, value in statistic.params.items())
    return {
        "looks at": _looks_at(statistic),
        "missing": statistic.nan_policy,
        "interval": "its own method" if statistic.interval is not None else "jackknife over pieces of time",
        "parameters": params or "none",
        "statistic": f"{statistic.name}, version {statistic.version}, of the group {statistic.group}",
    }


def _looks_at(statistic: Statistic) -> str:
    seen = ["traces"]
    if statistic.uses_labels or statistic.stimulus is not None:
        stimulus = "stimuli" if statistic.stimulus is None else statistic.stimulus
        seen.append(f"{'labels' if statistic.uses_labels else 'times'} of {stimulus}")
    seen += statistic.signals
    within = "" if statistic.during is None else f" within epochs of {statistic.during}"
    return f"{', '.join(seen)}{within}; in train-role time, unless window is 'all'"


def _range(column: Column) -> str:
    if math.isinf(column.low) and math.isinf(column.high):
        return "any number"
    if math.isinf(column.high):
        return f"{column.low:g} and above"
    if math.isinf(column.low):
        return f"{column.high:g} and below"
    return f"{column.low:g} to {column.high:g}"


def _aligned(facts: dict[str, str]) -> list[str]:
    width = max(map(len, facts))
    return [f"{_INDENT}{name:<{width}}  {fact}" for name, fact in facts.items()]
