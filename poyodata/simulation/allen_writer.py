"""Write one simulated recording as an NWB 1.0 file of the Allen Brain Observatory, as AllenSDK reads it.

Paths, kinds of texts and the shape of every table are those that AllenSDK 2.16's ``BrainObservatoryNwbDataSet`` reads.
Where it reads nothing, they follow what others found in the released files: ``roi_ids`` are texts, ``roi_names`` stand
beside every trace, masks have ``pix_mask_weight``, and a spontaneous epoch is two rows whose frames start where they
end. ``ImageSegmentation/exclusion_labels`` is an addition of the simulator, which AllenSDK ignores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from poyodata._version import version
from poyodata.errors import UsageError
from poyodata.hdf5_output import writing_hdf5
from poyodata.simulation.field_of_view import maximum_projection
from poyodata.simulation.recording import FOV_PX, FOV_UM, TABLE_COLUMNS, SimulatedSession
from poyodata.vocabulary import SPONTANEOUS

PIPELINE_VERSION = "3.0"
TEMPLATES_FILE = "templates.h5"
_PLANE = "imaging_plane_1"
_PIPELINE = "processing/brain_observatory_pipeline"
_WRITE_BYTES, _COMPARE_BYTES = 1 << 24, 1 << 18
_FEATURE_UNITS = {
    "temporal_frequency": "Hz",
    "orientation": "degrees",
    "blank_sweep": "boolean",
    "spatial_frequency": "cycles/degree",
    "phase": "cycles",
}


def write_allen_nwb(
    path: str | Path, session: SimulatedSession, templates: Literal["inside", "linked"] = "inside"
) -> Path:
    """Write a recording; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : str or Path
    session : SimulatedSession
    templates : {"inside", "linked"}
        ``"inside"`` stores every stimulus template in the file, as the released files do. ``"linked"`` stores it once,
        in ``templates.h5`` beside the file, and links to it; h5py and AllenSDK follow the link as long as the two files
        travel together.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        When the folder cannot be written, or its ``templates.h5`` holds other templates.
    """
    path = Path(path)
    if templates == "linked":
        write_templates(path.parent, session.templates)
    with writing_hdf5(path) as file:
        _write_general(file, session)
        _write_traces(file, session)
        _write_masks(file, session)
        _write_behaviour(file, session)
        _write_stimuli(file, session)
        _write_templates(file.create_group("stimulus/templates"), session.templates, templates == "linked")
    return path


def write_templates(folder: str | Path, templates: Mapping[str, npt.NDArray[np.uint8]]) -> Path:
    """Put stimulus templates into ``templates.h5`` of a folder, beside those that it holds already.

    Call it once with every template before recordings are written side by side: they then find it complete and only
    compare.

    Parameters
    ----------
    folder : str or Path
    templates : mapping of str to ndarray, shape (frame, height, width), uint8

    Returns
    -------
    Path
        ``templates.h5``.

    Raises
    ------
    UsageError
        When it holds another template of the same name, is no HDF5 file, or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_templates(folder, {"natural_movie_one": np.zeros((2, 3, 4), np.uint8)}).name
    'templates.h5'
    """
    path = Path(folder) / TEMPLATES_FILE
    missing = _not_yet_in(path, templates) if path.exists() else dict(templates)
    if not missing and path.exists():
        return path
    with writing_hdf5(path) as file:
        if path.exists():
            with h5py.File(path) as older:
                for name in older:
                    older.copy(name, file)
        _write_templates(file, missing, linked=False)
    return path


def _not_yet_in(path: Path, templates: Mapping[str, npt.NDArray[np.uint8]]) -> dict[str, npt.NDArray[np.uint8]]:
    try:
        with h5py.File(path) as file:
            stored = {name: file.get(f"{name}_image_stack/data") for name in templates}
            for name, data in stored.items():
                if data is not None and not _same(data, templates[name]):
                    raise UsageError(
                        f"{path} holds another {name} (shape {data.shape}) than this recording "
                        f"(shape {templates[name].shape}); choose another folder, or remove its recordings."
                    )
            return {name: templates[name] for name, data in stored.items() if data is None}
    except OSError as error:
        raise UsageError(f"{path} is no HDF5 file of stimulus templates; choose another folder.") from error


def _same(stored: h5py.Dataset, template: npt.NDArray[np.uint8]) -> bool:
    return stored.shape == template.shape and all(
        np.array_equal(stored[block], template[block]) for block in _blocks(template, _COMPARE_BYTES)
    )


def _text(value: str) -> np.bytes_:
    # AllenSDK decodes fixed-length strings only.
    return np.bytes_(value.encode("utf-8"))


def _texts(values: list[str]) -> npt.NDArray[np.bytes_]:
    return np.array([value.encode("utf-8") for value in values], dtype="S")


def _blocks(values: npt.NDArray[Any], size: int) -> Iterator[slice]:
    rows = max(1, size // max(1, values[:1].nbytes))
    return (slice(first, first + rows) for first in range(0, len(values), rows))


def _write_array(group: h5py.Group, values: npt.NDArray[Any], samples: int) -> None:
    """Data in blocks, so that a view that is not contiguous is never copied whole, and the number of samples."""
    data = group.create_dataset("data", values.shape, values.dtype)
    for block in _blocks(values, _WRITE_BYTES):
        data[block] = values[block]
    group["num_samples"] = samples


def _write_series(
    parent: h5py.Group, name: str, values: npt.NDArray[Any], time_s: npt.NDArray[np.float64], unit: str
) -> h5py.Group:
    group = parent.create_group(name)
    _write_array(group, values, len(time_s))
    group["data"].attrs["unit"] = _text(unit)
    group["timestamps"] = time_s
    return group


def _write_general(file: h5py.File, session: SimulatedSession) -> None:
    meta = session.metadata
    plane = f"general/optophysiology/{_PLANE}"
    for name, value in {
        "nwb_version": "NWB-1.0.6",
        "identifier": f"poyodata simulation, session {meta.session_id}",
        "session_description": "Simulated calcium imaging; no animal was recorded",
        "session_start_time": session.start_time,
        "general/session_id": meta.session_id,
        "general/ophys_experiment_id": meta.session_id,
        "general/ophys_experiment_name": f"{meta.session_id}_{meta.session_type.removeprefix('three_session_')}",
        "general/experiment_container_id": meta.container_id,
        "general/session_type": meta.session_type,
        "general/specimen_name": session.specimen_name,
        "general/targeted_structure": meta.area,
        "general/fov": f"{FOV_UM}x{FOV_UM} microns ({FOV_PX} x {FOV_PX} pixels)",
        "general/pixel_size": f"{FOV_UM / FOV_PX:.2f} microns",
        "general/institution": "none: simulated",
        "general/For more information": "Documentation of poyodata.simulation",
        "general/devices/2-photon microscope": "Simulated microscope. SIM2P.1 Please see general/generated_by.",
        "general/subject/subject_id": meta.donor_id,
        "general/subject/description": "Simulated mouse",
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
    file["file_create_date"] = _texts([session.start_time])
    # AllenSDK takes the last entry for the version of the layout.
    file["general/generated_by"] = _texts(["poyodata.simulation", version, "version", PIPELINE_VERSION])


def _write_traces(file: h5py.File, session: SimulatedSession) -> None:
    pipeline, traces = file.require_group(_PIPELINE), session.fluorescence
    time_s, names = session.timeline.time_s, _texts(_roi_names(session))
    for name, values, unit in (
        (f"DfOverF/{_PLANE}", session.dff, "dF/F"),
        (f"Fluorescence/{_PLANE}", traces.raw, "counts"),
        (f"Fluorescence/{_PLANE}_neuropil_response", traces.neuropil, "counts"),
        (f"Fluorescence/{_PLANE}_demixed_signal", traces.demixed, "counts"),
    ):
        _write_series(pipeline, name, values, time_s, unit)["roi_names"] = names
    pipeline[f"Fluorescence/{_PLANE}_neuropil_response/r"] = traces.neuropil_r


def _roi_names(session: SimulatedSession) -> list[str]:
    return [f"roi_{index:04d}" for index in range(len(session.rois.roi_id))]


def _write_masks(file: h5py.File, session: SimulatedSession) -> None:
    base, rois, names = f"{_PIPELINE}/ImageSegmentation", session.rois, _roi_names(session)
    file[f"{base}/cell_specimen_ids"] = rois.cell_specimen_id
    file[f"{base}/roi_ids"] = _texts([str(roi) for roi in rois.roi_id.tolist()])
    file[f"{base}/exclusion_labels"] = _texts(list(rois.exclusion_label))
    file[f"{base}/{_PLANE}/roi_list"] = _texts(names)
    # Images and masks repeat themselves: without compression the masks would outweigh the traces.
    small = {"compression": "gzip", "compression_opts": 1}
    for name, pixels in zip(names, rois.pixels, strict=True):
        mask = np.zeros((FOV_PX, FOV_PX), np.uint8)
        mask[pixels[:, 1], pixels[:, 0]] = 1
        group = file.create_group(f"{base}/{_PLANE}/{name}")
        group["pix_mask"] = pixels.astype(np.int16)
        group["pix_mask_weight"] = np.ones(len(pixels), np.float32)
        group.create_dataset("img_mask", data=mask, **small)
        group["roi_description"] = _text(name)
    image = file.create_group(f"{base}/{_PLANE}/reference_images/maximum_intensity_projection_image")
    image.create_dataset("data", data=maximum_projection(session), **small)


def _write_behaviour(file: h5py.File, session: SimulatedSession) -> None:
    pipeline, seen, eye = file.require_group(_PIPELINE), session.behaviour, session.behaviour.eye
    running = "BehavioralTimeSeries/running_speed"
    _write_series(pipeline, running, seen.running_speed, seen.running_time_s, "cm/s")
    if eye is not None:
        _write_series(pipeline, "EyeTracking/pupil_location_spherical", eye.location_deg, eye.time_s, "degrees")
        _write_series(pipeline, "EyeTracking/pupil_location", eye.location_cm, eye.time_s, "cm")
        _write_series(pipeline, "PupilTracking/pupil_size", eye.area_px, eye.time_s, "pixels")
    # Files before version 1.0 of the pipeline say xy_translations.
    motion = "MotionCorrection/2p_image_series/xy_translation"
    shift = _write_series(pipeline, motion, seen.motion_px, session.timeline.time_s, "pixels")
    shift["feature_description"] = _texts(["x_motion", "y_motion"])


def _write_stimuli(file: h5py.File, session: SimulatedSession) -> None:
    presentation = file.create_group("stimulus/presentation")
    for stimulus, table in session.timeline.tables.items():
        features = [name for name in TABLE_COLUMNS[stimulus] if name not in ("start", "end")]
        frames = table[["start", "end"]].to_numpy(np.int64)
        if stimulus == SPONTANEOUS:
            # One row for each edge: 1 where grey begins, -1 where it ends.
            frames = np.repeat(frames.reshape(-1, 1), 2, axis=1)
            data = np.tile(np.array([1, -1], np.int8), len(table))
        elif features == ["frame"]:
            data = table["frame"].to_numpy(np.int64)
        else:
            data = table[features].to_numpy(np.float64)
        time_s = session.timeline.time_s[np.minimum(frames[:, 0], session.timeline.n_frames - 1)]
        group = _write_series(presentation, f"{stimulus}_stimulus", data, time_s, "n/a")
        group["frame_duration"] = frames
        if data.ndim == 2:
            group["features"] = _texts(features)
            group["feature_units"] = _texts([_FEATURE_UNITS[name] for name in features])


def _write_templates(group: h5py.Group, templates: Mapping[str, npt.NDArray[np.uint8]], linked: bool) -> None:
    for stimulus, frames in templates.items():
        name = f"{stimulus}_image_stack"
        if linked:
            group[name] = h5py.ExternalLink(TEMPLATES_FILE, f"/{name}")
        else:
            _write_array(group.create_group(name), frames, len(frames))
