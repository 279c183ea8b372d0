"""How sure we are: intervals from drawing whole donors, blocks of time or segments of a movie again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.models.evaluation.wilson import coverage, widened

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DRAWS = 2000
N_BLOCKS = 20
"""Blocks of neighbouring frames into which each recording is cut where there is one donor."""
FEWEST_DRAWN = 6
"""Fewer clusters are not drawn again: draws of so few cannot show how far they spread."""
UNBOUNDED = (-math.inf, math.inf)
SHARE = (0.0, 1.0)
"""Bounds of shares, such as accuracies, whose intervals are never narrower than Wilson's."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A number made of sums over rows, so that rows may be drawn again by drawing their sums.

    Attributes
    ----------
    parts : ndarray, shape (row, part), float64
        What is summed.
    of : callable
        Sums of shape (..., part) to numbers of shape (...).
    bounds : tuple of float
        Least and largest value that it can have; no interval goes beyond.

    Examples
    --------
    >>> mean_of(np.array([1.0, 0.0, 1.0, 1.0])).value
    0.75
    """

    parts: Floats
    of: Callable[[Floats], Floats]
    bounds: tuple[float, float] = UNBOUNDED

    @property
    def value(self) -> float:
        """Of all rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.of(self.parts.sum(axis=0)))

    def take(self, rows: npt.NDArray[Any]) -> Statistic:
        """Give the statistic of some of the rows."""
        return Statistic(self.parts[rows], self.of, self.bounds)

    def minus(self, other: Statistic) -> Statistic:
        """Give the difference from another statistic of the same rows."""
        n, mine, its = self.parts.shape[1], self.of, other.of
        return Statistic(
            np.hstack([self.parts, other.parts]),
            lambda sums: mine(sums[..., :n]) - its(sums[..., n:]),
            (self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0]),
        )


def mean_of(values: npt.ArrayLike, bounds: tuple[float, float] = UNBOUNDED) -> Statistic:
    """Mean over rows, as a `Statistic`."""
    x = np.asarray(values, np.float64)
    return Statistic(
        np.column_stack([x, np.ones(len(x))]), lambda sums: np.asarray(sums[..., 0] / sums[..., 1]), bounds
    )


def mean_over(statistic: Statistic, group: Integers) -> Statistic:
    """Mean, unweighted, of a statistic over groups of rows (recordings), as a statistic of the same rows."""
    n_groups, k = int(group.max(initial=-1)) + 1, statistic.parts.shape[1]
    wide = np.zeros((len(group), n_groups, k))
    wide[np.arange(len(group)), group] = statistic.parts

    def of(sums: Floats) -> Floats:
        return np.asarray(statistic.of(sums.reshape(*sums.shape[:-1], n_groups, k)).mean(axis=-1))

    return Statistic(wide.reshape(len(group), -1), of, statistic.bounds)


@dataclass(frozen=True, eq=False)
class Clusters:
    """What is drawn again for an interval.

    Attributes
    ----------
    code : ndarray, shape (row,), int64
        Cluster of each row, from 0.
    words : str
        For people: what is drawn, and what that says nothing about.
    across : ndarray, shape (row,), int64, optional
        Clusters of a second kind, drawn independently of the first: donors across segments.
    independent : bool
        Whether every row is a cluster of its own.
    whole : bool
        Whether whole donors or recordings are drawn, and not parts of recordings.
    alike : ndarray, shape (row,), int64, optional
        Groups of rows that may be alike whatever is drawn: neighbours in time, or in a movie. None for trials.
    """

    code: Integers
    words: str
    across: Integers | None = None
    independent: bool = False
    whole: bool = False
    alike: Integers | None = None

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.code.max(initial=-1)) + 1


@dataclass(frozen=True, eq=False)
class Pictures:
    """Groups of the pictures that rows are about; the repeats of a picture are in one group.

    Attributes
    ----------
    code : ndarray, shape (row,), int64
        Group of each row, from 0.
    noun : str
        What the groups are, for people.
    """

    code: Integers
    noun: str

    def words(self, where: str = "") -> str:
        """How many there are and of what, and that they are few where they are."""
        count = int(self.code.max(initial=-1)) + 1
        return f"{count} {self.noun}{where}{'' if count >= FEWEST_DRAWN else drawn_words(count)}"


def donor_clusters(
    session_id: npt.NDArray[Any],
    donor: Mapping[str, str] | None,
    *,
    order: Integers | None = None,
    pictures: Pictures | None = None,
) -> Clusters:
    """Say what is drawn again: donors or recordings where there are two or more, else parts of the recordings.

    A recording whose donor is not known counts as a donor of its own. Groups of pictures are drawn in any case, and
    donors, where there are two or more, independently of them.

    Parameters
    ----------
    session_id : ndarray, shape (row,)
        Recording of each row.
    donor : mapping of recording to donor, optional
        Of those recordings of which it is known.
    order : ndarray, shape (row,), int64, optional
        Number of the imaging frame of rows that follow one another, where neighbours are alike: with one donor they
        are drawn in 20 blocks of neighbours a recording. Without it rows are trials, drawn singly.
    pictures : Pictures, optional
        Of rows about pictures.

    Returns
    -------
    Clusters

    Examples
    --------
    >>> rows = np.array(["r1", "r1", "r2"])
    >>> donor_clusters(rows, {"r1": "m", "r2": "n"}).words
    "2 donors, too few to be drawn again: Student's interval with 1 degree of freedom"
    >>> donor_clusters(rows, {"r1": "m", "r2": "m"}).words
    'one donor: trials within its 2 recordings, taken as independent; it says nothing of other animals'
    """
    sessions, session = np.unique(session_id.astype(str), return_inverse=True)
    known = {} if donor is None else {str(name): str(one) for name, one in donor.items() if _is_known(one)}
    # A pair, so that a donor named like a recording is not that recording.
    whose = [("donor", known[name]) if name in known else ("recording", name) for name in sessions.tolist()]
    names = sorted(set(whose))
    told = "the donor is not known" if known.keys().isdisjoint(sessions.tolist()) else "one donor"
    of = "the recording" if len(sessions) == 1 else f"its {len(sessions)} recordings"
    beyond = "it says nothing of other animals"
    neighbours = None if order is None else _neighbours(session, order)
    alike = neighbours if pictures is None else pictures.code
    if len(names) > 1:
        code = np.array([names.index(one) for one in whose], np.int64)[session]
        if pictures is None:
            return Clusters(code, _whole_words(names), whole=True, alike=alike)
        words = f"{pictures.words()}, and {_whole_words(names)}"
        return Clusters(pictures.code, words, across=code, whole=True, alike=alike)
    if alike is None:
        words = f"{told}: trials within {of}, taken as independent; {beyond}"
        return Clusters(np.arange(len(session)), words, independent=True)
    if pictures is not None:
        return Clusters(alike, f"{told}: {pictures.words(f' within {of}')}; {beyond}", alike=alike)
    n_blocks = int(alike.max(initial=-1)) + 1
    return Clusters(alike, f"{told}: {n_blocks} blocks of neighbouring frames within {of}; {beyond}", alike=alike)


def _is_known(donor: Any) -> bool:
    """Whether this names a donor: tables have NaN, None or nothing where it is not known."""
    return not pd.isna(donor) and bool(str(donor).strip())


def _neighbours(session: npt.NDArray[Any], order: Integers) -> Integers:
    """Blocks of neighbouring frames, 20 a recording where it has as many."""
    code = np.zeros(len(session), np.int64)
    for at in range(int(session.max(initial=-1)) + 1):
        rows = np.flatnonzero(session == at)
        rank = np.argsort(np.argsort(order[rows], kind="stable"), kind="stable")
        code[rows] = at * N_BLOCKS + rank * min(N_BLOCKS, len(rows)) // len(rows)
    return _numbered(code)


def drawn_words(count: int) -> str:
    """Say how an interval of so many clusters is made.

    Examples
    --------
    >>> drawn_words(9)
    ' drawn again'
    """
    if count >= FEWEST_DRAWN:
        return " drawn again"
    degrees = "1 degree" if count == 2 else f"{count - 1} degrees"
    return f", too few to be drawn again: Student's interval with {degrees} of freedom"


def _whole_words(names: Sequence[tuple[str, str]]) -> str:
    n_donors = sum(kind == "donor" for kind, _ in names)
    n_unknown = len(names) - n_donors
    parts = [f"{n_donors} donor{'s' * (n_donors > 1)}"] if n_donors else []
    if n_unknown:
        parts.append(f"{n_unknown} recording{'s' * (n_unknown > 1)} whose donors are not known")
    return " and ".join(parts) + drawn_words(len(names))


def interval(
    statistic: Statistic, clusters: Clusters, *, seed: int, confidence: float = 0.95, draws: int = DRAWS
) -> tuple[float, float]:
    """Interval of a statistic over clusters: from drawing whole ones again, or Student's where there are few.

    With 6 clusters or more it is the expanded percentile interval of a bootstrap: a percentile interval is too narrow,
    by ``sqrt((n - 1) / n)`` and by a normal quantile in the place of Student's; both are made good. With 2 to 5 it is
    Student's interval around the value, with the standard error of leaving out each cluster once. It is wide: with two
    clusters 12.7 standard errors to either side.

    Of two kinds of clusters, the one with fewer decides which, and the degrees of freedom.

    That of a share is at least Wilson's, of the rows or, where rows are alike, of so many as they are worth
    (`worth_of`): where all are right, no draw and no donor left out shows that one could have been wrong.

    Parameters
    ----------
    statistic : Statistic
    clusters : Clusters
        With two kinds, both are drawn: a row counts as often as its cluster of the one times that of the other.
        Student's standard error is then that of both kinds together.
    seed : int
    confidence : float
        Coverage, in (0, 1).
    draws : int

    Returns
    -------
    tuple of float
        Within the bounds of the statistic. NaN where it has no value, and where there are fewer than two clusters:
        their spread is unknown.

    Examples
    --------
    >>> told = Clusters(np.array([0, 0, 1, 1]), "2 donors")
    >>> [round(end, 2) for end in interval(mean_of([1.0, 1.0, 1.0, 0.0]), told, seed=0)]
    [-2.43, 3.93]
    """
    coverage(confidence)
    kinds = [_numbered(clusters.code)]
    if clusters.across is not None and len(np.unique(clusters.across)) > 1:
        kinds.append(_numbered(clusters.across))
    counts = [int(code.max(initial=-1)) + 1 for code in kinds]
    if min(counts) < 2 or not np.isfinite(statistic.value):
        return float("nan"), float("nan")
    if min(counts) < FEWEST_DRAWN:
        low, high = _student(statistic, kinds, counts, confidence)
    else:
        low, high = _drawn(statistic, kinds, counts, seed, confidence, draws)
    if statistic.bounds == SHARE:
        low, high = widened((low, high), statistic.value, worth_of(statistic, clusters.alike), confidence)
    least, most = statistic.bounds
    return min(max(low, least), most), min(max(high, least), most)


def worth_of(share: Statistic, alike: Integers | None) -> float:
    """How many independent rows the rows of a share are worth: all, or where groups are alike fewer.

    It is the number whose share would have the variance that leaving out the groups shows: not below the number of
    groups, and that number where nothing is seen to vary.

    Parameters
    ----------
    share : Statistic
    alike : ndarray, shape (row,), int64, optional
        Groups of rows that may be alike.

    Examples
    --------
    >>> groups, right = np.arange(100) // 10, np.arange(100) < 50
    >>> round(worth_of(mean_of(right, SHARE), groups)), worth_of(mean_of(right, SHARE), None)
    (10, 100.0)
    """
    rows = float(len(share.parts))
    if alike is None:
        return rows
    code = _numbered(alike)
    count = int(code.max(initial=-1)) + 1
    variance = _left_out_variance(share, share.parts.sum(axis=0) - _sums(share.parts, code, count))
    if not variance > 0:
        return float(count)
    return min(max(share.value * (1 - share.value) / variance, float(count)), rows)


def _numbered(code: Integers) -> Integers:
    return np.unique(code, return_inverse=True)[1].astype(np.int64)


def _sums(parts: Floats, code: Integers, count: int) -> Floats:
    return np.stack([np.bincount(code, part, count) for part in parts.T], axis=1)


def _student(
    statistic: Statistic, kinds: Sequence[Integers], counts: Sequence[int], confidence: float
) -> tuple[float, float]:
    """Student's interval, from the values without each cluster; never narrower than that of rows drawn singly."""
    total = statistic.parts.sum(axis=0)
    variance = 0.0
    for code, count in zip(kinds, counts, strict=True):
        variance += _left_out_variance(statistic, total - _sums(statistic.parts, code, count))
    # Few clusters may be alike by chance: two animals of 40 trials have the same accuracy one time in ten.
    least = _left_out_variance(statistic, total - statistic.parts) if len(statistic.parts) > 2 else 0.0
    if not np.isfinite(variance):
        return float("nan"), float("nan")
    half = _student_quantile(min(counts) - 1, confidence) * math.sqrt(variance)
    if np.isfinite(least):
        half = max(half, _student_quantile(len(statistic.parts) - 1, confidence) * math.sqrt(least))
    return statistic.value - half, statistic.value + half


def _left_out_variance(statistic: Statistic, without: Floats) -> float:
    """Jackknife variance from the sums without each cluster."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = statistic.of(without)
    n = len(values)
    return float((n - 1) / n * ((values - values.mean()) ** 2).sum())


def _drawn(
    statistic: Statistic, kinds: Sequence[Integers], counts: Sequence[int], seed: int, confidence: float, draws: int
) -> tuple[float, float]:
    """Expanded percentile interval of a bootstrap of whole clusters, of one kind or of two independent ones."""
    rng = np.random.default_rng(seed)
    n, n_across = counts[0], counts[1] if len(counts) > 1 else 1
    cell = kinds[0] if len(kinds) == 1 else kinds[0] * n_across + kinds[1]
    k = statistic.parts.shape[1]
    sums = _sums(statistic.parts, cell, n * n_across).reshape(n, n_across * k)
    found = []
    # Draws are made in pieces: a statistic of many classes has many parts.
    at_once = max(1, int(4e6 // max(n, n_across * k)))
    for low in range(0, draws, at_once):
        size = min(at_once, draws - low)
        drawn = (rng.multinomial(n, np.full(n, 1 / n), size) @ sums).reshape(size, n_across, k)
        times = rng.multinomial(n_across, np.full(n_across, 1 / n_across), size)
        total = np.einsum("da,dak->dk", times, drawn) if n_across > 1 else drawn[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(statistic.of(total))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    if len(values) < draws / 2:
        return float("nan"), float("nan")
    tail = expanded_tail(min(counts), confidence)
    ends = np.quantile(values, [tail, 1 - tail])
    return float(ends[0]), float(ends[1])


def _student_quantile(degrees: int, confidence: float) -> float:
    # Not scipy.stats, whose import takes seconds.
    from scipy import special

    return float(special.stdtrit(degrees, (1 + coverage(confidence)) / 2))


def expanded_tail(n_clusters: int, confidence: float = 0.95) -> float:
    """Share of the draws beyond either end of an expanded percentile interval of `n_clusters`.

    Examples
    --------
    >>> round(expanded_tail(8), 4), round(expanded_tail(10_000), 4)
    (0.0057, 0.025)
    """
    from scipy import special

    quantile = _student_quantile(n_clusters - 1, confidence)
    return float(special.ndtr(-quantile * np.sqrt(n_clusters / (n_clusters - 1))))
