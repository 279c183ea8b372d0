"""Random draws that belong to a step: the same whatever was drawn before, so that a run can go on anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def step_draws(
    seed: int, step: int, device: torch.device, *, part: int = 0, rank: int = 0
) -> Iterator[np.random.Generator]:
    """Random draws that belong to one step: torch's are seeded for the block and restored after it.

    Parameters
    ----------
    seed, step : int
        Of the run, and number of the step from 0.
    device : torch.device
        Whose draws are meant, besides the CPU's.
    part : int
        Number of the batch within the step, where several make one.
    rank : int
        Of this process, where several share the step.

    Yields
    ------
    numpy.random.Generator
        For draws that are made outside torch.

    Examples
    --------
    >>> with step_draws(0, 5, torch.device("cpu")):
    ...     first = torch.rand(2)
    >>> with step_draws(0, 5, torch.device("cpu")):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    # The first batch of the first process draws what it would draw alone.
    sequence = np.random.SeedSequence([seed, step, part, rank] if part or rank else [seed, step])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        yield np.random.default_rng(sequence)
