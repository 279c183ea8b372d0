"""Algebra of half-open integer frame intervals, ``[start, stop)``, as arrays of shape (interval, 2).

Frames are integers from the first reading of a file to the last batch: nothing downstream rounds a time to a frame.
Functions that combine intervals return them as int64, sorted and disjoint; touching ones stay apart where that is said.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Intervals: TypeAlias = npt.NDArray[np.int64]
"""Array of shape (interval, 2), int64: rows are ``start_frame, stop_frame``."""


def as_intervals(rows: npt.ArrayLike) -> Intervals:
    """Normalise rows of ``start, stop``: sorted, merged where they overlap or touch, empty rows left out.

    Examples
    --------
    >>> as_intervals([[5, 9], [0, 3], [3, 4], [7, 7]]).tolist()
    [[0, 4], [5, 9]]
    """
    array = np.asarray(rows, dtype=np.int64).reshape(-1, 2)
    array = array[array[:, 1] > array[:, 0]]
    if len(array) == 0:
        return np.empty((0, 2), np.int64)
    array = array[np.argsort(array[:, 0], kind="stable")]
    reach = np.maximum.accumulate(array[:, 1])
    first = np.ones(len(array), bool)
    first[1:] = array[1:, 0] > reach[:-1]
    index = np.flatnonzero(first)
    stops = np.maximum.reduceat(array[:, 1], index)
    return np.column_stack([array[index, 0], stops])


def intersect(a: Intervals, b: Intervals) -> Intervals:
    """Frames in both. Boundaries inside `a` and inside `b` are kept: touching pieces are not merged.

    Examples
    --------
    >>> intersect(np.array([[0, 10]]), np.array([[2, 4], [8, 20]])).tolist()
    [[2, 4], [8, 10]]
    """
    a = np.asarray(a, np.int64).reshape(-1, 2)
    b = np.asarray(b, np.int64).reshape(-1, 2)
    if len(a) == 0 or len(b) == 0:
        return np.empty((0, 2), np.int64)
    first = np.searchsorted(b[:, 1], a[:, 0], side="right")
    last = np.searchsorted(b[:, 0], a[:, 1], side="left")
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(len(a)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    other = np.repeat(first, count) + offset
    start = np.maximum(a[row, 0], b[other, 0])
    stop = np.minimum(a[row, 1], b[other, 1])
    return np.column_stack([start, stop]).astype(np.int64)


def subtract(a: Intervals, b: Intervals) -> Intervals:
    """Frames of `a` that are not in `b`.

    Examples
    --------
    >>> subtract(np.array([[0, 10]]), np.array([[2, 4], [8, 20]])).tolist()
    [[0, 2], [4, 8]]
    """
    a = np.asarray(a, np.int64).reshape(-1, 2)
    b = as_intervals(b)
    if len(a) == 0 or len(b) == 0:
        return a.copy()
    low = min(int(a[:, 0].min()), int(b[0, 0])) - 1
    high = max(int(a[:, 1].max()), int(b[-1, 1])) + 1
    holes = np.column_stack([np.r_[low, b[:, 1]], np.r_[b[:, 0], high]]).astype(np.int64)
    return intersect(a, holes)


def dilate(rows: Intervals, frames: int) -> Intervals:
    """Grow every interval by `frames` on both sides and merge what then touches.

    Examples
    --------
    >>> dilate(np.array([[5, 6], [9, 10]]), 2).tolist()
    [[3, 12]]
    """
    array = np.asarray(rows, np.int64).reshape(-1, 2)
    return as_intervals(array + np.array([-frames, frames]))


def n_frames(rows: Intervals) -> int:
    """Count the frames in disjoint intervals.

    Examples
    --------
    >>> n_frames(np.array([[0, 3], [5, 6]]))
    4
    """
    array = np.asarray(rows, np.int64).reshape(-1, 2)
    return int((array[:, 1] - array[:, 0]).sum())


def covers(rows: Intervals, start: npt.ArrayLike, stop: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell for each window ``[start, stop)`` whether one single interval holds it whole.

    Examples
    --------
    >>> covers(np.array([[0, 10], [10, 20]]), [2, 8], [5, 12]).tolist()
    [True, False]
    """
    array = np.asarray(rows, np.int64).reshape(-1, 2)
    start = np.atleast_1d(np.asarray(start, np.int64))
    stop = np.atleast_1d(np.asarray(stop, np.int64))
    if len(array) == 0:
        return np.zeros(len(start), bool)
    at = np.searchsorted(array[:, 0], start, side="right") - 1
    inside = (at >= 0) & (stop <= array[np.maximum(at, 0), 1])
    return np.asarray(inside, dtype=np.bool_)


def segments_of_time(time_s: npt.NDArray[np.float64], factor: float = 1.5) -> Intervals:
    """Cut a recording where its timestamps jump: the stretches without a gap.

    Parameters
    ----------
    time_s : ndarray, shape (time,), float64, seconds
        True timestamps, strictly increasing.
    factor : float
        A step longer than `factor` times the median step is a gap.

    Returns
    -------
    ndarray, shape (segment, 2), int64
        Touching but separate intervals which cover every frame.

    Examples
    --------
    >>> segments_of_time(np.array([0.0, 1.0, 2.0, 7.0, 8.0])).tolist()
    [[0, 3], [3, 5]]
    """
    if len(time_s) < 2:
        return np.array([[0, len(time_s)]], np.int64)[: len(time_s)]
    step = np.diff(time_s)
    cut = np.flatnonzero(step > factor * np.median(step)) + 1
    edges = np.r_[0, cut, len(time_s)].astype(np.int64)
    return np.column_stack([edges[:-1], edges[1:]])
