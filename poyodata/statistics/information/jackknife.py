"""Mean squared distance over pairs of stimuli, with each round of trials left out in turn.

`fisher_pairs.squared_distance` is unbiased for Gaussian noise that is independent from trial to trial. Calcium
responses are neither. They are skewed: a condition with a large event has a large mean and a large variance at once,
and the ratio comes out low, by a third at 15 trials. And they drift: trials shown soon after each other share noise,
which the difference of their means does not have. Leaving out round after round (the first trial of every stimulus, the
second, ...) shows both, and the jackknife takes away what falls like 1 / T. It costs nothing where there is no bias: a
mean of unbiased estimates is unbiased, exactly, whatever the number of trials. The same differences give a standard
error, with the dependence between pairs that share a stimulus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from poyodata.statistics.information.pairs import FloatArray, squared_distance


@dataclass(frozen=True)
class LeftOut:
    """An estimate from all trials, and those from all but one round.

    Attributes
    ----------
    whole : ndarray, shape (neuron,), float64
    without : ndarray, shape (round, neuron), float64
    n_rounds : ndarray, shape (neuron,), float64
        Rounds in which the neuron has any response; others change nothing.
    """

    whole: FloatArray
    without: FloatArray
    n_rounds: FloatArray

    @property
    def value(self) -> FloatArray:
        """The jackknife's estimate, shape (neuron,); NaN where there are too few trials to leave one out.

        Not the estimate of all trials there: neurons of one recording would have two estimators, of opposite bias.
        """
        more = (self.n_rounds - 1) / self.n_rounds * (self.whole - self.without).sum(axis=0)
        return np.asarray(self.whole + more)

    @property
    def standard_error(self) -> FloatArray:
        """Of the estimate, shape (neuron,); NaN where there are too few trials to leave one out."""
        mean = self.whole + (self.without - self.whole).sum(axis=0) / self.n_rounds
        # Rounds without a response are no deviation from the mean: their share is taken out again.
        squares = ((self.without - mean) ** 2).sum(axis=0)
        squares -= (len(self.without) - self.n_rounds) * (self.whole - mean) ** 2
        return np.asarray(np.sqrt(np.maximum(squares, 0.0) * (self.n_rounds - 1) / self.n_rounds))

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Value plus and minus Student's t, of rounds less one degrees of freedom, times the standard error."""
        reach = stdtrit(self.n_rounds - 1, (1 + level) / 2) * self.standard_error
        return self.value - reach, self.value + reach

    def scaled(self, factor: float) -> LeftOut:
        """Give the same in another unit."""
        return LeftOut(self.whole * factor, self.without * factor, self.n_rounds)


def average(first: LeftOut, second: LeftOut) -> LeftOut:
    """Average two estimates that come from the same rounds."""
    return LeftOut(
        (first.whole + second.whole) / 2, (first.without + second.without) / 2, np.fmin(first.n_rounds, second.n_rounds)
    )


def mean_distance(
    values: FloatArray, half: npt.NDArray[np.int64], pairs: Sequence[tuple[int, int]], estimates: int
) -> LeftOut:
    """Estimate the mean over pairs of stimuli of squared difference of means over mean variance.

    Parameters
    ----------
    values : ndarray, shape (stimulus, round, neuron), float64
        Responses; NaN where there is none.
    half : ndarray, shape (round,), int64
        Which half of the trials each round belongs to.
    pairs : sequence of (int, int)
        Stimuli to be told apart.
    estimates : int
        The half that means come from. Variances are those within halves, of both.

    Returns
    -------
    LeftOut
        NaN for a neuron with too few responses.
    """
    seen = np.isfinite(values)
    n, mean, squares = _within_halves(values, seen, half, max(estimates, int(half.max(initial=0))) + 1)
    count, dof = n[estimates], (n - 1.0).sum(axis=0)
    whole = _over_pairs(pairs, mean[estimates], squares.sum(axis=0), dof, count)
    of_same = n[half].swapaxes(0, 1)  # trials of the same half, shape (stimulus, round, neuron)
    deviation = np.where(seen, values - mean[half].swapaxes(0, 1), 0.0)
    in_mean = seen & (half == estimates)[None, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        less_mean = mean[estimates][:, None] - np.where(in_mean, deviation / (of_same - 1), 0.0)
        less_squares = squares.sum(axis=0)[:, None] - np.where(seen, of_same / (of_same - 1) * deviation**2, 0.0)
    without = _over_pairs(
        pairs, less_mean, np.maximum(less_squares, 0.0), dof[:, None] - seen, count[:, None] - in_mean
    )
    n_rounds = seen.any(axis=0).sum(axis=0).astype(np.float64)
    return LeftOut(whole, without, np.where(n_rounds > 1, n_rounds, np.nan))


def _over_pairs(
    pairs: Sequence[tuple[int, int]], mean: FloatArray, squares: FloatArray, dof: FloatArray, n: FloatArray
) -> FloatArray:
    total = np.zeros(mean.shape[1:])
    for i, j in pairs:
        total += squared_distance(mean[j] - mean[i], (squares[i], squares[j]), (dof[i], dof[j]), (n[i], n[j]))
    return total / len(pairs)


def _within_halves(
    values: FloatArray, seen: npt.NDArray[np.bool_], half: npt.NDArray[np.int64], n_halves: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count, mean and sum of squared deviations, each of shape (half, stimulus, neuron)."""
    parts = []
    for each in range(n_halves):
        known, kept = seen[:, half == each], np.where(seen, values, 0.0)[:, half == each]
        n = known.sum(axis=1).astype(np.float64)
        mean = kept.sum(axis=1) / np.where(n > 0, n, np.nan)
        squares = (np.where(known, kept - mean[:, None], 0.0) ** 2).sum(axis=1)
        parts.append((n, mean, squares))
    n, mean, squares = (np.stack(part) for part in zip(*parts, strict=True))
    return n, mean, squares
