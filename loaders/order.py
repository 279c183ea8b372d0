"""The order of an epoch: a pure function of (seed, epoch), the same on every machine and with every NumPy.

A counter-based hash takes the place of a generator, whose stream NumPy may change between versions. `Permutation` is a
shuffled order of which any part can be had on its own: nothing of the size of an epoch is made, and an epoch is resumed
at any place at no cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.errors import LoaderError

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]

ROUNDS = 10
"""Of the Feistel network. Four make it a pseudo-random permutation of large sets; small ones want more."""

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Step of the counter: odd, and so every word comes before any comes again."""
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix64(counter: WordArray) -> WordArray:
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


def key_of(*parts: int | IntArray) -> WordArray:
    """Fold numbers into one 64-bit word: other numbers, or another order of them, give an unrelated one.

    Parameters
    ----------
    *parts : int or ndarray of int64
        Arrays give a word for each of their entries, and come after all single numbers.

    Returns
    -------
    ndarray, shape of the arrays or (1,), uint64

    Examples
    --------
    >>> bool(key_of(1, 2) == key_of(2, 1)), bool(key_of(1, 2) == key_of(1, np.array([2])))
    (False, True)
    """
    single = [part for part in parts if not isinstance(part, np.ndarray)]
    word = 0
    for part in single:
        word = _mixed_int(word * int(GAMMA) + int(part) + int(GAMMA))
    key = np.array([word], np.uint64)
    with np.errstate(over="ignore"):
        for rest in parts[len(single) :]:
            key = mix64(key * GAMMA + np.asarray(rest).astype(np.uint64) + GAMMA)
    return key


def _mixed_int(word: int) -> int:
    """`mix64` of one number: NumPy takes ten times as long for an array of one."""
    z = word % 2**64
    z = (z ^ (z >> 30)) * int(_MIX_1) % 2**64
    z = (z ^ (z >> 27)) * int(_MIX_2) % 2**64
    return z ^ (z >> 31)


def draws(seed: int, epoch: int, n: int, stream: int = 0) -> WordArray:
    """`n` hashed 64-bit words for (seed, epoch, stream): word i does not depend on `n`.

    Parameters
    ----------
    seed, epoch, stream : int
        Not negative. `stream` keeps draws for different purposes apart.

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    with np.errstate(over="ignore"):
        return mix64(key_of(seed, epoch, stream) + np.arange(1, n + 1, dtype=np.uint64) * GAMMA)


def draws_at(key: WordArray, positions: IntArray) -> WordArray:
    """Words of `draws` at some positions: ``draws_at(key_of(seed, epoch, stream), positions)``.

    Examples
    --------
    >>> bool((draws_at(key_of(3, 4, 0), np.array([7, 2])) == draws(3, 4, 8)[[7, 2]]).all())
    True
    """
    with np.errstate(over="ignore"):
        return mix64(key + (positions.astype(np.uint64) + np.uint64(1)) * GAMMA)


@compiled()
def mixed(z: Any) -> Any:
    """`mix64` of one word, for compiled code."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@compiled()
def _permute(positions: Any, sizes: Any, keys: Any, out: Any) -> None:
    one = np.uint64(1)
    words = np.empty(ROUNDS, np.uint64)
    for at in range(positions.size):
        n = sizes[at if sizes.size > 1 else 0]
        if at == 0 or keys.size > 1:
            for number in range(ROUNDS):
                words[number] = mixed(keys[at] + np.uint64(number + 1) * GAMMA)
        bits = np.uint64(0)
        while (n - one) >> bits > np.uint64(0):
            bits += one
        low = bits >> one
        high = bits - low
        low_mask, high_mask = (one << low) - one, (one << high) - one
        x = positions[at]
        while True:
            left, right = x >> low, x & low_mask
            for number in range(0, ROUNDS, 2):
                left ^= mixed(words[number] ^ right) & high_mask
                right ^= mixed(words[number + 1] ^ left) & low_mask
            x = (left << low) | right
            # The network shuffles the next power of two: what falls outside goes round again, and so nothing collides.
            if x < n:
                break
        out[at] = x


def permuted(positions: IntArray, sizes: IntArray, keys: WordArray) -> IntArray:
    """Shuffle each position within a set of its own: many permutations at once.

    Parameters
    ----------
    positions : ndarray, shape (position,), int64
        ``0 <= positions < sizes``; the caller has checked it.
    sizes : ndarray, shape (position,) or (1,), int64
    keys : ndarray, shape (position,) or (1,), uint64
        From `key_of`: the same key and size are the same permutation.

    Returns
    -------
    ndarray, shape (position,), int64

    Examples
    --------
    >>> sorted(permuted(np.arange(5), np.array([5]), key_of(0, 0)).tolist())
    [0, 1, 2, 3, 4]
    """
    out = np.empty(len(positions), np.uint64)
    _permute(positions.astype(np.uint64), sizes.astype(np.uint64), keys, out)
    return out.astype(np.int64)


class Permutation:
    """A shuffled order of ``range(n)`` for (seed, epoch), of which any part is computed on its own.

    A Feistel network over the next power of two, with cycle walking. No array of `n` is ever made.

    Parameters
    ----------
    n : int
    seed, epoch, stream : int
        Not negative. `stream` keeps orders for different purposes apart.

    Raises
    ------
    LoaderError
        When `n` is negative.

    Examples
    --------
    >>> order = Permutation(50_000_000, seed=0, epoch=3)
    >>> order(np.array([0, 1, 2])).tolist()
    [47464436, 46964383, 39474521]
    >>> sorted(Permutation(4, seed=0, epoch=0)(np.arange(4)).tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, n: int, seed: int, epoch: int, stream: int = 0) -> None:
        if n < 0:
            raise LoaderError(f"a permutation of {n} things was asked for; give 0 or more.")
        self.n = n
        self._size = np.array([n], np.int64)
        self._key = key_of(seed, epoch, stream)

    def __len__(self) -> int:
        return self.n

    def __call__(self, positions: IntArray) -> IntArray:
        """Give what stands at some positions of the order.

        Parameters
        ----------
        positions : ndarray, shape (position,), int64

        Returns
        -------
        ndarray, shape (position,), int64

        Raises
        ------
        LoaderError
            When a position is not in ``range(n)``.
        """
        positions = np.asarray(positions, np.int64)
        if positions.size and (positions.min() < 0 or positions.max() >= self.n):
            raise LoaderError(f"positions of an order of {self.n} are 0 to {self.n - 1}; others were asked for.")
        return permuted(positions, self._size, self._key)
