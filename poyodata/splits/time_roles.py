"""Roles of time within one recording: blocks, an epoch left out, or trials, with guards and gaps taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import hash_order
from poyodata.errors import SplitError, nearest
from poyodata.intervals import Intervals, dilate, intersect, n_frames, subtract
from poyodata.splits.specification import ROLES, Blocks, EpochOut, SplitSpec, Trials


@dataclass(frozen=True)
class Recording:
    """The tables of one recording that time roles are made from."""

    session_id: str
    rate_hz: float
    segments: Intervals
    epochs: pd.DataFrame
    presentations: pd.DataFrame

    def guard_frames(self, guard_s: float) -> int:
        """Count the stored frames that a guard takes, rounded up."""
        return ceil(round(guard_s * self.rate_hz, 6))


TimeRoles: TypeAlias = dict[str, Intervals]


def time_roles(recording: Recording, spec: SplitSpec, fold: int) -> TimeRoles:
    """Give a recording's frames their roles of time, with guards and segment cuts taken out."""
    within = spec.within
    guard = recording.guard_frames(within.guard_s)
    dropped = np.empty((0, 2), np.int64)
    if isinstance(within, Blocks):
        raw = _block_roles(recording, within, fold, spec.name)
    elif isinstance(within, EpochOut):
        raw, dropped = _epoch_out_roles(recording, within, fold)
    else:
        raw = _trial_roles(recording, within)
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
        if n_frames(raw[role]) and not n_frames(roles[role]):
            longest = int((raw[role][:, 1] - raw[role][:, 0]).max())
            most = floor(50 * max(longest - 1, 0) / recording.rate_hz) / 100
            raise SplitError(
                f"recording {recording.session_id}: split {spec.name!r} leaves no {role} time after the guard of "
                f"{within.guard_s:g} s (longest stretch: {longest} frames); `guard_s: {most:g}` would leave some."
            )
    return roles


def _stretch(rows: Sequence[tuple[int, int]]) -> Intervals:
    return np.array(rows, np.int64).reshape(-1, 2)


def _block_roles(recording: Recording, within: Blocks, fold: int, name: str) -> TimeRoles:
    """Cut every epoch into contiguous blocks at the starts of trials."""
    if within.fractions is not None:
        needed, roles = within.fractions.smallest(), list(ROLES)
    else:
        needed = within.folds or 0
        roles = ["train"] * needed
        roles[fold], roles[(fold + 1) % needed] = "test", "valid"

    def edges_of(n: int) -> npt.NDArray[np.int64]:
        if within.fractions is not None:
            return np.cumsum([0, *within.fractions.counts(n)])
        return np.round(np.arange(needed + 1) * (n / needed)).astype(np.int64)

    rows: dict[str, list[tuple[int, int]]] = {role: [] for role in ROLES}
    shown = recording.presentations
    epochs = recording.epochs
    if len(epochs) == 0:  # no stimulus table: each stretch recorded without a gap stands for an epoch
        epochs = pd.DataFrame(recording.segments, columns=["start_frame", "stop_frame"]).assign(
            stimulus="none", epoch=-1
        )
    for start, stop, stimulus, number in zip(
        epochs["start_frame"], epochs["stop_frame"], epochs["stimulus"], epochs["epoch"], strict=True
    ):
        marks = _units(shown[shown["epoch"] == number], needed)
        if len(marks) < 2:
            # One presentation that fills its epoch (grey screen) has no trials to snap to: its frames are divided.
            marks = np.arange(start, stop)
        if len(marks) < needed:
            raise SplitError(
                f"recording {recording.session_id}: epoch {number} of {stimulus} has {len(marks)} trials, and split "
                f"{name!r} needs at least {needed} in every epoch; use fewer folds (3 is the least) or leave it out."
            )
        cuts = np.r_[marks, stop][edges_of(len(marks))]
        cuts[0] = start
        for role, a, b in zip(roles, cuts[:-1], cuts[1:], strict=True):
            rows[role].append((int(a), int(b)))
    return {role: _stretch(spans) for role, spans in rows.items()}


def _units(shown: pd.DataFrame, needed: int) -> npt.NDArray[np.int64]:
    """First frames of what an epoch is cut between: the repeats of a movie where there are enough, else trials."""
    start = shown["start_frame"].to_numpy(np.int64)
    repeat = shown["repeat"].to_numpy(np.int64)
    new = np.r_[True, repeat[1:] != repeat[:-1]][: len(repeat)]
    return start[new] if (repeat >= 0).all() and new.sum() >= needed else start


def epochs_of(recording: Recording, stimulus: str) -> pd.DataFrame:
    """Epochs of a stimulus in the order recorded; an error where there are fewer than two to leave one out of."""
    epochs = recording.epochs[recording.epochs["stimulus"] == stimulus]
    if len(epochs) < 2:
        known = recording.epochs["stimulus"].unique().tolist()
        raise SplitError(
            f"recording {recording.session_id} has {len(epochs)} epochs of {stimulus}, and leaving one out needs at "
            f"least 2 ({nearest(stimulus, known)}) Use 'blocks-5fold', or `sessions` without this recording."
        )
    return epochs


def _epoch_out_roles(recording: Recording, within: EpochOut, fold: int) -> tuple[TimeRoles, Intervals]:
    """Leave one epoch out; also the frames of the presentations dropped beside every cut."""
    epoch = epochs_of(recording, within.stimulus).iloc[fold]
    test = _stretch([(int(epoch["start_frame"]), int(epoch["stop_frame"]))])
    shown = recording.presentations[["start_frame", "stop_frame"]].to_numpy(np.int64)
    segment = np.searchsorted(recording.segments[:, 0], shown[:, 0], side="right")
    side = (shown[:, 0] >= test[0, 0]) & (shown[:, 1] <= test[0, 1])
    cut = (segment[1:] != segment[:-1]) | (side[1:] != side[:-1])
    beside = np.r_[cut, np.zeros(1, bool)][: len(shown)] | np.r_[np.zeros(1, bool), cut][: len(shown)]
    roles = {"train": subtract(recording.segments, test), "valid": np.empty((0, 2), np.int64), "test": test}
    return roles, shown[beside]


def _trial_roles(recording: Recording, within: Trials) -> TimeRoles:
    """Deal the trials of each stimulus out in hash order."""
    rows: dict[str, list[Intervals]] = {role: [np.empty((0, 2), np.int64)] for role in ROLES}
    for stimulus, shown in recording.presentations.groupby("stimulus"):
        counts = within.fractions.counts(len(shown))
        if not within.fractions.fills(counts):
            raise SplitError(
                f"recording {recording.session_id} has {len(shown)} trials of {stimulus}, too few for every role; at "
                f"least {within.fractions.smallest()} are needed."
            )
        keys = [f"{recording.session_id}/{stimulus}/{trial}" for trial in shown["trial"]]
        order = np.argsort(hash_order(keys, within.seed))
        spans = shown[["start_frame", "stop_frame"]].to_numpy(np.int64)
        for role, chosen in zip(ROLES, np.split(order, np.cumsum(counts)[:2]), strict=True):
            rows[role].append(spans[np.sort(chosen)])
    roles = {}
    for role, parts in rows.items():
        spans = np.concatenate(parts)
        roles[role] = spans[np.argsort(spans[:, 0], kind="stable")]
    return roles
