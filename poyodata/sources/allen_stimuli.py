"""Stimuli of an NWB 1.0 file of the Allen Brain Observatory: the table and the template of every one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import as_int64, dataset_of, group_of, holds, texts_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Frames
from poyodata.sources.presentations import presentation_rows, presentation_table
from poyodata.sources.remote import Place
from poyodata.vocabulary import (
    DRIFTING_GRATINGS,
    NATURAL_MOVIES,
    NATURAL_SCENES,
    SPARSE_NOISE,
    SPONTANEOUS,
    STATIC_GRATINGS,
)

PRESENTATION = "stimulus/presentation"
TEMPLATES = "stimulus/templates"

Clock = npt.NDArray[np.float64]


def read_presentations(file: h5py.File, time_s: Clock) -> pd.DataFrame:
    """Read the tables of all stimuli that the file has.

    Parameters
    ----------
    file : h5py.File
    time_s : ndarray, shape (time,), float64, seconds

    Returns
    -------
    DataFrame
        `PRESENTATION_COLUMNS`. Of a stimulus under any other name than the Allen Brain Observatory's, name and frames.

    Raises
    ------
    SourceError
        When a table lacks a part, its parts are not of one length, or its frames are no numbers.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file[f"{PRESENTATION}/natural_scenes_stimulus/data"] = [5, -1]
    ...     file[f"{PRESENTATION}/natural_scenes_stimulus/frame_duration"] = [[0, 7], [8, 15]]
    ...     rows = read_presentations(file, np.arange(30) / 30.0)
    >>> rows[["stimulus", "start_frame", "stop_frame", "image", "blank"]].values.tolist()
    [['natural_scenes', 0, 7, 5, False], ['natural_scenes', 8, 15, -1, True]]
    """
    shown = [_read_shown(file, stimulus, name) for stimulus, name in _groups(file).items()]
    return presentation_table([_READERS.get(part.stimulus, _other)(part, time_s) for part in shown])


def find_templates(file: h5py.File, path: Place) -> dict[str, Callable[[], Hdf5Frames]]:
    """Find the frames of every stimulus that has any, to be read when they are called for.

    Parameters
    ----------
    file : h5py.File
    path : Path or RemoteFile
        Of the file.

    Returns
    -------
    dict of str to callable

    Raises
    ------
    SourceError
        When a template lies in another file that is not there, or is no dataset.
    """
    if not holds(file, TEMPLATES):
        return {}
    names = {name.removesuffix("_image_stack"): f"{TEMPLATES}/{name}/data" for name in group_of(file, TEMPLATES)}
    there = {stimulus: name for stimulus, name in names.items() if holds(file, name)}
    for name in there.values():
        dataset_of(file, name)
    return {stimulus: partial(Hdf5Frames, path, name) for stimulus, name in there.items()}


@dataclass(frozen=True)
class _Shown:
    """What the file says of one stimulus, row by row."""

    stimulus: str
    name: str
    data: npt.NDArray[Any]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    features: tuple[str, ...]

    def index(self) -> npt.NDArray[np.int64]:
        """Data that number frames of a template."""
        return as_int64(self.data.reshape(len(self.start), -1)[:, 0], f"{self.name}/data", truncate=True)

    def columns(self, *wanted: str) -> dict[str, npt.NDArray[np.float64]]:
        """Columns of the data by feature."""
        if self.data.ndim != 2 or self.data.shape[1] != len(self.features) or set(wanted) - set(self.features):
            raise SourceError(
                f"{self.name} has the features {', '.join(self.features) or 'none'} for "
                f"{self.data.shape[1] if self.data.ndim == 2 else 1} columns; "
                f"{', '.join(wanted[:-1])} and {wanted[-1]} were expected."
            )
        return dict(zip(self.features, self.data.astype(np.float64).T, strict=True))


def _groups(file: h5py.File) -> dict[str, str]:
    """Path of every stimulus's table; early files leave the ending `_stimulus` out."""
    if not holds(file, PRESENTATION):
        return {}
    found: dict[str, str] = {}
    for child in group_of(file, PRESENTATION):
        stimulus, name = child.removesuffix("_stimulus"), f"{PRESENTATION}/{child}"
        if stimulus in found and file[name] != file[found[stimulus]]:
            raise SourceError(f"{PRESENTATION} has two tables of {stimulus}, {child} among them; remove the false one.")
        found[stimulus] = name
    return found


def _read_shown(file: h5py.File, stimulus: str, name: str) -> _Shown:
    lacking = [part for part in ("data", "frame_duration") if not holds(file, f"{name}/{part}")]
    if lacking:
        raise SourceError(f"{name} has no {' and no '.join(lacking)}; the stimulus table is incomplete.")
    data, frames = values_of(file, f"{name}/data"), values_of(file, f"{name}/frame_duration")
    if frames.ndim != 2 or frames.shape[1] != 2 or data.shape[:1] != frames.shape[:1]:
        raise SourceError(
            f"{name} has data of shape {data.shape} and frame_duration of shape {frames.shape}; one row of data and "
            "two frames for each presentation were expected."
        )
    # AllenSDK truncates towards zero; stored values are whole frames, sometimes as floats.
    start, stop = as_int64(frames, f"{name}/frame_duration", truncate=True).T
    features = texts_of(file, f"{name}/features") if holds(file, f"{name}/features") else []
    return _Shown(stimulus, name, data, start, stop, tuple(features))


def _drifting_gratings(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    columns = shown.columns("orientation", "temporal_frequency", "blank_sweep")
    return presentation_rows(
        shown.stimulus,
        shown.start,
        shown.stop,
        time_s,
        direction_deg=columns["orientation"],
        temporal_frequency_hz=columns["temporal_frequency"],
        blank=columns["blank_sweep"] == 1,
    )


def _static_gratings(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    columns = shown.columns("orientation", "spatial_frequency", "phase")
    blank = np.isnan(columns["orientation"])
    if "blank_sweep" in columns:
        blank |= columns["blank_sweep"] == 1
    return presentation_rows(
        shown.stimulus,
        shown.start,
        shown.stop,
        time_s,
        orientation_deg=columns["orientation"],
        spatial_frequency_cpd=columns["spatial_frequency"],
        phase=columns["phase"],
        blank=blank,
    )


def _images(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    image = shown.index()
    return presentation_rows(shown.stimulus, shown.start, shown.stop, time_s, image=image, blank=image < 0)


def _movie(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    order = np.lexsort((shown.stop, shown.start))
    frame = shown.index()[order]
    # How often the frame was shown before: right even where a movie broke off, which AllenSDK refuses.
    repeat = pd.Series(frame).groupby(frame).cumcount().to_numpy()
    return presentation_rows(
        shown.stimulus, shown.start[order], shown.stop[order], time_s, movie_frame=frame, repeat=repeat
    )


def _spontaneous(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    edge = shown.index()
    start, stop = shown.start[edge == 1], shown.start[edge == -1]
    if len(start) != len(stop):
        raise SourceError(f"{shown.name} has {len(start)} starts and {len(stop)} ends; they must come in pairs.")
    return presentation_rows(shown.stimulus, start, stop, time_s)


def _other(shown: _Shown, time_s: Clock) -> pd.DataFrame:
    return presentation_rows(shown.stimulus, shown.start, shown.stop, time_s)


_READERS: Mapping[str, Callable[[_Shown, Clock], pd.DataFrame]] = {
    DRIFTING_GRATINGS: _drifting_gratings,
    STATIC_GRATINGS: _static_gratings,
    NATURAL_SCENES: _images,
    SPONTANEOUS: _spontaneous,
    **dict.fromkeys(SPARSE_NOISE, _images),
    **dict.fromkeys(NATURAL_MOVIES, _movie),
}
