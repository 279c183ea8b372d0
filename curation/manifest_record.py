"""Reading ``manifest.json``: whatever stands there, it is a record of the right shape, or an error says what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poyodata.errors import ManifestError

_SHAPE: Mapping[str, type] = {
    "digest": str,
    "record_digest": str,
    "dtypes": dict,
    "meta": dict,
    "meta.name": str,
    "meta.diet": dict,
    "meta.store_digest": str,
    "meta.split": dict,
    "meta.split.spec": dict,
    "meta.split.digest": str,
    "meta.statistics": dict,
    "meta.funnel": list,
    "meta.warnings": list,
}
"""What is looked at before the digests have been compared, or needed to say what a manifest is."""

_WORDS: Mapping[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    bool: "yes or no",
    type(None): "nothing",
}


def read_record(folder: Path, version: int, tables: Sequence[str]) -> dict[str, Any]:
    """Read ``manifest.json`` of a folder.

    Parameters
    ----------
    folder : Path
    version : int
        Format that is read.
    tables : sequence of str
        Tables whose columns must be named.

    Returns
    -------
    dict

    Raises
    ------
    ManifestError
        Not there, no JSON, of another format, or without what a manifest has.
    """
    path = folder / "manifest.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise damaged(path, "it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from None
    found = record.get("format") if isinstance(record, dict) else None
    if found != version:
        raise ManifestError(
            f"{folder}: manifest format {str(found)[:40]!r}, this version reads {version}; resolve the diet again."
        )
    for place, kind in {**_SHAPE, **{f"dtypes.{name}": dict for name in tables}}.items():
        _require(path, record, place, kind)
    for name in tables:
        for column, dtype in record["dtypes"][name].items():
            if not isinstance(dtype, str):
                raise damaged(path, f"the dtype of column {column[:60]!r} of {name} is no text")
    return dict(record)


def damaged(path: Path, what: str) -> ManifestError:
    """Make the error of a file of a manifest that is not what was written."""
    return ManifestError(f"{path} is damaged: {what}; restore it from a copy, or resolve the diet again.")


def _require(path: Path, record: Any, place: str, kind: type) -> None:
    for word in place.split("."):
        if not isinstance(record, dict):
            return  # which is said of what holds it
        if word not in record:
            raise damaged(path, f"it has no `{place}`")
        record = record[word]
    if not isinstance(record, kind):
        found = "nothing" if record is None else _WORDS.get(type(record), "a number")
        raise damaged(path, f"`{place}` is {found}, where {_WORDS[kind]} belongs")
