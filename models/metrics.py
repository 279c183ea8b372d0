"""How well answers fit: accuracy, what chance would reach, and how sure we are; pure functions of plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError


def accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Share of the trials answered correctly.

    Examples
    --------
    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    return float(_correct(prediction, target).mean())


def balanced_accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Mean over the classes present in `target` of the share of their trials answered correctly.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
    0.5
    """
    correct = _correct(prediction, target)
    _, position = np.unique(np.asarray(target), return_inverse=True)
    return float(np.mean(np.bincount(position, weights=correct) / np.bincount(position)))


def chance_level(target: npt.ArrayLike, n_classes: int | None = None) -> float:
    """Accuracy of the best constant answer: the largest class's share, and never below one in `n_classes`.

    Examples
    --------
    >>> chance_level([0, 1, 2, 3])
    0.25
    >>> chance_level([0, 0, 0, 1], n_classes=8)
    0.75
    """
    classes, counts = np.unique(np.asarray(target), return_counts=True)
    if not len(classes):
        raise ModelError("there is no trial to compute chance from; choose a split that leaves test trials")
    return float(max(counts.max() / counts.sum(), 1 / (n_classes or len(classes))))


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
    z = NormalDist().inv_cdf(0.5 + _coverage(confidence) / 2)
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
    draws: int = 2000,
) -> tuple[float, float]:
    """Percentile interval of the accuracy when whole clusters (donors or recordings) are drawn again.

    Trials of one animal are alike; drawing animals instead of trials keeps that in the interval.

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
    correct = _correct(prediction, target)
    names, position = np.unique(np.asarray(cluster), return_inverse=True)
    if position.shape != correct.shape:
        raise ModelError(f"cluster has shape {position.shape}, expected {correct.shape}: one name a trial")
    if len(names) < 2:
        raise ModelError(f"{len(names)} cluster cannot be drawn again; use wilson_interval within one recording")
    hits, sizes = np.bincount(position, weights=correct), np.bincount(position)
    drawn = np.random.default_rng(seed).integers(0, len(names), size=(draws, len(names)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - _coverage(confidence)) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a decoder did on some trials, beside chance; `low` and `high` bound its accuracy."""

    accuracy: float
    balanced_accuracy: float
    low: float
    high: float
    chance: float
    n_trials: int
    interval: Literal["wilson", "bootstrap"]

    @property
    def exceeds_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.low > self.chance


def score(
    recording: npt.ArrayLike,
    trial: npt.ArrayLike,
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    cluster: npt.ArrayLike | None = None,
    n_classes: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Score:
    """Accuracy, interval and chance of answers to trials, each of which counts once.

    Parameters
    ----------
    recording, trial, prediction, target : array-like, shape (trial,)
        Which trial of which recording, the answer and the truth; all trials must have a target.
    cluster : array-like, shape (trial,), optional
        What is drawn again for the interval, for instance the donor. Without it, or with a single cluster, the
        interval is Wilson's over trials.
    n_classes : int, optional
        Number of possible answers; by default those present.
    confidence : float
        Coverage of the interval.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    ModelError
        If a trial appears twice, or shapes differ, or there is no trial.

    Examples
    --------
    >>> found = score(["a"] * 40, range(40), [i % 8 for i in range(40)], [i % 8 for i in range(40)])
    >>> found.accuracy, found.exceeds_chance
    (1.0, True)
    """
    correct = _correct(prediction, target)
    keys = list(zip(np.asarray(recording).tolist(), np.asarray(trial).tolist(), strict=False))
    if len(keys) != len(correct) or len(set(keys)) != len(keys):
        raise ModelError(
            f"{len(correct)} answers arrived for {len(set(keys))} trials; give every trial of a recording exactly once"
        )
    clustered = cluster is not None and len(np.unique(np.asarray(cluster))) > 1
    if cluster is not None and clustered:
        low, high = bootstrap_interval(prediction, target, cluster, seed=seed, confidence=confidence)
    else:
        low, high = wilson_interval(int(correct.sum()), len(correct), confidence)
    return Score(
        accuracy=float(correct.mean()),
        balanced_accuracy=balanced_accuracy(prediction, target),
        low=low,
        high=high,
        chance=chance_level(target, n_classes),
        n_trials=len(correct),
        interval="bootstrap" if clustered else "wilson",
    )


def _correct(prediction: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    given, truth = np.asarray(prediction), np.asarray(target)
    if given.shape != truth.shape or given.ndim != 1 or not given.size:
        raise ModelError(f"{given.shape} predictions for {truth.shape} targets; expected one of each for every trial")
    correct: npt.NDArray[Any] = given == truth
    return correct


def _coverage(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ModelError(f"confidence={confidence} is no coverage; expected a number between 0 and 1, such as 0.95")
    return confidence
