"""Drawings of the realism page, as SVG: real in ink, simulated in vermilion, published numbers in blue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.drawing import BLUE, GREY, INK, VERMILION, as_svg, new_figure
from poyodata.plots.plane import plane_frame
from poyodata.realism.measures import LAGS_S, Measures
from poyodata.realism.recording import SWEEP_S, GratingTime
from poyodata.realism.reference import (
    HEAVIEST_KURTOSIS,
    LABELS,
    MAX_KURTOSIS,
    MAX_SKEWNESS,
    PREDICTABLE_KURTOSIS,
    PREDICTABLE_LINES,
    PREDICTABLE_SKEWNESS,
    REAL,
)
from poyodata.vocabulary import DIRECTIONS_DEG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRACE_S = 30.0
_QQ = ("skewness", "kurtosis", "std", "noise", "reliability", "gosi")
_LOGARITHMIC = ("kurtosis", "std", "variance_ratio")


def plane(simulated: Measures, real: Measures | None) -> str:
    """Skewness against excess kurtosis, real and simulated in two panels with the same axes and thresholds."""
    shown = [("simulated", simulated.neurons, VERMILION)]
    if real is not None:
        shown.insert(0, ("real", real.neurons, INK))
    figure, axes = new_figure(4.4 * len(shown) + 0.4, 4.0, len(shown))
    every = pd.concat([neurons for _, neurons, _ in shown])
    for ax, (name, neurons, colour) in zip(axes, shown, strict=True):
        ax.scatter(neurons["skewness"], neurons["kurtosis"], s=11, c=colour, alpha=0.6, lw=0)
        plane_frame(ax, every, MAX_SKEWNESS, MAX_KURTOSIS)
        ax.set_xlabel("skewness")
        low = (neurons["skewness"] <= MAX_SKEWNESS) & (neurons["kurtosis"] <= MAX_KURTOSIS)
        ax.set_title(f"{name}: {len(neurons)} neurons, {low.mean():.0%} predictable", fontsize=10)
    axes[0].set_ylabel("excess kurtosis")
    if real is None:
        axes[0].errorbar(*_crosshair("skewness", "kurtosis"), color=BLUE, fmt="o", capsize=3, label="real quartiles")
        axes[0].legend(frameon=False, loc="upper left")
    return as_svg(figure)


def quantiles(simulated: Measures, real: Measures | None) -> str:
    """Quantile-quantile plots of six measures; the three quartiles alone where the real neurons are not at hand."""
    figure, axes = new_figure(9.2, 5.8, 3, 2)
    for ax, name in zip(axes, _QQ, strict=True):
        ours = simulated.neurons[name].dropna()
        if real is None:
            x, y = np.array(REAL[name]), np.percentile(ours, (25, 50, 75))
        else:
            levels = np.linspace(1, 99, 50)
            x, y = np.percentile(real.neurons[name].dropna(), levels), np.percentile(ours, levels)
        ax.plot(x, y, "o", ms=3 if real is not None else 6, color=VERMILION, mec="none", alpha=0.8)
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        ax.plot([low, high], [low, high], color=INK, lw=0.9)
        if name in _LOGARITHMIC:
            ax.set(xscale="symlog" if low <= 0 else "log", yscale="symlog" if low <= 0 else "log")
            _plain(ax)
        ax.set_title(LABELS[name].text, fontsize=10)
    axes[3].set_xlabel("real")
    axes[3].set_ylabel("simulated")
    return as_svg(figure)


def time_course(simulated: Measures, real: Measures | None) -> str:
    """Autocorrelation against lag (medians, and bands between quartiles), and histograms of the noise of a frame."""
    figure, (left, right) = new_figure(9.2, 3.4, 2)
    names = [f"autocorrelation_{lag_s:.2g}_s" for lag_s in LAGS_S]
    theirs = np.array([REAL[name] for name in names]).T
    if real is not None:
        theirs = np.nanpercentile(real.autocorrelation, (25, 50, 75), axis=1)
    ours = np.nanpercentile(simulated.autocorrelation, (25, 50, 75), axis=1)
    for label, (low, middle, high), colour in (("real", theirs, INK), ("simulated", ours, VERMILION)):
        left.fill_between(LAGS_S, low, high, color=colour, alpha=0.15, lw=0)
        left.plot(LAGS_S, middle, "o-", color=colour, ms=4, label=label)
    left.set(xscale="log", xlabel="lag, s", ylabel="autocorrelation of dF/F", ylim=(0, None))
    _plain(left)
    left.legend(frameon=False)

    noise = simulated.neurons["noise"].to_numpy(np.float64)
    every = noise if real is None else np.r_[noise, real.neurons["noise"].to_numpy(np.float64)]
    bins = np.linspace(every.min(), np.percentile(every, 99.5), 26)
    if real is not None:
        right.hist(real.neurons["noise"], bins, histtype="stepfilled", color=GREY, alpha=0.6, label="real")
    else:
        for quartile in REAL["noise"]:
            right.axvline(quartile, color=INK, lw=1)
        right.plot([], color=INK, lw=1, label="real quartiles")
    right.hist(noise, bins, histtype="step", color=VERMILION, lw=1.8, label="simulated")
    right.set(xlabel="noise of a frame, dF/F", ylabel="neurons")
    right.legend(frameon=False)
    return as_svg(figure)


def traces(columns: Sequence[tuple[str, GratingTime]], neurons: int = 8) -> str:
    """Thirty seconds of neurons side by side, on one scale.

    Parameters
    ----------
    columns : sequence of (title, recording)
    neurons : int
        Of each recording, spread evenly over its neurons sorted by skewness.
    """
    shown = []
    for title, recording in columns:
        frames = round(TRACE_S * recording.rate_hz)
        first = _ordinary(recording, frames)
        stretch = recording.dff[first : first + frames]
        height = stretch - np.median(stretch, axis=0)
        skewness = (height**3).mean(axis=0) / height.std(axis=0) ** 3
        spaced = np.linspace(0.985, 0.1, neurons) * (recording.n_neurons - 1)
        shown.append((title, recording.rate_hz, height[:, np.argsort(skewness)[spaced.astype(np.int64)]]))
    step = 0.9
    top = max(float(height[:, 0].max()) for _, _, height in shown) + 0.2
    low = -step * neurons + 0.3
    figure, axes = new_figure(4.6 * len(columns), 5.4, len(columns))
    for ax, (title, rate_hz, height) in zip(axes, shown, strict=True):
        time_s = np.arange(len(height)) / rate_hz
        ax.plot(time_s, height - step * np.arange(neurons), color=INK, lw=0.6)
        ax.plot([TRACE_S - 5.0, TRACE_S, TRACE_S], [low, low, low + 0.5], color=INK, lw=2, solid_joinstyle="miter")
        ax.annotate("5 s, 50 % dF/F", (TRACE_S - 5.2, low), ha="right", va="center", fontsize=8)
        ax.set_title(title, fontsize=11)
        ax.set(ylim=(low - 0.1, top))
        ax.axis("off")
    return as_svg(figure)


def tuning(columns: Mapping[str, Measures], neurons: int = 6) -> str:
    """Tuning to direction of the most reliable neurons, mean and standard error over trials."""
    figure, axes = new_figure(9.2, 2.1 * len(columns), neurons, len(columns))
    for row, (name, found) in enumerate(columns.items()):
        colour = VERMILION if name == "simulated" else INK
        # Every third of the most reliable: the very first are much alike.
        order = np.argsort(-found.neurons["reliability"].fillna(-1).to_numpy())[: 3 * neurons : 3]
        best = found.tuning[..., 0].max(axis=1).argmax(axis=1)
        for column, neuron in enumerate(order.tolist()):
            ax = axes[row * neurons + column]
            mean, error = found.tuning[neuron, :, best[neuron]].T
            ax.errorbar(DIRECTIONS_DEG, mean, yerr=error, color=colour, lw=1.3, marker="o", ms=3)
            ax.axhline(0, color=GREY, lw=0.6)
            ax.set_xticks((0, 90, 180, 270))
            ax.tick_params(labelsize=7)
        axes[row * neurons].set_ylabel(f"{name}\ndF/F over {SWEEP_S:g} s", fontsize=8)
    axes[-neurons].set_xlabel("direction, deg", fontsize=8)
    return as_svg(figure)


def responsive(table: pd.DataFrame) -> str:
    """Share of responsive cells of every line beside Allen's; `table` as `lines_table` gives it."""
    rows = table.sort_values(["responsive, Allen", "responsive"], na_position="first", ignore_index=True)
    figure, (ax,) = new_figure(9.2, 4.2)
    at = np.arange(len(rows))
    ours, theirs = rows["responsive"].to_numpy(np.float64), rows["responsive, Allen"].to_numpy(np.float64)
    ax.hlines(at, ours, np.where(np.isfinite(theirs), theirs, ours), color=GREY, lw=2)
    ax.plot(theirs, at, "o", color=BLUE, label="Allen's table")
    ax.plot(ours, at, "o", color=VERMILION, label="simulated")
    ax.set_yticks(at, rows["line"])
    ax.set(xlim=(0, 1), xlabel="share of cells responsive to drifting gratings")
    ax.legend(frameon=False, loc="lower right")
    return as_svg(figure)


def moments_by_line(table: pd.DataFrame) -> str:
    """Mean skewness and excess kurtosis of every line beside the paper's; `table` as `lines_table` gives it."""
    figure, axes = new_figure(9.2, 4.2, 2)
    rows = table.sort_values("kurtosis", ascending=False, ignore_index=True)
    at = np.arange(len(rows))
    named = np.where(rows["line"].isin(PREDICTABLE_LINES), "predictable", "other")
    for ax, name, published in (
        (axes[0], "skewness", (PREDICTABLE_SKEWNESS,)),
        (axes[1], "kurtosis", (PREDICTABLE_KURTOSIS, HEAVIEST_KURTOSIS)),
    ):
        ax.barh(at, rows[name], color=[VERMILION if one == "predictable" else GREY for one in named], height=0.65)
        for value in published:
            ax.axvline(value, color=BLUE, lw=1.2, ls="--")
            ax.annotate(f" {value:g}", (value, -0.9), color=BLUE, fontsize=8, va="center")
        ax.set_xlabel(f"mean {LABELS[name].text}")
        ax.set_ylim(len(rows) - 0.4, -1.3)
    axes[0].set_yticks(at, rows["line"], fontsize=8)
    axes[1].set_yticks(at, [""] * len(rows))
    axes[1].set(xscale="log", xlim=(1.0, None))
    _plain(axes[1])
    return as_svg(figure)


def _ordinary(recording: GratingTime, frames: int) -> int:
    """First frame of the stretch, within a segment, whose variance is the median of all such stretches."""
    first = np.concatenate([np.arange(a, b - frames + 1, frames) for a, b in recording.segments.tolist()])
    if not len(first):
        return 0
    activity = [float(recording.dff[start : start + frames].var(axis=0).mean()) for start in first.tolist()]
    return int(first[np.argsort(activity)[len(activity) // 2]])


def _crosshair(x: str, y: str) -> tuple[Any, ...]:
    (left, across, right), (low, up, high) = REAL[x], REAL[y]
    return across, up, [[up - low], [high - up]], [[across - left], [right - across]]


def _plain(ax: Axes) -> None:
    """Write the ticks of logarithmic axes as plain numbers, few where they span decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())


def guess_order(recordings: Sequence[GratingTime]) -> list[int]:
    """Shuffle two recordings by what they hold, so that a page shows them in an order that one has to guess."""
    bits: npt.NDArray[np.float32] = np.array([recording.dff[::997].sum() for recording in recordings], np.float32)
    return [0, 1] if int(np.abs(bits).view(np.uint32).sum()) % 2 else [1, 0]
