"""One recording on its way into a store: its tables, its digests, and the folder of Zarr arrays it becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import array_digest, json_digest, table_digest
from poyodata.errors import StoreError
from poyodata.store.layout import BLOCK_FRAMES, check_name, group_json
from poyodata.store.protocol import Record
from poyodata.store.shard import block_digests, write_shard
from poyodata.store.tables import METADATA_COLUMNS, SORT_KEYS, TABLES, conform

MISSING = ("error", "keep", "drop")
"""What may be done about NaN or infinite values in traces."""

TRACES = "dff"
_COORDINATES = {
    "neuron_id": "",
    "cell_specimen_id": "",
    "roi_id": "",
    "x_um": "um",
    "y_um": "um",
    "valid_roi": "",
}
_RESERVED = frozenset({TRACES, "time", "neuron", *_COORDINATES})
_NO_ID = -1  # in the Zarr arrays, which have no missing integer; the tables have <NA>


@dataclass
class MissingTally:
    """Where the traces are NaN or infinite, counted while they stream by."""

    neurons: npt.NDArray[np.bool_]
    n_frames: int = 0

    def count(self, blocks: Iterator[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        """Pass blocks on with every non-finite value as the one NaN."""
        for block in blocks:
            finite = np.isfinite(block)
            if finite.all():
                yield block
                continue
            if finite.shape[1:] == self.neurons.shape:  # another width is refused where the blocks are joined
                self.neurons |= ~finite.all(axis=0)
                self.n_frames += int((~finite.all(axis=1)).sum())
            # One kind of missing: an infinity would poison every sum, and NaNs of other bits every digest.
            yield np.where(finite, block, np.float32(np.nan))


@dataclass(frozen=True)
class SessionContent:
    """Everything of a recording but its traces, as the store holds it.

    Attributes
    ----------
    record : Record
    columns : ndarray, shape (neuron,), int64
        Trace columns of the record that are stored.
    tables : dict of str to DataFrame
        Rows for neurons, presentations, epochs and segments.
    parts : dict of str to str
        Digest of everything but the traces, by part.
    """

    record: Record
    columns: npt.NDArray[np.int64]
    tables: dict[str, pd.DataFrame]
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """Name of the recording."""
        return str(self.record.metadata.session_id)

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and stored neurons."""
        return len(self.record.time_s), len(self.columns)

    def trace_blocks(self, tally: MissingTally) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the stored columns of the traces, a block of frames at a time."""
        whole = len(self.columns) == len(self.record.neurons)
        blocks = (np.asarray(block, np.float32) for block in self.record.blocks(BLOCK_FRAMES))
        return tally.count(blocks if whole else (block[:, self.columns] for block in blocks))

    def write(self, folder: Path, missing: str) -> list[str]:
        """Write the Zarr group of the recording; returns the digest of every trace block.

        Raises
        ------
        StoreError
            When values are missing and may not be, or the traces are not of the shape the record says.
        """
        folder.mkdir(parents=True)
        attributes = {"units": "dF/F", "coordinates": " ".join(_COORDINATES)}
        tally = MissingTally(np.zeros(len(self.columns), np.bool_))
        digests = write_shard(
            folder / TRACES,
            self.trace_blocks(tally),
            self.shape,
            block_rows=BLOCK_FRAMES,
            dimension_names=("time", "neuron"),
            attributes=attributes,
        )
        if missing == "error":
            self._refuse_missing(tally)
        self._write_coordinates(folder)
        (folder / "zarr.json").write_text(
            json.dumps(group_json(self._attributes()), indent=2, allow_nan=False), encoding="utf-8"
        )
        return digests

    def digest_traces(self, missing: str) -> list[str]:
        """Digest of every trace block, as `write` would store it, without writing."""
        tally = MissingTally(np.zeros(len(self.columns), np.bool_))
        digests = block_digests(self.trace_blocks(tally), self.shape, "float32", BLOCK_FRAMES)
        if missing == "error":
            self._refuse_missing(tally)
        return digests

    def digest(self, blocks: list[str]) -> str:
        """Digest of the whole recording."""
        return json_digest({"blocks": blocks, "parts": self.parts, "shape": list(self.shape)})

    def session_row(self, digest: str) -> pd.DataFrame:
        """Row of the table ``sessions``."""
        time_s = self.record.time_s
        row = {name: [getattr(self.record.metadata, name)] for name in METADATA_COLUMNS} | {
            "rate_hz": [float(1.0 / np.median(np.diff(time_s)))],
            "n_frames": [self.shape[0]],
            "n_neurons": [self.shape[1]],
            "duration_s": [float(time_s[-1] - time_s[0])],
            "digest": [digest],
            "source_digest": [self.record.source_digest],
        }
        return conform(pd.DataFrame(row), "sessions")

    def _refuse_missing(self, tally: MissingTally) -> None:
        if tally.n_frames:
            raise StoreError(
                f"recording {self.session_id!r}: {int(tally.neurons.sum())} of {self.shape[1]} neurons have missing "
                f"values (NaN or infinite), in {tally.n_frames} of {self.shape[0]} frames; the store is as it was. "
                "Repair the recording, or choose missing='keep' (--missing keep; stored as NaN) or missing='drop' "
                "(--missing drop; those neurons are left out)."
            )

    def _attributes(self) -> dict[str, Any]:
        row = self.session_row("").drop(columns=["digest"]).iloc[0].to_dict()
        return {
            str(name): value.item() if isinstance(value, np.generic) else value
            for name, value in row.items()
            if value != "" and value == value  # a missing number has no JSON form
        }

    def _write_coordinates(self, folder: Path) -> None:
        _write_array(folder / "time", self.record.time_s.astype("<f8"), "time", "s")
        neurons = self.tables["neurons"]
        for name, unit in _COORDINATES.items():
            values = neurons[name]
            attributes: dict[str, Any] = {"units": unit} if unit else {}
            if str(values.dtype) == "Int64":
                attributes["missing"] = _NO_ID
                values = values.fillna(_NO_ID).astype("int64")
            array = np.asarray(values.tolist(), dtype=object) if name == "neuron_id" else values.to_numpy()
            _write_array(folder / name, array, "neuron", **attributes)
        for name, signal in self.record.signals.items():
            clock = f"{name}_time"
            _write_array(folder / name, np.asarray(signal.values, "<f8"), clock, signal.unit)
            _write_array(folder / clock, np.asarray(signal.time_s, "<f8"), clock, "s")


def _write_array(folder: Path, values: npt.NDArray[Any], dimension: str, units: str = "", **attributes: Any) -> None:
    import zarr

    if units:
        attributes["units"] = units
    # Texts are Zarr's `string` type: fixed-width texts have no specification in Zarr v3.
    array = zarr.create_array(
        str(folder),
        shape=values.shape,
        chunks=(max(1, len(values)),),
        dtype="string" if values.dtype == object else values.dtype,
        dimension_names=[dimension],
        attributes=attributes,
        zarr_format=3,
    )
    array[:] = values


def prepare(record: Record, missing: str) -> SessionContent:
    """Bring a recording to the tables of the store and digest all but its traces.

    With ``missing="drop"`` the traces are read once here, to find the neurons to leave out.

    Raises
    ------
    StoreError
        When a name is unsafe, a table lacks a column, an epoch has two stimuli, or no neuron remains.
    PoyodataError
        What the record's own ``check`` raises.
    """
    record.check()
    session_id = check_name(str(record.metadata.session_id))
    for name in record.signals:
        check_name(name, "signal")
        if name in _RESERVED or name.removesuffix("_time") in _RESERVED | (record.signals.keys() - {name}):
            raise StoreError(
                f"recording {session_id!r}: signal {name!r} has the name of another array; rename it in the source."
            )
    columns = np.arange(len(record.neurons), dtype=np.int64)
    if missing == "drop":
        columns = columns[~_incomplete(record)]
        if len(columns) == 0:
            raise StoreError(
                f"recording {session_id!r}: every neuron has missing values, so missing='drop' leaves none; choose "
                "missing='keep' (--missing keep; stored as NaN), or repair the recording."
            )
    tables = _tables(record, session_id, columns)
    content = SessionContent(record, columns, tables)
    content.parts.update(_part_digests(content))
    return content


def _incomplete(record: Record) -> npt.NDArray[np.bool_]:
    incomplete = np.zeros(len(record.neurons), np.bool_)
    for block in record.blocks(BLOCK_FRAMES):
        incomplete |= ~np.isfinite(block).all(axis=0)
    return incomplete


def _tables(record: Record, session_id: str, columns: npt.NDArray[np.int64]) -> dict[str, pd.DataFrame]:
    neurons = record.neurons.iloc[columns].assign(session_id=session_id, column=np.arange(len(columns), dtype=np.int64))
    presentations = conform(record.presentations.assign(session_id=session_id), "presentations")
    presentations = presentations.sort_values(list(SORT_KEYS["presentations"]), kind="stable", ignore_index=True)
    epochs = presentations.groupby("epoch", as_index=False).agg(
        stimulus=("stimulus", "first"), start_frame=("start_frame", "min"), stop_frame=("stop_frame", "max")
    )
    mixed = presentations.drop_duplicates(["epoch", "stimulus"])["epoch"]
    mixed = mixed[mixed.duplicated()]
    if len(mixed):
        raise StoreError(
            f"recording {session_id!r}: epoch {mixed.iloc[0]} has several stimuli; number the epochs one stimulus each."
        )
    segments = pd.DataFrame(np.asarray(record.segments, np.int64).reshape(-1, 2), columns=["start_frame", "stop_frame"])
    return {
        "neurons": conform(neurons, "neurons"),
        "presentations": presentations,
        "epochs": conform(epochs.assign(session_id=session_id), "epochs"),
        "segments": conform(segments.assign(session_id=session_id, segment=np.arange(len(segments))), "segments"),
    }


def _part_digests(content: SessionContent) -> dict[str, str]:
    record = content.record
    metadata = content.session_row("")[list(METADATA_COLUMNS)]
    parts = {
        "metadata": table_digest(metadata),
        "time": array_digest(record.time_s.astype("<f8")),
        "neurons": neurons_digest(content.tables["neurons"]),
        **{name: table_digest(content.tables[name]) for name in ("presentations", "segments")},
    }
    for name, signal in record.signals.items():
        arrays = [array_digest(np.asarray(array, "<f8")) for array in (signal.values, signal.time_s)]
        parts[f"signal:{name}"] = json_digest([*arrays, signal.unit])
    return parts


def neurons_digest(neurons: pd.DataFrame) -> str:
    """Digest of one recording's neurons, the same before and after they lay in one table with all others.

    There, a further column of another recording is missing throughout, and one of whole numbers may have become one of
    floats.
    """
    further = neurons.drop(columns=list(TABLES["neurons"]))
    known = further.loc[:, [bool((further[name].notna() & (further[name] != "")).any()) for name in further.columns]]
    whole = {name: "float64" for name in known.columns if known[name].dtype == "Int64"}
    return table_digest(pd.concat([neurons[list(TABLES["neurons"])], known.astype(whole)], axis=1))
