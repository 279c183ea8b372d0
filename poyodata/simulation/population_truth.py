"""What a population knows: the true linear Fisher information of sets of simulated neurons about direction.

The mean over the eight neighbouring pairs of directions of ``dmu' Sigma^-1 dmu / dtheta^2``, ``dtheta = pi / 4``, in
rad^-2, within each temporal frequency and averaged; ``Sigma`` is the mean of the covariances at the two directions,
from the moments of `poyodata.simulation.sweep_model`. What neurons share (gains, the common signal, jerks) correlates
them.

Shared noise hardly bounds what many neurons know. What does is noise that looks like the stimulus itself: if the
direction that reaches all of them is off by a random angle from trial to trial, of variance e, the information of any
number of them stays below 1 / e (Moreno-Bote et al. 2014). That angle is ``jitter_deg``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.population import grating_tuning
from poyodata.simulation.sweep_model import FloatArray, SweepModel, sweep_model
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

_NODES = 15


def population_moments(
    neurons: pd.DataFrame,
    model: SweepModel,
    direction_deg: float,
    frequency_hz: float,
    jitter_deg: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of the neurons' mean dF/F over a sweep of one grating.

    Parameters
    ----------
    neurons : DataFrame
        As `poyodata.simulation.population.draw_population` gives it; none a copy of another.
    model : SweepModel
    direction_deg, frequency_hz : float
    jitter_deg : float
        Standard deviation over trials of the angle that all neurons see the grating off by.

    Returns
    -------
    mean : ndarray, shape (neuron,), float64, dF/F
    covariance : ndarray, shape (neuron, neuron), float64, squares of dF/F
    """
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    shown = TEMPORAL_FREQUENCIES_HZ.index(frequency_hz)
    tuning = grating_tuning(neurons, direction_deg + jitter_deg * node)[:, :, shown]
    driven = tuning * neurons["driven_rate_hz"].to_numpy(np.float64)[:, None]
    mean, second = driven @ weight, (driven * weight) @ driven.T
    spread = second - np.outer(mean, mean)
    c0, c1, c2 = (model.covariance[:, :, k] for k in range(3))
    covariance = c0 + c1 * mean[:, None] + c1.T * mean[None, :] + c2 * second
    v0, v1, v2 = (model.variance[:, k] for k in range(3))
    covariance[np.diag_indices(len(neurons))] = v0 + v1 * mean + v2 * np.diag(second)
    covariance += np.outer(model.mean[:, 1], model.mean[:, 1]) * spread
    return model.mean[:, 0] + model.mean[:, 1] * mean, covariance


def fisher_population_true(
    neurons: pd.DataFrame,
    rate_hz: float,
    sets: Sequence[npt.ArrayLike],
    frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ,
    artefacts_per_hour: float = 0.0,
    jitter_deg: float = 0.0,
) -> FloatArray:
    """Compute the true Fisher information of sets of neurons about direction.

    Parameters
    ----------
    neurons, rate_hz, frequencies_hz, artefacts_per_hour
        As for `poyodata.simulation.sweep_model.sweep_model`.
    sets : sequence of array_like of int
        Rows of `neurons`.
    jitter_deg : float
        As for `population_moments`.

    Returns
    -------
    ndarray, shape (set,), float64, rad^-2

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.worlds import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> few, all_of_them = fisher_population_true(neurons, 30.0, [[0, 1], range(12)])
    >>> bool(0 < few < all_of_them)
    True
    """
    model = sweep_model(neurons, rate_hz, frequencies_hz, artefacts_per_hour)
    total = np.zeros(len(sets))
    for frequency in frequencies_hz:
        moments = [population_moments(neurons, model, angle, frequency, jitter_deg) for angle in DIRECTIONS_DEG]
        for (mean, covariance), (next_mean, next_covariance) in zip(moments, moments[1:] + moments[:1], strict=True):
            difference, noise = next_mean - mean, (covariance + next_covariance) / 2
            for index, rows in enumerate(sets):
                own = np.asarray(rows, np.int64)
                total[index] += difference[own] @ np.linalg.solve(noise[np.ix_(own, own)], difference[own])
    step = 2 * np.pi / len(DIRECTIONS_DEG)
    return np.asarray(total / (len(frequencies_hz) * len(DIRECTIONS_DEG) * step**2))
