"""Tuning to drifting and static gratings: AllenSDK's `DriftingGratings` and `StaticGratings`, on train-role time.

The preferred condition is that of the highest mean response. Selectivity is measured along direction or orientation
with everything else at its preferred value:

* gosi, gdsi: length of the mean vector over orientations (twice the angle) or directions, weighted by responses, with
  negative ones taken as none. AllenSDK calls them ``cv_os`` and ``cv_ds``.
* osi, dsi: (preferred - other) / (preferred + other), where the other is the mean response a quarter turn away to both
  sides, or that half a turn away. Negative responses are left as they are: the index then leaves 0 to 1.
* tf_selectivity, sf_selectivity_sg: range of the mean responses along the frequency, over that range plus twice the
  spread of single responses at the preferred direction (orientation and phase). AllenSDK's ``tf_index``, ``sf_index``.

Where it departs from AllenSDK: a direction that was not seen in the time looked at makes selectivity NaN (there: counts
as no response), and so does a baseline that is no positive fluorescence (there: divides all the same). A static sweep
takes a quarter of a second by the nominal rate (there: as long as the second sweep of the recording happened to take,
7 or 8 frames of 30 a second, with the reliability over frames that fit 7).
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
from poyodata.statistics.tuning.measures import (
    ALPHA,
    at_offset,
    contrast,
    feature_selectivity,
    global_selectivity,
    time_to_peak_s,
)
from poyodata.statistics.tuning.sweeps import Sweeps, cut_sweeps
from poyodata.vocabulary import DRIFTING_GRATINGS, STATIC_GRATINGS

_Results = Mapping[str, npt.NDArray[Any]]


def _finalize_drifting(state: Sweeps, params: Mapping[str, Any]) -> _Results:
    conditions = Conditions.of(state)
    direction_deg, frequency_hz = conditions.preferred_values()
    tuning, best = conditions.tuning(0), conditions.preferred()[0]
    angle_deg = conditions.levels[0] if conditions.known.any() else np.zeros(1)
    angle_rad, peak = np.deg2rad(angle_deg), conditions.peak()
    sideways = (at_offset(tuning, angle_deg, best, 90, 360) + at_offset(tuning, angle_deg, best, -90, 360)) / 2
    opposite = at_offset(tuning, angle_deg, best, 180, 360)
    return {
        "preferred_direction_deg": direction_deg,
        "preferred_tf_hz": frequency_hz,
        "gosi": global_selectivity(tuning, 2 * angle_rad),
        "gdsi": global_selectivity(tuning, angle_rad),
        "osi": contrast(peak, sideways),
        "dsi": contrast(peak, opposite),
        "tf_selectivity": feature_selectivity(conditions, 1, (0,)),
        **shared_results(conditions, params, len(conditions.mean)),
    }


def _finalize_static(state: Sweeps, params: Mapping[str, Any]) -> _Results:
    conditions = Conditions.of(state)
    orientation_deg, frequency_cpd, phase = conditions.preferred_values()
    tuning, best = conditions.tuning(0), conditions.preferred()[0]
    angle_deg = conditions.levels[0] if conditions.known.any() else np.zeros(1)
    sideways = at_offset(tuning, angle_deg, best, 90, 180)
    # AllenSDK corrects single sweeps for orientations and frequencies, not for phases.
    tests = conditions.shape[0] * conditions.shape[1]
    found = {
        "preferred_orientation_deg": orientation_deg,
        "preferred_sf_cpd": frequency_cpd,
        "preferred_phase": phase,
        "gosi": global_selectivity(tuning, 2 * np.deg2rad(angle_deg)),
        "osi": contrast(conditions.peak(), sideways),
        "sf_selectivity": feature_selectivity(conditions, 1, (0, 2)),
        "time_to_peak_s": time_to_peak_s(conditions),
        **shared_results(conditions, params, tests),
    }
    return {f"{name}_sg": values for name, values in found.items()}


def _interval_drifting(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    ordered = {1: "preferred_tf_hz"}
    return sweeps_interval(TUNING_DRIFTING_GRATINGS, stretches, params, resampling, suffix="", ordered=ordered)


def _interval_static(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    ordered = {1: "preferred_sf_cpd_sg"}
    return sweeps_interval(TUNING_STATIC_GRATINGS, stretches, params, resampling, suffix="_sg", ordered=ordered)


def _number(unit: str, definition: str, low: float = -np.inf, high: float = np.inf) -> Column:
    return Column(dtype="float64", unit=unit, definition=definition, low=low, high=high)


_MISSING = (
    "Missing frames (NaN or infinite) are left out of a sweep's mean and of its baseline; a sweep without either is "
    "left out, and one with any missing frame for reliability. NaN where no condition was seen, and for selectivity "
    "where one of its directions was not, or no response is positive; running modulation is NaN without running speed."
)

TUNING_DRIFTING_GRATINGS = Statistic(
    name="tuning_drifting_gratings",
    version=1,
    group="tuning",
    columns={
        "preferred_direction_deg": _number(
            "deg", "Direction of the drifting grating with the highest mean response, from 0 to 360."
        ),
        "preferred_tf_hz": _number(
            "Hz", "Temporal frequency of the drifting grating with the highest mean response.", 0.0
        ),
        "gosi": _number(
            "1",
            "Global orientation selectivity over the directions at the preferred temporal frequency: |sum r exp(2i t)| "
            "/ sum r with r >= 0; from 0 to 1.",
            0.0,
            1.0,
        ),
        "gdsi": _number(
            "1",
            "Global direction selectivity over the directions at the preferred temporal frequency: |sum r exp(i t)| / "
            "sum r with r >= 0; from 0 to 1.",
            0.0,
            1.0,
        ),
        "osi": _number(
            "1",
            "(preferred - orthogonal) / (preferred + orthogonal) of drifting gratings, orthogonal the mean of both "
            "sides; from 0 to 1 unless responses are negative.",
        ),
        "dsi": _number(
            "1",
            "(preferred - opposite) / (preferred + opposite) direction of drifting gratings; from 0 to 1 unless "
            "responses are negative.",
        ),
        "tf_selectivity": _number(
            "1",
            "Range of the mean responses over temporal frequencies at the preferred direction, over the range plus "
            "twice the spread of single responses; from 0 to 1.",
            0.0,
            1.0,
        ),
        **shared_columns("", "drifting gratings", 3, "number of conditions"),
    },
    chunk=cut_sweeps,
    combine=Sweeps.merge,
    finalize=_finalize_drifting,
    interval=_interval_drifting,
    nan_policy=_MISSING,
    uses_labels=True,
    stimulus=DRIFTING_GRATINGS,
    signals=(RUNNING_SPEED,),
    params={
        "stimulus": DRIFTING_GRATINGS,
        "features": ("direction_deg", "temporal_frequency_hz"),
        "sweep_s": 2.0,
        "before_sweeps": 0.5,
        "during_sweeps": 1,
        "after_sweeps": 1,
        "fewest_running": 3,
        "alpha": ALPHA,
        "peak_dff": PEAK_DFF,
    },
)

TUNING_STATIC_GRATINGS = Statistic(
    name="tuning_static_gratings",
    version=1,
    group="tuning",
    columns={
        "preferred_orientation_deg_sg": _number(
            "deg", "Orientation of the static grating with the highest mean response, from 0 to 180."
        ),
        "preferred_sf_cpd_sg": _number(
            "cycles/deg", "Spatial frequency of the static grating with the highest mean response.", 0.0
        ),
        "preferred_phase_sg": _number(
            "cycles", "Phase of the static grating with the highest mean response, from 0 to 1."
        ),
        "gosi_sg": _number(
            "1",
            "Global orientation selectivity over static gratings at the preferred spatial frequency and phase: |sum r "
            "exp(2i t)| / sum r with r >= 0; from 0 to 1.",
            0.0,
            1.0,
        ),
        "osi_sg": _number(
            "1",
            "(preferred - orthogonal) / (preferred + orthogonal) of static gratings; from 0 to 1 unless responses are "
            "negative.",
        ),
        "sf_selectivity_sg": _number(
            "1",
            "Range of the mean responses over spatial frequencies at the preferred orientation and phase, over the "
            "range plus twice the spread of single responses; from 0 to 1.",
            0.0,
            1.0,
        ),
        "time_to_peak_s_sg": _number(
            "s",
            "Time of the largest mean response to the preferred static grating, from its start; sought from -1 s to "
            "1.25 s.",
        ),
        **shared_columns("_sg", "static gratings", 5, "(orientations x spatial frequencies)"),
    },
    chunk=cut_sweeps,
    combine=Sweeps.merge,
    finalize=_finalize_static,
    interval=_interval_static,
    nan_policy=_MISSING,
    uses_labels=True,
    stimulus=STATIC_GRATINGS,
    signals=(RUNNING_SPEED,),
    params={
        "stimulus": STATIC_GRATINGS,
        "features": ("orientation_deg", "spatial_frequency_cpd", "phase"),
        "sweep_s": 0.25,
        "before_sweeps": 4,
        "during_sweeps": 2,
        "after_sweeps": 5,
        "fewest_running": 5,
        "alpha": ALPHA,
        "peak_dff": PEAK_DFF,
    },
)
