"""Missing frames: where selected neurons have no value, so that no window holds one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.intervals import Intervals, as_intervals, n_frames
from poyodata.loaders.windows import WindowTable

BLOCK_FRAMES = 4096


def missing_frames(view: View, spans: Mapping[str, Intervals]) -> dict[str, Intervals]:
    """Find frames at which a selected neuron has no finite value.

    Parameters
    ----------
    view : View
    spans : mapping of session id to ndarray, shape (span, 2), int64
        Frames to look at; they may overlap, and each frame is read once.

    Returns
    -------
    dict of session id to ndarray, shape (stretch, 2), int64
        Stretches of missing frames, sorted and disjoint; recordings without one are left out.
    """
    found: dict[str, Intervals] = {}
    for session_id, rows in spans.items():
        traces, columns = view.traces(session_id), view.columns(session_id)
        frames: list[npt.NDArray[np.int64]] = []
        for a, b in as_intervals(rows):
            for start in range(int(a), int(b), BLOCK_FRAMES):
                block = traces[start : min(start + BLOCK_FRAMES, int(b))]
                # A finite sum has finite terms only, and costs no temporary: nearly all blocks end here.
                if not np.isfinite(block.sum(dtype=np.float64)):
                    frames.append(start + np.flatnonzero(~np.isfinite(block[:, columns]).all(axis=1)))
        at = np.concatenate(frames) if frames else np.empty(0, np.int64)
        if len(at):
            found[session_id] = as_intervals(np.column_stack([at, at + 1]))
    return found


def drop_missing(
    table: WindowTable, session_ids: tuple[str, ...], missing: Mapping[str, Intervals], reach_frames: int = 0
) -> WindowTable:
    """Leave out windows that hold a missing frame, or can after a move by up to `reach_frames`.

    Parameters
    ----------
    table : WindowTable
    session_ids : tuple of str
        What ``table.session_index`` counts in.
    missing : mapping of session id to ndarray
        From `missing_frames`.
    reach_frames : int

    Raises
    ------
    LoaderError
        When no window is left.
    """
    if not missing:
        return table
    start, stop = reach(table, reach_frames)
    kept = np.ones(len(table), np.bool_)
    for at, session_id in enumerate(session_ids):
        gaps = missing.get(session_id)
        mine = np.flatnonzero(table.session_index == at)
        if gaps is not None and len(mine):
            next_gap = np.searchsorted(gaps[:, 1], start[mine], side="right")
            inside = next_gap < len(gaps)
            kept[mine] = ~(inside & (gaps[np.minimum(next_gap, len(gaps) - 1), 0] < stop[mine]))
    if not kept.any():
        worst = max(missing, key=lambda name: n_frames(missing[name]))
        raise LoaderError(
            f"every window holds a missing frame: in recording {worst!r}, {n_frames(missing[worst])} frames of the "
            "windows lack a value of a selected neuron. Ingest it again into a new store with --missing drop, or take "
            "a diet that excludes neurons with missing_fraction > 0."
        )
    return table.keep(kept)


def reach(table: WindowTable, frames: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First frame and frame after the last that each window can hold, moved by up to `frames` within its bounds."""
    first = np.clip(table.start_frame - frames, table.first_start, table.last_start)
    last = np.clip(table.start_frame + frames, table.first_start, table.last_start)
    return first, last + table.n_frames
