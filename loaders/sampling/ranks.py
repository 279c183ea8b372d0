"""`Ranks`: how the processes of a distributed run share an epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.checks import whole_number

Tail = Literal["keep", "drop"]
TAILS: tuple[Tail, ...] = ("keep", "drop")


@dataclass(frozen=True)
class Ranks:
    """One of the processes that share an epoch.

    Positions of the epoch are dealt out in turn, so that batch k of all ranks together is the same stretch of the epoch
    whatever the number of ranks, as long as the sum of their batch sizes is.

    Parameters
    ----------
    rank : int
        This process, counted from 0.
    world : int
        Processes.
    tail : {"keep", "drop"}
        What becomes of the positions that are left when the number does not divide evenly. ``keep``: the first ranks
        have one more, and perhaps one batch more; together they have every position exactly once, as evaluation needs.
        Where there are fewer positions than ranks, the last ranks have none. ``drop``: nobody has them, and all ranks
        have the same number of batches, as gradients that are averaged need; fewer than `world` are left out, others in
        every epoch where the order is shuffled, and without that always the last ones.

    Raises
    ------
    LoaderError
        When there is no such rank.
    UsageError
        When `tail` is unknown.

    Examples
    --------
    >>> Ranks(1, 2).count(5), Ranks(1, 2).positions(0, 2).tolist()
    (2, [1, 3])
    """

    rank: int = 0
    world: int = 1
    tail: Tail = "keep"

    def __post_init__(self) -> None:
        whole_number("rank", self.rank)
        whole_number("world", self.world, 1)
        if self.rank >= self.world:
            raise LoaderError(f"rank {self.rank} of {self.world}: ranks are counted from 0 to world - 1.")
        if self.tail not in TAILS:
            raise UsageError(f"unknown tail {self.tail!r}: {nearest(str(self.tail), TAILS)}")

    @classmethod
    def for_role(cls, role: str, rank: int = 0, world: int = 1) -> Ranks:
        """Choose the tail that a role needs: ``drop`` where several processes learn from it, else ``keep``."""
        return cls(rank, world, "drop" if world > 1 and role in ("train", "identify") else "keep")

    def total(self, n: int) -> int:
        """Count the positions of `n` that all ranks have together."""
        return n - n % self.world if self.tail == "drop" else n

    def count(self, n: int) -> int:
        """Count the positions of `n` that this rank has."""
        return max(0, -(-(self.total(n) - self.rank) // self.world))

    @property
    def first(self) -> Ranks:
        """Rank 0, which has as many positions as any."""
        return replace(self, rank=0)

    def positions(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Positions of the epoch that are this rank's `start` to `stop`, shape (stop - start,), int64."""
        return np.arange(start, stop, dtype=np.int64) * self.world + self.rank
