"""Trials dealt out one by one: in hash order, or shuffled as POYO-CAP does. Grey screen has none and is cut by time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poyodata.digests import hash_order
from poyodata.errors import SplitError
from poyodata.intervals import Intervals
from poyodata.splits.fractions import ROLES, Fractions
from poyodata.splits.recording import Recording, TimeRoles, stretches
from poyodata.splits.within import PaperTrials, Trials

_Spans = dict[str, list[Intervals]]


def trial_roles(recording: Recording, within: Trials) -> TimeRoles:
    """Deal the trials of each stimulus out in hash order.

    Raises
    ------
    SplitError
        When there are too few trials of a stimulus for every role.
    """
    rows: _Spans = {role: [] for role in ROLES}
    stimulus, trial, start, stop = recording.shown("stimulus", "trial", "start_frame", "stop_frame")
    for name in sorted(set(stimulus.tolist())):
        own = np.flatnonzero(stimulus == name)
        if len(own) == 1:
            _cut(rows, within.fractions, int(start[own[0]]), int(stop[own[0]]))
            continue
        counts = within.fractions.counts(len(own))
        if not within.fractions.fills(counts):
            raise _too_few(recording, len(own), f"trials of {name}", within.fractions.smallest())
        keys = [f"{recording.session_id}/{name}/{number}" for number in trial[own].tolist()]
        _deal(rows, own[np.argsort(hash_order(keys, within.seed))], counts, start, stop)
    return _joined(rows)


def paper_roles(recording: Recording, within: PaperTrials) -> TimeRoles:
    """Shuffle the trials of each stimulus and deal them out; movies by repeats, grey screen by time.

    Raises
    ------
    SplitError
        When there are too few trials of a stimulus, or repeats of a movie, for every role.
    """
    rows: _Spans = {role: [] for role in ROLES}
    stimulus, epoch, blank, movie_frame, repeat, start, stop = recording.shown(
        "stimulus", "epoch", "blank", "movie_frame", "repeat", "start_frame", "stop_frame"
    )
    for name in sorted(set(stimulus.tolist())):
        own = np.flatnonzero(stimulus == name)
        if (movie_frame[own] >= 0).any():
            begins = np.r_[True, (np.diff(epoch[own]) != 0) | (np.diff(repeat[own]) != 0)]
            first = start[own[begins]]
            last = np.maximum.reduceat(stop[own], np.flatnonzero(begins))
            counts = _repeat_counts(within.repeats, len(first))
            if counts is None:
                raise _too_few(recording, len(first), f"repeats of {name}", int((within.repeats.shares > 0).sum()))
            _deal(rows, np.arange(len(first)), counts, first, last)
        elif len(own) == 1:
            _cut(rows, within.fractions, int(start[own[0]]), int(stop[own[0]]))
        else:
            shown = own[~blank[own].astype(bool)]
            counts = _rounded(within.fractions, len(shown))
            if not within.fractions.fills(counts):
                least = next(n for n in range(1, 10_000) if within.fractions.fills(_rounded(within.fractions, n)))
                raise _too_few(recording, len(shown), f"trials of {name}", least)
            # The paper's own shuffle, anew in every recording.
            order = np.random.default_rng(within.seed).permutation(len(shown))
            _deal(rows, shown[order], counts, start, stop)
    return _joined(rows)


def _rounded(fractions: Fractions, n: int) -> npt.NDArray[np.int64]:
    """Sizes as the paper rounds them: each by itself, and what is over or lacking goes to the largest."""
    counts = np.round(fractions.shares * n).astype(np.int64)
    counts[np.argmax(counts)] += n - counts.sum()
    return counts


def _repeat_counts(fractions: Fractions, n: int) -> npt.NDArray[np.int64] | None:
    """Repeats of each role: one at least where a role is asked for, and the rest for train; None where too few."""
    _, valid, test = (max(1, round(share * n)) if share > 0 else 0 for share in fractions.shares)
    counts = np.array([n - valid - test, valid, test])
    return counts if counts[0] > 0 else None


def _deal(
    rows: _Spans,
    order: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
) -> None:
    for role, chosen in zip(ROLES, np.split(order, np.cumsum(counts)[:2]), strict=True):
        in_time = np.sort(chosen)
        rows[role].append(np.column_stack([start[in_time], stop[in_time]]).astype(np.int64))


def _cut(rows: _Spans, fractions: Fractions, start: int, stop: int) -> None:
    """Divide the frames of one long presentation, which has no trials: grey screen."""
    edges = start + np.cumsum([0, *fractions.counts(stop - start)])
    for role, a, b in zip(ROLES, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows[role].append(np.array([[a, b]] if b > a else np.empty((0, 2)), np.int64))


def _joined(rows: _Spans) -> TimeRoles:
    return {role: _in_time(np.concatenate([np.empty((0, 2), np.int64), *parts])) for role, parts in rows.items()}


def _in_time(rows: Intervals) -> Intervals:
    """Order trials of one role by time. Two that share a frame, as those of a movie may, become one; others stay."""
    spans = stretches(rows)
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.flatnonzero(np.r_[True, spans[1:, 0] >= reach[:-1]][: len(spans)])
    return np.column_stack([spans[first, 0], np.maximum.reduceat(spans[:, 1], first)]) if len(first) else spans


def _too_few(recording: Recording, n: int, what: str, least: int) -> SplitError:
    return SplitError(
        f"recording {recording.session_id} has {n} {what}, too few for every role; at least {least} are needed."
    )
