"""Time that a diet eats: roles of the split, cut at gaps, and within them the presentations that the diet asks for.

The steps, in this order, each with its row in the funnel:

1. ``where``: presentations whole within one role and without a gap, of which the condition holds. Without it: the
   stretches of every role, cut at gaps.
2. ``while``: every window is cut to the longest stretches of frames of which the condition holds.
3. ``min_length_s``: shorter windows are left out; the length is rounded to whole frames of each recording, since a
   presentation of 2 s may hold a frame less than 2 s take.
4. ``sample``: some of the windows of each recording and role are taken.

Two windows that touch stay two: none crosses a gap, the border of a role, or a frame that ``while`` leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.language.expressions import Node, columns_of, to_text
from poyodata.curation.language.parameters import settled
from poyodata.curation.selecting.selection import Step, round_half_up
from poyodata.curation.windows.behaviour import Behaviour
from poyodata.curation.windows.cuts import cut_by_frames, sample_windows
from poyodata.curation.windows.presented import choose_presentations
from poyodata.curation.windows.recordings import Recordings, holder, off_axis
from poyodata.errors import DietError
from poyodata.intervals import covers, intersect

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
class WindowSelection:
    """Windows of a manifest and the steps that led there.

    Attributes
    ----------
    windows : DataFrame with the columns `COLUMNS`
    steps : list of Step
    warnings : list of str
    frozen : dict
        What ``quantile``, ``zscore`` and ``rank`` came to, under ``windows: quantile(...)``, and what a sample took.
    """

    windows: pd.DataFrame
    steps: list[Step]
    warnings: list[str]
    frozen: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Chosen:
    """Windows after the steps so far, and by which step which role was emptied."""

    rows: pd.DataFrame
    promised: tuple[str, ...]
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    frozen: dict[str, Any] = field(default_factory=dict)
    emptied: dict[str, str] = field(default_factory=dict)

    def after(self, rows: pd.DataFrame, reason: str) -> None:
        """Go on with `rows`; where that leaves a role none, the reason is kept."""
        had, has = self.rows["role"].value_counts(), set(rows["role"].unique())
        for role in self.promised:
            if role not in has:
                self.emptied.setdefault(role, reason.format(had=had.get(role, 0)))
        self.rows = rows


def select_windows(diet: Diet, recordings: Recordings, promised: tuple[str, ...] = PROMISED) -> WindowSelection:
    """Choose the windows of a diet.

    Parameters
    ----------
    diet : Diet
    recordings : Recordings
    promised : tuple of str
        Roles that must not come out empty: those the split gives to any recording of the store. A condition that names
        ``role`` chooses among them, and nothing is promised then.

    Returns
    -------
    WindowSelection

    Raises
    ------
    DietError
        A promised role is empty, with the step that emptied it.
    """
    rule = diet.windows
    conditions = [node for node in (rule.where, rule.while_) if node is not None]
    named = any("role" in columns_of(node) for node in conditions)
    behaviour = Behaviour(recordings.store)
    chosen = _begin(rule.where, recordings, behaviour, () if named else promised)
    if rule.while_ is not None:
        cut, (true, false, unknown) = cut_by_frames(chosen.rows, rule.while_, behaviour)
        text = to_text(rule.while_)
        chosen.steps.append(Step("windows.while", text, true, false, unknown, "frames"))
        chosen.after(cut, f"windows.while ({text}) holds at no frame of its {{had}} windows. Loosen windows.while.")
    if rule.min_length_s is not None:
        length_s = settled(rule.min_length_s)
        kept = _long_enough(chosen.rows, recordings.sessions, float(length_s))
        chosen.steps.append(_step("windows.min_length_s", f"at least {length_s:g} s, to the frame", kept, "windows"))
        reason = f"windows.min_length_s: {length_s} drops all its {{had}} windows. Lower min_length_s."
        chosen.after(chosen.rows[kept].reset_index(drop=True), reason)
    if rule.sample is not None:
        kept = sample_windows(chosen.rows, rule.sample)
        what = f"{settled(rule.sample.n)}" if rule.sample.n is not None else f"{settled(rule.sample.fraction):g}"
        of = f"{what} of each recording's windows of {', '.join(rule.sample.roles)}, seed {settled(rule.sample.seed)}"
        chosen.steps.append(_step("windows.sample", of, kept, "windows"))
        pool = int(chosen.rows["role"].isin(rule.sample.roles).sum())
        chosen.frozen["windows.sample"] = {
            "pool": pool,
            "taken": pool - int((~kept).sum()),
            "seed": settled(rule.sample.seed),
        }
        reason = f"windows.sample ({of}) takes none of its {{had}} windows. Take more."
        chosen.after(chosen.rows[kept].reset_index(drop=True), reason)
    for role, reason in chosen.emptied.items():
        raise DietError(f"diet {diet.name!r} leaves role {role!r} of the split empty: {reason}")
    if chosen.rows.empty:
        raise DietError(f"diet {diet.name!r} keeps no window: {_last(chosen.steps)} Loosen `windows`.")
    chosen.steps += [
        Step(f"windows.{role}", f"windows of role {role}", int(count), len(chosen.rows) - int(count), 0, "windows")
        for role, count in chosen.rows["role"].value_counts().sort_index().items()
    ]
    warnings = [*chosen.warnings, *behaviour.warnings(len(recordings.sessions))]
    return WindowSelection(chosen.rows[list(COLUMNS)], chosen.steps, warnings, chosen.frozen)


def _begin(where: Node | None, recordings: Recordings, behaviour: Behaviour, promised: tuple[str, ...]) -> _Chosen:
    """Windows of the first step."""
    # Roles that never had time in these recordings: for that, the rule for neurons is to blame.
    place = recordings.roles["session_id"].isin(recordings.sessions["session_id"]).to_numpy(bool)
    held = recordings.roles[place]
    chosen = _Chosen(held, promised)
    if where is None:
        rows = _stretches(recordings)
        chosen.steps.append(
            _step("windows", "stretches of a role without a gap", np.ones(len(rows), np.bool_), "presentations")
        )
        reason = "cutting at gaps keeps nothing of it. Take another split."
    else:
        found = choose_presentations(where, recordings, behaviour)
        rows, chosen.steps, chosen.warnings = found.rows, found.steps, found.notes
        chosen.frozen |= {f"windows: {text}": value for text, value in found.frozen.items()}
        reason = f"windows.where ({to_text(where)}) keeps no presentation that lies whole within it, in {{recordings}} "
        reason += "recordings. Loosen windows.where, or take another split."
    for role in promised:
        given = recordings.roles[(recordings.roles["role"] == role).to_numpy(bool)]
        within = held.loc[(held["role"] == role).to_numpy(bool), "session_id"].nunique()
        if within == 0:
            chosen.emptied[role] = (
                f"the split gives it to {given['session_id'].nunique()} recordings, and the neuron rule keeps no "
                f"neuron in any of them (it keeps some in {held['session_id'].nunique()} others). Loosen `neurons`, or "
                "take a split whose roles lie within recordings, such as blocks-5fold."
            )
        elif not (rows["role"] == role).any():
            chosen.emptied[role] = reason.replace("{recordings}", str(within))
    chosen.rows = rows
    return chosen


def _stretches(recordings: Recordings) -> pd.DataFrame:
    """Stretches of every role, cut at gaps, with the stimulus in whose epoch they lie whole."""
    roles, frames = recordings.place(recordings.roles)
    _, segments = recordings.place(recordings.segments)
    pieces = intersect(frames, segments)
    rows = roles.iloc[holder(frames, pieces)][["session_id", "role"]].reset_index(drop=True)
    rows["start_frame"], rows["stop_frame"] = off_axis(pieces).T
    epochs, spans = recordings.place(recordings.epochs)
    inside = covers(spans, pieces[:, 0], pieces[:, 1])
    at = np.where(inside, holder(spans, pieces), 0)
    stimulus = epochs["stimulus"].to_numpy(dtype=object)[at] if len(epochs) else np.full(len(rows), "", dtype=object)
    number = epochs["epoch"].to_numpy(np.int64)[at] if len(epochs) else np.full(len(rows), -1)
    rows["stimulus"] = pd.Series(np.where(inside, stimulus, ""), dtype="str")
    rows["epoch"] = np.where(inside, number, -1).astype(np.int64)
    rows["trial"], rows["blank"], rows["movie_frame"] = np.int64(-1), False, np.int64(-1)
    rows["direction_deg"], rows["temporal_frequency_hz"] = np.nan, np.nan
    return rows


def _long_enough(rows: pd.DataFrame, sessions: pd.DataFrame, length_s: float) -> npt.NDArray[np.bool_]:
    rate = sessions.set_index("session_id")["rate_hz"].astype(float)
    least = {key: round_half_up(length_s * value) for key, value in rate.items()}
    length = rows["stop_frame"].to_numpy(np.int64) - rows["start_frame"].to_numpy(np.int64)
    kept: npt.NDArray[np.bool_] = length >= rows["session_id"].map(least).to_numpy(np.int64)
    return kept


def _step(name: str, text: str, kept: npt.NDArray[np.bool_], counts: str) -> Step:
    return Step(name, text, int(kept.sum()), int((~kept).sum()), 0, counts)


def _last(steps: list[Step]) -> str:
    step = next((step for step in steps if step.kept == 0), steps[-1])
    return f"{step.step} ({step.rule}) keeps {step.kept} of {step.kept + step.rejected + step.unknown}."
