"""Columns that gratings and scenes have in common: what they are, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column
from poyodata.statistics.tuning.conditions import Conditions
from poyodata.statistics.tuning.measures import (
    ALPHA,
    RUNNING_CM_S,
    condition_p,
    lifetime_sparseness,
    reliability,
    responsive_share,
    running_modulation,
)

PEAK_DFF = 0.03
"""Least response to the preferred condition of a responsive neuron: AllenSDK's 3 percent."""


def shared_results(conditions: Conditions, params: Mapping[str, Any], tests: int) -> dict[str, npt.NDArray[Any]]:
    """Results of `shared_columns`, by name without suffix."""
    peak, p = conditions.peak(), condition_p(conditions)
    modulation, modulation_p = running_modulation(conditions, params["fewest_running"])
    responsive = np.where((p < params["alpha"]) & (peak > params["peak_dff"]), 1.0, 0.0)
    return {
        "lifetime_sparseness": lifetime_sparseness(conditions.mean),
        "reliability": reliability(conditions),
        "peak_dff": peak,
        "tuning_p": p,
        "responsive": np.where(np.isfinite(p) & np.isfinite(peak), responsive, np.nan),
        "responsive_sweeps": responsive_share(conditions, tests),
        "running_modulation": modulation,
        "running_modulation_p": modulation_p,
        "n_sweeps": np.isfinite(conditions.sweeps.response).sum(axis=0).astype(np.int64),
    }


def shared_columns(suffix: str, stimulus: str, fewest_running: int, tests: str) -> dict[str, Column]:
    """Declare what gratings and scenes have in common.

    Parameters
    ----------
    suffix : str
        Of the columns' names: nothing, or ``"_sg"``.
    stimulus : str
        In words, for the definitions.
    fewest_running : int
    tests : str
        In words: by what `ALPHA` is divided for single sweeps.
    """

    def number(unit: str, definition: str, low: float = -np.inf, high: float = np.inf) -> Column:
        return Column(dtype="float64", unit=unit, definition=definition, low=low, high=high)

    columns = {
        "lifetime_sparseness": number(
            "1",
            f"Vinje and Gallant's sparseness of the mean responses to all conditions of {stimulus}, negative ones "
            "taken as 0; from 0 (the same to all) to 1 (to one alone).",
            0.0,
            1.0,
        ),
        "reliability": number(
            "1",
            f"Mean Pearson correlation of the time courses of all pairs of sweeps of the preferred condition of "
            f"{stimulus}; from -1 to 1.",
            -1.0,
            1.0,
        ),
        "peak_dff": number(
            "dF/F",
            f"Mean response to the preferred condition of {stimulus}: fluorescence over that just before the sweep, "
            "less 1 (AllenSDK has percent).",
        ),
        "tuning_p": number(
            "1",
            f"p of a one-way analysis of variance of the responses to all conditions of {stimulus} and to blanks; from "
            "0 to 1, not corrected for the number of neurons.",
            0.0,
            1.0,
        ),
        "responsive": number(
            "1",
            f"1 where the p of {stimulus} is below {ALPHA} and the mean response to the preferred condition above "
            f"{PEAK_DFF} dF/F (AllenSDK's visually responsive cells), else 0.",
            0.0,
            1.0,
        ),
        "responsive_sweeps": number(
            "1",
            f"Share of the sweeps of the preferred condition of {stimulus} whose frames differ from those before: "
            f"one-way analysis of variance, p < {ALPHA} / {tests}, either sign; from 0 to 1.",
            0.0,
            1.0,
        ),
        "running_modulation": number(
            "1",
            f"Mean response to the preferred condition of {stimulus} at {RUNNING_CM_S:g} cm/s and above less that "
            f"below, over the size of the larger one; needs {fewest_running} sweeps of either.",
        ),
        "running_modulation_p": number(
            "1", f"p of Welch's t test behind the running modulation of {stimulus}, two-sided.", 0.0, 1.0
        ),
        "n_sweeps": Column(
            dtype="int64",
            unit="sweeps",
            definition=f"Sweeps of {stimulus}, blanks among them, with a response and a baseline.",
            low=0,
        ),
    }
    return {name + suffix: column for name, column in columns.items()}
