"""`Selection`: which neurons of which recordings are exported, with the time roles and the lineage they come with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.curation.language.expressions import columns_of
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.manifest import Manifest
from poyodata.curation.resolve import SESSION_COLUMNS, statistic_columns
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.digests import json_digest, table_digest
from poyodata.errors import DietError, UsageError, nearest
from poyodata.export.recording import Recording
from poyodata.splits import Split

if TYPE_CHECKING:
    from poyodata.store import Store


@dataclass(frozen=True, eq=False)
class Selection:
    """Neurons of a store that are exported. Made by `select`.

    Attributes
    ----------
    store : Store
    neurons : DataFrame
        ``store.neurons`` of the selected ones, with the columns that a manifest adds (role, term, the statistics it
        looked at); sorted by (session_id, column).
    windows : DataFrame or None
        session_id, role, start_frame, stop_frame (half-open) and what else the manifest or the split says; None
        without either.
    lineage : dict
        ``poyodata``, ``store``, ``manifest``, ``split``, ``annotations``, ``sessions``, ``where``, ``selection``: where
        this comes from, by digest.
    """

    store: Store = field(repr=False)
    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame | None = field(repr=False)
    lineage: dict[str, Any]

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Recordings with at least one selected neuron, sorted."""
        return tuple(sorted(map(str, self.neurons["session_id"].unique())))

    @property
    def sessions(self) -> pd.DataFrame:
        """Rows of ``store.sessions``; ``n_neurons`` counts the selected ones."""
        table = self.store.sessions
        table = table[table["session_id"].isin(self.session_ids)].reset_index(drop=True)
        counts = self.neurons["session_id"].value_counts()
        return table.assign(n_neurons=table["session_id"].map(counts).astype("int64"))

    def recording(self, session_id: str) -> Recording:
        """Open what is exported of one recording; reads no traces."""
        neurons = self.neurons[(self.neurons["session_id"] == session_id).to_numpy(bool)].reset_index(drop=True)
        windows = self.windows
        if windows is not None:
            windows = windows[(windows["session_id"] == session_id).to_numpy(bool)].reset_index(drop=True)
        lineage = self.lineage | {"recording": {"session_id": session_id, "digest": _digest_of(self.store, session_id)}}
        return Recording(self.store, session_id, neurons, windows, lineage)


def select(
    store: Store,
    *,
    manifest: Manifest | None = None,
    sessions: Sequence[str] | None = None,
    where: str | None = None,
    split: Split | None = None,
) -> Selection:
    """Choose what to export: everything that is named is asked for at once, nothing named is the whole store.

    Parameters
    ----------
    store : Store
    manifest : Manifest, optional
        A resolved diet: its neurons, its windows, the values it looked at.
    sessions : sequence of str, optional
        These recordings alone.
    where : str, optional
        An expression over the columns of ``store.neurons`` and of ``store.sessions``, as in a diet; a neuron for which
        it is unknown is left out. Single neurons are chosen with ``neuron_id in ['...', '...']``.
    split : Split, optional
        Gives time its roles; a manifest brings its own.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        An unknown recording, a split beside a manifest, or nothing selected.
    DietError
        The expression is not well formed, or names a column or a text that is not there.
    ManifestError
        The manifest was resolved on another store.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from poyodata.store import StoreWriter, open_store
    >>> path = Path(tempfile.mkdtemp()) / "new.zarr"
    >>> StoreWriter(path).close()
    >>> select(open_store(path))
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: nothing is selected: 0 neurons in the store. Loosen what comes last.
    """
    if manifest is not None and split is not None:
        raise UsageError("a manifest brings the roles of its own split; leave the split out, or the manifest.")
    neurons, windows = store.neurons, None
    steps = [f"{len(neurons):,} neurons in the store"]
    if manifest is not None:
        neurons, windows = _of_manifest(manifest, store)
        steps.append(f"{len(neurons):,} in manifest {manifest.name!r}")
    elif split is not None:
        windows = split.windows
        neurons = neurons[neurons["session_id"].isin(split.sessions["session_id"])].reset_index(drop=True)
        steps.append(f"{len(neurons):,} in the split {split.spec.name!r}")
    if where is not None:
        neurons = neurons[_answer(where, neurons, store)].reset_index(drop=True)
        steps.append(f"{len(neurons):,} where {where}")
    if sessions is not None:
        known = store.sessions["session_id"].tolist()
        for name in sessions:
            if name not in known:
                raise UsageError(f"the store holds no recording {name!r}: {nearest(name, known)}")
        neurons = neurons[neurons["session_id"].isin(list(sessions))].reset_index(drop=True)
        steps.append(f"{len(neurons):,} in the recordings asked for")
    if len(neurons) == 0:
        raise UsageError(f"nothing is selected: {', '.join(steps)}. Loosen what comes last.")
    neurons = neurons.sort_values(["session_id", "column"], kind="stable", ignore_index=True)
    if windows is not None:
        windows = windows[windows["session_id"].isin(neurons["session_id"])].reset_index(drop=True)
    lineage: dict[str, Any] = {
        "poyodata": version,
        "store": {"digest": store.digest, "format_version": store.format_version},
        "manifest": None if manifest is None else {"name": manifest.name, "digest": manifest.digest},
        "split": _lineage_of_split(manifest, split),
        "annotations": {name: known.digest for name, known in sorted(store.annotations.items())},
        "sessions": None if sessions is None else sorted(sessions),
        "where": where,
        "selection": json_digest(
            {
                "store": store.digest,
                "neurons": table_digest(neurons),
                "windows": None if windows is None else table_digest(windows),
            }
        ),
    }
    return Selection(store, neurons, windows, lineage)


def _of_manifest(manifest: Manifest, store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Neurons of a manifest with all that the store knows of them, and its windows."""
    manifest.open(store)  # refuses another store
    own = manifest.neurons.set_index("neuron_id")
    neurons = store.neurons[store.neurons["neuron_id"].isin(own.index)].reset_index(drop=True)
    added = [name for name in own.columns if name not in neurons.columns]
    values = own[added].reindex(neurons["neuron_id"]).reset_index(drop=True)
    return pd.concat([neurons, values], axis=1), manifest.windows


def _answer(where: str, neurons: pd.DataFrame, store: Store) -> npt.NDArray[np.bool_]:
    """Which neurons an expression is true for."""
    condition = parse_expression(where)
    statistics = statistic_columns()
    for name in columns_of(condition):
        if name.partition("@")[0] in statistics and name not in neurons.columns:
            raise DietError(
                f"{name!r} is a statistic, which is computed for a diet: write the condition in one and export that "
                "(--diet NAME)."
            )
    known = [name for name in SESSION_COLUMNS if name in store.sessions.columns and name not in neurons.columns]
    of_session = store.sessions.set_index("session_id")[known].reindex(neurons["session_id"]).reset_index(drop=True)
    return Evaluator(pd.concat([neurons, of_session], axis=1)).evaluate(condition).true


def _lineage_of_split(manifest: Manifest | None, split: Split | None) -> dict[str, Any] | None:
    if manifest is not None:
        own = manifest.meta["split"]
        return {"name": own["spec"].get("name", ""), "fold": own["fold"], "digest": own["digest"]}
    return None if split is None else {"name": split.spec.name, "fold": split.fold, "digest": split.digest}


def _digest_of(store: Store, session_id: str) -> str:
    table = store.sessions
    return str(table.loc[(table["session_id"] == session_id).to_numpy(bool), "digest"].iloc[0])
