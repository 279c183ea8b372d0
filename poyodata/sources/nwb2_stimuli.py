"""Stimuli of an NWB 2 file: intervals, series of indices, and the templates that indices refer to."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError, nearest
from poyodata.sources.hdf5 import as_uint8, dataset_of, holds, open_hdf5, short, text_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Frames
from poyodata.sources.nwb2_series import clock_of
from poyodata.sources.presentations import presentation_table
from poyodata.sources.recording_mapping import TableMapping
from poyodata.sources.remote import Place
from poyodata.sources.stimulus_table import mapped_presentations
from poyodata.sources.timing import Clock, stops_of_starts, timed_presentations
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIES, NATURAL_SCENES, SPARSE_NOISE, STATIC_GRATINGS

_log = logging.getLogger(__name__)

_PLACES = ("stimulus/presentation", "intervals")
_TEMPLATES = "stimulus/templates"
# Tables of NWB itself, and of our own exports, which tell no stimulus.
_NO_STIMULI = ("epochs", "trials", "invalid_times", "windows")
_ENDINGS = ("_stimulus", "_presentations")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "direction_deg": ("direction_deg", "direction", "direction_in_degrees"),
    "temporal_frequency_hz": ("temporal_frequency_hz", "temporal_frequency", "temporal_frequency_in_hz"),
    "orientation_deg": ("orientation_deg", "orientation", "orientation_in_degrees"),
    "spatial_frequency_cpd": (
        "spatial_frequency_cpd",
        "spatial_frequency",
        "spatial_frequency_in_cycles_per_degree",
    ),
    "phase": ("phase",),
    "image": ("image",),
    "movie_frame": ("movie_frame",),
    "repeat": ("repeat",),
    "blank": ("blank", "is_blank_sweep", "blank_sweep"),
}


def read_presentations(
    file: h5py.File,
    time_s: Clock,
    mapping: tuple[TableMapping, ...] | None,
    stimuli: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read the presentations that a mapping names, or all that can be told.

    Without a mapping these are the tables and the series of indices in ``stimulus/presentation`` and ``intervals``
    (but ``epochs``, ``trials``, ``invalid_times`` and ``windows``), under their names less an ending ``_stimulus`` or
    ``_presentations``, with those columns whose names are known.

    Parameters
    ----------
    file : h5py.File
    time_s : ndarray, shape (time,), float64, seconds
    mapping : tuple of TableMapping, optional
    stimuli : mapping of str to str, optional
        Stimulus of a table by the table's name, where an export tells it: no ending is taken off then.

    Returns
    -------
    DataFrame
        `poyodata.sources.record.PRESENTATION_COLUMNS`.

    Raises
    ------
    SourceError
        When a table is missing, lacks a column, or does not fit the recording.
    """
    if mapping is None:
        mapping = tuple(_told(file, stimuli or {}))
        _say_texts(file, mapping)
    return presentation_table([_rows(file, part, time_s) for part in mapping])


def find_templates(
    file: h5py.File, path: Place, mapping: tuple[TableMapping, ...] | None
) -> dict[str, Callable[[], Hdf5Frames]]:
    """Find the frames that series of indices refer to, to be read when they are called for.

    Parameters
    ----------
    file : h5py.File
    path : Path or RemoteFile
        Of the file.
    mapping : tuple of TableMapping, optional
        Stimuli that are meant; all that can be told when left out.

    Returns
    -------
    dict of str to callable
        Grey images of one size with 8 bits; others are left out.
    """
    found: dict[str, Callable[[], Hdf5Frames]] = {}
    for part in _told(file, {}) if mapping is None else mapping:
        for link in ("indexed_images", "indexed_timeseries"):
            if not holds(file, f"{part.table}/{link}"):
                continue
            target = file[f"{part.table}/{link}"]
            frames = _movie(target, path) if holds(target, "data") else _images(target, path)
            if frames is not None:
                found[part.stimulus] = frames
    return found


class Hdf5Images(Hdf5Frames):
    """Images that lie in a dataset each, as the frames of one stimulus.

    Parameters
    ----------
    path : Path or RemoteFile
    names : list of str
        Datasets in their order.
    size : tuple of int
        (height, width).
    """

    def __init__(self, path: Place, names: list[str], size: tuple[int, int]) -> None:
        self.path = path
        self.names = names
        self.shape = (len(names), *size)

    def __getitem__(self, frames: slice) -> npt.NDArray[np.uint8]:
        """Read some frames, whole."""
        names = self.names[frames]
        images = np.empty((len(names), *self.shape[1:]), np.uint8)
        try:
            with open_hdf5(self.path) as file:
                for number, name in enumerate(names):
                    images[number] = as_uint8(values_of(file, name), f"{self.path}: {name}")
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{self.path}: {name} cannot be read as one of {self.shape} images ({short(error)})."
            ) from error
        return images

    def close(self) -> None:
        """Nothing is held."""


def _told(file: h5py.File, stimuli: Mapping[str, str]) -> list[TableMapping]:
    """Tables and series of indices whose stimulus is told by their name, as a mapping would name them."""
    told = []
    for place in _PLACES:
        if not holds(file, place) or not isinstance(file[place], h5py.Group):
            continue
        for child in file[place]:
            name = f"{place}/{child}"
            if (place == "intervals" and child in _NO_STIMULI) or not holds(file, name):
                continue
            if _is_indexed(file, name):
                told.append(TableMapping(stimulus=_stimulus_of(child), table=name))
            elif holds(file, f"{name}/start_time") and holds(file, f"{name}/stop_time"):
                told.append(_columns_told(file, name, stimuli.get(child) or _stimulus_of(child)))
    return told


def _stimulus_of(child: str) -> str:
    return next((child.removesuffix(ending) for ending in _ENDINGS if child.endswith(ending)), child)


def _is_indexed(file: h5py.File, name: str) -> bool:
    return text_of(file[name].attrs.get("neurodata_type", "")) == "IndexSeries"


def _known_columns(stimulus: str) -> dict[str, tuple[str, ...]]:
    known = dict(_COLUMNS)
    if stimulus == DRIFTING_GRATINGS:
        # A grating that drifts has a direction, whatever its column is called.
        known["direction_deg"] = (*known["direction_deg"], *known.pop("orientation_deg"))
    if stimulus in NATURAL_MOVIES:
        known["movie_frame"] = (*known["movie_frame"], "frame")
    elif stimulus in (NATURAL_SCENES, *SPARSE_NOISE):
        known["image"] = (*known["image"], "frame")
    return known


def _columns_told(file: h5py.File, name: str, stimulus: str) -> TableMapping:
    columns = {}
    for feature, names in _known_columns(stimulus).items():
        there = [column for column in names if holds(file, f"{name}/{column}")]
        if there and dataset_of(file, f"{name}/{there[0]}").dtype.kind in "fiub":
            columns[feature] = there[0]
    if "blank" not in columns and stimulus == STATIC_GRATINGS and "orientation_deg" in columns:
        columns["blank"] = "nan(orientation_deg)"
    return TableMapping(stimulus=stimulus, table=name, **columns)


def _say_texts(file: h5py.File, mapping: tuple[TableMapping, ...]) -> None:
    """Warn of columns whose names are known and whose values are no numbers: they are left out."""
    for part in mapping:
        for feature, names in _known_columns(part.stimulus).items():
            there = [name for name in names if holds(file, f"{part.table}/{name}")]
            if there and getattr(part, feature) is None and not _is_indexed(file, part.table):
                place = f"{part.table}/{there[0]}"
                _log.warning("%s: %s holds no numbers, as %s needs; it is left out", file.filename, place, feature)


def _rows(file: h5py.File, part: TableMapping, time_s: Clock) -> pd.DataFrame:
    name = part.table.strip("/")
    if not holds(file, name) or not isinstance(file[name], h5py.Group):
        there = [f"{place}/{child}" for place in _PLACES if holds(file, place) for child in file[place]]
        raise SourceError(f"it has no table {name!r}, which the mapping names (stimuli.table); {nearest(name, there)}")
    if _is_indexed(file, name):
        return _indexed(file, name, part, time_s)

    def column(wanted: str) -> npt.NDArray[Any]:
        if not holds(file, f"{name}/{wanted}"):
            raise SourceError(f"{name} has no column {wanted!r}; {nearest(wanted, file[name])}")
        values = values_of(file, f"{name}/{wanted}")
        if holds(file, f"{name}/{wanted}_index") or values.ndim != 1:
            raise SourceError(f"{name}/{wanted} has several values a row; one was expected.")
        expected = len(dataset_of(file, f"{name}/id")) if holds(file, f"{name}/id") else len(values)
        if len(values) != expected:
            raise SourceError(
                f"{name}/{wanted} has {len(values)} values for {expected} rows; one for each was expected."
            )
        return values

    return mapped_presentations(part, column, time_s)


def _indexed(file: h5py.File, name: str, part: TableMapping, time_s: Clock) -> pd.DataFrame:
    stored = values_of(file, f"{name}/data").reshape(-1)
    if stored.dtype.kind not in "iuf":
        raise SourceError(f"{name}/data holds {stored.dtype} values; indices were expected.")
    # -1, a blank, becomes the largest number where the file keeps unsigned ones, as NWB's schema demands.
    largest = np.iinfo(stored.dtype).max if stored.dtype.kind == "u" else None
    index = np.where(stored == largest, -1, stored.astype(np.int64)) if largest is not None else stored.astype(np.int64)
    start_s = clock_of(file, name, len(index))
    order = np.argsort(start_s, kind="stable")
    index, start_s = index[order], start_s[order]
    stop_s = start_s + part.duration_s if part.duration_s is not None else stops_of_starts(start_s)
    columns: dict[str, Any]
    if _is_movie(file, name, part.stimulus):
        columns = {"movie_frame": index, "repeat": pd.Series(index).groupby(index).cumcount().to_numpy()}
    else:
        columns = {"image": index, "blank": index < 0}
    return timed_presentations(part.stimulus, start_s, stop_s, time_s, outside=part.outside, **columns)


def _is_movie(file: h5py.File, name: str, stimulus: str) -> bool:
    if stimulus in NATURAL_MOVIES or stimulus in (NATURAL_SCENES, *SPARSE_NOISE):
        return stimulus in NATURAL_MOVIES
    return holds(file, f"{name}/indexed_timeseries")


def _movie(series: h5py.Group, path: Place) -> Callable[[], Hdf5Frames] | None:
    data = dataset_of(series.file, f"{series.name}/data")
    if data.ndim != 3 or data.dtype != np.uint8 or 0 in data.shape:
        return None
    return partial(Hdf5Frames, path, str(data.name).strip("/"))


def _images(group: h5py.Group, path: Place) -> Callable[[], Hdf5Frames] | None:
    names = _in_order(group)
    if not names:
        return None
    first = dataset_of(group.file, names[0])
    if first.ndim != 2 or first.dtype != np.uint8:
        return None
    return partial(Hdf5Images, path, names, (int(first.shape[0]), int(first.shape[1])))


def _in_order(group: h5py.Group) -> list[str]:
    """Paths of the images in the order that indices count: as the file says, else by the numbers in their names."""
    if holds(group, "order_of_images"):
        references = np.asarray(group["order_of_images"][()]).reshape(-1)
        return [str(group.file[reference].name).strip("/") for reference in references]
    numbered = []
    for child in group:
        number = re.search(r"(\d+)$", child)
        if number is None:
            return []
        numbered.append((int(number.group(1)), f"{group.name}/{child}".strip("/")))
    return [name for _, name in sorted(numbered)]
