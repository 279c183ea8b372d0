"""The first part of writing: a recording whole, in a temporary folder of the store, by any process and without a lock.

::

    .tmp-<token>/
      session/                   what becomes sessions/<recording>
      presentations.parquet      what becomes tables/presentations/<recording>.parquet
      digests.parquet            what becomes tables/digests/<recording>.parquet
      stimuli/<name>/            what becomes stimuli/<name>, only for templates that the store does not have
      stimulus_digests/<name>.parquet

`StoreWriter.commit` renames these into place. A folder that nobody commits is collected by the next writer.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from poyodata.errors import SourceError, StoreError, UsageError, nearest
from poyodata.store.commit import Committed, read_table, table_bytes
from poyodata.store.disk import disk_errors, file_digest, move, remove, sync_tree
from poyodata.store.group import MASK_PX, MAX_PROJECTION
from poyodata.store.layout import TEMPORARY, Paths
from poyodata.store.missing import MISSING
from poyodata.store.protocol import Record
from poyodata.store.session import prepare
from poyodata.store.shard import WrittenShard, array_shape, shard_file
from poyodata.store.tables import conform, split_digests
from poyodata.store.templates import FRAMES, digest_template, write_template
from poyodata.vocabulary import DFF


@dataclass(frozen=True)
class Aside:
    """Where everything of one recording lies until it is committed."""

    folder: Path

    @property
    def session(self) -> Path:
        """Zarr group of the recording."""
        return self.folder / "session"

    @property
    def presentations(self) -> Path:
        """Its presentations."""
        return self.folder / "presentations.parquet"

    @property
    def digests(self) -> Path:
        """Its digests."""
        return self.folder / "digests.parquet"

    def stimulus(self, name: str) -> Path:
        """Zarr group of one template."""
        return self.folder / "stimuli" / name

    def stimulus_digests(self, name: str) -> Path:
        """Digests of one template."""
        return self.folder / "stimulus_digests" / f"{name}.parquet"


@dataclass(frozen=True)
class Written:
    """A recording that was written aside, or only digested: what a commit needs to know of it. Can be pickled.

    Attributes
    ----------
    session_id : str
    row : DataFrame
        Its row of the table of sessions, with its digest and yet without its generation.
    tables : dict of str to DataFrame
        Its rows of the flat tables.
    blocks : dict of str to list of str
        Digest of every block of its traces, by traces.
    parts : dict of str to str
        Digest of every other part.
    templates : dict of str to str
        Digest of every template that it brings.
    n_dropped : int
        Neurons left out for missing values.
    folder : Path or None
        Temporary folder; None when the recording was only digested.
    complete : bool
        Whether its dF/F was written without a missing value.
    """

    session_id: str
    row: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    blocks: Mapping[str, Sequence[str]]
    parts: Mapping[str, str]
    templates: Mapping[str, str] = field(default_factory=dict)
    n_dropped: int = 0
    folder: Path | None = None
    complete: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and stored neurons."""
        return int(self.row["n_frames"].iloc[0]), int(self.row["n_neurons"].iloc[0])

    @property
    def digest(self) -> str:
        """Digest of the whole recording."""
        return str(self.row["digest"].iloc[0])

    def has_all_of(self, other: Written) -> bool:
        """Whether this one is the other, perhaps with more traces."""
        return (
            self.parts == other.parts
            and self.templates == other.templates
            and all(list(self.blocks.get(name, ())) == list(own) for name, own in other.blocks.items())
        )

    def has_template(self, name: str) -> bool:
        """Whether a template was written with it."""
        return self.folder is not None and Aside(self.folder).stimulus(name).exists()

    def take_templates(self, other: Written) -> None:
        """Take over the templates that were written with one that this one is put in the place of."""
        for name in self.templates:
            if self.folder is not None and other.folder is not None and other.has_template(name):
                own, given = Aside(self.folder), Aside(other.folder)
                move(given.stimulus(name), own.stimulus(name))
                move(given.stimulus_digests(name), own.stimulus_digests(name))

    def put_in_place(self, paths: Paths, before: Committed, after: Committed) -> None:
        """Give everything that was written its final name, under which the commit `after` will name it.

        Raises
        ------
        UsageError
            When it was digested alone.
        """
        if self.folder is None:
            raise UsageError(f"recording {self.session_id!r} was digested, not written; write it aside first.")
        aside, name = Aside(self.folder), self.session_id
        generation = after.generations[name]
        for stimulus in self.templates:
            template = after.stimuli[stimulus]
            if before.stimuli.get(stimulus) != template and aside.stimulus(stimulus).exists():
                move(aside.stimulus(stimulus), paths.stimulus(stimulus, template.generation))
                move(aside.stimulus_digests(stimulus), paths.stimulus_digests(stimulus, template.generation))
        move(aside.session, paths.session(name, generation))
        move(aside.presentations, paths.presentations(name, generation))
        move(aside.digests, paths.digests(name, generation))

    def discard(self) -> None:
        """Remove what was written; may be called twice."""
        if self.folder is not None:
            remove(self.folder)


def new_aside(paths: Paths) -> Aside:
    """A temporary folder of a name that no other process has."""
    return Aside(paths.root / f"{TEMPORARY}{uuid.uuid4().hex[:16]}")


def kept_traces(paths: Paths, committed: Committed, record: Record, traces: Sequence[str]) -> tuple[str, ...]:
    """The traces to write for an update: those that are asked for, and those that are stored of the recording already.

    Raises
    ------
    SourceError
        When the record lacks one that is stored.
    """
    session_id = str(record.metadata.session_id)
    if session_id not in committed.generations:
        return tuple(traces)
    stored = stored_traces(paths, committed, session_id)
    lacking = [name for name in stored if name != DFF and name not in record.further]
    if lacking:
        raise SourceError(lost_traces(session_id, lacking))
    return tuple(dict.fromkeys([*traces, *stored]))


def lost_traces(session_id: str, lacking: Sequence[str]) -> str:
    """What to say where an update would lose traces."""
    return (
        f"recording {session_id!r} is stored with the traces {', '.join(lacking)}, which the new one does not have, "
        "and an update keeps what is stored; to go without them, take the recording out first (poyodata remove), then "
        "ingest it."
    )


def stored_traces(paths: Paths, committed: Committed, session_id: str) -> list[str]:
    """Names of the traces that are stored of a recording, also where the table of its digests is damaged."""
    generation = committed.generations[session_id]
    try:
        return list(split_digests(conform(read_table(paths.digests(session_id, generation))[0], "digests"))[0])
    except StoreError:
        folder = paths.session(session_id, generation)
        arrays = {path.parent.name: array_shape(path.parent) for path in folder.glob("*/zarr.json")}
        row = committed.sessions[committed.sessions["session_id"] == session_id]
        shape = tuple(row[["n_frames", "n_neurons"]].iloc[0].tolist())
        return sorted(name for name, own in arrays.items() if own == shape and name not in (MASK_PX, MAX_PROJECTION))


def write_aside(
    paths: Paths,
    record: Record,
    missing: str = "error",
    traces: Sequence[str] = (DFF,),
    known_stimuli: Mapping[str, str] | None = None,
    *,
    write: bool = True,
) -> Written:
    """Write one recording beside those of a store, or digest it without writing.

    Needs no lock, and can run in another process, while a `StoreWriter` of the store is open somewhere.

    Parameters
    ----------
    paths : Paths
        Of the store.
    record : Record
        Traces are read in blocks of 1,024 frames, once (twice with ``missing="drop"``).
    missing : {"error", "keep", "drop"}
    traces : sequence of str
        See `poyodata.store.StoreWriter.add`.
    known_stimuli : mapping of str to str, optional
        Templates that the store has, with their digests: those need not be written again.
    write : bool
        False to digest only, which is all that is needed to see that a recording is in the store already.

    Returns
    -------
    Written
        To be given to `StoreWriter.commit`, or discarded.

    Raises
    ------
    UsageError
        When `missing` is unknown.
    SourceError
        When the recording does not have the traces, or they cannot be read.
    StoreError
        When values are missing and may not be, or the disk is full or read-only. Nothing is left behind.
    """
    if missing not in MISSING:
        raise UsageError(f"missing={missing!r} is unknown: {nearest(str(missing), MISSING)}")
    content = prepare(record, missing, traces)
    aside = new_aside(paths)
    try:
        with disk_errors(paths.root):
            if write:
                shards = content.write(aside.session, missing)
                blocks = {name: shard.blocks for name, shard in shards.items()}
                complete = shards[DFF].complete
                _write_digests(aside.digests, aside.session, shards, content.parts)
                _write_table(aside.presentations, content.tables["presentations"])
            else:
                blocks = {name: content.digest_traces(name, missing) for name in content.traces}
                complete = False
            templates = {
                name: _template(aside, record, name, (known_stimuli or {}).get(name), write)
                for name in record.templates
            }
            if write:
                sync_tree(aside.folder)
    except BaseException:
        remove(aside.folder)
        raise
    return Written(
        session_id=content.session_id,
        row=content.session_row.assign(digest=content.digest(blocks)).astype({"digest": "str"}),
        tables={name: table for name, table in content.tables.items() if name != "presentations"},
        blocks=blocks,
        parts=content.parts,
        templates=templates,
        n_dropped=len(record.neurons) - content.shape[1],
        folder=aside.folder if write else None,
        complete=complete,
    )


def _template(aside: Aside, record: Record, name: str, known: str | None, write: bool) -> str:
    """Digest of a template, which is written unless the store has exactly this one."""
    digest = digest_template(record, name) if known is not None or not write else None
    if digest is not None and (digest == known or not write):
        return digest
    digest, shard = write_template(aside.stimulus(name), record, name)
    _write_digests(aside.stimulus_digests(name), aside.stimulus(name), {FRAMES: shard}, {})
    return digest


def _write_digests(path: Path, folder: Path, shards: Mapping[str, WrittenShard], parts: Mapping[str, str]) -> None:
    """Write the table of the digests of a Zarr group."""
    known = {}
    for name, shard in shards.items():
        n_dimensions = 3 if name == FRAMES else 2
        known[shard_file(folder / name, n_dimensions)] = shard.file
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            files[file.relative_to(folder).as_posix()] = known.get(file) or file_digest(file)
    _write_table(path, digest_table({name: shard.blocks for name, shard in shards.items()}, parts, files))


def digest_table(
    blocks: Mapping[str, Sequence[str]], parts: Mapping[str, str], files: Mapping[str, str]
) -> pd.DataFrame:
    """The table ``digests`` of one recording or template.

    Examples
    --------
    >>> digest_table({"dff": ["9f"]}, {"time": "07"}, {"zarr.json": "a1"}).to_numpy().tolist()
    [['block', 'dff', 0, '9f'], ['part', 'time', -1, '07'], ['file', 'zarr.json', -1, 'a1']]
    """
    rows = [("block", name, block, digest) for name, own in blocks.items() for block, digest in enumerate(own)]
    rows += [("part", name, -1, digest) for name, digest in parts.items()]
    rows += [("file", name, -1, digest) for name, digest in files.items()]
    return conform(pd.DataFrame(rows, columns=["kind", "name", "block", "digest"]), "digests")


def _write_table(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(table_bytes(table))
