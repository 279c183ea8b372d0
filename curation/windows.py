"""Time that a diet eats: roles of the split, cut at gaps, and within them the presentations that the diet asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.evaluate import Evaluator
from poyodata.curation.expressions import Node, columns_of, to_text
from poyodata.curation.parameters import settled
from poyodata.curation.selection import Step, round_half_up
from poyodata.errors import DietError
from poyodata.intervals import Intervals, as_intervals, covers, intersect
from poyodata.vocabulary import SPONTANEOUS

STRIDE = 2**40
"""Frames set aside for each recording on the common axis, so that one interval operation serves all recordings."""

COLUMNS: tuple[str, ...] = (
    "session_id",
    "role",
    "start_frame",
    "stop_frame",
    "stimulus",
    "trial",
    "epoch",
    "blank",
    "direction_deg",
    "temporal_frequency_hz",
    "movie_frame",
)
PROMISED: tuple[str, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Recordings:
    """Tables of a store, of the recordings that hold a kept neuron.

    Attributes
    ----------
    sessions : DataFrame with session_id, rate_hz
    presentations, epochs, segments : DataFrame
        As in the store; rows of other recordings are left out here.
    roles : DataFrame with session_id, start_frame, stop_frame, role
        Windows of the split.
    """

    sessions: pd.DataFrame
    presentations: pd.DataFrame
    epochs: pd.DataFrame
    segments: pd.DataFrame
    roles: pd.DataFrame

    def place(self, table: pd.DataFrame) -> tuple[pd.DataFrame, Intervals]:
        """Rows of the recordings at hand in order of time, and where they lie on the common axis."""
        code = pd.Index(self.sessions["session_id"]).get_indexer(table["session_id"])
        rows = table[code >= 0]
        offset = code[code >= 0].astype(np.int64) * STRIDE
        frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64) + offset[:, None]
        order = np.argsort(frames[:, 0], kind="stable")
        return rows.iloc[order].reset_index(drop=True), frames[order]


@dataclass(frozen=True)
class WindowSelection:
    """Windows of a manifest and the steps that led there."""

    windows: pd.DataFrame
    steps: list[Step]
    warnings: list[str]


def select_windows(diet: Diet, recordings: Recordings, promised: tuple[str, ...] = PROMISED) -> WindowSelection:
    """Choose the windows of a diet.

    Parameters
    ----------
    diet : Diet
    recordings : Recordings
    promised : tuple of str
        Roles that must not come out empty: those the split gives to any recording of the store.

    Returns
    -------
    WindowSelection

    Raises
    ------
    DietError
        A promised role is empty, with the step that emptied it.
    """
    where = diet.windows.where
    rows, steps, warnings = _stretches(recordings) if where is None else _presentations(where, recordings)
    if diet.windows.min_length_s is not None:
        rate = recordings.sessions.set_index("session_id")["rate_hz"].astype(float)
        length_s = settled(diet.windows.min_length_s)
        least = {key: round_half_up(length_s * value) for key, value in rate.items()}
        length = rows["stop_frame"].to_numpy(np.int64) - rows["start_frame"].to_numpy(np.int64)
        kept = length >= rows["session_id"].map(least).to_numpy(np.int64)
        steps.append(_step("windows.min_length_s", f"at least {length_s:g} s", kept))
        before, rows = rows, rows[kept].reset_index(drop=True)
    else:
        before = rows
    named = where is not None and "role" in columns_of(where)
    for role in () if named else promised:
        if not (rows["role"] == role).any():
            raise _empty_role(role, diet, recordings, before)
    if rows.empty:
        raise DietError(f"diet {diet.name!r} keeps no window: {_last(steps)} Loosen `windows`.")
    steps += [
        Step(f"windows.{role}", f"windows of role {role}", int(count), len(rows) - int(count), 0, "windows")
        for role, count in rows["role"].value_counts().sort_index().items()
    ]
    return WindowSelection(rows[list(COLUMNS)], steps, warnings)


def _stretches(recordings: Recordings) -> tuple[pd.DataFrame, list[Step], list[str]]:
    roles, frames = recordings.place(recordings.roles)
    _, segments = recordings.place(recordings.segments)
    pieces = intersect(frames, segments)
    rows = roles.iloc[_holder(frames, pieces)][["session_id", "role"]].reset_index(drop=True)
    rows["start_frame"], rows["stop_frame"] = (pieces % STRIDE)[:, 0], _stop(pieces)
    epochs, spans = recordings.place(recordings.epochs)
    inside = covers(spans, pieces[:, 0], pieces[:, 1])
    at = np.where(inside, _holder(spans, pieces), 0)
    stimulus = epochs["stimulus"].to_numpy(dtype=object)[at] if len(epochs) else np.full(len(rows), "", dtype=object)
    number = epochs["epoch"].to_numpy(np.int64)[at] if len(epochs) else np.full(len(rows), -1)
    rows["stimulus"] = pd.Series(np.where(inside, stimulus, ""), dtype="str")
    rows["epoch"] = np.where(inside, number, -1).astype(np.int64)
    rows["trial"], rows["blank"], rows["movie_frame"] = np.int64(-1), False, np.int64(-1)
    rows["direction_deg"], rows["temporal_frequency_hz"] = np.nan, np.nan
    kept = np.ones(len(rows), np.bool_)
    return rows, [_step("windows", "stretches of a role without a gap", kept)], []


def _presentations(where: Node, recordings: Recordings) -> tuple[pd.DataFrame, list[Step], list[str]]:
    table, frames = recordings.place(recordings.presentations)
    roles, role_frames = recordings.place(recordings.roles)
    _, segments = recordings.place(recordings.segments)
    role = np.full(len(table), "", dtype=object)
    long = (table["stimulus"] == SPONTANEOUS).to_numpy(bool)
    parts = []
    for name in sorted(roles["role"].unique()):
        # Pieces of one role that touch are one: a trial may lie across them and is still whole within the role.
        whole = intersect(as_intervals(role_frames[(roles["role"] == name).to_numpy(bool)]), segments)
        role[covers(whole, frames[:, 0], frames[:, 1]) & ~long] = name
        # Spontaneous activity has no trials: of each stretch, what lies in the role is taken.
        spans = frames[long]
        pieces = intersect(spans, whole)
        part = table[long].iloc[_holder(spans, pieces)].reset_index(drop=True)
        part["start_frame"], part["stop_frame"] = (pieces % STRIDE)[:, 0], _stop(pieces)
        part["trial"], part["role"] = np.int64(-1), name
        parts.append(part)
    trials = table[~long].assign(role=role[~long])
    rows = pd.concat([trials, *[part for part in parts if len(part)]], ignore_index=True) if parts else trials
    rows["role"] = rows["role"].astype("str")
    inside = (rows["role"] != "").to_numpy(bool)
    steps = [_step("windows.role", "presentations whole within one role and without a gap", inside)]
    evaluator = Evaluator(rows, noun="presentation")
    answer = evaluator.evaluate(where)
    unknown = answer.unknown & inside
    kept = answer.true & inside
    rejected = int(inside.sum()) - int(kept.sum()) - int(unknown.sum())
    steps.append(Step("windows.where", to_text(where), int(kept.sum()), rejected, int(unknown.sum()), "presentations"))
    order = ["session_id", "start_frame"]
    return rows[kept].sort_values(order, kind="stable").reset_index(drop=True), steps, evaluator.notes


def _holder(spans: Intervals, pieces: Intervals) -> npt.NDArray[np.int64]:
    """Index of the span in which each piece begins."""
    return np.maximum(np.searchsorted(spans[:, 0], pieces[:, 0], side="right") - 1, 0).astype(np.int64)


def _stop(pieces: Intervals) -> npt.NDArray[np.int64]:
    return pieces[:, 0] % STRIDE + pieces[:, 1] - pieces[:, 0]


def _step(name: str, text: str, kept: npt.NDArray[np.bool_]) -> Step:
    return Step(name, text, int(kept.sum()), int((~kept).sum()), 0, "presentations")


def _last(steps: list[Step]) -> str:
    step = next((step for step in steps if step.kept == 0), steps[-1])
    return f"{step.step} ({step.rule}) keeps {step.kept} of {step.kept + step.rejected + step.unknown}."


def _empty_role(role: str, diet: Diet, recordings: Recordings, before: pd.DataFrame) -> DietError:
    code = pd.Index(recordings.sessions["session_id"]).get_indexer(recordings.roles["session_id"])
    given = recordings.roles[(recordings.roles["role"] == role).to_numpy(bool)]
    held = given[given["session_id"].isin(recordings.sessions["session_id"])]
    start = f"diet {diet.name!r} leaves role {role!r} of the split empty: "
    if held.empty:
        return DietError(
            f"{start}the split gives it to {given['session_id'].nunique()} recordings, and the neuron rule keeps no "
            f"neuron in any of them (it keeps some in {len(np.unique(code[code >= 0]))} others). Loosen `neurons`, or "
            "take a split whose roles lie within recordings, such as blocks-5fold."
        )
    if (before["role"] == role).any():
        return DietError(
            f"{start}windows.min_length_s: {settled(diet.windows.min_length_s)} drops all its "
            f"{(before['role'] == role).sum()} windows. Lower min_length_s."
        )
    where = to_text(diet.windows.where) if diet.windows.where is not None else "cutting at gaps"
    return DietError(
        f"{start}windows.where ({where}) keeps no presentation that lies whole within it, in "
        f"{held['session_id'].nunique()} recordings. Loosen windows.where, or take another split."
    )
