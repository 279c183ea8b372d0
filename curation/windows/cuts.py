"""Windows cut to the frames of which a condition holds, and samples of windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.expressions import Node, columns_of
from poyodata.curation.language.parameters import settled
from poyodata.curation.language.window_rule import WindowSample
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.selection import round_half_up
from poyodata.curation.windows.behaviour import Behaviour
from poyodata.digests import hash_order
from poyodata.errors import DietError
from poyodata.intervals import Intervals


def cut_by_frames(
    rows: pd.DataFrame, condition: Node, behaviour: Behaviour
) -> tuple[pd.DataFrame, tuple[int, int, int]]:
    """Cut windows to the longest stretches of frames of which a condition holds.

    Parameters
    ----------
    rows : DataFrame with session_id, role, start_frame, stop_frame
    condition : Node
        Over `poyodata.curation.language.window_rule.FRAME_COLUMNS`. A frame of which it is unknown is left out.
    behaviour : Behaviour

    Returns
    -------
    windows : DataFrame
        Each with what the window it was cut from has; two cut from windows that touch stay two.
    frames : tuple of int
        Frames of which it holds, does not, and of which that is unknown.

    Raises
    ------
    DietError
        When the condition compares what cannot be compared.
    """
    named = columns_of(condition)
    frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
    origin, pieces, counts = [], [], np.zeros(3, np.int64)
    for session, at in rows.groupby("session_id", sort=True).groups.items():
        place = np.asarray(at, np.int64)
        spans = frames[place]
        length = spans[:, 1] - spans[:, 0]
        window = np.repeat(np.arange(len(spans)), length)
        frame = np.arange(len(window)) - np.repeat(np.cumsum(length) - length, length) + spans[window, 0]
        asked = [name for name in named if name != "role"]
        values = behaviour.of_frames(str(session), asked)
        table = pd.DataFrame({name: values[name][frame] for name in asked}, index=pd.RangeIndex(len(frame)))
        if "role" in named:
            table["role"] = rows["role"].to_numpy()[place][window]
        answer = Evaluator(table, noun="frame", holder="the recording").evaluate(condition)
        counts += answer.counts()
        first, stop = _runs(answer.true, window)
        origin.append(place[window[first]])
        pieces.append(np.column_stack([frame[first], frame[stop - 1] + 1]))
    cut: Intervals = np.concatenate([np.empty((0, 2), np.int64), *pieces])
    found = rows.iloc[np.concatenate([np.empty(0, np.int64), *origin])].reset_index(drop=True)
    found["start_frame"], found["stop_frame"] = cut.T
    found = found.sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)
    return found, (int(counts[0]), int(counts[1]), int(counts[2]))


def _runs(
    holds: npt.NDArray[np.bool_], window: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First place, and the place after the last, of every run of true within one window."""
    new = np.r_[True, window[1:] != window[:-1]][: len(window)]
    before = np.r_[False, holds[:-1]][: len(holds)]
    after = np.r_[holds[1:], False][: len(holds)]
    ends = np.r_[new[1:], True][: len(new)]
    return np.flatnonzero(holds & (new | ~before)), np.flatnonzero(holds & (ends | ~after)) + 1


def sample_windows(rows: pd.DataFrame, sample: WindowSample) -> npt.NDArray[np.bool_]:
    """Take some of the windows of each recording and role: those with the smallest hashes.

    The hash is of the recording's name and the window's frames, under the seed: a sample is nested in every larger one,
    and other windows or recordings change nothing about it.

    Parameters
    ----------
    rows : DataFrame with session_id, role, start_frame, stop_frame
    sample : WindowSample

    Returns
    -------
    ndarray, shape (window,), bool
        All windows of roles that are not thinned are kept.

    Raises
    ------
    DietError
        When a recording has fewer windows of a role than are asked for.

    Examples
    --------
    >>> rows = pd.DataFrame({"session_id": "a", "role": "train", "start_frame": range(4), "stop_frame": range(1, 5)})
    >>> sample_windows(rows, WindowSample(fraction=0.5)).sum()
    np.int64(2)
    """
    thinned = np.flatnonzero(rows["role"].isin(sample.roles).to_numpy(bool))
    kept = np.ones(len(rows), np.bool_)
    kept[thinned] = False
    part = rows.iloc[thinned]
    keys = [
        f"{session}:{start}:{stop}"
        for session, start, stop in zip(part["session_id"], part["start_frame"], part["stop_frame"], strict=True)
    ]
    hashes = hash_order(keys, int(settled(sample.seed)))
    # Two roles never share a frame: the start decides between equal hashes, of which there are as good as none.
    order = np.lexsort((part["start_frame"].to_numpy(), hashes))
    fraction, number = settled(sample.fraction), settled(sample.n)
    groups: dict[Any, Any] = dict(part.iloc[order].groupby(["session_id", "role"], sort=True).indices)
    for (session, role), places in groups.items():
        if number is not None and len(places) < number:
            raise DietError(
                f"windows.sample asks for {number} windows of each recording, and {session!r} has {len(places)} of "
                f"role {role!r}; lower n, or give a fraction."
            )
        count = int(number) if number is not None else round_half_up(float(fraction or 0.0) * len(places))
        kept[thinned[order[np.sort(places)[:count]]]] = True
    return kept
