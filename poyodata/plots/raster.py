"""Raster of one neuron: dF/F around the onset of every trial, trials sorted by what was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.drawing import GREY, INK
from poyodata.errors import StatisticError
from poyodata.plots.axes import axes_or_new
from poyodata.plots.neuron import OneNeuron, one_neuron, statistic_of
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_SCENES, STATIC_GRATINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

AFTER_S = 1.0
"""Time after the end of a sweep that is shown."""

_ROWS = {
    DRIFTING_GRATINGS: "direction (deg), within it by temporal frequency",
    STATIC_GRATINGS: "orientation (deg), within it by spatial frequency",
    NATURAL_SCENES: "natural scene, by mean response",
}
_MOST_LABELS = 14


@dataclass(frozen=True, eq=False)
class _Trials:
    """Trials in the order of the raster, with their traces.

    Attributes
    ----------
    dff : ndarray, shape (trial, frame), float64, dF/F
        NaN where time was not looked at, or a frame is missing.
    shown : DataFrame
        Their presentations.
    time_s : ndarray, shape (frame,)
        Since the onset.
    """

    dff: npt.NDArray[np.float64]
    shown: pd.DataFrame
    time_s: npt.NDArray[np.float64]


def raster(
    store: Store,
    neuron_id: str,
    stimulus: str = DRIFTING_GRATINGS,
    *,
    split: Split | SplitSpec | str | None = None,
    window: str = "train",
    ax: Axes | None = None,
) -> Axes:
    """Draw dF/F of one neuron around the onset of every trial, trials sorted by what was shown, blanks last.

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
    ax : Axes, optional
        By default those of a new figure.

    Returns
    -------
    Axes
        Time from the onset in seconds; a colour bar for dF/F, from 0 to the 99.5th percentile. Frames that may not be
        looked at, or are missing, are grey.

    Raises
    ------
    UsageError
        When the store has no such neuron.
    StatisticError
        For another stimulus, or when no trial of it lies within the time looked at.

    Examples
    --------
    >>> raster(store, "900000000_12")  # doctest: +SKIP
    """
    neuron = one_neuron(store, neuron_id, stimulus, split, window)
    trials = _sorted(_cut(neuron, stimulus), stimulus)
    ax = axes_or_new(ax, 7.2, 5.0)
    _draw(ax, trials)
    groups = _groups(trials.shown, stimulus)
    edges = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    # Ticks outside, for a line across would be taken for a trial.
    ax.set_yticks(edges - 0.5, minor=True)
    ax.tick_params(axis="y", which="minor", length=9)
    middles = (np.r_[0, edges] + np.r_[edges, len(groups)] - 1) / 2
    names = groups[np.r_[0, edges].astype(int)]
    every = -(-len(names) // _MOST_LABELS)
    kept = [i for i in range(len(names)) if i % every == 0 or names[i] == "blank"]
    ax.set_yticks(middles[kept], names[kept])
    ax.tick_params(axis="y", which="major", length=0)
    ax.set(xlabel="time from onset (s)", ylabel=_ROWS[stimulus])
    shown = f"{len(trials.shown)} trials of {stimulus.replace('_', ' ')}"
    ax.set_title(neuron.title(shown), fontsize=10, loc="left")
    return ax


def _cut(neuron: OneNeuron, stimulus: str) -> _Trials:
    """Cut the trials out of the stretches, in the order shown."""
    params = statistic_of(stimulus).params
    rate_hz = neuron.stretches[0].rate_hz if neuron.stretches else 1.0
    before = round(params["sweep_s"] * params["before_sweeps"] * rate_hz)
    after = round((params["sweep_s"] + AFTER_S) * rate_hz)
    rows, shown = [], []
    for stretch in neuron.stretches:
        own = stretch.trials[stretch.trials["stimulus"] == stimulus]
        for onset in own["start_frame"].tolist():
            row = np.full(before + after, np.nan)
            first, last = max(onset - before, 0), min(onset + after, len(stretch.traces))
            row[first - onset + before : last - onset + before] = stretch.traces[first:last, 0]
            rows.append(row)
        shown.append(own)
    if not rows:
        raise StatisticError(
            f"neuron {neuron.neuron_id!r} has no trial of {stimulus} in {neuron.window}; the recording may lack the "
            "stimulus, or all of its trials may lie in other time."
        )
    time_s = (np.arange(before + after) - before) / rate_hz
    return _Trials(np.array(rows), pd.concat(shown, ignore_index=True), time_s)


def _sorted(trials: _Trials, stimulus: str) -> _Trials:
    """By condition, blanks last; within a condition in the order shown."""
    shown = trials.shown.assign(blank=trials.shown["blank"].astype(bool))
    features = list(statistic_of(stimulus).params["features"])
    if stimulus == NATURAL_SCENES:
        during = (trials.time_s >= 0) & (trials.time_s < 2 * statistic_of(stimulus).params["sweep_s"])
        known = np.isfinite(trials.dff[:, during])
        total = np.where(known, trials.dff[:, during], 0.0).sum(axis=1)
        mean = pd.Series(total / np.maximum(known.sum(axis=1), 1), shown.index)
        shown = shown.assign(rank=-mean.groupby(shown["image"]).transform("mean"))
        features = ["rank", "image"]
    order = shown.sort_values(["blank", *features], kind="stable").index.to_numpy()
    return _Trials(trials.dff[order], shown.loc[order].reset_index(drop=True), trials.time_s)


def _groups(shown: pd.DataFrame, stimulus: str) -> npt.NDArray[np.object_]:
    """Name what each row shows, by the feature that rows are labelled with."""
    first = statistic_of(stimulus).params["features"][0]
    names = [f"{value:g}" for value in shown[first]]
    return np.where(shown["blank"].to_numpy(bool), "blank", np.array(names, object))


def _draw(ax: Axes, trials: _Trials) -> None:
    from matplotlib import colormaps

    known = trials.dff[np.isfinite(trials.dff)]
    top = float(np.percentile(known, 99.5)) if len(known) else 1.0
    step_s = trials.time_s[1] - trials.time_s[0]
    image = ax.imshow(
        trials.dff,
        cmap=colormaps["magma_r"].with_extremes(bad=GREY),
        vmin=0.0,
        vmax=top if top > 0 else 1.0,
        aspect="auto",
        interpolation="antialiased",
        extent=(trials.time_s[0] - step_s / 2, trials.time_s[-1] + step_s / 2, len(trials.dff) - 0.5, -0.5),
    )
    sweep_s = float((trials.shown["stop_frame"] - trials.shown["start_frame"]).median()) * step_s
    for at in (0.0, sweep_s):
        ax.axvline(at, color=INK, lw=1.0, ls=":")
        ax.plot([at], [1.0], marker="v", ms=5, color=INK, transform=ax.get_xaxis_transform(), clip_on=False)
    bar = ax.figure.colorbar(image, ax=ax, extend="both", pad=0.02, fraction=0.05)
    bar.set_label("dF/F")
    bar.outline.set_visible(False)
