"""Shares of right answers, and their plain interval from drawing whole clusters again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.intervals import DRAWS
from poyodata.models.evaluation.wilson import coverage


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
