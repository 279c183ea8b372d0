"""From recordings to a store: the one place where sources and the store meet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from poyodata.errors import StoreError, UsageError, nearest
from poyodata.progress import stage
from poyodata.runner import check_workers, count_workers, run
from poyodata.sources import SourceFile, find_sources
from poyodata.store import AddedSession, StoreWriter
from poyodata.store.aside import Written, kept_traces, write_aside
from poyodata.store.commit import read_committed
from poyodata.store.layout import TEMPORARY, Paths
from poyodata.store.missing import MISSING
from poyodata.store.remote import written_folder
from poyodata.vocabulary import DFF, TRACES

ALL_TRACES = "all"
BYTES_PER_S = 50e6
"""Bytes of source files that one process reads and writes in a second, roughly: whether other processes pay."""


def ingest(
    sources: Sequence[str | Path],
    out: Path,
    *,
    kind: str = "auto",
    mapping: Path | None = None,
    missing: str = "error",
    traces: Sequence[str] = (DFF,),
    expect_one: bool = False,
    update: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Read recordings into a store, each block by block.

    Other processes read recordings and write them aside; this one alone commits them, one after another. What is in
    the store at the end does not depend on their number.

    Parameters
    ----------
    sources : sequence of str or Path
        Files or folders; or URLs, where the kind of source can be read from one.
    out : Path
        The store; made when it is not there, else added to. A recording that is there already is left as it is.
    kind : str
        ``"auto"``, or one of `poyodata.sources.KINDS`.
    mapping : Path, optional
        Mapping YAML, for the sources that take one.
    missing : {"error", "keep", "drop"}
        What to do with NaN in dF/F: refuse the recording, keep them as missing, or leave out the neurons.
    traces : sequence of str
        Traces to store, of `poyodata.vocabulary.TRACES`; dF/F always is. ``("all",)`` stores what each recording has.
    expect_one : bool
        Refuse sources that hold more than one recording, before anything is written.
    update : bool
        Replace a recording that is there with other content, which is refused otherwise, and one that is damaged. Its
        stored traces are kept: they are read again beside those that are asked for.
    workers : int, optional
        Local processes, each with one recording in hand. By default as many as cores where there is half a
        gigabyte to read or more, else none but this one: starting others takes longer than they save.
    scheduler : str, optional
        Address of a dask.distributed scheduler to be used instead; its workers must see sources and store at the same
        paths.

    Returns
    -------
    DataFrame
        One row a recording, in the order of the sources: ``session_id, n_frames, n_neurons, status``.

    Raises
    ------
    UsageError
        When nothing is found, several recordings where one is expected, unknown traces are asked for, or workers and a
        scheduler at once.
    SourceError
        When a file cannot be read or does not have the traces. Recordings finished before it stay in the store; a store
        that this call made and that has none yet is removed.
    StoreError
        When the store cannot be written, or takes a recording not as it is.
    WorkerError
        When a worker was killed, or the cluster does not answer. Recordings finished before stay in the store.
    """
    check_workers(workers, scheduler)
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
    out = written_folder(out)
    is_new = not out.exists()
    with StoreWriter(out) as writer:
        try:
            added = _add_all(writer, found, missing, traces, update, workers, scheduler)
        except BaseException:
            # While the lock is still held, so that no other writer can have put a recording in.
            if is_new and len(writer.sessions) == 0:
                shutil.rmtree(out, ignore_errors=True)  # a cluster's worker may still write there
            raise
    columns = ["session_id", "n_frames", "n_neurons", "status"]
    return pd.DataFrame([[getattr(one, name) for name in columns] for one in added], columns=columns)


def _add_all(
    writer: StoreWriter,
    found: Sequence[SourceFile],
    missing: str,
    traces: Sequence[str],
    update: bool,
    workers: int | None,
    scheduler: str | None,
) -> list[AddedSession]:
    work_s = sum(map(_size_bytes, found)) / BYTES_PER_S
    alone = scheduler is None and count_workers(len(found), workers, work_s) == 1
    paths = writer.paths
    if not alone:  # other processes may stand elsewhere
        found, paths = [_absolute(entry) for entry in found], Paths(paths.root.absolute())
    # Those whose files are damaged an update writes anew.
    damaged = frozenset(writer.known_stimuli) - frozenset(writer.intact_stimuli) if update else frozenset[str]()
    write = partial(_write, paths, missing, tuple(traces), update, damaged)
    added: dict[int, AddedSession] = {}
    # Movies are large: where the first recording brings some, the others begin when the store has them.
    first = 0 if alone or found[0].open().templates.keys() <= writer.known_stimuli.keys() else 1
    with stage("reading recordings into the store", len(found), "recordings") as advance:

        def commit(index: int, written: Written) -> None:
            added[index] = writer.commit(written, replace=update)
            advance(1)

        def commit_rest(index: int, written: Written) -> None:
            commit(index + first, written)

        try:
            run(write, found[:first], commit, workers=workers, scheduler=scheduler, name=_name)
            run(write, found[first:], commit_rest, workers=workers, scheduler=scheduler, work_s=work_s, name=_name)
        finally:
            _remove_unfinished(paths)
    return [added[index] for index in range(len(found))]


def _write(
    paths: Paths, missing: str, traces: tuple[str, ...], update: bool, damaged: frozenset[str], entry: SourceFile
) -> Written:
    """Write one recording aside, in whatever process; only digest one that is in the store and will stay as it is."""
    if not paths.table("sessions").exists():
        raise StoreError(
            f"this worker does not see the store {paths.root}; the workers of a cluster must see sources and store at "
            "the same paths as the process that commits: put both on a shared disk."
        )
    record = entry.open()
    chosen = (DFF, *record.further) if ALL_TRACES in traces else traces
    committed = read_committed(paths)  # now: others may have brought templates since the ingest began
    if update:
        chosen = kept_traces(paths, committed, record, chosen)
    return write_aside(
        paths,
        record,
        missing,
        chosen,
        {name: template.digest for name, template in committed.stimuli.items() if name not in damaged},
        write=update or record.metadata.session_id not in committed.generations,
    )


def _remove_unfinished(paths: Paths) -> None:
    """Remove what workers wrote aside that nobody will commit: of a failed ingest, or of a worker that was killed."""
    for folder in paths.root.glob(f"{TEMPORARY}*"):
        shutil.rmtree(folder, ignore_errors=True)  # what a cluster's worker still writes the next writer collects


def _name(entry: SourceFile) -> str:
    return str(entry.path)


def _absolute(entry: SourceFile) -> SourceFile:
    return replace(entry, path=entry.path.absolute()) if isinstance(entry.path, Path) else entry


def _size_bytes(entry: SourceFile) -> int:
    """Bytes of a recording's files; 0 where they are behind a URL."""
    if not isinstance(entry.path, Path):
        return 0
    files = entry.path.rglob("*") if entry.path.is_dir() else [entry.path]
    return sum(file.stat().st_size for file in files if file.is_file())
