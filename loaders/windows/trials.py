"""Trial windows: one for each trial, a fixed number of frames from its onset."""

from __future__ import annotations

import numpy as np
import pandas as pd

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.intervals import as_intervals, covers, intersect
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


def trial_windows(view: View, role: str, n_frames: int, *, offset_frames: int = 0) -> WindowIndex:
    """Take one window for each trial of a role.

    A window may reach beyond its trial, into what came before and after it, as far as that is free
    (``View.free_stretches``). Where the diet leaves frames out (``windows.while``), it lies within those that are left,
    and starts where the trial started, whatever is left of it.

    Parameters
    ----------
    view : View
    role : str
    n_frames : int
    offset_frames : int
        Start of the window relative to the onset of the trial; negative takes context before it.

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
    rows = role_rows(view, role)
    rows = rows[view.manifest.windows["trial"].to_numpy(np.int64)[rows] >= 0]
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
    fits = covers(allowed, start, start + n_frames)
    if not fits.any():
        longest = int((allowed[:, 1] - allowed[:, 0]).max(initial=0))
        raise LoaderError(
            f"no window of {n_frames} frames at offset {offset_frames} fits any of the {len(rows)} trials of role "
            f"{role!r}: the longest stretch without a gap, other role or frame left out has {longest} frames. Shorten "
            "window_s or change offset_s."
        )
    rows, place, start = rows[fits], place[fits], start[fits]
    inside = allowed[np.searchsorted(allowed[:, 0], start, side="right") - 1] - place[:, None] * STRIDE
    order = np.argsort(start, kind="stable")
    rows, place, start, inside = rows[order], place[order], (start - place * STRIDE)[order], inside[order]
    gone = int((~fits).sum())
    return WindowIndex(
        session_ids=view.session_ids,
        session_index=place,
        first=start,
        count=np.ones(len(rows), np.int64),
        length=np.full(len(rows), n_frames, np.int64),
        low=inside[:, 0],
        high=inside[:, 1] - n_frames,
        source=rows,
        hop_frames=n_frames,
        slack=np.zeros(len(rows), np.int64),
        dropped={"trials without room for a window: a gap, another role or frames left out": gone} if gone else {},
        mode="trial",
    )


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
