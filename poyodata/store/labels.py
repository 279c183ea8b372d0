"""Tables of labels that a user brings: read from a file, typed, and held to one row a neuron or cell."""

from __future__ import annotations

import keyword
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.csv_tables import read_csv_table
from poyodata.errors import AnnotationError, UsageError, nearest
from poyodata.vocabulary import RESERVED_WORDS

KEYS = ("neuron_id", "cell_specimen_id")
"""What a row of labels may be of: a trace of one recording, or a cell in all recordings that show it."""

_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MISSING = ("", "nan", "NaN")


def read_labels(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read a table of labels from a CSV file (columns with commas between, a header) or a Parquet file.

    In a CSV file an empty field, ``nan`` and ``NaN`` are missing; every other word is a text, ``None`` and ``NA`` too.
    A column in which a number has a leading zero is of texts: ``007`` is a code.

    Raises
    ------
    UsageError
        No such file.
    AnnotationError
        It cannot be read as a table, or a row of a CSV file has not as many fields as the header.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = file.write_text("neuron_id,label,rank\n501_7,None,3\n501_8,place,\n")
    >>> read_labels(file).values.tolist()
    [['501_7', 'None', 3], ['501_8', 'place', <NA>]]
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no file at {file}; give a CSV or Parquet file of labels.")
    if file.suffix.lower() not in (".parquet", ".pq"):
        return read_csv_table(
            file,
            "the table of labels",
            AnnotationError,
            dtype={"neuron_id": "str"},
            dtype_backend="numpy_nullable",
            keep_default_na=False,
            na_values=list(_MISSING),
        )
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:  # the errors of the reader are one of these
        raise AnnotationError(
            f"{file} cannot be read as a table of labels ({error}); expected a Parquet file."
        ) from error


def checked_labels(table: pd.DataFrame, on: str | None) -> tuple[pd.DataFrame, str]:
    """Rows of labels, typed, one a key and sorted by it; and the key."""
    if not isinstance(table, pd.DataFrame):
        raise UsageError(f"labels are a DataFrame, got {type(table).__name__}; make one of it with pandas.DataFrame.")
    columns = [str(name) for name in table.columns]
    if on is not None and on not in KEYS:
        raise UsageError(f"labels are joined on {' or '.join(KEYS)}, not on {on!r}: {nearest(on, KEYS)}")
    found = [name for name in KEYS if name in columns]
    if on is None and len(found) != 1:
        what = "neither" if not found else "both"
        raise UsageError(
            f"the table has {what} of the columns {' and '.join(KEYS)}; "
            + ("give it one of them." if not found else "say which one the labels are of (--on).")
        )
    key = on or found[0]
    if key not in columns:
        raise UsageError(f"the table has no column {key!r}: {nearest(key, columns)}")
    # The other key is no label: a cell's number is a column of the neurons already.
    labels = table.drop(columns=[name for name in found if name != key])
    if len(labels.columns) < 2:
        raise UsageError(f"the table has no column beside {key}; give at least one column of labels.")
    twice = labels.columns[labels.columns.duplicated()]
    if len(twice):
        raise AnnotationError(f"the table has two columns {twice[0]!r}; give one of them another name.")
    for name in labels.columns:
        if not _COLUMN.fullmatch(str(name)):
            like = re.sub(r"\W+", "_", str(name), flags=re.ASCII).strip("_") or "label"
            raise AnnotationError(
                f"column {name!r} cannot be named in a diet; letters, digits and _ can, such as {like!r}: rename it."
            )
        if keyword.iskeyword(str(name).lower()) or keyword.iskeyword(str(name)) or name in RESERVED_WORDS:
            raise AnnotationError(f"column {name!r} is a word of the expressions of diets; give yours another name.")
    return one_row_a_key(conform_labels(labels, key), key), key


def conform_labels(labels: pd.DataFrame, key: str) -> pd.DataFrame:
    """Key first, every column as text, whole number, number or truth value."""
    shaped: dict[str, pd.Series[Any]] = {key: _key_column(labels[key], key)}
    shaped |= {str(name): _typed(labels[name]) for name in labels.columns if name != key}
    return pd.DataFrame(shaped).reset_index(drop=True)


def _key_column(values: pd.Series[Any], key: str) -> pd.Series[Any]:
    gone = values.isna() | (values.astype("str") == "")
    if gone.any():
        raise AnnotationError(
            f"{int(gone.sum())} rows have no {key}; the first is row {int(gone.to_numpy().argmax())}."
        )
    if key == "neuron_id":
        return values.astype("str")
    try:
        numbers = pd.to_numeric(values)
        _require_64_bits(numbers, "correct the table, or join on neuron_id")
        return numbers.astype("float64" if numbers.dtype.kind == "f" else "Int64").astype("Int64")
    except (ValueError, TypeError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(
            f"{key} must be whole numbers ({error}); correct the table, or join on neuron_id."
        ) from error


def _require_64_bits(values: pd.Series[Any], advice: str) -> None:
    """Raise where a whole number does not fit, which pandas would wrap around or refuse in words of its own."""
    known = values.dropna()
    outside = known[(known < -(2**63)) | (known >= 2**63)] if known.dtype.kind in "ufO" else known[:0]
    if len(outside):
        raise AnnotationError(
            f"column {values.name!r} holds {outside.iloc[0]}, which is beyond 64 bits with a sign; {advice}."
        )


def _typed(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column as `boolean`, `Int64`, `float64` or text in which a missing one is missing."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "categorical":
        kind = pd.api.types.infer_dtype(values.astype(object), skipna=True)
        values = values.astype(object)
    if kind == "boolean":
        return values.astype("boolean")
    if kind == "integer":
        _require_64_bits(values, "give it as text")
        return values.astype("Int64")
    if kind in ("floating", "mixed-integer-float"):
        return pd.Series(values.to_numpy("float64", na_value=float("nan")), index=values.index)
    if kind in ("string", "empty"):
        texts = [
            None if missing or text == "" else str(text) for missing, text in zip(values.isna(), values, strict=True)
        ]
        return pd.Series(texts, index=values.index, dtype="str")
    raise AnnotationError(
        f"column {values.name!r} holds {kind} values; a column of labels holds texts, numbers or truth values, and "
        "only one of these kinds."
    )


def one_row_a_key(labels: pd.DataFrame, key: str) -> pd.DataFrame:
    """Rows without their repetitions, sorted by key; a key with two different rows is refused."""
    labels = labels.drop_duplicates()
    twice = labels[labels[key].duplicated(keep=False)]
    if len(twice):
        first = twice[key].iloc[0]
        rows = twice[twice[key] == first]
        differs = [name for name in rows.columns if len(rows[name].drop_duplicates()) > 1]
        values = " and ".join(repr(value) for value in rows[differs[0]].iloc[:2].tolist())
        raise AnnotationError(
            f"{twice[key].nunique()} of the {key}s have more than one value; the first is {first}, with {differs[0]} "
            f"{values}. Keep one row for each."
        )
    return labels.sort_values(key, kind="stable", ignore_index=True)
