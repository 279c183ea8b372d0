"""The one writer of a store: a recording is there whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from poyodata.digests import canonical_json
from poyodata.errors import StoreError, UsageError, nearest
from poyodata.store.annotations import require_free_names
from poyodata.store.aside import Written, kept_traces, lost_traces, stored_traces, write_aside
from poyodata.store.commit import (
    Annotation,
    Committed,
    Template,
    WriterLock,
    read_committed,
    read_table,
    replace_committed,
    replace_table,
    require_newest,
)
from poyodata.store.complete import note_complete
from poyodata.store.disk import disk_errors, remove, replace_json
from poyodata.store.garbage import collect_garbage, remove_superseded
from poyodata.store.layout import (
    FORMAT,
    FORMAT_VERSION,
    TEMPORARY,
    Paths,
    check_format,
    group_json,
    root_version,
)
from poyodata.store.missing import MISSING
from poyodata.store.protocol import Record
from poyodata.store.remote import written_folder
from poyodata.store.tables import (
    FLAT_TABLES,
    GENERATION,
    committed_rows,
    conform,
    empty_table,
    join_rows,
    split_digests,
)
from poyodata.store.verify import recording_is_intact, template_is_intact
from poyodata.vocabulary import DFF

Status = Literal["added", "updated", "unchanged"]


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
    status : {"added", "updated", "unchanged"}
        ``"unchanged"`` when exactly this content was there before.
    """

    session_id: str
    n_frames: int
    n_neurons: int
    n_dropped: int
    status: Status


class StoreWriter:
    """Create a store, or open one to add, update and remove recordings.

    Parameters
    ----------
    path : path-like
        Folder of the store; made where it is missing.
    lineage : mapping, optional
        What a new store is made from, plain enough for JSON; `Store.lineage` gives it back. Recordings are added to
        such a store under the same lineage alone, since it would not be true of others.

    Raises
    ------
    UsageError
        When `path` is a URL.
    StoreError
        When the folder holds something else, a store of another format version, or a store that is being written, or
        when it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from poyodata.store import open_store
    >>> path = Path(tempfile.mkdtemp()) / "new.zarr"
    >>> with StoreWriter(path) as writer:
    ...     len(writer.sessions)
    0
    >>> len(open_store(path))
    0
    """

    def __init__(self, path: str | os.PathLike[str], lineage: Mapping[str, Any] | None = None) -> None:
        self.path = written_folder(path)
        self._lineage = None if lineage is None else json.loads(canonical_json(lineage))
        self._paths = Paths(self.path)
        with disk_errors(self.path):
            self._create_root()
            check_format(self.path)
            self._lock = WriterLock(self._paths.lock)
            try:
                self._committed = read_committed(self._paths)
                self._create_folders()
                if not self._paths.table("sessions").exists():
                    self._committed = replace(self._committed, lineage=self._lineage)
                    replace_committed(self._paths, self._committed)
                if lineage is not None:
                    self._require_lineage()
                require_newest(self._paths, self._committed)
                collect_garbage(self._paths, self._committed)
                self._tables = {name: self._read_flat(name) for name in FLAT_TABLES}
                neurons = self._tables["neurons"]
                self._owner = dict(zip(neurons["neuron_id"], neurons["session_id"], strict=True))
                self._checked: dict[str, bool] = {}
            except BaseException:
                self._lock.release()
                raise

    @property
    def paths(self) -> Paths:
        """Where everything of the store lies: what `write_aside` takes."""
        return self._paths

    @property
    def sessions(self) -> pd.DataFrame:
        """Table of the recordings committed so far; an ingest may skip those whose ``source_digest`` it knows."""
        return self._committed.sessions.copy()

    @property
    def annotations(self) -> dict[str, Annotation]:
        """Labels that were joined to the neurons, by name."""
        return dict(self._committed.annotations)

    @property
    def known_stimuli(self) -> dict[str, str]:
        """Digest of every stimulus template committed so far: what `write_aside` takes."""
        return {name: template.digest for name, template in self._committed.stimuli.items()}

    @property
    def intact_stimuli(self) -> dict[str, str]:
        """`known_stimuli`, less those whose files are damaged, which an update writes anew; each is read once."""
        for name, template in self._committed.stimuli.items():
            if name not in self._checked:
                self._checked[name] = template_is_intact(self._paths, name, template)
        return {name: digest for name, digest in self.known_stimuli.items() if self._checked[name]}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the next writer in; may be called twice."""
        with disk_errors(self.path):
            self._lock.release()

    # -- what can be done ----------------------------------------------------------------------------------------

    def add(
        self, record: Record, missing: str = "error", traces: Sequence[str] = (DFF,), *, replace: bool = False
    ) -> AddedSession:
        """Write one recording and commit it: `write_aside`, then `commit`.

        Parameters
        ----------
        record : Record
            Traces are read in blocks of 1,024 frames, once (twice with ``missing="drop"``).
        missing : {"error", "keep", "drop"}
            What to do about NaN or infinite values in dF/F: refuse the recording, store them as NaN, or leave out the
            neurons that have any, here and in all other traces. In the other traces they are stored as NaN.
        traces : sequence of str
            Traces to store: dF/F, which is always stored, and any of the record's further ones.
        replace : bool
            Put the recording in the place of one of the same name but other content, which is refused otherwise, or
            of one that is damaged. Traces that are stored of it are kept: they are written beside those asked for.

        Returns
        -------
        AddedSession

        Raises
        ------
        SourceError
            When the recording does not have the traces, or they cannot be read.
        StoreError
            When values are missing and may not be, the recording is there already with other content or without some of
            the traces, a stimulus template differs from the one stored under its name, or the disk is full or
            read-only. The store is as it was.
        """
        if missing not in MISSING:
            raise UsageError(f"missing={missing!r} is unknown: {nearest(str(missing), MISSING)}")
        self._require_open()
        is_new = str(record.metadata.session_id) not in self._committed.generations
        stimuli = self.known_stimuli
        if replace:
            traces = kept_traces(self._paths, self._committed, record, traces)
            stimuli = self.intact_stimuli if record.templates else {}
        written = write_aside(self._paths, record, missing, traces, stimuli, write=is_new or replace)
        return self.commit(written, replace=replace)

    def commit(self, written: Written, *, replace: bool = False) -> AddedSession:
        """Commit one recording that was written aside; see `commit_all`."""
        return self.commit_all([written], replace=replace)[0]

    def commit_all(
        self,
        written: Sequence[Written],
        *,
        replace: bool = False,
        annotations: Mapping[str, Annotation] | None = None,
    ) -> list[AddedSession]:
        """Make recordings that were written aside exist, all in one atomic step.

        Parameters
        ----------
        written : sequence of Written
            Their temporary folders are used up, also when this fails.
        replace : bool
            Put them in the place of those of the same name but other content, which is refused otherwise.
        annotations : mapping of str to Annotation, optional
            What the store's annotations are to be, their tables lying in place already; as they are by default.

        Returns
        -------
        list of AddedSession

        Raises
        ------
        StoreError
            As `add` does. The store is as it was.
        """
        self._require_open()
        try:
            if written:
                self._require_lineage()
            with disk_errors(self.path):
                results, arrivals = [], dict[str, Written]()
                for one in written:
                    twin = arrivals.get(one.session_id)
                    status = self._judge(one, twin, replace)
                    results.append(self._result(one, status))
                    if status != "unchanged":
                        if twin is not None:
                            one.take_templates(twin)
                        arrivals[one.session_id] = one
                if arrivals or annotations not in (None, self._committed.annotations):
                    self._apply(list(arrivals.values()), annotations=annotations)
                    note_complete(self._paths.statistics, [one.digest for one in arrivals.values() if one.complete])
                return results
        finally:
            for one in written:
                one.discard()

    def remove(self, session_ids: Collection[str]) -> None:
        """Remove recordings, and the stimulus templates that only they brought, in one atomic step.

        Parameters
        ----------
        session_ids : collection of str

        Raises
        ------
        UsageError
            When there is no such recording.
        StoreError
            When the disk is full or read-only. The store is as it was.
        """
        self._require_open()
        self.require(session_ids)
        with disk_errors(self.path):
            self._apply([], gone=set(session_ids))

    def require(self, session_ids: Collection[str]) -> None:
        """Raise UsageError when there is no recording of one of these names."""
        known = self._committed.generations
        for session_id in session_ids:
            if session_id not in known:
                raise UsageError(f"no recording {session_id!r} in {self.path}: {nearest(str(session_id), known)}")

    # -- before anything is changed ------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._lock.released:
            raise UsageError(f"this writer of {self.path} is closed; open another StoreWriter to change the store.")

    def _require_lineage(self) -> None:
        if self._lineage != self._committed.lineage:
            is_copy = self._committed.lineage is not None
            raise StoreError(
                f"{self.path} is {'a copy of a part' if is_copy else 'no copy'} of another store, "
                f"{'so that nothing else can be added to it' if is_copy else 'and cannot become one'}; choose another "
                "folder."
            )

    def _judge(self, written: Written, twin: Written | None, replace: bool) -> Status:
        """What a recording is to this store and to its `twin` in the same step; raises when it may not be taken."""
        if twin is not None:
            if twin.has_all_of(written):
                return "unchanged"
            if not written.has_all_of(twin):
                raise StoreError(
                    f"recording {written.session_id!r} arrives twice, with different content; give one of the two "
                    "another session_id, or leave one out."
                )
        if written.session_id not in self._committed.generations:
            return "added" if twin is None else "updated"
        if replace:
            stored = stored_traces(self._paths, self._committed, written.session_id)
            lost = [name for name in stored if name not in written.blocks]
            try:
                differs = self._differences(written)
            except StoreError:
                differs = ["digests"]
            if not differs and self._is_intact(written):
                return "unchanged"
            if lost:
                raise StoreError(lost_traces(written.session_id, lost))
            return "updated"
        differs = self._differences(written)
        if not differs:
            return "unchanged"
        absent = [name.removeprefix("-") for name in differs if name.startswith("-")]
        if len(absent) == len(differs):
            raise StoreError(
                f"recording {written.session_id!r} is in the store already, without the traces {', '.join(absent)}; "
                "nothing is changed unless you say so: update the recording (--update), or ingest it with these "
                "traces into a new store."
            )
        raise StoreError(
            f"recording {written.session_id!r} is in the store already, with other content "
            f"({', '.join(name for name in differs if not name.startswith('-'))}); nothing is changed unless you say "
            "so: update the recording (--update), or give this one another session_id."
        )

    def _is_intact(self, written: Written) -> bool:
        """Whether what the store has of a recording, and of the templates it brings, is as it was written."""
        own = recording_is_intact(self._paths, self._committed, written.session_id, self._tables)
        return own and (not written.templates or written.templates.keys() <= self.intact_stimuli.keys())

    def _differences(self, written: Written) -> list[str]:
        """What of a recording the store has otherwise, by name; traces that it does not have begin with ``-``."""
        blocks, known, _ = split_digests(self._stored_digests(written.session_id))
        differs = sorted(
            name for name in known.keys() | written.parts.keys() if known.get(name) != written.parts.get(name)
        )
        absent = [f"-{name}" for name in written.blocks if name not in blocks]
        differs += [
            "traces" if name == DFF else f"traces {name}"
            for name, own in written.blocks.items()
            if name in blocks and list(own) != blocks[name]
        ]
        stimuli = self.known_stimuli
        differs += [f"template {name}" for name, digest in written.templates.items() if stimuli.get(name) != digest]
        return differs + absent

    def _stored_digests(self, session_id: str) -> pd.DataFrame:
        generation = self._committed.generations[session_id]
        return conform(read_table(self._paths.digests(session_id, generation))[0], "digests")

    def _owners(self, arrivals: Sequence[Written], leaving: Collection[str]) -> dict[str, str]:
        """Recording of every neuron that arrives; raises when one of another recording bears its id."""
        owners: dict[str, str] = {}
        for one in arrivals:
            for neuron_id in one.tables["neurons"]["neuron_id"].tolist():
                known = owners.get(neuron_id) or self._owner.get(neuron_id)
                if known is not None and known not in leaving:
                    raise StoreError(
                        f"recording {one.session_id!r}: neuron {neuron_id!r} is in the store already, of recording "
                        f"{known!r}; a neuron is one trace of one recording: put the session_id into its neuron_id."
                    )
            owners |= dict.fromkeys(one.tables["neurons"]["neuron_id"].tolist(), one.session_id)
        return owners

    @staticmethod
    def _result(written: Written, status: Status) -> AddedSession:
        return AddedSession(written.session_id, *written.shape, written.n_dropped, status)

    # -- the change itself ---------------------------------------------------------------------------------------

    def _apply(
        self,
        arrivals: Sequence[Written],
        gone: Collection[str] = (),
        annotations: Mapping[str, Annotation] | None = None,
    ) -> None:
        """Put everything in place; the replacement of ``sessions.parquet`` makes it so; then clear up.

        Whatever can be refused is refused before anything gets its final name.
        """
        before = self._committed
        leaving = {*gone, *(one.session_id for one in arrivals if one.session_id in before.generations)}
        kept = before.sessions[~before.sessions["session_id"].isin(leaving)].reset_index(drop=True)
        remaining = {name: committed_rows(table, kept) if leaving else table for name, table in self._tables.items()}
        owners = self._owners(arrivals, leaving)
        generation = {one.session_id: before.next_generation("sessions", one.session_id) for one in arrivals}

        def numbered(rows: pd.DataFrame, one: Written) -> pd.DataFrame:
            return rows.assign(**{GENERATION: np.int64(generation[one.session_id])})

        rows = {name: [numbered(one.tables[name], one) for one in arrivals] for name in FLAT_TABLES}
        joined = {name: join_rows([remaining[name], *rows[name]], name) for name in FLAT_TABLES}
        # On disk the rows of both generations lie side by side until the commit has fallen.
        beside = (
            {name: join_rows([self._tables[name], *rows[name]], name) for name in FLAT_TABLES} if leaving else joined
        )
        sessions = join_rows([kept, *(numbered(one.row, one) for one in arrivals)], "sessions")
        after = replace(self._with_stimuli(arrivals, sessions, gone), number=before.number + 1)
        if annotations is not None:
            after = replace(after, annotations=dict(annotations))
        require_free_names(map(str, joined["neurons"].columns), after.annotations)
        self._lock.require_held()
        for one in arrivals:
            one.put_in_place(self._paths, before, after)
        if arrivals:
            for name, table in beside.items():
                replace_table(self._paths.table(name), table, {"commit": after.number})
        self._lock.require_held()
        replace_committed(self._paths, after)
        self._committed, self._tables = after, joined
        self._checked = {
            name: known
            for name, known in self._checked.items()
            if before.stimuli.get(name) == after.stimuli.get(name) is not None
        }
        self._owner = (
            {known: owner for known, owner in self._owner.items() if owner not in leaving} if leaving else self._owner
        )
        self._owner |= owners
        with suppress(OSError):  # the change stands; what is left over the next writer removes
            remove_superseded(self._paths, before, after, joined)

    def _with_stimuli(self, arrivals: Sequence[Written], sessions: pd.DataFrame, gone: Collection[str]) -> Committed:
        """What exists after a change: also which stimulus templates."""
        before = self._committed
        retired = {kind: dict(known) for kind, known in before.retired.items()}
        retired["sessions"] |= {name: before.generations[name] for name in gone}
        after = replace(before, sessions=sessions)
        stimuli = dict(before.stimuli)
        brought = {one.session_id: one.templates for one in arrivals}
        for one in arrivals:
            retired["sessions"].pop(one.session_id, None)
            for name, digest in one.templates.items():
                if name in stimuli and stimuli[name].digest == digest:
                    if self._checked.get(name, True) or not one.has_template(name):
                        continue
                    # Damaged, and written anew.
                    stimuli[name] = Template(digest, before.next_generation("stimuli", name))
                    continue
                if name in stimuli and any(brought.get(user, {}).get(name) != digest for user in after.users(name)):
                    raise StoreError(
                        f"recording {one.session_id!r} brings another template for {name!r} than the store has; the "
                        "store is as it was. Give one of the two stimuli another name, or ingest into a new store."
                    )
                stimuli[name] = Template(digest, before.next_generation("stimuli", name))
                retired["stimuli"].pop(name, None)
        for name in before.stimuli:
            if not after.users(name):
                retired["stimuli"][name] = stimuli.pop(name).generation
        return replace(after, stimuli=stimuli, retired=retired)

    # -- opening -------------------------------------------------------------------------------------------------

    def _create_root(self) -> None:
        """Make the folder a store when it is missing, empty, or was left half made."""
        if (self.path / "zarr.json").exists():
            return
        if self.path.exists() and (
            not self.path.is_dir() or any(not child.name.startswith(TEMPORARY) for child in self.path.iterdir())
        ):
            raise StoreError(f"{self.path} holds something else than a store; choose a new or an empty folder.")
        self._write_root()

    def _write_root(self) -> None:
        replace_json(self.path / "zarr.json", group_json({"format": FORMAT, "format_version": FORMAT_VERSION}))

    def _create_folders(self) -> None:
        if root_version(self.path) != FORMAT_VERSION:  # a migration was cut short after its commit
            self._write_root()
        for folder in (self._paths.sessions, self._paths.stimuli, self._paths.tables, self._paths.statistics):
            if not (folder / "zarr.json").exists():
                replace_json(folder / "zarr.json", group_json())

    def _read_flat(self, name: str) -> pd.DataFrame:
        """Rows of a flat table of what is committed; rows that a crash left are taken out of its file too."""
        path = self._paths.table(name)
        if len(self._committed.sessions) == 0:
            remove(path)
            return empty_table(name).assign(**{GENERATION: pd.Series(dtype="int64")})
        stored = conform(read_table(path)[0], name).astype({GENERATION: "int64"})
        table = committed_rows(stored, self._committed.sessions)
        if len(table) < len(stored):
            replace_table(path, table, {"commit": self._committed.number})
        return table
