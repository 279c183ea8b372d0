"""Every window once an epoch, shuffled or in order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from poyodata.loaders.order import Permutation
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.sampling.sampler import WINDOW_STREAM, Dealt, IntArray
from poyodata.loaders.windows.index import WindowIndex


@dataclass(frozen=True)
class Uniform(Dealt):
    """Every window once an epoch; made by `uniform`."""

    shuffle: bool = True

    def windows(self, epoch: int, positions: IntArray) -> IntArray:
        """Windows at some positions of an epoch, shape (position,), int64."""
        if not self.shuffle:
            return positions
        return _order(self.n_positions, self.seed, epoch)(positions)


@lru_cache(maxsize=8)
def _order(n: int, seed: int, epoch: int) -> Permutation:
    """Kept from batch to batch: its key costs as much as the positions of one."""
    return Permutation(n, seed, epoch, WINDOW_STREAM)


def uniform(
    index: WindowIndex,
    batch_size: int,
    seed: int,
    ranks: Ranks | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Uniform:
    """Draw every window once an epoch.

    Parameters
    ----------
    index : WindowIndex
    batch_size : int
        Of one rank.
    seed : int
    ranks : Ranks, optional
        Default: one process.
    shuffle : bool
        Without it, windows come in the order of the index: recording by recording, in time.
    drop_last : bool
        Leave out a last batch that is not full.

    Raises
    ------
    LoaderError
        When there is nothing to draw, or no batch for any rank.
    """
    return Uniform(index, batch_size, seed, ranks or Ranks(), len(index), drop_last, shuffle)
