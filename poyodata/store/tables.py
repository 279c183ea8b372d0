"""The tables of a store: their columns and dtypes, and how rows of another recording join them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from poyodata.errors import StoreError

METADATA_COLUMNS: Mapping[str, str] = {
    "session_id": "str",
    "donor_id": "str",
    "container_id": "str",
    "cre_line": "str",
    "area": "str",
    "depth_um": "float64",
    "session_type": "str",
    "indicator": "str",
    "genotype": "str",
    "sex": "str",
    "age_days": "float64",
    "specimen_name": "str",
    "start_time": "str",
    "device": "str",
    "excitation_nm": "float64",
    "fov": "str",
    "pipeline_version": "str",
}
"""Who was recorded, where and how: fields of a record's metadata and first columns of ``sessions``."""

JOINED_COLUMNS = ("donor_id", "container_id", "cre_line", "area", "depth_um", "session_type")
"""Columns of ``sessions`` that `Store.neurons` shows beside every neuron."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "sessions": {
        **METADATA_COLUMNS,
        "rate_hz": "float64",
        "n_frames": "int64",
        "n_neurons": "int64",
        "duration_s": "float64",  # from the first to the last timestamp, gaps included
        "digest": "str",
        "source_digest": "str",
        "templates": "str",  # stimuli whose templates it brought, sorted, with a space between
        "generation": "int64",  # how often it was replaced; part of the names of its files
    },
    "neurons": {
        "neuron_id": "str",
        "session_id": "str",
        "column": "int64",  # of the trace array
        "cell_specimen_id": "Int64",
        "roi_id": "Int64",
        "x_um": "float64",
        "y_um": "float64",
        "valid_roi": "bool",
        "exclusion_label": "str",
    },
    "presentations": {
        "session_id": "str",
        "stimulus": "str",
        "epoch": "int64",
        "trial": "int64",
        "start_frame": "int64",
        "stop_frame": "int64",
        "start_s": "float64",
        "stop_s": "float64",
        "blank": "bool",
        "direction_deg": "float64",
        "temporal_frequency_hz": "float64",
        "orientation_deg": "float64",
        "spatial_frequency_cpd": "float64",
        "phase": "float64",
        "image": "int64",
        "movie_frame": "int64",
        "repeat": "int64",
    },
    "epochs": {
        "session_id": "str",
        "epoch": "int64",
        "stimulus": "str",
        "start_frame": "int64",
        "stop_frame": "int64",
    },
    "segments": {"session_id": "str", "segment": "int64", "start_frame": "int64", "stop_frame": "int64"},
    "blocks": {"session_id": "str", "traces": "str", "block": "int64", "digest": "str"},
    "parts": {"session_id": "str", "part": "str", "digest": "str"},
    # One file for each recording and stimulus: `name` is that of the traces or the part, or the path of the file.
    "digests": {"kind": "str", "name": "str", "block": "int64", "digest": "str"},
}
"""Columns of every table and their dtypes. ``neurons`` and ``presentations`` may have more, as the source gives."""

SORT_KEYS: Mapping[str, tuple[str, ...]] = {
    "sessions": ("session_id",),
    "neurons": ("session_id", "column"),
    "presentations": ("session_id", "start_frame"),
    "epochs": ("session_id", "epoch"),
    "segments": ("session_id", "segment"),
    "blocks": ("session_id", "traces", "block"),
    "parts": ("session_id", "part"),
    "digests": ("kind", "name", "block"),
}

FLAT_TABLES = ("neurons", "epochs", "segments")
"""Tables of one file each, with a column ``generation``, which are replaced before ``sessions.parquet`` is."""

GENERATION = "generation"
_NEVER = -1

_GAP: Mapping[str, Any] = {"boolean": pd.NA, "Int64": pd.NA, "float64": float("nan")}


def _cast(values: pd.Series[Any], kind: Any) -> pd.Series[Any]:
    return values if str(values.dtype) == kind else values.astype(kind)


def empty_table(name: str) -> pd.DataFrame:
    """Make a table of `TABLES` without rows.

    Examples
    --------
    >>> empty_table("parts").columns.tolist()
    ['session_id', 'part', 'digest']
    """
    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in TABLES[name].items()})


def conform(table: pd.DataFrame, name: str, only: Sequence[str] | None = None) -> pd.DataFrame:
    """Bring a table to the columns and dtypes of `TABLES`; further columns follow, each as text, number or boolean.

    Parameters
    ----------
    table : DataFrame
    name : str
        Of the table.
    only : sequence of str, optional
        Of the columns of `TABLES`, these alone.

    Raises
    ------
    StoreError
        When a column is missing or holds something else than its dtype.

    Examples
    --------
    >>> conform(pd.DataFrame({"session_id": ["a"], "digest": ["9f"], "part": ["time"]}), "parts").columns.tolist()
    ['session_id', 'part', 'digest']
    """
    columns = TABLES[name] if only is None else {column: TABLES[name][column] for column in only}
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise StoreError(f"table {name} lacks the columns {', '.join(missing)}; the source must give them.")
    if only is not None and _is_in_shape(table, columns):
        return table
    shaped: dict[str, pd.Series[Any]] = {}
    for column in [*columns, *(extra for extra in table.columns if extra not in columns)]:
        values = table[column]
        kind = columns.get(column) or _kind_of(values)
        try:
            filled = values.fillna("") if kind == "str" and values.hasnans else values
            shaped[str(column)] = _cast(filled, kind)
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"column {column!r} of table {name} is not {kind}: {error}. Correct the source."
            ) from error
    # Not copied into one block of memory for each dtype, which takes longer than reading them.
    return pd.DataFrame(shaped, copy=False).reset_index(drop=True)


def _is_in_shape(table: pd.DataFrame, columns: Mapping[str, str]) -> bool:
    """Whether nothing is left to do: shaping a few small columns would take longer than reading them."""
    if list(table.columns) != list(columns) or not isinstance(table.index, pd.RangeIndex):
        return False
    kinds = zip(columns.items(), table.dtypes, strict=True)
    return all(str(dtype) == kind and not (kind == "str" and table[name].hasnans) for (name, kind), dtype in kinds)


def _kind_of(values: pd.Series[Any]) -> str:
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "Int64"
    return "float64" if pd.api.types.is_float_dtype(values.dtype) else "str"


def join_rows(tables: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    """Join conformed tables, sorted by the keys of the table.

    Further columns that only some of them have are filled with missing values (``""`` for text).

    Parameters
    ----------
    tables : sequence of DataFrame
        At least one, none of which need have rows.
    name : str
        Of the table.

    Raises
    ------
    StoreError
        When a further column is text in one and a number in another.
    """
    tables = [table for table in tables if len(table)] or list(tables[:1])
    return sort_rows(pd.concat(tables if _alike(tables) else _to_one_kind(tables, name), ignore_index=True), name)


def sort_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Sort rows by the keys of the table; one that is in order already is given back itself, not copied.

    Examples
    --------
    >>> rows = pd.DataFrame({"session_id": ["b", "a", "a"], "epoch": [0, 1, 0]})
    >>> sort_rows(rows, "epochs").to_numpy().tolist()
    [['a', 0], ['a', 1], ['b', 0]]
    """
    # By the ranks of the names, of which there are few: sorting all rows by text costs more than all else of a commit.
    first, *numbers = SORT_KEYS[name]
    ranks, _ = pd.factorize(table[first], sort=True)
    order = np.lexsort([*(table[key].to_numpy() for key in reversed(numbers)), ranks])
    in_order = (order == np.arange(len(order))).all()
    return table.reset_index(drop=True) if in_order else table.iloc[order].reset_index(drop=True)


def _alike(tables: Sequence[pd.DataFrame]) -> bool:
    first = tables[0].dtypes
    return all(first.equals(table.dtypes) for table in tables[1:])


def _to_one_kind(tables: Sequence[pd.DataFrame], name: str) -> list[pd.DataFrame]:
    """Bring tables to the columns that any of them has."""
    kinds: dict[str, str] = {}
    for column in dict.fromkeys(column for table in tables for column in table.columns):
        known = {str(table[column].dtype) for table in tables if column in table.columns}
        if known == {"Int64", "float64"}:
            known = {"float64"}
        if len(known) > 1:
            raise StoreError(
                f"column {column!r} of table {name} is {' and '.join(sorted(known))} in different recordings; "
                "bring it to one kind in the source."
            )
        kinds[column] = known.pop()

    def filled(table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                column: _cast(table[column], kind)
                if column in table.columns
                else pd.Series([_GAP.get(kind, "")] * len(table), index=table.index, dtype=kind)
                for column, kind in kinds.items()
            }
        )

    return [filled(table) for table in tables]


def committed_rows(table: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    """Rows of a flat table whose recording and generation the table of sessions names."""
    if GENERATION not in table.columns:
        raise StoreError("a table lacks its column generation; restore it from a copy.")
    named = dict(zip(sessions["session_id"], sessions[GENERATION], strict=True))
    # Once for each recording, not for each row: there are very many.
    recording, session_ids = pd.factorize(table["session_id"])
    generation = np.array([named.get(session_id, _NEVER) for session_id in session_ids] + [_NEVER])[recording]
    is_named = generation == table[GENERATION].to_numpy()
    return table.reset_index(drop=True) if is_named.all() else table[is_named].reset_index(drop=True)


def split_digests(digests: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str]]:
    """Take a table ``digests`` apart.

    Returns
    -------
    blocks : dict of str to list of str
        By array.
    parts : dict of str to str
    files : dict of str to str
        By path below the Zarr group.
    """
    blocks: dict[str, list[str]] = {}
    others: dict[str, dict[str, str]] = {"part": {}, "file": {}}
    columns = (digests[column].tolist() for column in ("kind", "name", "digest"))
    for kind, name, digest in zip(*columns, strict=True):
        if kind == "block":
            blocks.setdefault(name, []).append(digest)
        else:
            others[kind][name] = digest
    return blocks, others["part"], others["file"]
