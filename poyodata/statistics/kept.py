"""Results that are kept, so that nothing is computed twice: what lies in a store's folder ``statistics``.

::

    statistics/<digest>.parquet, .json                   the table of one call, joined over recordings, and its lineage
    statistics/recordings/<recording>/<time>.parquet     columns of one recording, a row a trace: all statistics of one
                                                         selection of time, and, under another name, their intervals
    statistics/recordings/<recording>/<name>.blocks.parquet   states of whole blocks, a row a block and trace

``<recording>`` is the digest of a recording's content, ``<time>`` one over the frames that were looked at (and over how
intervals are drawn). Every column stands there with the lineage of its statistic and is taken only for that one. So a
new recording computes itself alone, and a statistic of a new version replaces its own columns alone. With 12 statistics
of 1,333 recordings that is 2,666 files, and 1,333 more for every further split.

Files are sealed: what was damaged, by a power cut too, is computed again. All of ``statistics/recordings``, or any part
of it, may be removed at any time, and so may the joined tables: they are computed again when they are asked for. That
is also how what nobody asks for any more (of recordings that were replaced, of splits that are not used) is cleared
away; nothing else does it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.digests import json_digest, table_digest
from poyodata.errors import StoreError
from poyodata.intervals import Intervals
from poyodata.statistics.blocks import BlockStates
from poyodata.statistics.statistic import Resampling
from poyodata.store.commit import read_arrow, table_metadata
from poyodata.store.layout import TEMPORARY
from poyodata.store.seal import BLANK_SEAL, SEAL_KEY, is_intact, seal, seal_json

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Column name to values of shape (neuron,)."""

_log = logging.getLogger(__name__)


def time_key(spans: Intervals, resampling: Resampling | None = None) -> str:
    """Name a selection of time of a recording, and how intervals are drawn in it.

    Examples
    --------
    >>> time_key(np.array([[0, 5]])) == time_key(np.array([[0, 5]]))
    True
    >>> time_key(np.array([[0, 5]])) == time_key(np.array([[0, 5]]), Resampling())
    False
    """
    state = hashlib.sha256(np.ascontiguousarray(spans, "<i8").tobytes())
    if resampling is not None:
        state.update(json_digest(vars(resampling)).encode())
    return state.hexdigest()[:32]


class KeptResults:
    """The folder of kept results. One that cannot be written costs only the keeping."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writable = True

    # -- the table of one call -----------------------------------------------------------------------------------

    def table(self, digest: str) -> pd.DataFrame | None:
        """Read the joined table of a call; None when there is none, or when it is not what was written."""
        lineage, parquet = self.folder / f"{digest}.json", self.folder / f"{digest}.parquet"
        if not (lineage.exists() and parquet.exists()):
            return None
        try:
            content, arrow = lineage.read_bytes(), read_arrow(parquet)
            if is_intact(content) and json.loads(content)["digest"] == table_metadata(arrow)["digest"] == digest:
                table: pd.DataFrame = arrow.to_pandas()
                return table
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("kept statistics %s are damaged (%s); computed again", digest[:12], type(error).__name__)
            return None
        _log.warning("kept statistics %s were changed since they were written; computed again", digest[:12])
        return None

    def keep_table(
        self, digest: str, table: pd.DataFrame, lineage: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> None:
        """Keep the joined table of a call, then the lineage that makes it count; `columns` is what columns mean."""
        known = {**lineage, "digest": digest, "table_digest": table_digest(table), "poyodata": version}
        values = {str(name): table[name] for name in table.columns}
        self._write(self.folder / f"{digest}.parquet", _sealed(values, {"digest": digest, "columns": columns}))
        self._write(self.folder / f"{digest}.json", seal_json(known))

    # -- columns of one recording --------------------------------------------------------------------------------

    def columns(self, recording: str, time: str, wanted: Mapping[str, str], n_neurons: int) -> dict[str, Columns]:
        """Read columns of one recording.

        Parameters
        ----------
        recording : str
            Digest of its content.
        time : str
            `time_key` of what was looked at.
        wanted : mapping of statistic to digest of its lineage
        n_neurons : int

        Returns
        -------
        dict of statistic to Columns
            Of those that were kept.
        """
        path = self._of_recording(recording) / f"{time}.parquet"
        table, known = self._read(path)
        if table is None or len(table) != n_neurons:
            return {}
        return {
            name: {column: table[column].to_numpy() for column in entry["columns"]}
            for name, entry in known.items()
            if wanted.get(name) == entry["lineage"]
        }

    def keep_columns(
        self, recording: str, time: str, results: Mapping[str, Columns], lineages: Mapping[str, str]
    ) -> None:
        """Keep columns of one recording beside those of other statistics that lie there."""
        path = self._of_recording(recording) / f"{time}.parquet"
        table, known = self._read(path)
        new = {name: {"lineage": lineages[name], "columns": list(columns)} for name, columns in results.items()}
        values = {column: array for columns in results.values() for column, array in columns.items()}
        old = {name: one for name, one in known.items() if name not in new and values.keys().isdisjoint(one["columns"])}
        values |= {column: table[column].to_numpy() for one in old.values() for column in one["columns"]}
        self._write(path, _sealed(values, {"place": self._place(path), "statistics": old | new}))

    # -- states of blocks ----------------------------------------------------------------------------------------

    def blocks(self, recording: str, name: str, lineage: str, n_neurons: int) -> BlockStates | None:
        """Read the states of a recording's blocks; None where none of this lineage are kept."""
        table, known = self._read(self._of_recording(recording) / f"{name}.blocks.parquet")
        if table is None or known.get(name, {}).get("lineage") != lineage or len(table) % n_neurons:
            return None
        return {column: table[column].to_numpy().reshape(-1, n_neurons) for column in known[name]["columns"]}

    def keep_blocks(self, recording: str, name: str, lineage: str, states: BlockStates) -> None:
        """Keep the states of a recording's blocks."""
        path = self._of_recording(recording) / f"{name}.blocks.parquet"
        values = {column: array.reshape(-1) for column, array in states.items()}
        known = {name: {"lineage": lineage, "columns": list(states)}}
        self._write(path, _sealed(values, {"place": self._place(path), "statistics": known}))

    # -- files ---------------------------------------------------------------------------------------------------

    def _of_recording(self, digest: str) -> Path:
        return self.folder / "recordings" / digest

    def _place(self, path: Path) -> str:
        """Where a file belongs; it says so itself, so that one that was moved or copied is not taken for another."""
        return path.relative_to(self.folder).as_posix()

    def _read(self, path: Path) -> tuple[Any, dict[str, Any]]:
        """Read an Arrow table and what it says of each statistic; None and nothing where that is not to be had."""
        if not path.exists():
            return None, {}
        try:
            arrow = read_arrow(path)
            metadata = table_metadata(arrow)
            if metadata["place"] != self._place(path):
                raise ValueError("of another place")
            known = dict(metadata["statistics"])
            for entry in known.values():
                arrow.select(entry["columns"])
        except (StoreError, ValueError, KeyError, TypeError) as error:
            what = type(error).__name__
            _log.warning("kept statistics %s are damaged (%s); computed again", self._place(path), what)
            return None, {}
        return arrow, known

    def _write(self, path: Path, content: bytes) -> None:
        if self._writable:
            try:
                _put(path, content)
            except OSError as error:
                self._writable = False
                _log.warning("statistics are not kept: %s cannot be written (%s)", self.folder, error)


def _sealed(columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> bytes:
    """A sealed Parquet file, as `poyodata.store.commit.read_arrow` takes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    table = table.replace_schema_metadata({b"poyodata": json.dumps(metadata).encode(), SEAL_KEY: BLANK_SEAL})
    buffer = io.BytesIO()
    # Numbers that are all different: a dictionary of them costs ten times the time and saves nothing.
    pq.write_table(table, buffer, compression="lz4", use_dictionary=False)
    return seal(buffer.getvalue())


def _put(path: Path, content: bytes) -> None:
    """Put a file in place; not forced to disk, which costs more than it is worth for what can be computed again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
