"""Discriminability of the two directions that a neuron tells apart best.

The estimand is d'^2 = (mu_i - mu_j)^2 / ((var_i + var_j) / 2), with i and j the directions of the largest and the
smallest mean response at the preferred temporal frequency, mu and var as for `fisher_direction`. One half of the trials
chooses temporal frequency and pair, the means come from the other, and the two estimates are averaged: the largest of
28 differences on the same trials is never zero, not even for a neuron that is not tuned. Where tuning is weak against
the noise, the value is that of whichever pairs were chosen. Estimator and interval are those of `fisher_direction`.
"""

from __future__ import annotations

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
from poyodata.vocabulary import DRIFTING_GRATINGS


def dprime2(responses: TrialResponses) -> FloatArray:
    """Estimate the squared discriminability of the best pair of directions.

    Parameters
    ----------
    responses : TrialResponses

    Returns
    -------
    ndarray, shape (neuron,), float64
        NaN where no temporal frequency has `MIN_TRIALS` trials of each of the eight directions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> direction = np.tile(np.arange(8) * 45.0, 200)
    >>> response = np.cos(np.deg2rad(direction))[:, None] + rng.normal(size=(1600, 1))
    >>> abs(float(dprime2(TrialResponses(response, direction, np.ones(1600)))[0]) - 4.0) < 0.5
    True
    """
    return discriminability(by_condition(responses)).value


def discriminability(values: FloatArray) -> LeftOut:
    """Estimate d'^2 with its standard error, from responses by condition, as `by_condition` gives them."""
    half = halves(values.shape[2])
    found = []
    for chooses in (0, 1):
        choice = choose(values, chooses)
        pair = np.stack([choice.mean.argmax(axis=0), choice.mean.argmin(axis=0)])
        both = np.take_along_axis(choice.values, pair[:, None], axis=0)
        found.append(mean_distance(both, half, [(0, 1)], 1 - chooses))
    return average(*found)


def _finalize(state: TrialResponses, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    value = dprime2(state)
    return {"dprime2": value, "dprime2_per_frame": value / state.sweep_frames}


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    responses = reduce(TrialResponses.merge, (trial_responses(stretch, params) for stretch in stretches))
    low, high = discriminability(by_condition(responses)).interval(resampling.level)
    frames = responses.sweep_frames
    return {"dprime2": (low, high), "dprime2_per_frame": (low / frames, high / frames)}


DPRIME2 = Statistic(
    name="dprime2",
    version=1,
    group="information",
    columns={
        "dprime2": Column(
            dtype="float64",
            unit="1",
            definition="Squared discriminability, per sweep, of two directions: those of largest and smallest mean "
            "response, at the preferred temporal frequency, in one half of the trials, told apart in the other; "
            "squared difference of means over mean variance, mean of both halves, bias-corrected; may be negative. "
            "Less than that of the best pair where trials are few; as reliable as fisher_direction.",
        ),
        "dprime2_per_frame": Column(
            dtype="float64", unit="1", definition="dprime2 over the number of frames of a sweep; may be negative."
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
