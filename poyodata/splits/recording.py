"""`Recording`: what time roles are made from, of which no more is read than a specification looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.intervals import Intervals

OTHERWISE = "use 'blocks-5fold', or divide the other recordings alone: resolve_split(store, ..., sessions=[...])"
"""What to do where a split does not suit one recording."""


@dataclass(frozen=True)
class Epochs:
    """Stimulus epochs of a recording, in the order recorded.

    Attributes
    ----------
    frames : ndarray, shape (epoch, 2), int64
    stimulus : tuple of str
    number : tuple of int
    """

    frames: Intervals
    stimulus: tuple[str, ...]
    number: tuple[int, ...]

    def of(self, chosen: Callable[[str], bool]) -> Epochs:
        """The epochs of the stimuli that `chosen` is true of."""
        at = [i for i, name in enumerate(self.stimulus) if chosen(name)]
        return Epochs(self.frames[at], tuple(self.stimulus[i] for i in at), tuple(self.number[i] for i in at))


@dataclass(frozen=True)
class Recording:
    """The tables of one recording.

    Attributes
    ----------
    session_id : str
    rate_hz : float
    segments : ndarray, shape (segment, 2), int64
        Stretches without a gap, in order.
    epochs : Epochs
    read : callable
        Gives its presentations, in order of time, with these columns at least.
    movie : callable
        Gives the template of a stimulus; `UsageError` where there is none.
    """

    session_id: str
    rate_hz: float
    segments: Intervals
    epochs: Epochs
    read: Callable[[Sequence[str]], pd.DataFrame]
    movie: Callable[[str], npt.NDArray[np.uint8]]

    def shown(self, *columns: str) -> tuple[npt.NDArray[Any], ...]:
        """Columns of the presentations, in order of time."""
        table = self.read(columns)
        return tuple(table[name].to_numpy() for name in columns)

    def guard_frames(self, guard_s: float) -> int:
        """Count the stored frames that a guard takes, rounded up."""
        return ceil(round(guard_s * self.rate_hz, 6))


TimeRoles = dict[str, Intervals]
"""Frames of each role of `ROLES`."""


def stretches(rows: Sequence[tuple[int, int]] | npt.NDArray[np.int64]) -> Intervals:
    """Rows of ``start, stop`` as intervals in order of time, shape (n, 2) with no rows too."""
    spans = np.array(rows, np.int64).reshape(-1, 2)
    return spans[np.argsort(spans[:, 0], kind="stable")]
