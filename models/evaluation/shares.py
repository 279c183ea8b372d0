"""Shares of right answers: Wilson's interval for single trials, and one that draws whole clusters again."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.intervals import DRAWS, coverage


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: trials taken as independent.

    Parameters
    ----------
    correct, total : int
        Successes and trials.
    confidence : float
        Coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end, within [0, 1].

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if not (0 <= correct <= total and total > 0):
        raise ModelError(f"{correct} of {total} is no proportion; expected 0 <= correct <= total and a trial at least")
    z = NormalDist().inv_cdf(0.5 + coverage(confidence) / 2)
    share = correct / total
    centre = share + z**2 / (2 * total)
    half = z * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)))
    scale = 1 + z**2 / total
    low = 0.0 if correct == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if correct == total else min(1.0, (centre + half) / scale)
    return low, high


def bootstrap_interval(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    cluster: npt.ArrayLike,
    *,
    seed: int,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Plain percentile interval of the accuracy when whole clusters (donors or recordings) are drawn again.

    Trials of one animal are alike; drawing animals instead of trials keeps that in the interval.
    With few clusters it is far too narrow: of two, it covers one time in two where it says 19 in 20. Results have
    `poyodata.models.evaluation.intervals.interval`, which makes that good, for any statistic.

    Parameters
    ----------
    prediction, target, cluster : array-like, shape (trial,)
        Answer, truth, and what each trial belongs to.
    seed : int
        Seed of the draws.
    confidence : float
        Coverage, in (0, 1).
    draws : int
        How often the clusters are drawn.

    Returns
    -------
    tuple of float
        Lower and upper end.

    Raises
    ------
    ModelError
        If there are fewer than two clusters: their spread is unknown.

    Examples
    --------
    >>> bootstrap_interval([0, 0, 1, 1], [0, 0, 1, 0], ["a", "a", "b", "b"], seed=0)
    (0.5, 1.0)
    """
    correct = correct_of(prediction, target)
    names, position = np.unique(np.asarray(cluster), return_inverse=True)
    if position.shape != correct.shape:
        raise ModelError(f"cluster has shape {position.shape}, expected {correct.shape}: one name a trial")
    if len(names) < 2:
        raise ModelError(f"{len(names)} cluster cannot be drawn again; use wilson_interval within one recording")
    hits, sizes = np.bincount(position, weights=correct), np.bincount(position)
    drawn = np.random.default_rng(seed).integers(0, len(names), size=(draws, len(names)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - coverage(confidence)) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return float(low), float(high)


def correct_of(prediction: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether each trial was answered correctly."""
    given, truth = np.asarray(prediction), np.asarray(target)
    if given.shape != truth.shape or given.ndim != 1 or not given.size:
        raise ModelError(f"{given.shape} predictions for {truth.shape} targets; expected one of each for every trial")
    correct: npt.NDArray[Any] = given == truth
    return correct
