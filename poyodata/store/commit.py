"""Files that survive a crash: written whole, forced to disk, put in place atomically; and the writer's lock."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.errors import StoreError
from poyodata.store.layout import FORMAT_VERSION, TEMPORARY, Paths
from poyodata.store.tables import conform, empty_table

_METADATA_KEY = b"poyodata"


def sync(path: Path) -> None:
    """Force one file or folder entry to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Force a folder and everything in it to disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, force it to disk and put it in place; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105 - one name for every step that a crash can fall on
    sync(path.parent)


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put a JSON file in place atomically."""
    replace_file(path, json.dumps(value, indent=2, allow_nan=False).encode())


def replace_table(path: Path, table: pd.DataFrame, metadata: Mapping[str, Any] | None = None) -> None:
    """Put a Parquet table in place atomically; `metadata` goes into the file's schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, _METADATA_KEY: json.dumps(metadata).encode()})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd")
    replace_file(path, buffer.getvalue())


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a Parquet table and the metadata that `replace_table` gave it.

    Raises
    ------
    StoreError
        When the file is missing or damaged.
    """
    arrow = _read_arrow(path)
    return arrow.to_pandas(), json.loads((arrow.schema.metadata or {}).get(_METADATA_KEY, b"{}"))


def read_tables(paths: Sequence[Path]) -> pd.DataFrame:
    """Read Parquet tables and join them in the order given; much cheaper than joining many small DataFrames.

    Raises
    ------
    StoreError
        When a file is missing or damaged.
    """
    import pyarrow as pa

    joined: pd.DataFrame = pa.concat_tables(map(_read_arrow, paths), promote_options="permissive").to_pandas()
    return joined


def _read_arrow(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Opened first: a writer may replace the name while we read.
        with path.open("rb") as file:
            return pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"the table {path} cannot be read ({error}); the store is damaged: restore it from a copy, or "
            "ingest the recordings again into a new store."
        ) from error


def read_sessions(paths: Paths) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read the commit point: the recordings, and the digest of every stimulus template by stimulus.

    Raises
    ------
    StoreError
        When the table is damaged, or missing although there are recordings.
    """
    table = paths.table("sessions")
    if not table.exists():
        if paths.sessions.is_dir() and any(child.is_dir() for child in paths.sessions.iterdir()):
            # Not an empty store: the next writer would collect every recording as garbage.
            raise StoreError(
                f"{table} is missing although there are recordings; restore it from a copy, or ingest the recordings "
                "again into a new store."
            )
        return empty_table("sessions"), {}
    sessions, metadata = read_table(table)
    return conform(sessions, "sessions"), dict(metadata.get("stimuli", {}))


def replace_sessions(paths: Paths, sessions: pd.DataFrame, stimuli: Mapping[str, str]) -> None:
    """Commit: from this replacement on, exactly the recordings in `sessions` exist."""
    replace_table(paths.table("sessions"), sessions, {"format_version": FORMAT_VERSION, "stimuli": dict(stimuli)})


class WriterLock:
    """The right to write to a store: one process at a time, released by the system when its holder dies.

    Raises
    ------
    StoreError
        When another writer holds it.
    """

    def __init__(self, path: Path) -> None:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._handle, 200, 0).decode(errors="replace").strip() or "another process"
            self.release()
            raise StoreError(
                f"the store {path.parent.parent} is being written by {owner}; a store takes one writer at a time: wait "
                "until that one has ended."
            ) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    @property
    def released(self) -> bool:
        """Whether the right was given back."""
        return self._handle is None

    def release(self) -> None:
        """Give the right back; may be called twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
