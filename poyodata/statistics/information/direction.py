"""Linear Fisher information about the direction of drifting gratings, neuron by neuron.

The estimand, in rad^-2, is the mean over the eight neighbouring pairs of directions of

    J = (mu_{k+1} - mu_k)^2 / (dtheta^2 * (var_k + var_{k+1}) / 2),     dtheta = pi / 4,

with mu and var the mean and variance over trials of the mean dF/F of a sweep, at the preferred temporal frequency: a
coarse discriminability, and a lower bound on the mean derivative information. No published number is reproduced by it.

Each pair is estimated without bias for Gaussian noise of any two variances (`fisher_pairs`), the temporal frequency is
chosen on other trials than those that the means come from (`fisher_crossfit`), and what skewed and drifting noise do to
the mean of the eight is taken away as far as the jackknife over rounds of trials shows it (`fisher_jackknife`). Where
only one temporal frequency was shown, there is nothing to choose, and all trials are used at once. Averaging over
temporal frequencies would be less noisy, but it estimates something else: a tuning that no single stimulus evokes.
Negative estimates stay negative.

An estimate from fewer than `RELIABLE_TRIALS` trials a direction is marked as unreliable: there the skewed noise of
calcium responses biases its mean by a share that hangs on the neurons. docs/statistics.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.information.crossfit import choose, halves
from poyodata.statistics.information.jackknife import LeftOut, average, mean_distance
from poyodata.statistics.information.pairs import FloatArray
from poyodata.statistics.information.trials import MIN_TRIALS, STIMULUS, TrialResponses, by_condition, trial_responses
from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.vocabulary import DIRECTIONS_DEG, DRIFTING_GRATINGS

D_THETA = math.pi / 4
RELIABLE_TRIALS = 50
"""From this many trials a direction on, the bias under the simulator's skewed noise is small and known."""

_NEIGHBOURS = [(k, (k + 1) % len(DIRECTIONS_DEG)) for k in range(len(DIRECTIONS_DEG))]


def fisher_direction(responses: TrialResponses) -> FloatArray:
    """Estimate J of every neuron.

    Parameters
    ----------
    responses : TrialResponses

    Returns
    -------
    ndarray, shape (neuron,), float64, rad^-2
        NaN where no temporal frequency has `MIN_TRIALS` trials of each of the eight directions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> direction = np.tile(np.arange(8) * 45.0, 200)
    >>> response = np.cos(np.deg2rad(direction))[:, None] + rng.normal(size=(1600, 1))
    >>> estimate = fisher_direction(TrialResponses(response, direction, np.ones(1600)))
    >>> exact = float(np.mean(np.diff(np.cos(np.arange(9) * np.pi / 4)) ** 2)) / D_THETA**2
    >>> abs(float(estimate[0]) - exact) < 0.1
    True
    """
    return direction_information(by_condition(responses))[0].value


def direction_information(values: FloatArray) -> tuple[LeftOut, npt.NDArray[np.int64]]:
    """Estimate J with its standard error, from responses by condition.

    Parameters
    ----------
    values : ndarray, shape (temporal frequency, direction, turn, neuron), float64, dF/F
        As `by_condition` gives them.

    Returns
    -------
    information : LeftOut
        In rad^-2.
    n_trials : ndarray, shape (neuron,), int64
        Fewest trials of a direction behind it.
    """
    half = halves(values.shape[2])
    choices = [choose(values, 0), choose(values, 1)]
    if len(values) == 1:
        found = mean_distance(choices[0].values, np.zeros_like(half), _NEIGHBOURS, 0)
    else:
        found = average(*(mean_distance(choice.values, half, _NEIGHBOURS, 1 - k) for k, choice in enumerate(choices)))
    fewest = [np.isfinite(choice.values).sum(axis=1).min(axis=0) for choice in choices]
    return found.scaled(1 / D_THETA**2), np.minimum(*fewest).astype(np.int64)


def _finalize(state: TrialResponses, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    found, fewest = direction_information(by_condition(state))
    return {
        "fisher_direction": found.value,
        "fisher_direction_per_frame": found.value / state.sweep_frames,
        "fisher_direction_trials": fewest,
        "fisher_direction_reliable": (fewest >= RELIABLE_TRIALS) & np.isfinite(found.value),
        "n_trials": np.isfinite(state.response).sum(axis=0).astype(np.int64),
    }


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    responses = reduce(TrialResponses.merge, (trial_responses(stretch, params) for stretch in stretches))
    low, high = direction_information(by_condition(responses))[0].interval(resampling.level)
    frames = responses.sweep_frames
    return {"fisher_direction": (low, high), "fisher_direction_per_frame": (low / frames, high / frames)}


FISHER_DIRECTION = Statistic(
    name="fisher_direction",
    version=2,
    group="information",
    columns={
        "fisher_direction": Column(
            dtype="float64",
            unit="rad^-2",
            definition="Linear Fisher information between neighbouring directions of drifting gratings, per sweep: "
            "mean of eight pairs, at the cross-fitted preferred temporal frequency, bias-corrected; may be negative.",
        ),
        "fisher_direction_per_frame": Column(
            dtype="float64",
            unit="rad^-2",
            definition="fisher_direction over the number of frames of a sweep; may be negative.",
        ),
        "fisher_direction_trials": Column(
            dtype="int64",
            unit="trials",
            definition="Fewest sweeps of a direction at the temporal frequency that fisher_direction comes from; 0 "
            "where it is NaN.",
            low=0,
        ),
        "fisher_direction_reliable": Column(
            dtype="bool",
            unit="1",
            definition=f"Whether fisher_direction rests on {RELIABLE_TRIALS} sweeps of each direction: with fewer, "
            "skewed noise may bias it by more than 15 %.",
            low=0,
            high=1,
        ),
        "n_trials": Column(
            dtype="int64", unit="trials", definition="Drifting-grating sweeps with a direction and a response.", low=0
        ),
    },
    chunk=trial_responses,
    combine=TrialResponses.merge,
    finalize=_finalize,
    interval=_interval,
    nan_policy=f"Missing frames are left out of a sweep's mean; NaN where no temporal frequency has {MIN_TRIALS} "
    f"sweeps of each of the eight directions, or a neuron's response never varies.",
    uses_labels=True,
    stimulus=DRIFTING_GRATINGS,
    params=STIMULUS,
)
