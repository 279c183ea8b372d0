"""From answers to a result: every metric of a task, its intervals, and the same of every baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.baselines import CHANCE, FRAME_IDS, Baseline, same_names
from poyodata.models.evaluation.frames import Seen, seen_in_training, segments_of
from poyodata.models.evaluation.intervals import (
    DRAWS,
    SHARE,
    Clusters,
    Integers,
    Statistic,
    donor_clusters,
    interval,
    mean_of,
    mean_over,
    worth_of,
)
from poyodata.models.evaluation.metrics import Movie, chance_of, guess_of, metrics_of, statistic_of
from poyodata.models.evaluation.pictures import pictures_of
from poyodata.models.evaluation.result import OF_RECORDINGS, POOLED, Gain, Result, Row
from poyodata.models.evaluation.stitching import Answers, aligned, concatenate, stitch
from poyodata.models.evaluation.verdict import verdict
from poyodata.models.evaluation.wilson import widened, wilson_interval

__all__ = ["LEAST_SEGMENTS", "Comparison", "Movie", "judge", "pool"]

LEAST_SEGMENTS = 8
"""Fewer held-out segments of a movie give no interval."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a model and its baselines answered to the same windows.

    Attributes
    ----------
    answers : Answers
        Of the model; stitched or not.
    baselines : tuple of Baseline
    notes : tuple of str
        What else must be known of them: sentences of the verdict.
    """

    answers: Answers
    baselines: tuple[Baseline, ...] = ()
    notes: tuple[str, ...] = ()


def pool(folds: Sequence[Comparison]) -> Comparison:
    """Answers of several folds, each window tested in one of them, judged as one test.

    Answers are stitched within their fold. Two folds that answer the same trial or frame are refused: the mean of two
    models' answers is what neither of them said, and is better than both.

    Raises
    ------
    ModelError
        If the folds have different baselines or tasks, or a trial or frame is tested in two of them.
    """
    if not folds:
        raise ModelError("there are no folds to pool; give the comparison of each")
    answers = concatenate([stitch(one.answers) for one in folds])
    twice = answers.keys.duplicated()
    if twice.any():
        name, unit, number = answers.keys[int(twice.argmax())]
        raise ModelError(
            f"{int(twice.sum())} trials or frames are tested in more than one fold, first {unit} {number} of recording "
            f"{name}; give folds that test each window once, each by the model that never saw it"
        )
    notes = tuple(dict.fromkeys(note for one in folds for note in one.notes))
    baselines = [one.baselines for one in folds]
    if answers.task == FRAME_IDS:
        # A fold whose test has frames that are new has no linear decoder of their ids, and its note says so.
        common = set.intersection(*({one.name for one in fold} for fold in baselines))
        baselines = [tuple(one for one in fold if one.name in common) for fold in baselines]
    return Comparison(answers, same_names(baselines), notes)


def judge(
    comparison: Comparison,
    *,
    donor: Mapping[str, str] | None = None,
    movie: Movie | None = None,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Result:
    """Judge answers: pure arithmetic on (recording, trial or frame id, prediction, target).

    Answers to the same trial or frame are stitched first. Intervals are over donors; a recording whose donor is not
    known counts as one. Fewer than 6 cannot be drawn again: their interval is Student's, and wide. Where there is one
    donor, or one recording, trials or blocks of neighbouring frames are drawn, and the result says so. Of answers about
    pictures, segments of the movie are drawn, or blocks of neighbouring pictures where it is not known where it is cut,
    and donors independently of them: repeats of a picture are no new pictures.

    Chance is what one constant answer for each recording reaches, at best: a model knows which recording it is asked
    about. Of pictures it is the better of a random training frame and the mean one. A metric is said to be above chance
    where its whole interval is, and below where the interval lies below what guessing reaches too.

    A gain in pictures is claimed over the better of the baselines that are no oracles, and only where no picture of
    the test was shown in training and at least 8 segments of the movie were held out. The kind of clusters of which
    there are fewer, segments or donors, says how wide the interval is. Where all pictures of the test were shown, no
    difference in pictures from a baseline has an interval.

    Parameters
    ----------
    comparison : Comparison
    donor : mapping of recording to donor, optional
    movie : Movie, optional
        Of tasks of movie frames.
    metrics : sequence of str, optional
        By default all that the task has. Classes: ``accuracy``, ``balanced_accuracy``; of movie frames ``accuracy``,
        ``within_1s``. Values: ``r2``. Pictures: ``ssim``, ``psnr``, and ``within_1s`` where the movie's frames are
        given.
    confidence : float
    draws : int
        Of the bootstrap.
    seed : int

    Returns
    -------
    Result

    Raises
    ------
    ModelError
        If a baseline answered other windows than the model, or a metric does not suit the task.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = np.arange(80) % 8
    >>> named = np.where(rng.random(80) < 0.7, target, 0)
    >>> given = Answers.of_classes("direction", ["r"] * 80, range(80), prediction=named, target=target, n_classes=8)
    >>> result = judge(Comparison(given), donor={"r": "mouse"})
    >>> print(result.sentences[0])
    direction: accuracy is 0.725 [0.619, 0.811] (n = 80), above chance (0.125).
    """
    answers = stitch(comparison.answers)
    if not len(answers):
        raise ModelError("there are no answers; choose windows that have the target")
    oracles = {one.name for one in comparison.baselines if one.oracle}
    movie = movie or Movie()
    chosen = tuple(metrics) if metrics is not None else metrics_of(answers, movie)
    beside: dict[str, dict[str, Statistic]] = {metric: {} for metric in chosen}
    for baseline in comparison.baselines:
        # One at a time: pictures of all of them would fill the memory.
        other = aligned(answers, stitch(baseline.answers), baseline.name)
        for metric in chosen:
            beside[metric][baseline.name] = statistic_of(metric, other, movie)
    clusters = _clusters(answers, donor, movie)
    seen = seen_in_training(answers)
    how = _How(confidence, draws, seed)
    # Which of the known pictures was shown is no measure of pictures.
    refused = _some_seen(seen) if answers.kind == "image" and seen is not None and seen.all_seen else ""
    rows: list[Row] = []
    differences: list[Gain] = []
    claims: list[Gain] = []
    for metric in chosen:
        mine = statistic_of(metric, answers, movie)
        its = beside[metric]
        rows += _rows(metric, answers, mine, its, clusters, donor, how, movie)
        if metric == chosen[0]:
            differences = [
                _difference(metric, name, name in oracles, mine, its[name], clusters, how, refused) for name in its
            ]
        if answers.kind == "image" and metric != "within_1s":
            claims.append(_claim(metric, answers, mine, its, oracles, clusters, movie, how))
    guesses = {metric: guess_of(metric, answers, movie) for metric in chosen}
    told = verdict(answers.task, rows, differences, claims, seen, clusters.words, comparison.notes, guesses)
    return Result(
        answers.task,
        answers.kind,
        tuple(rows),
        tuple(differences),
        tuple(claims),
        clusters.words,
        confidence,
        seen,
        told,
    )


@dataclass(frozen=True)
class _How:
    confidence: float
    draws: int
    seed: int

    def interval(self, statistic: Statistic, clusters: Clusters) -> tuple[float, float]:
        return interval(statistic, clusters, seed=self.seed, confidence=self.confidence, draws=self.draws)


def _clusters(answers: Answers, donor: Mapping[str, str] | None, movie: Movie) -> Clusters:
    pictures = pictures_of(answers, movie)
    order = _order(answers) if pictures is None else None
    return donor_clusters(answers.session_id, donor, order=order, pictures=pictures)


def _order(answers: Answers) -> Integers | None:
    """Imaging frames of rows whose neighbours are alike; None for trials that are each something else."""
    of_time = answers.kind == "image" or answers.task == FRAME_IDS or bool((answers.trial < 0).any())
    return answers.frame if of_time else None


def _rows(
    metric: str,
    answers: Answers,
    mine: Statistic,
    its: Mapping[str, Statistic],
    clusters: Clusters,
    donor: Mapping[str, str] | None,
    how: _How,
    movie: Movie,
) -> list[Row]:
    names, session = np.unique(answers.session_id.astype(str), return_inverse=True)
    session = session.astype(np.int64)

    def beside(rows: npt.NDArray[Any]) -> dict[str, float]:
        chance = chance_of(metric, answers.take(rows), movie)
        found = {CHANCE: float("nan")} | {name: one.take(rows).value for name, one in its.items()}
        return found if chance is None else found | {CHANCE: chance}

    def bounds(rows: npt.NDArray[Any], drawn: Clusters) -> tuple[float, float]:
        if metric == "accuracy" and drawn.independent:
            hits = mine.parts[rows, 0]
            return wilson_interval(int(hits.sum()), len(hits), how.confidence)
        return how.interval(mine.take(rows), drawn)

    every = np.arange(len(answers))
    found = [Row(metric, POOLED, mine.value, *bounds(every, clusters), len(answers), beside(every))]
    alone = []
    for at, name in enumerate(names.tolist()):
        rows = np.flatnonzero(session == at)
        part = answers.take(rows)
        inside = _clusters(part, None, movie)
        alone.append(Row(metric, name, mine.take(rows).value, *bounds(rows, inside), len(rows), beside(rows)))
    if len(names) == 1:
        return found + alone
    return [*found, _mean_row(metric, mine, alone, names, session, clusters, donor, how), *alone]


def _mean_row(
    metric: str,
    mine: Statistic,
    alone: Sequence[Row],
    names: npt.NDArray[Any],
    session: Integers,
    clusters: Clusters,
    donor: Mapping[str, str] | None,
    how: _How,
) -> Row:
    """Unweighted mean of the recordings that have a value: R^2 of a target that never varied is none."""
    kept = np.array([at for at, row in enumerate(alone) if np.isfinite(row.value)], np.int64)
    chosen = [alone[at] for at in kept.tolist()]
    nan = float("nan")
    if not chosen:
        return Row(metric, OF_RECORDINGS, nan, nan, nan, 0, dict.fromkeys(alone[0].beside, nan))
    means = {key: float(np.mean([row.beside[key] for row in chosen])) for key in alone[0].beside}
    values = mean_of([row.value for row in chosen])
    rows = np.flatnonzero(np.isin(session, kept))
    alike = None if clusters.alike is None else clusters.alike[rows]
    by_donor = donor_clusters(names[kept], donor)
    if by_donor.whole:
        ends = how.interval(values, by_donor)
        if mine.bounds == SHARE:
            # Of its trials, not of its recordings.
            ends = widened(ends, values.value, worth_of(mine.take(rows), alike), how.confidence)
        ends = max(ends[0], mine.bounds[0]), min(ends[1], mine.bounds[1])
    elif mine.parts.size * len(kept) > 2e7:
        ends = nan, nan
    else:
        drawn = Clusters(clusters.code[rows], "", alike=alike)
        ends = how.interval(mean_over(mine.take(rows), np.searchsorted(kept, session[rows])), drawn)
    return Row(metric, OF_RECORDINGS, values.value, *ends, len(chosen), means)


def _gain(mine: Statistic, other: Statistic, clusters: Clusters, how: _How) -> tuple[float, float, float]:
    difference = mine.minus(other)
    return (difference.value, *how.interval(difference, clusters))


def _difference(
    metric: str, name: str, oracle: bool, mine: Statistic, other: Statistic, clusters: Clusters, how: _How, refused: str
) -> Gain:
    if refused:
        return Gain(metric, name, oracle, mine.value - other.value, float("nan"), float("nan"), "", refused)
    return Gain(metric, name, oracle, *_gain(mine, other, clusters, how), clusters.words)


def _some_seen(seen: Seen) -> str:
    return f"{seen.n_seen} of {seen.n_test} pictures of the test were shown in training"


def _claim(
    metric: str,
    answers: Answers,
    mine: Statistic,
    its: Mapping[str, Statistic],
    oracles: set[str],
    clusters: Clusters,
    movie: Movie,
    how: _How,
) -> Gain:
    fair = {name: one.value for name, one in its.items() if name not in oracles}
    nan = float("nan")
    if not fair:
        return Gain(metric, "", False, nan, nan, nan, "", "no baseline that is no oracle was given")
    best = max(fair, key=lambda name: fair[name])
    seen = seen_in_training(answers)
    refused = ""
    if seen is None:
        refused = "it is not known which pictures were shown in training"
    elif not seen.none_seen:
        refused = _some_seen(seen)
    elif movie.segment_starts is None or answers.shown is None or (answers.shown < 0).any():
        refused = "it is not known where the movie is cut into segments"
    else:
        count = len(np.unique(segments_of(answers.shown, movie.segment_starts)))
        if count < LEAST_SEGMENTS:
            refused = (
                f"the test holds {count} segments of the movie, and an interval needs {LEAST_SEGMENTS} at least; pool "
                "the folds"
            )
    if refused:
        return Gain(metric, best, False, mine.value - its[best].value, nan, nan, "", refused)
    # The segments of the clusters: with so many there are no blocks.
    words = clusters.words if clusters.whole else f"{clusters.count} segments drawn again"
    return Gain(metric, best, False, *_gain(mine, its[best], clusters, how), words)
