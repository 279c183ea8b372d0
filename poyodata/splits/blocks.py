"""Contiguous blocks within every epoch, cut at the starts of trials."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from poyodata.errors import SplitError
from poyodata.splits.fractions import ROLES
from poyodata.splits.recording import Epochs, Recording, TimeRoles, stretches
from poyodata.splits.within import Blocks, MovieSegments


def role_sequence(within: Blocks | MovieSegments, fold: int) -> list[str]:
    """Role of every block in order of time."""
    if within.fractions is not None:
        return list(ROLES)
    folds = within.folds or 0
    roles = ["train"] * folds
    roles[fold], roles[(fold + 1) % folds] = "test", "valid"
    return roles


def block_roles(recording: Recording, within: Blocks, fold: int, name: str, epochs: Epochs) -> TimeRoles:
    """Cut epochs into contiguous blocks at the starts of trials.

    Raises
    ------
    SplitError
        When an epoch has fewer trials than blocks.
    """
    needed = within.fractions.smallest() if within.fractions is not None else within.folds or 0
    roles = role_sequence(within, fold)

    def edges_of(n: int) -> npt.NDArray[np.int64]:
        if within.fractions is not None:
            return np.cumsum([0, *within.fractions.counts(n)])
        return np.round(np.arange(needed + 1) * (n / needed)).astype(np.int64)

    rows: dict[str, list[tuple[int, int]]] = {role: [] for role in ROLES}
    of_epoch, first, repeat = recording.shown("epoch", "start_frame", "repeat")
    for (start, stop), stimulus, number in zip(epochs.frames.tolist(), epochs.stimulus, epochs.number, strict=True):
        own = of_epoch == number
        marks = _units(first[own], repeat[own], needed)
        if len(marks) < 2:
            # One presentation that fills its epoch (grey screen) has no trials to snap to: its frames are divided.
            marks = np.arange(start, stop)
        if len(marks) < needed:
            raise SplitError(
                f"recording {recording.session_id}: epoch {number} of {stimulus} has {len(marks)} trials, and split "
                f"{name!r} needs at least {needed} in every epoch; use fewer folds (3 is the least) or leave it out."
            )
        inner = [int(marks[at]) if at < len(marks) else stop for at in edges_of(len(marks))[1:-1]]
        for role, span in zip(roles, pairwise([start, *inner, stop]), strict=True):
            rows[role].append(span)
    return {role: stretches(spans) for role, spans in rows.items()}


def _units(start: npt.NDArray[np.int64], repeat: npt.NDArray[np.int64], needed: int) -> npt.NDArray[np.int64]:
    """First frames of what an epoch is cut between: the repeats of a movie where there are enough, else trials."""
    if len(repeat) == 0 or repeat.min() < 0:
        return start
    begins = start[1:][repeat[1:] != repeat[:-1]]
    return np.concatenate([start[:1], begins]) if len(begins) + 1 >= needed else start
