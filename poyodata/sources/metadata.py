"""Who was recorded, put together from what a file says and what a mapping adds; what is missing is asked for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from poyodata.csv_tables import read_csv_table
from poyodata.errors import SourceError
from poyodata.sources.record import SessionMetadata
from poyodata.sources.recording_mapping import KnownMetadata, RecordingMapping
from poyodata.vocabulary import CRE_LINES, canonical_cre_line

_NUMBERS = ("depth_um", "age_days", "excitation_nm")
_REQUIRED: Mapping[str, str] = {
    "session_id": "the recording",
    "donor_id": "the mouse",
    "container_id": "the imaging site",
    "cre_line": "the driver line",
    "area": "the visual area",
    "depth_um": "micrometres",
}


def complete_metadata(
    found: Mapping[str, Any],
    mapping: RecordingMapping | None,
    label: str,
    source: str,
    hint: str = "",
    *,
    exported: Mapping[str, Any] | None = None,
) -> SessionMetadata:
    """Put the metadata of a recording together.

    A constant of the mapping goes before its table, and both before the file.

    Parameters
    ----------
    found : mapping of str to str or number
        What the file says, by the names of `SessionMetadata`; empty texts and NaN count as missing.
    mapping : RecordingMapping, optional
    label : str
        What messages call the recording.
    source : str
        Name of the source, for the message.
    hint : str
        What else to say when something is missing.
    exported : mapping of str to str or float, optional
        Every field as a store had it, in a file that was exported from one: goes in the place of `found` and stands as
        it is, empty texts and other laboratories' lines too.

    Returns
    -------
    SessionMetadata

    Raises
    ------
    SourceError
        One sentence naming every key that is missing.

    Examples
    --------
    >>> complete_metadata({"session_id": "s1", "donor_id": "m1", "area": "VISp"}, None, "one.nwb", "nwb2")
    Traceback (most recent call last):
    poyodata.errors.SourceError: one.nwb does not say container_id (the imaging site), cre_line (the driver line) and \
depth_um (micrometres): give them under `metadata:` in a mapping.yaml with `source: nwb2`.
    """
    values = {key: value for key, value in found.items() if _is_said(value)} if exported is None else dict(exported)
    given: dict[str, Any] = {}
    if mapping is not None:
        given = {key: value for key, value in mapping.metadata if _is_said(value)}
        session_id = str(given.get("session_id", values.get("session_id", "")))
        given = _row(mapping.metadata_table, session_id, label) | given
    values |= given
    missing = [f"{key} ({what})" for key, what in _REQUIRED.items() if key not in values]
    if missing:
        listed = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        raise SourceError(
            f"{label} does not say {listed}: give {'it' if len(missing) == 1 else 'them'} under `metadata:` in a "
            f"mapping.yaml with `source: {source}`.{hint and ' ' + hint}"
        )
    if exported is None or "cre_line" in given:
        values["cre_line"] = line_of(str(values["cre_line"]), label, given="cre_line" in given)
    said: dict[str, Any] = {
        key: _number(value, label, key) if key in _NUMBERS else str(value).strip() for key, value in values.items()
    }
    return SessionMetadata(**said)


def line_of(text: str, label: str, *, given: bool) -> str:
    """Bring a line or genotype to the canonical name of one of the 13 CRE lines.

    Another text stands as it is where a user gave it and it is no near miss of a line: other laboratories have other
    mice.

    Raises
    ------
    SourceError
        When it is no known line, or a near miss.

    Examples
    --------
    >>> line_of("sst", "one", given=True), line_of("C57BL/6J", "one", given=True)
    ('Sst-IRES-Cre', 'C57BL/6J')
    """
    try:
        return canonical_cre_line(text)
    except SourceError as error:
        known = [line.casefold() for line in CRE_LINES]
        if given and not any(difflib.get_close_matches(part.casefold(), known, 1, 0.6) for part in text.split(";")):
            return text
        raise SourceError(f"{label}: {error}") from error


def _row(table: str | None, session_id: str, label: str) -> dict[str, Any]:
    """What a table says of a recording."""
    if table is None:
        return {}
    rows = read_csv_table(table, "metadata_table", dtype="str", keep_default_na=False)
    known = list(KnownMetadata.model_fields)
    unknown = [column for column in rows.columns if column not in known]
    if "session_id" not in rows.columns or unknown:
        raise SourceError(
            f"metadata_table {table} has the columns {', '.join(rows.columns)}; expected session_id and others of "
            f"{', '.join(known[1:])}."
        )
    mine = rows[rows["session_id"] == session_id]
    if len(mine) != 1:
        raise SourceError(
            f"metadata_table {table} has {len(mine)} rows of session {session_id!r} ({label}); one was expected."
        )
    return {key: value for key, value in zip(rows.columns, mine.iloc[0], strict=True) if _is_said(value)}


def _is_said(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    return str(value).strip() != ""


def _number(value: Any, label: str, key: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{label}: metadata.{key} must be a number, got {value!r}.") from error
