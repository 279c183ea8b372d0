"""One HDF5 file for each recording, as torch_brain 0.2.1 opens and samples from.

The layout is that of its Allen pipeline (``allen_visual_coding_ophys_2016``); `AllenVisualCodingOphys2016` opens the
folder as it opens its own::

    <session_id>.h5                       Data
      brainset  subject  session  device  Data: who was recorded, where and how, and the lineage of the export
      calcium_traces                      RegularTimeSeries: df_over_f (time, neuron), true_timestamps (time,)
      rois                                ArrayDict: id (the neuron_id), centre, area and extent of the mask, and all
                                          columns of the table of neurons
      running  pupil  <other signals>     IrregularTimeSeries
      drifting_gratings  natural_movie_one ...   Interval: one row a presentation; blank gratings left out
      <stimulus>_domain                   Interval: epochs of the stimulus
      train_domain  valid_domain  test_domain    Interval: time with that role
      domain                              Interval: all that was recorded

Differences, on purpose. ``subject.id`` is the mouse (theirs is the container, of which a mouse may have several).
Missing behaviour is left out sample by sample, as theirs, but each pupil signal beside ``pupil`` is kept under its own
name. Timestamps:

- A regular series has a mean rate and no timestamps. It is written when the frames keep to it within half a frame; all
  other times are then moved by the same fraction of a frame (``true_timestamps`` tells which), so that a slice takes
  exactly the frames it takes in the store: no frame of another role.
- Otherwise, and where the recording has gaps, ``calcium_traces`` is an IrregularTimeSeries with the true timestamps,
  and ``domain`` has one row for each stretch without a gap. Samplers take both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import canonical_json
from poyodata.export.recording import Recording
from poyodata.export.stimulus_names import names_in_file
from poyodata.export.temporal_objects import put_arrays, put_data, put_interval, put_irregular
from poyodata.hdf5_output import writing_hdf5
from poyodata.intervals import Intervals, as_intervals, intersect
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIES, NATURAL_SCENES, SPARSE_NOISE, STATIC_GRATINGS

if TYPE_CHECKING:
    import h5py

    from poyodata.export.selection import Selection

DESCRIPTION = "HDF5 files of torch_brain 0.2.1, in the layout of its Allen Visual Coding pipeline"
LAYOUT_VERSION = "0.2.1"
ROLES = ("train", "valid", "test")

_PUPIL = ("pupil_x_cm", "pupil_y_cm", "pupil_area_px")
# The numbers of classes that the Allen pipeline gives to what was shown.
_CLASSES: Mapping[str, tuple[float, ...]] = {
    "orientation_8": tuple(45.0 * i for i in range(8)),
    "orientation_12": tuple(30.0 * i for i in range(12)),
    "temporal_frequency": (1.0, 2.0, 4.0, 8.0, 15.0),
    "spatial_frequency": (0.02, 0.04, 0.08, 0.16, 0.32),
    "phase": (0.0, 0.25, 0.5, 0.75),
}
_PIXEL_DEG = {"locally_sparse_noise": 4.65, "locally_sparse_noise_4deg": 4.65, "locally_sparse_noise_8deg": 9.3}


def path_of(folder: Path, session_id: str) -> Path:
    """File of a recording."""
    return folder / f"{session_id}.h5"


def write_tables(folder: Path, selection: Selection) -> None:
    """Write nothing: every file is complete by itself."""


def write_recording(folder: Path, recording: Recording) -> None:
    """Write one recording; the file appears when it is whole, and one block of traces is in memory at a time."""
    clock = Clock.of(recording)
    with writing_hdf5(path_of(folder, recording.session_id)) as file:
        _descriptions(file, recording)
        _traces(file, recording, clock)
        _rois(file.create_group("rois"), recording)
        _signals(file, recording, clock)
        names = _stimulus_names(file, recording)
        # As JSON, for its own names: here a line has no dash, and an empty text is left out.
        file["brainset"].attrs["exported"] = canonical_json(recording.described(names))
        _stimuli(file, recording, clock, names)
        _roles(file, recording, clock)
        put_interval(file.create_group("domain"), *clock.stretches(recording, recording.segments))
        file.attrs["object"] = "Data"
        file.attrs["absolute_start"] = 0.0


@dataclass(frozen=True)
class Clock:
    """Time as the file has it: a grid of frames, or the true timestamps.

    Attributes
    ----------
    true_s : ndarray, shape (time,), float64, seconds
    time_s : ndarray, shape (time,), float64, seconds
        When the file says that each frame was.
    rate_hz : float or None
        Of the grid; None where the true timestamps are kept.
    """

    true_s: npt.NDArray[np.float64]
    time_s: npt.NDArray[np.float64]
    rate_hz: float | None

    @classmethod
    def of(cls, recording: Recording) -> Clock:
        """Choose a grid when every frame keeps to it within half a frame."""
        true_s = recording.time_s
        period_s = float(true_s[-1] - true_s[0]) / (len(true_s) - 1)
        grid_s = true_s[0] + np.arange(len(true_s)) / (1.0 / period_s)  # as torch_brain computes them
        if len(recording.segments) > 1 or np.abs(grid_s - true_s).max() > period_s / 2:
            return cls(true_s, true_s, None)
        return cls(true_s, grid_s, 1.0 / period_s)

    def at(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where the file has a true time: between the same two frames."""
        if self.rate_hz is None:
            return seconds
        moved = np.interp(seconds, self.true_s, self.time_s)
        before = np.minimum(seconds - self.true_s[0], 0.0)
        after = np.maximum(seconds - self.true_s[-1], 0.0)
        return np.asarray(moved + before + after, np.float64)

    def stretches(
        self, recording: Recording, frames: Intervals
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Start and end of half-open stretches of frames."""
        rows = np.asarray(frames, np.int64).reshape(-1, 2)
        if self.rate_hz is None:
            return recording.times_of(rows[:, 0]), recording.times_of(rows[:, 1], stop=True)
        return self.time_s[rows[:, 0]], self.time_s[0] + rows[:, 1] / self.rate_hz


def _descriptions(file: h5py.File, recording: Recording) -> None:
    meta, lineage = recording.row, recording.lineage
    store, manifest = lineage["store"], lineage["manifest"]
    put_data(
        file.create_group("brainset"),
        id="poyodata",
        origin_version=store["digest"],
        derived_version=lineage["selection"],
        source=f"poyodata {lineage['poyodata']}, store {store['digest']}",
        description="dF/F exported from a poyodata store"
        + (f", neurons and roles of diet {manifest['name']!r}." if manifest else "."),
        torch_brain_version=LAYOUT_VERSION,
        store_digest=store["digest"],
        manifest_digest=manifest["digest"] if manifest else None,
        poyodata_version=lineage["poyodata"],
        lineage=canonical_json(dict(lineage)),
    )
    put_data(
        file.create_group("subject"),
        id=meta["donor_id"],
        species="MUS_MUSCULUS",
        age=meta["age_days"],
        sex=meta["sex"],
        cre_line=meta["cre_line"].replace("-", "_"),
        genotype=meta["genotype"],
        container_id=meta["container_id"],
        specimen_name=meta["specimen_name"],
    )
    put_data(
        file.create_group("session"),
        id=recording.session_id,
        recording_date=meta["start_time"].replace("T", " "),
        session_type=meta["session_type"],
        digest=meta["digest"],
    )
    put_data(
        file.create_group("device"),
        id=recording.session_id,
        recording_tech="TWO_PHOTON_IMAGING",
        imaging_depth=meta["depth_um"],
        target_area=meta["area"],
        indicator=meta["indicator"],
    )


def _traces(file: h5py.File, recording: Recording, clock: Clock) -> None:
    group = file.create_group("calcium_traces")
    traces = group.create_dataset("df_over_f", shape=recording.shape, dtype="float32")
    start = 0
    for block in recording.blocks():
        traces[start : start + len(block)] = block
        start += len(block)
    starts, ends = clock.stretches(recording, recording.segments)
    if clock.rate_hz is None:
        put_irregular(group, clock.time_s, {}, (starts, ends))
    else:
        group.create_dataset("true_timestamps", data=clock.true_s)
        group.attrs["object"] = "RegularTimeSeries"
        group.attrs["sampling_rate"] = clock.rate_hz
        put_interval(group.create_group("domain"), starts, ends)


def _rois(group: h5py.Group, recording: Recording) -> None:
    n = len(recording.neurons)
    centre, extent = np.full((n, 2), np.nan), np.full((n, 3), np.nan)
    for index, mask in enumerate(recording.masks or []):
        if len(mask):
            low, high = mask.min(axis=0), mask.max(axis=0)
            centre[index] = mask.mean(axis=0)[::-1]
            extent[index] = [len(mask), high[0] - low[0] + 1, high[1] - low[1] + 1]
    columns: dict[str, Any] = {
        "id": recording.neurons["neuron_id"],
        "imaging_plane_xy": centre,  # row and column, in pixels, as in the Allen pipeline
        "imaging_plane_area": extent[:, 0],
        "imaging_plane_width": extent[:, 1],
        "imaging_plane_height": extent[:, 2],
    }
    taken = {"neuron_id", "session_id", "column", "id"}
    columns |= {name: recording.neurons[name] for name in recording.neurons.columns if name not in taken}
    put_arrays(group, columns)
    group.attrs["object"] = "ArrayDict"


def _signals(file: h5py.File, recording: Recording, clock: Clock) -> None:
    signals = dict(recording.signals)
    running = signals.pop("running_speed", None)
    if running is not None:
        seen = np.isfinite(running.values)
        values = running.values[seen].astype(np.float32).reshape(-1, 1)
        put_irregular(file.create_group("running"), clock.at(running.time_s[seen]), {"running_speed": values})
    x, y, area = (signals.get(name) for name in _PUPIL)
    if x is not None and y is not None and area is not None and len({len(one.values) for one in (x, y, area)}) == 1:
        for name in _PUPIL:
            del signals[name]
        values = np.column_stack([x.values, y.values, area.values])
        rows = np.flatnonzero(np.isfinite(values).all(axis=1))
        columns = {"location": values[rows, :2].astype(np.float32), "size": values[rows, 2].astype(np.float32)}
        put_irregular(file.create_group("pupil"), clock.at(x.time_s[rows]), columns)
    for name, signal in signals.items():
        seen = np.isfinite(signal.values)
        values = signal.values[seen].astype(np.float32).reshape(-1, 1)
        put_irregular(_new_group(file, name), clock.at(signal.time_s[seen]), {name: values})


def _stimulus_names(file: h5py.File, recording: Recording) -> dict[str, str]:
    """Name of the group of each stimulus: neither it nor that of its epochs may be that of something else."""
    roles = [] if recording.windows is None else recording.windows["role"].unique().tolist()
    domains = {f"{role}_domain" for role in (*ROLES, *roles)}

    def is_taken(name: str) -> bool:
        ours = {name, f"{name}_domain"}
        return name == "domain" or name.endswith("_domain") or not ours.isdisjoint(domains | set(file))

    stimuli = {*map(str, recording.presentations["stimulus"]), *map(str, recording.epochs["stimulus"])}
    return names_in_file(stimuli, is_taken)


def _stimuli(file: h5py.File, recording: Recording, clock: Clock, names: Mapping[str, str]) -> None:
    shown = recording.presentations
    for stimulus, rows in shown.groupby("stimulus", sort=True):
        name = str(stimulus)
        columns = _conditions(name, rows)
        keep = _shown(name, rows)
        frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64)[keep]
        start_s, stop_s = clock.stretches(recording, frames)
        columns = {key: np.asarray(values)[keep] for key, values in columns.items()}
        for key in ("trial", "start_frame", "stop_frame"):
            columns[key] = rows[key].to_numpy(np.int64)[keep]
        put_interval(
            file.create_group(names[name]),
            start_s,
            stop_s,
            {"timestamps": (start_s + stop_s) / 2, **columns},
            ["timestamps"],
        )
    for stimulus, rows in recording.epochs.groupby("stimulus", sort=True):
        frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
        put_interval(file.create_group(f"{names[str(stimulus)]}_domain"), *clock.stretches(recording, frames))


def _shown(stimulus: str, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which rows the Allen pipeline keeps: blank gratings are left out, blank scenes are frame 0."""
    if stimulus in (DRIFTING_GRATINGS, STATIC_GRATINGS):
        return ~rows["blank"].to_numpy(bool)
    return np.ones(len(rows), np.bool_)


def _conditions(stimulus: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Columns of a stimulus under the names of the Allen pipeline; those of an unknown one under ours."""
    if stimulus == DRIFTING_GRATINGS:
        return {
            "orientation": rows["direction_deg"],
            "temporal_frequency": rows["temporal_frequency_hz"],
            "orientation_id": _class_of(rows["direction_deg"], "orientation_8"),
            "temporal_frequency_id": _class_of(rows["temporal_frequency_hz"], "temporal_frequency"),
        }
    if stimulus == STATIC_GRATINGS:
        return {
            "orientation": rows["orientation_deg"],
            "spatial_frequency": rows["spatial_frequency_cpd"],
            "phase": rows["phase"],
            "orientation_id": _class_of(rows["orientation_deg"], "orientation_12"),
            "spatial_frequency_id": _class_of(rows["spatial_frequency_cpd"], "spatial_frequency"),
            "phase_id": _class_of(rows["phase"], "phase"),
        }
    if stimulus in NATURAL_MOVIES:
        return {"frame": rows["movie_frame"], "repeat": rows["repeat"]}
    if stimulus == NATURAL_SCENES:
        return {"frame": np.where(rows["blank"].to_numpy(bool), 0, rows["image"].to_numpy(np.int64) + 1)}
    if stimulus in SPARSE_NOISE:
        return {"frame": rows["image"], "pixel_size": np.full(len(rows), _PIXEL_DEG[stimulus])}
    return {name: rows[name] for name in rows.columns if name not in _PLACE and _says_something(rows[name])}


_PLACE = ("session_id", "stimulus", "epoch", "trial", "start_frame", "stop_frame", "start_s", "stop_s")


def _says_something(values: pd.Series[Any]) -> bool:
    if pd.api.types.is_bool_dtype(values.dtype):
        return bool(values.any())
    if pd.api.types.is_integer_dtype(values.dtype):
        return bool((values != -1).any())
    return bool(values.notna().any())


def _class_of(values: pd.Series[Any], name: str) -> npt.NDArray[np.int64]:
    """Number of the class that a value is of; -1 for a value that the Allen pipeline does not know."""
    known = np.array(_CLASSES[name])
    numbers = values.to_numpy(np.float64)
    distance = np.abs(numbers[:, None] - known)
    nearest = np.argmin(np.where(np.isnan(distance), np.inf, distance), axis=1)
    close = distance[np.arange(len(numbers)), nearest] <= 1e-3 * np.maximum(1.0, known[nearest])
    return np.where(close, nearest, -1).astype(np.int64)


def _roles(file: h5py.File, recording: Recording, clock: Clock) -> None:
    """Time with each role: windows that touch are one stretch, but none crosses a gap of the recording."""
    windows = recording.windows
    if windows is None:
        return
    for role in (*ROLES, *sorted(set(windows["role"]) - set(ROLES))):
        rows = windows.loc[(windows["role"] == role).to_numpy(bool), ["start_frame", "stop_frame"]].to_numpy(np.int64)
        frames = intersect(as_intervals(rows), recording.segments)
        put_interval(file.create_group(f"{role}_domain"), *clock.stretches(recording, frames))


def _new_group(file: h5py.File, name: str) -> h5py.Group:
    """A group for a signal, whose name is anybody's."""
    reserved = {"domain", *(f"{role}_domain" for role in ROLES)}
    while name in file or name in reserved:
        name += "_"
    return file.create_group(name)
