"""Tuning to natural scenes: AllenSDK's `NaturalScenes`, on train-role time.

Image selectivity follows Quian Quiroga et al. 2007: 1 - 2 A, with A the mean over 1,000 thresholds between the lowest
and the highest mean response of the share of images above the threshold. It is 1 less a few percent for a neuron that
one image drives and 0 where responses are spread evenly; AllenSDK counts 118 images, we those that were seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.behaviour import RUNNING_SPEED
from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.statistics.tuning.columns import PEAK_DFF, shared_columns, shared_results
from poyodata.statistics.tuning.conditions import Conditions
from poyodata.statistics.tuning.interval import sweeps_interval
from poyodata.statistics.tuning.measures import ALPHA, time_to_peak_s
from poyodata.statistics.tuning.sweeps import FloatArray, Sweeps, cut_sweeps
from poyodata.vocabulary import NATURAL_SCENES

THRESHOLDS = 1000


def image_selectivity(mean: FloatArray) -> FloatArray:
    """Give 1 - 2 A, with A the area under the share of images above a threshold.

    Parameters
    ----------
    mean : ndarray, shape (image, neuron), float64
        Images that were not seen (NaN) are left out.

    Returns
    -------
    ndarray, shape (neuron,), float64, from -1 to 1
        NaN with fewer than two images, or where all responses are the same.

    Examples
    --------
    >>> one_image = np.eye(100)[:, :1]
    >>> image_selectivity(one_image).round(3).tolist()
    [0.98]
    """
    found = np.full(mean.shape[1], np.nan)
    for neuron, column in enumerate(mean.T):
        values = column[np.isfinite(column)]
        if len(values) < 2 or values.min() == values.max():
            continue
        low, high = values.min(), values.max()
        threshold = low + np.arange(THRESHOLDS) * ((high - low) / THRESHOLDS)
        found[neuron] = 1 - 2 * np.searchsorted(threshold, values, side="left").mean() / THRESHOLDS
    return found


def _finalize(state: Sweeps, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    conditions = Conditions.of(state)
    found = {
        "preferred_image": conditions.preferred_values()[0],
        "image_selectivity": image_selectivity(conditions.mean),
        "time_to_peak_s": time_to_peak_s(conditions),
        **shared_results(conditions, params, len(conditions.mean)),
    }
    return {f"{name}_ns": values for name, values in found.items()}


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    return sweeps_interval(TUNING_NATURAL_SCENES, stretches, params, resampling, suffix="_ns", ordered={})


TUNING_NATURAL_SCENES = Statistic(
    name="tuning_natural_scenes",
    version=1,
    group="tuning",
    columns={
        "preferred_image_ns": Column(
            dtype="float64",
            unit="image",
            definition="Natural scene with the highest mean response, counted from 0.",
            low=0.0,
        ),
        "image_selectivity_ns": Column(
            dtype="float64",
            unit="1",
            definition="1 - 2 A, A the mean share of natural scenes whose mean response is above a threshold, over "
            f"{THRESHOLDS} thresholds from the lowest response to the highest; from -1 to 1.",
            low=-1.0,
            high=1.0,
        ),
        "time_to_peak_s_ns": Column(
            dtype="float64",
            unit="s",
            definition="Time of the largest mean response to the preferred natural scene, from its start; sought from "
            "-1 s to 1.25 s.",
        ),
        **shared_columns("_ns", "natural scenes", 5, "number of scenes"),
    },
    chunk=cut_sweeps,
    combine=Sweeps.merge,
    finalize=_finalize,
    interval=_interval,
    nan_policy="Missing frames (NaN or infinite) are left out of a sweep's mean and of its baseline; a sweep without "
    "either is left out, and one with any missing frame for reliability. NaN where no scene was seen; running "
    "modulation is NaN without running speed.",
    uses_labels=True,
    stimulus=NATURAL_SCENES,
    signals=(RUNNING_SPEED,),
    params={
        "stimulus": NATURAL_SCENES,
        "features": ("image",),
        "sweep_s": 0.25,
        "before_sweeps": 4,
        "during_sweeps": 2,
        "after_sweeps": 5,
        "fewest_running": 5,
        "alpha": ALPHA,
        "peak_dff": PEAK_DFF,
    },
)
