"""One recording on its way into a store: its tables, its digests, and the folder of Zarr arrays it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import array_digest, json_digest, table_digest
from poyodata.errors import SourceError, StoreError
from poyodata.store.disk import json_bytes
from poyodata.store.group import (
    COORDINATES,
    MASK_NEURON,
    MASK_PX,
    MAX_PROJECTION,
    join_masks,
    write_coordinates,
    write_masks,
    write_max_projection,
    write_signals,
)
from poyodata.store.layout import BLOCK_FRAMES, check_name, group_json
from poyodata.store.missing import MissingTally
from poyodata.store.protocol import Record
from poyodata.store.shard import WrittenShard, block_digests, write_shard
from poyodata.store.tables import GENERATION, METADATA_COLUMNS, SORT_KEYS, TABLES, conform
from poyodata.vocabulary import DFF

TRACE_DIMENSIONS = ("time", "neuron")
_RESERVED = frozenset({"time", "neuron", MASK_PX, MASK_NEURON, MAX_PROJECTION, *COORDINATES})


@dataclass(frozen=True)
class SessionContent:
    """Everything of a recording but its traces, as the store holds it.

    Attributes
    ----------
    record : Record
    columns : ndarray, shape (neuron,), int64
        Trace columns of the record that are stored.
    traces : tuple of str
        Names of the traces that are stored, dF/F first.
    tables : dict of str to DataFrame
        Rows for neurons, presentations, epochs and segments.
    parts : dict of str to str
        Digest of everything but the traces, by part.
    """

    record: Record
    columns: npt.NDArray[np.int64]
    traces: tuple[str, ...]
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

    @property
    def masks(self) -> list[npt.NDArray[np.int16]] | None:
        """Masks of the stored neurons."""
        masks = self.record.masks
        return None if masks is None else [masks[column] for column in self.columns.tolist()]

    def trace_blocks(self, name: str, tally: MissingTally) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the stored columns of the traces, a block of frames at a time."""
        whole = len(self.columns) == len(self.record.neurons)
        blocks = (np.asarray(block, np.float32) for block in self.record.blocks(BLOCK_FRAMES, name))
        return tally.count(blocks if whole else (block[:, self.columns] for block in blocks))

    def write(self, folder: Path, missing: str) -> dict[str, WrittenShard]:
        """Write the Zarr group of the recording; returns the digests of every trace array.

        Raises
        ------
        StoreError
            When values of dF/F are missing and may not be, or the traces are not of the shape the record says.
        """
        folder.mkdir(parents=True)
        written: dict[str, WrittenShard] = {}
        for name in self.traces:
            tally = self._tally()
            shard = write_shard(
                folder / name,
                self.trace_blocks(name, tally),
                self.shape,
                block_rows=BLOCK_FRAMES,
                dimension_names=TRACE_DIMENSIONS,
                attributes={"units": "dF/F" if name == DFF else "counts", "coordinates": " ".join(COORDINATES)},
            )
            self._refuse_missing(name, tally, missing)
            written[name] = replace(shard, complete=tally.n_frames == 0)
        write_coordinates(folder, self.record.time_s, self.tables["neurons"])
        write_signals(folder, self.record.signals)
        if self.masks is not None:
            write_masks(folder, self.masks)
        if self.record.max_projection is not None:
            write_max_projection(folder, self.record.max_projection)
        (folder / "zarr.json").write_bytes(json_bytes(group_json(self._attributes())))
        return written

    def digest_traces(self, name: str, missing: str) -> list[str]:
        """Digest of every block of a trace array, as `write` would store it, without writing."""
        tally = self._tally()
        digests = block_digests(self.trace_blocks(name, tally), self.shape, "float32", BLOCK_FRAMES)
        self._refuse_missing(name, tally, missing)
        return digests

    def digest(self, blocks: Mapping[str, Sequence[str]]) -> str:
        """Digest of the whole recording."""
        return recording_digest(blocks, self.parts, self.shape)

    @cached_property
    def session_row(self) -> pd.DataFrame:
        """Row of the table ``sessions``, yet without digest and generation."""
        time_s = self.record.time_s
        row = {name: [getattr(self.record.metadata, name)] for name in METADATA_COLUMNS} | {
            "rate_hz": [float(1.0 / np.median(np.diff(time_s)))],
            "n_frames": [self.shape[0]],
            "n_neurons": [self.shape[1]],
            "duration_s": [float(time_s[-1] - time_s[0])],
            "digest": [""],
            "source_digest": [self.record.source_digest],
            "templates": [" ".join(sorted(self.record.templates))],
            GENERATION: [0],
        }
        return conform(pd.DataFrame(row), "sessions")

    def _tally(self) -> MissingTally:
        return MissingTally(np.zeros(len(self.columns), np.bool_))

    def _refuse_missing(self, name: str, tally: MissingTally, missing: str) -> None:
        if tally.n_frames and missing == "error" and name == DFF:
            raise StoreError(
                f"recording {self.session_id!r}: {int(tally.neurons.sum())} of {self.shape[1]} neurons have missing "
                f"values (NaN or infinite), in {tally.n_frames} of {self.shape[0]} frames; the store is as it was. "
                "Repair the recording, or choose missing='keep' (--missing keep; stored as NaN) or missing='drop' "
                "(--missing drop; those neurons are left out)."
            )

    def _attributes(self) -> dict[str, Any]:
        row = self.session_row.drop(columns=["digest", "templates", GENERATION]).iloc[0].to_dict()
        return {
            str(name): value.item() if isinstance(value, np.generic) else value
            for name, value in row.items()
            if value != "" and value == value  # a missing number has no JSON form
        }


def recording_digest(blocks: Mapping[str, Sequence[str]], parts: Mapping[str, str], shape: Sequence[int]) -> str:
    """Digest of a recording from those of its blocks and parts. One with dF/F alone does not know of further traces."""
    content = {"blocks": list(blocks[DFF]), "parts": dict(parts), "shape": list(shape)}
    further = {name: list(digests) for name, digests in blocks.items() if name != DFF}
    return json_digest(content | ({"further": further} if further else {}))


def prepare(record: Record, missing: str, traces: Sequence[str] = (DFF,)) -> SessionContent:
    """Bring a recording to the tables of the store and digest all but its traces.

    With ``missing="drop"`` dF/F is read once here, to find the neurons to leave out.

    Raises
    ------
    SourceError
        When the recording does not have the traces.
    StoreError
        When a name is unsafe, a table lacks a column, an epoch has two stimuli, or no neuron remains.
    PoyodataError
        What the record's own ``check`` raises.
    """
    record.check()
    session_id = check_name(str(record.metadata.session_id))
    lacking = [name for name in traces if name != DFF and name not in record.further]
    if lacking:
        raise SourceError(
            f"recording {session_id!r} has no traces {' or '.join(map(repr, lacking))}; it has "
            f"{', '.join([DFF, *record.further])}. Ask for these, or for what each recording has (--traces all)."
        )
    for stimulus in record.templates:
        check_name(stimulus, "stimulus")
    _check_array_names(record, session_id)
    columns = np.arange(len(record.neurons), dtype=np.int64)
    if missing == "drop":
        columns = columns[~_incomplete(record)]
        if len(columns) == 0:
            raise StoreError(
                f"recording {session_id!r}: every neuron has missing values, so missing='drop' leaves none; choose "
                "missing='keep' (--missing keep; stored as NaN), or repair the recording."
            )
    names = (DFF, *dict.fromkeys(name for name in traces if name != DFF))
    content = SessionContent(record, columns, names, _tables(record, session_id, columns))
    content.parts.update(_part_digests(content))
    return content


def _check_array_names(record: Record, session_id: str) -> None:
    """Raise when a signal or trace is called as another array of the group is, or cannot name a folder."""
    traces = {DFF, *record.further}
    for name in record.further:
        check_name(name, "trace")
    for name in record.signals:
        check_name(name, "signal")
    reserved = _RESERVED | traces
    taken = sorted(_RESERVED & record.further.keys()) + [
        name
        for name in record.signals
        if name in reserved or name.removesuffix("_time") in reserved | (record.signals.keys() - {name})
    ]
    if taken:
        raise StoreError(
            f"recording {session_id!r}: {taken[0]!r} has the name of another array; rename it in the source."
        )


def _incomplete(record: Record) -> npt.NDArray[np.bool_]:
    incomplete = np.zeros(len(record.neurons), np.bool_)
    for block in record.blocks(BLOCK_FRAMES, DFF):
        incomplete |= ~np.isfinite(block).all(axis=0)
    return incomplete


def _tables(record: Record, session_id: str, columns: npt.NDArray[np.int64]) -> dict[str, pd.DataFrame]:
    neurons = record.neurons.iloc[columns].assign(session_id=session_id, column=np.arange(len(columns), dtype=np.int64))
    presentations = conform(record.presentations.assign(session_id=session_id), "presentations")
    presentations = presentations.sort_values(list(SORT_KEYS["presentations"]), kind="stable", ignore_index=True)
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
        "epochs": epochs_of(presentations, session_id),
        "segments": conform(segments.assign(session_id=session_id, segment=np.arange(len(segments))), "segments"),
    }


def epochs_of(presentations: pd.DataFrame, session_id: str) -> pd.DataFrame:
    """Table ``epochs`` of one recording: from the first to the last presentation of each."""
    epochs = presentations.groupby("epoch", as_index=False).agg(
        stimulus=("stimulus", "first"), start_frame=("start_frame", "min"), stop_frame=("stop_frame", "max")
    )
    return conform(epochs.assign(session_id=session_id), "epochs")


def _part_digests(content: SessionContent) -> dict[str, str]:
    record = content.record
    return part_digests(
        content.session_row,
        content.tables,
        record.time_s,
        signals={name: (signal.values, signal.time_s, signal.unit) for name, signal in record.signals.items()},
        masks=None if content.masks is None else join_masks(content.masks),
        max_projection=record.max_projection,
    )


def part_digests(
    row: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    time_s: npt.NDArray[np.float64],
    *,
    signals: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]],
    masks: Sequence[npt.NDArray[Any]] | None,
    max_projection: npt.NDArray[np.uint8] | None,
    digest: Callable[[npt.NDArray[Any]], str] = array_digest,
) -> dict[str, str]:
    """Digest of every part of a recording but its traces.

    Parameters
    ----------
    row : DataFrame
        Its row of the table of sessions.
    tables : mapping of str to DataFrame
        Its neurons, presentations and segments.
    time_s : ndarray, shape (time,), float64
    signals : mapping of str to (values, time_s, unit)
    masks : sequence of ndarray, optional
        As `poyodata.store.group.join_masks` lays them behind each other.
    max_projection : ndarray, shape (y, x), uint8, optional
    digest : callable
        Of an array.

    Returns
    -------
    dict of str to str
    """
    parts = {
        "metadata": table_digest(row[list(METADATA_COLUMNS)]),
        "time": digest(time_s.astype("<f8")),
        "neurons": neurons_digest(tables["neurons"]),
        **{name: table_digest(tables[name]) for name in ("presentations", "segments")},
    }
    if masks is not None:
        parts["masks"] = json_digest([digest(array) for array in masks])
    if max_projection is not None:
        parts[MAX_PROJECTION] = json_digest([list(max_projection.shape), digest(max_projection)])
    for name, (values, clock, unit) in signals.items():
        parts[f"signal:{name}"] = json_digest([*(digest(np.asarray(array, "<f8")) for array in (values, clock)), unit])
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
