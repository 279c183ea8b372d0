"""`Store`: what a store holds, read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import json_digest
from poyodata.errors import StoreError, UsageError, nearest
from poyodata.progress import stage
from poyodata.store.annotations import join_labels, read_annotation
from poyodata.store.commit import Annotation, lean_memory, read_table, read_tables
from poyodata.store.files import Files, LocalFiles, Recording, require_current, told_when_gone
from poyodata.store.group import MASK_NEURON, MASK_PX, MAX_PROJECTION, split_masks
from poyodata.store.layout import FORMAT_VERSION
from poyodata.store.remote import is_url, local_path
from poyodata.store.shown import arranged, page, text
from poyodata.store.tables import (
    GENERATION,
    JOINED_COLUMNS,
    SORT_KEYS,
    TABLES,
    committed_rows,
    conform,
    empty_table,
    sort_rows,
)
from poyodata.vocabulary import DFF

if TYPE_CHECKING:
    import xarray as xr


def open_store(
    path: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : path-like or URL
        Top folder of the store; or where it is, such as ``s3://bucket/allen.zarr`` or ``https://host/allen.zarr``.
    storage_options : mapping, optional
        With a URL: what fsspec's file system of that protocol takes, such as ``{"anon": True}`` for a public bucket,
        credentials, or an ``endpoint_url``. A pickled store carries them, credentials included.
    cache : path-like, optional
        With a URL: the folder that keeps what was read; ``$POYODATA_CACHE``, else the user's cache folder. It may be
        removed at any time, and grows with what is read.

    Returns
    -------
    Store
        As it is now: recordings added later are seen by the next `open_store`.

    Raises
    ------
    UsageError
        When nothing lies at `path`, access to it is denied, or a package for the protocol is not installed.
    StoreError
        When what lies there is no store, is damaged, or has another format version, or when a server does not answer.

    Examples
    --------
    >>> open_store("no-such.zarr")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: no store at no-such.zarr: give the path of a store, or make one with `poyodata ingest`.
    """
    return Store(path, storage_options, cache)


class Store:
    """Recordings of one store at the moment it was opened. Made by `open_store`.

    Tables are DataFrames, read on first use and then kept: take a copy before changing one. Traces are mapped, never
    loaded; of a store at a URL, the blocks that are read are fetched, each once. A store can be pickled; it is then
    opened again from its path (a URL with its `storage_options`, credentials among them).

    Attributes
    ----------
    path : Path or str
        The folder, or the URL.
    format_version : int
    sessions : DataFrame
        One row a recording, sorted by ``session_id``.
    stimuli : dict of str to str
        Digest of every stimulus template, by stimulus.
    annotations : dict of str to Annotation
        Labels that were joined to the neurons, by name.
    lineage : dict or None
        What the store was made from, where it is a copy of a part of another one; None for one of recordings as they
        were read. No part of `digest`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path: Path | str
        self._files: Files
        self.path, self._files = _place(path, storage_options, cache)
        # Unpickled, it may be in a process that stands elsewhere.
        place = self.path.absolute() if isinstance(self.path, Path) else self.path
        self._opened_with = (place, storage_options, cache)
        self.sessions: pd.DataFrame
        self.stimuli: dict[str, str]
        committed = self._files.committed()
        self.format_version = FORMAT_VERSION
        self.sessions = committed.sessions
        self.stimuli = {name: template.digest for name, template in committed.stimuli.items()}
        self.annotations: dict[str, Annotation] = dict(committed.annotations)
        self.lineage: dict[str, Any] | None = None if committed.lineage is None else dict(committed.lineage)
        self._templates = dict(committed.stimuli)
        columns = ("session_id", GENERATION, "digest")
        recordings = map(Recording, *(self.sessions[column].tolist() for column in columns))
        self._recordings = {recording.session_id: recording for recording in recordings}
        self._row_of = {session_id: row for row, session_id in enumerate(self._recordings)}
        self._maps: dict[tuple[str, str], npt.NDArray[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, self._opened_with

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Names of the recordings, sorted."""
        return tuple(self._row_of)

    def __len__(self) -> int:
        return len(self._row_of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row_of)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._row_of

    @cached_property
    def digest(self) -> str:
        """Digest of everything recorded, independent of the order in which recordings were added."""
        return json_digest(
            {
                "format_version": FORMAT_VERSION,
                "sessions": sorted(self.sessions["digest"].tolist()),
                "stimuli": self.stimuli,
            }
        )

    # -- tables --------------------------------------------------------------------------------------------------

    @cached_property
    @lean_memory()
    def neurons(self) -> pd.DataFrame:
        """One row a trace: ``neuron_id``, ids, position, and who was recorded; sorted by (session_id, column).

        Columns of `annotations` follow, missing where a neuron has no label.
        """
        own = self._table("neurons")
        recording, session_ids = pd.factorize(own["session_id"])
        joined = self.sessions.set_index("session_id")[list(JOINED_COLUMNS)].reindex(session_ids).iloc[recording]
        columns = list(TABLES["neurons"])
        further = [column for column in own.columns if column not in columns]
        neurons = pd.concat([own[columns], joined.reset_index(drop=True), own[further]], axis=1)
        labels = [
            (known, read_annotation(self._files.annotation(name, known.digest), known))
            for name, known in self.annotations.items()
        ]
        return join_labels(neurons, labels)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_specimen_id, container_id, donor_id, n_sessions. Neurons without a cell are left out."""
        known = self.neurons[self.neurons["cell_specimen_id"].notna()]
        return known.groupby("cell_specimen_id", as_index=False).agg(
            container_id=("container_id", "first"), donor_id=("donor_id", "first"), n_sessions=("session_id", "nunique")
        )

    @cached_property
    def presentations(self) -> pd.DataFrame:
        """One row for each trial, sweep or movie frame shown in any recording; sorted by (session_id, start_frame)."""
        if not self._row_of:
            return empty_table("presentations")
        recordings = list(self._recordings.values())
        with told_when_gone(self._files, recordings):
            return conform(read_tables(self._files.presentations(recordings)), "presentations")

    def presentations_of(self, session_id: str | Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Presentations of one recording, or of some: what `presentations` has of them, at the price of these alone.

        Parameters
        ----------
        session_id : str or sequence of str
            Several are read together, which costs less than one by one.
        columns : sequence of str, optional
            These alone are read. A movie has as many presentations as frames: some columns cost far less than all.

        Raises
        ------
        UsageError
            When there is no such recording or no such column.
        """
        wanted = [session_id] if isinstance(session_id, str) else session_id
        recordings = [self._recording(name) for name in wanted]
        if not recordings:
            return empty_table("presentations")[list(columns or TABLES["presentations"])]
        for name in columns or ():
            if name not in TABLES["presentations"]:
                raise UsageError(f"presentations have no column {name!r}: {nearest(name, TABLES['presentations'])}")
        with told_when_gone(self._files, recordings):
            paths = self._files.presentations(recordings)
            return conform(read_tables(paths, columns), "presentations", columns)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row a stimulus epoch: session_id, epoch, stimulus, start_frame, stop_frame."""
        return self._table("epochs")

    @cached_property
    def segments(self) -> pd.DataFrame:
        """One row a stretch recorded without a gap: session_id, segment, start_frame, stop_frame."""
        return self._table("segments")

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """Digest of every 1,024 frames of traces, the last padded with NaN: session_id, traces, block, digest.

        Read from one file a recording; `digests_of` is the price of one.
        """
        return self._digests("block", "blocks", {"name": "traces"})

    @cached_property
    def parts(self) -> pd.DataFrame:
        """Digest of everything of a recording but its traces: session_id, part, digest."""
        return self._digests("part", "parts", {"name": "part"})

    def digests_of(self, session_id: str) -> pd.DataFrame:
        """Digests of one recording: kind (block, part or file), name, block, digest."""
        return self._digests_of([self._recording(session_id)])[0]

    def _digests_of(self, recordings: Sequence[Recording]) -> list[pd.DataFrame]:
        with told_when_gone(self._files, recordings):
            return [conform(read_table(path)[0], "digests") for path in self._files.digests(recordings)]

    def _digests(self, kind: str, name: str, names: dict[str, str]) -> pd.DataFrame:
        """Digests of one kind of every recording, in the columns of the table `name`."""
        tables = self._digests_of(list(self._recordings.values()))
        if not tables:
            return empty_table(name)
        rows = [table.assign(session_id=own) for own, table in zip(self._recordings, tables, strict=True)]
        table = pd.concat([own[own["kind"] == kind] for own in rows]).rename(columns=names)[list(TABLES[name])]
        return conform(table, name).sort_values(list(SORT_KEYS[name]), kind="stable", ignore_index=True)

    @lean_memory()
    def _table(self, name: str) -> pd.DataFrame:
        if not self._row_of:
            return empty_table(name)
        # The file may be ahead of the table of sessions that this store was opened with; it is behind only for
        # recordings that were updated or removed since.
        table = committed_rows(conform(read_table(self._files.table(name))[0], name), self.sessions)
        for session_id in self._row_of.keys() - set(table["session_id"].unique()):
            require_current(self._files, self._recordings[session_id])
        return sort_rows(table.drop(columns=GENERATION), name)

    # -- one recording -------------------------------------------------------------------------------------------

    def __getitem__(self, session_id: str) -> xr.Dataset:
        """Open a recording as a Dataset whose arrays are read when used; ``.chunk()`` makes dask arrays of them.

        Raises
        ------
        UsageError
            When there is no such recording.
        """
        return arranged(self._files.dataset(self._recording(session_id)))

    def traces(self, session_id: str, name: str = DFF) -> npt.NDArray[np.float32]:
        """Traces of a recording, mapped read-only.

        Of a store at a URL, an array whose slices fetch the blocks that they need, and that ``np.asarray`` fetches
        and maps as a whole.

        Parameters
        ----------
        session_id : str
        name : str
            Which traces: dF/F, or others that were ingested with the recording.

        Returns
        -------
        memmap or RemoteArray, shape (time, neuron), float32
            dF/F, or counts.

        Raises
        ------
        UsageError
            When there is no such recording or no such traces.
        StoreError
            When the file is missing, truncated or damaged.
        """
        mapped = self._maps.get((session_id, name))
        if mapped is None:
            recording = self._recording(session_id)
            if name != DFF:
                self._require_part(recording, "block", name, "traces")
            row = self._row_of[session_id]
            shape = (int(self.sessions["n_frames"].iloc[row]), int(self.sessions["n_neurons"].iloc[row]))
            mapped = self._maps[session_id, name] = self._files.traces(recording, name, shape)
        return mapped

    def time_s(self, session_id: str) -> npt.NDArray[np.float64]:
        """Timestamps of a recording's frames, shape (time,), float64, seconds."""
        return self._read(self._recording(session_id), "time")

    def signal(self, session_id: str, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Behavioural signal of a recording.

        Returns
        -------
        values : ndarray, shape (sample,), float64
        time_s : ndarray, shape (sample,), float64, seconds

        Raises
        ------
        UsageError
            When there is no such recording or signal.
        """
        recording = self._recording(session_id)
        self._require_part(recording, "part", name, "signal", prefix="signal:")
        return self._read(recording, name), self._read(recording, f"{name}_time")

    def masks(self, session_id: str) -> list[npt.NDArray[np.int16]]:
        """Pixels of a recording's regions of interest.

        Returns
        -------
        list of ndarray, shape (pixel, 2), int16
            x (column) and y (row) in the imaging plane, one array for each trace column.

        Raises
        ------
        UsageError
            When there is no such recording, or its source had no masks.
        """
        recording = self._recording(session_id)
        if "masks" not in self._names(recording, "part"):
            raise UsageError(f"recording {session_id!r} has no masks; its source had none.")
        pixels = self._read(recording, MASK_PX).astype(np.int16)
        neuron = self._read(recording, MASK_NEURON).astype(np.int32)
        return split_masks(pixels, neuron, int(self.sessions["n_neurons"].iloc[self._row_of[session_id]]))

    def max_projection(self, session_id: str) -> npt.NDArray[np.uint8] | None:
        """Maximum projection of a recording's imaging plane.

        Returns
        -------
        ndarray, shape (y, x), uint8, or None
            None when the recording's source had none.

        Raises
        ------
        UsageError
            When there is no such recording.
        StoreError
            When the image was stored and cannot be read.
        """
        recording = self._recording(session_id)
        if MAX_PROJECTION not in self._names(recording, "part"):
            return None
        return self._read(recording, MAX_PROJECTION).astype(np.uint8)

    def movie(self, stimulus: str) -> npt.NDArray[np.uint8]:
        """Template of a stimulus, mapped read-only, shape (frame, height, width), uint8.

        Raises
        ------
        UsageError
            When the store has no template of that stimulus.
        """
        if stimulus not in self.stimuli:
            raise UsageError(f"the store has no template of stimulus {stimulus!r}: {nearest(stimulus, self.stimuli)}")
        return self._files.movie(stimulus, self._templates[stimulus])

    def compute_statistics(
        self,
        names: str | Sequence[str] | None = None,
        split: Any = None,
        window: Literal["train", "all"] = "train",
        sessions: Sequence[str] | None = None,
        progress: Callable[[int], None] | None = None,
        *,
        intervals: Any = None,
        workers: int | None = None,
        scheduler: str | None = None,
    ) -> pd.DataFrame:
        """Statistics of every neuron: `poyodata.compute_statistics` of this store, with a progress bar.

        Parameters
        ----------
        names : str or sequence of str, optional
            Of `poyodata.statistics.STATISTICS`; by default all.
        split : Split, SplitSpec or str, optional
            Whose train-role time is looked at: ``"donor-70-10-20"``.
        window : {"train", "all"}
        sessions : sequence of str, optional
            These recordings alone.
        progress : callable, optional
            Called with 1 after each recording, in place of the bar.
        intervals : Resampling or float, optional
            Level of confidence intervals, such as 0.95; by default none.
        workers : int, optional
        scheduler : str, optional

        Returns
        -------
        DataFrame
            One row a neuron. All else as `poyodata.compute_statistics` has it, errors too.
        """
        # The one place where the store knows of a layer above it, and only when it is called: a store is where a user
        # looks for the statistics of its neurons. tests/test_import_rules.py names it.
        from poyodata.statistics import compute_statistics

        def compute(advance: Callable[[int], None]) -> pd.DataFrame:
            return compute_statistics(
                self,
                names,
                split,
                window,
                sessions,
                advance,
                intervals=intervals,
                workers=workers,
                scheduler=scheduler,
            )

        if progress is not None:
            return compute(progress)
        with stage("computing statistics", len(self if sessions is None else set(sessions)), "recordings") as advance:
            return compute(advance)

    @property
    def statistics_folder(self) -> Path:
        """Folder of cached statistics; that of a store at a URL is in its cache on this machine."""
        return self._files.statistics

    @property
    def cache_folder(self) -> Path | None:
        """Folder on this machine that keeps what was read of a store at a URL; None for a store on this machine."""
        return self._files.cache

    def _recording(self, session_id: str) -> Recording:
        recording = self._recordings.get(session_id)
        if recording is None:
            raise UsageError(
                f"no recording {session_id!r} in {self.path}: {nearest(str(session_id), self._recordings)}"
            )
        return recording

    def _names(self, recording: Recording, kind: str) -> list[str]:
        """Names of the traces (``"block"``) or parts of a recording."""
        (digests,) = self._digests_of([recording])
        names: list[str] = digests.loc[digests["kind"] == kind, "name"].unique().tolist()
        return names

    def _require_part(self, recording: Recording, kind: str, name: str, what: str, prefix: str = "") -> None:
        known = [own.removeprefix(prefix) for own in self._names(recording, kind) if own.startswith(prefix)]
        if name not in known:
            raise UsageError(f"recording {recording.session_id!r} has no {what} {name!r}: {nearest(name, known)}")

    def _read(self, recording: Recording, name: str) -> npt.NDArray[np.float64]:
        import zarr

        from poyodata.store.whole_zarr import WholeStore

        folder = self._files.array(recording, name)
        place = WholeStore(folder, read_only=True) if isinstance(folder, Path) else folder
        try:
            values = np.asarray(zarr.open_array(place, mode="r", zarr_format=3)[:], dtype=np.float64)
        except Exception as error:  # zarr raises a different class for every kind of damage
            require_current(self._files, recording)
            where = folder if isinstance(folder, Path) else f"{name!r} of {recording.session_id!r} of {self.path}"
            raise StoreError(
                f"{where} cannot be read ({type(error).__name__}: {error}); restore it from a copy, or ingest the "
                "recording into a new store."
            ) from error
        return values

    # -- shown ---------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return page(self)


def _place(
    path: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None,
    cache: str | os.PathLike[str] | None,
) -> tuple[Path | str, Files]:
    """The path as it is shown, and the files under it."""
    local = local_path(os.fspath(path))
    if local is None and is_url(path):
        from poyodata.store.remote_files import RemoteFiles

        remote = RemoteFiles(str(path), storage_options, cache)
        return remote.name, remote
    path = local or path
    if storage_options or cache is not None:
        raise UsageError(f"storage_options and cache are for a store at a URL; {path} is on this machine.")
    files = LocalFiles(path)
    return files.root, files
