"""A recording second by second: what slow measures of quality are computed from, in a hundredth of its size.

Seconds lie on the recording's own clock, from its first frame on, so that stretches add up to the same seconds wherever
they are cut: a second that two stretches share is put together again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Stretch

FloatArray = npt.NDArray[np.float64]

MINUTE_S = 60


@dataclass(frozen=True)
class Seconds:
    """Sums over the frames of every second so far.

    Attributes
    ----------
    second : ndarray, shape (second,), int64
        Number of each second since the recording's first frame; seconds that were not seen are left out.
    total : ndarray, shape (second, neuron), float32, dF/F
        Sum over the frames that are known.
    count : ndarray, shape (second, neuron), int16
        Frames that are known.
    frames : int
        Frames in a whole second.
    """

    second: npt.NDArray[np.int64]
    total: npt.NDArray[np.float32]
    count: npt.NDArray[np.int16]
    frames: int

    @classmethod
    def of(cls, stretch: Stretch) -> Seconds:
        """Add up the seconds of a stretch.

        Examples
        --------
        >>> import pandas as pd
        >>> traces = np.array([[1.0], [2.0], [6.0]], np.float32)
        >>> seconds = Seconds.of(Stretch(traces=traces, trials=pd.DataFrame(), rate_hz=2.0, start_frame=3))
        >>> seconds.second.tolist(), seconds.total[:, 0].tolist()
        ([1, 2], [1.0, 8.0])
        """
        frames = max(1, round(stretch.rate_hz))
        start, n_frames, n_neurons = stretch.start_frame, len(stretch.traces), stretch.traces.shape[1]
        second = np.arange(start // frames, -(-(start + n_frames) // frames) if n_frames else start // frames)
        total = np.zeros((len(second), n_neurons), np.float32)
        count = np.zeros((len(second), n_neurons), np.int16)
        # The whole seconds in one go, and what lies before the first and after the last of them.
        head = min(-start % frames, n_frames)
        whole = (n_frames - head) // frames
        body = stretch.traces[head : head + whole * frames].reshape(whole, frames, n_neurons)
        parts = [(body, int(head > 0))]
        if head:
            parts.append((stretch.traces[None, :head], 0))
        if head + whole * frames < n_frames:
            parts.append((stretch.traces[None, head + whole * frames :], len(second) - 1))
        for part, first in parts:
            rows = slice(first, first + len(part))
            with np.errstate(invalid="ignore", over="ignore"):
                total[rows], count[rows] = part.sum(axis=1), part.shape[1]
            for row in np.flatnonzero(~np.isfinite(total[rows]).all(axis=1)).tolist():
                seen = np.isfinite(part[row])
                total[first + row] = np.where(seen, part[row], np.float32(0)).sum(axis=0)
                count[first + row] = seen.sum(axis=0)
        return cls(second, total, count, frames)

    def merge(self, other: Seconds) -> Seconds:
        """Seconds of both, the other's last."""
        second = np.concatenate([self.second, other.second])
        total, count = np.concatenate([self.total, other.total]), np.concatenate([self.count, other.count])
        at = len(self.second)
        if 0 < at < len(second) and second[at - 1] == second[at]:
            total[at - 1] += total[at]
            count[at - 1] += count[at]
            second, total, count = (np.delete(values, at, axis=0) for values in (second, total, count))
        return Seconds(second, total, count, self.frames)

    def minutes(self, least_s: int) -> list[FloatArray]:
        """Mean of every second, minute by minute.

        Parameters
        ----------
        least_s : int
            A minute of which fewer seconds were seen is left out.

        Returns
        -------
        list of ndarray, shape (second, neuron), float64, dF/F
            NaN where less than half of a second's frames are known.
        """
        known = self.count >= self.frames / 2
        minute = self.second // MINUTE_S
        edges = np.flatnonzero(np.r_[True, minute[1:] != minute[:-1], True]) if len(minute) else np.zeros(1, np.int64)
        found = []
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if stop - start >= least_s:
                total, count = self.total[start:stop].astype(np.float64), self.count[start:stop]
                found.append(np.where(known[start:stop], total / np.maximum(count, 1), np.nan))
        return found


def seconds_of(stretch: Stretch, params: Mapping[str, Any]) -> Seconds:  # noqa: ARG001 - the shape all statistics have
    """Be the ``chunk`` of a statistic that needs nothing but seconds."""
    return Seconds.of(stretch)
