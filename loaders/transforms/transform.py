"""The interfaces of transforms, and the random words that they draw.

There are three places at which a window can be changed, and the earlier ones save work: which frames are read
(`WindowTransform`), which neurons are read (`NeuronTransform`), and the values of the finished batch (`Transform`).

Nothing here has a state. Every random number is a hash of (seed, epoch, purpose, place in the recipe, sample), so that
the rank that draws it, the size of its batch, the order within that, and threads change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from poyodata.loaders.order import IntArray, WordArray, key_of

FloatArray = npt.NDArray[np.float64]

PURPOSES: Mapping[str, int] = {
    name: 2**20 + at
    for at, name in enumerate(
        (
            "jitter",
            "crop",
            "unit dropout: how many",
            "unit dropout: which",
            "noise",
            "mask: scheme",
            "mask: group",
            "mask: neuron",
            "mask: frame",
            "mask: token",
            "mask: fold",
            "views: partner",
            "views: how many",
            "views: which",
        )
    )
}
"""What random words are for. A new purpose goes to the end: its number is part of what a seed means."""


class Transform(Protocol):
    """Changes the values of a finished batch.

    Attributes
    ----------
    name : str
        As in recipes.
    """

    @property
    def name(self) -> str:
        """As in recipes."""

    def apply(
        self, batch: Mapping[str, npt.NDArray[Any]], *, seed: int, epoch: int, place: int = 0
    ) -> dict[str, npt.NDArray[Any]]:
        """Give a batch with other values; the arrays that came are left as they are.

        Parameters
        ----------
        batch : mapping of str to ndarray
            ``sample`` is among them.
        seed, epoch : int
        place : int
            Position among the recipe's transforms: two of a kind draw different words.
        """


class WindowTransform(Protocol):
    """Changes which frames are read."""

    @property
    def name(self) -> str:
        """As in recipes."""

    def length(self, n_frames: int) -> int:
        """Frames that a window has afterwards; raises `LoaderError` where that is impossible."""

    def move(
        self,
        start: IntArray,
        n_frames: int,
        low: IntArray,
        high: IntArray,
        sample: IntArray,
        *,
        seed: int,
        epoch: int,
        random: bool = True,
        place: int = 0,
    ) -> IntArray:
        """Give the start frames of the windows, within what their stretches allow.

        Parameters
        ----------
        start : ndarray, shape (batch,), int64
        n_frames : int
            Of every window, before.
        low, high : ndarray, shape (batch,), int64
            The least and the greatest start frame of a window of `n_frames`.
        sample : ndarray, shape (batch,), int64
        seed, epoch : int
        random : bool
            False for roles that nothing is learned from: the same windows every time.
        place : int
        """


class NeuronTransform(Protocol):
    """Changes which neurons are read."""

    @property
    def name(self) -> str:
        """As in recipes."""

    def choose(
        self, columns: Sequence[IntArray], sample: IntArray, seed: int, epoch: int, place: int = 0
    ) -> list[IntArray]:
        """Give the columns of every sample that are kept, in the order in which they came.

        Parameters
        ----------
        columns : sequence of ndarray, shape (neuron,), int64
            One for each sample.
        sample : ndarray, shape (batch,), int64
        seed, epoch : int
        place : int
        """


def sample_keys(purpose: str, seed: int, epoch: int, sample: IntArray, place: int = 0) -> WordArray:
    """Give a key for every sample, from which `draws_at` makes its words.

    Parameters
    ----------
    purpose : str
        One of `PURPOSES`.
    seed, epoch : int
        Not negative.
    sample : ndarray, shape (batch,), int64
        Positions in the epoch, over all ranks.
    place : int
        Of the transform in its recipe.

    Returns
    -------
    ndarray, shape (batch,), uint64

    Examples
    --------
    >>> one = sample_keys("noise", 0, 3, np.array([7]))
    >>> bool(one[0] == sample_keys("noise", 0, 3, np.array([2, 7, 5]))[1])
    True
    """
    return key_of(seed, epoch, PURPOSES[purpose], place, np.asarray(sample, np.int64))


def uniforms(words: WordArray) -> FloatArray:
    """Turn words into numbers in [0, 1), by their upper 53 bits.

    Examples
    --------
    >>> uniforms(np.array([0, 2**63], np.uint64)).tolist()
    [0.0, 0.5]
    """
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def smallest(words: WordArray, n: int) -> IntArray:
    """Positions of the `n` smallest words, increasing: a random subset without replacement.

    Examples
    --------
    >>> smallest(np.array([5, 1, 9, 3], np.uint64), 2).tolist()
    [1, 3]
    """
    if n >= len(words):
        return np.arange(len(words), dtype=np.int64)
    return np.sort(np.argpartition(words, n - 1)[:n] if n else np.empty(0, np.int64)).astype(np.int64)
