"""`Jitter`: windows start a few frames earlier or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from poyodata.errors import LoaderError
from poyodata.loaders.checks import whole_number
from poyodata.loaders.order import IntArray, draws_at
from poyodata.loaders.transforms.transform import sample_keys


@dataclass(frozen=True)
class Jitter:
    """Move every window by up to `frames`, as far as its stretch allows; all starts that it allows are equally likely.

    A window never leaves its stretch, and so never crosses a gap or touches another role.

    Parameters
    ----------
    frames : int
        At least 1.

    Examples
    --------
    >>> start = np.full(3, 100)
    >>> moved = Jitter(5).move(start, 30, start - 100, start, np.arange(3), seed=0, epoch=0)
    >>> bool((moved <= 100).all() and (moved >= 95).all())
    True
    """

    name: ClassVar[str] = "jitter"
    training_only: ClassVar[bool] = True

    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise LoaderError(f"jitter moves windows by at least 1 frame, got {self.frames}; leave it out for none.")
        whole_number("frames of jitter", self.frames)

    def length(self, n_frames: int) -> int:
        """Give the length of a window, which stays."""
        return n_frames

    def move(
        self,
        start: IntArray,
        n_frames: int,  # noqa: ARG002  # of the interface: the bounds know the length
        low: IntArray,
        high: IntArray,
        sample: IntArray,
        *,
        seed: int,
        epoch: int,
        random: bool = True,
        place: int = 0,
    ) -> IntArray:
        """Give the new start frames; as in `WindowTransform`."""
        start = np.asarray(start, np.int64)
        if not random:
            return start.copy()
        first = np.clip(start - self.frames, np.minimum(low, start), start)
        last = np.clip(start + self.frames, start, np.maximum(high, start))
        words = draws_at(sample_keys("jitter", seed, epoch, sample, place), np.zeros(len(start), np.int64))
        moved: IntArray = first + (words % (last - first + 1).astype(np.uint64)).astype(np.int64)
        return moved
