"""How well classes are decoded: accuracy, what chance would reach, and the score of one decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.intervals import FEWEST_DRAWN, Clusters, Floats, Integers, Statistic, interval, mean_of
from poyodata.models.evaluation.shares import correct_of
from poyodata.models.evaluation.wilson import wilson_interval


def accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Share of the trials answered correctly.

    Examples
    --------
    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    return float(correct_of(prediction, target).mean())


def balanced_accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Mean over the classes present in `target` of the share of their trials answered correctly.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
    0.5
    """
    return balanced_accuracy_of(prediction, target).value


def balanced_accuracy_of(prediction: npt.ArrayLike, target: npt.ArrayLike) -> Statistic:
    """Balanced accuracy as a statistic whose rows may be drawn again; a class that no draw holds does not count."""
    correct = correct_of(prediction, target)
    names, position = np.unique(np.asarray(target), return_inverse=True)
    shown = np.eye(len(names))[position]

    def of(sums: Floats) -> Floats:
        hits, sizes = sums[..., : len(names)], sums[..., len(names) :]
        shares = np.divide(hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
        return np.asarray(shares.sum(axis=-1) / (sizes > 0).sum(axis=-1))

    return Statistic(np.hstack([shown * correct[:, None], shown]), of, (0.0, 1.0))


def chance_level(
    target: npt.ArrayLike, n_classes: int | None = None, *, recording: npt.ArrayLike | None = None
) -> float:
    """Accuracy of the best constant answer in each recording: the share of the trials of its most frequent class.

    A model knows which recording it is asked about. What it reaches with one answer for each is no decoding, even where
    recordings differ in the class that is most frequent. The constants are chosen with the test's own targets, so that
    with few trials a recording they reach more than any decoder could know: a claim above them is a safe one.

    Parameters
    ----------
    target : array-like, shape (trial,)
    n_classes : int, optional
        Number of possible answers; chance is never below one in so many. By default those present.
    recording : array-like, shape (trial,), optional
        Recording of each trial; by default all are of one.

    Examples
    --------
    >>> chance_level([0, 1, 2, 3])
    0.25
    >>> chance_level([0, 0, 0, 1], n_classes=8)
    0.75
    >>> chance_level([0, 0, 1, 1], recording=["a", "a", "b", "b"])
    1.0
    """
    counts = _counts(target, recording)
    return float(max(counts.max(axis=1).sum() / counts.sum(), 1 / (n_classes or counts.shape[1])))


def balanced_chance(target: npt.ArrayLike, recording: npt.ArrayLike | None = None) -> float:
    """Balanced accuracy of the best constant answer in each recording.

    In one recording it is one in the number of classes present, whatever the constant. In several, each is best
    answered with that class of whose trials it holds the largest share; see `chance_level`.

    Examples
    --------
    >>> balanced_chance([0, 0, 0, 5])
    0.5
    >>> balanced_chance([0, 0, 0, 5], ["a", "a", "b", "b"])
    0.8333333333333333
    """
    counts = _counts(target, recording)
    return float((counts / counts.sum(axis=0)).max(axis=1).sum() / counts.shape[1])


def _counts(target: npt.ArrayLike, recording: npt.ArrayLike | None) -> Integers:
    """Trials of each class present, shape (recording, class)."""
    truth = np.asarray(target)
    who = np.zeros(len(truth), np.int64) if recording is None else np.asarray(recording)
    if not len(truth):
        raise ModelError("there is no trial to compute chance from; choose a split that leaves test trials")
    if who.shape != truth.shape:
        raise ModelError(f"recording has shape {who.shape}, expected {truth.shape}: one name a trial")
    names, session = np.unique(who.astype(str), return_inverse=True)
    classes, position = np.unique(truth, return_inverse=True)
    counts = np.bincount(session * len(classes) + position, minlength=len(names) * len(classes))
    return np.asarray(counts.reshape(len(names), len(classes)), np.int64)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a decoder did on some trials, beside chance (`chance_level`); `low` and `high` bound its accuracy."""

    accuracy: float
    balanced_accuracy: float
    low: float
    high: float
    chance: float
    n_trials: int
    interval: Literal["wilson", "bootstrap", "student"]

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

    `poyodata.models.evaluation.judge` says more: recordings, baselines, differences and sentences.

    Parameters
    ----------
    recording, trial, prediction, target : array-like, shape (trial,)
        Which trial of which recording, the answer and the truth; all trials must have a target. Answers of overlapping
        windows are stitched before (`poyodata.models.evaluation.stitch`).
    cluster : array-like, shape (trial,), optional
        What the interval is over, for instance the donor; with fewer than 6 it is Student's (`intervals.interval`).
        Without it, or with a single cluster, the interval is Wilson's over trials.
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
    correct = correct_of(prediction, target)
    keys = list(zip(np.asarray(recording).tolist(), np.asarray(trial).tolist(), strict=False))
    if len(keys) != len(correct) or len(set(keys)) != len(keys):
        raise ModelError(
            f"{len(correct)} answers arrived for {len(set(keys))} trials; give every trial of a recording exactly once"
        )
    kind: Literal["wilson", "bootstrap", "student"] = "wilson"
    clustered = cluster is not None and len(np.unique(np.asarray(cluster))) > 1
    if cluster is not None and clustered:
        code = np.unique(np.asarray(cluster), return_inverse=True)[1].astype(np.int64)
        if code.shape != correct.shape:
            raise ModelError(f"cluster has shape {code.shape}, expected {correct.shape}: one name a trial")
        low, high = interval(mean_of(correct, (0.0, 1.0)), Clusters(code, ""), seed=seed, confidence=confidence)
        kind = "bootstrap" if code.max() + 1 >= FEWEST_DRAWN else "student"
    else:
        low, high = wilson_interval(int(correct.sum()), len(correct), confidence)
    return Score(
        accuracy=float(correct.mean()),
        balanced_accuracy=balanced_accuracy(prediction, target),
        low=low,
        high=high,
        chance=chance_level(target, n_classes, recording=recording),
        n_trials=len(correct),
        interval=kind,
    )
