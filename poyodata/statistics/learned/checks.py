"""Checks of learned columns: names that are free, values that are what was declared, recordings that did not move."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.errors import StatisticError, nearest
from poyodata.statistics.learned.lineage import ColumnLineage
from poyodata.statistics.registry import column_metadata
from poyodata.statistics.statistic import Column
from poyodata.store.tables import TABLES
from poyodata.vocabulary import CURATION_COLUMNS, RESERVED_WORDS

if TYPE_CHECKING:
    from poyodata.store import Store

KINDS: Mapping[str, tuple[str, ...]] = {
    "float": ("float64", "float32"),
    "int": ("int64", "int32", "int16", "int8"),
    "bool": ("bool",),
    "text": ("str",),
}
"""Dtypes that a learned column may declare."""

_STORED = {"float": "float64", "int": "Int64", "bool": "boolean", "text": "str"}
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


def check_columns(store: Store, name: str, columns: Mapping[str, Column], others: Mapping[str, Iterable[str]]) -> None:
    """Raise unless every column has a name that diets can say and that means nothing else.

    Parameters
    ----------
    store : Store
    name : str
        What the columns are called together.
    columns : mapping of column name to Column
    others : mapping of name to column names
        Further learned columns.

    Raises
    ------
    StatisticError
    """
    if not columns:
        raise StatisticError(f"learned columns {name!r} declare no column; declare at least one.")
    taken = _taken(store, others)
    seen: dict[str, str] = {}
    for column, declared in columns.items():
        if not _COLUMN.fullmatch(column):
            like = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")[:60] or "learned"
            raise StatisticError(f"column {column[:60]!r} cannot be named in a diet; call it {like!r}, say.")
        if keyword.iskeyword(column) or keyword.iskeyword(column.lower()) or column in RESERVED_WORDS:
            raise StatisticError(f"column {column!r} is a word of the expressions of diets; give it another name.")
        # Names that differ in case alone are taken for each other by whoever reads or types them.
        owner = taken.get(column.casefold()) or seen.get(column.casefold())
        if owner is not None:
            raise StatisticError(f"column {column!r} has the name of a column of {owner}; give it another name.")
        seen[column.casefold()] = f"these columns, {column!r}"
        known = [dtype for dtypes in KINDS.values() for dtype in dtypes]
        if declared.dtype not in known:
            raise StatisticError(
                f"column {column!r} declares dtype {declared.dtype!r}: {nearest(declared.dtype, known)}"
            )
        if not declared.low <= declared.high:
            raise StatisticError(
                f"column {column!r} declares a range from {declared.low} to {declared.high}, which holds nothing."
            )
        if not declared.definition.strip():
            raise StatisticError(f"column {column!r} has no definition; say in one sentence what it is.")


def _taken(store: Store, others: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Who owns each name that is taken, by the name in small letters."""
    taken: dict[str, str] = {}
    for other, columns in others.items():
        taken |= {column.casefold(): f"the learned columns {other!r}" for column in columns}
    taken |= {str(column).casefold(): "windows" for column in (*TABLES["presentations"], *CURATION_COLUMNS)}
    own = [*TABLES["sessions"], *TABLES["neurons"], *map(str, store.sessions.columns), *map(str, store.neurons.columns)]
    taken |= {column.casefold(): "the store" for column in own}
    for annotation, labels in store.annotations.items():
        taken |= {str(column).casefold(): f"the annotation {annotation!r}" for column in labels.columns}
    for column, known in column_metadata().items():
        owner = f"the statistic {known['statistic']!r}"
        taken |= {f"{column}{end}".casefold(): owner for end in ("", "_low", "_high")}
    return taken


def check_recordings(store: Store, name: str, lineage: ColumnLineage) -> None:
    """Raise unless every recording that was looked at is the one that the store holds.

    Raises
    ------
    StatisticError
        Saying which recordings moved.
    """
    table = store.sessions[["session_id", "digest", "n_frames"]]
    digests = dict(zip(table["session_id"], table["digest"], strict=True))
    gone = sorted(set(lineage.recordings) - digests.keys())
    changed = sorted(key for key, digest in lineage.recordings.items() if digests.get(key, digest) != digest)
    if gone or changed:
        moved = [f"{len(changed)} changed (first {changed[0]})"] if changed else []
        moved += [f"{len(gone)} gone (first {gone[0]})"] if gone else []
        raise StatisticError(
            f"of the {len(lineage.recordings)} recordings that the learned columns {name!r} looked at, "
            f"{' and '.join(moved)}; compute them again on this store, or remove them (remove_columns)."
        )
    n_frames = dict(zip(table["session_id"], table["n_frames"], strict=True))
    for key, frames in lineage.looked_at.items():
        if len(frames) and (frames[0, 0] < 0 or frames[-1, 1] > n_frames[key]):
            raise StatisticError(
                f"the lineage of {name!r} names frames {frames[0, 0]} to {frames[-1, 1]} of recording {key}, which has "
                f"{n_frames[key]}."
            )


def check_values(
    store: Store, name: str, table: pd.DataFrame, columns: Mapping[str, Column], lineage: ColumnLineage
) -> pd.DataFrame:
    """Give neuron_id and the columns, typed and in the store's order, when they are what was declared.

    Raises
    ------
    StatisticError
    """
    who = f"the table of {name!r}"
    given = list(map(str, table.columns))
    twice = sorted({column for column in given if given.count(column) > 1})
    if twice:
        raise StatisticError(f"{who} has two columns {twice[0]!r}; keep one.")
    for column in ("neuron_id", *columns):
        if column not in given:
            raise StatisticError(f"{who} has no column {column!r}: {nearest(column, given)}")
    for column in given:
        if column not in columns and column != "neuron_id":
            raise StatisticError(f"{who} has a column {column!r} that is not declared: {nearest(column, columns)}")
    rows = _rows(store, who, table["neuron_id"], lineage)
    values = {column: _typed(who, table[column], column, declared) for column, declared in columns.items()}
    ids = pd.Series(table["neuron_id"].astype("str").to_numpy(), dtype="str")
    return pd.DataFrame({"neuron_id": ids, **values}).iloc[np.argsort(rows, kind="stable")].reset_index(drop=True)


def _rows(store: Store, who: str, neuron_id: pd.Series[Any], lineage: ColumnLineage) -> Any:
    """Find the row of each neuron in the store's table."""
    if len(neuron_id) == 0:
        raise StatisticError(f"{who} has no rows; give at least one neuron.")
    if neuron_id.isna().any():
        raise StatisticError(f"{who} has {int(neuron_id.isna().sum())} rows without a neuron_id; leave them out.")
    ids = neuron_id.astype("str")
    twice = ids[ids.duplicated()]
    if len(twice):
        raise StatisticError(
            f"{who} has two rows of {len(twice.unique())} neurons (first {twice.iloc[0]!r}); keep one row a neuron."
        )
    known = store.neurons["neuron_id"].astype("str")
    rows = pd.Index(known).get_indexer(pd.Index(ids))
    if (rows < 0).any():
        first = str(ids[rows < 0].iloc[0])
        raise StatisticError(
            f"{who} has {int((rows < 0).sum())} neurons that are not in the store (first {first!r}): "
            f"{nearest(first, known[:2000])}"
        )
    session = store.neurons["session_id"].iloc[rows]
    strange = ~session.isin(list(lineage.recordings)).to_numpy(bool)
    if strange.any():
        at = int(strange.argmax())
        raise StatisticError(
            f"{who} has values for {int(strange.sum())} neurons of recordings that its lineage does not name (first "
            f"{ids.iloc[at]!r} of {session.iloc[at]}); name every recording that was looked at."
        )
    return rows


def _typed(who: str, values: pd.Series[Any], column: str, declared: Column) -> pd.Series[Any]:
    kind = next(kind for kind, dtypes in KINDS.items() if declared.dtype in dtypes)
    found = _kind(values)
    if found not in (kind, "missing") and (found, kind) != ("int", "float"):
        raise StatisticError(f"{who}: column {column!r} is declared {declared.dtype} but holds {found} values.")
    typed: pd.Series[Any] = values.reset_index(drop=True).astype(pd.api.types.pandas_dtype(_STORED[kind]))
    if kind == "float" and np.isinf(typed).any():
        raise StatisticError(
            f"{who}: column {column!r} has {int(np.isinf(typed).sum())} infinite values; leave out what has no value."
        )
    if kind in ("float", "int"):
        wrong = ((typed < declared.low) | (typed > declared.high)).fillna(False).to_numpy(bool)
        if wrong.any():
            raise StatisticError(
                f"{who}: column {column!r} has {int(wrong.sum())} values outside its range of {declared.low:g} to "
                f"{declared.high:g} (first {typed[wrong].iloc[0]:g}); correct the values, or the range."
            )
    return typed


def _kind(values: pd.Series[Any]) -> str:
    """Name the kind of a column: float, int, bool, text, missing (nothing but gaps), or what else it is."""
    if values.isna().all():
        return "missing"
    kinds = pd.api.types
    inferred = kinds.infer_dtype(values, skipna=True)
    if kinds.is_bool_dtype(values.dtype) or inferred == "boolean":
        return "bool"
    if kinds.is_integer_dtype(values.dtype) or inferred == "integer":
        return "int"
    if kinds.is_float_dtype(values.dtype) or inferred in ("floating", "mixed-integer-float"):
        return "float"
    return "text" if inferred == "string" else str(inferred)
