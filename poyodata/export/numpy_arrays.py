"""NumPy arrays and CSV tables, one folder for each recording: what every language can read without a library.

::

    <session_id>/dff.npy                   (time, neuron) float32, dF/F; C order, so that it can be memory-mapped
    <session_id>/time_s.npy                (time,) float64, true timestamps in seconds
    <session_id>/neurons.csv               row i is column i of dff.npy
    <session_id>/presentations.csv         what was shown, in half-open frames (rows of dff.npy) and in seconds
    <session_id>/windows.csv               stretches with a role, where a manifest or a split gives any
    <session_id>/signals/<name>.npy        (sample, 2) float64: time in seconds, value
    <session_id>/recording.json            who was recorded; shape, dtype and unit of every array; lineage
    sessions.csv                           one row a recording
    export.json                            lineage
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poyodata.export.recording import Recording
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from poyodata.export.selection import Selection

DESCRIPTION = "NumPy arrays and CSV tables; time in seconds, traces in dF/F, frames half-open and counted from 0"


def path_of(folder: Path, session_id: str) -> Path:
    """Folder of a recording."""
    return folder / session_id


def write_tables(folder: Path, selection: Selection) -> None:
    """Write the table of recordings."""
    with replacing(folder / "sessions.csv") as partial:
        selection.sessions.to_csv(partial, index=False)


def write_recording(folder: Path, recording: Recording) -> None:
    """Write the folder of one recording; it gets its name when it is whole."""
    partial = folder / f".{recording.session_id}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        arrays = {"dff": _write_traces(partial / "dff.npy", recording)}
        np.save(partial / "time_s.npy", recording.time_s)
        arrays["time_s"] = _facts(recording.time_s.shape, "float64", "s")
        (partial / "signals").mkdir()
        for name, signal in recording.signals.items():
            pairs = np.column_stack([signal.time_s, signal.values])
            np.save(partial / "signals" / f"{name}.npy", pairs)
            arrays[f"signals/{name}"] = _facts(pairs.shape, "float64", ["s", signal.unit])
        recording.neurons.to_csv(partial / "neurons.csv", index=False)
        recording.presentations.to_csv(partial / "presentations.csv", index=False)
        if recording.windows is not None:
            recording.windows.to_csv(partial / "windows.csv", index=False)
        meta = recording.row | {"n_neurons": len(recording.columns)}
        about = {"recording": _plain(meta), "arrays": arrays, "lineage": dict(recording.lineage)}
        text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / "recording.json").write_text(text + "\n", encoding="utf-8")
        partial.rename(path_of(folder, recording.session_id))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_traces(path: Path, recording: Recording) -> dict[str, Any]:
    header = {"descr": "<f4", "fortran_order": False, "shape": recording.shape}
    # Written, not mapped: writing to a mapped file ends the process when the disk is full.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in recording.blocks():
            file.write(np.ascontiguousarray(block, "<f4").data)
    return _facts(recording.shape, "float32", "dF/F")


def _facts(shape: tuple[int, ...], dtype: str, unit: str | list[str]) -> dict[str, Any]:
    return {"shape": list(shape), "dtype": dtype, "unit": unit}


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata as JSON has it: a missing number is null."""
    return {name: None if value != value else value for name, value in metadata.items()}
