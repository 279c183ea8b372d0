"""Tuning of one neuron: mean responses with their intervals, single trials as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from poyodata.drawing import BLUE, GREY, INK
from poyodata.errors import StatisticError
from poyodata.plots.axes import axes_or_new
from poyodata.plots.neuron import one_neuron, responses
from poyodata.statistics.tuning.conditions import Conditions
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_SCENES, STATIC_GRATINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

FloatArray = npt.NDArray[np.float64]

_BLANK = "blank sweeps"
_CURVES = {
    DRIFTING_GRATINGS: ("temporal frequency", "{:g} Hz"),
    STATIC_GRATINGS: ("spatial frequency", "{:g} cycles/deg"),
}


def tuning_curves(
    store: Store,
    neuron_id: str,
    stimulus: str = DRIFTING_GRATINGS,
    *,
    split: Split | SplitSpec | str | None = None,
    window: str = "train",
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw how one neuron responds to each condition of a stimulus.

    Drifting gratings: mean response over directions, one curve for each temporal frequency. Static gratings: over
    orientations, one curve for each spatial frequency, at the preferred phase. Natural scenes: sorted by mean response.
    Responses are those that the tuning columns are made of: fluorescence during the sweep over that just before it,
    less 1. Every dot is a trial; bars are intervals of the mean over trials (Student's t). The dashed line is the mean
    response to blank sweeps.

    Parameters
    ----------
    store : Store
    neuron_id : str
    stimulus : str
        ``drifting_gratings``, ``static_gratings`` or ``natural_scenes``.
    split : Split, SplitSpec or str, optional
        Whose train-role trials are shown; by default the split that `compute_statistics` takes.
    window : {"train", "all"}
        To look at a neuron is to look at data: ``"all"`` shows the trials of tests too. The title says which.
    level : float
        Nominal coverage of the intervals.
    ax : Axes, optional
        By default those of a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    UsageError
        When the store has no such neuron.
    StatisticError
        For another stimulus, or when no trial of it lies within the time looked at.

    Examples
    --------
    >>> tuning_curves(store, "900000000_12")  # doctest: +SKIP
    """
    if not 0 < level < 1:
        raise StatisticError(f"level is {level}; give the coverage of an interval, such as 0.95.")
    neuron = one_neuron(store, neuron_id, stimulus, split, window)
    conditions = responses(neuron, stimulus)
    ax = axes_or_new(ax, 7.2, 4.2)
    if stimulus == NATURAL_SCENES:
        _draw_sorted(ax, conditions, level)
        shown = f"{int((conditions.condition >= 0).sum())} trials of natural scenes"
    else:
        shown = _draw_curves(ax, conditions, stimulus, level)
    blank = conditions.sweeps.response[conditions.condition == -1, 0]
    if np.isfinite(blank).any():
        ax.axhline(np.nanmean(blank), color=INK, lw=0.9, ls="--", zorder=0, label=_BLANK)
    ax.axhline(0, color=GREY, lw=0.6, zorder=0)
    ax.set_ylabel("response (dF/F)")
    ax.set_title(neuron.title(shown), fontsize=10, loc="left")
    handles, labels = ax.get_legend_handles_labels()
    # matplotlib puts bars last; the reader looks for them first.
    order = sorted(range(len(labels)), key=lambda i: (labels[i] in ("trials", _BLANK), i))
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        title=_CURVES[stimulus][0] if stimulus in _CURVES else None,
        frameon=False,
        fontsize=9,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
    return ax


def _draw_curves(ax: Axes, conditions: Conditions, stimulus: str, level: float) -> str:
    """One curve for each value of the second feature; returns what is shown, in words."""
    from matplotlib import colormaps

    angle_deg, frequencies = conditions.levels[:2]
    index = np.unravel_index(np.maximum(conditions.condition, 0), conditions.shape)
    chosen = conditions.condition >= 0
    words = stimulus.replace("_", " ")
    if len(conditions.levels) == 3:
        phase = int(conditions.preferred()[2][0])
        chosen &= index[2] == phase
        words += f" at the preferred phase ({conditions.levels[2][phase]:g})"
    step = float(np.diff(angle_deg).min()) if len(angle_deg) > 1 else 45.0
    colours = colormaps["viridis"](np.linspace(0.0, 0.85, max(len(frequencies), 2)))
    for f, (frequency, colour) in enumerate(zip(frequencies, colours, strict=False)):
        # Beside one another, for dots of one direction would hide those of the next frequency.
        at = angle_deg + step * 0.14 * (f - (len(frequencies) - 1) / 2)
        trials = [_finite(conditions, chosen & (index[0] == d) & (index[1] == f)) for d in range(len(angle_deg))]
        mean, half = np.array([mean_and_half_width(values, level) for values in trials]).T
        ax.scatter(
            np.repeat(at, [len(values) for values in trials]), np.concatenate(trials),
            s=7, color=colour, alpha=0.3, lw=0, zorder=1,
        )  # fmt: skip
        ax.errorbar(
            at, mean, yerr=half, color=colour, lw=1.5, marker="o", ms=4.5, capsize=2, zorder=3,
            label=_CURVES[stimulus][1].format(frequency),
        )  # fmt: skip
    ax.set_xticks(angle_deg)
    ax.set_xlabel("direction (deg)" if stimulus == DRIFTING_GRATINGS else "orientation (deg)")
    return f"{int(chosen.sum())} trials of {words}"


def _draw_sorted(ax: Axes, conditions: Conditions, level: float) -> None:
    """Every image at its rank."""
    from matplotlib.ticker import MaxNLocator

    seen = np.flatnonzero(np.isfinite(conditions.mean[:, 0]))
    order = seen[np.argsort(-conditions.mean[seen, 0], kind="stable")]
    trials = [_finite(conditions, conditions.condition == image) for image in order]
    rank = np.arange(1, len(order) + 1)
    mean, half = np.array([mean_and_half_width(values, level) for values in trials]).T
    ax.scatter(
        np.repeat(rank, [len(values) for values in trials]), np.concatenate(trials),
        s=7, color=BLUE, alpha=0.25, lw=0, zorder=1, label="trials",
    )  # fmt: skip
    ax.errorbar(rank, mean, yerr=half, fmt="o", color=INK, ms=3, lw=1.0, zorder=3, label="mean")
    best = f"scene {conditions.levels[0][order[0]]:g}"
    ax.annotate(best, (1, mean[0]), (8, 2), textcoords="offset points", fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("natural scenes, by mean response")


def _finite(conditions: Conditions, chosen: npt.NDArray[np.bool_]) -> FloatArray:
    values = conditions.sweeps.response[chosen, 0]
    return np.asarray(values[np.isfinite(values)])


def mean_and_half_width(values: FloatArray, level: float) -> tuple[float, float]:
    """Mean of trials and half the width of its Student interval; NaN where there are too few.

    Examples
    --------
    >>> mean, half = mean_and_half_width(np.array([1.0, 2.0, 3.0]), 0.95)
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    from scipy.stats import t

    if len(values) < 2:
        return (float(values[0]) if len(values) else np.nan), np.nan
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(error * t.ppf(0.5 + level / 2, len(values) - 1))
