"""Missing values: windows that would hold one for a selected neuron are not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.intervals import Intervals, as_intervals, subtract
from poyodata.loaders.windows.fixed import lay
from poyodata.loaders.windows.index import IntArray, WindowIndex
from poyodata.loaders.windows.stretches import STRIDE, Stretches, on_axis
from poyodata.loaders.windows.whole import lay_whole
from poyodata.store.complete import complete_recordings, note_complete

BLOCK_FRAMES = 4096
REASON = "windows with a missing value"


def drop_missing(index: WindowIndex, view: View) -> WindowIndex:
    """Leave out windows in which a selected neuron has no finite value.

    A trial's window is left out, and others are moved no further than to the next missing frame. Stretches of other
    windows end where a frame is missing. So no window of any epoch holds one, and windows stay as many in every epoch.

    Recordings that are known to be complete, since they were written or read before (`complete_recordings`), are not
    read; every other one is read whole.

    Parameters
    ----------
    index : WindowIndex
    view : View

    Raises
    ------
    LoaderError
        When no window is left.
    """
    holes = missing_frames(view, [index.session_ids[at] for at in np.unique(index.session_index)])
    if len(holes) == 0:
        return index
    kept = _trials_between(index, holes) if index.mode == "trial" else _stretches_between(index, holes)
    if kept is None or len(kept) == 0:
        lost = np.bincount(holes[:, 0] // STRIDE, weights=holes[:, 1] - holes[:, 0])
        worst = int(np.argmax(lost))
        raise LoaderError(
            f"every window holds a missing frame: in recording {index.session_ids[worst]!r}, {int(lost[worst])} frames "
            "lack a value of a selected neuron. Ingest it again into a new store with --missing drop, or take "
            "a diet that excludes neurons with missing_fraction > 0."
        )
    return kept


def missing_frames(view: View, session_ids: list[str]) -> Intervals:
    """Find frames at which a selected neuron has no finite value.

    Parameters
    ----------
    view : View
    session_ids : list of str
        Recordings to look at.

    Returns
    -------
    ndarray, shape (stretch, 2), int64
        On the common axis, sorted and disjoint.
    """
    sessions = view.store.sessions
    digests = dict(zip(sessions["session_id"], sessions["digest"], strict=True))
    known = complete_recordings(view.store.statistics_folder)
    found: list[IntArray] = []
    complete: list[str] = []
    for session_id in session_ids:
        if digests[session_id] in known:
            continue
        columns = view.columns(session_id)
        place = view.session_ids.index(session_id)
        whole = True
        for start, block in _suspect_blocks(view.traces(session_id)):
            whole = False
            at = start + np.flatnonzero(~np.isfinite(block[:, columns]).all(axis=1))
            found.append(at.astype(np.int64) + place * STRIDE)
        if whole:
            complete.append(digests[session_id])
    note_complete(view.store.statistics_folder, complete)
    at = np.concatenate(found) if found else np.empty(0, np.int64)
    return as_intervals(np.column_stack([at, at + 1]))


def _suspect_blocks(traces: Any) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Blocks of a recording that hold a value that is not finite, with their first frame."""
    for start in range(0, len(traces), BLOCK_FRAMES):
        block = np.ascontiguousarray(traces[start : start + BLOCK_FRAMES], np.float32)
        if _any_missing(block.reshape(-1).view(np.uint32)):
            yield start, block


@compiled()
def _any_missing(words: Any) -> Any:
    # All exponent bits set is infinite or NaN. Without an early end the loop runs as fast as memory is read.
    exponent = np.uint32(0x7F800000)
    found = np.uint32(0)
    for at in range(words.size):
        found |= np.uint32((words[at] & exponent) == exponent)
    return found > 0


def _trials_between(index: WindowIndex, holes: Intervals) -> WindowIndex:
    """Trials clear of missing frames, which they stay when they are moved."""
    offset = index.session_index * STRIDE
    start = index.first + offset
    # A hole beyond the last and one before the first, so that each window lies after one and before another.
    edges = np.concatenate([[[-2, -1]], holes, [[2**62, 2**62 + 1]]])
    after = np.searchsorted(edges[:, 1], start, side="right")
    clear = edges[after, 0] >= start + index.length
    low = np.maximum(index.low, edges[after - 1, 1] - offset)
    high = np.minimum(index.high, edges[after, 0] - index.length - offset)
    return replace(index, low=low, high=high).keep(clear, REASON)


def _stretches_between(index: WindowIndex, holes: Intervals) -> WindowIndex | None:
    """Windows laid anew through stretches that end where frames are missing; None where there is no room for any."""
    spans = on_axis(index.session_index, index.spans())
    order = np.argsort(spans[:, 0], kind="stable")
    spans, source = spans[order], index.source[order]
    pieces = subtract(spans, holes)
    session = pieces[:, 0] // STRIDE
    row = np.searchsorted(spans[:, 0], pieces[:, 0], side="right") - 1
    frames = pieces - session[:, None] * STRIDE
    stretches = Stretches(session, frames[:, 0], frames[:, 1], source[row])
    if len(stretches) == 0 or (index.mode != "whole" and stretches.length.max() < index.n_frames):
        return None
    if index.mode == "whole":
        laid = lay_whole(index.session_ids, stretches)
        return replace(laid, dropped=index.dropped)
    laid = lay(
        index.session_ids,
        stretches,
        index.n_frames,
        index.hop_frames,
        random_phase=bool(index.slack.any()),
        role="",
        mode=index.mode,
    )
    return replace(laid, dropped=index.dropped).with_dropped(REASON, max(0, len(index) - len(laid)))
