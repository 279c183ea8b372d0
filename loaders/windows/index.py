"""`WindowIndex`: which windows there are, as rows of back-to-back windows; there is no object for each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.errors import LoaderError
from poyodata.loaders.order import draws

IntArray = npt.NDArray[np.int64]

Mode = Literal["trial", "fixed", "frames", "whole"]

PHASE_STREAM = 2**21
"""Keeps the draws of random phases apart from those of orders."""


@dataclass(frozen=True)
class Located:
    """Where some windows lie.

    Attributes
    ----------
    row : ndarray, shape (window,), int64
        Row of the index.
    session_index : ndarray, shape (window,), int64
        Position in ``WindowIndex.session_ids``.
    start : ndarray, shape (window,), int64
        First frame, in the recording.
    length : ndarray, shape (window,), int64
        Frames.
    """

    row: IntArray
    session_index: IntArray
    start: IntArray
    length: IntArray

    def __len__(self) -> int:
        return len(self.start)


@compiled()
def _place(
    windows: Any, stop: Any, count: Any, first: Any, low: Any, high: Any, hop_frames: Any, row: Any, start: Any
) -> bool:
    """Find row and start of windows; False where there is no such window. Compiled: each batch waits for it."""
    for at in range(len(windows)):
        if windows[at] < 0 or len(stop) == 0 or windows[at] >= stop[-1]:
            return False
        own = np.searchsorted(stop, windows[at], side="right")
        row[at] = own
        moved = first[own] + (windows[at] - (stop[own] - count[own])) * hop_frames
        start[at] = min(max(moved, low[own]), high[own])
    return True


@dataclass(frozen=True)
class WindowIndex:
    """Rows of back-to-back windows. Windows are numbered from 0 in the order of the rows.

    Window k of a row starts at frame ``first + k * hop_frames``, and never before `low` or after `high`.

    Attributes
    ----------
    session_ids : tuple of str
    session_index : ndarray, shape (row,), int64
        Position in `session_ids`; increasing.
    first : ndarray, shape (row,), int64
        Frame at which the first window of the row starts.
    count : ndarray, shape (row,), int64
        Windows of the row, at least 1.
    length : ndarray, shape (row,), int64
        Frames of each window; equal for all rows but with whole recordings.
    low, high : ndarray, shape (row,), int64
        Least and greatest frame at which a window may start, wherever it is moved.
    source : ndarray, shape (row,), int64
        Row of ``Manifest.windows`` that this came from; -1 where it came from several that touch.
    hop_frames : int
        From one window of a row to the next.
    slack : ndarray, shape (row,), int64
        Greatest random phase; 0 for windows that stay where they are.
    dropped : mapping of str to int
        What gave no window, in words, and how many.
    mode : {"fixed", "trial", "frames", "whole"}
        How the windows were laid.

    Examples
    --------
    >>> one = lambda value: np.array([value])
    >>> index = WindowIndex(("a",), one(0), one(100), one(3), one(20), one(100), one(145), one(0), 20, one(0))
    >>> len(index), index.n_frames, index.locate(np.array([0, 2])).start.tolist()
    (3, 20, [100, 140])
    """

    session_ids: tuple[str, ...]
    session_index: IntArray
    first: IntArray
    count: IntArray
    length: IntArray
    low: IntArray
    high: IntArray
    source: IntArray
    hop_frames: int
    slack: IntArray
    dropped: Mapping[str, int] = field(default_factory=dict)
    mode: Mode = "fixed"

    @cached_property
    def stop(self) -> IntArray:
        """Number of windows up to and with each row, shape (row,), int64."""
        return np.cumsum(self.count, dtype=np.int64)

    def __len__(self) -> int:
        return int(self.stop[-1]) if len(self.count) else 0

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.count)

    @property
    def n_frames(self) -> int:
        """Frames of each window.

        Raises
        ------
        LoaderError
            When windows differ in length, as whole recordings do.
        """
        if self.n_rows == 0:
            raise LoaderError("there is no window; let the diet eat more, or shorten window_s.")
        if (self.length != self.length[0]).any():
            raise LoaderError(
                f"windows have {self.length.min()} to {self.length.max()} frames, and one length was asked for; read "
                "whole recordings one at a time (batch_size=1) or as jagged batches."
            )
        return int(self.length[0])

    def at_epoch(self, seed: int, epoch: int) -> WindowIndex:
        """Move rows with `slack` to the random phase of an epoch; their windows stay as many.

        A row that has no room for all its windows at that phase begins or ends with one that overlaps its neighbour,
        flush with the border of the stretch.

        Parameters
        ----------
        seed, epoch : int
        """
        if not self.slack.any():
            return self
        word = draws(seed, epoch, self.n_rows, stream=PHASE_STREAM)
        phase = (word % (self.slack + 1).astype(np.uint64)).astype(np.int64)
        rest = self.high - self.low - (self.count - 1) * self.hop_frames
        # Over the rest, the phase is kept either way: the last window gives in, or all come one hop earlier.
        earlier = (phase > rest) & (word >> np.uint64(63) > 0)
        return replace(self, first=self.low + phase - np.where(earlier, self.hop_frames, 0))

    def locate(self, windows: IntArray) -> Located:
        """Find where windows lie.

        Parameters
        ----------
        windows : ndarray, shape (window,), int64
            Numbers, ``0 <= windows < len(index)``.

        Raises
        ------
        LoaderError
            When there is no such window.
        """
        windows = np.asarray(windows, np.int64)
        row, start = np.empty(len(windows), np.int64), np.empty(len(windows), np.int64)
        if not _place(windows, self.stop, self.count, self.first, self.low, self.high, self.hop_frames, row, start):
            raise LoaderError(f"windows are numbered 0 to {len(self) - 1}; others were asked for.")
        return Located(row, self.session_index[row], start, self.length[row])

    def spans(self) -> IntArray:
        """Frames that the windows of each row can hold, wherever they are moved, shape (row, 2), int64; half-open."""
        return np.column_stack([self.low, self.high + self.length])

    def keep(self, kept: npt.NDArray[np.bool_], reason: str) -> WindowIndex:
        """Leave out rows.

        Parameters
        ----------
        kept : ndarray, shape (row,), bool
        reason : str
            In words; under it `dropped` counts the windows that go.
        """
        names = ("session_index", "first", "count", "length", "low", "high", "source", "slack")
        columns = {name: getattr(self, name)[kept] for name in names}
        return replace(self, **columns).with_dropped(reason, int(self.count[~kept].sum()))

    def with_dropped(self, reason: str, n: int) -> WindowIndex:
        """Count `n` more things that gave no window; none at all is not mentioned."""
        if n == 0:
            return self
        return replace(self, dropped={**self.dropped, reason: self.dropped.get(reason, 0) + n})
