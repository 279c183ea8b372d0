"""The one writer of a store: a recording is there whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pandas as pd

from poyodata.errors import StoreError, UsageError, nearest
from poyodata.store.commit import (
    WriterLock,
    read_sessions,
    read_table,
    replace_json,
    replace_sessions,
    replace_table,
    sync,
    sync_tree,
)
from poyodata.store.layout import (
    FORMAT,
    FORMAT_VERSION,
    TEMPORARY,
    Paths,
    check_format,
    group_json,
)
from poyodata.store.missing import MISSING
from poyodata.store.protocol import Record
from poyodata.store.session import SessionContent, prepare
from poyodata.store.tables import FLAT_TABLES, append_rows, conform, empty_table
from poyodata.store.templates import require_same_template, write_template
from poyodata.vocabulary import DFF


@dataclass(frozen=True)
class AddedSession:
    """What became of one recording.

    Attributes
    ----------
    session_id : str
    n_frames : int
    n_neurons : int
        Stored ones.
    n_dropped : int
        Left out for missing values.
    status : {"added", "unchanged"}
        ``"unchanged"`` when exactly this content was there before.
    """

    session_id: str
    n_frames: int
    n_neurons: int
    n_dropped: int
    status: Literal["added", "unchanged"]


class StoreWriter:
    """Create a store, or open one to add recordings.

    Parameters
    ----------
    path : path-like
        Folder of the store; made where it is missing.

    Raises
    ------
    StoreError
        When the folder holds something else, a store of another format version, or a store that is being written.

    Examples
    --------
    >>> import tempfile
    >>> from poyodata.store import open_store
    >>> path = Path(tempfile.mkdtemp()) / "new.zarr"
    >>> with StoreWriter(path) as writer:
    ...     len(writer.sessions)
    0
    >>> len(open_store(path))
    0
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._paths = Paths(self.path)
        self._create_root()
        check_format(self.path)
        self._lock = WriterLock(self._paths.lock)
        try:
            self._create_folders()
            self._sessions, self._stimuli = read_sessions(self._paths)
            if not self._paths.table("sessions").exists():
                replace_sessions(self._paths, self._sessions, self._stimuli)
            self._collect_garbage()
            self._tables = {name: self._committed_rows(name) for name in FLAT_TABLES}
        except BaseException:
            self.close()
            raise

    @property
    def sessions(self) -> pd.DataFrame:
        """Table of the recordings committed so far; an ingest may skip those whose ``source_digest`` it knows."""
        return self._sessions.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the next writer in; may be called twice."""
        self._lock.release()

    def add(self, record: Record, missing: str = "error", traces: Sequence[str] = (DFF,)) -> AddedSession:
        """Write one recording and commit it.

        Parameters
        ----------
        record : Record
            Traces are read in blocks of 1,024 frames, once (twice with ``missing="drop"``).
        missing : {"error", "keep", "drop"}
            What to do about NaN or infinite values in dF/F: refuse the recording, store them as NaN, or leave out the
            neurons that have any, here and in all other traces. In the other traces they are stored as NaN.
        traces : sequence of str
            Traces to store: dF/F, which is always stored, and any of the record's further ones.

        Returns
        -------
        AddedSession

        Raises
        ------
        SourceError
            When the recording does not have the traces, or they cannot be read.
        StoreError
            When values are missing and may not be, the recording is there already with other content or without some of
            the traces, or a stimulus template differs from the one stored under its name. The store is as it was.
        """
        if missing not in MISSING:
            raise UsageError(f"missing={missing!r} is unknown: {nearest(str(missing), MISSING)}")
        if self._lock.released:
            raise UsageError(f"this writer of {self.path} is closed; open another StoreWriter to add recordings.")
        content = prepare(record, missing, traces)
        if content.session_id in set(self._sessions["session_id"]):
            self._require_identical(content, missing)
            return self._result(content, "unchanged")
        self._require_new_neurons(content)
        temporary: list[Path] = []
        try:
            folder = self._paths.sessions / f"{TEMPORARY}{content.session_id}"
            temporary.append(folder)
            _remove(folder)
            blocks = content.write(folder, missing)
            templates = self._write_templates(content, temporary)
            self._commit(content, blocks, templates)
        finally:
            for folder in temporary:
                _remove(folder)
        return self._result(content, "added")

    def _commit(self, content: SessionContent, blocks: dict[str, list[str]], templates: dict[str, str]) -> None:
        """Put everything in place; the last replacement, of ``sessions.parquet``, makes the recording exist."""
        session_id = content.session_id
        rows = {
            **content.tables,
            "blocks": pd.concat(
                [
                    pd.DataFrame({"session_id": session_id, "traces": name, "block": range(len(own)), "digest": own})
                    for name, own in blocks.items()
                ]
            ),
            "parts": pd.DataFrame(
                {"session_id": session_id, "part": list(content.parts), "digest": list(content.parts.values())}
            ),
        }
        # Whatever can be refused is refused before anything gets its final name.
        tables = {name: append_rows(self._tables[name], conform(rows[name], name), name) for name in FLAT_TABLES}
        sessions = append_rows(self._sessions, content.session_row(content.digest(blocks)), "sessions")
        for name in templates:
            self._put_folder(self._paths.stimuli / f"{TEMPORARY}{name}", self._paths.stimuli / name)
        self._put_folder(self._paths.sessions / f"{TEMPORARY}{session_id}", self._paths.session(session_id))
        replace_table(self._paths.presentations(session_id), content.tables["presentations"])
        for name, table in tables.items():
            replace_table(self._paths.table(name), table)
        stimuli = self._stimuli | templates
        replace_sessions(self._paths, sessions, stimuli)
        self._sessions, self._stimuli, self._tables = sessions, stimuli, tables

    def _require_identical(self, content: SessionContent, missing: str) -> None:
        """Raise when a recording of this name is stored with other content."""
        session_id = content.session_id
        rows = self._tables["parts"]
        rows = rows[rows["session_id"] == session_id]
        stored = dict(zip(rows["part"].tolist(), rows["digest"].tolist(), strict=True))
        differs = sorted(
            name for name in stored.keys() | content.parts.keys() if stored.get(name) != content.parts.get(name)
        )
        blocks = self._tables["blocks"]
        known = blocks[blocks["session_id"] == session_id].groupby("traces")["digest"].agg(list).to_dict()
        absent = [name for name in content.traces if name not in known]
        if not differs and not absent:
            differs = [
                "traces" if name == DFF else f"traces {name}"
                for name in content.traces
                if content.digest_traces(name, missing) != known[name]
            ]
        for name in content.record.templates.keys() & self._stimuli.keys():
            require_same_template(content.record, name, self._stimuli[name])
        if absent and not differs:
            raise StoreError(
                f"recording {session_id!r} is in the store already, without the traces {', '.join(absent)}; a store "
                "never changes a recording: ingest it with these traces into a new store."
            )
        if differs:
            raise StoreError(
                f"recording {session_id!r} is in the store already, with other content ({', '.join(differs)}); a store "
                "never changes a recording: give this one another session_id, or ingest into a new store."
            )

    def _require_new_neurons(self, content: SessionContent) -> None:
        """Raise when a neuron of another recording bears the same id: everything is joined on it."""
        stored = self._tables["neurons"]
        twice = stored[stored["neuron_id"].isin(content.tables["neurons"]["neuron_id"])]
        if len(twice):
            raise StoreError(
                f"recording {content.session_id!r}: neuron {twice['neuron_id'].iloc[0]!r} is in the store already, of "
                f"recording {twice['session_id'].iloc[0]!r}; a neuron is one trace of one recording: put the "
                "session_id into its neuron_id."
            )

    def _write_templates(self, content: SessionContent, temporary: list[Path]) -> dict[str, str]:
        """Write the templates that the store does not have yet under temporary names; returns their digests."""
        new: dict[str, str] = {}
        for name in content.record.templates:
            if name in self._stimuli:
                require_same_template(content.record, name, self._stimuli[name])
                continue
            folder = self._paths.stimuli / f"{TEMPORARY}{name}"
            temporary.append(folder)
            _remove(folder)
            new[name] = write_template(folder, content.record, name)
        return new

    def _result(self, content: SessionContent, status: Literal["added", "unchanged"]) -> AddedSession:
        n_frames, n_neurons = content.shape
        n_dropped = len(content.record.neurons) - n_neurons
        return AddedSession(content.session_id, n_frames, n_neurons, n_dropped, status)

    def _create_root(self) -> None:
        """Make the folder a store when it is missing, empty, or was left half made."""
        if (self.path / "zarr.json").exists():
            return
        if self.path.exists() and (
            not self.path.is_dir() or any(not child.name.startswith(TEMPORARY) for child in self.path.iterdir())
        ):
            raise StoreError(f"{self.path} holds something else than a store; choose a new or an empty folder.")
        replace_json(self.path / "zarr.json", group_json({"format": FORMAT, "format_version": FORMAT_VERSION}))

    def _create_folders(self) -> None:
        for folder in (self._paths.sessions, self._paths.stimuli, self._paths.tables, self._paths.statistics):
            if not (folder / "zarr.json").exists():
                replace_json(folder / "zarr.json", group_json())

    def _collect_garbage(self) -> None:
        """Remove what an earlier writer left unfinished: folders and files which no committed recording names."""
        committed = set(self._sessions["session_id"])
        for parent, known in (
            (self._paths.sessions, committed),
            (self._paths.stimuli, set(self._stimuli)),
            (self._paths.tables / "presentations", {f"{session_id}.parquet" for session_id in committed}),
        ):
            for child in list(parent.iterdir()) if parent.is_dir() else []:
                if child.name not in known | {"zarr.json"}:
                    _remove(child)
        for parent in (self.path, self._paths.tables):
            for child in parent.glob(f"{TEMPORARY}*"):
                _remove(child)

    def _committed_rows(self, name: str) -> pd.DataFrame:
        path = self._paths.table(name)
        if len(self._sessions) == 0:
            return empty_table(name)
        table = conform(read_table(path)[0], name)
        return table[table["session_id"].isin(self._sessions["session_id"])].reset_index(drop=True)

    @staticmethod
    def _put_folder(temporary: Path, target: Path) -> None:
        sync_tree(temporary)
        _remove(target)  # left by a commit that failed in this process
        os.rename(temporary, target)  # noqa: PTH104 - as everywhere in the store
        sync(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
