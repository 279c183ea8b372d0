"""What AllenSDK says of who was recorded, where and how, against our metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from poyodata.allensdk.answers import Answers
from poyodata.allensdk.finding import Finding
from poyodata.sources.record import SessionMetadata, SessionRecord
from poyodata.vocabulary import canonical_cre_line

_OURS: Mapping[str, Callable[[SessionMetadata], object]] = {
    "ophys_experiment_id": lambda ours: _integer(ours.session_id),
    "experiment_container_id": lambda ours: _integer(ours.container_id),
    "specimen_name": lambda ours: ours.specimen_name,
    "cre_line": lambda ours: ours.cre_line,
    "targeted_structure": lambda ours: ours.area,
    "imaging_depth_um": lambda ours: ours.depth_um,
    "session_type": lambda ours: ours.session_type,
    "session_start_time": lambda ours: ours.start_time,
    "indicator": lambda ours: ours.indicator,
    "genotype": lambda ours: ours.genotype,
    "sex": lambda ours: ours.sex,
    "age_days": lambda ours: ours.age_days,
    "device": lambda ours: _device_and_name(ours.device)[0],
    "device_name": lambda ours: _device_and_name(ours.device)[1],
    "excitation_lambda": lambda ours: ours.excitation_nm,
    "fov": lambda ours: ours.fov,
    "pipeline_version": lambda ours: ours.pipeline_version,
}
"""What we hold of each entry of AllenSDK's metadata."""

_TERMS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "cre_line": (canonical_cre_line, "as the canonical name of the line"),
    "excitation_lambda": (lambda theirs: _nanometres(theirs), "as the number of its nanometres"),
}
"""Entries that we hold in other terms: how AllenSDK's are brought to ours, and a note."""


def compare_metadata(answers: Answers, record: SessionRecord) -> list[Finding]:
    """Compare every entry of AllenSDK's metadata, those of ours that it should have, the donor and the session type.

    Parameters
    ----------
    answers : Answers
    record : SessionRecord

    Returns
    -------
    list of Finding
    """
    raised = answers.raised("get_metadata")
    if raised is not None:
        return [Finding("metadata", raised, "there all the same", "AllenSDK raises")]
    metadata, kept = answers.value("get_metadata"), record.metadata
    findings = [
        _compare_entry(key, metadata.get(key), kept)
        for key in [*metadata, *(key for key in _OURS if key not in metadata)]
    ]
    donor = str(metadata.get("specimen_name")).rpartition("-")[2]
    note = "last part of the specimen's name, of which AllenSDK makes nothing"
    findings.append(Finding("donor", donor, kept.donor_id, "equal" if donor == kept.donor_id else "differs", note))
    question = "get_session_type"
    raised, kind = answers.raised(question), answers.value(question)
    if raised is not None:
        return [*findings, Finding("session type", raised, kept.session_type or "none either", "AllenSDK raises")]
    same = kept.session_type == kind
    return [*findings, Finding("session type", str(kind), kept.session_type, "equal" if same else "differs")]


def _compare_entry(key: str, theirs: object, kept: SessionMetadata) -> Finding:
    quantity = f"metadata {key}"
    if key not in _OURS:
        return Finding(quantity, str(theirs), "", "not kept")
    expected, note = theirs, ""
    if theirs and key in _TERMS:
        convert, note = _TERMS[key]
        expected = convert(str(theirs))
    ours = _OURS[key](kept)
    if _is_nothing(ours) and _is_nothing(expected) and not _is_nothing(theirs):
        return Finding(quantity, str(theirs), "", "not kept", f"{note}, but it has none")
    same = ours == expected or (_is_nothing(ours) and _is_nothing(expected))
    return Finding(quantity, str(theirs), str(ours), "equal" if same else "differs", note)


def _device_and_name(device: str) -> tuple[str, str]:
    """Split the device as AllenSDK does: ``A microscope. CAM2P.1 Please see ...`` is a device and its name."""
    kind, _, rest = device.partition(". ")
    return kind, re.split(r"\sPleas", rest, maxsplit=1)[0]


def _nanometres(text: str) -> float | None:
    number = re.match(r"\s*(\d+(?:\.\d+)?)\s*(n|$)", text)
    return float(number.group(1)) if number else None


def _integer(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _is_nothing(value: object) -> bool:
    return value is None or value == "" or value != value
