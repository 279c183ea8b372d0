"""AllenSDK's stimulus tables, epochs and templates against our presentations and templates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from poyodata.allensdk.answers import Answers
from poyodata.allensdk.finding import Array, Finding, State, Tally, compare_columns, describe
from poyodata.sources.record import SessionRecord
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIES, STATIC_GRATINGS

_COLUMNS = {
    "start": "start_frame",
    "end": "stop_frame",
    "temporal_frequency": "temporal_frequency_hz",
    "spatial_frequency": "spatial_frequency_cpd",
    "phase": "phase",
    "blank_sweep": "blank",
    "repeat": "repeat",
}
_SHORT = "{} presentations end in the frame they begin in; ours get that one frame"
_TEMPLATE_FRAMES = 256


def compare_stimuli(answers: Answers, record: SessionRecord) -> list[Finding]:
    """Compare the list of stimuli, every table, the master table, the epochs and every template.

    Parameters
    ----------
    answers : Answers
    record : SessionRecord

    Returns
    -------
    list of Finding
    """
    raised = answers.raised("list_stimuli")
    if raised is not None:
        return [Finding("stimuli", raised, "there all the same", "AllenSDK raises")]
    stimuli = sorted(answers.value("list_stimuli"))
    shown = sorted(record.presentations["stimulus"].unique().tolist())
    same: State = "equal" if stimuli == shown else "differs"
    findings = [Finding("stimuli", ", ".join(stimuli), ", ".join(shown), same)]
    findings += [_compare_table(answers, record, stimulus) for stimulus in stimuli]
    findings += [_compare_master(answers, record, stimuli), _compare_epochs(answers, record, stimuli)]
    findings += [
        _compare_template(answers, record, question.partition("(")[2].rstrip(")"), question)
        for question in answers.questions
        if question.startswith(("get_stimulus_template", "get_locally_sparse_noise_stimulus_template"))
    ]
    return findings


def _table_question(stimulus: str) -> str:
    return f"get_stimulus_table({stimulus})"


def _in_our_terms(theirs: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """AllenSDK's table with the two changes that we make on purpose, and a note of them."""
    table = {name: np.asarray(column) for name, column in theirs.items()}
    short = table["end"] == table["start"]
    notes = [_SHORT.format(int(short.sum()))] if short.any() else []
    table["end"] = table["end"] + short
    blank = table["blank_sweep"] == 1 if "blank_sweep" in table else np.zeros(len(short), bool)
    for name in {"temporal_frequency", "spatial_frequency", "orientation", "phase"} & set(table):
        if not np.isnan(table[name][blank]).all():
            notes.append(f"{name} of blanks is NaN with us")
            table[name] = np.where(blank, np.nan, table[name])
    return table, "; ".join(notes)


def _our_table(record: SessionRecord, stimulus: str, columns: Mapping[str, Array]) -> dict[str, Array | None]:
    """Our presentations of a stimulus under AllenSDK's names, in the dtypes that AllenSDK has."""
    rows = record.presentations[record.presentations["stimulus"] == stimulus]
    special = {
        "orientation": {DRIFTING_GRATINGS: "direction_deg", STATIC_GRATINGS: "orientation_deg"}.get(stimulus, ""),
        "frame": "movie_frame" if stimulus in NATURAL_MOVIES else "image",
    }
    ours: dict[str, Array | None] = {}
    for name in columns:
        column = special.get(name, _COLUMNS.get(name, ""))
        ours[name] = rows[column].to_numpy(np.float64) if column in rows else None
    return ours


def _compare_table(answers: Answers, record: SessionRecord, stimulus: str) -> Finding:
    quantity, question = f"table {stimulus}", _table_question(stimulus)
    raised = answers.raised(question)
    if raised is not None:
        rows = int((record.presentations["stimulus"] == stimulus).sum())
        return Finding(quantity, raised, f"{rows} rows all the same", "AllenSDK raises")
    theirs, note = _in_our_terms(answers.parts(question))
    return compare_columns(quantity, theirs, _our_table(record, stimulus, theirs), note)


def _compare_master(answers: Answers, record: SessionRecord, stimuli: list[str]) -> Finding:
    """All tables as one; AllenSDK orders it by stimulus and epoch, so that both are sorted here."""
    question, note = _table_question("master"), "rows of both sorted by all columns"
    raised = answers.raised(question)
    if raised is not None:
        rows = f"{len(record.presentations)} rows all the same"
        return Finding("master table", raised, rows, "AllenSDK raises")
    parts = answers.parts(question)
    theirs, short = _in_our_terms({name: part for name, part in parts.items() if name != "stimulus"})
    theirs["stimulus"] = np.asarray(parts["stimulus"])
    pieces = []
    for stimulus in stimuli:
        columns = answers.parts(_table_question(stimulus))
        found = {name: part for name, part in _our_table(record, stimulus, columns).items() if part is not None}
        pieces.append(pd.DataFrame(found).reindex(columns=list(parts)).assign(stimulus=stimulus))
    filled = [piece for piece in pieces if len(piece)]
    ours = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(parts))
    order = ["start", "end", "stimulus", *sorted(set(parts) - {"start", "end", "stimulus"})]
    sorted_theirs, sorted_ours = (table.sort_values(order, kind="stable") for table in (pd.DataFrame(theirs), ours))
    return compare_columns(
        "master table",
        {name: _plain(sorted_theirs[name]) for name in order},
        {name: _plain(sorted_ours[name]) for name in order},
        "; ".join(filter(None, [note, short])),
    )


def _plain(column: pd.Series[float]) -> Array:
    return column.to_numpy(str) if column.name == "stimulus" else column.to_numpy(np.float64)


def _compare_epochs(answers: Answers, record: SessionRecord, stimuli: list[str]) -> Finding:
    by_epoch = record.presentations.groupby("epoch", sort=True)
    ours = by_epoch.agg(stimulus=("stimulus", "first"), start=("start_frame", "min"), end=("stop_frame", "max"))
    raised = answers.raised("get_stimulus_epoch_table")
    if raised is not None:
        return Finding("epochs", raised, f"{len(ours)} epochs all the same", "AllenSDK raises")
    table = pd.DataFrame({name: np.asarray(part) for name, part in answers.parts("get_stimulus_epoch_table").items()})
    short = 0
    for stimulus in stimuli:
        rows = answers.parts(_table_question(stimulus))
        last = np.asarray(rows["start"])[rows["start"] == rows["end"]]
        open_ended = (table["stimulus"] == stimulus) & table["end"].isin(last)
        table.loc[open_ended, "end"] += 1
        short += int(open_ended.sum())
    notes = [f"{short} end with a presentation shorter than a frame; ours get that one frame"] if short else []
    joined = _joined(table, record)
    if len(joined) < len(table):
        notes.append(f"{len(table) - len(joined)} pauses within a stimulus are epochs' ends for AllenSDK, not for us")
    return compare_columns(
        "epochs",
        {name: _plain(joined[name]) for name in ("stimulus", "start", "end")},
        {name: _plain(ours[name]) for name in ("stimulus", "start", "end")},
        "; ".join(notes),
    )


def _joined(table: pd.DataFrame, record: SessionRecord, break_s: float = 10.0) -> pd.DataFrame:
    """Join epochs of one stimulus with a pause of up to `break_s` seconds, as our epochs are made.

    AllenSDK cuts after a number of frames, other for every session type, and raises when that gives too many pieces.
    """
    start = record.time_s[table["start"].to_numpy(np.int64)]
    end = record.time_s[np.minimum(table["end"].to_numpy(np.int64), record.n_frames) - 1] + 1 / record.rate_hz
    same = table["stimulus"].to_numpy()[1:] == table["stimulus"].to_numpy()[:-1]
    new = np.r_[True, ~same | (start[1:] - end[:-1] > break_s)]
    joined = table.groupby(np.cumsum(new)).agg({"stimulus": "first", "start": "min", "end": "max"})
    return joined.reset_index(drop=True)


def _compare_template(answers: Answers, record: SessionRecord, stimulus: str, question: str) -> Finding:
    quantity = f"template {stimulus}" + (", as noise" if question.startswith("get_locally") else "")
    raised, read = answers.raised(question), record.templates.get(stimulus)
    if raised is not None:
        ours = "none either" if read is None else "there all the same"
        return Finding(quantity, raised, ours, "AllenSDK raises")
    theirs = answers.parts(question)["values"]
    if read is None:
        return Finding(quantity, describe(theirs), "none", "differs")
    frames = read()
    if tuple(frames.shape) != theirs.shape:
        return Finding(quantity, describe(theirs), " x ".join(map(str, frames.shape)), "differs")
    tally = Tally()
    for start in range(0, len(theirs), _TEMPLATE_FRAMES):
        span = slice(start, start + _TEMPLATE_FRAMES)
        tally.add(np.asarray(theirs[span]), np.asarray(frames[span]), (start, 0, 0))
    if tally.differing:
        where = f"{tally.differing} of {tally.compared} values differ, AllenSDK / ours {tally.first}"
        return Finding(quantity, describe(theirs), where, "differs")
    return Finding(quantity, describe(theirs), "the same", "equal")
