"""The `arrays` source: plain arrays and one mapping become a `SessionRecord`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from poyodata.errors import SourceError, UsageError, nearest
from poyodata.intervals import Intervals, segments_of_time
from poyodata.sources.containers import ArrayContainer, open_container
from poyodata.sources.hdf5 import as_int64, closest_or_all
from poyodata.sources.mapping import (
    ArrayMapping,
    MetadataMapping,
    SegmentsMapping,
    StimulusMapping,
    find_mapping,
    shipped_mappings,
)
from poyodata.sources.metadata import line_of
from poyodata.sources.presentations import presentation_rows, presentation_table
from poyodata.sources.record import NEURON_COLUMNS, SessionMetadata, SessionRecord
from poyodata.sources.remote import Place, RemoteFile, place_of

__all__ = ["ArrayMapping", "find_mapping", "read_arrays"]


def read_arrays(
    source: str | Place | xr.Dataset | xr.DataArray, mapping: str | Path | ArrayMapping | None = None
) -> SessionRecord:
    """Read one recording from a file of arrays, or from xarray objects in memory.

    Parameters
    ----------
    source : str, Path, RemoteFile, Dataset or DataArray
        An HDF5, MATLAB, ``.npz``, ``.npy``, netCDF or Zarr path, the URL of an HDF5 file (with a mapping), a folder
        that holds the file a mapping names, or xarray data.
    mapping : str, Path or ArrayMapping, optional
        Where the parts lie; left out, it is looked for as `find_mapping` does.

    Returns
    -------
    SessionRecord
        Traces are read block by block, as float32.

    Raises
    ------
    UsageError
        When there is no mapping.
    SourceError
        When the file cannot be read, lacks a dataset, or its shapes do not fit each other.

    Examples
    --------
    >>> dff = xr.DataArray(np.zeros((2, 90), np.float16), dims=("neuron", "time"), name="dff")
    >>> mapping = ArrayMapping.model_validate({
    ...     "mapping": 1, "traces": {"name": "dff", "dims": ["neuron", "time"]}, "time": {"rate_hz": 30},
    ...     "metadata": {"session_id": 1, "donor_id": 7, "container_id": 3, "cre_line": "Sst-IRES-Cre",
    ...                  "area": "VISp", "depth_um": 275}})
    >>> record = read_arrays(dff, mapping)
    >>> record.read_traces(10, 14).shape
    (4, 2)
    """
    if isinstance(source, (xr.Dataset, xr.DataArray)):
        if mapping is None:
            raise UsageError("xarray data needs a mapping; pass an ArrayMapping, the path of one or a shipped name.")
        chosen = mapping if isinstance(mapping, ArrayMapping) else _named(mapping)
        return _assemble(open_container(source), chosen)
    place = place_of(source)
    if isinstance(place, RemoteFile):
        if mapping is None:
            raise UsageError(f"{place} needs a mapping; name one (--mapping). docs/mapping.md explains its keys.")
        return _assemble(open_container(place), mapping if isinstance(mapping, ArrayMapping) else _named(mapping))
    found = find_mapping(place, mapping)
    if found is None:
        raise UsageError(
            f"no mapping says how to read {source}; put a mapping.yaml beside it or name one (--mapping). "
            "docs/mapping.md explains its keys."
        )
    path, chosen = found
    return _assemble(open_container(path), chosen)


def _named(mapping: str | Path) -> ArrayMapping:
    shipped = shipped_mappings()
    return shipped[str(mapping)] if str(mapping) in shipped else ArrayMapping.load(mapping)


def _assemble(container: ArrayContainer, mapping: ArrayMapping) -> SessionRecord:
    arrays = _Arrays(container)
    shape = arrays.shape(mapping.traces.name)
    if len(shape) != 2:
        raise SourceError(f"{container.label}: {mapping.traces.name!r} has shape {shape}; traces have two axes.")
    time_axis = mapping.traces.dims.index("time")
    n_frames, n_neurons = shape[time_axis], shape[1 - time_axis]
    metadata = _metadata(container, mapping.metadata)
    segments = _segments(arrays, mapping.segments, n_frames)
    time_s = _time(arrays, mapping, n_frames, segments)
    if segments is None:
        segments = segments_of_time(time_s)
    tables = [_stimulus(arrays, part, time_s) for part in mapping.stimuli]
    return SessionRecord(
        metadata=metadata,
        neurons=_neurons(arrays, mapping, metadata.session_id, n_neurons),
        time_s=time_s,
        segments=segments,
        presentations=presentation_table(tables),
        read_traces=container.traces(mapping.traces.name, time_axis),
        source_digest=container.digest(),
    ).check()


class _Arrays:
    """A container whose refusals say what the file has instead."""

    def __init__(self, container: ArrayContainer) -> None:
        self.container = container
        self.label = container.label

    def shape(self, name: str) -> tuple[int, ...]:
        names = self.container.names()
        if name not in names and name.strip("/").replace("/", ".") not in names:  # fields of MATLAB's structs
            listed = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
            raise SourceError(
                f"{self.label} has no dataset {name!r}; {closest_or_all(name, names)} "
                f"It has {listed}. Correct the mapping."
            )
        return self.container.shape(name)

    def column(self, name: str, length: int, of: str) -> npt.NDArray[Any]:
        shape = self.shape(name)
        if shape not in ((length,), (1, length), (length, 1)):  # MATLAB has no arrays with one axis
            raise SourceError(
                f"{self.label}: {name!r} has shape {shape}, expected ({length},), one value for each {of}; "
                "correct the mapping (are the dims of the traces the right way round?)."
            )
        return self.container.read(name).reshape(-1)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        shape = self.shape(name)
        values = np.atleast_1d(self.container.read(name))
        return values.reshape(-1) if 1 in shape else values


def _metadata(container: ArrayContainer, mapping: MetadataMapping) -> SessionMetadata:
    values: dict[str, Any] = {}
    attributes = container.attributes()
    for key, value in mapping:
        said = _resolve(value, attributes, container.label, f"metadata.{key}")
        number = key in ("depth_um", "age_days")
        values[key] = _number(said, container.label, f"metadata.{key}") if number else str(said)
    values["cre_line"] = line_of(values["cre_line"], container.label, given=not mapping.cre_line.startswith("@"))
    return SessionMetadata(**values)


def _resolve(value: Any, attributes: Mapping[str, Any], label: str, key: str) -> Any:
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    name = value[1:]
    if name not in attributes:
        raise SourceError(
            f"{label} has no attribute {name!r}, which the mapping names for {key}: {nearest(name, attributes)}"
        )
    return attributes[name]


def _number(value: Any, label: str, key: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{label}: {key} must be a number, got {value!r}; correct the mapping.") from error


def _segments(arrays: _Arrays, mapping: SegmentsMapping | None, n_frames: int) -> Intervals | None:
    if mapping is None:
        return None
    start = arrays.numbers(mapping.start)
    stop = arrays.column(mapping.stop, len(start), "segment")
    segments = np.column_stack([start, stop]).astype(np.int64)
    edges = np.r_[0, segments[:, 1]]
    if not (np.array_equal(edges[:-1], segments[:, 0]) and edges[-1] == n_frames and (np.diff(edges) > 0).all()):
        raise SourceError(
            f"{arrays.label}: segments {segments.tolist()[:8]} must follow each other and cover all {n_frames} frames; "
            f"correct {mapping.start!r} and {mapping.stop!r}."
        )
    if mapping.gaps_s is not None and len(mapping.gaps_s) != len(segments) - 1:
        raise SourceError(
            f"{arrays.label} has {len(segments)} segments, so segments.gaps_s needs {len(segments) - 1} values, "
            f"got {len(mapping.gaps_s)}."
        )
    return segments


def _time(arrays: _Arrays, mapping: ArrayMapping, n_frames: int, segments: Intervals | None) -> npt.NDArray[np.float64]:
    gaps_s = mapping.segments.gaps_s if mapping.segments else None
    if mapping.time.timestamps is not None:
        if gaps_s is not None:
            raise SourceError(
                f"{arrays.label}: segments.gaps_s goes with time.rate_hz; timestamps hold the gaps already."
            )
        return arrays.column(mapping.time.timestamps, n_frames, "frame").astype(np.float64)
    value = _resolve(mapping.time.rate_hz, arrays.container.attributes(), arrays.label, "time.rate_hz")
    rate_hz = _number(value, arrays.label, "time.rate_hz")
    if not 0 < rate_hz < np.inf:
        raise SourceError(f"{arrays.label}: time.rate_hz must be above 0, got {rate_hz}.")
    time_s = np.arange(n_frames, dtype=np.float64) / rate_hz
    if segments is not None and len(segments) > 1:
        if gaps_s is None:
            raise SourceError(
                f"{arrays.label}: {len(segments)} segments and a rate need segments.gaps_s, the seconds between them; "
                "without it time would run through the gaps."
            )
        if min(gaps_s) <= 0:
            raise SourceError(f"{arrays.label}: segments.gaps_s must be above 0, got {min(gaps_s)}.")
        lengths = np.diff(segments, axis=1)[:, 0]
        time_s += np.repeat(np.r_[0.0, np.cumsum(gaps_s)], lengths)
    return time_s


def _stimulus(arrays: _Arrays, mapping: StimulusMapping, time_s: npt.NDArray[np.float64]) -> pd.DataFrame:
    start = as_int64(arrays.numbers(mapping.start_frame), f"{arrays.label}: {mapping.start_frame!r}", truncate=True)
    count = len(start)

    def column(name: str | None) -> npt.NDArray[Any] | None:
        return None if name is None else arrays.column(name, count, "presentation")

    stop = column(mapping.stop_frame)
    direction = column(mapping.direction_deg)
    blank: npt.NDArray[Any] | None
    of_nan = {"nan(direction_deg)": direction, "nan(orientation_deg)": column(mapping.orientation_deg)}
    if mapping.blank is not None and (values := of_nan.get(mapping.blank)) is not None:
        blank = np.isnan(values.astype(np.float64))
    else:
        blank = column(mapping.blank)
    try:
        return presentation_rows(
            mapping.stimulus,
            start,
            start + (mapping.duration_frames or 0) if stop is None else stop,
            time_s,
            direction_deg=direction,
            temporal_frequency_hz=column(mapping.temporal_frequency_hz),
            orientation_deg=column(mapping.orientation_deg),
            spatial_frequency_cpd=column(mapping.spatial_frequency_cpd),
            phase=column(mapping.phase),
            image=column(mapping.image),
            movie_frame=column(mapping.movie_frame),
            repeat=column(mapping.repeat),
            blank=blank,
        )
    except SourceError as error:
        raise SourceError(f"{arrays.label}: {error}") from error


def _neurons(arrays: _Arrays, mapping: ArrayMapping, session_id: str, count: int) -> pd.DataFrame:
    part = mapping.neurons

    def column(name: str | None) -> npt.NDArray[Any] | None:
        return None if name is None else arrays.column(name, count, "neuron")

    columns: dict[str, Any] = {}
    ids = column(part.cell_specimen_id)
    rois = column(part.roi_id)
    name = np.arange(count)
    for key, values in (("roi_id", rois), ("cell_specimen_id", ids)):  # cells give the names, where there are both
        columns[key] = pd.array([pd.NA] * count, dtype="Int64")
        if values is not None:
            name = as_int64(values, f"{arrays.label}: neurons.{key}")
            columns[key] = pd.array(name, dtype="Int64")
    columns["neuron_id"] = [f"{session_id}_{value}" for value in name.tolist()]
    for key, values in (("x_um", column(part.x_um)), ("y_um", column(part.y_um))):
        columns[key] = np.full(count, np.nan) if values is None else values.astype(np.float64)
    valid = column(part.valid_roi)
    columns["valid_roi"] = np.ones(count, bool) if valid is None else valid.astype(bool)
    columns["exclusion_label"] = [""] * count
    return pd.DataFrame(columns, columns=list(NEURON_COLUMNS))
