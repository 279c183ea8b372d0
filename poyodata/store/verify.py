"""Verify a store: every byte of every file against the digests that were taken when it was written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xxhash

from poyodata.digests import table_digest
from poyodata.errors import StoreError
from poyodata.store.commit import Committed, Template, is_older, parse_committed, parse_table
from poyodata.store.complete import FILE as NOTES
from poyodata.store.complete import noted
from poyodata.store.damage import STIMULI_PLACES, Damage, Verification
from poyodata.store.disk import file_digest, json_bytes
from poyodata.store.layout import (
    BLOCK_FRAMES,
    FORMAT,
    FORMAT_VERSION,
    MOVIE_BLOCK_FRAMES,
    Paths,
    check_format,
    generation_name,
    group_json,
)
from poyodata.store.seal import has_seal, is_intact
from poyodata.store.session import epochs_of, neurons_digest, recording_digest
from poyodata.store.shard import array_shape, index_size
from poyodata.store.tables import FLAT_TABLES, GENERATION, METADATA_COLUMNS, committed_rows, conform, split_digests
from poyodata.store.templates import FRAMES, template_digest
from poyodata.vocabulary import DFF

Progress = Callable[[int], None]

_ANNOTATIONS = "tables/annotations/"
_ANOTHER = "it is whole, but it is another file than belongs here"
_FOREIGN = "it is not what the lineage of these statistics says; remove the file, they are computed again"


def verify_store(path: str | os.PathLike[str], progress: Progress | None = None) -> Verification:
    """Read every file of a store and compare it with its digests.

    Parameters
    ----------
    path : path-like
        Top folder of the store. It may be read and written meanwhile.
    progress : callable, optional
        Called with 1 for every recording that was read.

    Returns
    -------
    Verification

    Raises
    ------
    UsageError
        When nothing lies at `path`.
    StoreError
        When what lies there is no store, or one of another format version.

    Examples
    --------
    >>> import tempfile
    >>> from poyodata.store import StoreWriter
    >>> path = Path(tempfile.mkdtemp()) / "new.zarr"
    >>> StoreWriter(path).close()
    >>> verify_store(path).damages
    ()
    """
    paths = Paths(Path(path))
    if not paths.table("sessions").exists() or not paths.root.is_dir():
        check_format(paths.root)
    check = _Check(paths)
    committed = check.commit_point()
    check.groups()
    flat = {name: check.flat_table(name, committed) for name in FLAT_TABLES}
    recordings = check.recordings(committed)
    for session_id, generation in recordings.items():
        check.recording(session_id, generation, _row(committed, session_id), flat)
        if progress is not None:
            progress(1)
    for name, generation, digest in check.templates(committed):
        check.template(name, generation, digest)
    check.annotations(committed)
    check.statistics()
    unnamed = check.unnamed()
    return Verification(
        damages=tuple(check.still_true()),
        unexpected=tuple(check.unexpected(unnamed)),
        n_recordings=len(recordings),
        n_files=len(check.seen),
        n_bytes=check.n_bytes,
        unnamed=tuple(unnamed),
    )


def recording_is_intact(
    paths: Paths, committed: Committed, session_id: str, flat: Mapping[str, pd.DataFrame | None]
) -> bool:
    """Read every file of one recording; `flat` has what the flat tables say of the recordings committed."""
    check = _Check(paths)
    check.recording(session_id, committed.generations[session_id], _row(committed, session_id), flat)
    return not check.found


def template_is_intact(paths: Paths, name: str, template: Template) -> bool:
    """Read every file of one stimulus template."""
    check = _Check(paths)
    check.template(name, template.generation, template.digest)
    return not check.found


def _row(committed: Committed | None, session_id: str) -> pd.DataFrame | None:
    if committed is None:
        return None
    return committed.sessions[committed.sessions["session_id"] == session_id]


class _Check:
    """One pass over a store."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.found: list[Damage] = []
        self.seen: set[Path] = set()
        self.n_bytes = 0
        self._generations: dict[str, int] = {}

    # -- what is of the whole store ------------------------------------------------------------------------------

    def commit_point(self) -> Committed | None:
        """What exists, or None where the table that says so is damaged."""
        path = self.paths.table("sessions")
        content = self._read(path, "")
        if content is None:
            return None
        try:
            committed = parse_committed(content, self.paths.root)
            if is_older(self.paths, committed):
                self._damaged(
                    "", path, "it was restored from an older copy: the tables beside it tell of later commits"
                )
            return committed
        except StoreError:
            if not has_seal(content):  # an older format, or damage where its seal was
                self._refuse_other_version(content)
            self._damaged("", path, "the table that says which recordings exist is damaged")
            return None

    def _refuse_other_version(self, content: bytes) -> None:
        try:
            parse_table(content, "", sealed=False)
        except StoreError:
            return
        try:
            parse_committed(content, self.paths.root)
        except StoreError as error:
            if "format version" in str(error):
                raise

    def groups(self) -> None:
        """The ``zarr.json`` of the top folder and of those that hold recordings, templates, tables, statistics."""
        root = {"format": FORMAT, "format_version": FORMAT_VERSION}
        self._exactly(self.paths.root / "zarr.json", json_bytes(group_json(root)))
        for folder in (self.paths.sessions, self.paths.stimuli, self.paths.tables, self.paths.statistics):
            self._exactly(folder / "zarr.json", json_bytes(group_json()))

    def flat_table(self, name: str, committed: Committed | None) -> pd.DataFrame | None:
        """Rows of one table of all recordings, or None where it is damaged."""
        path = self.paths.table(name)
        if committed is not None and len(committed.sessions) == 0 and not path.exists():
            return None
        table = self._sealed(path, "", name)
        if table is None or committed is None:
            return None
        try:
            return committed_rows(table, committed.sessions)
        except StoreError:
            self._damaged("", path, _ANOTHER)
            return None

    def recordings(self, committed: Committed | None) -> dict[str, int]:
        """Generation of every recording; where the table of sessions is damaged, of those that have digests."""
        folder = self.paths.tables / "digests"
        self._generations = dict(_named(folder)) if committed is None else committed.generations
        return self._generations

    def templates(self, committed: Committed | None) -> list[tuple[str, int, str | None]]:
        """Name, generation and digest of every template."""
        if committed is None:
            return [(name, generation, None) for name, generation in _named(self.paths.tables / "digests" / "stimuli")]
        return [(name, known.generation, known.digest) for name, known in committed.stimuli.items()]

    # -- one recording, one template -----------------------------------------------------------------------------

    def recording(
        self,
        session_id: str,
        generation: int,
        row: pd.DataFrame | None,
        flat: Mapping[str, pd.DataFrame | None],
    ) -> None:
        """Every file of a recording, and its rows in the tables of all recordings."""
        presented = self._sealed(self.paths.presentations(session_id, generation), session_id, "presentations")
        path = self.paths.digests(session_id, generation)
        digests = self._sealed(path, session_id, "digests")
        if digests is None:
            return
        n_frames, n_neurons = (
            (None, None) if row is None else (int(row["n_frames"].iloc[0]), int(row["n_neurons"].iloc[0]))
        )
        folder = self.paths.session(session_id, generation)
        blocks, parts, files = split_digests(digests)
        if DFF not in blocks or not {"metadata", "presentations"} <= parts.keys():
            self._damaged(session_id, path, _ANOTHER)
            return
        block_bytes = None if n_neurons is None else BLOCK_FRAMES * n_neurons * 4
        self._files(session_id, folder, files, blocks, BLOCK_FRAMES, block_bytes, n_frames)
        if row is None:
            return
        if row["digest"].iloc[0] != recording_digest(blocks, parts, row[["n_frames", "n_neurons"]].iloc[0].tolist()):
            self._damaged(session_id, path, "its digests are not those of the recording in the table of sessions")
        if parts["metadata"] != table_digest(row[list(METADATA_COLUMNS)]):
            self._damaged(
                session_id, self.paths.table("sessions"), "what it says of the recording is not what was written"
            )
        own = {
            name: table[table["session_id"] == session_id].drop(columns=GENERATION)
            for name, table in flat.items()
            if table is not None
        }
        wrong = [name for name in own if name in parts and _digest_of(own[name], name) != parts[name]]
        if presented is not None:
            if table_digest(presented) != parts["presentations"]:
                self._damaged(
                    session_id,
                    self.paths.presentations(session_id, generation),
                    "its rows are not those that were written",
                )
            elif "epochs" in own and table_digest(own["epochs"]) != table_digest(epochs_of(presented, session_id)):
                wrong.append("epochs")
        for name in wrong:
            self._damaged(session_id, self.paths.table(name), "the recording's rows are not those that were written")

    def template(self, name: str, generation: int, digest: str | None) -> None:
        """Every file of a stimulus template."""
        path = self.paths.stimulus_digests(name, generation)
        digests = self._sealed(path, "", "digests")
        if digests is None:
            return
        folder = self.paths.stimulus(name, generation)
        blocks, _, files = split_digests(digests)
        if FRAMES not in blocks:
            self._damaged("", path, _ANOTHER)
            return
        shape = array_shape(folder / FRAMES)
        block_bytes = None if shape is None else MOVIE_BLOCK_FRAMES * shape[1] * shape[2]
        n_frames = None if shape is None else shape[0]
        before = len(self.found)
        self._files("", folder, files, blocks, MOVIE_BLOCK_FRAMES, block_bytes, n_frames)
        if digest is not None and len(self.found) == before and template_digest(blocks[FRAMES], shape or ()) != digest:
            self._damaged("", path, "its digests are not those of the template in the table of sessions")

    def _files(
        self,
        recording: str,
        folder: Path,
        files: Mapping[str, str],
        blocks: Mapping[str, Sequence[str]],
        block_frames: int,
        block_bytes: int | None,
        n_frames: int | None,
    ) -> None:
        """Every file of one Zarr group; arrays with digests of their blocks block by block."""
        for name, digest in files.items():
            path = folder / name
            array = name.split("/")[0]
            self.seen.add(path)
            try:
                self.n_bytes += path.stat().st_size
                if "/c/" not in name or array not in blocks:
                    if file_digest(path) != digest:
                        self._damaged(recording, path, "its bytes are not those that were written")
                    continue
                wrong, whole = _read_shard(path, blocks[array], block_bytes)
            except FileNotFoundError:
                self._damaged(recording, path, "is missing")
                continue
            except OSError as error:
                self._damaged(recording, path, f"cannot be read ({error.strerror})")
                continue
            for block in wrong:
                start = block * block_frames
                stop = start + block_frames if n_frames is None else min(start + block_frames, n_frames)
                what = f"block {block} of {array} (frames {start} to {stop}) is damaged"
                self._damaged(recording, path, what, traces=array, block=block, start_frame=start, stop_frame=stop)
            if not wrong and whole != digest:
                self._damaged(recording, path, "the index at its end is damaged")

    def annotations(self, committed: Committed | None) -> None:
        """Labels that users joined."""
        for name, one in committed.annotations.items() if committed is not None else ():
            path = self.paths.annotation(name, one.digest)
            table = self._sealed(path, "")
            if table is not None and table_digest(table) != one.digest:
                self._damaged("", path, "its rows are not those that were written")

    def statistics(self) -> None:
        """Results that were kept: tables and what they were computed from."""
        folder = self.paths.statistics
        known: dict[str, Any] = {}
        for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.parquet")):
            if path.name == "zarr.json" or path.name.startswith("."):
                continue
            content = self._read(path, "")
            if content is None:
                continue
            if not is_intact(content):
                self._damaged("", path, "kept statistics are damaged; remove the file, they are computed again")
            elif path.suffix == ".json":
                known[path.stem] = json.loads(content)
                if known[path.stem].get("digest") != path.stem:
                    self._damaged("", path, _FOREIGN)
            elif path.stem in known:
                table = parse_table(content, path).to_pandas()
                if table_digest(table) != known[path.stem].get("table_digest"):
                    self._damaged("", path, _FOREIGN)
            elif not path.with_suffix(".json").exists():
                self.seen.discard(path)  # half of what was to be kept: nothing reads it
        if (folder / NOTES).exists():
            content = self._read(folder / NOTES, "")
            if content is not None and not noted(content)[1]:
                what = "the list of complete recordings is damaged; remove the file, they are looked at again"
                self._damaged("", folder / NOTES, what)
        for path in sorted((folder / "recordings").glob("*/[!.]*.parquet")):
            content = self._read(path, "")
            if content is not None and not is_intact(content):
                self._damaged("", path, "kept statistics are damaged; remove the file, they are computed again")
        for path in sorted((folder / "learned").glob("[!.]*.parquet")):
            content = self._read(path, "")
            if content is not None and not is_intact(content):
                self._damaged("", path, "a model's columns are damaged; restore the file, or have them written again")

    # -- at the end ----------------------------------------------------------------------------------------------

    def still_true(self) -> Iterator[Damage]:
        """Damages, less those of recordings that a writer updated or removed in the meantime."""
        try:
            content = self.paths.table("sessions").read_bytes()
            committed = parse_committed(content, self.paths.root)
        except (OSError, StoreError):
            yield from self.found
            return
        now = committed.generations
        stimuli = {generation_name(name, known.generation) for name, known in committed.stimuli.items()}
        labels = {self.paths.annotation(name, known.digest).name for name, known in committed.annotations.items()}
        for damage in self.found:
            if damage.recording:
                if now.get(damage.recording) == self._generations[damage.recording]:
                    yield damage
            elif damage.file.startswith(STIMULI_PLACES) and damage.file != "stimuli/zarr.json":
                _, *folders, name = damage.file.split("/")
                stimulus = name.removesuffix(".parquet") if damage.file.startswith("tables") else (*folders, name)[0]
                if stimulus in stimuli:
                    yield damage
            elif damage.file.startswith(_ANNOTATIONS):
                if damage.file.removeprefix(_ANNOTATIONS) in labels:
                    yield damage
            elif now or damage.file not in {f"tables/{name}.parquet" for name in FLAT_TABLES}:
                yield damage

    def unnamed(self) -> list[str]:
        """Recordings that lie there whole without being named, as their folders are called."""
        named = {generation_name(*one) for one in self._generations.items()}
        folders = sorted(path.parent.name for path in self.paths.sessions.glob("*/zarr.json"))
        return [
            name
            for name in folders
            if name not in named and (self.paths.tables / "digests" / f"{name}.parquet").exists()
        ]

    def unexpected(self, unnamed: Sequence[str]) -> Iterator[str]:
        """Files that belong to nothing, less those of recordings that are not named."""
        tables = self.paths.tables
        said = {
            folder / f"{name}.parquet" for name in unnamed for folder in (tables / "digests", tables / "presentations")
        }
        folders = {self.paths.sessions / name for name in unnamed}
        locks = (self.paths.lock, self.paths.statistics / ".learned.lock")
        # Folders that a writer removes meanwhile are passed over.
        found = [Path(folder, name) for folder, _, names in os.walk(self.paths.root) for name in names]
        for path in sorted(found):
            if path not in self.seen | said and path not in locks and folders.isdisjoint(path.parents):
                yield path.relative_to(self.paths.root).as_posix()

    # -- reading -------------------------------------------------------------------------------------------------

    def _damaged(self, recording: str, path: Path, what: str, **where: Any) -> None:
        self.found.append(Damage(recording, path.relative_to(self.paths.root).as_posix(), what, **where))

    def _read(self, path: Path, recording: str) -> bytes | None:
        self.seen.add(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._damaged(recording, path, "is missing" if missing else f"cannot be read ({error.strerror})")
            return None
        self.n_bytes += len(content)
        return content

    def _exactly(self, path: Path, expected: bytes) -> None:
        content = self._read(path, "")
        if content is not None and content != expected:
            self._damaged("", path, "its bytes are not those that were written")

    def _sealed(self, path: Path, recording: str, name: str = "") -> pd.DataFrame | None:
        content = self._read(path, recording)
        if content is None:
            return None
        try:
            table: pd.DataFrame = parse_table(content, path).to_pandas()
        except StoreError:
            self._damaged(recording, path, "its bytes are not those that were written")
            return None
        try:
            return conform(table, name) if name else table
        except StoreError:
            self._damaged(recording, path, _ANOTHER)
            return None


def _named(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and generation of every file of digests, the last generation of each name."""
    for path in sorted(folder.glob("*.parquet")):
        name, _, generation = path.stem.partition("~")
        if not generation or generation.isdigit():
            yield name, int(generation or 0)


def _digest_of(rows: pd.DataFrame, name: str) -> str:
    return neurons_digest(rows) if name == "neurons" else table_digest(rows)


def _read_shard(path: Path, digests: Sequence[str], block_bytes: int | None) -> tuple[list[int], str]:
    """Blocks of an array that are not as they were written, and the digest of the whole file."""
    whole = xxhash.xxh3_64()
    wrong = []
    if block_bytes is None:
        block_bytes = max(0, path.stat().st_size - index_size(len(digests))) // max(1, len(digests))
    with path.open("rb") as file:
        for block, digest in enumerate(digests):
            content = file.read(block_bytes)
            whole.update(content)
            if xxhash.xxh3_64_hexdigest(content) != digest:
                wrong.append(block)
        while content := file.read(1 << 20):
            whole.update(content)
    return wrong, whole.hexdigest()
