"""Linear Fisher information about the direction of drifting gratings, neuron by neuron, as a point estimate.

The estimand, in rad^-2, is the mean over the eight neighbouring pairs of directions of

    J = (mu_{k+1} - mu_k)^2 / (dtheta^2 * (var_k + var_{k+1}) / 2),     dtheta = pi / 4,

with mu and var the mean and variance over trials of the mean dF/F of a sweep, at the preferred temporal frequency: a
coarse discriminability, and a lower bound on the mean derivative information. No published number is reproduced by it.

The estimate of a pair from T trials a direction is (1 - 2 / nu) * dmu^2 / V - noise, with V the mean of the two sample
variances, and both terms divided by dtheta^2. For equal variances and equal T this is the correction of Kanitscheider
et al. 2015 for one neuron, I_naive (2T - 4) / (2T - 2) - 2 / (T dtheta^2). It departs from it where variances or
numbers of trials differ, which pooling would bias:

* noise = (var_k / T_k + var_{k+1} / T_{k+1}) / V, the share of dmu^2 that is sampling noise, each with its own T;
* nu is the effective number of degrees of freedom of V (Welch and Satterthwaite) from squared variances that are
  themselves corrected for their sampling; nu = 2T - 2 when variances and T are equal.

Preferred temporal frequency: chosen where the mean response to some direction is highest, by two-fold cross-fitting
over every second trial of each condition. One half chooses, the difference of means comes from the other half, and the
two estimates are averaged: choosing on the same trials inflates information. Variances are taken within halves but from
both, since for Gaussian noise they carry nothing about the means; 15 trials a condition thus give 13 degrees of
freedom, not 6. Averaging over temporal frequencies would be less noisy, but it estimates something else: a tuning that
no single stimulus evokes. With one temporal frequency there is nothing to choose, and all trials are used at once.
Where tuning to temporal frequency is weak against the noise, the estimand is J at whichever was chosen, which is lower
than J at the best. Negative estimates stay negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Statistic, Stretch
from poyodata.vocabulary import DIRECTIONS_DEG, DRIFTING_GRATINGS

FloatArray = npt.NDArray[np.float64]

D_THETA = math.pi / 4
MIN_TRIALS = 5
"""Fewest trials of each direction at a temporal frequency: variances then have 3 degrees of freedom, which the
correction needs to stay finite."""


@dataclass(frozen=True)
class TrialResponses:
    """Responses to gratings so far, in the order shown; those of different stretches are strung together.

    Attributes
    ----------
    response : ndarray, shape (trial, neuron), float64, dF/F
        Mean over the frames of the sweep, missing ones left out; NaN where all are missing.
    direction_deg, temporal_frequency_hz : ndarray, shape (trial,), float64
    """

    response: FloatArray
    direction_deg: FloatArray
    temporal_frequency_hz: FloatArray

    def merge(self, other: TrialResponses) -> TrialResponses:
        """Responses of both, the other's last."""
        return TrialResponses(
            np.concatenate([self.response, other.response]),
            np.concatenate([self.direction_deg, other.direction_deg]),
            np.concatenate([self.temporal_frequency_hz, other.temporal_frequency_hz]),
        )


def trial_responses(stretch: Stretch, stimulus: str = DRIFTING_GRATINGS) -> TrialResponses:
    """Mean dF/F over every sweep of a stretch that shows a direction: blank sweeps are left out."""
    trials = stretch.trials
    trials = trials[(trials["stimulus"] == stimulus) & ~trials["blank"] & trials["direction_deg"].notna()]
    response = np.full((len(trials), stretch.traces.shape[1]), np.nan)
    for row, (start, stop) in enumerate(zip(trials["start_frame"], trials["stop_frame"], strict=True)):
        frames = stretch.traces[start:stop]
        mean = frames.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean).all():
            seen = np.isfinite(frames)
            total = np.where(seen, frames, 0.0).sum(axis=0, dtype=np.float64)
            mean = total / np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)
        response[row] = mean
    return TrialResponses(
        response,
        trials["direction_deg"].to_numpy(np.float64),
        trials["temporal_frequency_hz"].to_numpy(np.float64),
    )


def pair_information(
    delta: FloatArray, var: tuple[FloatArray, FloatArray], dof: tuple[FloatArray, FloatArray], n: tuple[Any, Any]
) -> FloatArray:
    """Corrected information between two stimuli one unit apart, for any shape of neurons and pairs.

    Parameters
    ----------
    delta : ndarray, float64
        Difference of the two sample means.
    var, dof : pair of ndarray, float64
        Unbiased sample variances and their degrees of freedom.
    n : pair of ndarray, float64
        Trials behind each of the two means.

    Returns
    -------
    ndarray, float64
        NaN where a variance is unknown or both are zero.

    Examples
    --------
    >>> one, nine, ten = np.ones(1), np.full(1, 9.0), np.full(1, 10.0)
    >>> value = pair_information(np.full(1, 2.0), (one, one), (nine, nine), (ten, ten))
    >>> kanitscheider = 4.0 * (2 * 10 - 4) / (2 * 10 - 2) - 2 / 10
    >>> abs(float(value[0]) - kanitscheider) < 0.05
    True
    """
    mean_var = (var[0] + var[1]) / 2
    mean_var = np.where(mean_var > 0, mean_var, np.nan)
    noise = (var[0] / n[0] + var[1] / n[1]) / mean_var
    # E[s^4] = sigma^4 (1 + 2 / dof): without this correction nu comes out low for equal variances.
    fourth = [v**2 * d / (d + 2) for v, d in zip(var, dof, strict=True)]
    nu = (fourth[0] + 2 * var[0] * var[1] + fourth[1]) / (fourth[0] / dof[0] + fourth[1] / dof[1])
    corrected: FloatArray = (1 - 2 / nu) * delta**2 / mean_var - noise
    return corrected


def fisher_direction(responses: TrialResponses) -> FloatArray:
    """Estimate J of every neuron: shape (neuron,), float64, rad^-2.

    NaN where no temporal frequency has `MIN_TRIALS` trials of each of the eight directions.
    """
    n_neurons = responses.response.shape[1]
    count, mean, squares = _by_condition(responses)
    frequency, direction, _, neuron = count.shape
    trials = count.sum(axis=2)
    eligible = (trials >= MIN_TRIALS).all(axis=1)
    if not eligible.any():
        return np.full(n_neurons, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        if frequency == 1:
            merged_mean = np.where(count > 0, count * mean, 0.0).sum(axis=2) / trials
            between = np.where(count > 0, count * (mean - merged_mean[:, :, None]) ** 2, 0.0).sum(axis=2)
            all_squares = (squares.sum(axis=2) + between)[0]
            estimate = _around(merged_mean[0], all_squares, trials[0] - 1.0, trials[0])
        else:
            halves = []
            dof = trials - 2.0
            for chooses, estimates in ((0, 1), (1, 0)):
                best = np.where(eligible, np.nanmax(mean[:, :, chooses], axis=1, initial=-np.inf), -np.inf)
                chosen = best.argmax(axis=0)
                at = (chosen[None], np.arange(direction)[:, None], np.arange(neuron)[None])
                halves.append(
                    _around(mean[:, :, estimates][at], squares.sum(axis=2)[at], dof[at], count[:, :, estimates][at])
                )
            estimate = (halves[0] + halves[1]) / 2
    return np.where(eligible.any(axis=0), estimate, np.nan)


def _around(mean: FloatArray, squares: FloatArray, dof: FloatArray, n: FloatArray) -> FloatArray:
    """Mean information of the eight neighbouring pairs; every array has shape (direction, neuron)."""
    var = squares / dof
    after = [np.roll(values, -1, axis=0) for values in (mean, var, dof, n)]
    pairs = pair_information(after[0] - mean, (var, after[1]), (dof, after[2]), (n, after[3]))
    return np.asarray(pairs.mean(axis=0) / D_THETA**2, np.float64)


def _by_condition(responses: TrialResponses) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count, mean and sum of squared deviations, each of shape (temporal frequency, direction, half, neuron).

    A trial's half is the parity of its turn within its condition: both halves then span the whole recording.
    """
    direction_deg = np.round(responses.direction_deg % 360.0, 6)
    frequencies = np.unique(responses.temporal_frequency_hz)
    shape = (max(len(frequencies), 1), len(DIRECTIONS_DEG), 2, responses.response.shape[1])
    count, mean, squares = np.zeros(shape), np.full(shape, np.nan), np.zeros(shape)
    for f, frequency in enumerate(frequencies):
        same = responses.temporal_frequency_hz == frequency
        if math.isnan(frequency):
            same = np.isnan(responses.temporal_frequency_hz)
        for d, direction in enumerate(DIRECTIONS_DEG):
            shown = np.flatnonzero(same & (direction_deg == direction))
            for half in (0, 1):
                values = responses.response[shown[half::2]]
                seen = np.isfinite(values)
                n = seen.sum(axis=0)
                centre = np.where(seen, values, 0.0).sum(axis=0) / np.where(n > 0, n, np.nan)
                count[f, d, half], mean[f, d, half] = n, centre
                squares[f, d, half] = (np.where(seen, values - centre, 0.0) ** 2).sum(axis=0)
    return count, mean, squares


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> TrialResponses:
    return trial_responses(stretch, params["stimulus"])


def _finalize(state: TrialResponses, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    return {
        "fisher_direction": fisher_direction(state),
        "n_trials": np.isfinite(state.response).sum(axis=0).astype(np.int64),
    }


FISHER_DIRECTION = Statistic(
    name="fisher_direction",
    version=1,
    group="information",
    columns={
        "fisher_direction": Column(
            dtype="float64",
            unit="rad^-2",
            definition="Linear Fisher information between neighbouring directions of drifting gratings, mean of eight "
            "pairs, at the cross-fitted preferred temporal frequency, bias-corrected; may be negative.",
        ),
        "n_trials": Column(
            dtype="int64", unit="trials", definition="Drifting-grating sweeps with a direction and a response."
        ),
    },
    chunk=_chunk,
    combine=TrialResponses.merge,
    finalize=_finalize,
    nan_policy=f"Missing frames are left out of a sweep's mean; NaN where no temporal frequency has {MIN_TRIALS} "
    "sweeps of each of the eight directions, or a neuron's response never varies.",
    uses_labels=True,
    stimulus=DRIFTING_GRATINGS,
    params={"stimulus": DRIFTING_GRATINGS},
)
