"""`Store`: what a store holds, read when it is asked for."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import json_digest
from poyodata.errors import StoreError, UsageError, nearest
from poyodata.store.commit import read_sessions, read_table, read_tables
from poyodata.store.group import MASK_NEURON, MASK_PX, MAX_PROJECTION, split_masks
from poyodata.store.layout import FORMAT_VERSION, Paths, check_format
from poyodata.store.session import TRACE_DIMENSIONS
from poyodata.store.shard import map_shard
from poyodata.store.tables import JOINED_COLUMNS, SORT_KEYS, TABLES, conform, empty_table
from poyodata.vocabulary import DFF

if TYPE_CHECKING:
    import xarray as xr


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : path-like
        Top folder of the store.

    Returns
    -------
    Store
        As it is now: recordings added later are seen by the next `open_store`.

    Raises
    ------
    UsageError
        When nothing lies at `path`.
    StoreError
        When what lies there is no store, is damaged, or has another format version.

    Examples
    --------
    >>> open_store("no-such.zarr")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: no store at no-such.zarr: give the path of a store, or make one with `poyodata ingest`.
    """
    return Store(path)


class Store:
    """Recordings of one store at the moment it was opened. Made by `open_store`.

    Tables are DataFrames, read on first use and then kept: take a copy before changing one. Traces are mapped, never
    loaded. A store can be pickled; it is then opened again from its path.

    Attributes
    ----------
    path : Path
    format_version : int
    sessions : DataFrame
        One row a recording, sorted by ``session_id``.
    stimuli : dict of str to str
        Digest of every stimulus template, by stimulus.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.format_version = check_format(self.path)
        self._paths = Paths(self.path)
        self.sessions: pd.DataFrame
        self.stimuli: dict[str, str]
        self.sessions, self.stimuli = read_sessions(self._paths)
        self._row_of = {session_id: row for row, session_id in enumerate(self.sessions["session_id"].tolist())}
        self._maps: dict[tuple[str, str], npt.NDArray[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.path,)

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
    def neurons(self) -> pd.DataFrame:
        """One row a trace: ``neuron_id``, ids, position, and who was recorded; sorted by (session_id, column)."""
        own = self._table("neurons")
        joined = self.sessions.set_index("session_id")[list(JOINED_COLUMNS)].reindex(own["session_id"])
        columns = list(TABLES["neurons"])
        further = [column for column in own.columns if column not in columns]
        return pd.concat([own[columns], joined.reset_index(drop=True), own[further]], axis=1)

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
        paths = [self._paths.presentations(session_id) for session_id in self._row_of]
        return conform(read_tables(paths), "presentations")

    def presentations_of(self, session_id: str) -> pd.DataFrame:
        """Presentations of one recording: what `presentations` has of it, at the price of one recording."""
        self._row(session_id)
        return conform(read_table(self._paths.presentations(session_id))[0], "presentations")

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
        """Digest of every 1,024 frames of traces, the last padded with NaN: session_id, traces, block, digest."""
        return self._table("blocks")

    @cached_property
    def parts(self) -> pd.DataFrame:
        """Digest of everything of a recording but its traces: session_id, part, digest."""
        return self._table("parts")

    def _table(self, name: str) -> pd.DataFrame:
        if not self._row_of:
            return empty_table(name)
        table = conform(read_table(self._paths.table(name))[0], name)
        # The file may be ahead of the table of sessions that this store was opened with; it is never behind.
        table = table[table["session_id"].isin(self.sessions["session_id"])]
        return table.sort_values(list(SORT_KEYS[name]), kind="stable", ignore_index=True)

    # -- one recording -------------------------------------------------------------------------------------------

    def __getitem__(self, session_id: str) -> xr.Dataset:
        """Open a recording as a Dataset whose arrays are read when used; ``.chunk()`` makes dask arrays of them.

        Raises
        ------
        UsageError
            When there is no such recording.
        """
        import xarray as xr

        self._row(session_id)
        dataset: xr.Dataset = xr.open_zarr(self.path, group=f"sessions/{session_id}", consolidated=False, chunks=None)
        return dataset

    def traces(self, session_id: str, name: str = DFF) -> npt.NDArray[np.float32]:
        """Traces of a recording, mapped read-only.

        Parameters
        ----------
        session_id : str
        name : str
            Which traces: dF/F, or others that were ingested with the recording.

        Returns
        -------
        memmap, shape (time, neuron), float32
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
            row = self._row(session_id)
            folder = self._traces_folder(session_id, name)
            shape = (int(self.sessions["n_frames"].iloc[row]), int(self.sessions["n_neurons"].iloc[row]))
            mapped = self._maps[session_id, name] = map_shard(folder, shape)
        return mapped

    def time_s(self, session_id: str) -> npt.NDArray[np.float64]:
        """Timestamps of a recording's frames, shape (time,), float64, seconds."""
        self._row(session_id)
        return _read(self._paths.session(session_id) / "time")

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
        self._row(session_id)
        folder = self._paths.session(session_id)
        known = (
            [path.name for path in folder.iterdir() if (folder / f"{path.name}_time").is_dir()]
            if folder.is_dir()
            else []
        )
        if name not in known:
            raise UsageError(f"recording {session_id!r} has no signal {name!r}: {nearest(name, known)}")
        return _read(folder / name), _read(folder / f"{name}_time")

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
        row = self._row(session_id)
        folder = self._paths.session(session_id)
        if folder.is_dir() and not (folder / MASK_PX).is_dir():
            raise UsageError(f"recording {session_id!r} has no masks; its source had none.")
        pixels = _read(folder / MASK_PX).astype(np.int16)
        neuron = _read(folder / MASK_NEURON).astype(np.int32)
        return split_masks(pixels, neuron, int(self.sessions["n_neurons"].iloc[row]))

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
        self._row(session_id)
        parts = self.parts
        if MAX_PROJECTION not in parts.loc[parts["session_id"] == session_id, "part"].tolist():
            return None
        return _read(self._paths.session(session_id) / MAX_PROJECTION).astype(np.uint8)

    def movie(self, stimulus: str) -> npt.NDArray[np.uint8]:
        """Template of a stimulus, mapped read-only, shape (frame, height, width), uint8.

        Raises
        ------
        UsageError
            When the store has no template of that stimulus.
        """
        if stimulus not in self.stimuli:
            raise UsageError(f"the store has no template of stimulus {stimulus!r}: {nearest(stimulus, self.stimuli)}")
        return map_shard(self._paths.stimuli / stimulus / "frames")

    @property
    def statistics_folder(self) -> Path:
        """Folder of cached statistics."""
        return self._paths.statistics

    def _row(self, session_id: str) -> int:
        row = self._row_of.get(session_id)
        if row is None:
            raise UsageError(f"no recording {session_id!r} in {self.path}: {nearest(str(session_id), self._row_of)}")
        return row

    def _traces_folder(self, session_id: str, name: str) -> Path:
        folder = self._paths.session(session_id)
        if not folder.is_dir():
            raise StoreError(f"{folder} is missing; restore it from a copy, or ingest the recording into a new store.")
        known = [path.name for path in folder.iterdir() if path.is_dir() and _is_traces(path)] if name != DFF else [DFF]
        if name not in known:
            raise UsageError(f"recording {session_id!r} has no traces {name!r}: {nearest(name, known)}")
        return folder / name

    # -- shown ---------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, str]:
        hours = float((self.sessions["n_frames"] / self.sessions["rate_hz"]).sum()) / 3600
        return {
            "path": str(self.path),
            "digest": self.digest[:12],
            "recordings": f"{len(self):,} ({hours:.1f} h)",
            "neurons": f"{int(self.sessions['n_neurons'].sum()):,}",
            "donors": f"{self.sessions['donor_id'].nunique():,}",
            "CRE lines": ", ".join(sorted(self.sessions["cre_line"].unique())) or "none",
            "templates": ", ".join(sorted(self.stimuli)) or "none",
        }

    def __repr__(self) -> str:
        facts = self._facts()
        width = max(map(len, facts))
        return "\n".join(["<Store>", *(f"  {name:<{width}}  {value}" for name, value in facts.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>Store</caption><tbody>{rows}</tbody></table>"


def _is_traces(folder: Path) -> bool:
    try:
        metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return tuple(metadata.get("dimension_names") or ()) == TRACE_DIMENSIONS


def _read(folder: Path) -> npt.NDArray[np.float64]:
    import zarr

    try:
        return np.asarray(zarr.open_array(str(folder), mode="r", zarr_format=3)[:], dtype=np.float64)
    except Exception as error:  # zarr raises a different class for every kind of damage
        raise StoreError(
            f"{folder} cannot be read ({type(error).__name__}: {error}); restore it from a copy, or ingest the "
            "recording into a new store."
        ) from error
