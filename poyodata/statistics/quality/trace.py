"""Signal and drift of a trace, both over the noise of a single frame.

* Noise: mean absolute difference of successive frames times sqrt(pi) / 2, the standard deviation for Gaussian noise.
  Transients make it a little larger than the median does (`noise_std`, statistic ``robust``), but it adds up.
* Signal: standard deviation of one-second means about the mean of their minute, less the noise's share of it. A
  transient shorter than a second counts by its mean over the second; `robust_snr` looks at peaks instead.
* Drift: standard deviation over minutes of the baseline, which is the tenth percentile of a minute's one-second means:
  neither activity nor a few missing seconds move it much. Sources that subtract a running baseline leave little of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.quality.seconds import Seconds
from poyodata.statistics.statistic import Column, Statistic, Stretch

FloatArray = npt.NDArray[np.float64]

BASELINE_PERCENTILE = 10.0
LEAST_S = 20
"""Seconds of a minute that must have been seen for it to count."""
_BLOCK_FRAMES = 2048


@dataclass(frozen=True)
class TraceQuality:
    """Seconds so far, and differences of successive frames.

    Attributes
    ----------
    seconds : Seconds
    step : ndarray, shape (neuron,), float64, dF/F
        Sum of absolute differences of successive frames.
    n_steps : ndarray, shape (neuron,), float64
        Differences behind it.
    """

    seconds: Seconds
    step: FloatArray
    n_steps: FloatArray

    def merge(self, other: TraceQuality) -> TraceQuality:
        """Give the sums of both."""
        return TraceQuality(self.seconds.merge(other.seconds), self.step + other.step, self.n_steps + other.n_steps)


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> TraceQuality:  # noqa: ARG001 - the shape all have
    traces = stretch.traces
    step, n_steps = np.zeros(traces.shape[1]), np.zeros(traces.shape[1])
    for start in range(0, len(traces) - 1, _BLOCK_FRAMES):
        block = traces[start : start + _BLOCK_FRAMES + 1]
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(np.diff(block, axis=0))
            total = difference.sum(axis=0, dtype=np.float64)
        if np.isfinite(total).all():
            step += total
            n_steps += len(difference)
        else:
            seen = np.isfinite(difference)
            step += np.where(seen, difference, 0.0).sum(axis=0, dtype=np.float64)
            n_steps += seen.sum(axis=0)
    return TraceQuality(Seconds.of(stretch), step, n_steps)


def _finalize(state: TraceQuality, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    minutes, frames = state.seconds.minutes(params["least_s"]), state.seconds.frames
    n_neurons = len(state.step)
    noise = np.sqrt(np.pi) / 2 * state.step / np.where(state.n_steps > 0, state.n_steps, np.nan)
    noise = np.where(noise > 0, noise, np.nan)
    squares, dof, n_minutes = np.zeros(n_neurons), np.zeros(n_neurons), np.zeros(n_neurons)
    baselines = np.full((len(minutes), n_neurons), np.nan)
    with warnings.catch_warnings():  # nanmean and nanpercentile warn of neurons without a frame in a minute
        warnings.simplefilter("ignore", RuntimeWarning)
        for row, means in enumerate(minutes):
            seen = np.isfinite(means)
            enough = seen.sum(axis=0) >= params["least_s"]
            means = np.where(enough, means, np.nan)
            squares += np.nansum((means - np.nanmean(means, axis=0)) ** 2, axis=0)
            dof += np.where(enough, seen.sum(axis=0) - 1, 0)
            n_minutes += enough
            baselines[row] = _percentile(means, params["baseline_percentile"], bool(seen.all()))
        drift = np.nanstd(baselines, axis=0) if len(minutes) else np.full(n_neurons, np.nan)
    variance = squares / np.where(dof > 0, dof, np.nan) - noise**2 / frames
    return {
        "signal_to_noise": np.sqrt(np.maximum(variance, 0.0)) / noise,
        "baseline_drift": np.where(n_minutes > 1, drift, np.nan) / noise,
    }


def _percentile(values: FloatArray, percentile: float, complete: bool) -> npt.NDArray[Any]:
    if complete:
        return np.percentile(values, percentile, axis=0)
    return np.asarray(np.nanpercentile(values, percentile, axis=0))


QUALITY_TRACE = Statistic(
    name="quality_trace",
    version=1,
    group="quality",
    columns={
        "signal_to_noise": Column(
            dtype="float64",
            unit="1",
            definition="Standard deviation of one-second means within a minute, less the noise's share, over the "
            "noise of a frame (mean |successive difference| sqrt(pi) / 2); 0 for white noise, low for a poor trace.",
            low=0.0,
        ),
        "baseline_drift": Column(
            dtype="float64",
            unit="1",
            definition="Standard deviation over minutes of the baseline (tenth percentile of a minute's one-second "
            "means), over the noise of a frame.",
            low=0.0,
        ),
    },
    chunk=_chunk,
    combine=TraceQuality.merge,
    finalize=_finalize,
    nan_policy=f"Seconds with less than half of their frames are left out, minutes with less than {LEAST_S} seconds "
    "too. NaN without such a minute (baseline_drift: without two), and for a trace that never changes.",
    params={"baseline_percentile": BASELINE_PERCENTILE, "least_s": LEAST_S},
)
