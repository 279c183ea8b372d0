"""`Sampler`: which windows an epoch draws, and in which batches; a pure function of (seed, epoch) and of the rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError
from poyodata.loaders.checks import whole_number
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.windows.index import WindowIndex

IntArray = npt.NDArray[np.int64]

WINDOW_STREAM, ROW_STREAM, GROUP_STREAM, MEMBER_STREAM, BATCH_STREAM, OWN_STREAM = range(6)
"""Keep draws for different purposes apart."""


@dataclass(frozen=True)
class Drawn:
    """One batch, before anything is read.

    Attributes
    ----------
    window : ndarray, shape (window,), int64
        Numbers of the index.
    sample : ndarray, shape (window,), int64
        Position in the epoch over all ranks, the same whoever reads it: what transforms draw from.
    """

    window: IntArray
    sample: IntArray

    def __len__(self) -> int:
        return len(self.window)


def require_batches(start: int, stop: int, n: int) -> None:
    """Refuse batches that an epoch of `n` does not have."""
    if not 0 <= start < stop <= n:
        asked = f"{start}" if stop == start + 1 else f"{start} to {stop - 1}"
        raise LoaderError(f"an epoch has the batches 0 to {n - 1}, and {asked} was asked for.")


class Sampler(Protocol):
    """What gives a loader its batches."""

    @property
    def n_windows(self) -> int:
        """Windows that all ranks draw together in an epoch."""
        ...

    @property
    def most_batches(self) -> int:
        """Batches in an epoch of the rank that has most of them, which is rank 0."""
        ...

    def __len__(self) -> int:
        """Batches of this rank in an epoch; none where there are fewer windows than ranks."""
        ...

    def batches(self, epoch: int, start: int, stop: int) -> tuple[Drawn, list[int]]:
        """Batches `start` to `stop` of an epoch, one after the other, and where each of them ends.

        Any of them at the same price; many together are cheaper than one by one.
        """
        ...

    def batch(self, epoch: int, number: int) -> Drawn:
        """Batch `number` of an epoch, counted from 0."""
        ...


@dataclass(frozen=True)
class Dealt:
    """Positions of an epoch in batches: what samplers share that draw window by window.

    Attributes
    ----------
    index : WindowIndex
    batch_size : int
        Of one rank.
    seed : int
    ranks : Ranks
    n_positions : int
        Of an epoch, before a tail is dropped.
    drop_last : bool
        Leave out a last batch that is not full.
    """

    index: WindowIndex
    batch_size: int
    seed: int
    ranks: Ranks
    n_positions: int
    drop_last: bool = False

    def __post_init__(self) -> None:
        whole_number("batch_size", self.batch_size, 1)
        if len(self.index) == 0:
            raise LoaderError("the index has no window to draw; let the diet eat more, or shorten window_s.")
        whole_number("n_windows", self.n_positions, 1)
        if self.most_batches == 0:
            raise LoaderError(
                f"{self.n_positions} windows shared by {self.ranks.world} ranks make no batch of {self.batch_size} for "
                "any of them; lower batch_size or the number of ranks, or keep what is left over (drop_last=False, "
                "tail='keep')."
            )

    @property
    def n_windows(self) -> int:
        """Windows that all ranks draw together in an epoch."""
        if not self.drop_last:
            return self.ranks.total(self.n_positions)
        each = [Ranks(rank, self.ranks.world, self.ranks.tail) for rank in range(self.ranks.world)]
        return sum(one.count(self.n_positions) // self.batch_size * self.batch_size for one in each)

    @property
    def most_batches(self) -> int:
        """Batches in an epoch of the rank that has most of them, which is rank 0."""
        return self._batches_of(self.ranks.first)

    def __len__(self) -> int:
        return self._batches_of(self.ranks)

    def _batches_of(self, ranks: Ranks) -> int:
        count = ranks.count(self.n_positions)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def batches(self, epoch: int, start: int, stop: int) -> tuple[Drawn, list[int]]:
        """Batches `start` to `stop` of an epoch, one after the other, and where each of them ends.

        Raises
        ------
        LoaderError
            When the epoch has no such batch.
        """
        require_batches(start, stop, len(self))
        size, count = self.batch_size, self.ranks.count(self.n_positions)
        positions = self.ranks.positions(start * size, min(stop * size, count))
        ends = [min(end * size, count) - start * size for end in range(start + 1, stop + 1)]
        return Drawn(self.windows(epoch, positions), positions), ends

    def batch(self, epoch: int, number: int) -> Drawn:
        """Batch `number` of an epoch, counted from 0."""
        return self.batches(epoch, number, number + 1)[0]

    def windows(self, epoch: int, positions: IntArray) -> IntArray:
        """Windows at some positions of an epoch, shape (position,), int64."""
        raise NotImplementedError
