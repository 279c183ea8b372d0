"""Learned statistics: columns about neurons that a model writes, each file sealed and with the lineage of its numbers.

One file holds the columns of one run of one model, ``statistics/learned/<name>.parquet``. It is replaced atomically and
checked whole, when it is written and whenever it is read: a column whose recordings have moved since is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pydantic

from poyodata.digests import json_digest, table_digest
from poyodata.errors import PoyodataError, StatisticError, StoreError, UsageError, nearest
from poyodata.statistics.learned.checks import check_columns, check_recordings, check_values
from poyodata.statistics.learned.lineage import ColumnLineage, joined
from poyodata.statistics.statistic import Column
from poyodata.store.commit import WriterLock, read_table, replace_table
from poyodata.store.disk import disk_errors, remove
from poyodata.store.layout import TEMPORARY, check_name

if TYPE_CHECKING:
    from poyodata.store import Store

FORMAT_VERSION = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedColumns:
    """What a file of learned columns says of itself.

    Attributes
    ----------
    name : str
    digest : str
        Over values, columns and lineage.
    columns : mapping of column name to Column
    lineage : ColumnLineage
    n_neurons : int
        Neurons that have a row.
    """

    name: str
    digest: str
    columns: Mapping[str, Column]
    lineage: ColumnLineage
    n_neurons: int


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class _ColumnDocument(_Strict):
    dtype: str
    unit: str
    definition: str
    low: float | None
    high: float | None


class _LineageDocument(_Strict):
    producer: str
    version: str
    checkpoint: str | None
    store: str
    recordings: dict[str, str]
    split: str | None
    fold: int
    manifests: list[str]
    grounds: dict[str, list[dict[str, Any]]] = {}
    roles: list[str]
    trained_on: dict[str, list[int]]
    computed_on: dict[str, list[int]]
    window: Literal["train", "all"]
    uses_labels: bool
    held_out_donors: list[str]
    seed: int | None
    parents: dict[str, str]


class _FileDocument(_Strict):
    format: int
    name: str
    digest: str
    columns: dict[str, _ColumnDocument]
    lineage: _LineageDocument


def write_columns(
    store: Store,
    name: str,
    table: pd.DataFrame,
    columns: Mapping[str, Column],
    lineage: ColumnLineage,
    *,
    replace_existing: bool = False,
) -> LearnedColumns:
    """Write columns that a model computed about neurons, so that diets can name them.

    Parameters
    ----------
    store : Store
    name : str
        What the file is called, such as ``"nuclr"``.
    table : DataFrame
        ``neuron_id`` and the columns. Neurons without a row have no value.
    columns : mapping of column name to Column
        Kind, unit, definition and range of each: whole numbers, floats, truth values or texts.
    lineage : ColumnLineage
        What the model looked at; `lineage_of` makes it.
    replace_existing : bool
        Put them in the place of a file of that name, which is refused otherwise.

    Returns
    -------
    LearnedColumns

    Raises
    ------
    UsageError
        A name that cannot be used or is taken.
    StatisticError
        The table does not keep what columns and lineage promise. Nothing is written then.
    StoreError
        The disk is full or may not be written, or another process writes columns at this moment.

    Examples
    --------
    >>> write_columns(open_store("allen.zarr"), "nuclr", table, {"nuclr_stability": stability}, lineage)
    ... # doctest: +SKIP
    """
    _require_name(name)
    with _writing(store):
        if _path(store, name).exists() and not replace_existing:
            raise UsageError(
                f"the store has learned columns {name!r} already; give another name, or say replace_existing=True."
            )
        lineage = _with_parents(store, lineage)
        check_recordings(store, name, lineage)
        check_columns(store, name, columns, {other: own for other, own in _scan(store)[0].items() if other != name})
        values = check_values(store, name, table, columns, lineage)
        content = {"format": FORMAT_VERSION, "name": name, "columns": _column_documents(columns)}
        content["lineage"] = lineage.document()
        digest = _digest(content, values)
        replace_table(_path(store, name), values, content | {"digest": digest})
    return LearnedColumns(name=name, digest=digest, columns=dict(columns), lineage=lineage, n_neurons=len(values))


def _require_name(name: str) -> None:
    if not isinstance(name, str):
        raise UsageError(f"learned columns are named by a text, such as 'nuclr'; {name!r} arrived.")
    try:
        check_name(name, "columns")
    except StoreError as error:
        raise UsageError(str(error)) from error


def read_columns(store: Store, name: str) -> pd.DataFrame:
    """Read learned columns, a row for each neuron of the store in its order; missing where the model gave no value.

    Returns
    -------
    DataFrame
        neuron_id and the columns. ``attrs["digest"]`` names the file's content, ``attrs["lineage"]`` sums up what it
        came from, ``attrs["columns"]`` says of each column what `column_metadata` says of a statistic's.

    Raises
    ------
    UsageError
        No columns of that name.
    StatisticError
        The file does not fit the store (any more): a recording moved, or a name is taken by a statistic or annotation.
    StoreError
        The file is damaged.
    """
    known, table = read_learned(store, name)
    table.attrs = {
        "digest": known.digest,
        "lineage": known.lineage.summary(),
        "columns": {
            column: {"statistic": name, "version": known.lineage.version, "range": [declared["low"], declared["high"]]}
            | {word: declared[word] for word in ("dtype", "unit", "definition")}
            for column, declared in _column_documents(known.columns).items()
        },
    }
    return table


def read_learned(store: Store, name: str) -> tuple[LearnedColumns, pd.DataFrame]:
    """Read learned columns as `read_columns` does, and all that their file says of itself."""
    known, values = _read(store, name)
    check_recordings(store, name, known.lineage)
    check_columns(store, name, known.columns, {})
    values = check_values(store, name, values, known.columns, known.lineage)
    neuron_id = store.neurons["neuron_id"]
    table = values.set_index("neuron_id").reindex(neuron_id).reset_index()
    table["neuron_id"] = neuron_id.to_numpy()
    return known, table


def read_lineage(store: Store, name: str) -> LearnedColumns:
    """Read what a file of learned columns says of itself, without holding it against the store.

    Raises
    ------
    UsageError
        No columns of that name.
    StatisticError, StoreError
        The file is damaged, or is not what was written.
    """
    return _read(store, name)[0]


def list_columns(store: Store) -> pd.DataFrame:
    """List the learned columns of a store.

    Returns
    -------
    DataFrame
        One row a file: name, columns (with commas between), n_neurons, producer, version, window, uses_labels, digest
        and problem, which says why a file cannot be used and is empty otherwise.
    """
    rows = [_row(store, path.stem) for path in _files(store)]
    names = ["name", "columns", "n_neurons", "producer", "version", "window", "uses_labels", "digest", "problem"]
    return pd.DataFrame(rows, columns=names)


def _row(store: Store, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "columns": "", "n_neurons": 0, "problem": ""}
    try:
        known, _ = _read(store, name)
        row |= {"columns": ", ".join(known.columns), "n_neurons": known.n_neurons, "digest": known.digest}
        row |= {word: getattr(known.lineage, word) for word in ("producer", "version", "window", "uses_labels")}
        read_learned(store, name)
    except PoyodataError as error:
        row["problem"] = str(error)
    return row


def learned_columns(store: Store) -> dict[str, str]:
    """Name of the file that holds each learned column; files that are damaged are left out and logged.

    Raises
    ------
    StatisticError
        Two files have a column of one name.
    """
    home: dict[str, str] = {}
    files, damaged = _scan(store)
    for name, problem in damaged.items():
        _log.warning("learned columns %r cannot be read: %s", name, problem)
    for name, columns in files.items():
        for column in columns:
            if column in home:
                raise StatisticError(
                    f"the learned columns {home[column]!r} and {name!r} both have a column {column!r}; remove one of "
                    "them (remove_columns)."
                )
            home[column] = name
    return home


def damaged_columns(store: Store) -> dict[str, str]:
    """What is wrong with each file of learned columns that cannot be read, by name."""
    return _scan(store)[1]


def remove_columns(store: Store, name: str) -> None:
    """Remove learned columns from a store, damaged ones too.

    Raises
    ------
    UsageError
        No columns of that name.
    StoreError
        The disk may not be written, or another process writes columns at this moment.
    """
    with _writing(store):
        path = _existing(store, name)
        remove(path)


# -- files -----------------------------------------------------------------------------------------------------------


def _folder(store: Store) -> Path:
    return store.statistics_folder / "learned"


def _path(store: Store, name: str) -> Path:
    return _folder(store) / f"{name}.parquet"


def _existing(store: Store, name: str) -> Path:
    names = [path.stem for path in _files(store)]
    if name not in names:
        raise UsageError(f"the store has no learned columns {name!r}: {nearest(str(name), names)}")
    return _path(store, name)


def _files(store: Store) -> list[Path]:
    return sorted(path for path in _folder(store).glob("*.parquet") if not path.name.startswith(TEMPORARY))


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """Hold a lock of one's own: a model that ends while recordings are added need not wait for them."""
    with disk_errors(store.statistics_folder.parent):
        lock = WriterLock(store.statistics_folder / ".learned.lock")
        try:
            for child in _folder(store).glob(f"{TEMPORARY}*"):  # left by a process that was killed
                remove(child)
            yield
        finally:
            lock.release()


def _scan(store: Store) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Give the names of the columns in each file, and what is wrong with files that cannot be read."""
    found: dict[str, tuple[str, ...]] = {}
    damaged: dict[str, str] = {}
    for path in _files(store):
        try:
            found[path.stem] = tuple(map(str, read_table(path)[0].columns[1:]))
        except PoyodataError as error:
            damaged[path.stem] = str(error)
    return found, damaged


def _column_documents(columns: Mapping[str, Column]) -> dict[str, Any]:
    def finite(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None  # JSON has no infinity

    return {
        name: asdict(column) | {"low": finite(column.low), "high": finite(column.high)}
        for name, column in columns.items()
    }


def _digest(content: Mapping[str, Any], values: pd.DataFrame) -> str:
    return json_digest({**content, "table": table_digest(values)})


def _read(store: Store, name: str) -> tuple[LearnedColumns, pd.DataFrame]:
    values, metadata = read_table(_existing(store, name))
    digest = _digest({word: value for word, value in metadata.items() if word != "digest"}, values)
    known = _parsed(name, metadata, len(values))
    if known.name != name or known.digest != digest:
        raise StatisticError(
            f"the learned columns {name!r} are not what was written under that name; write them again, or remove them "
            "(remove_columns)."
        )
    return known, values


def _parsed(name: str, metadata: Mapping[str, Any], n_neurons: int) -> LearnedColumns:
    version = metadata.get("format")
    if version != FORMAT_VERSION:
        raise StatisticError(
            f"the learned columns {name!r} have format {str(version)[:20]!r}, this version reads {FORMAT_VERSION}; "
            "write them again."
        )
    try:
        document = _FileDocument.model_validate(metadata)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StatisticError(
            f"the learned columns {name!r} say nothing that can be read at {place} ({first['msg']}); write them again."
        ) from None
    columns = {
        column: Column(
            dtype=given.dtype,
            unit=given.unit,
            definition=given.definition,
            low=-np.inf if given.low is None else given.low,
            high=np.inf if given.high is None else given.high,
        )
        for column, given in document.columns.items()
    }
    plain = document.lineage.model_dump()
    for word in ("trained_on", "computed_on"):
        plain[word] = {session: np.asarray(rows, np.int64).reshape(-1, 2) for session, rows in plain[word].items()}
    for word in ("manifests", "roles", "held_out_donors"):
        plain[word] = tuple(plain[word])
    lineage = ColumnLineage(**plain)
    return LearnedColumns(
        name=document.name, digest=document.digest, columns=columns, lineage=lineage, n_neurons=n_neurons
    )


def _with_parents(store: Store, lineage: ColumnLineage) -> ColumnLineage:
    """Add what the columns that went in had looked at: a leak does not get smaller by a further model."""
    for name, digest in lineage.parents.items():
        has = read_lineage(store, name).digest if name in [path.stem for path in _files(store)] else None
        if has != digest:
            raise StatisticError(
                f"the lineage names learned columns {name!r} of digest {digest[:12]}, which the store does not have "
                f"{'now' if has is None else f'(it has {has[:12]})'}; read them again and train anew."
            )
        parent = read_lineage(store, name).lineage
        if parent.window == "all" and lineage.window != "all":
            raise StatisticError(
                f"the learned columns {name!r} that went in looked at all time; the lineage must say window='all'."
            )
        lineage = replace(
            lineage,
            recordings={**parent.recordings, **lineage.recordings},
            trained_on=joined(lineage.trained_on, parent.trained_on),
            computed_on=joined(lineage.computed_on, parent.computed_on),
            manifests=tuple(dict.fromkeys((*lineage.manifests, *parent.manifests))),
            grounds={**parent.grounds, **lineage.grounds},
            uses_labels=lineage.uses_labels or parent.uses_labels,
        )
    return lineage
