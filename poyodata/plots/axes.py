"""Axes to draw on, and what stands beside them: units, conventions, and how the time that was looked at is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from poyodata.errors import StatisticError, nearest
from poyodata.statistics import column_metadata

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BOUND = re.compile(r"_(low|high)$")


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Give `ax`, or the axes of a new figure of `width` x `height` inches."""
    if ax is None:
        # pyplot, unlike in reports: a notebook shows what pyplot made, whatever the cell ends with.
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
        ax.spines[["top", "right"]].set_visible(False)
    return ax


def column_label(column: str, known: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Name a column for an axis: words, convention and unit, from `column_metadata`.

    Parameters
    ----------
    column : str
        Also one restricted to a stimulus, an end of an interval, or a column that no statistic declares.
    known : mapping, optional
        Unit and definition of columns, as in ``table.attrs["columns"]``: learned columns have theirs there.

    Examples
    --------
    >>> column_label("kurtosis")
    'excess kurtosis'
    >>> column_label("std@drifting_gratings")
    'std (dF/F), during drifting gratings'
    """
    name, _, stimulus = column.partition("@")
    meanings = {**column_metadata(), **(known or {})}
    meaning = meanings.get(column) or meanings.get(name) or meanings.get(_BOUND.sub("", name), {})
    words = name.replace("_", " ")
    if meaning.get("definition", "").startswith("EXCESS"):
        words = f"excess {words}"
    if meaning.get("unit", "1") != "1":
        words += f" ({_typeset(meaning['unit'])})"
    return words + (f", during {stimulus.replace('_', ' ')}" if stimulus else "")


def require_column(table: pd.DataFrame, column: str, what: str = "column") -> None:
    """Raise where a table has no such column, naming the nearest.

    Raises
    ------
    StatisticError
    """
    if column not in table.columns:
        raise StatisticError(f"the table has no {what} {column!r}: {nearest(column, map(str, table.columns))}")


def _typeset(unit: str) -> str:
    return re.sub(r"\^(-?\d+)", r"$^{\1}$", unit)
