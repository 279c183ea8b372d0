"""Sampling: which windows an epoch draws, and in which batches.

The order is a pure function of (seed, epoch), whatever the machine and the number of ranks. Any batch is computed on
its own: nothing of the size of an epoch is made.
"""

from __future__ import annotations

from poyodata.loaders.sampling.balanced import balanced
from poyodata.loaders.sampling.groups import groups_by
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.sampling.same_recording import same_recording
from poyodata.loaders.sampling.sampler import Drawn, Sampler
from poyodata.loaders.sampling.uniform import uniform
from poyodata.loaders.sampling.weighted import term_weights, weighted

__all__ = [
    "Drawn",
    "Ranks",
    "Sampler",
    "balanced",
    "groups_by",
    "same_recording",
    "term_weights",
    "uniform",
    "weighted",
]
