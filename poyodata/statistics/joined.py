"""One table of all recordings: a row a neuron, what its columns mean, and where it has no values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.splits import Split
from poyodata.statistics.recording import Outcome
from poyodata.statistics.registry import metadata_of
from poyodata.statistics.restricted import bound_names
from poyodata.statistics.statistic import Resampling, Statistic

if TYPE_CHECKING:
    from poyodata.store import Store


def join(
    store: Store, statistics: Collection[Statistic], sessions: Sequence[str], outcomes: Mapping[str, Outcome]
) -> pd.DataFrame:
    """Join what was computed of each recording, in the order of the store; intervals follow their column."""
    neurons = store.neurons
    rows = neurons.groupby("session_id", sort=False).indices
    order = {session: neurons["column"].to_numpy(np.int64)[rows[session]] for session in sessions}
    index = np.concatenate([rows[session] for session in sessions]) if len(sessions) else np.empty(0, np.int64)
    table: dict[str, Any] = {"neuron_id": neurons["neuron_id"].iloc[index].astype("str").array}

    def add(column: str, parts: Sequence[npt.NDArray[Any] | None], dtype: str) -> None:
        known = [
            np.full(len(own), np.nan) if part is None else part[own]
            for part, own in zip(parts, order.values(), strict=True)
        ]
        table[column] = np.concatenate([np.empty(0, dtype), *known]).astype(dtype)

    for statistic in statistics:
        for column, declared in statistic.columns.items():
            add(column, [outcomes[session].points[statistic.name][column] for session in sessions], declared.dtype)
            for end in bound_names(column):
                bounds = [outcomes[session].bounds.get(statistic.name, {}).get(end) for session in sessions]
                if any(part is not None for part in bounds):
                    add(end, bounds, "float64")
    return pd.DataFrame(table)


def column_meanings(
    statistics: Collection[Statistic], columns: Collection[str], resampling: Resampling | None
) -> dict[str, dict[str, Any]]:
    """Unit, definition, statistic, version, dtype and range of every column of a table, ends of intervals too."""
    found: dict[str, dict[str, Any]] = {}
    for statistic in statistics:
        for name, column in statistic.columns.items():
            own = metadata_of(statistic, column)
            meanings = {name: own}
            for end, side in zip(bound_names(name), ("Lower", "Upper"), strict=True):
                if resampling is not None:
                    level = f"{side} end of the {100 * resampling.level:g} % confidence interval of {name}"
                    drawn = f"draws {resampling.draws}, seed {resampling.seed}"
                    meanings[end] = own | {"dtype": "float64", "definition": f"{level} ({drawn})."}
            found |= {known: meaning for known, meaning in meanings.items() if known in columns}
    return found


def notes(store: Store, statistics: Collection[Statistic], split: Split | None, table: pd.DataFrame) -> tuple[str, ...]:
    """Say which statistics have no value for how many neurons, by their first column, and why as far as is known."""
    said = []
    for statistic in statistics:
        column = next((name for name, own in statistic.columns.items() if np.dtype(own.dtype).kind == "f"), None)
        empty = np.isnan(table[column].to_numpy()) if column is not None else np.zeros(0, bool)
        if empty.any():
            session_of = store.neurons.set_index("neuron_id")["session_id"]
            where = Counter(session_of.loc[table.loc[empty, "neuron_id"]].tolist())
            reasons = ", ".join(_reasons(store, statistic, where, split))
            said.append(f"{statistic.name}: no {column} for {int(empty.sum())} of {len(table)} neurons ({reasons})")
    return tuple(said)


def _reasons(store: Store, statistic: Statistic, where: Mapping[str, int], split: Split | None) -> Iterator[str]:
    stimulus = statistic.during or statistic.stimulus
    shown = set(where) if stimulus is None else set(store.epochs["session_id"][store.epochs["stimulus"] == stimulus])
    unseen = {session for session in where if split is not None and not len(split.train_time(session))}
    groups = {
        f"which were not shown {stimulus}": [session for session in where if session not in shown],
        "without train-role time": [session for session in where if session in shown & unseen],
        "with nothing but missing frames, or too little of what it needs": [
            session for session in where if session in shown - unseen
        ],
    }
    for reason, own in groups.items():
        if own:
            named = ", ".join(sorted(own)[:3]) + (", ..." if len(own) > 3 else "")
            count = sum(where[session] for session in own)
            yield f"{count} in {len(own)} recordings {reason}: {named}"
