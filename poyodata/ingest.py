"""From recordings to a store: the one place where sources and the store meet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from poyodata.errors import UsageError, nearest
from poyodata.progress import stage
from poyodata.sources import SourceFile, find_sources
from poyodata.store import StoreWriter
from poyodata.store.missing import MISSING
from poyodata.vocabulary import DFF, TRACES

ALL_TRACES = "all"


def ingest(
    sources: Sequence[Path],
    out: Path,
    *,
    kind: str = "auto",
    mapping: Path | None = None,
    missing: str = "error",
    traces: Sequence[str] = (DFF,),
    expect_one: bool = False,
) -> pd.DataFrame:
    """Read recordings into a store, one at a time and block by block.

    Parameters
    ----------
    sources : sequence of Path
        Files or folders.
    out : Path
        The store; made when it is not there, else added to. A recording that is there already is left as it is.
    kind : {"auto", "allen-nwb", "arrays"}
    mapping : Path, optional
        Mapping YAML of an ``arrays`` source.
    missing : {"error", "keep", "drop"}
        What to do with NaN in dF/F: refuse the recording, keep them as missing, or leave out the neurons.
    traces : sequence of str
        Traces to store, of `poyodata.vocabulary.TRACES`; dF/F always is. ``("all",)`` stores what each recording has.
    expect_one : bool
        Refuse sources that hold more than one recording, before anything is written.

    Returns
    -------
    DataFrame
        One row a recording: ``session_id, n_frames, n_neurons, status``.

    Raises
    ------
    UsageError
        When nothing is found, several recordings where one is expected, or unknown traces are asked for.
    SourceError
        When a file cannot be read or does not have the traces. Recordings finished before it stay in the store; a store
        that this call made and that has none yet is removed.
    StoreError
        When the store cannot be written, or takes a recording not as it is.
    """
    if missing not in MISSING:
        raise UsageError(f"unknown --missing {missing!r}: {nearest(missing, MISSING)}")
    for name in traces:
        if name not in (*TRACES, ALL_TRACES):
            raise UsageError(f"unknown --traces {name!r}: {nearest(name, (*TRACES, ALL_TRACES))}")
    found = [entry for source in sources for entry in find_sources(source, kind=kind, mapping=mapping)]
    if expect_one and len(found) > 1:
        raise UsageError(
            f"{', '.join(map(str, sources))} holds {len(found)} recordings; this takes one: "
            "give the file of one recording."
        )
    is_new = not out.exists()
    with StoreWriter(out) as writer:
        try:
            return _add_all(writer, found, missing, traces)
        except BaseException:
            # While the lock is still held, so that no other writer can have put a recording in.
            if is_new and len(writer.sessions) == 0:
                shutil.rmtree(out)
            raise


def _add_all(writer: StoreWriter, found: Sequence[SourceFile], missing: str, traces: Sequence[str]) -> pd.DataFrame:
    rows = []
    with stage("reading recordings into the store", len(found), "recordings") as advance:
        for entry in found:
            record = entry.open()
            chosen = [DFF, *record.further] if ALL_TRACES in traces else traces
            result = writer.add(record, missing=missing, traces=chosen)
            rows.append(
                {
                    "session_id": result.session_id,
                    "n_frames": result.n_frames,
                    "n_neurons": result.n_neurons,
                    "status": result.status,
                }
            )
            advance(1)
    return pd.DataFrame(rows)
