"""The knee over the means of CRE lines that the paper behind the preset ``predictable`` describes, and how it wavers.

The algorithm is Kneedle, written from its publication: Satopaa, Albrecht, Irwin and Raghavan 2011, "Finding a 'Kneedle'
in a haystack: detecting knee points in system behavior" (ICDCS workshops). Its smoothing spline is left out: of a dozen
means there is nothing to smooth. An illustration, not an endorsement: a threshold on neurons that is read off a dozen
means of lines moves with every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.statistics.groups import known_columns, why_no_mean

if TYPE_CHECKING:
    from poyodata.store import Store

Curve = Literal["convex", "concave"]

FEWEST_LINES = 3
DRAWS = 200


@dataclass(frozen=True)
class LineKnee:
    """The knee over line means, and what becomes of it when a line or a mouse is another.

    Attributes
    ----------
    column : str
        Whose means.
    threshold : float or None
        Mean of the line at the knee: that line and those before it lie at or below. None where there is no knee.
    lines : tuple of str
        CRE lines, by their mean.
    means : tuple of float
        Mean over the neurons of each line, ascending.
    without : mapping of str to float or None
        The threshold that is found with this line left out.
    by_donors : tuple of (float or None)
        Thresholds found when the donors of every line are drawn again; empty where no line has two donors.
    """

    column: str
    threshold: float | None
    lines: tuple[str, ...]
    means: tuple[float, ...]
    without: Mapping[str, float | None]
    by_donors: tuple[float | None, ...] = ()

    @property
    def lines_below(self) -> tuple[str, ...]:
        """Lines whose mean is at or below the threshold."""
        if self.threshold is None:
            return ()
        return tuple(line for line, mean in zip(self.lines, self.means, strict=True) if mean <= self.threshold)

    @property
    def text(self) -> str:
        """The knee and its instability in words."""
        found = "no knee" if self.threshold is None else f"knee at {self.threshold:.4g}"
        under = f", with {len(self.lines_below)} of {len(self.lines)} lines at or below" if self.lines_below else ""
        words = [
            f"{self.column}: {found}{under}.",
            f"With one line left out: {_spread(self.without.values())}.",
        ]
        if self.by_donors:
            words.append(f"With donors drawn again: {_spread(self.by_donors)}.")
        else:
            words.append("No line has two donors, so what another mouse would do to it is not known.")
        return " ".join(words)


def kneedle(x: npt.ArrayLike, y: npt.ArrayLike, curve: Curve = "concave", sensitivity: float = 1.0) -> tuple[int, ...]:
    """Find the knees of an increasing curve.

    Parameters
    ----------
    x, y : array-like, shape (point,)
        `x` increases strictly; `y` never falls.
    curve : {"concave", "convex"}
        Concave rises fast, then slowly, and bends at its knee; convex the other way round.
    sensitivity : float
        Kneedle's S: by how many mean steps of `x` the curve must fall away from its knee.

    Returns
    -------
    tuple of int
        Indices of the knees, the most pronounced first; none for a straight or a flat line.

    Raises
    ------
    UsageError
        For fewer than three points, points out of order or not finite, an unknown curve or a negative sensitivity.

    Examples
    --------
    >>> kneedle(range(6), [0, 7, 8, 9, 9.5, 10])
    (1,)
    >>> kneedle(range(6), [0, 0.5, 1, 2, 4, 10], curve="convex")
    (4,)
    >>> kneedle(range(6), range(6))
    ()
    """
    places, heights = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if places.shape != heights.shape or places.ndim != 1 or len(places) < FEWEST_LINES:
        raise UsageError(
            f"a knee is sought among {FEWEST_LINES} points or more, x and y alike; {places.shape} and {heights.shape} "
            "arrived."
        )
    if not (np.isfinite(places).all() and np.isfinite(heights).all()):
        raise UsageError("a knee is sought among finite numbers; leave out what is missing.")
    if (np.diff(places) <= 0).any() or (np.diff(heights) < 0).any():
        raise UsageError("a knee is sought on an increasing curve: sort the points by x; y must never fall.")
    if curve not in ("concave", "convex"):
        raise UsageError(f"unknown curve {curve!r}: {nearest(curve, ('concave', 'convex'))}")
    if not sensitivity >= 0:
        raise UsageError(f"sensitivity is a number of steps, 0 or more; {sensitivity} arrived.")
    if heights[0] == heights[-1]:
        return ()
    across = (places - places[0]) / (places[-1] - places[0])
    up = (heights - heights[0]) / (heights[-1] - heights[0])
    if curve == "convex":  # seen from its other end it is concave
        across, up = 1 - across[::-1], 1 - up[::-1]
    above = up - across
    knees = _knees(above, sensitivity * float(np.diff(across).mean()))
    order = sorted(knees, key=lambda i: -above[i])
    return tuple(len(places) - 1 - i if curve == "convex" else i for i in order)


def _knees(above: npt.NDArray[np.float64], drop: float) -> list[int]:
    """Local maxima of the height above the diagonal from which it falls by more than `drop` before the next one."""
    peaks = [i for i in range(1, len(above) - 1) if above[i] > 0 and above[i - 1] < above[i] >= above[i + 1]]
    return [peak for peak, end in pairwise([*peaks, len(above)]) if (above[peak + 1 : end] < above[peak] - drop).any()]


def knee_over_lines(
    table: pd.DataFrame,
    store: Store,
    column: str = "skewness",
    *,
    curve: Curve = "convex",
    sensitivity: float = 1.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> LineKnee:
    """Find the knee over the means of CRE lines, and how far it moves with one line less or with other mice.

    This is the procedure by which the paper behind the preset ``predictable`` says that it came to its thresholds,
    skewness 3.51 and kurtosis 22.62, over the means of 13 lines. It does not reproduce them: which time, which kurtosis
    and which way of averaging were used is not published.

    Parameters
    ----------
    table : DataFrame
        As `compute_statistics` gives it.
    store : Store
        Where the neurons are from.
    column : str
        Of `table`. Neurons without a value are left out; means are over neurons, negative values unclipped.
    curve : {"convex", "concave"}
        Shape of the sorted means: convex where few lines have heavy tails.
    sensitivity : float
        Kneedle's S.
    draws : int
        How often the donors of every line are drawn again; 0 leaves that out.
    seed : int
        Of these draws.

    Returns
    -------
    LineKnee

    Raises
    ------
    StatisticError
        For an unknown column, one that has no mean, or values of fewer than three lines.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> lines = ["a", "b", "c", "d", "e"]
    >>> neurons = pd.DataFrame({"neuron_id": lines, "cre_line": lines, "donor_id": lines})
    >>> table = pd.DataFrame({"neuron_id": lines, "skewness": [1.0, 1.2, 1.4, 1.7, 6.0]})
    >>> knee = knee_over_lines(table, SimpleNamespace(neurons=neurons))
    >>> knee.threshold, knee.without["e"]
    (1.7, None)
    """
    numbers = table.select_dtypes("number").columns
    if column not in numbers:
        raise StatisticError(f"the table has no column of numbers {column!r}: {nearest(column, numbers)}")
    reason = why_no_mean(column, known_columns(table))
    if reason is not None:
        raise StatisticError(
            f"{column!r} is {reason}, which has no mean, and so no knee over means; take another column."
        )
    known = store.neurons[["neuron_id", "cre_line", "donor_id"]].astype({"neuron_id": "str"})
    values = table[["neuron_id", column]].merge(known, on="neuron_id").dropna()
    values = values[np.isfinite(values[column].to_numpy(np.float64)) & (values["cre_line"] != "")]
    means = values.groupby("cre_line")[column].mean().sort_values(kind="stable")
    if len(means) < FEWEST_LINES:
        raise StatisticError(
            f"{column!r} has values of {len(means)} CRE lines, and a knee is sought among {FEWEST_LINES} or more."
        )

    def threshold(of: npt.NDArray[np.float64]) -> float | None:
        ascending = np.sort(of)
        knees = kneedle(np.arange(len(of)), ascending, curve, sensitivity) if len(of) >= FEWEST_LINES else ()
        return float(ascending[knees[0]]) if knees else None

    return LineKnee(
        column=column,
        threshold=threshold(means.to_numpy()),
        lines=tuple(means.index.astype(str)),
        means=tuple(means.tolist()),
        without={str(line): threshold(means.drop(line).to_numpy()) for line in means.index},
        by_donors=tuple(threshold(drawn) for drawn in _drawn_means(values, column, draws, seed)),
    )


def _drawn_means(values: pd.DataFrame, column: str, draws: int, seed: int) -> npt.NDArray[np.float64]:
    """Means of the lines when the donors of each are drawn with replacement, shape (draw, line)."""
    donors = values.groupby(["cre_line", "donor_id"])[column].agg(["sum", "size"])
    lines = [own.to_numpy(np.float64) for _, own in donors.groupby(level="cre_line")]
    if max(map(len, lines)) < 2:  # nothing can be drawn otherwise
        return np.empty((0, len(lines)))
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(len(own), np.full(len(own), 1 / len(own)), draws) @ own for own in lines]
    return np.stack([of_line[:, 0] / of_line[:, 1] for of_line in drawn], axis=1)


def _spread(thresholds: Iterable[float | None]) -> str:
    known = list(thresholds)
    found = [value for value in known if value is not None]
    absent = f"none in {len(known) - len(found)} of {len(known)}" if len(found) < len(known) else ""
    if not found:
        return absent
    return f"{min(found):.4g} to {max(found):.4g}" + (f", {absent}" if absent else "")
