"""What a batch is made of before its traces are read: `Plan`, and the `Changes` that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poyodata.loaders.masks import MaskSpec
from poyodata.loaders.sources import Kept
from poyodata.loaders.transforms import NeuronTransform, Transform, WindowTransform
from poyodata.loaders.views import ViewPairs
from poyodata.loaders.windows import Located

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What is done to windows on their way into a batch, each with its place among the recipe's transforms.

    Attributes
    ----------
    windows : tuple of (place, WindowTransform)
        Which frames are read.
    neurons : tuple of (place, NeuronTransform)
        Which neurons are read.
    values : tuple of (place, Transform)
        The finished values.
    masks : MaskSpec or None
    views : ViewPairs or None
        Two windows in the place of one.
    """

    windows: tuple[tuple[int, WindowTransform], ...] = ()
    neurons: tuple[tuple[int, NeuronTransform], ...] = ()
    values: tuple[tuple[int, Transform], ...] = ()
    masks: MaskSpec | None = None
    views: ViewPairs | None = None


@dataclass(frozen=True)
class Plan:
    """A batch before its traces are read: where its windows lie, and which neurons they show.

    Attributes
    ----------
    epoch : int
    located : Located
    sample : ndarray, shape (batch,), int64
        Position in the epoch over all ranks: what random changes draw from.
    kept : Kept
    positions : list of ndarray, shape (neuron,), int64, or None
        Which of the selected neurons of its recording each window shows; None for all.
    """

    epoch: int
    located: Located
    sample: IntArray
    kept: Kept
    positions: list[IntArray] | None
