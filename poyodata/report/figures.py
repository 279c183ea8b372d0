"""Figures of the reports, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.drawing import BLUE, GREY, SERIES, VERMILION, as_svg, new_figure


def composition(shares: pd.DataFrame) -> str:
    """Neurons of each diet by CRE line, as stacked horizontal bars.

    Parameters
    ----------
    shares : DataFrame, index diet name, one column a CRE line, counts
    """
    from matplotlib import colormaps

    figure, (ax,) = new_figure(7.2, 0.55 * len(shares) + 1.9)
    left = np.zeros(len(shares))
    colours = colormaps["tab20"](np.linspace(0, 1, max(shares.shape[1], 2)))
    for column, colour in zip(shares.columns, colours, strict=False):
        width = shares[column].to_numpy(float)
        ax.barh(shares.index, width, left=left, color=colour, label=str(column), height=0.65)
        left += width
    for at, total in enumerate(left):
        ax.annotate(f" {int(total)}", (total, at), va="center", fontsize=9)
    ax.invert_yaxis()
    ax.set_xlabel("neurons")
    ax.legend(frameon=False, fontsize=7.5, ncols=4, loc="upper center", bbox_to_anchor=(0.45, -0.22))
    return as_svg(figure)


def loss_curves(curves: Mapping[str, npt.NDArray[np.float64]], smooth: int = 25) -> str:
    """Training loss of each run against its step, with a running mean over `smooth` steps.

    Each run has its own panel, for losses of different objectives have no common scale.
    """
    figure, axes = new_figure(min(3.6 * max(1, len(curves)), 10.0), 2.8, max(1, len(curves)))
    for ax, (name, losses), colour in zip(axes, curves.items(), SERIES * len(curves), strict=False):
        values = np.asarray(losses, float)
        ax.plot(np.arange(1, len(values) + 1), values, color=GREY, lw=0.6, marker="." if len(values) < 3 else None)
        if len(values) >= smooth:
            mean = np.convolve(values, np.ones(smooth) / smooth, mode="valid")
            ax.plot(np.arange(smooth, len(values) + 1), mean, color=colour, lw=1.8)
        ax.set(xlabel="step", ylabel="loss")
        ax.set_title(name, fontsize=9)
    return as_svg(figure)


def accuracies(rows: pd.DataFrame, chance: float) -> str:
    """Accuracy of each decoder with its interval, and the chance level.

    Parameters
    ----------
    rows : DataFrame with ``decoder``, ``accuracy``, ``low``, ``high``
    chance : float
    """
    figure, (ax,) = new_figure(7.2, 0.42 * len(rows) + 1.1)
    at = np.arange(len(rows))
    value = rows["accuracy"].to_numpy(float)
    spread = np.vstack([value - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - value])
    ax.errorbar(value, at, xerr=np.nan_to_num(np.maximum(spread, 0)), fmt="o", color=BLUE, capsize=3, ms=5)
    ax.axvline(chance, color=VERMILION, lw=1, ls="--")
    ax.annotate(" chance", (chance, 1.0), xycoords=("data", "axes fraction"), color=VERMILION, fontsize=8, va="bottom")
    ax.set_yticks(at, rows["decoder"])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set(xlim=(0, 1), xlabel="accuracy on held-out trials, 8 directions")
    return as_svg(figure)
