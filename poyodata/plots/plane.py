"""The skewness-kurtosis plane: every neuron, the thresholds of a diet, and the regions that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.drawing import BLUE, GREY, INK, VERMILION, plain_ticks
from poyodata.plots.axes import axes_or_new, column_label, require_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SKEWNESS, MAX_KURTOSIS = 3.51, 22.62
"""Thresholds of the preset `predictable` (POYO-CAP); its paper does not say which kurtosis it means."""

_SKEWNESS_TICKS = (-2, 0, 1, 2, 3, 5, 10, 20)
_KURTOSIS_TICKS = (-2, 0, 2, 5, 10, 30, 100, 300, 1000)


def moments_plane(
    table: pd.DataFrame,
    max_skewness: float = MAX_SKEWNESS,
    max_kurtosis: float = MAX_KURTOSIS,
    *,
    stimulus: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw skewness against excess kurtosis of every neuron, with thresholds and the regions that they make.

    Neurons under both thresholds are ``predictable``, those above both ``both high``. Those under one alone are
    ``neither``: two thresholds divide neurons in three, not in two.

    Parameters
    ----------
    table : DataFrame
        With ``skewness`` and ``kurtosis`` (excess), a row a neuron, as `compute_statistics` gives it. Neurons without
        moments are counted in the legend, not drawn.
    max_skewness, max_kurtosis : float
        Thresholds; a neuron on one is under it.
    stimulus : str, optional
        Draw the moments during this stimulus, ``skewness@<stimulus>``.
    ax : Axes, optional
        By default those of a new figure.

    Returns
    -------
    Axes
        Linear near zero and logarithmic beyond, so that heavy tails and Gaussian neurons are seen at once. The grey
        line is kurtosis = skewness^2 - 2: no distribution lies below it.

    Raises
    ------
    StatisticError
        When the table lacks one of the columns.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> table = pd.DataFrame({"skewness": [0.1, 4.0, 3.0], "kurtosis": [0.0, 60.0, 30.0]})
    >>> ax = moments_plane(table)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['predictable: 1', 'both high: 1', 'neither: 1']
    """
    columns = [name if stimulus is None else f"{name}@{stimulus}" for name in ("skewness", "kurtosis")]
    for column in columns:
        require_column(table, column)
    moments = table[columns].astype(np.float64).set_axis(["skewness", "kurtosis"], axis=1)
    known = moments.loc[np.isfinite(moments.to_numpy()).all(axis=1)]
    low_skewness, low_kurtosis = known["skewness"] <= max_skewness, known["kurtosis"] <= max_kurtosis
    groups = (
        ("predictable", low_skewness & low_kurtosis, BLUE),
        ("both high", ~low_skewness & ~low_kurtosis, VERMILION),
        ("neither", low_skewness ^ low_kurtosis, INK),
    )
    ax = axes_or_new(ax, 7.2, 4.6)
    for name, chosen, colour in groups:
        rows = known[chosen]
        ax.scatter(rows["skewness"], rows["kurtosis"], s=13, c=colour, alpha=0.65, lw=0, label=f"{name}: {len(rows)}")
    plane_frame(ax, known, max_skewness, max_kurtosis)
    _name_regions(ax, max_skewness, max_kurtosis)
    during = "" if stimulus is None else f", during {stimulus.replace('_', ' ')}"
    x, y = (f"{column_label(name)} of dF/F{during}" for name in ("skewness", "kurtosis"))
    ax.set(xlabel=x, ylabel=y)
    title = f"{len(known)} neurons"
    if len(known) < len(moments):
        title += f"\n{len(moments) - len(known)} without moments"
    ax.legend(edgecolor="none", framealpha=0.8, loc="lower right", title=title, fontsize=9, markerscale=1.6)
    return ax


def plane_frame(ax: Axes, moments: pd.DataFrame, max_skewness: float, max_kurtosis: float) -> None:
    """Give axes the scales, limits, ticks and threshold lines of the plane.

    Parameters
    ----------
    ax : Axes
    moments : DataFrame with ``skewness`` and ``kurtosis``
        What is drawn on it, or on axes that shall have the same limits.
    max_skewness, max_kurtosis : float
    """
    skewness, kurtosis = moments["skewness"], moments["kurtosis"]
    left = min(-0.5, float(skewness.min()) - 0.2) if len(moments) else -0.5
    right = max(1.5 * max_skewness, 1.15 * float(skewness.max()) if len(moments) else 0.0)
    top = max(2.0 * max_kurtosis, 1.5 * float(kurtosis.max()) if len(moments) else 0.0)
    # asinh, not symlog: without a kink where linear becomes logarithmic, the bound is seen as the smooth curve it is.
    ax.set_xscale("asinh", linear_width=1.0)
    ax.set_yscale("asinh", linear_width=3.0)
    ax.set(xlim=(left, right), ylim=(-2.5, top))
    plain_ticks(ax.xaxis, [tick for tick in _SKEWNESS_TICKS if left <= tick <= right])
    plain_ticks(ax.yaxis, [tick for tick in _KURTOSIS_TICKS if tick <= top])
    ax.axvline(max_skewness, color=INK, lw=0.9, ls="--")
    ax.axhline(max_kurtosis, color=INK, lw=0.9, ls="--")
    bound = np.linspace(left, right, 200)
    ax.plot(bound, bound**2 - 2, color=GREY, lw=0.9, zorder=0, scalex=False, scaley=False)


def _name_regions(ax: Axes, max_skewness: float, max_kurtosis: float) -> None:
    """Write each region's name into it, and each threshold's value beside it."""
    by_column, by_row = ax.get_xaxis_transform(), ax.get_yaxis_transform()
    style: dict[str, Any] = {"fontsize": 8, "color": INK}
    ax.text(max_skewness, 1.0, f"{max_skewness:g}", transform=by_column, ha="center", va="bottom", **style)
    ax.text(1.0, max_kurtosis, f" {max_kurtosis:g}", transform=by_row, ha="left", va="center", **style)
    names: dict[str, Any] = {"style": "italic", "fontsize": 9}
    ax.text(0.01, 0.99, "neither", transform=ax.transAxes, ha="left", va="top", color=INK, **names)
    ax.text(0.99, 0.99, "both high", transform=ax.transAxes, ha="right", va="top", color=VERMILION, **names)
    ax.annotate("predictable", (0.01, max_kurtosis), (0, -4), xycoords=by_row, textcoords="offset points",
                ha="left", va="top", color=BLUE, **names)  # fmt: skip
    ax.annotate("neither", (0.99, max_kurtosis), (0, -4), xycoords=by_row, textcoords="offset points",
                ha="right", va="top", color=INK, **names)  # fmt: skip
