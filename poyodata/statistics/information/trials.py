"""Responses to single gratings, condition by condition: what information about direction is estimated from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Stretch
from poyodata.vocabulary import DIRECTIONS_DEG, DRIFTING_GRATINGS

FloatArray = npt.NDArray[np.float64]

MIN_TRIALS = 6
"""Fewest trials of each direction at a temporal frequency: with any one of them left out, as the jackknife does,
variances within halves have the 3 degrees of freedom that the correction needs to stay finite."""


@dataclass(frozen=True)
class TrialResponses:
    """Responses to gratings so far, in the order shown; those of different stretches are strung together.

    Attributes
    ----------
    response : ndarray, shape (trial, neuron), float64, dF/F
        Mean over the frames of the sweep, missing ones left out; NaN where all are missing.
    direction_deg, temporal_frequency_hz : ndarray, shape (trial,), float64
    frames : ndarray, shape (trial,), float64
        Frames of the sweep; NaN where it is not known.
    """

    response: FloatArray
    direction_deg: FloatArray
    temporal_frequency_hz: FloatArray
    frames: FloatArray | None = None

    @property
    def sweep_frames(self) -> float:
        """Mean number of frames of a sweep."""
        return float(self.frames.mean()) if self.frames is not None and len(self.frames) else math.nan

    def merge(self, other: TrialResponses) -> TrialResponses:
        """Responses of both, the other's last."""
        frames = [part.frames for part in (self, other) if part.frames is not None]
        return TrialResponses(
            np.concatenate([self.response, other.response]),
            np.concatenate([self.direction_deg, other.direction_deg]),
            np.concatenate([self.temporal_frequency_hz, other.temporal_frequency_hz]),
            np.concatenate(frames) if len(frames) == 2 else None,
        )


def trial_responses(stretch: Stretch, params: Mapping[str, Any]) -> TrialResponses:
    """Mean dF/F over every sweep of a stretch that shows a direction of ``params["stimulus"]``: no blank sweeps."""
    trials = stretch.trials
    if len(trials):
        trials = trials[(trials["stimulus"] == params["stimulus"]) & ~trials["blank"] & trials["direction_deg"].notna()]
    if not len(trials):
        return TrialResponses(np.empty((0, stretch.traces.shape[1])), np.empty(0), np.empty(0), np.empty(0))
    response = np.full((len(trials), stretch.traces.shape[1]), np.nan)
    start, stop = (trials[name].to_numpy(np.int64) for name in ("start_frame", "stop_frame"))
    for row, (first, last) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        response[row] = known_mean(stretch.traces[first:last])
    return TrialResponses(
        response,
        trials["direction_deg"].to_numpy(np.float64),
        trials["temporal_frequency_hz"].to_numpy(np.float64),
        (stop - start).astype(np.float64),
    )


def known_mean(frames: npt.NDArray[np.float32]) -> FloatArray:
    """Mean over the first axis of all values that are finite; NaN where none is."""
    values = frames.astype(np.float64)
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0).sum(axis=0)
    return np.asarray(total / np.where(seen.any(axis=0), seen.sum(axis=0), np.nan))


def by_condition(responses: TrialResponses) -> FloatArray:
    """Arrange responses by condition, in the order shown.

    Returns
    -------
    ndarray, shape (temporal frequency, direction, turn, neuron), float64, dF/F
        NaN where a condition was shown less often than another, and where a response is missing. At least one temporal
        frequency; one that was not noted (NaN) counts as one.
    """
    direction_deg = np.round(responses.direction_deg % 360.0, 6)
    frequencies = np.unique(responses.temporal_frequency_hz)
    which = np.searchsorted(frequencies, responses.temporal_frequency_hz)
    shown = [
        [np.flatnonzero((which == f) & (direction_deg == direction)) for direction in DIRECTIONS_DEG]
        for f in range(max(len(frequencies), 1))
    ]
    turns = max((len(rows) for row in shown for rows in row), default=0)
    values = np.full((len(shown), len(DIRECTIONS_DEG), turns, responses.response.shape[1]), np.nan)
    for f, row in enumerate(shown):
        for d, rows in enumerate(row):
            values[f, d, : len(rows)] = responses.response[rows]
    values[~np.isfinite(values)] = np.nan
    return values


STIMULUS = {"stimulus": DRIFTING_GRATINGS}
"""Parameters of all statistics about direction."""
