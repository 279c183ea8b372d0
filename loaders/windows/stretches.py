"""Stretches that a role may be read from: chosen by the diet, recorded without a gap, clear of other roles.

All recordings lie on one axis, each `STRIDE` frames after the one before, so that interval algebra takes them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.view import View
from poyodata.errors import LoaderError, nearest
from poyodata.intervals import Intervals, as_intervals, intersect

IntArray = npt.NDArray[np.int64]

STRIDE = 2**40
"""Frames from one recording to the next on the common axis."""


@dataclass(frozen=True)
class Stretches:
    """Frames that the windows of a role are made of.

    Attributes
    ----------
    session_index : ndarray, shape (stretch,), int64
        Position in ``View.session_ids``, increasing.
    start, stop : ndarray, shape (stretch,), int64
        Half-open; sorted within each recording. Two that touch are two, with the gap of a recording between them.
    source : ndarray, shape (stretch,), int64
        Row of ``Manifest.windows``; -1 where a stretch is made of several that touch.
    """

    session_index: IntArray
    start: IntArray
    stop: IntArray
    source: IntArray

    @property
    def length(self) -> IntArray:
        """Frames of each, shape (stretch,), int64."""
        return self.stop - self.start

    def __len__(self) -> int:
        return len(self.start)

    def keep(self, kept: npt.NDArray[np.bool_]) -> Stretches:
        """Leave out the others; `kept` has shape (stretch,)."""
        return Stretches(self.session_index[kept], self.start[kept], self.stop[kept], self.source[kept])


def role_rows(view: View, role: str, stimulus: str | None = None) -> IntArray:
    """Rows of ``Manifest.windows`` of a role, shape (row,), int64, sorted.

    Raises
    ------
    LoaderError
        When there are none, or none of the stimulus.
    """
    windows = view.manifest.windows
    rows = np.flatnonzero((windows["role"] == role).to_numpy(bool))
    if len(rows) == 0:
        raise LoaderError(
            f"manifest {view.manifest.name!r} has no windows of role {role!r}: {nearest(role, view.manifest.roles)}"
        )
    if stimulus is None:
        return rows
    shown = windows["stimulus"].iloc[rows]
    of_it = rows[(shown == stimulus).to_numpy(bool)]
    if len(of_it) == 0:
        known = sorted(name for name in map(str, shown.unique()) if name)
        raise LoaderError(
            f"no window of role {role!r} shows {stimulus!r}: {nearest(stimulus, known)} Windows know their stimulus "
            "where they lie whole within its time; the diet's windows.where chooses presentations."
        )
    return of_it


def place_of(view: View, rows: IntArray) -> IntArray:
    """Position in ``View.session_ids`` of rows of ``Manifest.windows``, shape (row,), int64; -1 for no such."""
    return place_in(view, view.manifest.windows["session_id"].iloc[rows])


def place_in(view: View, names: pd.Series[Any]) -> IntArray:
    """Position in ``View.session_ids`` of names of recordings, shape (name,), int64; -1 for no such."""
    code, different = pd.factorize(names)
    return pd.Index(view.session_ids).get_indexer(different).astype(np.int64)[code]


def frames_of(view: View, rows: IntArray) -> Intervals:
    """Frames of rows of ``Manifest.windows``, shape (row, 2), int64."""
    windows = view.manifest.windows
    columns = [windows[name].to_numpy(np.int64)[rows] for name in ("start_frame", "stop_frame")]
    return np.column_stack(columns)


def free_on_axis(view: View, role: str) -> Intervals:
    """``View.free_stretches`` of all recordings on the common axis, sorted."""
    place, frames = view.free_frames(role)
    return frames + place[:, None] * STRIDE


def on_axis(place: IntArray, frames: Intervals) -> Intervals:
    """Frames of recordings, on the common axis."""
    return frames + place[:, None] * STRIDE


def role_stretches(view: View, role: str, stimulus: str | None = None) -> Stretches:
    """Merge the windows of a role that touch, and cut them where they may not be crossed.

    Parameters
    ----------
    view : View
    role : str
    stimulus : str, optional
        Windows of this stimulus alone.

    Raises
    ------
    LoaderError
        When the manifest has no such window, or none of them is free.
    """
    rows = role_rows(view, role, stimulus)
    place = place_of(view, rows)
    rows, place = rows[place >= 0], place[place >= 0]
    frames = on_axis(place, frames_of(view, rows))
    order = np.argsort(frames[:, 0], kind="stable")
    frames, rows = frames[order], rows[order]
    # Merging must not join two stretches over a gap; intersecting comes last and keeps the gap's cut.
    pieces = intersect(as_intervals(frames), free_on_axis(view, role))
    if len(pieces) == 0:
        raise LoaderError(
            f"all {len(rows)} windows of role {role!r} lie in gaps or within the guard of other roles; take a split "
            "with a shorter guard, or a diet with other windows."
        )
    reached = np.maximum.accumulate(frames[:, 1])
    first = np.searchsorted(reached, pieces[:, 0], side="right")
    several = np.searchsorted(frames[:, 0], pieces[:, 1], side="left") - first > 1
    session = pieces[:, 0] // STRIDE
    return Stretches(
        session_index=session,
        start=pieces[:, 0] - session * STRIDE,
        stop=pieces[:, 1] - session * STRIDE,
        source=np.where(several, -1, rows[first]),
    )
