"""Write one simulated recording as an NWB 1.0 file of the Allen Brain Observatory, as AllenSDK reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata._version import version
from poyodata.errors import UsageError
from poyodata.simulation.stimulus import Timeline
from poyodata.sources.record import SessionMetadata
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIE_ONE, SPONTANEOUS

PIPELINE_VERSION = "3.0"
FOV_PX = 512
FOV_UM = 400
_PLANE = "imaging_plane_1"
_PIPELINE = "processing/brain_observatory_pipeline"


@dataclass(frozen=True, kw_only=True)
class SimulatedSession:
    """All that goes into one file.

    Attributes
    ----------
    metadata : SessionMetadata
    specimen_name : str
        Ends in the donor's number.
    timeline : Timeline
    dff : ndarray, shape (neuron, time), float32, dF/F
    fluorescence : ndarray, shape (neuron, time), uint16, counts
    cell_specimen_id, roi_id : ndarray, shape (neuron,), int64
    centre_px : ndarray, shape (neuron, 2), float64
        x (column) and y (row) of every region of interest.
    radius_px : ndarray, shape (neuron,), float64
    running_speed : ndarray, shape (time,), float64, cm/s
    movie : ndarray, shape (frame, height, width), uint8, or None
    start_time : str
        As NWB 1.0 writes it, such as ``"Mon Jan 2 10:00:00 2017"``.
    """

    metadata: SessionMetadata
    specimen_name: str
    timeline: Timeline
    dff: npt.NDArray[np.float32]
    fluorescence: npt.NDArray[np.uint16]
    cell_specimen_id: npt.NDArray[np.int64]
    roi_id: npt.NDArray[np.int64]
    centre_px: npt.NDArray[np.float64]
    radius_px: npt.NDArray[np.float64]
    running_speed: npt.NDArray[np.float64]
    movie: npt.NDArray[np.uint8] | None
    start_time: str = "Mon Jan  2 10:00:00 2017"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it there when the block ends well; else remove it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as partial:
    ...         _ = partial.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_allen_nwb(path: str | Path, session: SimulatedSession) -> Path:
    """Write a recording; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : str or Path
    session : SimulatedSession

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        When the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, h5py.File(partial, "w", libver=("earliest", "v110")) as file:
            _write_general(file, session)
            _write_traces(file, session)
            _write_masks(file, session)
            _write_stimuli(file, session)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({str(error).splitlines()[0][:160]}); choose another folder."
        ) from error
    return path


def _text(value: str) -> np.bytes_:
    # AllenSDK decodes fixed-length strings only.
    return np.bytes_(value.encode("utf-8"))


def _texts(values: list[str]) -> npt.NDArray[np.bytes_]:
    return np.array([value.encode("utf-8") for value in values])


def _write_general(file: h5py.File, session: SimulatedSession) -> None:
    meta = session.metadata
    plane = f"general/optophysiology/{_PLANE}"
    for name, value in {
        "nwb_version": "NWB-1.0.6",
        "identifier": f"poyodata simulation, session {meta.session_id}",
        "session_description": "Simulated calcium imaging; no animal was recorded.",
        "session_start_time": session.start_time,
        "general/session_id": meta.session_id,
        "general/experiment_container_id": meta.container_id,
        "general/session_type": meta.session_type,
        "general/specimen_name": session.specimen_name,
        "general/fov": f"{FOV_UM}x{FOV_UM} microns ({FOV_PX} x {FOV_PX} pixels)",
        "general/institution": "none: simulated",
        "general/devices/2-photon microscope": "Simulated microscope. SIM2P.1 Please see general/generated_by.",
        "general/subject/subject_id": meta.donor_id,
        "general/subject/species": "Mus musculus",
        "general/subject/genotype": meta.genotype,
        "general/subject/sex": meta.sex,
        "general/subject/age": f"{meta.age_days:.0f} days",
        f"{plane}/location": meta.area,
        f"{plane}/imaging depth": f"{meta.depth_um:.0f} microns",
        f"{plane}/indicator": meta.indicator,
        f"{plane}/excitation_lambda": "910 nanometers",
        f"{plane}/imaging_rate": f"{session.timeline.rate_hz:.4f}",
    }.items():
        file[name] = _text(value)
    # AllenSDK takes the last entry for the version of the layout.
    file["general/generated_by"] = _texts(["poyodata.simulation", version, "version", PIPELINE_VERSION])


def _write_traces(file: h5py.File, session: SimulatedSession) -> None:
    time_s = session.timeline.time_s
    for group, values in (("DfOverF", session.dff), ("Fluorescence", session.fluorescence)):
        base = f"{_PIPELINE}/{group}/{_PLANE}"
        file[f"{base}/data"] = values
        file[f"{base}/timestamps"] = time_s
        file[f"{base}/num_samples"] = len(time_s)
    running = f"{_PIPELINE}/BehavioralTimeSeries/running_speed"
    file[f"{running}/data"] = session.running_speed
    file[f"{running}/timestamps"] = time_s
    file[f"{running}/num_samples"] = len(time_s)


def _write_masks(file: h5py.File, session: SimulatedSession) -> None:
    base = f"{_PIPELINE}/ImageSegmentation"
    names = [f"roi_{index:04d}" for index in range(len(session.roi_id))]
    file[f"{base}/cell_specimen_ids"] = session.cell_specimen_id
    file[f"{base}/roi_ids"] = session.roi_id
    file[f"{base}/{_PLANE}/roi_list"] = _texts(names)
    projection = np.zeros((FOV_PX, FOV_PX), np.uint8)
    rows, columns = np.mgrid[:FOV_PX, :FOV_PX]
    for name, (x, y), radius in zip(names, session.centre_px, session.radius_px, strict=True):
        mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        projection[mask] = 255
        group = file.create_group(f"{base}/{_PLANE}/{name}")
        group["pix_mask"] = np.argwhere(mask)[:, ::-1].astype(np.int16)
        # A mask is nearly all zeros: without compression the masks would outweigh the traces.
        group.create_dataset("img_mask", data=mask.astype(np.uint8), compression="gzip", compression_opts=1)
        group["roi_description"] = _text(name)
    file.create_dataset(
        f"{base}/{_PLANE}/reference_images/maximum_intensity_projection_image/data",
        data=projection,
        compression="gzip",
        compression_opts=1,
    )


def _write_stimuli(file: h5py.File, session: SimulatedSession) -> None:
    timeline = session.timeline
    features = ["temporal_frequency", "orientation", "blank_sweep"]
    _write_table(file, DRIFTING_GRATINGS, timeline.gratings[features].to_numpy(np.float64), timeline.gratings, timeline)
    group = file[f"stimulus/presentation/{DRIFTING_GRATINGS}_stimulus"]
    group["features"] = _texts(features)
    group["feature_units"] = _texts(["Hz", "degrees", "boolean"])
    if session.movie is not None and len(timeline.movie):
        shown = timeline.movie["frame"].to_numpy(np.int64)
        _write_table(file, NATURAL_MOVIE_ONE, shown, timeline.movie, timeline)
        template = file.create_group(f"stimulus/templates/{NATURAL_MOVIE_ONE}_image_stack")
        template["data"] = session.movie
        template["num_samples"] = len(session.movie)
    if len(timeline.spontaneous):
        # One row for each edge: 1 where grey begins, -1 where it ends, and both frames in every row's start.
        edges = timeline.spontaneous[["start", "end"]].to_numpy(np.int64).reshape(-1)
        rows = timeline.spontaneous.loc[timeline.spontaneous.index.repeat(2)].assign(start=edges, end=edges)
        _write_table(file, SPONTANEOUS, np.tile([1, -1], len(timeline.spontaneous)), rows, timeline)


def _write_table(file: h5py.File, stimulus: str, data: npt.NDArray[Any], rows: Any, timeline: Timeline) -> None:
    group = file.create_group(f"stimulus/presentation/{stimulus}_stimulus")
    group["data"] = data
    frames = rows[["start", "end"]].to_numpy(np.int64)
    group["frame_duration"] = frames
    group["timestamps"] = timeline.time_s[np.minimum(frames[:, 0], len(timeline.time_s) - 1)]
    group["num_samples"] = len(rows)
