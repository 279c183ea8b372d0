"""`View`: the selected part of a store, read when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.changes.store_change import store_change
from poyodata.curation.manifest import Manifest
from poyodata.curation.windows.free_time import free_time
from poyodata.curation.windows.recordings import STRIDE
from poyodata.errors import ManifestError, UsageError, nearest
from poyodata.intervals import Intervals

if TYPE_CHECKING:
    import xarray as xr

    from poyodata.store import Store


class View:
    """Neurons and windows of a manifest on its store. Made by ``manifest.open(store)``; opening reads no traces.

    Parameters
    ----------
    manifest : Manifest
    store : Store
        Must be what the manifest was resolved on: the same recordings, and those annotations and learned columns that
        the diet used.

    Raises
    ------
    ManifestError
        The store is another, or moved since; the message says what did.

    Attributes
    ----------
    manifest : Manifest
    store : Store
    session_ids : tuple of str
        Recordings with at least one selected neuron, sorted.
    """

    def __init__(self, manifest: Manifest, store: Store) -> None:
        change = store_change(manifest.meta, store)
        if change:
            raise ManifestError(
                f"manifest {manifest.name!r} was resolved on a store of digest {manifest.store_digest[:12]}, and this "
                f"store ({store.digest[:12]}) is another, or has moved since: {change.text()}. Open the right one, or "
                f"resolve the diet again: poyodata diet resolve {manifest.name} {store.path}"
            )
        self.manifest = manifest
        self.store = store
        self.session_ids: tuple[str, ...] = tuple(sorted(map(str, manifest.neurons["session_id"].unique())))

    @cached_property
    def _rows(self) -> Mapping[str, npt.NDArray[np.int64]]:
        groups = self.manifest.neurons.groupby("session_id", sort=True).indices
        return {str(key): np.asarray(rows, np.int64) for key, rows in groups.items()}

    @cached_property
    def segments(self) -> Mapping[str, Intervals]:
        """Stretches recorded without a gap, by recording: arrays of shape (segment, 2), int64, frames."""
        table = self.store.segments
        chosen = table[table["session_id"].isin(self.session_ids)]
        return {
            str(key): rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
            for key, rows in chosen.groupby("session_id")
        }

    def free_stretches(self, role: str) -> Mapping[str, Intervals]:
        """Frames that windows of a role may use: its own time, and the frames without a role that go with it.

        Frames without a role, such as the grey between trials, go with the role whose time comes before them in their
        segment; those before the first such time, with that one. So no frame is free for two roles. Roles to learn
        from (``train``, ``identify``) also keep the split's guard from the time of other roles.

        Parameters
        ----------
        role : str

        Returns
        -------
        mapping of session id to ndarray, shape (stretch, 2), int64
            Sorted; cut at gaps of the recording.
        """
        place, frames = self.free_frames(role)
        parts = np.split(frames, np.searchsorted(place, np.arange(1, len(self.session_ids))))
        return dict(zip(self.session_ids, parts, strict=True))

    def free_frames(self, role: str) -> tuple[npt.NDArray[np.int64], Intervals]:
        """Give the `free_stretches` of all recordings in one array.

        Parameters
        ----------
        role : str

        Returns
        -------
        session_index : ndarray, shape (stretch,), int64
            Position in `session_ids`, increasing.
        frames : ndarray, shape (stretch, 2), int64
            Sorted within each recording.
        """
        time, table = self.manifest.role_time, self.store.segments
        recorded = _on_axis(table[table["session_id"].isin(self.session_ids)], self.session_ids)
        free = free_time(
            recorded[np.argsort(recorded[:, 0], kind="stable")],
            _on_axis(time, self.session_ids),
            time["role"].to_numpy(object),
            time["guard_frames"].to_numpy(np.int64),
            role,
        )
        place = free[:, 0] // STRIDE
        return place, free - place[:, None] * STRIDE

    def neurons(self, session_id: str) -> pd.DataFrame:
        """Give the selected neurons of a recording, in the order of their trace columns."""
        return self.manifest.neurons.iloc[self._rows_of(session_id)].reset_index(drop=True)

    def columns(self, session_id: str) -> npt.NDArray[np.int64]:
        """Trace columns of the selected neurons, shape (neuron,), int64, increasing."""
        return self.manifest.neurons["column"].to_numpy(np.int64)[self._rows_of(session_id)]

    def windows(self, role: str | None = None) -> pd.DataFrame:
        """Windows of one role, or all of them.

        Raises
        ------
        UsageError
            The manifest has no window of that role.
        """
        windows = self.manifest.windows
        if role is None:
            return windows
        if role not in self.manifest.roles:
            raise UsageError(
                f"manifest {self.manifest.name!r} has no windows of role {role!r}: {nearest(role, self.manifest.roles)}"
            )
        return windows[(windows["role"] == role).to_numpy(bool)].reset_index(drop=True)

    def dataset(self, session_id: str) -> xr.Dataset:
        """Open a recording lazily with the selected neurons alone; every frame is there, windows cut nothing away.

        Pixels of masks are those of these neurons, numbered as they stand here, as in what `materialise` writes.
        """
        columns, whole = self.columns(session_id), self.store[session_id]
        chosen = whole.isel(neuron=columns)
        if "mask_neuron" not in whole.variables:
            return chosen
        place = np.full(whole.sizes["neuron"], -1, np.int64)
        place[columns] = np.arange(len(columns))
        neuron = whole["mask_neuron"]
        number = place[neuron.to_numpy()]
        kept = np.flatnonzero(number >= 0)
        pixels = chosen.isel(mask_pixel=kept)
        return pixels.assign(mask_neuron=pixels["mask_neuron"].copy(data=number[kept].astype(neuron.dtype)))

    def traces(self, session_id: str) -> npt.NDArray[np.float32]:
        """All trace columns of a recording, mapped, shape (time, neuron), float32, dF/F; take `columns` of it."""
        self._rows_of(session_id)
        traces: npt.NDArray[np.float32] = self.store.traces(session_id)
        return traces

    def statistics(self, columns: Sequence[str]) -> pd.DataFrame:
        """Statistics of the selected neurons, on the time that the diet's own are of: its split's train-role time.

        Kept ones are read, and others computed and kept (`poyodata.compute_statistics`).

        Parameters
        ----------
        columns : sequence of str
            Such as ``skewness`` or ``mean@drifting_gratings``.

        Returns
        -------
        DataFrame
            ``neuron_id`` and these columns, in the order of ``manifest.neurons``.

        Raises
        ------
        StatisticError
            No statistic gives such a column.
        ManifestError
            The manifest's split cannot be resolved again on this store.
        """
        from poyodata.splits import SplitSpec, resolve_split
        from poyodata.statistics import compute_statistics, select_columns

        names, known = select_columns(columns), self.manifest.meta["split"]
        if self.manifest.meta["statistics"]["window"] == "all":
            table = compute_statistics(self.store, names, window="all", sessions=self.session_ids)
        else:
            split = resolve_split(self.store, SplitSpec.model_validate(known["spec"]), fold=known["fold"])
            if split.digest != known["digest"]:
                raise ManifestError(
                    f"the split of manifest {self.manifest.name!r} gives other roles on this store now, so that "
                    "statistics of its train time cannot be had; resolve the diet again."
                )
            table = compute_statistics(self.store, names, split, sessions=self.session_ids)
        neuron_ids = self.manifest.neurons["neuron_id"].tolist()
        return table.set_index("neuron_id").loc[neuron_ids, list(columns)].reset_index()

    def materialise(self, path: str | Path, progress: Callable[[int], None] | None = None) -> Store:
        """Write a packed store: the selected neurons alone, with every frame, opened like any other store.

        Frame numbers, presentations, gaps, signals, masks and stimulus templates are as they were, and so is every
        value of the traces; trace columns are numbered anew. Annotations are carried for these neurons; learned columns
        are not, which a warning in the log says. Where the same was begun before and cut short, it goes on there.

        Parameters
        ----------
        path : path-like
            A new folder, or one that holds a packed store of exactly this manifest.
        progress : callable, optional
            Called with 1 after each recording, in place of the bar.

        Returns
        -------
        Store
            ``lineage`` says what it is of. Manifests that are resolved on it carry that in ``meta["lineage"]``.

        Raises
        ------
        UsageError
            The folder holds something else, or is a URL.
        StoreError
            What is read is damaged, or the disk is full or may not be written. Recordings that are finished stay.
        """
        from poyodata.curation.packing import pack_view

        return pack_view(self, path, progress)

    def _rows_of(self, session_id: str) -> npt.NDArray[np.int64]:
        if session_id not in self._rows:
            raise UsageError(
                f"manifest {self.manifest.name!r} has no neuron of recording {session_id!r}: "
                f"{nearest(session_id, self.session_ids)}"
            )
        return self._rows[session_id]

    def __len__(self) -> int:
        return len(self.session_ids)

    def __repr__(self) -> str:
        facts: dict[str, Any] = {
            "diet": f"{self.manifest.name} ({self.manifest.digest[:12]})",
            "neurons": f"{len(self.manifest.neurons):,} in {len(self):,} recordings",
            "windows": f"{len(self.manifest.windows):,}",
        }
        return "\n".join(["<View>", *(f"  {key:<9} {value}" for key, value in facts.items())])


def _on_axis(rows: pd.DataFrame, session_ids: tuple[str, ...]) -> Intervals:
    """Frames of rows on one axis, on which recordings follow each other far apart."""
    code, names = pd.factorize(rows["session_id"])
    place = pd.Index(session_ids).get_indexer(names)[code].astype(np.int64)
    return rows[["start_frame", "stop_frame"]].to_numpy(np.int64) + place[:, None] * STRIDE
