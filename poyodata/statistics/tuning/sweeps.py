"""Responses to single sweeps, as the Allen Brain Observatory defines them: what all tuning is computed from.

The response to a sweep is the mean fluorescence F from its start on over the mean F of the frames just before it, less
one: dF/F with a baseline of its own for every sweep. Traces of the store are dF/F over a slow baseline F0, and 1 + dF/F
is F in units of F0, so that

    response = mean(1 + dF/F during) / mean(1 + dF/F before) - 1.

F0 cancels as far as it does not change within the few seconds of a sweep. AllenSDK takes F itself; `Stretch.traces` may
hold F - 1, in any unit, and gives the same numbers as AllenSDK then. It counts in percent, we in dF/F.

Windows are counted in frames from the start of the sweep, whatever its end is said to be: with s frames a sweep at the
nominal (whole) rate, baselines are s / 2 frames long for drifting gratings (1 s) and 4 s for stimuli of a quarter
second, whose responses outlast them and are taken over 2 s frames. Time that must not be seen is not seen: a sweep
whose baseline or response is not wholly within the stretch is left out. Of a stretch that begins with a sweep these are
the first one (drifting gratings) or four (static gratings, scenes), and all where trials were dealt out singly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.behaviour import RUNNING_SPEED
from poyodata.statistics.statistic import Stretch

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SweepWindow:
    """Frames around the start of a sweep.

    Attributes
    ----------
    before : int
        Frames of the baseline.
    during : int
        Frames of the response.
    after : int
        Frames from the start on that are looked at for the time of the peak, at least `during`.
    """

    before: int
    during: int
    after: int

    @classmethod
    def of(cls, params: Mapping[str, Any], rate_hz: float) -> SweepWindow:
        """Count the frames of ``sweep_s``, ``before_sweeps``, ``during_sweeps`` and ``after_sweeps``.

        Examples
        --------
        >>> flashed = {"sweep_s": 0.25, "before_sweeps": 4, "during_sweeps": 2, "after_sweeps": 5}
        >>> SweepWindow.of(flashed, 30.1)
        SweepWindow(before=28, during=14, after=35)
        """
        sweep = max(1, floor(params["sweep_s"] * round(rate_hz) + 1e-9))
        before, during, after = (
            max(1, round(params[name] * sweep)) for name in ("before_sweeps", "during_sweeps", "after_sweeps")
        )
        return cls(before, during, max(during, after))


@dataclass(frozen=True)
class Sweeps:
    """Responses to sweeps so far, in the order shown; those of different stretches are strung together.

    Attributes
    ----------
    response : ndarray, shape (sweep, neuron), float64, dF/F
        NaN where no frame of the response or of the baseline is known, or the baseline is no positive fluorescence.
    baseline : ndarray, shape (sweep, neuron), float64
        Mean of 1 + dF/F before the sweep.
    f : ndarray, shape (sweep, neuron), float64
        Variance ratio of a one-way analysis of variance of the frames during against those before; NaN where a frame
        is missing.
    features : ndarray, shape (sweep, feature), float64
        What was shown; NaN for blank sweeps.
    running_cm_s : ndarray, shape (sweep,), float64
        Mean speed during the response; NaN where it is not known of every frame.
    frames : tuple of ndarray, shape (frame, neuron), float32, dF/F
        The traces themselves, from the beginning of the baseline on: views.
    window : SweepWindow
    rate_hz : float
    """

    response: FloatArray
    baseline: FloatArray
    f: FloatArray
    features: FloatArray
    running_cm_s: FloatArray
    frames: tuple[npt.NDArray[np.float32], ...]
    window: SweepWindow
    rate_hz: float

    def merge(self, other: Sweeps) -> Sweeps:
        """Sweeps of both, the other's last."""
        return Sweeps(
            np.concatenate([self.response, other.response]),
            np.concatenate([self.baseline, other.baseline]),
            np.concatenate([self.f, other.f]),
            np.concatenate([self.features, other.features]),
            np.concatenate([self.running_cm_s, other.running_cm_s]),
            self.frames + other.frames,
            self.window,
            self.rate_hz,
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Sweeps:
        """Give these sweeps alone, in this order, some of them more than once if so asked: for resampling."""
        frames = tuple(self.frames[row] for row in rows.tolist())
        return Sweeps(
            self.response[rows],
            self.baseline[rows],
            self.f[rows],
            self.features[rows],
            self.running_cm_s[rows],
            frames,
            self.window,
            self.rate_hz,
        )


def cut_sweeps(stretch: Stretch, params: Mapping[str, Any]) -> Sweeps:
    """Cut the sweeps of a stimulus out of a stretch.

    Parameters
    ----------
    stretch : Stretch
    params : mapping
        ``stimulus``, ``features`` (columns of the trials that tell conditions apart), and the lengths that
        `SweepWindow.of` takes.

    Returns
    -------
    Sweeps
    """
    window = SweepWindow.of(params, stretch.rate_hz)
    trials = stretch.trials
    trials = trials[trials["stimulus"] == params["stimulus"]] if len(trials) else trials
    n_neurons, names = stretch.traces.shape[1], params["features"]
    if len(trials):
        blank = trials["blank"].to_numpy(bool)
        features = np.where(blank[:, None], np.nan, trials[list(names)].to_numpy(np.float64))
        if "image" in names:  # counted from 0; -1 stands for none
            features = np.where(features < 0, np.nan, features)
        start = trials["start_frame"].to_numpy(np.int64)
        inside = (start >= window.before) & (start + window.during <= len(stretch.traces))
        chosen = inside & (blank | np.isfinite(features).all(axis=1))
        start, features = start[chosen], features[chosen]
    else:
        start, features = np.empty(0, np.int64), np.empty((0, len(names)))
    response, baseline, f = (np.full((len(start), n_neurons), np.nan) for _ in range(3))
    running = np.full(len(start), np.nan)
    speed, frames = stretch.signals.get(RUNNING_SPEED), []
    for row, first in enumerate(start.tolist()):
        piece = stretch.traces[first - window.before : first + window.after]
        frames.append(piece)
        response[row], baseline[row], f[row] = _respond(piece[: window.before + window.during], window.before)
        if speed is not None:
            running[row] = speed[first : first + window.during].mean()
    return Sweeps(response, baseline, f, features, running, tuple(frames), window, stretch.rate_hz)


def _respond(piece: npt.NDArray[np.float32], n_before: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Response, baseline and variance ratio of one sweep, each of shape (neuron,)."""
    values = piece.astype(np.float64)
    n_during = len(values) - n_before
    parts = _parts(n_before, n_during)
    first = values[0].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        values -= first  # squares of what is left do not cancel
        (sum_low, sum_high), squares = parts @ values, parts.sum(axis=0) @ (values * values)
        low, high = sum_low / n_before, sum_high / n_during
        within = squares - sum_low * low - sum_high * high
        between = (high - low) ** 2 * (n_before * n_during / (n_before + n_during))
        f = between / np.where(within > 0, within, np.nan) * (n_before + n_during - 2)
    low, high = low + first, high + first
    whole = np.isfinite(low + high)
    if not whole.all():
        low = np.where(whole, low, _known_mean(piece[:n_before]))
        high = np.where(whole, high, _known_mean(piece[n_before:]))
        f = np.where(whole, f, np.nan)
    baseline = 1.0 + low
    with np.errstate(invalid="ignore"):
        response = (1.0 + high) / np.where(baseline > 0, baseline, np.nan) - 1.0
    return response, baseline, f


@lru_cache(maxsize=4)
def _parts(n_before: int, n_during: int) -> FloatArray:
    """One row that sums frames before, and one that sums those during."""
    parts = np.zeros((2, n_before + n_during))
    parts[0, :n_before] = parts[1, n_before:] = 1.0
    return parts


def _known_mean(values: npt.NDArray[np.float32]) -> FloatArray:
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    total = np.where(seen, values, np.float32(0)).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.where(count > 0, count, np.nan))
