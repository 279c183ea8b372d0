"""Roles of time within one recording, with guards and gaps taken out."""

from __future__ import annotations

from math import floor

import numpy as np

from poyodata.errors import SplitError, nearest
from poyodata.intervals import Intervals, dilate, intersect, n_frames, subtract
from poyodata.splits.blocks import block_roles
from poyodata.splits.dealt import paper_roles, trial_roles
from poyodata.splits.movie_segments import Segmentation, segment_roles
from poyodata.splits.recording import OTHERWISE, Epochs, Recording, TimeRoles
from poyodata.splits.specification import SplitSpec
from poyodata.splits.within import Blocks, EpochOut, MovieSegments, PaperTrials


def time_roles(recording: Recording, spec: SplitSpec, fold: int, cuts: dict[str, Segmentation]) -> TimeRoles:
    """Give a recording's frames their roles of time, with guards and segment cuts taken out.

    Parameters
    ----------
    recording : Recording
    spec : SplitSpec
    fold : int
    cuts : dict of str to Segmentation
        Of movies cut for another recording; added to.

    Raises
    ------
    SplitError
        When a role stays empty, with what would leave some time for it.
    """
    within = spec.within
    guard = recording.guard_frames(within.guard_s)
    dropped = np.empty((0, 2), np.int64)
    needed: dict[str, TimeRoles] = {}
    if isinstance(within, Blocks):
        raw = block_roles(recording, within, fold, spec.name, _epochs_or_segments(recording))
    elif isinstance(within, EpochOut):
        raw, dropped = _epoch_out_roles(recording, within, fold)
    elif isinstance(within, MovieSegments):
        raw, of_movies = segment_roles(recording, within, fold, spec.name, cuts)
        needed[" of movies"] = of_movies
    elif isinstance(within, PaperTrials):
        raw = paper_roles(recording, within)
    else:
        raw = trial_roles(recording, within)
    near_test, near_both = dilate(raw["test"], guard), dilate(np.concatenate([raw["valid"], raw["test"]]), guard)
    kept = {
        "train": subtract(raw["train"], near_both),
        "valid": subtract(raw["valid"], near_test),
        "test": raw["test"],
    }
    roles = {}
    for role, spans in kept.items():
        # Intersecting last keeps the segments' cuts: two windows may touch there and are still two.
        roles[role] = intersect(subtract(spans, dropped), recording.segments)
        for what, asked in ({"": raw} | needed).items():
            if n_frames(asked[role]) and not n_frames(intersect(roles[role], asked[role])):
                longest = int((asked[role][:, 1] - asked[role][:, 0]).max())
                most = floor(50 * max(longest - 1, 0) / recording.rate_hz) / 100
                raise SplitError(
                    f"recording {recording.session_id}: split {spec.name!r} leaves no {role} time{what} after the "
                    f"guard of {within.guard_s:g} s (longest stretch: {longest} frames); `guard_s: {most:g}` would "
                    "leave some."
                )
    return roles


def _epochs_or_segments(recording: Recording) -> Epochs:
    if recording.epochs.number:
        return recording.epochs
    # No stimulus table: each stretch recorded without a gap stands for an epoch.
    n = len(recording.segments)
    return Epochs(recording.segments, ("none",) * n, (-1,) * n)


def epochs_of(recording: Recording, stimulus: str) -> Epochs:
    """Epochs of a stimulus in the order recorded; an error where there are fewer than two to leave one out of."""
    epochs = recording.epochs.of(lambda name: name == stimulus)
    if len(epochs.number) < 2:
        n = len(epochs.number)
        shown = list(dict.fromkeys(recording.epochs.stimulus))
        meant = "" if stimulus in shown else f" ({nearest(stimulus, shown)})"
        raise SplitError(
            f"recording {recording.session_id} has {n} epoch{'' if n == 1 else 's'} of {stimulus}{meant}, and leaving "
            f"one out needs at least 2; {OTHERWISE}."
        )
    return epochs


def _epoch_out_roles(recording: Recording, within: EpochOut, fold: int) -> tuple[TimeRoles, Intervals]:
    """Leave one epoch out; also the frames of the presentations dropped beside every cut."""
    test = epochs_of(recording, within.stimulus).frames[fold : fold + 1]
    shown = np.column_stack(recording.shown("start_frame", "stop_frame")).astype(np.int64)
    segment = np.searchsorted(recording.segments[:, 0], shown[:, 0], side="right")
    side = (shown[:, 0] >= test[0, 0]) & (shown[:, 1] <= test[0, 1])
    cut = (segment[1:] != segment[:-1]) | (side[1:] != side[:-1])
    beside = np.r_[cut, np.zeros(1, bool)][: len(shown)] | np.r_[np.zeros(1, bool), cut][: len(shown)]
    roles = {"train": subtract(recording.segments, test), "valid": np.empty((0, 2), np.int64), "test": test}
    return roles, shown[beside]
