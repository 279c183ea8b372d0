"""Trial windows: one for each trial, a fixed number of frames from its onset."""

from __future__ import annotations

import numpy as np
import pandas as pd

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.intervals import Intervals, as_intervals, covers, intersect, subtract
from poyodata.loaders.windows.index import WindowIndex
from poyodata.loaders.windows.stretches import (
    STRIDE,
    IntArray,
    frames_of,
    free_on_axis,
    on_axis,
    place_in,
    place_of,
    role_rows,
)

BATCH = 40
"""Recordings whose presentations are read together: with movies they are two million rows."""


def trial_windows(
    view: View, role: str, n_frames: int, *, offset_frames: int = 0, reach_frames: int | None = None
) -> WindowIndex:
    """Take one window for each trial of a role.

    A window may reach beyond its trial, into other trials of the role and the grey beside them, as far as that is free
    (``View.free_stretches``); never into a presentation that the diet let go. Where the diet leaves frames out
    (``windows.while``), it lies within those that are left, and starts where the trial started, whatever is left of it.

    Presentations are read only of recordings where a window could reach beyond the trials of the role.

    Parameters
    ----------
    view : View
    role : str
    n_frames : int
    offset_frames : int
        Start of the window relative to the onset of the trial; negative takes context before it.
    reach_frames : int, optional
        How far a window is going to be moved at most, 0 for not at all; by default as far as there is room.

    Returns
    -------
    WindowIndex
        One row for each trial; `low` and `high` say how far it may be moved.

    Raises
    ------
    LoaderError
        When the role has no trials, or no window fits.
    """
    if n_frames < 1:
        raise LoaderError(f"a window of {n_frames} frames was asked for; it needs at least 1.")
    every = role_rows(view, role)
    rows = every[view.manifest.windows["trial"].to_numpy(np.int64)[every] >= 0]
    if len(rows) == 0:
        windows = view.manifest.windows
        known = sorted(map(str, windows.loc[windows["trial"] >= 0, "role"].unique()))
        raise LoaderError(
            f"the manifest has no trials in role {role!r}; roles with trials are {', '.join(known) or 'none'}. "
            "Give the diet `windows: {where: stimulus == 'drifting_gratings'}`, or use mode='fixed'."
        )
    place = place_of(view, rows)
    rows, place = rows[place >= 0], place[place >= 0]
    allowed = free_on_axis(view, role)
    frames = on_axis(place, frames_of(view, rows))
    onset = frames[:, 0]
    if _leaves_frames_out(view):
        allowed = intersect(as_intervals(frames), allowed)
        rows, place, onset = _whole_trials(view, rows, place)
    start = onset + offset_frames
    low, high = _bounds(allowed, start, n_frames, reach_frames)
    kept = _time_of(view, every)
    beyond = (low <= high) & ~covers(kept, low, high + n_frames)
    if beyond.any():
        allowed = _without_let_go(view, allowed, kept, np.unique(place[beyond]))
        low, high = _bounds(allowed, start, n_frames, reach_frames)
    fits = low <= high
    if not fits.any():
        longest = int((allowed[:, 1] - allowed[:, 0]).max(initial=0))
        raise LoaderError(
            f"no window of {n_frames} frames at offset {offset_frames} fits any of the {len(rows)} trials of role "
            f"{role!r}: the longest stretch without a gap, other role or frame left out has {longest} frames. Shorten "
            "window_s or change offset_s."
        )
    order = np.flatnonzero(fits)
    order = order[np.argsort(start[order], kind="stable")]
    rows, place, start, low, high = (column[order] for column in (rows, place, start, low, high))
    offset = place * STRIDE
    gone = int((~fits).sum())
    return WindowIndex(
        session_ids=view.session_ids,
        session_index=place,
        first=start - offset,
        count=np.ones(len(rows), np.int64),
        length=np.full(len(rows), n_frames, np.int64),
        low=low - offset,
        high=high - offset,
        source=rows,
        hop_frames=n_frames,
        slack=np.zeros(len(rows), np.int64),
        dropped={"trials without room for a window: a gap, another role or frames left out": gone} if gone else {},
        mode="trial",
    )


def _bounds(allowed: Intervals, start: IntArray, n_frames: int, reach: int | None) -> tuple[IntArray, IntArray]:
    """Least and greatest start to which windows may be moved; the least is above the greatest where one has no room."""
    if len(allowed) == 0:
        return start + 1, start
    fits = covers(allowed, start, start + n_frames)
    inside = allowed[np.maximum(np.searchsorted(allowed[:, 0], start, side="right") - 1, 0)]
    low, high = inside[:, 0], inside[:, 1] - n_frames
    if reach is not None:
        low, high = np.maximum(low, start - reach), np.minimum(high, start + reach)
    return np.where(fits, low, start + 1), np.where(fits, high, start)


def _time_of(view: View, rows: IntArray) -> Intervals:
    """Time of windows of the manifest, on the common axis."""
    place = place_of(view, rows)
    return as_intervals(on_axis(place, frames_of(view, rows))[place >= 0])


def _without_let_go(view: View, allowed: Intervals, kept: Intervals, places: IntArray) -> Intervals:
    """Cut what is allowed where some recordings show what the diet let go; grey between presentations stays."""
    columns = ["start_frame", "stop_frame"]
    for first in range(0, len(places), BATCH):
        names = [view.session_ids[at] for at in places[first : first + BATCH].tolist()]
        shown = view.store.presentations_of(names, ["session_id", *columns])
        spans = on_axis(place_in(view, shown["session_id"]), shown[columns].to_numpy(np.int64))
        allowed = subtract(allowed, subtract(as_intervals(spans), kept))
    return allowed


def _leaves_frames_out(view: View) -> bool:
    return bool(view.manifest.meta["diet"].get("windows", {}).get("while"))


def _whole_trials(view: View, rows: IntArray, place: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Trials of which something is left, once each, and their onset on the common axis."""
    keys = ["session_id", "stimulus", "trial", "start_frame", "stop_frame"]
    left = view.manifest.windows[keys].iloc[rows].reset_index(drop=True)
    names = list(map(str, left["session_id"].unique()))
    shown = view.store.presentations_of(names, keys)
    # Trials of different epochs may share a number: a piece belongs to the presentation that holds it.
    columns = ["start_frame", "stop_frame"]
    spans = on_axis(place_in(view, shown["session_id"]), shown[columns].to_numpy(np.int64))
    kind = pd.factorize(pd.concat([left["stimulus"], shown["stimulus"]], ignore_index=True))[0]
    pieces = on_axis(place, left[columns].to_numpy(np.int64))
    onset = np.full(len(rows), -1, np.int64)
    for stimulus in np.unique(kind[: len(left)]):
        mine, theirs = np.flatnonzero(kind[: len(left)] == stimulus), np.flatnonzero(kind[len(left) :] == stimulus)
        theirs = theirs[np.argsort(spans[theirs, 0], kind="stable")]
        at = np.searchsorted(spans[theirs, 0], pieces[mine, 0], side="right") - 1
        onset[mine] = spans[theirs[np.maximum(at, 0)], 0]
    _, first = np.unique(onset, return_index=True)
    return rows[first], place[first], onset[first]
