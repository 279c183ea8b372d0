"""Movie frames by their number: identification within 1 s, segments, and which test frames were seen in training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.stitching import Answers

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WITHIN_S = 1.0
MOVIE_RATE_HZ = 30.0


def within(
    prediction: npt.ArrayLike, target: npt.ArrayLike, *, rate_hz: float = MOVIE_RATE_HZ, within_s: float = WITHIN_S
) -> Floats:
    """Whether each frame was named to within `within_s` of the one that was shown: 30 frames of a movie at 30 Hz.

    The movie's end is not next to its beginning.

    Parameters
    ----------
    prediction, target : array-like of integer, shape (row,)
        Numbers of frames of one movie.
    rate_hz : float
        Frames of the movie in a second.
    within_s : float, seconds

    Returns
    -------
    ndarray, shape (row,), float64
        1 or 0.

    Examples
    --------
    >>> within([0, 30, 31, 899], [0, 0, 0, 0]).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    given, truth = np.asarray(prediction, np.int64), np.asarray(target, np.int64)
    if given.shape != truth.shape or given.ndim != 1:
        raise ModelError(f"{given.shape} frames named for {truth.shape} shown; expected one of each for every row")
    return np.asarray(np.abs(given - truth) <= _tolerance(rate_hz, within_s), np.float64)


def chance_within(
    target: npt.ArrayLike,
    n_frames: int | None = None,
    *,
    rate_hz: float = MOVIE_RATE_HZ,
    within_s: float = WITHIN_S,
) -> float:
    """Share of the rows that the best constant answer names to within `within_s`.

    Parameters
    ----------
    target : array-like of integer, shape (row,)
    n_frames : int, optional
        Of the movie; by default as many as the highest target says.

    Examples
    --------
    >>> round(chance_within(range(900)), 4)
    0.0678
    """
    truth = np.asarray(target, np.int64)
    if not truth.size:
        raise ModelError("there is no frame to compute chance from; choose a split that leaves test frames")
    reach = _tolerance(rate_hz, within_s)
    counts = np.bincount(truth, minlength=n_frames or 0)
    sums = np.r_[0, np.cumsum(counts)]
    at = np.arange(len(counts))
    hits = sums[np.minimum(at + reach + 1, len(counts))] - sums[np.maximum(at - reach, 0)]
    return float(hits.max() / len(truth))


def guess_within(
    target: npt.ArrayLike, n_frames: int, *, rate_hz: float = MOVIE_RATE_HZ, within_s: float = WITHIN_S
) -> float:
    """Share of the rows that a guess among all frames of the movie names to within `within_s`, in the long run.

    Parameters
    ----------
    target : array-like of integer, shape (row,)
    n_frames : int
        Of the movie.
    rate_hz : float
        Frames of the movie in a second.
    within_s : float, seconds

    Examples
    --------
    >>> round(guess_within([0], 900), 4), round(guess_within([450], 900), 4)
    (0.0344, 0.0678)
    """
    truth, reach = np.asarray(target, np.int64), _tolerance(rate_hz, within_s)
    right = np.minimum(truth + reach, n_frames - 1) - np.maximum(truth - reach, 0) + 1
    return float(right.mean() / n_frames)


def nearest_frames(pixels: npt.NDArray[Any], movie: npt.NDArray[Any]) -> Integers:
    """Row of `movie` with the least squared distance from each picture; of equal ones the first.

    Parameters
    ----------
    pixels : ndarray, shape (row, height, width)
    movie : ndarray, shape (frame, height, width)

    Returns
    -------
    ndarray, shape (row,), int64

    Examples
    --------
    >>> nearest_frames(np.array([[[0.2]], [[0.9]]]), np.array([[[0.0]], [[1.0]]]))
    array([0, 1])
    """
    if not len(movie) or pixels.shape[1:] != movie.shape[1:]:
        raise ModelError(f"pictures of shape {pixels.shape[1:]} and {len(movie)} frames of shape {movie.shape[1:]}")
    known = movie.reshape(len(movie), -1).astype(np.float64)
    norms = (known**2).sum(axis=1)
    found = np.empty(len(pixels), np.int64)
    for at in range(0, len(pixels), 256):
        piece = pixels[at : at + 256].reshape(-1, known.shape[1]).astype(np.float64)
        found[at : at + 256] = (norms - 2 * piece @ known.T).argmin(axis=1)
    return found


def segments_of(frame: npt.ArrayLike, starts: npt.ArrayLike) -> Integers:
    """Segment of each movie frame, where segment i begins at frame ``starts[i]``.

    Examples
    --------
    >>> segments_of([0, 9, 10, 25], [0, 10, 20])
    array([0, 0, 1, 2])
    """
    first = np.asarray(starts, np.int64)
    if first.ndim != 1 or not len(first) or (np.diff(first) <= 0).any():
        raise ModelError(f"segments begin at {first.tolist()}; expected their first frames, ascending")
    found = np.searchsorted(first, np.asarray(frame, np.int64), side="right") - 1
    if (found < 0).any():
        raise ModelError(f"a frame lies before the first segment, which begins at {first[0]}")
    return found.astype(np.int64)


@dataclass(frozen=True)
class Seen:
    """How many of the pictures of the test were shown in training too: counted from ids, whatever a split is called.

    Attributes
    ----------
    n_test : int
        Different pictures in the test.
    n_seen : int
        Those of them that were shown in training.
    """

    n_test: int
    n_seen: int

    @property
    def all_seen(self) -> bool:
        """Whether every picture of the test was shown in training."""
        return self.n_seen == self.n_test

    @property
    def none_seen(self) -> bool:
        """Whether no picture of the test was shown in training."""
        return self.n_seen == 0


def mark_seen(answers: Answers, train: npt.ArrayLike) -> Answers:
    """Answers that know which of their pictures training showed, by the ids of both.

    Parameters
    ----------
    answers : Answers
        Of one fold, with `shown`.
    train : array-like of integer
        Ids of the pictures of every training window of that fold, pretraining included.

    Examples
    --------
    >>> shown = [4, 5, 5]
    >>> given = Answers.of_classes("movie_frame", ["a"] * 3, [0, 1, 2], prediction=shown, target=shown, n_classes=9)
    >>> seen_in_training(mark_seen(replace(given, shown=given.target), [5, 6]))
    Seen(n_test=2, n_seen=1)
    """
    if answers.shown is None:
        raise ModelError(
            f"answers to {answers.task!r} do not say which picture was shown; give the loader the target 'movie_frame' "
            "(or 'image') beside the pixels"
        )
    return replace(answers, seen=np.isin(answers.shown, np.asarray(train, np.int64)) & (answers.shown >= 0))


def seen_in_training(answers: Answers) -> Seen | None:
    """Count the pictures of a test that training showed; None where that is not known. See `mark_seen`."""
    if answers.shown is None or answers.seen is None:
        return None
    known = answers.shown >= 0
    return Seen(len(np.unique(answers.shown[known])), len(np.unique(answers.shown[known & answers.seen])))


def _tolerance(rate_hz: float, within_s: float) -> int:
    if not (rate_hz > 0 and within_s >= 0):
        raise ModelError(f"rate_hz={rate_hz} and within_s={within_s}: expected a rate above 0 and a time of 0 or more")
    # 1 s at 29.97 Hz is 29 frames, and 1 s at 30 Hz is 30 whatever the rounding.
    return int(within_s * rate_hz + 1e-9)
