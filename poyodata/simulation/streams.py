"""Named streams of random numbers, so that a change to one part of a simulation leaves the others as they were."""

from __future__ import annotations

import zlib

import numpy as np


def random_stream(seed: int, name: str) -> np.random.SeedSequence:
    """Name a stream of random numbers: its content depends on the seed and the name, on no other stream.

    Parameters
    ----------
    seed : int
    name : str

    Returns
    -------
    numpy.random.SeedSequence
        To be given to `numpy.random.default_rng`.

    Examples
    --------
    >>> one, two = (np.random.default_rng(random_stream(0, name)).random() for name in ("movie", "movie"))
    >>> one == two
    True
    """
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(name.encode()),))
