"""The folder an export is written to: whole files only, continued where it stopped, never written over."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from poyodata.errors import UsageError, nearest
from poyodata.export.selection import Selection
from poyodata.replacing import replacing
from poyodata.store.remote import written_folder

FORMATS = {
    "nwb2": "poyodata.export.nwb2",
    "numpy": "poyodata.export.numpy_arrays",
    "parquet": "poyodata.export.parquet",
    "torch-brain": "poyodata.export.torch_brain",
}
"""Module of every format. Each has ``DESCRIPTION``; ``path_of(folder, session_id)``, which is there once a recording is
written; ``write_recording(folder, recording)``; and ``write_tables(folder, selection)``."""

LINEAGE = "export.json"


def export(
    selection: Selection, form: str, out: str | Path, progress: Callable[[int], None] | None = None
) -> pd.DataFrame:
    """Write a selection in another format.

    Parameters
    ----------
    selection : Selection
    form : {"nwb2", "numpy", "parquet", "torch-brain"}
    out : str or Path
        A new or empty folder, or one in which the same export was begun or finished: what it has is kept.
    progress : callable, optional
        Called with 1 after each recording.

    Returns
    -------
    DataFrame
        session_id, n_frames, n_neurons, path, status (``written`` or ``kept``).

    Raises
    ------
    UsageError
        An unknown format, a URL, a folder that holds something else or another export, or that cannot be written to.

    Examples
    --------
    >>> sorted(FORMATS)
    ['numpy', 'nwb2', 'parquet', 'torch-brain']
    """
    if form not in FORMATS:
        raise UsageError(f"no format is called {form!r}: {nearest(form, FORMATS)}")
    module = importlib.import_module(FORMATS[form])
    folder = written_folder(out, "an export")
    about = {"format": form, "description": module.DESCRIPTION, "lineage": selection.lineage}
    _claim(folder, about)
    try:
        rows = []
        for session_id in selection.session_ids:
            rows.append(_write(module, folder, selection, session_id))
            if progress is not None:
                progress(1)
        module.write_tables(folder, selection)
        _put_json(folder / LINEAGE, {**about, "complete": True})
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}); free some space or correct the folder and run "
            "the same export again: finished recordings are kept."
        ) from error
    return pd.DataFrame(rows)


def _write(module: ModuleType, folder: Path, selection: Selection, session_id: str) -> dict[str, Any]:
    recording = selection.recording(session_id)
    path: Path = module.path_of(folder, session_id)
    kept = path.exists()
    if not kept:
        module.write_recording(folder, recording)
    n_frames, n_neurons = int(recording.row["n_frames"]), len(recording.columns)
    status = "kept" if kept else "written"
    return {
        "session_id": session_id,
        "n_frames": n_frames,
        "n_neurons": n_neurons,
        "path": str(path),
        "status": status,
    }


def _claim(folder: Path, about: dict[str, Any]) -> None:
    """Make the folder this export's own, or raise when it is somebody else's."""
    lineage = folder / LINEAGE
    try:
        if lineage.is_file():
            try:
                known = json.loads(lineage.read_text(encoding="utf-8"))
            except ValueError:
                known = {}
            if not isinstance(known, dict) or {name: known.get(name) for name in about} != about:
                raise UsageError(
                    f"{folder} holds another export ({_differs(known, about)}); an export is never written over: "
                    "choose a new folder."
                )
            _clear(folder)
            return
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty and holds no export; choose a new or an empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
        _put_json(lineage, {**about, "complete": False})
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror or error}); choose another folder.") from error


def _differs(known: Any, about: dict[str, Any]) -> str:
    if not isinstance(known, dict) or "format" not in known:
        return f"its {LINEAGE} cannot be read"
    if known["format"] != about["format"]:
        return f"of format {known['format']}"
    theirs = known.get("lineage") or {}
    names = [name for name, value in about["lineage"].items() if theirs.get(name) != value]
    return f"with another {' and '.join(names) or 'description'}"


def _clear(folder: Path) -> None:
    """Remove what a stopped export left half written."""
    for path in [*folder.glob(".*.partial"), *folder.glob("*/.*.partial")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _put_json(path: Path, value: dict[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
