"""Merge stores: recordings of other stores, linked or copied, verified and committed in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.errors import StoreError, UsageError
from poyodata.store.annotations import merge_annotations
from poyodata.store.aside import Written, new_aside
from poyodata.store.commit import Committed, read_committed, read_table
from poyodata.store.disk import disk_errors, file_digest, link_or_copy, remove, sync_tree
from poyodata.store.layout import Paths, check_format
from poyodata.store.remote import local_folder
from poyodata.store.seal import is_intact
from poyodata.store.tables import FLAT_TABLES, GENERATION, committed_rows, conform, split_digests
from poyodata.store.writer import AddedSession, StoreWriter


def merge_stores(
    target: str | os.PathLike[str],
    sources: Sequence[str | os.PathLike[str]],
    *,
    replace: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[AddedSession]:
    """Bring every recording of other stores into one, and their annotations, in one atomic step.

    Files are linked where the file system allows, which takes no room, and copied elsewhere; each is compared with its
    digest. The other stores stay as they are. A linked file is one file in both stores: poyodata never changes one in
    place, but what damages it there damages both, so a merged store is no backup.

    Parameters
    ----------
    target : path-like
        The store that takes them; made where it is missing.
    sources : sequence of path-like
        The other stores.
    replace : bool
        Put recordings in the place of those of the same name but other content, which are refused otherwise.
    progress : callable, optional
        Called with 1 for every recording that was read.

    Returns
    -------
    list of AddedSession
        One for each recording of each source.

    Raises
    ------
    UsageError
        When a source is no path of a store, or is the target.
    StoreError
        When a packed store, whose lineage is true of its own recordings alone, would be merged with others; when a
        recording is there already with other content, a stimulus template differs, a file of a source is
        damaged, or the disk is full or read-only. The target is as it was.
    AnnotationError
        When annotations contradict each other. The target is as it was.
    """
    origins = [local_folder(source, "merged from") for source in sources]
    for origin in origins:
        check_format(origin)
        if Path(target).exists() and origin.resolve() == Path(target).resolve():
            raise UsageError(f"{origin} is the store that takes the others; leave it out of those that are merged.")
    known = [(Paths(origin), read_committed(Paths(origin))) for origin in origins]
    written: list[Written] = []
    is_new = not Path(target).exists()
    with StoreWriter(target, _common_lineage(known)) as writer:
        try:
            for paths, committed in known:
                flat = {name: _rows(paths, committed, name) for name in FLAT_TABLES}
                for session_id in committed.generations:
                    brought = {name: digest for one in written for name, digest in one.templates.items()}
                    stimuli = (writer.intact_stimuli if replace else writer.known_stimuli) | brought
                    with disk_errors(writer.path):
                        written.append(_link_aside(writer.paths, paths, committed, session_id, flat, stimuli))
                    if progress is not None:
                        progress(1)
            with disk_errors(writer.path):
                own = (writer.paths, writer.annotations)
                annotations = merge_annotations(
                    writer.paths, [own, *((paths, committed.annotations) for paths, committed in known)]
                )
            return writer.commit_all(written, replace=replace, annotations=annotations)
        except BaseException:
            if is_new and len(writer.sessions) == 0:
                shutil.rmtree(target, ignore_errors=True)  # while the lock is still held
            raise
        finally:
            for one in written:
                one.discard()


def learned_left_behind(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Files of learned columns that stores have and a merge does not bring: their lineage names the store they are of.

    Parameters
    ----------
    sources : sequence of path-like

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> learned_left_behind(["no-such.zarr"])
    []
    """
    return sorted(
        str(file) for source in sources for file in (Paths(Path(source)).statistics / "learned").glob("[!.]*.parquet")
    )


def _common_lineage(known: Sequence[tuple[Paths, Committed]]) -> Mapping[str, Any] | None:
    """Lineage of all sources, None where they have none; raises where it would not be true of all recordings."""
    lineages = [committed.lineage for _, committed in known]
    if any(lineage != lineages[0] for lineage in lineages):
        packed = next(paths.root for (paths, _), lineage in zip(known, lineages, strict=True) if lineage is not None)
        raise StoreError(
            f"{packed} is a copy of a part of another store, and its lineage is not true of the other recordings, so "
            "that nothing was merged; merge whole stores first, then resolve and pack the diet on what they give."
        )
    return lineages[0] if lineages else None


def _rows(paths: Paths, committed: Committed, name: str) -> dict[str, pd.DataFrame]:
    """Rows of a flat table by recording."""
    if len(committed.sessions) == 0:
        return {}
    table = committed_rows(conform(read_table(paths.table(name))[0], name), committed.sessions)
    rows = dict.fromkeys(committed.generations, table.iloc[:0])
    rows |= {str(session_id): own for session_id, own in table.groupby("session_id")}
    return {session_id: own.drop(columns=GENERATION).reset_index(drop=True) for session_id, own in rows.items()}


def _link_aside(
    target: Paths,
    origin: Paths,
    committed: Committed,
    session_id: str,
    flat: Mapping[str, Mapping[str, pd.DataFrame]],
    stimuli: Mapping[str, str],
) -> Written:
    """Lay a recording of another store aside in this one, as `write_aside` does with one of a source."""
    generation = committed.generations[session_id]
    row = committed.sessions[committed.sessions["session_id"] == session_id].reset_index(drop=True)
    templates = {name: committed.stimuli[name].digest for name in str(row["templates"].iloc[0]).split()}
    aside = new_aside(target)
    try:
        digests = _link_group(
            origin.session(session_id, generation), aside.session, origin.digests(session_id, generation), aside.digests
        )
        _link_sealed(origin.presentations(session_id, generation), aside.presentations)
        for name, digest in templates.items():
            if stimuli.get(name) != digest:
                own = committed.stimuli[name].generation
                _link_group(
                    origin.stimulus(name, own),
                    aside.stimulus(name),
                    origin.stimulus_digests(name, own),
                    aside.stimulus_digests(name),
                )
        sync_tree(aside.folder)
    except BaseException:
        remove(aside.folder)
        raise
    blocks, parts, _ = split_digests(digests)
    return Written(
        session_id=session_id,
        row=row,
        tables={name: flat[name][session_id] for name in FLAT_TABLES},
        blocks=blocks,
        parts=parts,
        templates=templates,
        folder=aside.folder,
    )


def _link_group(origin: Path, target: Path, origin_digests: Path, target_digests: Path) -> pd.DataFrame:
    """Link or copy a Zarr group and the table of its digests, and compare every file with its digest."""
    digests = conform(read_table(origin_digests)[0], "digests")
    for name, digest in split_digests(digests)[2].items():
        _link(origin / name, target / name)
        if file_digest(target / name) != digest:
            raise _damaged(origin / name)
    _link_sealed(origin_digests, target_digests)
    return digests


def _link_sealed(origin: Path, target: Path) -> None:
    _link(origin, target)
    if not is_intact(target.read_bytes()):
        raise _damaged(origin)


def _link(origin: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        link_or_copy(origin, target)
    except FileNotFoundError as error:
        raise _damaged(origin) from error


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is missing or damaged, so nothing was merged; `poyodata verify` names all that is: restore it from a "
        "copy, or ingest the recording again with --update."
    )
