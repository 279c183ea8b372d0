"""Tables of numbers that grow row by row, in memory and on disk, and can be cut back to where they were."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.errors import ModelError
from poyodata.replacing import replacing

Row = dict[str, float | int]
WHOLE = ("step", "windows")
"""Columns that hold whole numbers."""


class Rows:
    """A table that is written as CSV while it grows.

    A value that a row does not have is an empty field. A name that is new becomes the last column, and the file is then
    written anew. Numbers are written so that they are read back exactly.

    Parameters
    ----------
    path : Path, optional
        The file; the table lives in memory alone when None.
    writes : bool
        Whether this process writes the file; of several, one does.

    Examples
    --------
    >>> rows = Rows()
    >>> rows.append([{"step": 1, "loss": 0.5}])
    >>> place = rows.state()
    >>> rows.append([{"step": 2, "loss": 0.25, "accuracy": 1.0}])
    >>> rows.cut(place)
    >>> rows.table()
       step  loss
    0     1   0.5
    """

    def __init__(self, path: Path | None = None, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.columns: list[str] = []
        self.rows: list[Row] = []

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows, to the file as well."""
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self.columns]
        self.columns += new
        self.rows += rows
        if self.path is None or not self.writes or not rows:
            return
        if new:
            self._rewrite()
            return
        text = "".join(self._line(row) for row in rows)
        with self.path.open("ab", buffering=0) as file:
            left = memoryview(text.encode())
            while left:
                left = left[file.write(left) :]

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        if self.path is not None and self.writes and self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def state(self) -> dict[str, Any]:
        """Say how long the table is, in plain values."""
        return {"columns": list(self.columns), "rows": len(self.rows)}

    def cut(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state` was taken; rows that came after it, whole or in part, are dropped.

        Raises
        ------
        ModelError
            If the file is shorter than it was then, has other columns, or fields that are no numbers.
        """
        self.columns = list(state["columns"])
        if self.path is None:
            self.rows = [
                {name: value for name, value in row.items() if name in self.columns}
                for row in self.rows[: state["rows"]]
            ]
            return
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except UnicodeDecodeError as error:
            raise ModelError(f"{self.path} is no text ({error}); put it back, or start the run anew") from error
        header = lines[0].split(",") if lines else []
        if header[: len(self.columns)] != self.columns or len(lines) < state["rows"] + (1 if self.columns else 0):
            raise ModelError(
                f"{self.path} is not the table that the checkpoint is of: it had {state['rows']} rows of "
                f"{', '.join(self.columns) or 'no columns'}; put it back, or start the run anew"
            )
        self.rows = [self._row(number, line) for number, line in enumerate(lines[1 : 1 + state["rows"]], start=2)]
        if not self.writes:
            return
        if self.columns:
            self._rewrite()
        else:
            self.path.unlink(missing_ok=True)

    def table(self) -> pd.DataFrame:
        """Give all rows as a table; NaN where a row has no value."""
        return pd.DataFrame(self.rows, columns=self.columns)

    def _row(self, number: int, line: str) -> Row:
        fields = line.split(",")[: len(self.columns)]
        try:
            if len(fields) != len(self.columns):
                raise ValueError(f"it has {len(fields)} of {len(self.columns)} fields")
            return {
                name: int(field) if name in WHOLE else float(field)
                for name, field in zip(self.columns, fields, strict=True)
                if field
            }
        except ValueError as error:
            raise ModelError(
                f"line {number} of {self.path} is not as it was written ({error}): {line[:60]!r}; put the file back, "
                "or start the run anew"
            ) from error

    def _line(self, row: Row) -> str:
        return ",".join(repr(row[name]) if name in row else "" for name in self.columns) + "\n"

    def _rewrite(self) -> None:
        if self.path is None:
            return
        with contextlib.suppress(FileExistsError):
            self.path.parent.mkdir(parents=True)
        with replacing(self.path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(self.columns) + "\n")
            file.writelines(self._line(row) for row in self.rows)
