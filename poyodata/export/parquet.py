"""Parquet tables that any tool reads: one wide table of traces for each recording, and what belongs to them.

::

    traces/<session_id>.parquet          time_s (seconds), then one column a neuron, named by its neuron_id (dF/F)
    presentations/<session_id>.parquet   what was shown, in half-open frames (rows of the traces) and in seconds
    signals/<session_id>.parquet         signal, unit, time_s, value: behaviour, each signal on its own clock
    neurons.parquet  sessions.parquet    one row a neuron, one row a recording
    windows.parquet                      stretches with a role, where a manifest or a split gives any
    export.json                          lineage
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from poyodata.export.recording import Recording
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from poyodata.export.selection import Selection

DESCRIPTION = "Parquet tables; time in seconds, traces in dF/F, frames half-open and counted from 0"
LINEAGE_KEY = b"poyodata"
"""Key of the lineage, as JSON, in the metadata of every file's schema."""


def path_of(folder: Path, session_id: str) -> Path:
    """File of a recording's traces, the last of its files to appear."""
    return folder / "traces" / f"{session_id}.parquet"


def write_tables(folder: Path, selection: Selection) -> None:
    """Write the tables over all recordings."""
    _put(folder / "neurons.parquet", selection.neurons, selection.lineage)
    _put(folder / "sessions.parquet", selection.sessions, selection.lineage)
    if selection.windows is not None:
        _put(folder / "windows.parquet", selection.windows, selection.lineage)


def write_recording(folder: Path, recording: Recording) -> None:
    """Write the tables of one recording; a few blocks of traces are in memory at a time."""
    name = f"{recording.session_id}.parquet"
    _put(folder / "presentations" / name, recording.presentations, recording.lineage)
    _put(folder / "signals" / name, signals_table(recording), recording.lineage)
    path = path_of(folder, recording.session_id)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as partial:
        _write_traces(partial, recording)


def signals_table(recording: Recording) -> pd.DataFrame:
    """All behavioural signals of a recording, one below the other: signal, unit, time_s, value."""
    parts = [
        pd.DataFrame({"signal": name, "unit": signal.unit, "time_s": signal.time_s, "value": signal.values})
        for name, signal in recording.signals.items()
    ]
    kinds = {"signal": "str", "unit": "str", "time_s": "float64", "value": "float64"}
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    return pd.concat(parts, ignore_index=True).astype(kinds)


def _write_traces(path: Path, recording: Recording) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field("time_s", pa.float64(), nullable=False)]
    fields += [pa.field(neuron_id, pa.float32()) for neuron_id in recording.neurons["neuron_id"].tolist()]
    schema = pa.schema(fields, metadata=_metadata(recording.lineage))
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        start = 0
        for block in recording.blocks():
            time_s = recording.time_s[start : start + len(block)]
            # NaN stays NaN, a value that was measured and is not a number, rather than null.
            columns = [pa.array(time_s), *(pa.array(column) for column in block.T.copy())]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(block))
            start += len(block)


def _put(path: Path, table: pd.DataFrame, lineage: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, **_metadata(lineage)})
    with replacing(path) as partial:
        pq.write_table(arrow, partial, compression="zstd")


def _metadata(lineage: Any) -> dict[bytes, bytes]:
    return {LINEAGE_KEY: json.dumps(dict(lineage), ensure_ascii=False).encode()}
