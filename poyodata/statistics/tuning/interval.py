"""Confidence intervals of tuning: by leaving out repeats, and by drawing trials anew where values jump.

* Columns that change little by little (selectivities, reliability, shares, responses): the jackknife over repeats. The
  trials of every condition are dealt out, in the order shown, to up to `GROUPS` groups of neighbouring repeats; every
  column is computed again without each group, the preferred condition found anew; the interval is the value plus and
  minus Student's t times the jackknife's error. Bootstraps over trials, percentile or basic, preferred condition fixed
  or found anew, were tried and cover less: drawing trials with replacement adds noise of the size that already inflates
  selectivity, and a trial drawn twice correlates with itself. ``python -m tests.benchmarks.coverage tuning`` prints
  how often intervals cover.
* `peak_dff`: the same, of the condition found to be preferred. Being the highest of many, the value is likely too high.
* `lifetime_sparseness`: noise in the means inflates it, by more than its error where trials are few. The interval is
  put around the value corrected for bias by the jackknife, and may lie below the value as printed. Of a neuron that
  hardly responds even that is too high.
* `responsive_sweeps`, a share of the few sweeps of one condition: Wilson's interval. The jackknife has no width where
  all sweeps agree.
* Preferred frequencies and times of peaks jump from one value to another: percentiles of a bootstrap over trials,
  stratified by condition, seeded.
* No interval, NaN: preferred direction, orientation and phase (on a circle there is no lower bound and no upper),
  preferred image (numbers of images have no order), p values and `responsive` (decisions, not estimates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Interval, Resampling, Statistic, Stretch
from poyodata.statistics.tuning.conditions import Conditions, IntArray
from poyodata.statistics.tuning.sweeps import FloatArray, Sweeps
from poyodata.statistics.uncertainty import jackknife_centre_and_error, student_interval

GROUPS = 15
FEWEST_GROUPS = 5
"""With fewer repeats than this there is no interval."""

_CELLS_AT_A_TIME = 4_000_000  # of float64: 32 MB


def repeat_groups(condition: IntArray) -> IntArray:
    """Deal the trials of every condition out to groups of neighbouring repeats.

    Parameters
    ----------
    condition : ndarray, shape (trial,), int64
        What was shown, in order of time.

    Returns
    -------
    ndarray, shape (trial,), int64
        As many groups as a typical condition has repeats, at most `GROUPS`.

    Examples
    --------
    >>> repeat_groups(np.array([0, 1, 1, 0, 0, 1])).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    group = np.zeros(len(condition), np.int64)
    _, inverse, count = np.unique(condition, return_inverse=True, return_counts=True)
    n_groups = min(GROUPS, int(np.median(count))) if len(count) else 0
    for number, n in enumerate(count.tolist()):
        rows = np.flatnonzero(inverse == number)
        group[rows] = np.arange(n) * n_groups // n
    return group


def sweeps_interval(
    statistic: Statistic,
    stretches: Sequence[Stretch],
    params: Mapping[str, Any],
    resampling: Resampling,
    *,
    suffix: str,
    ordered: Mapping[int, str],
) -> Interval:
    """Confidence intervals of tuning to gratings or scenes.

    Parameters
    ----------
    statistic : Statistic
        Whose states are `Sweeps`.
    stretches : sequence of Stretch
    params : mapping
    resampling : Resampling
    suffix : str
        Of the statistic's columns.
    ordered : mapping of int to str
        Features whose preferred value has an interval, and the columns that give it.

    Returns
    -------
    mapping of column name to (low, high), each of shape (neuron,), float64
        NaN with fewer than `FEWEST_GROUPS` repeats, for columns that have no interval, and where a value does not exist
        or not without one of the groups.
    """
    sweeps: Sweeps = reduce(statistic.combine, (statistic.chunk(stretch, params) for stretch in stretches))
    conditions = Conditions.of(sweeps)
    value = statistic.finalize(sweeps, params)
    n_neurons = len(conditions.best)
    found = {
        name: (np.full(n_neurons, np.nan), np.full(n_neurons, np.nan))
        for name, column in statistic.columns.items()
        if np.dtype(column.dtype).kind == "f"
    }
    group = repeat_groups(conditions.condition)
    n_groups = int(group.max(initial=-1)) + 1
    if n_groups < FEWEST_GROUPS:
        return found
    size = np.bincount(group).astype(np.float64)
    none = {"tuning_p", "running_modulation_p", "responsive", "responsive_sweeps", "time_to_peak_s", "peak_dff"}
    smooth = [name for name in found if not name.startswith("preferred_") and name.removesuffix(suffix) not in none]
    without: dict[str, list[FloatArray]] = {name: [] for name in smooth}
    peaks = []
    for left_out in range(n_groups):
        rest = sweeps.take(np.flatnonzero(group != left_out))
        results = statistic.finalize(rest, params)
        for name in smooth:
            without[name].append(np.asarray(results[name], np.float64))
        peaks.append(_response_to_best(conditions, rest, group != left_out))
    without["peak_dff" + suffix] = peaks
    for name, values in without.items():
        centre = np.asarray(value[name], np.float64)
        unbiased, error = jackknife_centre_and_error(centre, np.stack(values), size)
        if name == "lifetime_sparseness" + suffix:
            centre = unbiased
        found[name] = student_interval(centre, error, n_groups, resampling.level, statistic.columns[name])
    share = np.asarray(value["responsive_sweeps" + suffix], np.float64)
    found["responsive_sweeps" + suffix] = share_interval(share, _counted(conditions), resampling.level)
    found |= _preferred(conditions, ordered, resampling)
    if "time_to_peak_s" + suffix in found:
        found["time_to_peak_s" + suffix] = _time_to_peak(conditions, resampling)
    return found


def _response_to_best(conditions: Conditions, rest: Sweeps, kept: npt.NDArray[np.bool_]) -> FloatArray:
    """Mean response of the sweeps left to the condition preferred on all, shape (neuron,)."""
    found = np.full(len(conditions.best), np.nan)
    condition = conditions.condition[kept]
    for best in np.unique(conditions.best[conditions.known]).tolist():
        neurons = np.flatnonzero(conditions.known & (conditions.best == best))
        values = rest.response[condition == best][:, neurons]
        seen = np.isfinite(values)
        count = seen.sum(axis=0)
        found[neurons] = np.where(seen, values, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    return found


def _counted(conditions: Conditions) -> FloatArray:
    """Count the best condition's sweeps without a missing frame, shape (neuron,)."""
    count = np.full(len(conditions.best), np.nan)
    for rows, neurons in conditions.best_sweeps():
        count[neurons] = np.isfinite(conditions.sweeps.f[rows][:, neurons]).sum(axis=0)
    return count


def share_interval(share: FloatArray, count: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Wilson's interval of a share of `count` trials: it has a width where all agree, and stays within 0 and 1.

    Examples
    --------
    >>> low, high = share_interval(np.array([1.0]), np.array([15.0]), 0.95)
    >>> float(low[0].round(2)), float(high[0].round(2))
    (0.8, 1.0)
    """
    from scipy.special import ndtri

    z2 = ndtri((1 + level) / 2) ** 2
    count = np.where(count > 0, count, np.nan)
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return np.clip(middle - reach, 0.0, 1.0), np.clip(middle + reach, 0.0, 1.0)


def drawn_counts(n: int, resampling: Resampling, stream: int) -> FloatArray:
    """How often each of `n` trials is drawn, shape (draw, trial): one stream of random numbers a condition."""
    if n == 0:
        return np.zeros((resampling.draws, 0))
    rng = np.random.default_rng([resampling.seed, stream])
    return rng.multinomial(n, np.full(n, 1 / n), resampling.draws).astype(np.float64)


def percentiles(drawn: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Percentile interval over the first axis, of values that occurred; NaN where a draw has none."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    return low, high


def _preferred(conditions: Conditions, ordered: Mapping[int, str], resampling: Resampling) -> Interval:
    """Bounds of the preferred values of some features: trials are drawn within each condition, the best found anew."""
    response, n_conditions = conditions.sweeps.response, len(conditions.mean)
    bounds = {name: np.full((2, len(conditions.best)), np.nan) for name in ordered.values()}
    counts = []
    for condition in range(n_conditions):
        counts.append(drawn_counts(int((conditions.condition == condition).sum()), resampling, condition))
    step = max(1, _CELLS_AT_A_TIME // (n_conditions * resampling.draws))
    for start in range(0, len(conditions.best) if ordered else 0, step):
        columns = slice(start, start + step)
        n = min(step, len(conditions.best) - start)
        mean = np.empty((n_conditions, resampling.draws, n))
        for condition, drawn in enumerate(counts):
            values = response[conditions.condition == condition, columns]
            seen = np.isfinite(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean[condition] = (drawn @ np.where(seen, values, 0.0)) / (drawn @ seen)
        best = np.unravel_index(np.where(np.isfinite(mean), mean, -np.inf).argmax(axis=0), conditions.shape)
        for feature, name in ordered.items():
            bounds[name][:, columns] = percentiles(conditions.levels[feature][best[feature]], resampling.level)
    for both in bounds.values():
        both[:, ~conditions.known] = np.nan
    return {name: (both[0], both[1]) for name, both in bounds.items()}


def _time_to_peak(conditions: Conditions, resampling: Resampling) -> tuple[FloatArray, FloatArray]:
    """Bounds of the time of the largest mean response to the condition preferred on all trials."""
    sweeps = conditions.sweeps
    length = sweeps.window.before + sweeps.window.after
    found = np.full((2, len(conditions.best)), np.nan)
    for rows, neurons in conditions.best_sweeps():
        whole = rows[[len(sweeps.frames[row]) == length for row in rows.tolist()]]
        if len(whole) < FEWEST_GROUPS:
            continue
        counts = drawn_counts(len(whole), resampling, int(conditions.condition[rows[0]]))
        courses = np.stack([sweeps.frames[row][:, neurons] for row in whole.tolist()]).astype(np.float64)
        seen = np.isfinite(courses).all(axis=1) & np.isfinite(sweeps.response[whole][:, neurons])
        scaled = (1.0 + courses) / np.where(seen, sweeps.baseline[whole][:, neurons], 1.0)[:, None]
        place = drawn_peaks(np.where(seen[:, None], scaled, 0.0), counts)
        low, high = percentiles((place - sweeps.window.before) / sweeps.rate_hz, resampling.level)
        found[:, neurons] = np.where(seen.any(axis=0), [low, high], np.nan)
    return found[0], found[1]


def drawn_peaks(courses: FloatArray, counts: FloatArray) -> FloatArray:
    """Frame of the largest sum of time courses, for every draw.

    Parameters
    ----------
    courses : ndarray, shape (trial, frame, neuron), float64
    counts : ndarray, shape (draw, trial), float64

    Returns
    -------
    ndarray, shape (draw, neuron), float64

    Examples
    --------
    >>> courses = np.eye(3)[:, :, None]  # each of three trials peaks at a frame of its own
    >>> drawn_peaks(courses, np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])).tolist()
    [[0.0], [2.0]]
    """
    n_trials, n_frames, n_neurons = courses.shape
    found = np.empty((len(counts), n_neurons))
    step = max(1, _CELLS_AT_A_TIME // (len(counts) * n_frames))
    for start in range(0, n_neurons, step):
        part = np.ascontiguousarray(courses[:, :, start : start + step])
        total = (counts @ part.reshape(n_trials, -1)).reshape(len(counts), n_frames, -1)
        found[:, start : start + step] = total.argmax(axis=1)
    return found
