"""Tables in CSV files: read so that no column shifts and no leading zero is lost."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.errors import PoyodataError, SourceError

_LEADING_ZERO = re.compile(r"\s*[+-]?0\d")


def read_csv_table(
    path: str | os.PathLike[str],
    what: str,
    error: type[PoyodataError] = SourceError,
    *,
    dtype: Mapping[str, str] | str | None = None,
    **options: Any,
) -> pd.DataFrame:
    r"""Read a table with a header and commas between its fields; a byte order mark before it is no part of it.

    Parameters
    ----------
    path : str or Path
    what : str
        What messages call the table, such as ``"metadata_table"``.
    error : type
        What is raised, one of `poyodata.errors`.
    dtype : mapping of str to str, or str, optional
        Types of columns by their names, or of all; others are told by their values. A column in which a number
        has a leading zero is of texts, as ``007`` is a name.
    **options
        As `pandas.read_csv` takes them.

    Returns
    -------
    DataFrame
        Empty lines are left out.

    Raises
    ------
    PoyodataError
        ``error``, when the file cannot be read, a row has more or fewer fields than the header (a trailing comma makes
        one more), or two columns have one name.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mice.csv"
    >>> _ = file.write_text("session_id,area\n007,VISp\n")
    >>> read_csv_table(file, "the table").values.tolist()
    [['007', 'VISp']]
    >>> _ = file.write_text("session_id,area\n007,VISp,\n")
    >>> read_csv_table(file, "the table")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    poyodata.errors.SourceError: the table .../mice.csv has 3 fields in line 2 and 2 in its header; ...
    """
    file = Path(path)
    label = f"{what} {file}"
    try:
        zeros = _columns_of_names(file, label, error)
        types: Any = dtype if isinstance(dtype, str) else dict.fromkeys(zeros, "str") | dict(dtype or {})
        table: pd.DataFrame = pd.read_csv(file, index_col=False, encoding="utf-8-sig", dtype=types, **options)
        return table
    except PoyodataError:
        raise
    except (OSError, ValueError, csv.Error) as problem:  # pandas' errors are ValueErrors
        raise error(f"{label} cannot be read ({problem}); a CSV file with a header was expected.") from problem


def _columns_of_names(file: Path, label: str, error: type[PoyodataError]) -> list[str]:
    """Columns in which a number has a leading zero, after a look at the number of fields of every line."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        lines = csv.reader(text)
        header = next((fields for fields in lines if not _is_empty(fields)), [])
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if twice is not None:
            raise error(f"{label} has two columns {twice!r}; give one of them another name.")
        zeros: set[int] = set()
        for fields in lines:
            if _is_empty(fields):
                continue
            if len(fields) != len(header):
                raise error(
                    f"{label} has {len(fields)} fields in line {lines.line_num} and {len(header)} in its header; "
                    "give every line as many commas as the header has."
                )
            zeros.update(place for place, field in enumerate(fields) if _LEADING_ZERO.match(field))
    return [header[place] for place in sorted(zeros)]


def _is_empty(fields: list[str]) -> bool:
    return not fields or (len(fields) == 1 and not fields[0].strip())
