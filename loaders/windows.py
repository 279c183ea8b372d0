"""Which windows there are: trial-aligned or fixed, each with its exact number of frames.

A window is never cut and never padded. It lies within one free stretch of its recording (``View.free_stretches``):
recorded without a gap, and without a frame to which the split gives another role, whatever the diet eats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import LoaderError
from poyodata.intervals import Intervals, as_intervals, covers, intersect
from poyodata.loaders.order import draws

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WindowTable:
    """Windows of `n_frames` frames each, as columns.

    Attributes
    ----------
    session_index : ndarray, shape (window,), int64
        Position in the loader's ``session_ids``.
    start_frame : ndarray, shape (window,), int64
    first_start, last_start : ndarray, shape (window,), int64
        How far the start may be moved without leaving the stretch or touching another role.
    direction : ndarray, shape (window,), int64
        Drifting direction / 45 degrees, 0 to 7; -1 where there is none (blank sweeps, other stimuli).
    trial : ndarray, shape (window,), int64
        Trial number within (recording, stimulus); -1 where there is none.
    n_frames : int
    n_dropped : int
        Rows of the manifest that gave no window, because of a gap, a border of the recording or another role, and
        windows left out because frames are missing.
    """

    session_index: IntArray
    start_frame: IntArray
    first_start: IntArray
    last_start: IntArray
    direction: IntArray
    trial: IntArray
    n_frames: int
    n_dropped: int

    def __len__(self) -> int:
        return len(self.start_frame)

    def keep(self, kept: npt.NDArray[np.bool_]) -> WindowTable:
        """Leave out the windows that are not `kept`, bool of shape (window,), and count them as dropped."""
        names = ("session_index", "start_frame", "first_start", "last_start", "direction", "trial")
        columns = {name: getattr(self, name)[kept] for name in names}
        return replace(self, **columns, n_dropped=self.n_dropped + int((~kept).sum()))


def _directions(rows: pd.DataFrame) -> IntArray:
    degrees = rows["direction_deg"].to_numpy(np.float64)
    known = np.isfinite(degrees) & ~rows["blank"].to_numpy(bool)
    steps = np.where(known, degrees, 0.0) / 45.0
    odd = np.flatnonzero(np.abs(steps - np.round(steps)) > 1e-6)
    if len(odd):
        row = rows.iloc[odd[0]]
        raise LoaderError(
            f"recording {row['session_id']!r}, trial {row['trial']} has direction {row['direction_deg']:g} degrees, "
            "and labels are the 8 multiples of 45. Correct the recording's mapping if the unit is another, choose "
            "other trials by the diet's windows.where, or use mode='fixed', which has no labels."
        )
    return np.where(known, np.round(steps) % 8, -1).astype(np.int64)


def trial_windows(
    windows: pd.DataFrame,
    role: str,
    session_ids: Sequence[str],
    free: Mapping[str, Intervals],
    n_frames: int,
    offset_frames: int = 0,
) -> WindowTable:
    """One window for each trial of a role, `offset_frames` after its onset.

    Parameters
    ----------
    windows : DataFrame
        ``Manifest.windows``.
    role : str
        ``train``, ``valid``, ``test`` or ``identify``.
    session_ids : sequence of str
    free : mapping of session id to ndarray, shape (stretch, 2)
        What ``View.free_stretches`` gives for the role.
    n_frames, offset_frames : int
        Length, and start of the window relative to the onset of the trial (negative: before it).

    Raises
    ------
    LoaderError
        When no window is left, or a direction is no multiple of 45 degrees.
    """
    rows = windows[(windows["role"] == role) & (windows["trial"] >= 0)]
    if rows.empty:
        raise LoaderError(
            f"the manifest has no trials in role {role!r}; roles with trials are "
            f"{', '.join(sorted(windows.loc[windows['trial'] >= 0, 'role'].unique())) or 'none'}. "
            "Give the diet `windows: {where: stimulus == 'drifting_gratings'}`, or use mode='fixed'."
        )
    index = {key: at for at, key in enumerate(session_ids)}
    kept: list[pd.DataFrame] = []
    for key in session_ids:
        mine = rows[rows["session_id"] == key]
        start = mine["start_frame"].to_numpy(np.int64) + offset_frames
        at = np.clip(np.searchsorted(free[key][:, 0], start, side="right") - 1, 0, None)
        good = covers(free[key], start, start + n_frames)
        inside = free[key][at[good]]
        kept.append(
            mine[good].assign(
                start_frame=start[good],
                session_index=index[key],
                first_start=inside[:, 0],
                last_start=inside[:, 1] - n_frames,
            )
        )
    table = pd.concat(kept, ignore_index=True)
    if table.empty:
        raise LoaderError(
            f"no window of {n_frames} frames at offset {offset_frames} fits any of the {len(rows)} trials of role "
            f"{role!r}; shorten window_s or change offset_s."
        )
    return WindowTable(
        session_index=table["session_index"].to_numpy(np.int64),
        start_frame=table["start_frame"].to_numpy(np.int64),
        first_start=table["first_start"].to_numpy(np.int64),
        last_start=table["last_start"].to_numpy(np.int64),
        direction=_directions(table),
        trial=table["trial"].to_numpy(np.int64),
        n_frames=n_frames,
        n_dropped=len(rows) - len(table),
    )


def fixed_windows(
    windows: pd.DataFrame,
    role: str,
    session_ids: Sequence[str],
    free: Mapping[str, Intervals],
    n_frames: int,
    phase: tuple[int, int] | None = None,
) -> WindowTable:
    """Back-to-back windows through every stretch of a role.

    Parameters
    ----------
    windows, role, session_ids, free, n_frames
        As for `trial_windows`. Rows of the manifest that touch are one stretch.
    phase : (seed, epoch), optional
        With it every stretch starts at a random frame, a pure function of both; without it at its first frame.

    Raises
    ------
    LoaderError
        When no stretch is long enough.
    """
    index = {key: at for at, key in enumerate(session_ids)}
    sessions: list[IntArray] = []
    starts: list[IntArray] = []
    dropped = 0
    longest = 0
    for key in session_ids:
        mine = windows[(windows["role"] == role) & (windows["session_id"] == key)]
        # Merging rows that touch must not join two stretches over a gap; intersecting last keeps the gap's cut.
        pieces = intersect(as_intervals(mine[["start_frame", "stop_frame"]].to_numpy()), free[key])
        slack = pieces[:, 1] - pieces[:, 0] - n_frames
        longest = max([longest, *(slack + n_frames).tolist()])
        dropped += int((slack < 0).sum())
        shift = np.zeros(len(pieces), np.int64)
        if phase is not None and len(pieces):
            span = np.maximum(np.minimum(slack, n_frames - 1), 0).astype(np.uint64) + np.uint64(1)
            shift = (draws(phase[0], phase[1], len(pieces), stream=1 + index[key]) % span).astype(np.int64)
        for (a, b), move in zip(pieces, shift, strict=True):
            begin = np.arange(a + move, b - n_frames + 1, n_frames, dtype=np.int64)
            starts.append(begin)
            sessions.append(np.full(len(begin), index[key], np.int64))
    start = np.concatenate(starts) if starts else np.empty(0, np.int64)
    if len(start) == 0:
        raise LoaderError(
            f"no window of {n_frames} frames fits role {role!r}: its longest stretch has {longest} frames. "
            "Shorten window_s, or choose windows with a longer min_length_s."
        )
    none = np.full(len(start), -1, np.int64)
    return WindowTable(np.concatenate(sessions), start, start, start, none, none, n_frames, dropped)
