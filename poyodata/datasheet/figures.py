"""Drawings of a datasheet, as SVG: kept neurons in blue, rejected ones in vermilion, unknown ones in grey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.datasheet.conditions import Thresholds
from poyodata.drawing import BLUE, GREY, INK, VERMILION, as_svg, new_figure
from poyodata.plots import column_label
from poyodata.plots.plane import plane_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Mapping[str, str] = {"kept": BLUE, "rejected": VERMILION, "unknown": GREY}
MOST_VECTOR_POINTS = 2000
"""More points than these are drawn as pixels, so that a page of 60,000 neurons stays small."""


def plane(moments: pd.DataFrame, answer: npt.NDArray[Any], thresholds: Thresholds) -> str:
    """Every neuron on the plane of two moments, by its answer, with the thresholds and the names of the regions.

    Parameters
    ----------
    moments : DataFrame with ``skewness`` and ``kurtosis``
        Finite ones.
    answer : ndarray, shape (neuron,)
        kept, rejected or unknown.
    thresholds : Thresholds
    """
    figure, (ax,) = new_figure(5.6, 4.5)
    figure.set_dpi(170)
    many = len(moments) > MOST_VECTOR_POINTS
    size = 14 if not many else 5 if len(moments) < 20_000 else 2.5
    for name in ("rejected", "unknown", "kept"):
        rows = moments[answer == name]
        style: dict[str, Any] = {"c": COLOURS[name], "lw": 0, "alpha": 0.65 if not many else 0.4}
        ax.scatter(rows["skewness"], rows["kurtosis"], s=size, rasterized=many, **style)
    plane_frame(ax, moments, thresholds.max_x, thresholds.max_y)
    for column, value in thresholds.further:
        line = ax.axvline if column == thresholds.x else ax.axhline
        line(value, color=INK, lw=0.7, ls=":")
    _name_regions(ax, thresholds)
    ax.set_xlabel(f"{column_label(thresholds.x)} of dF/F")
    ax.set_ylabel(f"{column_label(thresholds.y)} of dF/F")
    return _clear(figure)


def _name_regions(ax: Axes, thresholds: Thresholds) -> None:
    by_column, by_row = ax.get_xaxis_transform(), ax.get_yaxis_transform()
    ax.text(thresholds.max_x, 1.0, f"{thresholds.max_x:g}", transform=by_column, ha="center", va="bottom", fontsize=9)
    ax.text(1.0, thresholds.max_y, f" {thresholds.max_y:g}", transform=by_row, ha="left", va="center", fontsize=9)
    names: dict[str, Any] = {"style": "italic", "fontsize": 10, "color": INK, "textcoords": "offset points"}
    corner = {"xycoords": ax.transAxes, "va": "top", **names}
    ax.annotate("neither", (0, 1), (4, -3), ha="left", **corner)
    ax.annotate("high in both", (1, 1), (-3, -3), ha="right", **corner)
    under = {"xycoords": by_row, "va": "top", **names}
    ax.annotate("predictable", (0, thresholds.max_y), (4, -4), ha="left", **under)
    ax.annotate("neither", (1, thresholds.max_y), (-3, -4), ha="right", **under)


def cumulative(values: Mapping[str, npt.NDArray[np.float64]], label: str) -> str:
    """Cumulative distributions of a column, one line an answer; the outer half per cent of values is not shown.

    Parameters
    ----------
    values : mapping of answer to ndarray
        Finite ones.
    label : str
        Of the axis.
    """
    figure, (ax,) = new_figure(5.6, 3.4)
    every = np.concatenate(list(values.values()))
    low, high = np.percentile(every, (0.5, 99.5)) if len(every) > 200 else (every.min(), every.max())
    for name, own in values.items():
        if len(own):
            # A page needs no more steps than pixels: of many neurons, the quantiles.
            x = np.sort(own) if len(own) <= 800 else np.quantile(own, np.linspace(0, 1, 801))
            y = np.arange(1, len(x) + 1) / len(x)
            ax.step(np.r_[x[0], x], np.r_[0.0, y], where="post", color=COLOURS[name], lw=1.6)
    margin = 0.03 * (high - low) or 0.5
    ax.set(xlim=(low - margin, high + margin), ylim=(0, 1.01), xlabel=label, ylabel="share of neurons")
    ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    return _clear(figure)


def _clear(figure: Any) -> str:
    """Draw on nothing, so that the page's own paper shows."""
    figure.patch.set_visible(False)
    for ax in figure.axes:
        ax.patch.set_visible(False)
    return as_svg(figure)
