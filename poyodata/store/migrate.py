"""Bring a store of an older format version up to date, in place.

Version 2 knew no updates: its tables bore no seals and no generation, the digests of all blocks and parts lay in two
flat tables, and those of blocks, clocks, masks and signals were cut from sha256. Traces and Zarr arrays lie where they
lay: they are read once, compared with their old digests, and digested anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import array_digest, byte_view, json_digest
from poyodata.errors import StoreError
from poyodata.store.aside import digest_table
from poyodata.store.commit import (
    Committed,
    Template,
    WriterLock,
    committed_digest,
    read_arrow,
    read_committed,
    replace_committed,
    replace_table,
    table_metadata,
)
from poyodata.store.disk import disk_errors, file_digest, remove, replace_json
from poyodata.store.group import MASK_NEURON, MASK_PX, MAX_PROJECTION
from poyodata.store.layout import (
    BLOCK_FRAMES,
    FORMAT,
    FORMAT_VERSION,
    MOVIE_BLOCK_FRAMES,
    OLDEST_VERSION,
    Paths,
    check_format,
    group_json,
    require_version,
)
from poyodata.store.session import part_digests, recording_digest
from poyodata.store.shard import block_digests, map_shard
from poyodata.store.tables import FLAT_TABLES, GENERATION, conform, empty_table
from poyodata.store.templates import FRAMES, template_digest
from poyodata.vocabulary import DFF

_SIGNAL = "signal:"
Digest = Callable[[npt.NDArray[Any]], str]


@dataclass(frozen=True)
class Migration:
    """What `migrate_store` did.

    Attributes
    ----------
    version_before : int
        Equal to the current one when there was nothing to do.
    n_recordings : int
    digest : str
        Of the store, as it is now. Another than before, since digests of blocks are others: resolve diets again.
    """

    version_before: int
    n_recordings: int
    digest: str


def migrate_store(path: str | os.PathLike[str], progress: Callable[[int], None] | None = None) -> Migration:
    """Bring a store up to the current format version; killed midway it is the old one still, and this can be run again.

    Parameters
    ----------
    path : path-like
        Top folder of the store.
    progress : callable, optional
        Called with 1 for every recording that was read.

    Returns
    -------
    Migration

    Raises
    ------
    UsageError
        When nothing lies at `path`.
    StoreError
        When what lies there is no store, one of a version that cannot be migrated, damaged, or being written, or when
        the disk is full or read-only. The store is as it was.

    Examples
    --------
    >>> import tempfile
    >>> from poyodata.store import StoreWriter
    >>> path = Path(tempfile.mkdtemp()) / "new.zarr"
    >>> StoreWriter(path).close()
    >>> migrate_store(path).version_before
    3
    """
    paths = Paths(Path(path))
    if check_format(paths.root) == FORMAT_VERSION and _is_current(paths):
        committed = read_committed(paths)
        return Migration(FORMAT_VERSION, len(committed.sessions), committed_digest(committed))
    with disk_errors(paths.root):
        lock = WriterLock(paths.lock)
        try:
            before = _version(paths)
            if before != FORMAT_VERSION:
                _from_2(paths, progress)
            # The table of sessions has said the new version: what follows may be done by any later run or writer.
            root = {"format": FORMAT, "format_version": FORMAT_VERSION}
            replace_json(paths.root / "zarr.json", group_json(root))
            for name in ("blocks", "parts"):
                remove(paths.table(name))
            committed = read_committed(paths)
            return Migration(before, len(committed.sessions), committed_digest(committed))
        finally:
            lock.release()


def _is_current(paths: Paths) -> bool:
    """Whether nothing is left to do, so that a store that may not be written is no hindrance."""
    return _version(paths) == FORMAT_VERSION and not any(paths.table(name).exists() for name in ("blocks", "parts"))


def _version(paths: Paths) -> int:
    """Format version that the table of sessions says, refused unless it can be migrated from."""
    table = paths.table("sessions")
    if not table.exists():
        return OLDEST_VERSION if not any(paths.sessions.glob("*/zarr.json")) else FORMAT_VERSION
    version = int(table_metadata(read_arrow(table, sealed=False)).get("format_version", FORMAT_VERSION))
    if version != OLDEST_VERSION:
        require_version(paths.root, version)
    return version


def _from_2(paths: Paths, progress: Callable[[int], None] | None) -> None:
    """Write everything that version 3 has beside what version 2 reads, then commit."""
    table = paths.table("sessions")
    arrow = read_arrow(table, sealed=False) if table.exists() else None
    sessions = empty_table("sessions") if arrow is None else arrow.to_pandas()
    old_stimuli = {} if arrow is None else table_metadata(arrow)["stimuli"]
    ids = sessions["session_id"].tolist()
    tables = {name: _unsealed(paths, name, ids) for name in (*FLAT_TABLES, "blocks", "parts")}
    shown: dict[str, list[str]] = {}
    digests = []
    for session_id in ids:
        rows = {name: own[own["session_id"] == session_id].reset_index(drop=True) for name, own in tables.items()}
        path = paths.presentations(session_id)
        presentations = conform(read_arrow(path, sealed=False).to_pandas(), "presentations")
        row = conform(sessions[sessions["session_id"] == session_id].assign(templates="", generation=0), "sessions")
        digests.append(_recording(paths, row, rows | {"presentations": presentations}))
        replace_table(path, presentations)
        shown[session_id] = sorted(old_stimuli.keys() & set(presentations["stimulus"]))
        if progress is not None:
            progress(1)
    stimuli = {name: Template(_template(paths, name, digest)) for name, digest in old_stimuli.items()}
    for path in paths.statistics.glob("*"):
        if path.name != "zarr.json":
            remove(path)  # named after the old digest of the store, which nobody will ask for again
    for name in FLAT_TABLES:
        if ids:
            replace_table(paths.table(name), tables[name].assign(**{GENERATION: 0}))
    # Version 2 did not say who brought a template: it stays as long as any recording that was shown it.
    new = sessions.assign(digest=digests, templates=[" ".join(shown[name]) for name in ids], generation=0)
    replace_committed(paths, Committed(conform(new, "sessions"), stimuli))


def _unsealed(paths: Paths, name: str, ids: list[str]) -> pd.DataFrame:
    if not ids:
        return empty_table(name)
    table: pd.DataFrame = read_arrow(paths.table(name), sealed=False).to_pandas()
    table = conform(table.drop(columns=GENERATION, errors="ignore"), name)
    return table[table["session_id"].isin(ids)].reset_index(drop=True)


def _recording(paths: Paths, row: pd.DataFrame, rows: Mapping[str, pd.DataFrame]) -> str:
    """Compare a recording with its old digests and write its new ones; returns the digest of the whole."""
    session_id = str(row["session_id"].iloc[0])
    folder = paths.session(session_id)
    shape = (int(row["n_frames"].iloc[0]), int(row["n_neurons"].iloc[0]))
    old = rows["blocks"].sort_values("block").groupby("traces")["digest"].agg(list).to_dict()
    blocks = {}
    for name in sorted(map(str, old), key=lambda name: (name != DFF, name)):
        traces = map_shard(folder / name, shape)
        pieces = [traces[start : start + BLOCK_FRAMES] for start in range(0, shape[0], BLOCK_FRAMES)]
        _require_same(session_id, name, block_digests(pieces, shape, "float32", BLOCK_FRAMES, _sha256), old[name])
        blocks[name] = block_digests(pieces, shape, "float32", BLOCK_FRAMES)
    known = dict(zip(rows["parts"]["part"].tolist(), rows["parts"]["digest"].tolist(), strict=True))
    _require_same(session_id, "all parts", _parts(folder, row, rows, known, _sha256), known)
    parts = _parts(folder, row, rows, known, array_digest)
    replace_table(paths.digests(session_id), digest_table(blocks, parts, _files(folder)))
    return recording_digest(blocks, parts, shape)


def _parts(
    folder: Path, row: pd.DataFrame, rows: Mapping[str, pd.DataFrame], known: Mapping[str, str], digest: Digest
) -> dict[str, str]:
    """Digests of the parts of a recording that lies in `folder`."""
    signals = {}
    for name in (part.removeprefix(_SIGNAL) for part in known if part.startswith(_SIGNAL)):
        values, attributes = _array(folder / name)
        signals[name] = (values, _array(folder / f"{name}_time")[0], str(attributes.get("units", "")))
    return part_digests(
        row,
        rows,
        _array(folder / "time")[0],
        signals=signals,
        masks=[_array(folder / name)[0] for name in (MASK_PX, MASK_NEURON)] if "masks" in known else None,
        max_projection=_array(folder / MAX_PROJECTION)[0] if MAX_PROJECTION in known else None,
        digest=digest,
    )


def _template(paths: Paths, name: str, old: str) -> str:
    """Compare a template with its old digest and write its new ones; returns the digest of the whole."""
    folder = paths.stimulus(name)
    frames = map_shard(folder / FRAMES)
    pieces = [frames[start : start + MOVIE_BLOCK_FRAMES] for start in range(0, len(frames), MOVIE_BLOCK_FRAMES)]
    was = block_digests(pieces, frames.shape, frames.dtype, MOVIE_BLOCK_FRAMES, _sha256)
    _require_same("", f"template {name}", json_digest({"blocks": was, "shape": list(frames.shape)}), old)
    blocks = block_digests(pieces, frames.shape, frames.dtype, MOVIE_BLOCK_FRAMES)
    digest = template_digest(blocks, frames.shape)
    replace_json(folder / "zarr.json", group_json({"digest": digest}))
    replace_table(paths.stimulus_digests(name), digest_table({FRAMES: blocks}, {}, _files(folder)))
    return digest


def _files(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}


def _array(folder: Path) -> tuple[npt.NDArray[Any], Mapping[str, Any]]:
    import zarr

    try:
        array = zarr.open_array(str(folder), mode="r", zarr_format=3)
        return np.asarray(array[:]), dict(array.attrs)
    except Exception as error:  # zarr raises a different class for every kind of damage
        raise StoreError(
            f"{folder} cannot be read ({type(error).__name__}: {error}), so the store was not migrated; restore it "
            "from a copy, or ingest the recordings again into a new store."
        ) from error


def _require_same(session_id: str, what: str, found: object, known: object) -> None:
    if found != known:
        of = f"recording {session_id!r}: {what}" if session_id else what
        raise StoreError(
            f"{of} is not what was written, so the store was not migrated; restore it from a copy, or ingest the "
            "recordings again into a new store."
        )


def _sha256(array: npt.NDArray[Any]) -> str:
    """Digest of an array in format version 2."""
    return hashlib.sha256(byte_view(array)).hexdigest()[:16]
