"""Every group equally often, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from poyodata.errors import LoaderError
from poyodata.loaders.order import key_of, permuted
from poyodata.loaders.sampling.members import Members
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.sampling.sampler import GROUP_STREAM, MEMBER_STREAM, Dealt, IntArray
from poyodata.loaders.windows.index import WindowIndex


@dataclass(frozen=True)
class Balanced(Dealt):
    """Groups in turn; made by `balanced`.

    Attributes
    ----------
    groups : ndarray, shape (row,), int64
        Group of each row; negative for none.
    """

    groups: IntArray = field(default_factory=lambda: np.empty(0, np.int64))

    @cached_property
    def _members(self) -> Members:
        return Members(self.index, self.groups)

    def windows(self, epoch: int, positions: IntArray) -> IntArray:
        """Windows at some positions of an epoch, shape (position,), int64."""
        members = self._members
        n_groups = len(members.count)
        # Round by round, each group comes once; which of its windows, a shuffled order says that starts anew when all
        # have come.
        turn = positions // n_groups
        size = np.array([n_groups], np.int64)
        group = permuted(positions % n_groups, size, key_of(self.seed, epoch, GROUP_STREAM, turn))
        count = members.count[group]
        again = turn // count
        member = permuted(turn % count, count, key_of(self.seed, epoch, MEMBER_STREAM, group, again))
        return members.windows(group, member)


def balanced(
    index: WindowIndex,
    groups: IntArray,
    batch_size: int,
    seed: int,
    ranks: Ranks | None = None,
    n_windows: int | None = None,
    drop_last: bool = False,
) -> Balanced:
    """Draw every group equally often: in an epoch, numbers of windows differ by one at most.

    No window of a group comes again before all of them came; those of large groups come in other epochs. Any stretch of
    the epoch is balanced, and so is a batch of a multiple of the number of groups.

    Parameters
    ----------
    index : WindowIndex
    groups : ndarray, shape (row,), int64
        Group of each row (`groups_by`); windows of negative ones are never drawn.
    batch_size : int
        Of one rank.
    seed : int
    ranks : Ranks, optional
    n_windows : int, optional
        Drawn in an epoch; by default as many as there are in groups.
    drop_last : bool
        Leave out a last batch that is not full.

    Raises
    ------
    LoaderError
        When there is not one group for each row, or no row is in one.
    """
    given = np.asarray(groups)
    if given.shape != (index.n_rows,) or not np.issubdtype(given.dtype, np.integer):
        raise LoaderError(
            f"groups are {given.dtype} of shape {given.shape}, and the index has {index.n_rows} rows; give a whole "
            "number for each row, negative for none (groups_by makes them)."
        )
    given = given.astype(np.int64)
    inside = int(index.count[given >= 0].sum())
    if inside == 0:
        raise LoaderError("no window is in a group, so none can be balanced; group by another column.")
    drawn = inside if n_windows is None else n_windows
    return Balanced(index, batch_size, seed, ranks or Ranks(), drawn, drop_last, given)
