"""Measures of tuning that gratings and scenes share, from responses to sweeps: AllenSDK's, value by value.

Nothing here is random: p values are those of one-way analyses of variance and of Welch's t test.
"""

from __future__ import annotations

import numpy as np

from poyodata.statistics.tuning.conditions import Conditions, IntArray, moments_by_condition
from poyodata.statistics.tuning.sweeps import FloatArray

RUNNING_CM_S = 1.0
"""Mean speed from which on the animal runs during a sweep."""

ALPHA = 0.05
"""Level of the analyses of variance, over conditions and of single sweeps."""


def condition_p(conditions: Conditions) -> FloatArray:
    """One-way analysis of variance of the responses over all conditions and the blanks, shape (neuron,).

    Conditions without a response are left out; NaN where fewer than two are left, or no more responses than conditions.
    """
    from scipy.special import fdtrc

    n_conditions = len(conditions.mean) if conditions.known.any() else 0
    count, mean, squares = moments_by_condition(conditions.sweeps.response, conditions.condition, n_conditions)
    total, groups = count.sum(axis=0), (count > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, mean, 0.0)
        grand = (count * mean).sum(axis=0) / total
        between = (count * (mean - grand) ** 2).sum(axis=0) / (groups - 1)
        f = between / (squares.sum(axis=0) / (total - groups))
        p = fdtrc(groups - 1, total - groups, f)
    return np.where((groups > 1) & (total > groups), p, np.nan)


def global_selectivity(tuning: FloatArray, angle_rad: FloatArray) -> FloatArray:
    """Length of the mean vector over angles, weighted by responses: one less the circular variance.

    Parameters
    ----------
    tuning : ndarray, shape (angle, neuron), float64
        Negative responses count as none.
    angle_rad : ndarray, shape (angle,), float64
        Directions for direction selectivity, twice the orientation for orientation selectivity.

    Returns
    -------
    ndarray, shape (neuron,), float64, from 0 to 1
        NaN where an angle was not seen, or no response is positive.

    Examples
    --------
    >>> angle = np.arange(8) * np.pi / 4
    >>> cosine = (1 + np.cos(angle))[:, None]  # its direction selectivity is 1/2, and it has no axis
    >>> [round(abs(float(global_selectivity(cosine, k * angle)[0])), 6) for k in (1, 2)]
    [0.5, 0.0]
    """
    weight = np.clip(tuning, 0.0, None)
    total = weight.sum(axis=0)
    length = np.abs((weight * np.exp(1j * angle_rad)[:, None]).sum(axis=0))
    return np.asarray(length / np.where(total > 0, total, np.nan))


def contrast(preferred: FloatArray, other: FloatArray) -> FloatArray:
    """Give (preferred - other) / (preferred + other), of whatever sign; NaN where the sum is zero."""
    total = preferred + other
    return np.asarray((preferred - other) / np.where(total != 0, total, np.nan))


def at_offset(
    tuning: FloatArray, angle_deg: FloatArray, best: IntArray, offset_deg: float, turn_deg: float
) -> FloatArray:
    """Response at an angle away from each neuron's best, shape (neuron,); NaN where that angle was not shown."""
    away = np.abs((angle_deg[:, None] - angle_deg[None] - offset_deg + turn_deg / 2) % turn_deg - turn_deg / 2)
    place = np.where(away.min(axis=0) < 1e-6, away.argmin(axis=0), -1)[best]
    return np.where(place >= 0, tuning[place, np.arange(len(best))], np.nan)


def lifetime_sparseness(mean: FloatArray) -> FloatArray:
    """Vinje and Gallant's sparseness over conditions: 0 for equal responses, 1 for a response to one condition alone.

    Parameters
    ----------
    mean : ndarray, shape (condition, neuron), float64
        Negative responses count as none; conditions that were not seen (NaN) are left out.

    Returns
    -------
    ndarray, shape (neuron,), float64, from 0 to 1
        NaN with fewer than two conditions, or where no response is positive.

    Examples
    --------
    >>> lifetime_sparseness(np.array([[1.0, 3.0], [1.0, 0.0], [1.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    seen = np.isfinite(mean)
    rate = np.where(seen, np.clip(mean, 0.0, None), 0.0)
    n = seen.sum(axis=0).astype(np.float64)
    squares = (rate**2).sum(axis=0)
    usable = (n > 1) & (squares > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sparseness = (1.0 - rate.sum(axis=0) ** 2 / (n * squares)) / (1.0 - 1.0 / n)
    return np.where(usable, np.clip(sparseness, 0.0, 1.0), np.nan)


def feature_selectivity(conditions: Conditions, feature: int, fixed: tuple[int, ...]) -> FloatArray:
    """Range of the responses along a feature, over that range plus twice the spread of single responses.

    Parameters
    ----------
    conditions : Conditions
    feature : int
        Of which the range is taken, other features at their best.
    fixed : tuple of int
        Features that are held at their best for the spread, too: the root of the sum of squared deviations of single
        responses, from their common mean, over their number less that of values of `feature`.

    Returns
    -------
    ndarray, shape (neuron,), float64, from 0 to 1
        NaN where a value of the feature was not seen, or there are too few responses.
    """
    tuning = conditions.tuning(feature)
    span = tuning.max(axis=0) - tuning.min(axis=0)
    place = np.unravel_index(np.maximum(conditions.condition, 0), conditions.shape)
    best = conditions.preferred()
    found = np.full(len(span), np.nan)
    keys = np.stack([best[which] for which in fixed])
    for key in np.unique(keys[:, conditions.known], axis=1).T:
        neurons = np.flatnonzero((keys == key[:, None]).all(axis=0) & conditions.known)
        same = (conditions.condition >= 0) & np.all([place[w] == k for w, k in zip(fixed, key, strict=True)], axis=0)
        values = conditions.sweeps.response[same][:, neurons]
        count, _, squares = moments_by_condition(values, np.zeros(len(values), np.int64), 1)
        freedom = count[0] - conditions.shape[feature]
        spread = np.sqrt(squares[0] / np.where(freedom > 0, freedom, np.nan))
        total = span[neurons] + 2 * spread
        found[neurons] = span[neurons] / np.where(total > 0, total, np.nan)
    return found


def reliability(conditions: Conditions) -> FloatArray:
    """Mean correlation of the time courses of all pairs of sweeps of the best condition, shape (neuron,).

    Sweeps with a missing frame, or without any variance, are left out; NaN with fewer than two.
    """
    sweeps = conditions.sweeps
    first, last = sweeps.window.before, sweeps.window.before + sweeps.window.during
    found = np.full(len(conditions.best), np.nan)
    for rows, neurons in conditions.best_sweeps():
        courses = np.stack([sweeps.frames[row][first:last, neurons] for row in rows.tolist()]).astype(np.float64)
        found[neurons] = mean_correlation(courses)
    return found


def mean_correlation(courses: FloatArray) -> FloatArray:
    """Mean of the correlations of all pairs of repeats.

    Parameters
    ----------
    courses : ndarray, shape (repeat, frame, neuron), float64
        A repeat with a missing frame, or that is constant, is left out for that neuron.

    Returns
    -------
    ndarray, shape (neuron,), float64, from -1 to 1
        NaN with fewer than two repeats.

    Examples
    --------
    >>> course = np.array([0.0, 1.0, 3.0, 1.0])
    >>> mean_correlation(np.stack([course, 2 * course, course + 5])[:, :, None]).round(12).tolist()
    [1.0]
    """
    centred = courses - courses.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        varies = length > 1e-12 * np.abs(courses).max(axis=1, keepdims=True, initial=0.0)
    unit = np.where(varies, centred, 0.0) / np.where(varies, length, 1.0)
    n = varies[:, 0].sum(axis=0).astype(np.float64)
    # The squared length of a sum of unit vectors is their number plus twice all pairwise correlations.
    pairs = (unit.sum(axis=0) ** 2).sum(axis=0) - n
    return np.where(n > 1, pairs / np.where(n > 1, n * (n - 1), np.nan), np.nan)


def responsive_share(conditions: Conditions, tests: int) -> FloatArray:
    """Share of the best condition's sweeps whose frames differ from the baseline's, shape (neuron,).

    One-way analysis of variance with p below `ALPHA` / `tests`; sweeps with a missing frame are left out.
    """
    from scipy.special import fdtri

    window = conditions.sweeps.window
    threshold = fdtri(1, window.before + window.during - 2, 1 - ALPHA / max(tests, 1))
    found = np.full(len(conditions.best), np.nan)
    for rows, neurons in conditions.best_sweeps():
        f = conditions.sweeps.f[rows][:, neurons]
        seen = np.isfinite(f)
        count = seen.sum(axis=0)
        found[neurons] = (np.where(seen, f, 0.0) > threshold).sum(axis=0) / np.where(count > 0, count, np.nan)
    return found


def running_modulation(conditions: Conditions, fewest: int) -> tuple[FloatArray, FloatArray]:
    """Compare responses to the best condition while the animal runs with those while it does not.

    Parameters
    ----------
    conditions : Conditions
    fewest : int
        Sweeps of either kind below which there is no answer.

    Returns
    -------
    modulation : ndarray, shape (neuron,), float64
        Difference of the two means (running less resting) over the size of the larger one.
    p : ndarray, shape (neuron,), float64
        Of Welch's t test, two-sided.
    """
    from scipy.special import stdtr

    modulation, p = np.full((2, len(conditions.best)), np.nan)
    speed = conditions.sweeps.running_cm_s
    for rows, neurons in conditions.best_sweeps():
        runs = np.where(speed[rows] >= RUNNING_CM_S, 0, 1)
        measured = np.isfinite(speed[rows])
        values = conditions.sweeps.response[rows[measured]][:, neurons]
        count, mean, squares = (part[:2] for part in moments_by_condition(values, runs[measured], 2))
        enough = (count >= fewest).all(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            high = np.abs(mean.max(axis=0))
            error = squares / (count - 1) / count
            t = (mean[0] - mean[1]) / np.sqrt(error.sum(axis=0))
            freedom = error.sum(axis=0) ** 2 / (error**2 / (count - 1)).sum(axis=0)
            modulation[neurons] = np.where(enough & (high > 0), (mean[0] - mean[1]) / high, np.nan)
            p[neurons] = np.where(enough, 2 * stdtr(freedom, -np.abs(t)), np.nan)
    return modulation, p


def time_to_peak_s(conditions: Conditions) -> FloatArray:
    """Time from the start of a sweep to the largest mean response to the best condition, shape (neuron,), seconds.

    Sought from the beginning of the baseline on, so that it may be negative; sweeps without all frames are left out.
    """
    sweeps = conditions.sweeps
    length = sweeps.window.before + sweeps.window.after
    found = np.full(len(conditions.best), np.nan)
    for rows, neurons in conditions.best_sweeps():
        whole = rows[[len(sweeps.frames[row]) == length for row in rows.tolist()]]
        if len(whole) == 0:
            continue
        courses = np.stack([sweeps.frames[row][:, neurons] for row in whole.tolist()]).astype(np.float64)
        seen = np.isfinite(courses).all(axis=1) & np.isfinite(sweeps.response[whole][:, neurons])
        scaled = (1.0 + courses) / np.where(seen, sweeps.baseline[whole][:, neurons], 1.0)[:, None]
        total = np.where(seen[:, None], scaled, 0.0).sum(axis=0)
        peak = (total.argmax(axis=0) - sweeps.window.before) / sweeps.rate_hz
        found[neurons] = np.where(seen.any(axis=0), peak, np.nan)
    return found
