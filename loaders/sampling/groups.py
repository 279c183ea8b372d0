"""Groups of windows by what was shown, or by who was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation.view import View
from poyodata.errors import LoaderError, nearest
from poyodata.loaders.windows.index import IntArray, WindowIndex
from poyodata.loaders.windows.stretches import on_axis, place_in

_PLACE = {"session_id", "role", "start_frame", "stop_frame", "start_s", "stop_s"}
_OF_BLANKS = {"stimulus", "trial", "epoch", "blank", "repeat"}
"""Columns of presentations that mean something for a blank sweep too."""


def groups_by(view: View, index: WindowIndex, column: str) -> IntArray:
    """Group the rows of an index by a column.

    Parameters
    ----------
    view : View
    index : WindowIndex
    column : str
        Of presentations (``stimulus``, ``direction_deg``, ``image``, ``trial`` ...), or of recordings (``session_id``,
        ``cre_line``, ``area``, ``donor_id`` ...).

    Returns
    -------
    ndarray, shape (row,), int64
        Numbers from 0 in the order of the values; -1 where there is none, as blank sweeps have no direction.

    Raises
    ------
    LoaderError
        When there is no such column, no row has a value of it, or a row is made of windows that differ in it.
    """
    sessions = view.store.sessions
    windows = view.manifest.windows
    if column in sessions.columns:
        of_session = sessions.set_index("session_id", drop=False)[column].reindex(list(view.session_ids))
        groups = _numbered(of_session)[index.session_index]
    elif column in windows.columns and column not in _PLACE:
        groups = _of_rows(view, index, _of_shown(windows, column), column)
    elif column in _presentation_columns(view) - _PLACE:
        groups = _of_rows(view, index, _shown(view, column), column)
    else:
        known = sorted({*sessions.columns, *windows.columns, *_presentation_columns(view)} - (_PLACE - {"session_id"}))
        raise LoaderError(f"windows cannot be grouped by {column!r}: {nearest(column, known)}")
    inside = groups >= 0
    if not inside.any():
        raise LoaderError(f"no window has a value of {column!r}, so there is nothing to group by; take another column.")
    groups[inside] = np.unique(groups[inside], return_inverse=True)[1]  # without the values that only others have
    return groups


def _numbered(values: pd.Series[Any]) -> IntArray:
    """Numbers of the values in their order; -1 for what is missing, an empty text, or -1 among whole numbers."""
    if pd.api.types.is_integer_dtype(values.dtype):
        values = values.where(values != -1)
    elif not pd.api.types.is_numeric_dtype(values.dtype):
        values = values.where(values != "")
    return pd.factorize(values, sort=True)[0].astype(np.int64)


def _of_shown(rows: pd.DataFrame, column: str) -> IntArray:
    """`_numbered` of a column of presentations; -1 for blank sweeps where they have none."""
    number = _numbered(rows[column])
    return number if column in _OF_BLANKS else np.where(rows["blank"].to_numpy(bool), -1, number)


def _presentation_columns(view: View) -> set[str]:
    first = list(view.session_ids[:1])
    return set(view.store.presentations_of(first).columns)


def _shown(view: View, column: str) -> IntArray:
    """Groups of all windows of the manifest by a column that it lacks, read from the presentations."""
    names = list(view.session_ids)
    shown = view.store.presentations_of(names, ["session_id", "start_frame", "blank", column])
    windows = view.manifest.windows
    theirs = np.column_stack([shown["start_frame"].to_numpy(np.int64)] * 2)
    onset = on_axis(place_in(view, shown["session_id"]), theirs)[:, 0]
    own = windows[["start_frame", "stop_frame"]].to_numpy(np.int64)
    start = on_axis(place_in(view, windows["session_id"]), own)[:, 0]
    order = np.argsort(onset, kind="stable")
    at = np.searchsorted(onset[order], start, side="right") - 1
    number = _of_shown(shown, column)[order]
    # Stretches that are no trials belong to no presentation.
    known = (at >= 0) & (windows["trial"].to_numpy(np.int64) >= 0)
    return np.where(known, number[np.maximum(at, 0)], -1)


def _of_rows(view: View, index: WindowIndex, of_window: IntArray, column: str) -> IntArray:
    """Group of each row: that of the window which it came from, or of all those which it came from."""
    groups = np.where(index.source >= 0, of_window[index.source], -1)
    merged = np.flatnonzero(index.source < 0)
    if len(merged) == 0:
        return groups
    windows = view.manifest.windows
    place = place_in(view, windows["session_id"])
    frames = on_axis(place, windows[["start_frame", "stop_frame"]].to_numpy(np.int64))
    order = np.argsort(frames[:, 0], kind="stable")
    frames, number = frames[order], of_window[order]
    spans = on_axis(index.session_index[merged], index.spans()[merged])
    first = np.searchsorted(np.maximum.accumulate(frames[:, 1]), spans[:, 0], side="right")
    last = np.searchsorted(frames[:, 0], spans[:, 1], side="left") - 1
    changes = np.cumsum(np.r_[0, number[1:] != number[:-1]])
    mixed = np.flatnonzero(changes[first] != changes[last])
    if len(mixed):
        start, stop = index.spans()[merged[mixed[0]]]
        raise LoaderError(
            f"frames {start} to {stop} of recording {index.session_ids[index.session_index[merged[mixed[0]]]]!r} show "
            f"several values of {column!r}, and a row of windows has one; use mode='trial', or group by a column of "
            "recordings."
        )
    groups[merged] = number[first]
    return groups
