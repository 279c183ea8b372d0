"""Reliability over the repeats of a natural movie: AllenSDK's `NaturalMovie`, on train-role time and on stored dF/F.

A repeat counts where it lies whole within a stretch; AllenSDK always takes the first ten of the recording. Repeats are
cut to the length of the shortest one (AllenSDK: to that of the first, looking a frame beyond the end of shorter ones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.statistics.tuning.interval import FEWEST_GROUPS, drawn_counts, drawn_peaks, percentiles
from poyodata.statistics.tuning.measures import mean_correlation
from poyodata.statistics.uncertainty import jackknife_centre_and_error, student_interval
from poyodata.vocabulary import NATURAL_MOVIE_ONE, NATURAL_MOVIE_THREE, NATURAL_MOVIE_TWO

_COLUMNS_AT_A_TIME = 16  # of ten repeats of two minutes: 5 MB


@dataclass(frozen=True)
class Repeats:
    """Repeats of a movie so far, in the order shown.

    Attributes
    ----------
    frames : tuple of ndarray, shape (frame, neuron), float32, dF/F
        From the first movie frame seen to the last: views.
    movie_frames : tuple of int
        Movie frames of each; the most that any has is the whole movie, and others were cut.
    n_neurons : int
    rate_hz : float
    """

    frames: tuple[npt.NDArray[np.float32], ...]
    movie_frames: tuple[int, ...]
    n_neurons: int
    rate_hz: float

    def merge(self, other: Repeats) -> Repeats:
        """Repeats of both, the other's last."""
        return Repeats(self.frames + other.frames, self.movie_frames + other.movie_frames, self.n_neurons, self.rate_hz)

    def whole(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Repeats of the whole movie, all cut to one length."""
        most = max(self.movie_frames, default=0)
        kept = [frames for frames, count in zip(self.frames, self.movie_frames, strict=True) if count == most]
        length = min((len(frames) for frames in kept), default=0)
        return tuple(frames[:length] for frames in kept)


def cut_repeats(stretch: Stretch, params: Mapping[str, Any]) -> Repeats:
    """Cut the repeats of a movie out of a stretch; those that do not begin with its first frame are left out."""
    trials, frames, counts = stretch.trials, [], []
    if len(trials):
        trials = trials[(trials["stimulus"] == params["stimulus"]) & (trials["repeat"] >= 0)]
        for _, shown in trials.groupby("repeat", sort=True):
            if shown["movie_frame"].min() == 0:
                frames.append(stretch.traces[int(shown["start_frame"].min()) : int(shown["stop_frame"].max())])
                counts.append(len(shown))
    return Repeats(tuple(frames), tuple(counts), stretch.traces.shape[1], stretch.rate_hz)


def _finalize(state: Repeats, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    whole, suffix = state.whole(), params["suffix"]
    reliability, peak_s = np.full((2, state.n_neurons), np.nan)
    seen = np.zeros(state.n_neurons, np.int64)
    for start in range(0, state.n_neurons if whole else 0, _COLUMNS_AT_A_TIME):
        columns = slice(start, start + _COLUMNS_AT_A_TIME)
        courses = np.stack([frames[:, columns] for frames in whole]).astype(np.float64)
        known = np.asarray(np.isfinite(courses).all(axis=1))
        seen[columns] = known.sum(axis=0)
        reliability[columns] = mean_correlation(courses)
        total = np.where(known[:, None], courses, 0.0).sum(axis=0)
        peak_s[columns] = np.where(known.any(axis=0), total.argmax(axis=0) / state.rate_hz, np.nan)
    return {f"reliability_{suffix}": reliability, f"peak_time_s_{suffix}": peak_s, f"n_repeats_{suffix}": seen}


def _interval(
    reliability: Column, stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling
) -> Interval:
    """Of the reliability the jackknife over repeats, of the time of the peak a bootstrap over repeats."""
    state = reduce(Repeats.merge, (cut_repeats(stretch, params) for stretch in stretches))
    whole, suffix = state.whole(), params["suffix"]
    names, n_repeats = (f"reliability_{suffix}", f"peak_time_s_{suffix}"), len(whole)
    bounds = np.full((2, 2, state.n_neurons), np.nan)
    for start in range(0, state.n_neurons if n_repeats >= FEWEST_GROUPS else 0, _COLUMNS_AT_A_TIME):
        columns = slice(start, start + _COLUMNS_AT_A_TIME)
        courses = np.stack([frames[:, columns] for frames in whole]).astype(np.float64)
        value = mean_correlation(courses)
        without = np.stack([mean_correlation(np.delete(courses, index, axis=0)) for index in range(n_repeats)])
        _, error = jackknife_centre_and_error(value, without, np.ones(n_repeats))
        bounds[0, :, columns] = student_interval(value, error, n_repeats, resampling.level, reliability)
        known = np.asarray(np.isfinite(courses).all(axis=1))
        place = drawn_peaks(np.where(known[:, None], courses, 0.0), drawn_counts(n_repeats, resampling, 0))
        low_high = np.stack(percentiles(place / state.rate_hz, resampling.level))
        bounds[1, :, columns] = np.where(known.sum(axis=0) >= FEWEST_GROUPS, low_high, np.nan)
    return {name: (low, high) for name, (low, high) in zip(names, bounds, strict=True)}


def _tuning_to(movie: str, suffix: str) -> Statistic:
    words = movie.replace("_", " ")
    reliability = Column(
        dtype="float64",
        unit="1",
        definition=f"Mean Pearson correlation of dF/F between all pairs of repeats of {words}; from -1 to 1.",
        low=-1.0,
        high=1.0,
    )
    return Statistic(
        name=f"tuning_{movie}",
        version=1,
        group="tuning",
        columns={
            f"reliability_{suffix}": reliability,
            f"peak_time_s_{suffix}": Column(
                dtype="float64",
                unit="s",
                definition=f"Time of the largest mean dF/F over repeats of {words}, from the movie's start.",
                low=0.0,
            ),
            f"n_repeats_{suffix}": Column(
                dtype="int64",
                unit="repeats",
                definition=f"Whole repeats of {words} without a missing frame in the time looked at.",
                low=0,
            ),
        },
        chunk=cut_repeats,
        combine=Repeats.merge,
        finalize=_finalize,
        interval=partial(_interval, reliability),
        nan_policy="A repeat with a missing frame (NaN or infinite) is left out for that neuron, a constant one for "
        "reliability; NaN with fewer than two repeats (peak time: without one).",
        uses_labels=True,
        stimulus=movie,
        params={"stimulus": movie, "suffix": suffix},
    )


TUNING_NATURAL_MOVIE_ONE = _tuning_to(NATURAL_MOVIE_ONE, "nm1")
TUNING_NATURAL_MOVIE_TWO = _tuning_to(NATURAL_MOVIE_TWO, "nm2")
TUNING_NATURAL_MOVIE_THREE = _tuning_to(NATURAL_MOVIE_THREE, "nm3")
