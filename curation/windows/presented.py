"""Presentations that a condition keeps: trials whole within one role, and of grey screen what lies in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.expressions import And, Column, Compare, Literal, Membership, Node, columns_of, to_text
from poyodata.curation.language.window_rule import SIGNALS, TIMES, compares_with_others
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.reference_population import ReferencePopulation
from poyodata.curation.selecting.selection import Step
from poyodata.curation.windows.behaviour import Behaviour
from poyodata.curation.windows.recordings import Recordings, holder, off_axis
from poyodata.intervals import Intervals, as_intervals, covers, intersect
from poyodata.vocabulary import SPONTANEOUS

BATCH = 40
"""Recordings that are looked at together: enough for one operation to be worth it. With movies they are two million
rows, too few to fill the memory."""

_PLACE = ("session_id", "stimulus", "epoch", "trial", "start_frame", "stop_frame")
_NUMBERED = ("trial", "repeat", "movie_frame", "image")
"""Columns in which -1 says that a presentation has no such number: grey screen no trial, a grating no movie frame."""
_SHOWN = ("blank", "direction_deg", "temporal_frequency_hz", "movie_frame")


@dataclass(frozen=True)
class Presented:
    """Presentations that a condition keeps, each with its role.

    Attributes
    ----------
    rows : DataFrame
        Sorted by recording and time.
    steps : list of Step
    notes : list of str
    frozen : dict
        What ``quantile``, ``zscore`` and ``rank`` came to, by their text.
    """

    rows: pd.DataFrame
    steps: list[Step]
    notes: list[str]
    frozen: dict[str, Any]


def choose_presentations(where: Node, recordings: Recordings, behaviour: Behaviour) -> Presented:
    """Keep the presentations that lie whole within one role and of which a condition holds.

    Only what the condition names is read. Where it cannot hold but of some stimuli, the presentations of others, of
    which movies have very many, are counted and let go.

    Parameters
    ----------
    where : Node
        Over `poyodata.curation.language.window_rule.WINDOW_COLUMNS`. What it compares with a reference population, it
        compares with presentations of role train.
    recordings : Recordings
    behaviour : Behaviour

    Returns
    -------
    Presented

    Raises
    ------
    DietError
        Unknown column or text, or kinds that cannot be compared.
    """
    named = columns_of(where)
    own = [name for name in named if name not in (*_PLACE, *_SHOWN, "role", *TIMES, *SIGNALS)]
    only = _stimuli_of(where)
    if only is not None and not only <= set(recordings.epochs["stimulus"].unique()):
        only = None  # a name that no recording has: all rows are needed to say what they have
    parts, n_inside, n_gone, n_all = [], 0, 0, 0
    time_of = _time_of_roles(recordings)
    for table in _batches(recordings, (*_PLACE, *_SHOWN, *own)):
        placed = _in_roles(table, recordings, time_of, only)
        parts.append(placed.rows)
        n_all, n_inside = n_all + placed.n_all, n_inside + placed.n_inside
        n_gone += placed.n_inside - int((placed.rows["role"] != "").sum())
    rows = pd.concat(parts, ignore_index=True) if len(parts) != 1 else parts[0].reset_index(drop=True)
    asked = [name for name in named if name in TIMES or name in SIGNALS]
    if asked:
        rows = rows.assign(**_of_behaviour(rows, asked, recordings, behaviour))
    inside = (rows["role"] != "").to_numpy(bool)
    train = (rows["role"] == "train").to_numpy(bool)
    evaluator = Evaluator(
        _asked(rows, named),
        noun="presentation",
        reference=ReferencePopulation(train, name="train", noun="presentation"),
    )
    answer = evaluator.evaluate(where)
    kept, unknown = answer.true & inside, answer.unknown & inside
    rejected = int(inside.sum()) - int(kept.sum()) - int(unknown.sum()) + n_gone
    steps = [
        Step(
            "windows.role",
            "presentations whole within one role and without a gap",
            n_inside,
            n_all - n_inside,
            0,
            "presentations",
        ),
        Step("windows.where", to_text(where), int(kept.sum()), rejected, int(unknown.sum()), "presentations"),
    ]
    order = ["session_id", "start_frame"]
    chosen = rows[kept].sort_values(order, kind="stable").reset_index(drop=True)
    return Presented(chosen, steps, evaluator.notes, dict(evaluator.reference.frozen))


def _asked(rows: pd.DataFrame, named: Sequence[str]) -> pd.DataFrame:
    """Presentations as a condition sees them: -1, which stands for no number, is missing. Whole numbers stay whole."""
    numbered = {name: rows[name].astype("Int64") for name in named if name in _NUMBERED and name in rows.columns}
    return rows.assign(**{name: column.mask(column < 0) for name, column in numbered.items()})


def _batches(recordings: Recordings, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Presentations of the recordings, of some of them at a time."""
    sessions = recordings.sessions["session_id"].tolist()
    for first in range(0, len(sessions), BATCH):
        yield recordings.store.presentations_of(sessions[first : first + BATCH], columns)


def _time_of_roles(recordings: Recordings) -> dict[str, Intervals]:
    """Time of every role without gaps, on the common axis of the recordings."""
    roles, frames = recordings.place(recordings.roles)
    _, segments = recordings.place(recordings.segments)
    # Pieces of one role that touch are one: a trial may lie across them and is still whole within the role.
    return {
        name: intersect(as_intervals(frames[(roles["role"] == name).to_numpy(bool)]), segments)
        for name in sorted(map(str, roles["role"].unique()))
    }


@dataclass(frozen=True)
class _Placed:
    """Presentations with their role, ``""`` where they lie whole in none; and how many there were, before any went."""

    rows: pd.DataFrame
    n_all: int
    n_inside: int


def _in_roles(
    presentations: pd.DataFrame,
    recordings: Recordings,
    time_of: Mapping[str, Intervals],
    only: frozenset[str] | None,
) -> _Placed:
    """Give presentations their role; spontaneous time is cut to what lies in one. Of `only` these stimuli, where given.

    What is let go is counted and never copied: of a recording with movies, that is nearly all.
    """
    table, frames = presentations, recordings.frames_of(presentations)
    shown, stimuli = pd.factorize(table["stimulus"])
    # Roles by their number: a name for each of two million movie frames would cost more than all else.
    names = ["", *time_of]
    role = np.zeros(len(table), np.int64)
    # A movie frame may be shorter than a frame of the microscope, and hold none.
    holds = frames[:, 1] > frames[:, 0]
    spontaneous = (stimuli == SPONTANEOUS)[shown]
    long, trial = spontaneous & holds, ~(spontaneous & holds)
    stretches = np.flatnonzero(long)
    stretches = stretches[np.argsort(frames[stretches, 0], kind="stable")]
    parts = []
    n_all = n_inside = 0
    for number, whole in enumerate(time_of.values(), start=1):
        inside = covers(whole, frames[:, 0], frames[:, 1]) & holds & trial
        role[inside] = number
        # Spontaneous activity has no trials: of each stretch, what lies in the role is taken.
        spans = frames[stretches]
        pieces = intersect(spans, whole)
        n_all, n_inside = n_all + len(pieces), n_inside + int(inside.sum()) + len(pieces)
        if len(pieces) == 0 or (only is not None and SPONTANEOUS not in only):
            continue
        part = table.iloc[stretches[holder(spans, pieces)]].reset_index(drop=True)
        part["start_frame"], part["stop_frame"] = off_axis(pieces).T
        part["trial"], part["role"] = np.int64(-1), number
        parts.append(part)
    n_all += int(trial.sum())
    kept = trial if only is None else trial & np.isin(stimuli, list(only))[shown] & (role > 0)
    trials = table[kept].assign(role=role[kept])
    rows = pd.concat([trials, *parts], ignore_index=True) if parts else trials
    rows["role"] = pd.Index(names, dtype="str").take(rows["role"].to_numpy(np.int64)).array
    return _Placed(rows, n_all, n_inside)


def _of_behaviour(
    rows: pd.DataFrame, asked: Sequence[str], recordings: Recordings, behaviour: Behaviour
) -> dict[str, npt.NDArray[np.float64]]:
    """Time and behaviour of every presentation with a role, recording by recording; NaN for the others."""
    found = {name: np.full(len(rows), np.nan) for name in asked}
    rate_hz = dict(zip(recordings.sessions["session_id"], recordings.sessions["rate_hz"], strict=True))
    frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
    inside = rows[(rows["role"] != "").to_numpy(bool)]
    for session, at in inside.groupby("session_id", sort=True).groups.items():
        place = np.asarray(at, np.int64)
        values = behaviour.of_windows(str(session), frames[place], asked, float(rate_hz[session]))
        for name, column in values.items():
            found[name][place] = column
    return found


def _stimuli_of(where: Node) -> frozenset[str] | None:
    """Stimuli beyond which a condition cannot hold; None where it may of any, or looks at others to compare with."""
    if compares_with_others(where):
        return None
    for term in where.terms if isinstance(where, And) else (where,):
        match term:
            case Compare(operators=("==",), operands=(Column("stimulus"), Literal(value))):
                return frozenset({str(value)})
            case Compare(operators=("==",), operands=(Literal(value), Column("stimulus"))):
                return frozenset({str(value)})
            case Membership(operand=Column("stimulus"), values=values, negated=False):
                if all(isinstance(value, Literal) for value in values):
                    return frozenset(str(value.value) for value in values if isinstance(value, Literal))
    return None
