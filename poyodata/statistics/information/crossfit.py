"""Choices made on one half of the trials, estimates on the other: what choosing on the same trials would inflate.

A trial's half is the parity of its turn within its condition, so that both halves span the whole recording. One half
chooses, the means come from the other, and the two estimates are averaged. Variances are those within halves, of both,
since for Gaussian noise they carry nothing about the means.

The preferred temporal frequency is the one with the largest response on the mean over directions, as in the
simulator's truth. The largest single response would be another choice; it is noisier, and chose a wrong frequency more
often. Where tuning to temporal frequency is weak against the noise, what is estimated is the value at whichever was
chosen, which is lower than that at the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poyodata.statistics.information.pairs import FloatArray
from poyodata.statistics.information.trials import MIN_TRIALS


@dataclass(frozen=True)
class Choice:
    """Temporal frequency of every neuron as a half of the trials chooses it.

    Attributes
    ----------
    frequency : ndarray, shape (neuron,), int64
    mean : ndarray, shape (direction, neuron), float64, dF/F
        Mean responses in that half, at that frequency.
    values : ndarray, shape (direction, turn, neuron), float64, dF/F
        All responses at that frequency, of both halves.
    """

    frequency: npt.NDArray[np.int64]
    mean: FloatArray
    values: FloatArray


def halves(turns: int) -> npt.NDArray[np.int64]:
    """Half of each turn within its condition."""
    return np.arange(turns, dtype=np.int64) % 2


def choose(values: FloatArray, half: int) -> Choice:
    """Choose each neuron's temporal frequency by one half of the trials.

    Parameters
    ----------
    values : ndarray, shape (temporal frequency, direction, turn, neuron), float64
    half : int

    Returns
    -------
    Choice
        Responses are NaN where no frequency has `MIN_TRIALS` trials of each direction.
    """
    seen = np.isfinite(values)
    eligible = (seen.sum(axis=2) >= MIN_TRIALS).all(axis=1)
    mine = seen[:, :, half::2]
    mean = np.where(mine, values[:, :, half::2], 0.0).sum(axis=2) / np.maximum(mine.sum(axis=2), 1)
    frequency = np.where(eligible, mean.mean(axis=1), -np.inf).argmax(axis=0)
    neuron = np.arange(values.shape[3])
    chosen = np.moveaxis(values[frequency, :, :, neuron], 0, -1)
    chosen = np.where(eligible[frequency, neuron], chosen, np.nan)
    return Choice(frequency, mean[frequency, :, neuron].T, chosen)
