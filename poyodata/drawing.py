"""How every picture is drawn: colours told apart by every eye (Okabe and Ito), new figures, plain ticks, SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#9aa3ad", "#1d2530"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, "#cc79a7", "#56b4e9", "#000000")


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


def plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Put ticks here and nowhere else, written as plain numbers."""
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_locator(NullLocator())
