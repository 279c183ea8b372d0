"""The commit point: sealed tables, the table of sessions that says what exists, and the writer's lock."""

from __future__ import annotations

import io
import json
import os
import socket
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pandas as pd

from poyodata.digests import json_digest
from poyodata.errors import StoreError
from poyodata.store.disk import replace_file
from poyodata.store.layout import FORMAT_VERSION, OLDEST_VERSION, Paths, require_version, root_version
from poyodata.store.seal import BLANK_SEAL, SEAL_KEY, has_seal, is_intact, seal
from poyodata.store.tables import FLAT_TABLES, GENERATION, conform, empty_table

_METADATA_KEY = b"poyodata"
_LARGE_BYTES = 2**20


def table_bytes(table: pd.DataFrame, metadata: Mapping[str, Any] | None = None) -> bytes:
    """A sealed Parquet file; `metadata` goes into its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    own = {_METADATA_KEY: json.dumps(metadata).encode()} if metadata is not None else {}
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, **own, SEAL_KEY: BLANK_SEAL})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd")
    return seal(buffer.getvalue())


def replace_table(path: Path, table: pd.DataFrame, metadata: Mapping[str, Any] | None = None) -> None:
    """Put a sealed Parquet table in place atomically; `metadata` goes into the file's schema."""
    replace_file(path, table_bytes(table, metadata))


class Readable(Protocol):
    """A path, or what else gives the bytes of a file: that of a remote store may have to be fetched first."""

    def read_bytes(self) -> bytes:
        """All of them."""


def read_table(path: Readable, columns: Sequence[str] | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a Parquet table, or some columns of it, and the metadata that `replace_table` gave it.

    Raises
    ------
    StoreError
        When the file is missing or damaged.
    """
    with lean_memory():
        arrow = read_arrow(path, columns=columns)
        metadata = table_metadata(arrow)
        return _to_pandas(arrow), metadata


def table_metadata(arrow: Any) -> dict[str, Any]:
    """Metadata that `table_bytes` put into a table's schema."""
    metadata: dict[str, Any] = json.loads((arrow.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    return metadata


def read_tables(paths: Sequence[Readable], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read Parquet tables, or some columns, and join them in the order given; cheaper than joining many DataFrames.

    Raises
    ------
    StoreError
        When a file is missing or damaged.
    """
    import pyarrow as pa

    with lean_memory():
        tables = (read_arrow(path, columns=columns) for path in paths)
        return _to_pandas(pa.concat_tables(tables, promote_options="permissive"))


def _to_pandas(arrow: Any) -> pd.DataFrame:
    """Column by column, each given back before the next: all of them twice would be too much. Uses the table up."""
    table: pd.DataFrame = arrow.to_pandas(split_blocks=True, self_destruct=True)
    return table


@contextmanager
def lean_memory() -> Iterator[None]:
    """Let pyarrow take what it allocates meanwhile from the system.

    Its own allocator keeps what it was given, nearly twice the size of the tables of many recordings. The choice is one
    of the whole process; another thread that reads at the same time allocates as well either way.
    """
    import pyarrow as pa

    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def read_arrow(path: Readable, *, sealed: bool = True, columns: Sequence[str] | None = None) -> Any:
    """Read a Parquet table, or some columns of it, as a pyarrow Table, and see that its seal is unbroken.

    Raises
    ------
    StoreError
        When the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(_damaged(path, error)) from error
    return parse_table(content, path, sealed=sealed, columns=columns)


def parse_table(content: bytes, path: object, *, sealed: bool = True, columns: Sequence[str] | None = None) -> Any:
    """Take the bytes of a Parquet table, wherever they were read, as a pyarrow Table.

    Raises
    ------
    StoreError
        When they are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sealed and not is_intact(content):
        raise StoreError(_damaged(path, "its seal is broken" if has_seal(content) else "it bears no seal"))
    try:
        # Threads cost more than they save on the many small files.
        file = pq.ParquetFile(pa.BufferReader(content))
        wanted = None if columns is None else list(columns)
        return file.read(columns=wanted, use_threads=len(content) > _LARGE_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(_damaged(path, error)) from error


def _damaged(path: object, reason: object) -> str:
    return (
        f"the table {path} cannot be read ({reason}); the store is damaged: restore it from a copy, or "
        "ingest the recordings again into a new store."
    )


@dataclass(frozen=True)
class Template:
    """One stimulus template that exists.

    Attributes
    ----------
    digest : str
    generation : int
        Part of the names of its files.
    """

    digest: str
    generation: int = 0


@dataclass(frozen=True)
class Annotation:
    """Labels of a user that are joined to the neurons.

    Attributes
    ----------
    digest : str
        Over their table.
    on : {"neuron_id", "cell_specimen_id"}
        What a row is of.
    columns : tuple of str
    """

    digest: str
    on: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Committed:
    """What exists in a store: the content of ``sessions.parquet``.

    Attributes
    ----------
    sessions : DataFrame
        One row a recording, sorted by session_id.
    stimuli : dict of str to Template
    retired : dict of str to dict of str to int
        ``sessions`` and ``stimuli`` that are no more, with their last generation: it is never used again, so that no
        reader takes what comes later under that name for what it knows.
    annotations : dict of str to Annotation
    number : int
        How many commits of recordings there were. Flat tables bear that of the commit they were written for.
    lineage : dict or None
        What the store was made from, where whoever made it said so. The store does not know what it means.
    """

    sessions: pd.DataFrame
    stimuli: Mapping[str, Template] = field(default_factory=dict)
    retired: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {"sessions": {}, "stimuli": {}})
    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    number: int = 0
    lineage: Mapping[str, Any] | None = None

    @cached_property
    def generations(self) -> dict[str, int]:
        """Generation of every recording."""
        return dict(zip(self.sessions["session_id"].tolist(), self.sessions[GENERATION].tolist(), strict=True))

    def next_generation(self, kind: str, name: str) -> int:
        """Generation of what comes next under a name of a recording or a stimulus (``sessions``, ``stimuli``)."""
        if kind == "sessions":
            last = self.generations.get(name)
        else:
            last = self.stimuli[name].generation if name in self.stimuli else None
        last = self.retired[kind].get(name) if last is None else last
        return 0 if last is None else last + 1

    def users(self, stimulus: str) -> list[str]:
        """Recordings that brought the template of a stimulus."""
        brought = [stimulus in str(names).split() for names in self.sessions["templates"]]
        return self.sessions.loc[brought, "session_id"].tolist()


def read_committed(paths: Paths) -> Committed:
    """Read the commit point.

    Raises
    ------
    StoreError
        When the table is damaged, missing although there are recordings, or of another format version.
    """
    table = paths.table("sessions")
    root = root_version(paths.root) or FORMAT_VERSION
    if not OLDEST_VERSION <= root <= FORMAT_VERSION:  # the top folder follows the table of sessions
        require_version(paths.root, root)
    if not table.exists():
        if paths.sessions.is_dir() and any(child.is_dir() for child in paths.sessions.iterdir()):
            # Not an empty store: the next writer would collect every recording as garbage.
            raise StoreError(
                f"{table} is missing although there are recordings; restore it from a copy, or ingest the recordings "
                "again into a new store."
            )
        require_version(paths.root, root)
        return Committed(empty_table("sessions"))
    try:
        content = table.read_bytes()
    except OSError as error:
        raise StoreError(_damaged(table, error)) from error
    return parse_committed(content, paths.root)


def parse_committed(content: bytes, root: Path | str) -> Committed:
    """Take the bytes of ``sessions.parquet``, wherever they were read.

    Raises
    ------
    StoreError
        When they are damaged or of another format version.
    """
    table = f"{root}/tables/sessions.parquet"
    if not has_seal(content):  # older formats had none
        require_version(root, _unsealed_version(content, table))
    with lean_memory():
        arrow = parse_table(content, table)
        metadata = table_metadata(arrow)
        require_version(root, int(metadata.get("format_version", 0)))
        sessions = conform(_to_pandas(arrow), "sessions")
    stimuli = {name: Template(**known) for name, known in metadata["stimuli"].items()}
    annotations = {
        name: Annotation(known["digest"], known["on"], tuple(known["columns"]))
        for name, known in metadata.get("annotations", {}).items()
    }
    return Committed(
        sessions, stimuli, metadata["retired"], annotations, metadata.get("commit", 0), metadata.get("lineage")
    )


def _unsealed_version(content: bytes, table: str) -> int:
    version = table_metadata(parse_table(content, table, sealed=False)).get("format_version")
    return version if isinstance(version, int) else FORMAT_VERSION


def committed_digest(committed: Committed) -> str:
    """Digest of everything recorded, independent of the order in which recordings were added."""
    return json_digest(
        {
            "format_version": FORMAT_VERSION,
            "sessions": sorted(committed.sessions["digest"].tolist()),
            "stimuli": {name: template.digest for name, template in committed.stimuli.items()},
        }
    )


def committed_bytes(committed: Committed) -> bytes:
    """Content of ``sessions.parquet``."""
    stimuli = {name: vars(template) for name, template in sorted(committed.stimuli.items())}
    annotations = {name: vars(known) for name, known in sorted(committed.annotations.items())}
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "stimuli": stimuli,
        "retired": committed.retired,
        "annotations": annotations,
        "commit": committed.number,
    }
    if committed.lineage is not None:
        metadata["lineage"] = committed.lineage
    return table_bytes(committed.sessions, metadata)


def replace_committed(paths: Paths, committed: Committed) -> None:
    """Commit: from this replacement on, exactly what `committed` names exists."""
    replace_file(paths.table("sessions"), committed_bytes(committed))


def is_older(paths: Paths, committed: Committed) -> bool:
    """Whether the table of sessions is of before what a flat table beside it tells of; a crash costs one commit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in map(paths.table, FLAT_TABLES):
        with suppress(OSError, ValueError, pa.ArrowException):  # damage is said where the table is read
            known = json.loads((pq.read_schema(path).metadata or {}).get(_METADATA_KEY, b"{}"))
            if known.get("commit", 0) > committed.number + 1:
                return True
    return False


def require_newest(paths: Paths, committed: Committed) -> None:
    """Raise where an older table of sessions was put back: a writer would remove the recordings that came after it."""
    if is_older(paths, committed):
        raise StoreError(
            f"{paths.table('sessions')} is older than the tables beside it, and recordings may lie there that it does "
            "not name, which writing would remove; restore the whole store from one copy, or ingest into a new store."
        )


class WriterLock:
    """The right to write to a store: one process at a time, released by the system when its holder dies.

    Raises
    ------
    StoreError
        When another writer holds it.
    """

    _held: ClassVar[weakref.WeakSet[WriterLock]] = weakref.WeakSet()

    def __init__(self, path: Path) -> None:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._handle, 200, 0).decode(errors="replace").strip() or "another process"
            self._close()
            raise StoreError(
                f"the store {path.parent.parent} is being written by {owner}; a store takes one writer at a time: wait "
                "until that one has ended."
            ) from error
        self._held.add(self)
        self._say(f"process {os.getpid()} on {socket.gethostname()}\n")

    @property
    def released(self) -> bool:
        """Whether the right was given back."""
        return self._handle is None

    def require_held(self) -> None:
        """Raise where the file of the lock was removed or replaced, which lets another writer in beside this one.

        Raises
        ------
        StoreError
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116 - beside os.fstat
        except FileNotFoundError:
            found = None
        if found is None or self._handle is None or not os.path.samestat(found, os.fstat(self._handle)):
            raise StoreError(
                f"{self._path} was removed while this process wrote, so that another may be writing to the store; "
                "nothing was changed. Leave that file alone, wait until every writer has ended and run the same again."
            )

    def release(self) -> None:
        """Give the right back; may be called twice."""
        self._say("")
        self._close()

    def _say(self, owner: str) -> None:
        """Write who holds the lock; a full disk hinders nobody, since it is the system that keeps the lock."""
        with suppress(OSError):
            if self._handle is not None:
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, owner.encode(), 0)

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @classmethod
    def forget(cls) -> None:
        """Drop every lock without giving it back: a forked child must not keep its parent's alive after a crash."""
        for lock in list(cls._held):
            lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WriterLock.forget)
