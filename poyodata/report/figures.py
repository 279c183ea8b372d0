"""Figures of the reports, as SVG text. Colours are those of Okabe and Ito, told apart by every eye."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#9aa3ad", "#1d2530"
_SERIES = (BLUE, VERMILION, GREEN, ORANGE, "#cc79a7", "#56b4e9", "#000000")


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, npt.NDArray[Any]]:
    """Make a figure of `width` x `height` inches and its axes, row by row in one array."""
    # The object interface, not pyplot: no global state, no window, nothing left open.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """Draw a figure as SVG text, the same for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "poyodata", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def moments_plane(neurons: pd.DataFrame, max_skewness: float, max_kurtosis: float) -> str:
    """Skewness against excess kurtosis of every neuron, with the thresholds and the four regions they make.

    Parameters
    ----------
    neurons : DataFrame with ``skewness`` and ``kurtosis`` (excess)
    max_skewness, max_kurtosis : float
        Thresholds of the predictable diet.

    Returns
    -------
    str
        SVG. Axes are symmetric-logarithmic, so that heavy tails and neurons near zero are seen at once.
    """
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    figure, (ax,) = new_figure(7.2, 4.6)
    known = neurons[np.isfinite(neurons["skewness"]) & np.isfinite(neurons["kurtosis"])]
    low_skewness, low_kurtosis = known["skewness"] <= max_skewness, known["kurtosis"] <= max_kurtosis
    groups = (
        ("predictable", low_skewness & low_kurtosis, BLUE),
        ("both high", ~low_skewness & ~low_kurtosis, VERMILION),
        ("neither", low_skewness ^ low_kurtosis, INK),
    )
    for name, chosen, colour in groups:
        rows = known[chosen]
        ax.scatter(rows["skewness"], rows["kurtosis"], s=13, c=colour, alpha=0.65, lw=0, label=f"{name}: {len(rows)}")
    ax.axvline(max_skewness, color="#1d2530", lw=0.9, ls="--")
    ax.axhline(max_kurtosis, color="#1d2530", lw=0.9, ls="--")
    ax.annotate(f"{max_skewness:g}", (max_skewness, 0.01), xycoords=("data", "axes fraction"), fontsize=8, ha="left")
    ax.annotate(f"{max_kurtosis:g}", (0.01, max_kurtosis), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_yscale("symlog", linthresh=3.0)
    # Left alone, symmetric-logarithmic axes reach a decade below zero, where no neuron can be: excess kurtosis > -2.
    ax.set_xlim(left=min(-0.5, float(known["skewness"].min()) - 0.2) if len(known) else -0.5)
    ax.set_ylim(bottom=-2.5)
    for axis, ticks in ((ax.xaxis, (0, 1, 2, 3, 5, 10)), (ax.yaxis, (-2, 0, 2, 5, 10, 30, 100, 300))):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())
    ax.set(xlabel="skewness of dF/F", ylabel="excess kurtosis of dF/F")
    ax.legend(frameon=False, loc="upper left", title=f"{len(known)} neurons")
    return as_svg(figure)


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
    for ax, (name, losses), colour in zip(axes, curves.items(), _SERIES * len(curves), strict=False):
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
