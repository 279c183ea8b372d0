"""Series of NWB 2 files: which there are, their clocks, their values, and the traces among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import closest_or_all, dataset_of, holds, short, text_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.recording_mapping import SeriesMapping
from poyodata.sources.remote import Place

# Stimuli have thousands of datasets, and no traces.
_PLACES = ("processing", "acquisition", "analysis")
_PERCENT = ("percent", "%")


@dataclass(frozen=True)
class RoiSeries:
    """One RoiResponseSeries of a file.

    Attributes
    ----------
    name : str
        Path inside the file.
    is_dff : bool
        Whether it lies in a ``DfOverF``.
    shape : tuple of int
        Of its data.
    """

    name: str
    is_dff: bool
    shape: tuple[int, ...]


def roi_series(file: h5py.File) -> list[RoiSeries]:
    """Find every series of traces of regions of interest: a group with ``data`` and ``rois``.

    Parameters
    ----------
    file : h5py.File

    Returns
    -------
    list of RoiSeries
        In the order of the file.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["processing/ophys/DfOverF/Plane1/data"] = np.zeros((9, 2))
    ...     file["processing/ophys/DfOverF/Plane1/rois"] = [0, 1]
    ...     file["processing/ophys/DfOverF"].attrs["neurodata_type"] = "DfOverF"
    ...     [(series.name, series.is_dff) for series in roi_series(file)]
    [('processing/ophys/DfOverF/Plane1', True)]
    """
    found: list[RoiSeries] = []
    for place in _PLACES:
        if holds(file, place) and isinstance(file[place], h5py.Group):
            _walk(file, place, found)
    return found


def _walk(file: h5py.File, name: str, found: list[RoiSeries]) -> None:
    # Not `visititems`, which follows no links; a series may be one.
    group = file[name]
    if holds(group, "data") and holds(group, "rois"):
        parent = text_of(group.parent.attrs.get("neurodata_type", ""))
        kind = text_of(group.attrs.get("neurodata_type", ""))
        data = dataset_of(file, f"{name}/data")
        found.append(RoiSeries(name, "DfOverF" in (parent, kind), tuple(data.shape or ())))
        return
    for child in group:
        if group.get(child, getclass=True, getlink=False) is h5py.Group:
            _walk(file, f"{name}/{child}", found)


def chosen_series(series: Sequence[RoiSeries], mapping: SeriesMapping) -> RoiSeries:
    """Choose the series that the traces are: the one that is named, else the only dF/F.

    Parameters
    ----------
    series : sequence of RoiSeries
    mapping : SeriesMapping
        Names it, and says whether dF/F is to be computed, so that fluorescence is taken too.

    Returns
    -------
    RoiSeries

    Raises
    ------
    SourceError
        When there is none, several come into question, or it is fluorescence from which nothing is computed.

    Examples
    --------
    >>> dff = RoiSeries("processing/ophys/DfOverF/Plane1", True, (600, 4))
    >>> raw = RoiSeries("processing/ophys/Fluorescence/Plane1", False, (600, 4))
    >>> chosen_series([raw, dff], SeriesMapping()) is dff
    True
    """
    if not series:
        raise SourceError("it has no RoiResponseSeries; a recording of calcium imaging was expected.")
    chosen = _only(series, mapping) if mapping.name is None else named_series(series, mapping.name)
    if chosen.is_dff and mapping.dff is not None:
        raise SourceError(f"{chosen.name} is dF/F already; leave `dff` out of the mapping, or name fluorescence.")
    if not chosen.is_dff and mapping.dff is None and mapping.holds != "dff":
        raise SourceError(
            f"{chosen.name} lies in no DfOverF: add `dff: {{baseline: maximin}}` to the mapping's traces to have dF/F "
            "computed from it, or `holds: dff` where it is dF/F already."
        )
    return chosen


def _only(series: Sequence[RoiSeries], mapping: SeriesMapping) -> RoiSeries:
    computes = mapping.dff is not None or mapping.holds == "dff"
    candidates = [one for one in series if one.is_dff != computes]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise SourceError(
            f"it has several series that may be the traces, {_listed(candidates)}: name one as `traces: {{name: ...}}` "
            "in a mapping with `source: nwb2`."
        )
    raise SourceError(
        f"it has no {'fluorescence' if computes else 'dF/F'}, but {_listed(series)}: name one as `traces: {{name: ..., "
        "dff: {baseline: maximin}}` in a mapping with `source: nwb2` to have dF/F computed from it."
    )


def named_series(series: Sequence[RoiSeries], wanted: str) -> RoiSeries:
    """Find a series by its path, or by the end of it.

    Raises
    ------
    SourceError
        When none or several are meant.
    """
    wanted = wanted.strip("/")
    ends = [one for one in series if one.name.endswith(f"/{wanted}")]
    matches = [one for one in series if one.name == wanted] or ends
    if len(matches) == 1:
        return matches[0]
    fault = f"{len(matches)} series end in" if matches else "no series ends in"
    raise SourceError(
        f"{fault} {wanted!r}, which the mapping names; "
        f"{closest_or_all(wanted, [one.name for one in series])} There are {_listed(series)}."
    )


def _listed(series: Sequence[RoiSeries]) -> str:
    return ", ".join(f"{one.name} {one.shape}" for one in series)


def clock_of(file: h5py.File, name: str, count: int) -> npt.NDArray[np.float64]:
    """Read the timestamps of a series, or make them from its start and rate.

    Parameters
    ----------
    file : h5py.File
    name : str
        Path of the series.
    count : int
        Samples that it has.

    Returns
    -------
    ndarray, shape (count,), float64, seconds

    Raises
    ------
    SourceError
        When it has neither, or not one for each sample.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["s/starting_time"] = 5.0
    ...     file["s/starting_time"].attrs["rate"] = 10.0
    ...     clock_of(file, "s", 3).tolist()
    [5.0, 5.1, 5.2]
    """
    if holds(file, f"{name}/timestamps"):
        time_s: npt.NDArray[np.float64] = values_of(file, f"{name}/timestamps").astype(np.float64).reshape(-1)
        if len(time_s) != count:
            raise SourceError(f"{name} has {count} samples but {len(time_s)} timestamps; one for each was expected.")
        return time_s
    if not holds(file, f"{name}/starting_time"):
        raise SourceError(f"{name} has neither timestamps nor starting_time; a series needs one of them.")
    start = dataset_of(file, f"{name}/starting_time")
    rate_hz = float(start.attrs.get("rate", np.nan))
    if not 0 < rate_hz < np.inf:
        raise SourceError(f"{name}/starting_time has the rate {rate_hz:g}; a number above 0 was expected.")
    return float(start[()]) + np.arange(count, dtype=np.float64) / rate_hz


def time_axis_of(shape: tuple[int, ...], n_regions: int, name: str, n_timestamps: int | None) -> int:
    """Tell which axis of a series is time: the first, as NWB has it, unless only the second can be.

    Raises
    ------
    SourceError
        When neither fits the number of regions.

    Examples
    --------
    >>> time_axis_of((600, 4), 4, "series", 600), time_axis_of((4, 600), 4, "series", 600)
    (0, 1)
    """
    if len(shape) == 1:
        shape = (*shape, 1)
    if len(shape) == 2 and shape[1] == n_regions and n_timestamps in (None, shape[0]):
        return 0
    if len(shape) == 2 and shape[0] == n_regions and n_timestamps in (None, shape[1]):
        return 1
    raise SourceError(
        f"{name}/data has shape {shape}, but there are {n_regions} regions in {name}/rois"
        + ("" if n_timestamps is None else f" and {n_timestamps} timestamps")
        + "; (time, region) was expected."
    )


class NwbTraces:
    """Blocks of a series in its own unit: ``data x conversion + offset``, as NWB defines them.

    Parameters
    ----------
    path : Path or RemoteFile
    file : h5py.File
        The same file, open.
    name : str
        Path of the series.
    time_axis : int
    is_dff : bool
        Whether it is dF/F, which is a share: of a series in percent a hundredth is taken.
    """

    def __init__(self, path: Place, file: h5py.File, name: str, time_axis: int, *, is_dff: bool = False) -> None:
        data = dataset_of(file, f"{name}/data")
        self.conversion = float(data.attrs.get("conversion", 1.0))
        self.offset = float(data.attrs.get("offset", 0.0))
        if is_dff and text_of(data.attrs.get("unit", "")).strip().casefold() in _PERCENT:
            self.conversion, self.offset = self.conversion / 100, self.offset / 100
        if data.dtype.kind not in "fiub":
            raise SourceError(f"{name}/data holds {data.dtype} values; traces are numbers.")
        reader = _OneTrace if data.ndim == 1 else Hdf5Traces
        self.stored = reader(path, f"{name}/data", time_axis)

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        if (self.conversion, self.offset) == (1.0, 0.0):
            return self.stored(start_frame, stop_frame)
        block = self.stored.stored(start_frame, stop_frame).astype(np.float64)
        return np.ascontiguousarray(block * self.conversion + self.offset, dtype=np.float32)


class _OneTrace(Hdf5Traces):
    """A dataset with one axis: the trace of one region."""

    def stored(self, start_frame: int, stop_frame: int) -> npt.NDArray[Any]:
        """Read frames ``[start_frame, stop_frame)`` as (time, 1), in the dtype of the file."""
        try:
            return np.asarray(self._opened()[start_frame:stop_frame])[:, np.newaxis]
        except (OSError, KeyError, RuntimeError, MemoryError) as error:
            raise SourceError(
                f"{self.path}: {self.name!r} cannot be read ({short(error)}); the file is damaged."
            ) from error

    def _cache_bytes(self) -> int:
        return 2**20
