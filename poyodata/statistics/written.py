"""A table of statistics as a file of its own: Parquet or CSV, with what its columns mean and depend on beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.errors import UsageError
from poyodata.replacing import replacing

SUFFIXES = (".csv", ".parquet")


def require_writable(path: Path) -> None:
    """Refuse a path that `write_statistics` would not take, before anything is computed.

    Raises
    ------
    UsageError
        For another ending than .csv or .parquet, or a folder that is not there.

    Examples
    --------
    >>> require_writable(Path("table.xlsx"))
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: 'table.xlsx' is no table that can be written; give a file that ends in .csv or .parquet.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path.name!r} is no table that can be written; give a file that ends in .csv or .parquet.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"{path} cannot be written: name a file in a folder that is there.")


def write_statistics(table: pd.DataFrame, path: Path) -> tuple[Path, ...]:
    """Write a table of statistics with the definitions of its columns and its lineage.

    Parquet carries them in its schema: each field has ``unit``, ``definition``, ``statistic`` and ``version``, and the
    schema has ``poyodata`` with digest, lineage and notes, as JSON. CSV cannot, and gets a second file,
    ``<name>.csv.json``.

    Parameters
    ----------
    table : DataFrame
        As `compute_statistics` gives it: with ``attrs["columns"]``, ``attrs["digest"]`` and ``attrs["lineage"]``.
    path : Path
        Replaced when it is there.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    UsageError
        As `require_writable`.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"neuron_id": ["a"], "skewness": [1.5]})
    >>> table.attrs = {"digest": "9f", "lineage": {}, "columns": {"skewness": {"unit": "1"}}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_statistics(table, Path(folder) / "table.csv")]
    ['table.csv', 'table.csv.json']
    """
    require_writable(path)
    known: Mapping[str, Mapping[str, Any]] = table.attrs.get("columns", {})
    columns = {name: dict(known[name]) for name in table.columns if name in known}
    facts = {name: table.attrs.get(name) for name in ("digest", "lineage", "notes")}
    bare = table.copy(deep=False)
    bare.attrs = {}
    if path.suffix == ".parquet":
        _write_parquet(bare, path, columns, facts)
        return (path,)
    beside = path.with_name(f"{path.name}.json")
    with replacing(beside) as partial:
        partial.write_text(json.dumps(facts | {"columns": columns}, indent=2) + "\n", encoding="utf-8")
    with replacing(path) as partial:
        bare.to_csv(partial, index=False)
    return path, beside


def _write_parquet(
    table: pd.DataFrame, path: Path, columns: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
) -> None:
    import pyarrow
    import pyarrow.parquet

    arrow = pyarrow.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_metadata({key: str(value) for key, value in columns[field.name].items()})
        if field.name in columns
        else field
        for field in arrow.schema
    ]
    metadata = {**(arrow.schema.metadata or {}), b"poyodata": json.dumps(facts).encode()}
    with replacing(path) as partial:
        pyarrow.parquet.write_table(arrow.cast(pyarrow.schema(fields, metadata=metadata)), partial)
