"""Which neurons belong together: by CRE line, area, band of depth, donor, or any text that a store has of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import UsageError, nearest

if TYPE_CHECKING:
    from poyodata.store import Store

FloatVector = npt.NDArray[np.float64]

DEPTH_EDGES_UM = tuple(range(0, 1100, 100))
UNKNOWN = "unknown"
DONOR, SESSION, CELL = " donor_id", " session_id", " cell_specimen_id"
"""Columns that say whose a neuron is; with a space, as no statistic is called."""

_SHORT = {"depth": "depth_um", "donor": "donor_id", "container": "container_id", "session": "session_id"}
_NO_GROUPS = {"neuron_id", "digest", "source_digest"}


def group_names(by: str | Sequence[str]) -> list[tuple[str, str]]:
    """Say how each group is called in a result, and which column of a store it comes from.

    Raises
    ------
    UsageError
        When nothing is named.

    Examples
    --------
    >>> group_names("cre_line, depth")
    [('cre_line', 'cre_line'), ('depth', 'depth_um')]
    """
    given = by.split(",") if isinstance(by, str) else list(by)
    names = [name.strip() for name in given if name.strip()]
    if not names:
        raise UsageError("name what to group by, such as cre_line or cre_line,area.")
    pairs = [
        ("depth", "depth_um") if name in ("depth", "depth_um") else (_SHORT.get(name, name),) * 2 for name in names
    ]
    return list(dict.fromkeys(pairs))


def group_neurons(
    table: pd.DataFrame,
    store: Store,
    names: Sequence[tuple[str, str]],
    depth_edges_um: Sequence[float] = DEPTH_EDGES_UM,
) -> pd.DataFrame:
    """Put what neurons are grouped by beside their statistics.

    Parameters
    ----------
    table : DataFrame
        ``neuron_id`` and columns.
    store : Store
        Where the neurons are from.
    names : sequence of pairs of str
        As `group_names` gives them.
    depth_edges_um : sequence of float
        Between which half-open bands of depth lie.

    Returns
    -------
    DataFrame
        Rows of `table`, sorted by group, unknown ones last, with the groups and `DONOR`, `SESSION` and `CELL`.

    Raises
    ------
    UsageError
        For an unknown group, depths out of order, or neurons that the store does not have.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> neurons = pd.DataFrame({"neuron_id": ["a"], "session_id": ["s"], "donor_id": ["m"], "depth_um": [175.0]})
    >>> store = SimpleNamespace(neurons=neurons, sessions=neurons[["session_id"]])
    >>> group_neurons(neurons[["neuron_id"]], store, group_names("depth"))["depth"].tolist()
    ['100-200 um']
    """
    further = [name for name in store.sessions.columns if name not in store.neurons.columns]
    known = store.neurons.astype({"neuron_id": "str"})
    if any(source in further for _, source in names):
        known = known.merge(store.sessions[["session_id", *further]], on="session_id", how="left")
    allowed = [name for name in known.columns if _is_text(known[name]) and name not in _NO_GROUPS]
    lookup = known.set_index("neuron_id").reindex(table["neuron_id"].astype("str"))
    if lookup["session_id"].isna().any():
        stranger = lookup.index[lookup["session_id"].isna()][0]
        raise UsageError(f"the store has no neuron {stranger!r}; give the table that was computed from this store.")
    neurons = table.reset_index(drop=True)
    for name in (DONOR, SESSION, CELL):
        own = lookup[name.strip()] if name.strip() in lookup else pd.Series(pd.NA, lookup.index)
        neurons[name] = own.to_numpy()
    for name, source in names:
        if name == "depth" and source in known.columns:
            neurons[name] = _bands(lookup[source].to_numpy(np.float64), depth_edges_um)
        elif source in allowed:
            text = lookup[source].astype("string").fillna("").to_numpy(str)
            groups = sorted(set(text) - {""})
            neurons[name] = pd.Categorical(np.where(text == "", UNKNOWN, text), [*groups, UNKNOWN])
        elif source in known.columns:
            raise UsageError(f"{source!r} is a number, not a group: {nearest(source, [*allowed, *_SHORT])}")
        else:
            raise UsageError(f"neurons cannot be grouped by {source!r}: {nearest(source, [*allowed, *_SHORT])}")
    return neurons.sort_values([name for name, _ in names], kind="stable")


def _is_text(values: pd.Series[Any]) -> bool:
    return pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values)


def _bands(depth_um: FloatVector, edges: Sequence[float]) -> Any:
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise UsageError(f"edges of depths ascend, such as 0, 100, 200; {', '.join(map(str, edges))} arrived.")
    bands = [f"{low:g}-{high:g} um" for low, high in pairwise(edges)]
    outside = [f"below {edges[0]:g} um", *bands, f"{edges[-1]:g} um and below", UNKNOWN]
    place = np.where(np.isnan(depth_um), len(outside) - 1, np.searchsorted(edges, depth_um, "right"))
    return pd.Categorical(np.array(outside)[place], outside)
