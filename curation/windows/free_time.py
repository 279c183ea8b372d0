"""Free time of a role: its own, and the frames beside it that no role has, such as the grey between trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poyodata.intervals import Intervals, as_intervals, intersect, subtract

GUARDED: tuple[str, ...] = ("train", "identify")
"""Roles to learn from, which keep the split's guard from the time of others."""


def free_time(
    recorded: Intervals, time: Intervals, roles: npt.NDArray[np.object_], guard: npt.NDArray[np.int64], role: str
) -> Intervals:
    """Give the frames that windows of a role may use.

    Frames without a role belong to the role whose time comes before them in their segment; those before the first such
    time, to its role. So the free frames of two roles have none in common. Segments without any role are nobody's.

    Parameters
    ----------
    recorded : ndarray, shape (segment, 2), int64
        Stretches without a gap, sorted.
    time : ndarray, shape (stretch, 2), int64
        Disjoint time with a role, in any order.
    roles : ndarray, shape (stretch,), object
        Role of each.
    guard : ndarray, shape (stretch,), int64
        Frames that roles to learn from keep from each.
    role : str

    Returns
    -------
    ndarray, shape (stretch, 2), int64
        Sorted; cut at gaps of the recording.

    Examples
    --------
    >>> time, roles = np.array([[10, 20], [30, 40]]), np.array(["train", "test"], object)
    >>> guard = np.array([5, 5])
    >>> free_time(np.array([[0, 50]]), time, roles, guard, "train").tolist()
    [[0, 25]]
    >>> free_time(np.array([[0, 50]]), time, roles, guard, "test").tolist()
    [[30, 50]]
    """
    other = roles != role
    reach = guard[other, None] * np.array([-1, 1]) if role in GUARDED else 0
    order = np.argsort(time[:, 0], kind="stable")
    pieces = intersect(time[order], recorded)
    if not len(pieces):
        return pieces
    owner = order[np.searchsorted(time[order, 0], pieces[:, 0], side="right") - 1]
    segment = np.searchsorted(recorded[:, 0], pieces[:, 0], side="right") - 1
    border = segment[1:] != segment[:-1]
    low = np.where(np.r_[True, border], recorded[segment, 0], pieces[:, 0])
    high = np.where(np.r_[border, True], recorded[segment, 1], np.r_[low[1:], 0])
    own = as_intervals(np.column_stack([low, high])[~other[owner]])
    # Merging must not join two stretches over a gap; intersecting comes last and keeps the gap's cut.
    return intersect(subtract(own, time[other] + reach), recorded)
