"""The order of an epoch: a pure function of (seed, epoch), the same on every machine and with every NumPy.

A counter-based hash takes the place of ``Generator.permutation``, whose stream NumPy may change between versions, and
which would have to be drawn whole before the first window of a resumed epoch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix64(counter: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64-bit words with good avalanche.

    Examples
    --------
    >>> int(mix64(np.array([1], dtype=np.uint64))[0])
    6238072747940578789
    """
    z = counter.astype(np.uint64, copy=True)
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def draws(seed: int, epoch: int, n: int, stream: int = 0) -> npt.NDArray[np.uint64]:
    """`n` hashed 64-bit words for (seed, epoch, stream): word i does not depend on `n`.

    Parameters
    ----------
    seed, epoch, stream : int
        Not negative. `stream` keeps draws for different purposes apart.

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    key = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in (seed, epoch, stream):
            key = mix64(key * _GAMMA + np.uint64(part % 2**64) + _GAMMA)
        return mix64(key + np.arange(1, n + 1, dtype=np.uint64) * _GAMMA)


def epoch_order(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Order in which the `n` windows of an epoch are read.

    Returns
    -------
    ndarray, shape (n,), int64
        A permutation of ``range(n)``.

    Examples
    --------
    >>> epoch_order(5, seed=0, epoch=0).tolist()
    [3, 4, 2, 1, 0]
    >>> sorted(epoch_order(5, seed=0, epoch=1).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(draws(seed, epoch, n), kind="stable").astype(np.int64)
