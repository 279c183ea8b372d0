"""How sure we are: intervals from drawing whole donors, blocks of time or segments of a movie again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DRAWS = 2000
N_BLOCKS = 20
"""Blocks of neighbouring frames into which each recording is cut where there is one donor."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A number made of sums over rows, so that rows may be drawn again by drawing their sums.

    Attributes
    ----------
    parts : ndarray, shape (row, part), float64
        What is summed.
    of : callable
        Sums of shape (..., part) to numbers of shape (...).

    Examples
    --------
    >>> mean_of(np.array([1.0, 0.0, 1.0, 1.0])).value
    0.75
    """

    parts: Floats
    of: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        """Of all rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.of(self.parts.sum(axis=0)))

    def take(self, rows: npt.NDArray[Any]) -> Statistic:
        """Give the statistic of some of the rows."""
        return Statistic(self.parts[rows], self.of)

    def minus(self, other: Statistic) -> Statistic:
        """Give the difference from another statistic of the same rows."""
        n, mine, its = self.parts.shape[1], self.of, other.of
        return Statistic(np.hstack([self.parts, other.parts]), lambda sums: mine(sums[..., :n]) - its(sums[..., n:]))


def mean_of(values: npt.ArrayLike) -> Statistic:
    """Mean over rows, as a `Statistic`."""
    x = np.asarray(values, np.float64)
    return Statistic(np.column_stack([x, np.ones(len(x))]), lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


def mean_over(statistic: Statistic, group: Integers) -> Statistic:
    """Mean, unweighted, of a statistic over groups of rows (recordings), as a statistic of the same rows."""
    n_groups, k = int(group.max(initial=-1)) + 1, statistic.parts.shape[1]
    wide = np.zeros((len(group), n_groups, k))
    wide[np.arange(len(group)), group] = statistic.parts

    def of(sums: Floats) -> Floats:
        return np.asarray(statistic.of(sums.reshape(*sums.shape[:-1], n_groups, k)).mean(axis=-1))

    return Statistic(wide.reshape(len(group), -1), of)


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
    """

    code: Integers
    words: str
    across: Integers | None = None
    independent: bool = False

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.code.max(initial=-1)) + 1


def donor_clusters(
    session_id: npt.NDArray[Any],
    donor: Mapping[str, str] | None,
    *,
    order: Integers | None = None,
) -> Clusters:
    """Say what is drawn again: donors where there are two or more, else parts of the recordings.

    Parameters
    ----------
    session_id : ndarray, shape (row,)
        Recording of each row.
    donor : mapping of recording to donor, optional
    order : ndarray, shape (row,), int64, optional
        Number of the imaging frame of rows that follow one another, where neighbours are alike: with one donor they
        are drawn in 20 blocks of neighbours a recording. Without it rows are trials, drawn singly.

    Returns
    -------
    Clusters

    Raises
    ------
    ModelError
        If the donor of a recording is not given.

    Examples
    --------
    >>> rows = np.array(["r1", "r1", "r2"])
    >>> donor_clusters(rows, {"r1": "m", "r2": "n"}).words
    '2 donors drawn again; with so few the interval is rough'
    >>> donor_clusters(rows, {"r1": "m", "r2": "m"}).words
    'one donor: trials within its 2 recordings, taken as independent; it says nothing of other animals'
    """
    sessions, session = np.unique(session_id.astype(str), return_inverse=True)
    if donor is not None:
        lacking = [name for name in sessions.tolist() if name not in donor]
        if lacking:
            raise ModelError(
                f"the donor of {len(lacking)} of {len(sessions)} recordings is not given, first {lacking[0]!r}; "
                "give the donor of every recording, or none"
            )
        names, donors = np.unique([str(donor[name]) for name in sessions.tolist()], return_inverse=True)
        if len(names) > 1:
            rough = "" if len(names) >= 8 else "; with so few the interval is rough"
            return Clusters(donors[session].astype(np.int64), f"{len(names)} donors drawn again{rough}")
    whose = "no donors given" if donor is None else "one donor"
    of = "the recording" if len(sessions) == 1 else f"{'the' if donor is None else 'its'} {len(sessions)} recordings"
    if order is None:
        words = f"{whose}: trials within {of}, taken as independent; it says nothing of other animals"
        return Clusters(np.arange(len(session)), words, independent=True)
    code = np.zeros(len(session), np.int64)
    for at in range(len(sessions)):
        rows = np.flatnonzero(session == at)
        rank = np.argsort(np.argsort(order[rows], kind="stable"), kind="stable")
        code[rows] = at * N_BLOCKS + rank * min(N_BLOCKS, len(rows)) // len(rows)
    code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    words = f"{whose}: {code.max() + 1} blocks of neighbouring frames within {of}; it says nothing of other animals"
    return Clusters(code, words)


def interval(
    statistic: Statistic, clusters: Clusters, *, seed: int, confidence: float = 0.95, draws: int = DRAWS
) -> tuple[float, float]:
    """Bootstrap interval of a statistic when whole clusters are drawn again.

    The percentiles are those of the expanded percentile interval: a percentile interval of few clusters is too narrow,
    by ``sqrt((n - 1) / n)`` and by a normal quantile in the place of Student's; both are made good.

    Parameters
    ----------
    statistic : Statistic
    clusters : Clusters
        With two kinds, both are drawn: a row counts as often as its cluster of the one times that of the other.
    seed : int
    confidence : float
        Coverage, in (0, 1).
    draws : int

    Returns
    -------
    tuple of float
        NaN where there are fewer than two clusters: their spread is unknown.

    Examples
    --------
    >>> told = Clusters(np.array([0, 0, 1, 1]), "2 donors drawn again")
    >>> interval(mean_of([1.0, 1.0, 1.0, 0.0]), told, seed=0)
    (0.5, 1.0)
    """
    n = clusters.count
    coverage(confidence)
    if n < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    n_across = 1 if clusters.across is None else int(clusters.across.max()) + 1
    cell = clusters.code if clusters.across is None else clusters.code * n_across + clusters.across
    k = statistic.parts.shape[1]
    sums = np.zeros((n * n_across, k))
    np.add.at(sums, cell, statistic.parts)
    sums = sums.reshape(n, n_across * k)
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
    tail = expanded_tail(n, confidence)
    ends = np.quantile(values, [tail, 1 - tail])
    return float(ends[0]), float(ends[1])


def expanded_tail(n_clusters: int, confidence: float = 0.95) -> float:
    """Share of the draws beyond either end of an expanded percentile interval of `n_clusters`.

    Examples
    --------
    >>> round(expanded_tail(8), 4), round(expanded_tail(10_000), 4)
    (0.0057, 0.025)
    """
    # Not scipy.stats, whose import takes seconds.
    from scipy import special

    quantile = special.stdtrit(n_clusters - 1, (1 + coverage(confidence)) / 2)
    return float(special.ndtr(-quantile * np.sqrt(n_clusters / (n_clusters - 1))))


def coverage(confidence: float) -> float:
    """Give a confidence that is one.

    Raises
    ------
    ModelError
        If it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ModelError(f"confidence={confidence} is no coverage; expected a number between 0 and 1, such as 0.95")
    return confidence
