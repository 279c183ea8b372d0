"""The shape of a trace's distribution without its fourth powers: L-moments, quantiles, noise, events.

One bright transient can set the kurtosis of an hour; none of these. All need the values in order of size, so nothing
can be added up stretch by stretch: the state is the stretches themselves, which are views of the mapped recording.

* L-moments (Hosking 1990, J. R. Statist. Soc. B 52): l2 = 2 b1 - b0, l3 = 6 b2 - 6 b1 + b0, l4 = 20 b3 - 30 b2 +
  12 b1 - b0 with the unbiased probability-weighted moments b_r = mean of C(i - 1, r) / C(n - 1, r) x_(i) over the
  sorted values. l3 / l2 and l4 / l2 lie between -1 and 1: 0 and 0.1226 for a Gaussian, 1/3 and 1/6 for an exponential.
* Noise: 1.4826 times the median absolute difference of successive frames, over sqrt(2). Transients are rare and
  indicators slow, so that most differences are noise alone; noise that is correlated from frame to frame is
  underestimated.
* Events: stays of at least 0.1 s above median + 3 noise, counted by their onsets. They need no model of the indicator,
  and miss what is smaller than the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.statistics.uncertainty import FEWEST_PIECES, cut_pieces, jackknife_centre_and_error, student_interval

FloatArray = npt.NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAD_TO_STD = 1.482602218505602
"""A Gaussian's standard deviation over its median absolute deviation: 1 / Phi^-1(3/4)."""

EVENT_NOISE = 3.0
EVENT_S = 0.1
_COLUMNS_AT_A_TIME = 16  # of a recording of an hour: 8 MB


def l_moments(values: npt.NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Second L-moment and the L-moment ratios of skewness and kurtosis.

    Parameters
    ----------
    values : ndarray, shape (n,), sorted, without missing values

    Returns
    -------
    l2, l_skewness, l_kurtosis : float
        NaN with fewer than four values; the ratios are NaN where all values are the same.

    Examples
    --------
    >>> [round(abs(x), 3) for x in l_moments(np.arange(1001.0) / 1000)]  # uniform: 1/6, 0, 0
    [0.167, 0.0, 0.0]
    """
    n = len(values)
    if n < 4:
        return float("nan"), float("nan"), float("nan")
    if values[0] == values[-1]:
        return 0.0, float("nan"), float("nan")
    # About the median: an offset would cancel only up to rounding.
    centred = values.astype(np.float64) - float(values[n // 2])
    l2, l3, l4 = (_l_weights(n) @ centred / n).tolist()
    return l2, l3 / l2, l4 / l2


@lru_cache(maxsize=2)
def _l_weights(n: int) -> FloatArray:
    """Weights of the sorted values in l2, l3 and l4, shape (3, n): traces of a recording mostly share them."""
    rank = np.arange(n, dtype=np.float64)
    b0 = np.ones(n)
    b1 = b0 * rank / (n - 1)
    b2 = b1 * (rank - 1) / (n - 2)
    b3 = b2 * (rank - 2) / (n - 3)
    return np.stack([2 * b1 - b0, 6 * b2 - 6 * b1 + b0, 20 * b3 - 30 * b2 + 12 * b1 - b0])


def noise_std(pieces: Sequence[npt.NDArray[np.float32]]) -> float:
    """Standard deviation of the noise from differences of successive frames, which never span two pieces.

    Parameters
    ----------
    pieces : sequence of ndarray, shape (time,)
        Stretches of one trace.

    Returns
    -------
    float
        NaN without two successive frames.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.05, 20_000).astype(np.float32)
    >>> round(noise_std([noise]), 3)
    0.05
    """
    steps = np.concatenate([np.diff(piece) for piece in pieces]) if len(pieces) else np.empty(0, np.float32)
    steps = np.abs(steps[np.isfinite(steps)])
    return MAD_TO_STD * float(np.median(steps)) / float(np.sqrt(2.0)) if len(steps) else float("nan")


def count_events(piece: npt.NDArray[np.float32], threshold: float, frames: int) -> int:
    """Count stays above a threshold of at least `frames` frames.

    Examples
    --------
    >>> count_events(np.array([0, 2, 0, 2, 2, 0, 2, 2, 2], np.float32), 1.0, 2)
    2
    """
    above = np.concatenate([[False], piece > threshold, [False]])
    onset, end = np.flatnonzero(above[1:] & ~above[:-1]), np.flatnonzero(above[:-1] & ~above[1:])
    return int((end - onset >= frames).sum())


State = tuple[tuple[npt.NDArray[np.float32], ...], float]
"""The stretches of a recording, and its frame rate."""


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> State:  # noqa: ARG001 - the shape all statistics have
    return (stretch.traces,), stretch.rate_hz


def _combine(first: State, second: State) -> State:
    return first[0] + second[0], first[1]


def _finalize(state: State, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    pieces, rate_hz = state
    n_neurons = pieces[0].shape[1]
    results = {name: np.full(n_neurons, np.nan) for name in ROBUST.columns}
    for start in range(0, n_neurons, _COLUMNS_AT_A_TIME):
        group = [np.ascontiguousarray(piece[:, start : start + _COLUMNS_AT_A_TIME].T) for piece in pieces]
        for row in range(len(group[0])):
            for name, value in _of_trace([piece[row] for piece in group], rate_hz, params).items():
                results[name][start + row] = value
    return results


def _of_trace(
    pieces: Sequence[npt.NDArray[np.float32]], rate_hz: float, params: Mapping[str, Any]
) -> Mapping[str, float]:
    values = np.concatenate(pieces)
    values = values[np.isfinite(values)]
    values.sort()
    frames = max(1, round(params["event_s"] * rate_hz))

    def count(threshold: float) -> int:
        return sum(count_events(piece, threshold, frames) for piece in pieces)

    return _of_sorted(values, noise_std(pieces), count, rate_hz, params) if len(values) else {}


def _of_sorted(
    values: npt.NDArray[np.float32],
    noise: float,
    count: Callable[[float], int],
    rate_hz: float,
    params: Mapping[str, Any],
) -> Mapping[str, float]:
    """Give every column, from sorted values, their noise, and a count of the events above a threshold."""
    l2, skewness, kurtosis = l_moments(values)
    quantiles = _quantiles(values)
    median = quantiles[QUANTILES.index(0.5)]
    events = count(median + params["event_noise"] * noise)
    return {
        "l_scale": l2,
        "l_skewness": skewness,
        "l_kurtosis": kurtosis,
        **{_name(q): value for q, value in zip(QUANTILES, quantiles, strict=True)},
        "noise_std": noise,
        "robust_snr": (quantiles[-1] - median) / noise if noise > 0 else float("nan"),
        "event_rate_hz": events * rate_hz / len(values) if np.isfinite(noise) else float("nan"),
    }


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    """Give the jackknife over pieces of time: every trace is sorted once, and what is left of it stays sorted."""
    pieces, n_neurons = cut_pieces(stretches), stretches[0].traces.shape[1]
    bounds = np.full((len(ROBUST.columns), 2, n_neurons), np.nan)
    frames = np.array([sum(len(part.traces) for part in piece) for piece in pieces], np.int64)
    # A missing frame after each stretch: no difference and no event spans two.
    length = [len(stretch.traces) for stretch in stretches]
    ends = np.cumsum(length)
    label = np.insert(np.repeat(np.arange(len(pieces), dtype=np.int16), frames), ends, -1)
    for start in range(0, n_neurons if len(pieces) >= FEWEST_PIECES else 0, _COLUMNS_AT_A_TIME):
        columns = slice(start, start + _COLUMNS_AT_A_TIME)
        traces = np.concatenate([stretch.traces[:, columns] for stretch in stretches])
        group = np.ascontiguousarray(np.insert(traces, ends, np.float32(np.nan), axis=0).T)
        found = np.stack([_without_each(trace, label, len(pieces), stretches[0].rate_hz, params) for trace in group], 2)
        for row, column in enumerate(ROBUST.columns.values()):
            _, error = jackknife_centre_and_error(found[-1, row], found[:-1, row], frames.astype(np.float64))
            bounds[row, :, columns] = student_interval(found[-1, row], error, len(pieces), resampling.level, column)
    return {name: (low, high) for name, (low, high) in zip(ROBUST.columns, bounds, strict=True)}


def _without_each(
    trace: npt.NDArray[np.float32],
    label: npt.NDArray[np.int16],
    n_pieces: int,
    rate_hz: float,
    params: Mapping[str, Any],
) -> FloatArray:
    """Every column without each piece and, last, with all: shape (piece + 1, column)."""
    steps = np.abs(np.diff(trace))
    (values, of_value), (steps, of_step) = _sorted(trace, label), _sorted(steps, label[:-1])
    frames = max(1, round(params["event_s"] * rate_hz))
    found = np.full((n_pieces + 1, len(ROBUST.columns)), np.nan)
    for left_out in range(n_pieces + 1):
        rest, middle = values[of_value != left_out], steps[of_step != left_out]
        if not len(rest) or not len(middle):
            continue
        seen = np.where(label == left_out, np.float32(np.nan), trace)
        noise = MAD_TO_STD * float(middle[[(len(middle) - 1) // 2, len(middle) // 2]].mean()) / float(np.sqrt(2.0))
        columns = _of_sorted(rest, noise, partial(count_events, seen, frames=frames), rate_hz, params)
        found[left_out] = [columns[name] for name in ROBUST.columns]
    return found


def _sorted(
    values: npt.NDArray[np.float32], label: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """Known values in order, each with the piece it comes from."""
    known = np.isfinite(values)
    values, label = values[known], label[known]
    order = np.argsort(values)
    return values[order], label[order]


def _quantiles(values: npt.NDArray[np.float32]) -> list[float]:
    """Linear interpolation between sorted values, as numpy's default."""
    at = np.array(QUANTILES) * (len(values) - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    known = values.astype(np.float64, copy=False) if len(values) < 1000 else values
    below, above = known[low].astype(np.float64), known[high].astype(np.float64)
    return [float(value) for value in below + (above - below) * (at - low)]


def _name(quantile: float) -> str:
    return f"dff_q{round(100 * quantile):02d}"


ROBUST = Statistic(
    name="robust",
    version=1,
    group="robust",
    columns={
        "l_scale": Column(
            dtype="float64", unit="dF/F", definition="Second L-moment, unbiased: half Gini's mean gap.", low=0.0
        ),
        "l_skewness": Column(
            dtype="float64", unit="1", definition="L-moment ratio l3 / l2; 0 for a Gaussian.", low=-1.0, high=1.0
        ),
        "l_kurtosis": Column(
            dtype="float64", unit="1", definition="L-moment ratio l4 / l2; 0.1226 for a Gaussian.", low=-1.5, high=1.0
        ),
        **{
            _name(q): Column(dtype="float64", unit="dF/F", definition=f"{round(100 * q)}th percentile over frames.")
            for q in QUANTILES
        },
        "noise_std": Column(
            dtype="float64",
            unit="dF/F",
            definition="Noise: 1.4826 median |difference of successive frames| / sqrt(2).",
            low=0.0,
        ),
        "robust_snr": Column(
            dtype="float64", unit="1", definition="(99th percentile - median) / noise_std: transients over noise."
        ),
        "event_rate_hz": Column(
            dtype="float64",
            unit="Hz",
            definition="Onsets a second of stays of at least 0.1 s above median + 3 noise_std.",
            low=0.0,
        ),
    },
    chunk=_chunk,
    combine=_combine,
    finalize=_finalize,
    interval=_interval,
    nan_policy="Frames that are NaN or infinite are left out; differences next to one do not count, and an event ends "
    "there. NaN without frames; L-moment ratios of a constant trace, and its signal-to-noise ratio, are NaN.",
    params={"event_noise": EVENT_NOISE, "event_s": EVENT_S},
)
