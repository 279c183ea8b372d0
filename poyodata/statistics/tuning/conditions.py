"""Responses to sweeps sorted by what was shown, and the condition that each neuron prefers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.tuning.sweeps import FloatArray, Sweeps

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Conditions:
    """Responses sorted by what was shown.

    Attributes
    ----------
    sweeps : Sweeps
    levels : tuple of ndarray
        Values of each feature, sorted.
    condition : ndarray, shape (sweep,), int64
        Index of the condition, the last feature running fastest; -1 for blanks.
    mean : ndarray, shape (condition, neuron), float64
        Mean response; NaN where a condition was not seen.
    best : ndarray, shape (neuron,), int64
        Condition of the highest mean, the first of equal ones; 0 where there is none.
    known : ndarray, shape (neuron,), bool
        Whether there is one.
    """

    sweeps: Sweeps
    levels: tuple[FloatArray, ...]
    condition: IntArray
    mean: FloatArray
    best: IntArray
    known: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, sweeps: Sweeps) -> Conditions:
        """Sort sweeps by their features."""
        shown = np.asarray(np.isfinite(sweeps.features).all(axis=1))
        levels = tuple(np.unique(column[shown]) for column in sweeps.features.T)
        condition = np.zeros(len(shown), np.int64)
        for values, column in zip(levels, sweeps.features.T, strict=True):
            condition = condition * len(values) + np.searchsorted(values, np.where(shown, column, 0.0))
        condition[~shown] = -1
        n_conditions = int(np.prod([len(values) for values in levels]))
        _, mean, _ = moments_by_condition(sweeps.response, condition, n_conditions)
        mean = mean[:n_conditions] if n_conditions else np.full((1, mean.shape[1]), np.nan)
        known = np.asarray(np.isfinite(mean).any(axis=0))
        best = np.where(np.isfinite(mean), mean, -np.inf).argmax(axis=0)
        return cls(sweeps, levels, condition, mean, np.where(known, best, 0), known)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each feature; ones where nothing was shown."""
        return tuple(max(len(values), 1) for values in self.levels)

    def preferred(self) -> tuple[IntArray, ...]:
        """Index of each feature's value at the best condition, each of shape (neuron,)."""
        return tuple(np.unravel_index(self.best, self.shape))

    def preferred_values(self) -> tuple[FloatArray, ...]:
        """Each feature's value at the best condition; NaN where there is none."""
        return tuple(
            np.where(self.known, values[index] if len(values) else np.nan, np.nan)
            for values, index in zip(self.levels, self.preferred(), strict=True)
        )

    def peak(self) -> FloatArray:
        """Mean response to the best condition, shape (neuron,)."""
        return np.asarray(self.mean[self.best, np.arange(len(self.best))])

    def tuning(self, feature: int) -> FloatArray:
        """Mean responses along one feature, the others at their best: shape (value of the feature, neuron)."""
        at: list[Any] = [index[None] for index in self.preferred()]
        at[feature] = np.arange(self.shape[feature])[:, None]
        neuron = np.arange(self.mean.shape[1])[None]
        return np.asarray(self.mean.reshape(*self.shape, -1)[(*at, neuron)])

    def best_sweeps(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Sweeps of a condition and the neurons whose best it is, condition by condition."""
        for condition in np.unique(self.best[self.known]).tolist():
            neurons = np.flatnonzero(self.known & (self.best == condition))
            yield np.flatnonzero(self.condition == condition), neurons


def moments_by_condition(
    response: FloatArray, condition: IntArray, n_conditions: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count, mean and sum of squared deviations by condition, blanks last: shape (condition + 1, neuron)."""
    shape = (n_conditions + 1, response.shape[1])
    count, mean, squares = np.zeros(shape), np.full(shape, np.nan), np.zeros(shape)
    for row, number in enumerate([*range(n_conditions), -1]):
        values = response[condition == number]
        seen = np.isfinite(values)
        n = seen.sum(axis=0)
        centre = np.where(seen, values, 0.0).sum(axis=0) / np.where(n > 0, n, np.nan)
        count[row], mean[row] = n, centre
        squares[row] = (np.where(seen, values - centre, 0.0) ** 2).sum(axis=0)
    return count, mean, squares
