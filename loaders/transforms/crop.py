"""`Crop`: a shorter window out of a longer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from poyodata.errors import LoaderError
from poyodata.loaders.checks import whole_number
from poyodata.loaders.order import IntArray, draws_at
from poyodata.loaders.transforms.transform import sample_keys


@dataclass(frozen=True)
class Crop:
    """Take `n_frames` frames of each window: a random place to learn from, the middle otherwise.

    It acts before anything is read, so that what is cut off costs nothing and targets are those of what is left.

    Parameters
    ----------
    n_frames : int
        Of the part that is kept.

    Examples
    --------
    >>> start = np.array([100])
    >>> Crop(10).move(start, 30, start, start, np.array([0]), seed=0, epoch=0, random=False).tolist()
    [110]
    """

    name: ClassVar[str] = "crop"
    training_only: ClassVar[bool] = False

    n_frames: int

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise LoaderError(f"a crop has at least 1 frame, got {self.n_frames}.")
        whole_number("n_frames of a crop", self.n_frames)

    def length(self, n_frames: int) -> int:
        """Give the length of a window after the crop.

        Raises
        ------
        LoaderError
            The window is shorter than the crop.
        """
        if self.n_frames > n_frames:
            raise LoaderError(
                f"a crop of {self.n_frames} frames does not fit into windows of {n_frames}; make the windows longer or "
                "the crop shorter."
            )
        return self.n_frames

    def move(
        self,
        start: IntArray,
        n_frames: int,
        low: IntArray,  # noqa: ARG002  # of the interface: a crop stays inside its window
        high: IntArray,  # noqa: ARG002
        sample: IntArray,
        *,
        seed: int,
        epoch: int,
        random: bool = True,
        place: int = 0,
    ) -> IntArray:
        """Give the start frames of the crops; as in `WindowTransform`."""
        start = np.asarray(start, np.int64)
        spare = n_frames - self.length(n_frames)
        if not random:
            return start + spare // 2
        words = draws_at(sample_keys("crop", seed, epoch, sample, place), np.zeros(len(start), np.int64))
        moved: IntArray = start + (words % np.uint64(spare + 1)).astype(np.int64)
        return moved
