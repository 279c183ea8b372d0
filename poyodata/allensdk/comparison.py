"""Everything AllenSDK says of a recording against our record of it: traces, regions and behaviour here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from poyodata.allensdk.answers import Answers
from poyodata.allensdk.finding import Array, Finding, Tally, compare_columns, describe
from poyodata.allensdk.metadata import compare_metadata
from poyodata.allensdk.stimuli import compare_stimuli
from poyodata.errors import SourceError
from poyodata.sources.record import SessionRecord, Signal
from poyodata.vocabulary import DFF

_TRACES = {
    DFF: "get_dff_traces",
    "raw": "get_fluorescence_traces",
    "neuropil": "get_neuropil_traces",
    "demixed": "get_demixed_traces",
    "corrected": "get_corrected_fluorescence_traces",
}
_PUPIL = {
    "pupil location in degrees": ("get_pupil_location(as_spherical=True)", "pupil_altitude_deg", "pupil_azimuth_deg"),
    "pupil location in cm": ("get_pupil_location(as_spherical=False)", "pupil_x_cm", "pupil_y_cm"),
    "pupil size": ("get_pupil_size", "pupil_area_px"),
}
_BLOCK_FRAMES = 16384


def compare(answers: Answers, record: SessionRecord) -> tuple[Finding, ...]:
    """Compare value by value; nothing is left out silently.

    Parameters
    ----------
    answers : Answers
        What AllenSDK reads from a file.
    record : SessionRecord
        What we read from the same file.

    Returns
    -------
    tuple of Finding
    """
    findings = [
        *_compare_traces(answers, record),
        *_compare_regions(answers, record),
        *_compare_behaviour(answers, record),
        *compare_stimuli(answers, record),
        *compare_metadata(answers, record),
    ]
    return tuple(findings)


def _compare_traces(answers: Answers, record: SessionRecord) -> list[Finding]:
    findings = []
    for name, question in _TRACES.items():
        raised = answers.raised(question)
        readable = name == DFF or name in record.further
        if raised is not None:
            ours = "there all the same" if readable else "none either"
            findings.append(Finding(f"{name} traces", raised, ours, "AllenSDK raises"))
            continue
        theirs = answers.parts(question)
        findings.append(_compare_one_trace(name, theirs["traces"], record, readable))
        if name in (DFF, "raw"):
            clock = {"timestamps": theirs["timestamps"]}
            findings.append(compare_columns(f"{name} timestamps", clock, {"timestamps": record.time_s}))
    r = record.neurons["neuropil_r"].to_numpy(np.float64) if "neuropil_r" in record.neurons else None
    return [*findings, _compare_answer(answers, "get_neuropil_r", "neuropil r", {"values": r})]


def _compare_one_trace(name: str, theirs: Array, record: SessionRecord, readable: bool) -> Finding:
    quantity, said = f"{name} traces", describe(theirs)
    note = "" if theirs.dtype == np.float32 else f"AllenSDK's {theirs.dtype}, rounded once to our float32"
    if not readable:
        return Finding(quantity, said, "none", "differs", note)
    if theirs.shape != (record.n_neurons, record.n_frames):
        return Finding(quantity, said, f"{record.n_neurons} x {record.n_frames}", "differs", note)
    tally, start = Tally(), 0
    try:
        for block in record.blocks(_BLOCK_FRAMES, name):
            with np.errstate(over="ignore"):
                piece = theirs[:, start : start + len(block)].astype(np.float32)
            tally.add(piece, block.T, (0, start))
            start += len(block)
    except SourceError as error:
        return Finding(quantity, said, f"refused: {error}", "differs", note)
    if tally.differing:
        where = f"{tally.differing} of {tally.compared} values differ, AllenSDK / ours {tally.first}"
        return Finding(quantity, said, where, "differs", note)
    return Finding(quantity, said, "the same", "equal", note)


def _compare_regions(answers: Answers, record: SessionRecord) -> list[Finding]:
    findings = []
    for column in ("cell_specimen_id", "roi_id"):
        known = record.neurons[column]
        ours = None if known.isna().any() else known.to_numpy(np.int64)
        findings.append(_compare_answer(answers, f"get_{column}s", f"{column}s", {"values": ours}, _integers))
    findings.append(
        _compare_answer(answers, "get_max_projection", "maximum projection", {"values": record.max_projection})
    )
    question, quantity = "get_roi_mask_array", "masks"
    raised = answers.raised(question)
    if raised is not None:
        ours_too = "none either" if record.masks is None else "there all the same"
        return [*findings, Finding(quantity, raised, ours_too, "AllenSDK raises")]
    theirs = answers.parts(question)["values"]
    if record.masks is None or len(record.masks) != len(theirs):
        count = "none" if record.masks is None else f"{len(record.masks)} masks"
        return [*findings, Finding(quantity, describe(theirs), count, "differs")]
    pixels = [np.argwhere(mask)[:, ::-1] for mask in theirs]
    both = enumerate(zip(record.masks, pixels, strict=True))
    wrong = [index for index, (mine, mask) in both if not np.array_equal(mine, mask)]
    said = f"{len(wrong)} masks differ, the first of them number {wrong[0]}" if wrong else "the same"
    findings.append(
        Finding(quantity, describe(theirs), said, "differs" if wrong else "equal", "as lists of pixels, row by row")
    )
    scale = _um_per_pixel((answers.value("get_metadata") or {}).get("fov"))
    centres = np.array([mask.mean(axis=0) if len(mask) else (np.nan, np.nan) for mask in pixels]).reshape(-1, 2) * scale
    centred = {"x_um": centres[:, 0], "y_um": centres[:, 1]}
    ours_um = {name: record.neurons[name].to_numpy(np.float64) for name in centred}
    return [*findings, compare_columns("centres of masks", centred, ours_um, "means of AllenSDK's masks, by its fov")]


def _compare_behaviour(answers: Answers, record: SessionRecord) -> list[Finding]:
    padded, note = _running_on_the_traces_clock(record)
    findings = [_compare_answer(answers, "get_running_speed", "running speed", padded, note=note)]
    for quantity, (question, *names) in _PUPIL.items():
        found = [record.signals[name] for name in names if name in record.signals]
        ours: dict[str, Array | None] = {}
        if len(found) == len(names):
            stacked = np.column_stack([signal.values for signal in found])
            clock = _clock_of(found, answers.parts(question).get("timestamps"))
            ours = {"timestamps": clock, "values": stacked[:, 0] if len(names) == 1 else stacked}
        findings.append(_compare_answer(answers, question, quantity, ours))
    question = "get_motion_correction"
    found = [record.signals[name] for name in ("motion_x_px", "motion_y_px") if name in record.signals]
    ours = {}
    if len(found) == 2:
        theirs = answers.parts(question)
        ours = {name: found[name.startswith("y")].values for name in theirs or ("x", "y")}
        ours["timestamp"] = _clock_of(found, theirs.get("timestamp"))
    return [*findings, _compare_answer(answers, question, "motion", ours)]


def _running_on_the_traces_clock(record: SessionRecord) -> tuple[dict[str, Array | None], str]:
    """Running speed as AllenSDK gives it: NaN before it begins and after it ends."""
    running = record.signals.get("running_speed")
    if running is None:
        return {}, ""
    start = int(np.searchsorted(record.time_s, running.time_s[0])) if len(running.time_s) else 0
    stop = start + len(running.time_s)
    if stop - start == record.n_frames or not np.array_equal(record.time_s[start:stop], running.time_s):
        return {"values": running.values, "timestamps": running.time_s}, ""
    values = np.full(record.n_frames, np.nan)
    values[start:stop] = running.values
    note = "AllenSDK pads with NaN to the clock of the traces; ours, on its own clock, padded here likewise"
    return {"values": values, "timestamps": record.time_s}, note


def _clock_of(signals: Sequence[Signal], theirs: Array | None) -> Array:
    """The one clock of signals that AllenSDK gives together; if one of them has another, that one."""
    clocks = [signal.time_s for signal in signals]
    return next((clock for clock in clocks if theirs is None or not np.array_equal(clock, theirs)), clocks[0])


def _compare_answer(
    answers: Answers,
    question: str,
    quantity: str,
    ours: Mapping[str, Array | None],
    convert: Callable[[Array], Array] = np.asarray,
    note: str = "",
) -> Finding:
    raised = answers.raised(question)
    there = any(array is not None for array in ours.values())
    if raised is not None:
        # No tracking is no failure of AllenSDK's: it says that there is nothing, so we may not have anything.
        invented = raised.startswith("NoEyeTracking") and there
        said = "there all the same" if there else "none either"
        return Finding(quantity, raised, said, "differs" if invented else "AllenSDK raises", note)
    theirs = {name: convert(part) for name, part in answers.parts(question).items()}
    return compare_columns(quantity, theirs, ours, note)


def _integers(part: Array) -> Array:
    # The released files keep some ids as texts.
    return part.astype(np.int64)


def _um_per_pixel(fov: str | None) -> float:
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", fov or "")]
    return numbers[0] / numbers[2] if len(numbers) == 4 else 400.0 / 512.0
