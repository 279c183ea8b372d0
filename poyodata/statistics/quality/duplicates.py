"""Regions of interest that hold the same cell: nearby, and alike beyond what all neurons have in common.

Traces are compared by their one-second means about the mean of their minute: noise of single frames and slow drift
then hardly count. The common mode of a pair is the mean of all other neurons, each in units of its own spread; what it
explains is taken out of both (a partial correlation). Two regions of one cell correlate above 0.8 after that, unless
the cell is silent: where there is nothing but noise, and each region has its own, no copy can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.quality.seconds import Seconds
from poyodata.statistics.statistic import Column, Statistic, Stretch

FloatArray = npt.NDArray[np.float64]

WITHIN_UM = 20.0
"""Two cells of the cortex are further apart than the diameter of one, centre to centre."""
SAME_CELL = 0.8
LEAST_S = 10
"""Seconds of a minute that must have been seen for it to count."""


@dataclass(frozen=True)
class Neighbours:
    """Seconds so far, and where the regions lie.

    Attributes
    ----------
    seconds : Seconds
    position_um : ndarray, shape (neuron, 2), float64
        NaN where it is not known.
    """

    seconds: Seconds
    position_um: FloatArray

    def merge(self, other: Neighbours) -> Neighbours:
        """Seconds of both."""
        return Neighbours(self.seconds.merge(other.seconds), self.position_um)


def partial_correlation(minutes: list[FloatArray]) -> FloatArray:
    """Correlate every two neurons after the mean of all others is taken out of both.

    Parameters
    ----------
    minutes : list of ndarray, shape (second, neuron), float64
        NaN where missing; each is centred on its own mean, and only seconds that both neurons have count.

    Returns
    -------
    ndarray, shape (neuron, neuron), float64
        NaN on the diagonal, and where a neuron never varies or its partner explains nothing but the common mode.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared, cell = rng.normal(size=(600, 1)), rng.normal(size=(600, 1))
    >>> traces = shared + rng.normal(size=(600, 40))
    >>> traces[:, 7:9] = shared + cell + 0.1 * rng.normal(size=(600, 2))
    >>> found = partial_correlation([traces])
    >>> bool(found[7, 8] > 0.9), bool(np.abs(found[0, 1:]).max() < 0.2)
    (True, True)
    """
    if not minutes:
        return np.empty((0, 0))
    n_neurons = minutes[0].shape[1]
    products, squares = np.zeros((2, n_neurons, n_neurons))
    for means in minutes:
        seen = np.isfinite(means)
        number = np.maximum(seen.sum(axis=0), 1)
        centred = np.where(seen, means, 0.0)
        centred = np.where(seen, centred - centred.sum(axis=0) / number, 0.0)
        products += centred.T @ centred
        # Of the neuron of the row, over the seconds that the neuron of the column has.
        squares += (centred**2).sum(axis=0)[:, None] if seen.all() else (centred**2).T @ seen
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt(squares * squares.T)
        plain = np.where(size > 0, products / size, np.nan)
    moving = np.diag(products) > 0
    known = np.where(moving[:, None] & moving[None, :], np.nan_to_num(plain), 0.0)
    # With the mean of all neurons but the two: sums over the matrix, less their own rows and columns.
    row, own = known.sum(axis=1), moving.astype(np.float64)
    with_rest = row[:, None] - own[:, None] - known
    rest = row.sum() - 2 * (row[:, None] + row[None, :]) + own[:, None] + own[None, :] + 2 * known
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(rest > 1e-9, with_rest / np.sqrt(np.maximum(rest, 1e-9)), 0.0)
        left = np.sqrt(np.maximum(1 - first**2, 0.0))
        partial = np.asarray((plain - first * first.T) / (left * left.T))
    partial[~np.isfinite(partial)] = np.nan
    np.fill_diagonal(partial, np.nan)
    return np.asarray(np.clip(partial, -1.0, 1.0))


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> Neighbours:  # noqa: ARG001 - the shape all statistics have
    position = np.full((stretch.traces.shape[1], 2), np.nan)
    if {"x_um", "y_um"} <= set(stretch.neurons.columns):
        position = stretch.neurons[["x_um", "y_um"]].to_numpy(np.float64)
    return Neighbours(Seconds.of(stretch), position)


def _finalize(state: Neighbours, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    n_neurons = len(state.position_um)
    nobody = np.full(n_neurons, -1)
    minutes = state.seconds.minutes(params["least_s"])
    if not minutes:
        return {"duplicate_correlation": np.full(n_neurons, np.nan), "duplicate_of_column": nobody}
    correlation = partial_correlation(minutes)
    distance = np.hypot(*(np.subtract.outer(axis, axis) for axis in state.position_um.T))
    near = ~(distance > params["within_um"])  # and where a position is not known
    known = np.where(near, correlation, np.nan)
    moving = np.isfinite(correlation).any(axis=1)
    highest = np.where(np.isfinite(known), known, -np.inf).max(axis=1)
    alone = np.where(moving, 0.0, np.nan)
    kept = nobody.copy()
    for column in range(1, n_neurons):
        # A region is left out for one before it that is not left out itself: of a family, the first stays.
        before = (known[column, :column] >= params["same_cell"]) & (kept[:column] < 0)
        if before.any():
            kept[column] = int(before.argmax())
    return {
        "duplicate_correlation": np.where(np.isfinite(highest), highest, alone),
        "duplicate_of_column": kept,
    }


QUALITY_DUPLICATES = Statistic(
    name="quality_duplicates",
    version=1,
    group="quality",
    columns={
        "duplicate_correlation": Column(
            dtype="float64",
            unit="1",
            definition=f"Highest correlation with another region within {WITHIN_UM:g} um (anywhere where positions are "
            "unknown) of one-second means about their minute's mean, the mean of all other neurons taken out; 0 for a "
            "region without neighbours.",
            low=-1.0,
            high=1.0,
        ),
        "duplicate_of_column": Column(
            dtype="int64",
            unit="1",
            definition=f"Column of the region that this one repeats (duplicate_correlation from {SAME_CELL:g} on); -1 "
            "for none, and for the first region of each cell, which stays.",
            low=-1.0,
        ),
    },
    chunk=_chunk,
    combine=Neighbours.merge,
    finalize=_finalize,
    nan_policy="Only seconds with at least half of their frames in both regions count. duplicate_correlation is NaN "
    "for a region that never varies, and where no minute was seen; duplicate_of_column is -1 there.",
    params={"within_um": WITHIN_UM, "same_cell": SAME_CELL, "least_s": LEAST_S},
)
