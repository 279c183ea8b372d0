"""Batches of one recording each, and every window once an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from poyodata.errors import LoaderError
from poyodata.loaders.checks import whole_number
from poyodata.loaders.order import Permutation, key_of, permuted
from poyodata.loaders.sampling.members import Members
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.sampling.sampler import BATCH_STREAM, OWN_STREAM, Drawn, IntArray, require_batches
from poyodata.loaders.windows.index import WindowIndex


@dataclass(frozen=True)
class SameRecording:
    """Batches of one recording each; made by `same_recording`.

    Attributes
    ----------
    index : WindowIndex
    batch_size : int
    seed : int
    ranks : Ranks
        They share the batches.
    shuffle : bool
    drop_last : bool
    """

    index: WindowIndex
    batch_size: int
    seed: int
    ranks: Ranks
    shuffle: bool = True
    drop_last: bool = False

    def __post_init__(self) -> None:
        whole_number("batch_size", self.batch_size, 1)
        if len(self.index) == 0:
            raise LoaderError("the index has no window to draw; let the diet eat more, or shorten window_s.")
        if self.most_batches == 0:
            raise LoaderError(
                f"no one of {self.ranks.world} ranks gets a batch: {len(self._members.count)} recordings with at most "
                f"{self._members.count.max()} windows make {self._n_batches} batches of "
                f"{self.batch_size}; lower batch_size or the number of ranks, or keep what is left over "
                "(drop_last=False, tail='keep')."
            )

    @cached_property
    def _members(self) -> Members:
        return Members(self.index, self.index.session_index)

    @cached_property
    def _stop(self) -> IntArray:
        """Number of batches up to and with each recording."""
        count = self._members.count
        return np.cumsum(count // self.batch_size if self.drop_last else -(-count // self.batch_size))

    @property
    def _n_batches(self) -> int:
        return int(self._stop[-1])

    @property
    def n_windows(self) -> int:
        """Windows of all batches together; where a tail of batches is dropped, at least so many are drawn."""
        if self.drop_last:
            return self.ranks.total(self._n_batches) * self.batch_size
        dropped = self._n_batches - self.ranks.total(self._n_batches)
        return len(self.index) - dropped * self.batch_size

    @property
    def most_batches(self) -> int:
        """Batches in an epoch of the rank that has most of them, which is rank 0."""
        return self.ranks.first.count(self._n_batches)

    def __len__(self) -> int:
        return self.ranks.count(self._n_batches)

    def batches(self, epoch: int, start: int, stop: int) -> tuple[Drawn, list[int]]:
        """Batches `start` to `stop` of an epoch, one after the other, and where each of them ends.

        Raises
        ------
        LoaderError
            When the epoch has no such batch.
        """
        require_batches(start, stop, len(self))
        each = [self._batch(epoch, number) for number in range(start, stop)]
        together = Drawn(*(np.concatenate([getattr(one, name) for one in each]) for name in ("window", "sample")))
        return together, np.cumsum([len(one) for one in each]).tolist()

    def batch(self, epoch: int, number: int) -> Drawn:
        """Batch `number` of an epoch, counted from 0."""
        require_batches(number, number + 1, len(self))
        return self._batch(epoch, number)

    def _batch(self, epoch: int, number: int) -> Drawn:
        place = self.ranks.positions(number, number + 1)
        which = Permutation(self._n_batches, self.seed, epoch, BATCH_STREAM)(place) if self.shuffle else place
        recording = np.searchsorted(self._stop, which, side="right")
        before = self._stop[recording - 1] if recording[0] else 0
        count = self._members.count[recording]
        start = int((which - before)[0]) * self.batch_size
        member = np.arange(start, min(start + self.batch_size, int(count[0])), dtype=np.int64)
        if self.shuffle:
            member = permuted(member, count, key_of(self.seed, epoch, OWN_STREAM, recording))
        windows = self._members.windows(np.repeat(recording, len(member)), member)
        # Batches are numbered as if all were full: a sample keeps its number whatever came before.
        return Drawn(windows, int(place[0]) * self.batch_size + np.arange(len(member), dtype=np.int64))


def same_recording(
    index: WindowIndex,
    batch_size: int,
    seed: int,
    ranks: Ranks | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> SameRecording:
    """Draw every window once an epoch, in batches that hold one recording each.

    Parameters
    ----------
    index : WindowIndex
    batch_size : int
        Of one rank. The last batch of each recording may hold fewer.
    seed : int
    ranks : Ranks, optional
        Ranks share batches: with ``keep`` their numbers differ by one at most, with ``drop`` they are equal.
    shuffle : bool
        Windows within each recording, and batches of all recordings among each other; without it, recordings come one
        after another, in time.
    drop_last : bool
        Leave out batches that are not full.

    Raises
    ------
    LoaderError
        When there is no batch for any rank.
    """
    return SameRecording(index, batch_size, seed, ranks or Ranks(), shuffle, drop_last)
