"""Information of a population against the number of its neurons."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from poyodata.drawing import GREY, INK, SERIES
from poyodata.errors import StatisticError
from poyodata.plots.axes import axes_or_new, column_label, require_column
from poyodata.statistics.information.population import COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^v<>"


def information_curve(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw population information against the number of neurons, a line a recording, with its interval.

    Parameters
    ----------
    table : DataFrame
        As `population_information` gives it: ``session_id``, ``n_neurons``, ``fisher_population``, its ``_low`` and
        ``_high``, and ``reason`` where a size was refused.
    ax : Axes, optional
        By default those of a new figure.

    Returns
    -------
    Axes
        As far as there are values. Sizes that were refused have no point: a cross on the axis marks those within
        reach, and the title says in words why the smallest was refused.

    Raises
    ------
    StatisticError
        When a column is missing, or no size of any recording has a value or a reason.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> table = pd.DataFrame({
    ...     "session_id": ["a", "a"], "n_neurons": [5, 50], "fisher_population": [3.0, np.nan],
    ...     "fisher_population_low": [2.0, np.nan], "fisher_population_high": [4.0, np.nan],
    ...     "reason": ["", "15 trials are too few for 50 neurons"],
    ... })
    >>> ax = information_curve(table)
    >>> print(ax.get_title(loc="left"))
    Refused (x): 15 trials are too few for 50 neurons
    """
    names = [
        "session_id",
        "n_neurons",
        "fisher_population",
        "fisher_population_low",
        "fisher_population_high",
        "reason",
    ]
    for name in names:
        require_column(table, name)
    known = table[np.isfinite(table["fisher_population"].astype(np.float64))]
    refused = table[~table.index.isin(known.index)]
    if table.empty:
        raise StatisticError("the table has no row, so there is nothing to draw.")
    ax = axes_or_new(ax, 7.2, 4.4)
    for at, (session, rows) in enumerate(known.groupby("session_id", sort=False)):
        rows = rows.sort_values("n_neurons")
        n, value = rows["n_neurons"].to_numpy(np.float64), rows["fisher_population"].to_numpy(np.float64)
        low, high = (rows[f"fisher_population_{end}"].to_numpy(np.float64) for end in ("low", "high"))
        colour, marker = SERIES[at % len(SERIES)], _MARKERS[at // len(SERIES) % len(_MARKERS)]
        ax.plot(n, value, color=colour, marker=marker, ms=4, lw=1.5, label=str(session), zorder=3)
        ax.fill_between(n, low, high, color=colour, alpha=0.18 if len(known) < 30 else 0.08, lw=0, zorder=1)
    ax.axhline(0, color=GREY, lw=0.6, zorder=0)
    # As far as there are values: sizes that are refused can be ten times as large.
    right = 1.12 * float((known if len(known) else table)["n_neurons"].max())
    unit = COLUMNS["fisher_population"].unit
    label = column_label("fisher_population", {"fisher_population": {"unit": unit}})
    ax.set(xlabel="neurons", ylabel=label, xlim=(0, right))
    near = refused["n_neurons"][refused["n_neurons"] <= right]
    ax.plot(near, np.zeros(len(near)), "x", color=INK, ms=5, transform=ax.get_xaxis_transform(), clip_on=False)
    if len(refused):
        ax.set_title(_refusal(refused), fontsize=9, loc="left")
    if len(known):
        ax.legend(title="recording", frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _refusal(refused: pd.DataFrame) -> str:
    """Why the smallest refused size was refused, and how many were."""
    reason = str(refused.sort_values("n_neurons", kind="stable")["reason"].iloc[0])
    if len(refused) > 1:
        reason += f" (and {_count(len(refused) - 1)} refused; see the table)"
    return "\n".join(textwrap.wrap(f"Refused (x): {reason}", 90))


def _count(sizes: int) -> str:
    return "1 more size" if sizes == 1 else f"{sizes} more sizes"
