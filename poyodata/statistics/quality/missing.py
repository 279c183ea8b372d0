"""Missing frames of a trace: in how many gaps, and how long the longest is.

The share of missing frames is `missing_fraction` of the statistic ``moments``. Frames that a microscope never delivered
are no part of a recording and are not seen here; they end its segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Statistic, Stretch

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gaps:
    """Runs of missing frames so far.

    Attributes
    ----------
    n_gaps, longest : ndarray, shape (neuron,), int64
        Runs, and frames of the longest.
    leading, trailing : ndarray, shape (neuron,), int64
        Frames of the runs that touch the beginning and the end: two runs may turn out to be one.
    start_frame, stop_frame : int
        Of the recording: what was seen lies between, and merges with what begins where it ends.
    n_frames : int
        Frames seen.
    rate_hz : float
    """

    n_gaps: IntArray
    longest: IntArray
    leading: IntArray
    trailing: IntArray
    start_frame: int
    stop_frame: int
    n_frames: int
    rate_hz: float

    @classmethod
    def of(cls, stretch: Stretch) -> Gaps:
        """Find the gaps of a stretch.

        Examples
        --------
        >>> import pandas as pd
        >>> traces = np.array([[np.nan], [1.0], [np.nan], [np.nan], [2.0]], np.float32)
        >>> gaps = Gaps.of(Stretch(traces=traces, trials=pd.DataFrame(), rate_hz=30.0))
        >>> gaps.n_gaps.tolist(), gaps.longest.tolist(), gaps.leading.tolist(), gaps.trailing.tolist()
        ([2], [2], [1], [0])
        """
        n_frames, n_neurons = stretch.traces.shape
        found = np.zeros((4, n_neurons), np.int64)
        with np.errstate(invalid="ignore", over="ignore"):
            suspect = np.flatnonzero(~np.isfinite(stretch.traces.sum(axis=0, dtype=np.float64)))
        for neuron in suspect.tolist():
            missing = np.concatenate([[False], ~np.isfinite(stretch.traces[:, neuron]), [False]])
            onset = np.flatnonzero(missing[1:] & ~missing[:-1])
            length = np.flatnonzero(missing[:-1] & ~missing[1:]) - onset
            if len(onset):
                leading = length[0] if onset[0] == 0 else 0
                trailing = length[-1] if onset[-1] + length[-1] == n_frames else 0
                found[:, neuron] = len(onset), length.max(), leading, trailing
        start = stretch.start_frame
        n_gaps, longest, leading, trailing = found
        return cls(n_gaps, longest, leading, trailing, start, start + n_frames, n_frames, stretch.rate_hz)

    def merge(self, other: Gaps) -> Gaps:
        """Gaps of both; the other lies after this one."""
        if not self.n_frames:
            return other
        if not other.n_frames:
            return self
        joined = np.zeros_like(self.trailing)
        if self.stop_frame == other.start_frame:
            joined = np.where((self.trailing > 0) & (other.leading > 0), self.trailing + other.leading, 0)
        across = joined > 0
        return Gaps(
            self.n_gaps + other.n_gaps - across,
            np.maximum(np.maximum(self.longest, other.longest), joined),
            np.where(across & (self.leading == self.n_frames), joined, self.leading),
            np.where(across & (other.trailing == other.n_frames), joined, other.trailing),
            self.start_frame,
            other.stop_frame,
            self.n_frames + other.n_frames,
            self.rate_hz,
        )


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> Gaps:  # noqa: ARG001 - the shape all statistics have
    return Gaps.of(stretch)


def _finalize(state: Gaps, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:  # noqa: ARG001
    longest_s = state.longest / state.rate_hz
    return {"n_gaps": state.n_gaps, "longest_gap_s": longest_s if state.n_frames else np.full(len(longest_s), np.nan)}


QUALITY_MISSING = Statistic(
    name="quality_missing",
    version=1,
    group="quality",
    columns={
        "n_gaps": Column(
            dtype="int64", unit="gaps", definition="Runs of frames that are NaN or infinite, of any length.", low=0.0
        ),
        "longest_gap_s": Column(
            dtype="float64", unit="s", definition="Length of the longest run of missing frames; 0 for none.", low=0.0
        ),
    },
    chunk=_chunk,
    combine=Gaps.merge,
    finalize=_finalize,
    nan_policy="Missing frames are what is counted; longest_gap_s is NaN where no frame was looked at. A gap that "
    "reaches out of the time looked at counts as far as it lies within.",
)
