"""What was shown at which frames of a recording, and which windows of an index show a stimulus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.loaders.targets.target import IntArray, Windows

if TYPE_CHECKING:
    from poyodata.curation.view import View

NOTHING, BLANK = -1, -2
"""Codes of a frame at which nothing that has the label is shown, and of a blank sweep of a stimulus that has it."""

_STRIDE = 2**40  # frames set aside for each recording on one common axis


@dataclass(frozen=True)
class FrameCodes:
    """Codes of the frames of one recording, as disjoint stretches: 12 bytes a presentation.

    An hour of gratings is 8 kB, of a movie whose every frame is a presentation 0.1 to 0.3 MB.

    Attributes
    ----------
    start, stop : ndarray, shape (stretch,), int32, frames
        Half-open, sorted.
    code : ndarray, shape (stretch,), int32
        0 and above: a class or an id; else `BLANK`.
    """

    start: npt.NDArray[np.int32]
    stop: npt.NDArray[np.int32]
    code: npt.NDArray[np.int32]

    @classmethod
    def of_presentations(cls, start: IntArray, stop: IntArray, code: npt.NDArray[np.int32]) -> FrameCodes:
        """Codes of presentations, in the order in which they began.

        Of presentations that share a frame (two movie frames within one imaging frame) the one that began last counts
        there; of those that began in the same frame, the last in order.

        Examples
        --------
        >>> one, two = np.array([0, 4, 4]), np.array([6, 5, 8])
        >>> shown = FrameCodes.of_presentations(one, two, np.array([7, 8, 9], np.int32))
        >>> shown.at(np.array([3, 4, 7, 8])).tolist()
        [7, 9, 9, -1]
        """
        kept = (stop > start) & (code != NOTHING)
        start, stop, code = start[kept], stop[kept], code[kept]
        if (start[1:] < stop[:-1]).any():
            start, stop, code = _disjoint(start, stop, code)
        return cls(start.astype(np.int32), stop.astype(np.int32), code)

    def at(self, frames: IntArray) -> IntArray:
        """Codes of frames, in their shape; `NOTHING` where nothing is shown."""
        if len(self.start) == 0:
            return np.full(frames.shape, NOTHING, np.int64)
        place = np.searchsorted(self.start, frames, side="right") - 1
        held = (place >= 0) & (frames < self.stop[np.maximum(place, 0)])
        return np.where(held, self.code[np.maximum(place, 0)], NOTHING).astype(np.int64)


class ShownFrames:
    """Codes of the frames of all recordings that were met so far, one after another in memory.

    So the windows of a batch are looked up in one compiled call, whatever recordings they are of.

    Parameters
    ----------
    n_sessions : int
    """

    def __init__(self, n_sessions: int) -> None:
        self._first: IntArray = np.full(n_sessions, -1, np.int64)
        self._count: IntArray = np.zeros(n_sessions, np.int64)
        self._used = 0
        self._start, self._stop, self._code = (np.empty(0, np.int32) for _ in range(3))

    def missing(self, sessions: IntArray) -> list[int]:
        """Those recordings that were not added yet."""
        unknown = sessions[self._first[sessions] < 0]
        return np.unique(unknown).tolist() if len(unknown) else []

    def add(self, session: int, codes: FrameCodes) -> None:
        """Take the codes of a recording: one thread at a time, while others look up those that are there."""
        count, end = len(codes.code), self._used + len(codes.code)
        if end > len(self._code):
            room = max(end, 2 * len(self._code))
            self._start, self._stop, self._code = (
                np.concatenate([array[: self._used], np.empty(room - self._used, np.int32)])
                for array in (self._start, self._stop, self._code)
            )
        for array, own in ((self._start, codes.start), (self._stop, codes.stop), (self._code, codes.code)):
            array[self._used : end] = own
        self._count[session] = count
        self._first[session] = self._used  # last: other threads look it up as soon as it is there
        self._used = end

    def at(self, sessions: IntArray, frames: IntArray) -> IntArray:
        """Codes of frames, shape (window, time), of the recordings of the windows, shape (window,)."""
        codes = np.empty(frames.shape, np.int64)
        _look_up(self._first, self._count, self._start, self._stop, self._code, sessions, frames, codes)
        return codes


@compiled()
def _look_up(first: Any, count: Any, start: Any, stop: Any, code: Any, session: Any, frames: Any, out: Any) -> None:
    for b in range(len(session)):
        begin = first[session[b]]
        end = begin + count[session[b]]
        for t in range(frames.shape[1]):
            frame = frames[b, t]
            low, high = begin, end
            while low < high:
                middle = (low + high) // 2
                if start[middle] <= frame:
                    low = middle + 1
                else:
                    high = middle
            out[b, t] = code[low - 1] if low > begin and frame < stop[low - 1] else NOTHING


def _disjoint(
    start: IntArray, stop: IntArray, code: npt.NDArray[np.int32]
) -> tuple[IntArray, IntArray, npt.NDArray[np.int32]]:
    """Paint the presentations over one another, and cut where the uppermost one changes."""
    low = int(start.min())
    length = stop - start
    frames = np.arange(length.sum()) + np.repeat(start - low - (np.cumsum(length) - length), length)
    owner = np.full(int(stop.max()) - low, -1, np.int64)
    np.maximum.at(owner, frames, np.repeat(np.arange(len(start)), length))
    edge = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1], True])
    shown = owner[edge[:-1]]
    own = shown >= 0
    return edge[:-1][own] + low, edge[1:][own] + low, code[shown[own]]


def windows_by_stimulus(view: View, index: Windows) -> Mapping[str, int]:
    """Count the windows of an index that reach into an epoch of each stimulus, most first.

    A random phase may move windows by some frames; they are counted where they lie without it.
    """
    epochs = view.store.epochs
    code = {session_id: at for at, session_id in enumerate(index.session_ids)}
    place = epochs["session_id"].map(code)
    held = place.notna().to_numpy(bool)
    offset = place[held].to_numpy(np.int64) * _STRIDE
    begin = epochs.loc[held, "start_frame"].to_numpy(np.int64) + offset
    end = epochs.loc[held, "stop_frame"].to_numpy(np.int64) + offset
    names = epochs.loc[held, "stimulus"].to_numpy(object)
    order = np.argsort(begin, kind="stable")
    begin, end, names = begin[order], end[order], names[order]
    hop = max(int(index.hop_frames), 1)
    first = index.first + index.session_index * _STRIDE
    last = first + (index.count - 1) * hop + index.length
    low = np.searchsorted(np.maximum.accumulate(end) if len(end) else end, first, side="right")
    high = np.searchsorted(begin, last, side="left")
    pairs = np.maximum(high - low, 0)
    row = np.repeat(np.arange(len(first)), pairs)
    epoch = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs) + np.repeat(low, pairs)
    # Of a row, windows k = 0, 1, ... begin before the epoch ends, and end after it begins.
    most = np.minimum((end[epoch] - 1 - first[row]) // hop, index.count[row] - 1)
    least = np.maximum(-((first[row] + index.length[row] - 1 - begin[epoch]) // hop), 0)
    reached = np.maximum(most - least + 1, 0)
    kinds, kind = np.unique(names.astype(str), return_inverse=True)
    totals = np.bincount(kind[epoch], weights=reached, minlength=len(kinds)).astype(np.int64)
    found = sorted(zip(totals.tolist(), kinds.tolist(), strict=True), key=lambda one: (-one[0], one[1]))
    return {str(name): count for count, name in found if count}


def counted(counts: Mapping[str, int]) -> str:
    """``natural_movie_one (900), spontaneous (30)``."""
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "no stimulus at all"
