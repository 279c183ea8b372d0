"""Confidence intervals of mean, standard deviation, skewness and kurtosis: a studentised bootstrap of blocks of time.

* Blocks. Sums of powers are taken once, over bins of a second, about each neuron's mean (so that an offset costs no
  digits). Bins that follow each other make blocks; a block begins anew after a gap, except that what a short stretch
  leaves over, less than half a block, is counted with the next one. Which blocks are drawn, and how often, is then a
  matrix of counts, and all draws together are one product with the sums.
* Length. `BLOCK_TIMES` integrated autocorrelation times (1 + 2 sum of the autocorrelation of the bins up to its first
  negative value) of the neuron at the 90th percentile of the recording: what follows a block depends on it over a few
  percent of its length alone. Never so long that fewer than `FEWEST_BLOCKS` remain; a trace that is correlated over
  more than about 1/700 of the time looked at gets intervals that are too short.
* Studentised. Every draw is measured in units of its own standard error (from the influence of each block), on a scale
  where the spread depends least on the value: the logarithm of the standard deviation and of Pearson's kurtosis, asinh
  of the skewness, the mean itself. Percentile and basic intervals, BCa, and Student's t, were tried and cover less.
* Bounded. Where one burst makes most of a moment, a draw without it thinks itself very precise, and its distance in
  its own standard errors grows without end. So a bound is at most `MOST_STUDENT` times as many standard errors away as
  Student's t would put it. The standard error of the data is that of leaving out one block at a time, which sees what
  the largest burst does, but at most `MOST_ERROR` times that of the influences: leaving out runs away as well. Both
  together cover the skewness more often than neither, and the widest intervals are several times shorter. What remains
  is cut to what moments of so many frames can be.
* What to expect. With light tails the level is kept. Fourth powers of rare bursts are another matter: an hour in which
  the largest burst did not happen does not know of it, and no resampling of that hour can. ``python -m
  tests.benchmarks.coverage moments`` prints how often intervals cover, and how wide they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.moments import MomentState
from poyodata.statistics.statistic import Interval, Resampling, Stretch

FloatArray = npt.NDArray[np.float64]

BIN_S = 1.0
BLOCK_TIMES = 20.0
FEWEST_BLOCKS = 36
LONGEST_LAG_BINS = 120
FEWEST_USABLE = 8
"""Below this many blocks there is no interval."""

MOST_STUDENT = 2.0
"""No bound is more than this many times Student's t standard errors from the value."""

MOST_ERROR = 1.5
"""The standard error from leaving out blocks, over that from influences, is taken to be no more than this."""

_COLUMNS = ("mean", "std", "skewness", "kurtosis_pearson")


def bin_moments(stretches: Sequence[Stretch], bin_s: float = BIN_S) -> tuple[list[MomentState], list[int]]:
    """Moments of every bin of time, and the number of the stretch that each lies in; bins never span a gap."""
    states, number = [], []
    for index, stretch in enumerate(stretches):
        length = len(stretch.traces)
        count = max(1, round(length / (bin_s * stretch.rate_hz))) if length else 0
        edges = np.round(np.linspace(0, length, count + 1)).astype(np.int64).tolist()
        for start, stop in pairwise(edges):
            states.append(MomentState.of(stretch.traces[start:stop]))
            number.append(index)
    return states, number


def correlation_bins(values: FloatArray, stretch: npt.NDArray[np.int64]) -> FloatArray:
    """Integrated autocorrelation time: 1 + 2 sum of the autocorrelation up to its first negative value.

    Parameters
    ----------
    values : ndarray, shape (bin, neuron), float64
        Mean of each bin; NaN where nothing is known.
    stretch : ndarray, shape (bin,), int64
        Which stretch each bin lies in: only bins of one are compared.

    Returns
    -------
    ndarray, shape (neuron,), float64, bins
        At least 1; NaN for a neuron that never varies.

    Examples
    --------
    >>> white = np.random.default_rng(0).standard_normal((4000, 1))
    >>> slow = np.repeat(white[:400], 10, axis=0)
    >>> place = np.zeros(4000, np.int64)
    >>> bool(correlation_bins(white, place)[0] < 1.2), bool(8 < correlation_bins(slow, place)[0] < 13)
    (True, True)
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    centre = np.where(known, values, 0.0).sum(axis=0) / np.where(count > 0, count, 1)
    centred = np.where(known, values - centre, 0.0)
    variance = (centred**2).sum(axis=0) / np.where(count > 0, count, 1)
    total, going = np.ones(values.shape[1]), np.ones(values.shape[1], bool)
    for lag in range(1, min(LONGEST_LAG_BINS, len(values) - 1) + 1):
        same = stretch[lag:] == stretch[:-lag]
        pairs = (known[lag:] & known[:-lag])[same].sum(axis=0)
        products = (centred[lag:] * centred[:-lag])[same].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = products / pairs / variance
        going &= correlation > 0
        if not going.any():
            break
        total += np.where(going, 2 * correlation, 0.0)
    return np.where(variance > 0, total, np.nan)


def block_numbers(
    frames: npt.NDArray[np.int64], stretch: npt.NDArray[np.int64], block_frames: float
) -> npt.NDArray[np.int64]:
    """Number the block of every bin.

    Parameters
    ----------
    frames, stretch : ndarray, shape (bin,), int64
        Length of each bin, and which stretch it lies in.
    block_frames : float

    Returns
    -------
    ndarray, shape (bin,), int64
        Blocks end when they are full, and at the end of a stretch when they are at least half full.

    Examples
    --------
    >>> block_numbers(np.full(9, 30), np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]), 60).tolist()
    [0, 0, 1, 1, 2, 3, 3, 4, 4]
    """
    numbers, block, held = np.empty(len(frames), np.int64), 0, 0
    for index, length in enumerate(frames.tolist()):
        numbers[index] = block
        held += length
        ends = index + 1 == len(frames) or stretch[index + 1] != stretch[index]
        if held >= block_frames - length / 2 or (ends and held >= block_frames / 2):
            block, held = block + 1, 0
    return numbers


def moments_interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:  # noqa: ARG001
    """Confidence intervals of the columns of the statistic ``moments``.

    Parameters
    ----------
    stretches : sequence of Stretch
        What the statistic sees of a recording, in order of time.
    params : mapping
        Not looked at.
    resampling : Resampling

    Returns
    -------
    mapping of column name to (low, high), each of shape (neuron,), float64
        NaN with fewer than `FEWEST_USABLE` blocks and where the value is not known. Bounds hold the value, and moments
        of so many frames can lie there: see `attainable`. `missing_fraction` has a percentile interval: from 0 to 0
        where nothing was missing.

    Examples
    --------
    >>> import pandas as pd
    >>> noise = np.random.default_rng(0).normal(500.0, 0.1, (9000, 1)).astype(np.float32)
    >>> stretch = Stretch(traces=noise, trials=pd.DataFrame(), rate_hz=30.0)
    >>> low, high = moments_interval([stretch], {}, Resampling())["std"]
    >>> bool(0.09 < low[0] < 0.1 < high[0] < 0.11)
    True
    """
    states, number = bin_moments(stretches)
    n_neurons = stretches[0].traces.shape[1]
    missing = np.full((5, 2, n_neurons), np.nan)
    if states:
        stretch = np.array(number, np.int64)
        n = np.stack([state.n for state in states])
        absent = np.stack([state.n_missing for state in states])
        centre, scale = _centre_and_scale(states, n)
        sums = np.stack([_power_sums(state, centre, scale) for state in states])
        with np.errstate(invalid="ignore", divide="ignore"):
            times = correlation_bins(sums[:, 1] / np.where(n > 0, n, np.nan), stretch)
        frames = np.round((n + absent)[:, 0]).astype(np.int64)
        block = block_numbers(frames, stretch, _block_frames(times, frames))
        if block[-1] + 1 >= FEWEST_USABLE:
            _fill(missing, sums, np.stack([absent, n + absent], axis=1), block, resampling)
            missing[0] = missing[0] * scale + centre
            missing[1] = missing[1] * scale
    found = {name: (low, high) for name, (low, high) in zip((*_COLUMNS, "missing_fraction"), missing, strict=True)}
    low, high = found["kurtosis_pearson"]
    return {**found, "kurtosis": (low - 3.0, high - 3.0)}


def _centre_and_scale(states: Sequence[MomentState], n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation over all bins; 0 and 1 where there are none to use."""
    whole = states[0]
    for state in states[1:]:
        whole = whole.merge(state)
    final = whole.finalize()
    std = np.where(np.isfinite(final["skewness"]), final["std"], 1.0)
    return np.where(n.sum(axis=0) > 0, whole.mean, 0.0), std


def _power_sums(state: MomentState, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """Sums of powers 0 to 4 of (trace - centre) / scale, shape (5, neuron)."""
    n, step = state.n, (state.mean - centre) / scale
    m2, m3, m4 = state.m2 / scale**2, state.m3 / scale**3, state.m4 / scale**4
    step = np.where(n > 0, step, 0.0)
    return np.stack(
        [
            n,
            n * step,
            m2 + n * step**2,
            m3 + 3 * step * m2 + n * step**3,
            m4 + 4 * step * m3 + 6 * step**2 * m2 + n * step**4,
        ]
    )


def _block_frames(times: FloatArray, frames: npt.NDArray[np.int64]) -> float:
    usable = times[np.isfinite(times)]
    bins = float(np.quantile(usable, 0.9)) if len(usable) else 1.0
    return min(BLOCK_TIMES * bins * float(frames.mean()), float(frames.sum()) / FEWEST_BLOCKS)


def _fill(
    found: FloatArray, sums: FloatArray, absent: FloatArray, block: npt.NDArray[np.int64], resampling: Resampling
) -> None:
    """Write the bounds of every column, shape (column, 2, neuron), from sums of bins."""
    from scipy.special import stdtrit

    starts = np.flatnonzero(np.r_[True, block[1:] != block[:-1]])
    sums, absent = np.add.reduceat(sums, starts, axis=0), np.add.reduceat(absent, starts, axis=0)
    n_blocks = len(starts)
    tails = np.array([(1 - resampling.level) / 2, (1 + resampling.level) / 2])
    farthest = MOST_STUDENT * float(stdtrit(n_blocks - 1, tails[1]))
    rng = np.random.default_rng(resampling.seed)
    counts = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), resampling.draws).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        drawn_absent = np.einsum("db,bkn->kdn", counts, absent, optimize=True)
        found[4] = np.quantile(drawn_absent[0] / drawn_absent[1], tails, axis=0)
        found[4][:, absent[:, 1].sum(axis=0) == 0] = np.nan
        for neuron in range(sums.shape[2]):
            of_blocks = np.ascontiguousarray(sums[:, :, neuron])
            found[:4, :, neuron] = _studentised(of_blocks, counts, tails, farthest)


def _studentised(sums: FloatArray, counts: FloatArray, tails: FloatArray, farthest: float) -> FloatArray:
    """Bounds of mean, standard deviation, skewness and Pearson's kurtosis of one neuron, shape (4, 2)."""
    correction = len(sums) / (len(sums) - 1)
    total = sums.sum(axis=0)
    value, influence = _values_and_influences(total[None])
    error = np.sqrt(((influence[:, 0] @ sums.T) ** 2).sum(axis=1) * correction)
    without, _ = _values_and_influences(total - sums)
    left_out = np.sqrt((len(sums) - 1) * without.var(axis=1))
    error = np.fmin(left_out, MOST_ERROR * error)
    drawn, influences = _values_and_influences(counts @ sums)
    errors = np.sqrt((counts * (influences @ sums.T) ** 2).sum(axis=2) * correction)
    bounds = np.full((4, 2), np.nan)
    for row, t in enumerate((drawn - value) / errors):
        usable = t[np.isfinite(t)]
        if len(usable) and error[row] > 0:
            low, high = np.clip(np.quantile(usable, tails), [-farthest, 0.0], [0.0, farthest])
            bounds[row] = value[row, 0] - np.array([high, low]) * error[row]
    return np.stack([bounds[0], np.exp(bounds[1]), *attainable(np.sinh(bounds[2]), np.exp(bounds[3]), total[0])])


def attainable(skewness: FloatArray, pearson: FloatArray, n: float) -> tuple[FloatArray, FloatArray]:
    """Cut bounds to what moments of `n` frames can be.

    The most extreme trace has one frame that differs from all others: skewness (n - 2) / sqrt(n - 1). Pearson's
    kurtosis is never less than the squared skewness plus 1, so each interval says something of the other.

    Parameters
    ----------
    skewness, pearson : ndarray, shape (2,), float64
        Lower and upper bound; those of one are not used for the other where they are NaN.
    n : float
        Frames, at least 2.

    Returns
    -------
    skewness, pearson : ndarray, shape (2,), float64

    Examples
    --------
    >>> skewness, pearson = attainable(np.array([3.0, 1e6]), np.array([2.0, 101.0]), 90_000)
    >>> skewness.tolist(), pearson.tolist()
    ([3.0, 10.0], [10.0, 101.0])
    """
    extreme = (n - 2) / np.sqrt(n - 1)
    pearson = np.clip(pearson, 1.0, 1 + extreme**2)
    most = np.fmin(extreme, np.sqrt(pearson[1] - 1))
    skewness = np.clip(skewness, -most, most)
    nearest_to_0 = np.nan_to_num(np.clip(0.0, *skewness))
    least = np.maximum(pearson[0], 1 + nearest_to_0**2)
    return skewness, np.array([np.minimum(least, pearson[1]), pearson[1]])


def _values_and_influences(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Transformed moments and how they depend on the sums of a block.

    Parameters
    ----------
    sums : ndarray, shape (draw, 5), float64
        Sums of powers 0 to 4.

    Returns
    -------
    values : ndarray, shape (4, draw), float64
        Mean, logarithm of the standard deviation, asinh of the skewness, logarithm of Pearson's kurtosis.
    influences : ndarray, shape (4, draw, 5), float64
        Times a block's own sums of powers: what the block adds to the value, to first order.
    """
    n, d = sums[:, 0], sums[:, 1] / sums[:, 0]
    r2, r3, r4 = sums[:, 2] / n, sums[:, 3] / n, sums[:, 4] / n
    variance = r2 - d**2
    variance = np.where(variance > 0, variance, np.nan)
    third = r3 - 3 * d * r2 + 2 * d**3
    fourth = r4 - 4 * d * r3 + 6 * d**2 * r2 - 3 * d**4
    skewness, pearson = third / variance**1.5, fourth / variance**2
    one, zero = np.ones_like(d), np.zeros_like(d)
    # Sums about the mean, as combinations of sums of powers; then what exceeds a block's share.
    mean = np.stack([-d, one, zero, zero, zero], axis=1)
    second = np.stack([d**2 - variance, -2 * d, one, zero, zero], axis=1) / variance[:, None]
    cubes = np.stack([-(d**3) - third, 3 * d**2, -3 * d, one, zero], axis=1) - 3 * variance[:, None] * mean
    quartic = np.stack([d**4 - fourth, -4 * d**3, 6 * d**2, -4 * d, one], axis=1) - 4 * third[:, None] * mean
    of_skewness = cubes / variance[:, None] ** 1.5 - 1.5 * skewness[:, None] * second
    influences = np.stack(
        [
            mean,
            second / 2,
            of_skewness / np.sqrt(1 + skewness**2)[:, None],
            quartic / fourth[:, None] - 2 * second,
        ]
    )
    values = np.stack([d, np.log(variance) / 2, np.arcsinh(skewness), np.log(pearson)])
    return values, influences / n[:, None]
