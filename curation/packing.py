"""Packing: the selected neurons of a view as a store of their own, which opens like any other and says what it is of.

Every frame is kept, so that presentations, gaps and windows mean what they meant. Each recording goes through the
store's own writer, a block of frames at a time, and everything that is read is held against the digests it was written
with: damage is named, not copied.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.leaks.grounds import grounds_of
from poyodata.digests import array_digest, json_digest
from poyodata.errors import PoyodataError, StoreError, UsageError
from poyodata.progress import stage
from poyodata.splits.role_digests import role_digests
from poyodata.statistics.learned.columns import learned_columns
from poyodata.store import Store, StoreWriter, open_store
from poyodata.store.annotations import annotate
from poyodata.store.aside import Written, write_aside
from poyodata.store.group import join_masks
from poyodata.store.remote import written_folder
from poyodata.store.shard import padded_blocks
from poyodata.store.stored_recording import StoredRecording
from poyodata.store.tables import JOINED_COLUMNS, METADATA_COLUMNS, split_digests
from poyodata.vocabulary import DFF

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest
    from poyodata.curation.view import View

_CHANGED = ("neurons", "masks")
"""Parts of a recording that are others once neurons are left out; all else must have the digest it had."""

_log = logging.getLogger(__name__)


def pack_view(view: View, path: str | Path, progress: Callable[[int], None] | None = None) -> Store:
    """Write the selected neurons of a view into a store of their own; see `View.materialise`."""
    folder = written_folder(path)
    _require_outside(folder, view.store)
    lineage = lineage_of(view)
    _require_free(folder, lineage)
    if progress is not None:
        packed = _write(view, folder, lineage, progress)
    else:
        with stage("packing the diet", len(view), "recordings") as advance:
            packed = _write(view, folder, lineage, advance)
    _carry_annotations(view, packed)
    for name in sorted(set(learned_columns(view.store).values())):
        _log.warning(
            "the learned columns %r are not in the packed store: their lineage names the recordings of %s",
            name,
            view.store.path,
        )
    return open_store(folder)


def lineage_of(view: View) -> dict[str, Any]:
    """Say what a packed store is made from: digests of manifest, diet, store and split, and what that store was from.

    Parameters
    ----------
    view : View

    Returns
    -------
    dict
        ``manifest``, ``diet``, ``name``, ``store``, ``split``, ``split_name``, ``fold``, ``recordings`` and ``neurons``
        (how many), ``roles`` (digest of the roles of each recording, by which checks for leaks know the split again on
        a store of other digests), ``evidence`` (statistics, learned columns and thresholds that chose the neurons),
        ``grounds`` (how they did, which checks for leaks judge as if the manifest at hand had done it; see `Grounds`),
        ``before`` (the same of a store that was packed itself, else None).
    """
    manifest: Manifest = view.manifest
    split, grounds = manifest.meta["split"], grounds_of(manifest)
    return {
        "manifest": manifest.digest,
        "diet": json_digest(manifest.meta["diet"]),
        "name": manifest.name,
        "store": manifest.store_digest,
        "split": split["digest"],
        "split_name": split["spec"].get("name", ""),
        "fold": split["fold"],
        "recordings": len(view),
        "neurons": len(manifest.neurons),
        "roles": role_digests(manifest.role_time),
        "evidence": grounds.names,
        "grounds": grounds.summary(),
        "before": view.store.lineage,
    }


def _require_outside(folder: Path, store: Store) -> None:
    """Raise where the packed store would lie in the folders of the store that it is packed from."""
    source = Path(store.path).resolve()
    if source in folder.resolve().parents:
        raise UsageError(f"{folder} lies within the store that is packed, {source}; give a folder outside of it.")


def _require_free(folder: Path, lineage: Mapping[str, Any]) -> None:
    """Raise unless the folder is new, or holds what an earlier run of the same left unfinished or finished."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        known = open_store(folder)
    except PoyodataError:
        held = "something else than a store"
    else:
        # A run that was killed before its first commit has said nothing yet.
        if known.lineage == lineage or not (folder / "tables" / "sessions.parquet").exists():
            return
        name = (known.lineage or {}).get("name")
        held = f"a packed copy of another manifest (of diet {name!r})" if name else "another store"
    raise UsageError(f"{folder} exists and holds {held}; give a new folder for the packed store.")


def _write(view: View, folder: Path, lineage: Mapping[str, Any], advance: Callable[[int], None]) -> Store:
    is_new = not folder.exists()
    with StoreWriter(folder, lineage) as writer:
        done = set(writer.sessions["session_id"])
        try:
            for session_id in view.session_ids:
                if session_id not in done:
                    record = PackedRecord(view.store, session_id, view.columns(session_id))
                    names = tuple(record.known.blocks)
                    written = write_aside(writer.paths, record, "keep", names, writer.known_stimuli)
                    try:
                        record.require_unchanged(written)
                    except BaseException:
                        written.discard()
                        raise
                    writer.commit(written)
                advance(1)
        except BaseException:
            if is_new and len(writer.sessions) == 0:
                shutil.rmtree(folder, ignore_errors=True)  # while the lock is still held
            raise
    return open_store(folder)


def _carry_annotations(view: View, packed: Store) -> None:
    """Join the labels of the selected neurons to the packed store."""
    neurons = view.store.neurons
    neurons = neurons[neurons["neuron_id"].isin(view.manifest.neurons["neuron_id"])]
    for name, known in view.store.annotations.items():
        columns = list(known.columns)
        labels = neurons[[known.on, *columns]].dropna(subset=[known.on]).drop_duplicates(known.on)
        labels = labels[labels[columns].notna().any(axis=1)].reset_index(drop=True)
        if labels.empty:
            _log.warning("the annotation %r says nothing of the packed neurons, so that it is not carried", name)
            continue
        try:
            annotate(packed.path, labels, name, known.on)
        except PoyodataError as error:
            _log.warning("the annotation %r is not in the packed store: %s", name, error)


class _Digests(NamedTuple):
    blocks: dict[str, list[str]]
    parts: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True, eq=False)
class PackedRecord(StoredRecording):
    """Some neurons of a recording of a store, in the shape in which the store's writer takes recordings.

    Attributes
    ----------
    store : Store
    session_id : str
    columns : ndarray, shape (neuron,), int64
        Trace columns that are kept, increasing.
    """

    columns: npt.NDArray[np.int64]

    @cached_property
    def known(self) -> _Digests:
        """Digests that the recording was written with."""
        return _Digests(*split_digests(self.store.digests_of(self.session_id)))

    @property
    def metadata(self) -> SimpleNamespace:
        """Who was recorded, where and how: as it was."""
        return SimpleNamespace(**{name: self.row[name] for name in METADATA_COLUMNS})

    @property
    def source_digest(self) -> str:
        """Digest of the recording that this is a part of."""
        return str(self.row["digest"])

    @cached_property
    def neurons(self) -> pd.DataFrame:
        """The kept neurons, with what their source said of them."""
        table = self.store.neurons
        own = table[table["session_id"] == self.session_id].sort_values("column").iloc[self.columns]
        joined = [column for known in self.store.annotations.values() for column in known.columns]
        return own.drop(columns=[*JOINED_COLUMNS, *joined]).reset_index(drop=True)

    @property
    def templates(self) -> Mapping[str, Callable[[], npt.NDArray[np.uint8]]]:
        """Stimulus templates that the recording brought."""
        return {name: partial(self.store.movie, name) for name in str(self.row["templates"]).split()}

    @property
    def further(self) -> Mapping[str, Callable[[int, int], npt.NDArray[np.float32]]]:
        """Traces beside dF/F."""
        return {name: partial(self._kept, name) for name in self.known.blocks if name != DFF}

    @cached_property
    def masks(self) -> Sequence[npt.NDArray[np.int16]] | None:
        """Pixels of the kept neurons."""
        if "masks" not in self.known.parts:
            return None
        masks = self.store.masks(self.session_id)
        if json_digest([array_digest(array) for array in join_masks(masks)]) != self.known.parts["masks"]:
            raise self._damaged("its masks are")
        return [masks[column] for column in self.columns.tolist()]

    @cached_property
    def max_projection(self) -> npt.NDArray[np.uint8] | None:
        """Maximum projection of the imaging plane, as it was."""
        return self.store.max_projection(self.session_id)

    def blocks(self, rows: int, name: str) -> Iterator[npt.NDArray[np.float32]]:
        """Traces of the kept neurons in order, `rows` frames at a time: (time, neuron), float32.

        Raises
        ------
        StoreError
            A block is not what was written.
        """
        shape = n_frames, _ = self.store.traces(self.session_id, name).shape
        pieces = (self.read(start, start + rows, name=name) for start in range(0, n_frames, rows))
        digests = self.known.blocks[name]
        for index, block in enumerate(padded_blocks(pieces, shape, np.float32, rows)):
            if array_digest(block) != digests[index]:
                raise self._damaged(f"block {index} of its traces {name} is")
            yield block[: n_frames - index * rows, self.columns]

    def check(self) -> PackedRecord:
        """Give itself back: it was checked when it was written."""
        return self

    def require_unchanged(self, written: Written) -> None:
        """Raise when anything that was not to change did on its way.

        Raises
        ------
        StoreError
        """
        for part, digest in self.known.parts.items():
            if part not in _CHANGED and written.parts.get(part) != digest:
                raise self._damaged(f"{part} is")
        for name, digest in written.templates.items():
            if self.store.stimuli[name] != digest:
                raise self._damaged(f"the template of {name} is")

    def _kept(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        return self.read(start, stop, self.columns, name)

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"recording {self.session_id!r} of {self.store.path}: {what} not what was written, so that it was not "
            "packed; `poyodata verify` names all that is damaged. Restore it from a copy, or ingest it again."
        )
