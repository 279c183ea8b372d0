"""Metrics by name: each as a statistic of answers whose rows may be drawn again, and what chance reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError, nearest
from poyodata.models.evaluation import decoding, images, regression
from poyodata.models.evaluation.frames import MOVIE_RATE_HZ, chance_within, guess_within, nearest_frames, within
from poyodata.models.evaluation.intervals import Statistic, mean_of
from poyodata.models.evaluation.stitching import Answers


@dataclass(frozen=True, eq=False)
class Movie:
    """Pictures of a movie, and where it is cut.

    Attributes
    ----------
    frames : ndarray, shape (frame, height, width), optional
        Every frame, 0 to 1: the candidates when a reconstruction is identified.
    segment_starts : ndarray, shape (segment,), optional
        First frame of every segment, as the split cuts the movie.
    rate_hz : float
        Frames of the movie in a second.
    """

    frames: npt.NDArray[Any] | None = None
    segment_starts: npt.ArrayLike | None = None
    rate_hz: float = MOVIE_RATE_HZ


_SHARE = (0.0, 1.0)

_OF_KIND = {
    "class": ("accuracy", "balanced_accuracy", "within_1s"),
    "value": ("r2",),
    "image": ("ssim", "psnr", "within_1s"),
}


def metrics_of(answers: Answers, movie: Movie) -> tuple[str, ...]:
    """Metrics that a task has, the one that differences are told of first."""
    if answers.kind == "value":
        return ("r2",)
    if answers.kind == "image":
        identified = movie.frames is not None and answers.shown is not None and bool((answers.shown >= 0).all())
        return ("ssim", "psnr", "within_1s") if identified else ("ssim", "psnr")
    return ("accuracy", "within_1s") if answers.task == "movie_frame" else ("accuracy", "balanced_accuracy")


def statistic_of(metric: str, answers: Answers, movie: Movie) -> Statistic:
    """One metric of answers.

    Raises
    ------
    ModelError
        If the task has no such metric, or the movie is not given where it is needed.
    """
    known = _OF_KIND[answers.kind]
    if metric not in known:
        raise ModelError(f"metric {metric!r} does not suit a task of kind {answers.kind!r}: {nearest(metric, known)}")
    if metric == "accuracy":
        return mean_of(answers.prediction == answers.target, _SHARE)
    if metric == "balanced_accuracy":
        return decoding.balanced_accuracy_of(answers.prediction, answers.target)
    if metric == "r2":
        return regression.r2_of(answers.output, answers.target)
    if metric == "ssim":
        return mean_of(images.ssim(answers.output, answers.target), (-1.0, 1.0))
    if metric == "psnr":
        return mean_of(images.psnr(answers.output, answers.target))
    if answers.kind == "class":
        return mean_of(within(answers.prediction, answers.target, rate_hz=movie.rate_hz), _SHARE)
    if movie.frames is None or answers.shown is None:
        raise ModelError(
            "a picture is identified among the movie's frames: give movie=Movie(frames), and the loader the target "
            "'movie_frame' beside the pixels"
        )
    named = nearest_frames(answers.output, movie.frames)
    return mean_of(within(named, answers.shown, rate_hz=movie.rate_hz), _SHARE)


def chance_of(metric: str, answers: Answers, movie: Movie) -> float | None:
    """What one constant answer for each recording reaches at best; None for pictures, whose chance is a baseline.

    A model knows which recording it is asked about (`decoding.chance_level`).
    """
    who = answers.session_id.astype(str)
    if metric == "accuracy":
        return decoding.chance_level(answers.target, answers.output.shape[1], recording=who)
    if metric == "balanced_accuracy":
        return decoding.balanced_chance(answers.target, who)
    if metric == "r2":
        return regression.chance_r2(answers.target, who)
    shown = answers.target if answers.kind == "class" else answers.shown
    if metric == "within_1s" and shown is not None:
        every = [shown[who == name] for name in np.unique(who)]
        return float(sum(len(one) * chance_within(one, rate_hz=movie.rate_hz) for one in every) / len(shown))
    return None


def guess_of(metric: str, answers: Answers, movie: Movie) -> float | None:
    """What guessing reaches in the long run; None for pictures, whose guess is a baseline.

    Classes and frames are guessed among all that can be answered, each as often. A value is guessed by drawing a target
    of the test: the squared error is twice the targets' variance, whatever they are. Chance is more than that, and
    known only from the test's own targets: a decoder may well lie below chance and do no worse than guess.
    """
    if metric == "r2":
        return -1.0
    if metric in ("accuracy", "balanced_accuracy"):
        return float(1 / answers.output.shape[1])
    if metric == "within_1s" and answers.kind == "class":
        return guess_within(answers.target, answers.output.shape[1], rate_hz=movie.rate_hz)
    if metric == "within_1s" and answers.shown is not None and movie.frames is not None:
        return guess_within(answers.shown, len(movie.frames), rate_hz=movie.rate_hz)
    return None
