"""How a column is distributed over CRE lines, areas, depths or donors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.drawing import GREY, INK, SERIES, plain_ticks
from poyodata.errors import StatisticError, UsageError
from poyodata.plots.axes import axes_or_new, column_label, require_column
from poyodata.statistics.asked import as_resampling
from poyodata.statistics.grouping import DEPTH_EDGES_UM, DONOR, group_names, group_neurons
from poyodata.statistics.groups import clustered_intervals
from poyodata.statistics.statistic import Resampling

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from poyodata.store import Store


WHISKERS = (5, 95)
"""Percentiles that the whiskers of a box reach."""

_ROW_IN, _GAP = 0.3, 0.3


def column_by_group(
    table: pd.DataFrame,
    store: Store,
    column: str,
    by: str | Sequence[str] = "cre_line",
    *,
    log: bool = False,
    intervals: Resampling | float | None = 0.95,
    depth_edges_um: Sequence[float] = DEPTH_EDGES_UM,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of a column over neurons, group by group: every neuron a dot, boxes over them.

    A box spans the quartiles, its line is the median, its whiskers reach the 5th and 95th percentile. A thick bar under
    it is the interval of the median, clustered by donor, as `summarise_by` gives it: neurons of one mouse are no
    independent sample, and fewer than three mice have no interval. How many of both are behind it stands beside it.

    Parameters
    ----------
    table : DataFrame
        With ``neuron_id`` and the column, a row a neuron, as `compute_statistics` gives it.
    store : Store
        Where the neurons are from.
    column : str
    by : str or sequence of str
        One or two of what `summarise_by` groups by (``cre_line``, ``area``, ``depth``, ``donor``, an annotation): the
        first makes rows, the second colours within a row.
    log : bool
        Draw values on an axis that is linear near zero and logarithmic beyond, for heavy tails.
    intervals : Resampling or float, optional
        Level of the intervals, or how they are drawn; None leaves them out.
    depth_edges_um : sequence of float
        Bands that ``depth`` is grouped into.
    ax : Axes, optional
        By default those of a new figure, as high as there are boxes.

    Returns
    -------
    Axes
        Groups are sorted by their median, the lowest at the top, and depths by depth. Neurons without a value are left
        out and counted in the title.

    Raises
    ------
    StatisticError
        When the table has no such column of numbers, no neuron has a value, or the second group has more values than
        colours can be told apart.
    UsageError
        When neurons cannot be grouped so, or are not of the store.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from types import SimpleNamespace
    >>> neurons = pd.DataFrame({"neuron_id": list("abc"), "session_id": list("stu"), "donor_id": list("xyz")})
    >>> neurons["cre_line"] = ["Sst", "Sst", "Vip"]
    >>> store = SimpleNamespace(neurons=neurons, sessions=neurons[["session_id"]])
    >>> ax = column_by_group(pd.DataFrame({"neuron_id": list("abc"), "skewness": [1.0, 2.0, 0.5]}), store, "skewness")
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['Vip', 'Sst']
    """
    names = group_names(by)
    if len(names) > 2:
        raise UsageError(f"{len(names)} groups at once were named; give one for rows and one for colours.")
    require_column(table, column)
    if not pd.api.types.is_numeric_dtype(table[column]):
        raise StatisticError(f"{column!r} holds {table[column].dtype}, not numbers; draw a column of a statistic.")
    rows = group_neurons(table[["neuron_id", column]], store, names, depth_edges_um)
    known = rows[np.isfinite(rows[column].to_numpy(np.float64, na_value=np.nan))]
    if known.empty:
        raise StatisticError(f"no neuron has a value of {column!r}, so there is nothing to draw.")
    boxes, hues = _boxes(known, column, [name for name, _ in names])
    resampling = as_resampling(intervals)
    n_boxes = sum(len(row) for _, row in boxes)
    ax = axes_or_new(ax, 7.2, 1.2 + _ROW_IN * n_boxes + 0.08 * len(boxes))
    middles, has_interval = _draw(ax, boxes, column, dict(zip(hues, SERIES, strict=False)), resampling)
    if log:
        _bend(ax, known[column].to_numpy(np.float64))
    ax.set_yticks(middles, [name for name, _ in boxes])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set(xlabel=column_label(column, table.attrs.get("columns")), ylabel=_words(names[0][0]))
    title = f"{_count(len(known), 'neuron')} of {_count(known[DONOR].nunique(), 'donor')}"
    if len(known) < len(rows):
        title += f"; {len(rows) - len(known)} without a value left out"
    if has_interval and resampling is not None:
        title += f"; thick bars: {resampling.level:.0%} interval of the median, by donor"
    ax.set_title(title, fontsize=9, loc="left", pad=6 if hues == [""] else 24)
    if hues != [""]:
        _legend(ax, hues)
    return ax


_Row = tuple[str, list[tuple[str, pd.DataFrame]]]


def _boxes(known: pd.DataFrame, column: str, names: Sequence[str]) -> tuple[list[_Row], list[str]]:
    """Neurons by row and, within it, by colour; and what there is a colour for."""
    first = known[names[0]].astype("str")
    order = known.groupby(names[0], observed=True)[column].median()
    # The groups come sorted; depths are seen best from the surface down.
    rows = [str(name) for name in (order if names[0] == "depth" else order.sort_values(kind="stable")).index]
    if len(names) == 1:
        return [(row, [("", known[first == row])]) for row in rows], [""]
    second = known[names[1]].astype("str")
    hues = [str(value) for value in known[names[1]].cat.remove_unused_categories().cat.categories]
    if len(hues) > len(SERIES):
        raise StatisticError(
            f"{names[1]!r} has {len(hues)} values, and {len(SERIES)} colours can be told apart; put it first in `by`, "
            "or draw part of the table."
        )
    parts = {row: [(hue, known[(first == row) & (second == hue)]) for hue in hues] for row in rows}
    return [(row, [(hue, part) for hue, part in parts[row] if len(part)]) for row in rows], hues


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _words(name: str) -> str:
    return {"cre_line": "CRE line", "depth": "depth below the pia"}.get(
        name, name.removesuffix("_id").replace("_", " ")
    )


def _draw(
    ax: Axes, rows: Sequence[_Row], column: str, colours: Mapping[str, str], resampling: Resampling | None
) -> tuple[list[float], bool]:
    """Draw every box; returns the middle of each row, and whether any box has an interval."""
    at, middles, has_interval = 0.0, [], False
    for _, parts in rows:
        middles.append(at + (len(parts) - 1) / 2)
        for hue, part in parts:
            values = part[column].to_numpy(np.float64)
            # Golden-ratio steps fill a strip evenly without chance: the same picture every time.
            spread = (np.arange(len(values)) * 0.6180339887 % 1.0 - 0.5) * 0.55
            ax.scatter(values, at + spread, s=9, color=colours[hue], alpha=0.55, lw=0, zorder=1)
            _box(ax, at, values)
            donors = part[DONOR].to_numpy(str)
            if resampling is not None:
                low, high = clustered_intervals(values, donors, resampling)["median"]
                has_interval |= bool(np.isfinite(low))
                ax.plot([low, high], [at + 0.38] * 2, color=INK, lw=3, solid_capstyle="butt", zorder=3)
            counts = f"{_count(len(values), 'neuron')}, {_count(len(np.unique(donors)), 'donor')}"
            ax.annotate(counts, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)
            at += 1.0
        if len(colours) > 1 and len(middles) < len(rows):
            ax.axhline(at - 0.5 + _GAP / 2, color=GREY, lw=0.5, alpha=0.6)
        at += _GAP
    return middles, has_interval


def _box(ax: Axes, at: float, values: npt.NDArray[np.float64]) -> None:
    # By hand: the name of matplotlib's own argument for lying boxes differs between the versions we support.
    low, first, middle, last, high = np.percentile(values, (WHISKERS[0], 25, 50, 75, WHISKERS[1])).tolist()
    top, bottom = at - 0.25, at + 0.25
    ax.plot([first, first, last, last, first], [top, bottom, bottom, top, top], color=INK, lw=0.9)
    ax.plot([low, first, np.nan, last, high], [at] * 5, color=INK, lw=0.9)
    ax.plot([low, low, np.nan, high, high], [at - 0.12, at + 0.12, np.nan, at - 0.12, at + 0.12], color=INK, lw=0.9)
    ax.plot([middle, middle], [top, bottom], color=INK, lw=1.8)


def _legend(ax: Axes, hues: Sequence[str]) -> None:
    handles = [ax.plot([], [], "s", color=colour, label=hue)[0] for hue, colour in zip(hues, SERIES, strict=False)]
    # Above the axes: beside them stand the counts.
    ax.legend(
        handles=handles, ncols=len(hues), frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 0.99), fontsize=9,
        handletextpad=0.2, columnspacing=1.0, borderaxespad=0.0,
    )  # fmt: skip


def _bend(ax: Axes, values: npt.NDArray[np.float64]) -> None:
    """Make the axis linear near zero and logarithmic beyond, with as many ticks as there is room for."""
    # Linear as far as half of the values reach.
    scale = float(np.median(np.abs(values))) or 1.0
    first, last = np.arcsinh(np.array([values.min(), values.max()]) / scale)
    margin = max(0.03 * (last - first), 0.03)
    first, last = first - margin, last + margin
    low, high = (np.sinh([first, last]) * scale).tolist()
    ax.set_xscale("asinh", linear_width=scale)
    ax.set_xlim(low, high)
    round_numbers = [step * 10.0**power for power in range(-6, 8) for step in (1, 2, 5)]
    kept = [0.0] if low <= 0.0 <= high else []
    # From the ends of the axis inwards: the largest values are what such an axis is for.
    for size in reversed(round_numbers):
        for tick in (size, -size):
            at = np.arcsinh(tick / scale)
            apart = [abs(at - np.arcsinh(other / scale)) for other in kept]
            if low <= tick <= high and min(apart, default=np.inf) > (last - first) / 9:
                kept.append(tick)
    plain_ticks(ax.xaxis, sorted(kept))
