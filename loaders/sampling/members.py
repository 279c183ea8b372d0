"""Windows of groups: the rows of each group back to back, so that a window is found by its number within its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from poyodata.loaders.windows.index import WindowIndex

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Members:
    """Which windows belong to which group.

    Parameters
    ----------
    index : WindowIndex
    groups : ndarray, shape (row,), int64
        Group of each row, from 0; negative for none.
    """

    index: WindowIndex
    groups: IntArray

    @cached_property
    def rows(self) -> IntArray:
        """Rows that are in a group, group by group, shape (row in a group,), int64."""
        order = np.argsort(self.groups, kind="stable")
        return order[self.groups[order] >= 0]

    @cached_property
    def stop(self) -> IntArray:
        """Number of windows up to and with each of `rows`."""
        return np.cumsum(self.index.count[self.rows], dtype=np.int64)

    @cached_property
    def count(self) -> IntArray:
        """Windows of each group, shape (group,), int64; groups without any are left out, and the others move up."""
        _, own = np.unique(self.groups[self.rows], return_inverse=True)
        last = np.flatnonzero(np.r_[own[1:] != own[:-1], True]) if len(own) else np.empty(0, np.int64)
        return np.diff(self.stop[last], prepend=0)

    @cached_property
    def first(self) -> IntArray:
        """Windows before each group, shape (group,), int64."""
        return np.cumsum(self.count) - self.count

    def windows(self, group: IntArray, member: IntArray) -> IntArray:
        """Number in the index of the member of a group.

        Parameters
        ----------
        group : ndarray, shape (window,), int64
        member : ndarray, shape (window,), int64
            ``0 <= member < count[group]``.

        Returns
        -------
        ndarray, shape (window,), int64
        """
        number = self.first[group] + member
        at = np.searchsorted(self.stop, number, side="right")
        row = self.rows[at]
        return self.index.stop[row] - self.stop[at] + number
