"""One NWB 2 file for each recording, in the layout of the Allen "Visual Coding - 2p" files (DANDI dandiset 000728).

The same names and places as `poyodata.simulation.nwb2_writer` uses, so that one reader serves both::

    general/subject  general/optophysiology/ImagingPlane      who and where
    processing/ophys/ImageSegmentation/PlaneSegmentation      one row a neuron: its mask, its ids, and every other
                                                              column of the table of neurons
    processing/ophys/DfOverF/DfOverF                          dF/F (time, neuron) with its true timestamps
    processing/behavior                                       running, pupil and other signals
    stimulus/presentation/<stimulus>                          TimeIntervals: one row a trial, sweep or frame
    intervals/epochs  processing/roles/windows                stretches of one stimulus, and of one role
    scratch/poyodata                                          lineage and all metadata, as JSON

Stimuli shown by index (movies, scenes, noise) are intervals too, with a column ``movie_frame`` or ``image``, and
without the frames themselves: those are the same in all recordings, and stay in the store. As in the released files,
``x`` of a pixel mask is the row and ``y`` the column. Where no start of the session is known, the file says 1970 and
that it is unknown: NWB 2 demands one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.export.recording import Recording
from poyodata.export.stimulus_names import names_in_file
from poyodata.hdf5_output import writing_hdf5
from poyodata.nwb2_objects import BLOCK_BYTES, streamed_traces, time_intervals
from poyodata.store.stored_recording import Signal
from poyodata.vocabulary import DRIFTING_GRATINGS, SPONTANEOUS

if TYPE_CHECKING:
    from pynwb import NWBFile

    from poyodata.export.selection import Selection

DESCRIPTION = "NWB 2 files in the layout of DANDI dandiset 000728; time in seconds, traces in dF/F"
UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
NO_ID = -1

_SEX = {"male": "M", "female": "F", "m": "M", "f": "F"}
# Group of the behaviour module, series, and its unit, conversion and columns.
_PUPIL: Mapping[str, tuple[str, str, float, tuple[str, str]]] = {
    "EyeTracking": ("pupil_location", "m", 0.01, ("pupil_x_cm", "pupil_y_cm")),
    "CompassDirection": ("pupil_location_spherical", "degrees", 1.0, ("pupil_altitude_deg", "pupil_azimuth_deg")),
}
_CONDITIONS: Mapping[str, tuple[str, str]] = {
    "direction_deg": ("orientation_in_degrees", "Direction of the grating; NaN if blank."),
    "orientation_deg": ("orientation_in_degrees", "Orientation of the grating; NaN if blank."),
    "temporal_frequency_hz": ("temporal_frequency_in_hz", "Speed of the grating; NaN if blank."),
    "spatial_frequency_cpd": ("spatial_frequency_in_cycles_per_degree", "NaN if blank."),
    "phase": ("phase", "Share of a cycle; NaN if blank."),
    "image": ("image", "Which image; -1 if blank."),
    "movie_frame": ("movie_frame", "Which frame of the movie."),
    "repeat": ("repeat", "How often the movie was shown before."),
}


def path_of(folder: Path, session_id: str) -> Path:
    """File of a recording."""
    return folder / f"{session_id}.nwb"


def write_tables(folder: Path, selection: Selection) -> None:
    """Write nothing: every file is complete by itself."""


def write_recording(folder: Path, recording: Recording) -> None:
    """Write one recording; the file appears when it is whole, and one block of traces is in memory at a time."""
    from pynwb import NWBHDF5IO

    names = _stimulus_names(recording)
    nwb = _nwb_file(recording, names)
    _add_behaviour(nwb, recording)
    _add_stimuli(nwb, recording, names)
    _add_ophys(nwb, recording)
    _add_intervals(nwb, recording)
    with writing_hdf5(path_of(folder, recording.session_id)) as file, NWBHDF5IO(file=file, mode="w") as io:
        io.write(nwb)


def _nwb_file(recording: Recording, stimuli: Mapping[str, str]) -> NWBFile:
    from pynwb import NWBFile
    from pynwb.file import Subject
    from pynwb.ophys import OpticalChannel

    meta, lineage = recording.row, recording.lineage
    start, known = _start_time(meta["start_time"])
    manifest = lineage["manifest"]
    nwb = NWBFile(
        session_description=f"Two-photon calcium imaging, session type {meta['session_type'] or 'unknown'}."
        + ("" if known else " The start of the session is unknown; 1970 stands for it."),
        identifier=f"poyodata export {lineage['selection']}, session {recording.session_id}",
        session_start_time=start,
        file_create_date=datetime.now(UTC),
        session_id=recording.session_id,
        data_collection=f"Exported by poyodata {lineage['poyodata']} from the store {lineage['store']['digest']}"
        + (f", neurons and roles of manifest {manifest['digest']} ({manifest['name']})." if manifest else "."),
        notes=(
            f"Container ID: {meta['container_id']}\n"
            f"Mouse ID (from genotype white paper): {meta['donor_id']}\n"
            f"Session type: {meta['session_type']}"
        ),
        subject=Subject(
            subject_id=meta["donor_id"],
            description=f"Mouse of the line {meta['cre_line']}.",
            age=f"P{meta['age_days']:.0f}D" if np.isfinite(meta["age_days"]) else None,
            sex=_SEX.get(meta["sex"].casefold(), "U"),
            species="Mus musculus",
            strain=meta["specimen_name"] or None,
            genotype=meta["genotype"] or meta["cre_line"],
        ),
    )
    about = {"lineage": dict(lineage), **recording.described(stimuli)}
    nwb.add_scratch(
        json.dumps(about, ensure_ascii=False, allow_nan=False),
        name="poyodata",
        description="Lineage of the export and what the store knows of the recording, as JSON.",
    )
    microscope = nwb.create_device(name="Microscope", description=str(meta["device"]) or "A microscope.")
    nwb.create_imaging_plane(
        name="ImagingPlane",
        description=f"The imaging plane at a depth of {meta['depth_um']:g} µm.",
        optical_channel=OpticalChannel(
            name="OpticalChannel", description="Fluorescence.", emission_lambda=float("nan")
        ),
        excitation_lambda=float(meta["excitation_nm"]),
        indicator=meta["indicator"] or "unknown",
        location=meta["area"] or "unknown",
        device=microscope,
    )
    return nwb


def _start_time(text: str) -> tuple[datetime, bool]:
    """Start of a session, in UTC where the text names no zone; and whether it is known."""
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        return UNKNOWN_START, False
    return (start if start.tzinfo is not None else start.replace(tzinfo=UTC)), True


def _add_behaviour(nwb: NWBFile, recording: Recording) -> None:
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, CompassDirection, EyeTracking, PupilTracking, SpatialSeries

    signals = dict(recording.signals)
    if not signals:
        return
    module = nwb.create_processing_module(name="behavior", description="Behaviour, each signal on its own clock.")
    for group, (name, unit, conversion, columns) in _PUPIL.items():
        pair = [signals[column] for column in columns if column in signals]
        if len(pair) < 2 or not np.array_equal(pair[0].time_s, pair[1].time_s):
            continue
        series = SpatialSeries(
            name=name,
            description="Where the mouse looks.",
            data=np.column_stack([signal.values for signal in pair]),
            timestamps=pair[0].time_s,
            unit=unit,
            conversion=conversion,
            reference_frame="(0,0) is the center of the monitor.",
        )
        kind = EyeTracking if group == "EyeTracking" else CompassDirection
        module.add(kind(spatial_series=series))
        for column in columns:
            del signals[column]

    def time_series(name: str, signal: Signal, description: str) -> Any:
        return TimeSeries(
            name=name,
            description=description,
            data=signal.values,
            timestamps=signal.time_s,
            unit=signal.unit or "unknown",
        )

    area = signals.pop("pupil_area_px", None)
    if area is not None:
        module.add(PupilTracking(time_series=time_series("pupil_size", area, "Area of the pupil.")))
    others = [time_series(name, signal, f"Signal {name}.") for name, signal in signals.items()]
    if others:
        module.add(BehavioralTimeSeries(time_series=others))


def _stimulus_names(recording: Recording) -> dict[str, str]:
    """Name of the table of each stimulus; grey screen has the one of the released files."""
    grey = f"{SPONTANEOUS}_stimulus"
    stimuli = set(map(str, recording.presentations["stimulus"]))
    names = names_in_file(stimuli - {SPONTANEOUS}, lambda name: name == grey)
    return {stimulus: names.get(stimulus, grey) for stimulus in stimuli}


def _add_stimuli(nwb: NWBFile, recording: Recording, names: Mapping[str, str]) -> None:
    for shown, rows in recording.presentations.groupby("stimulus", sort=True):
        stimulus = str(shown)
        columns: dict[str, tuple[str, Any]] = {}
        for name, (there, what) in _CONDITIONS.items():
            values = rows[name]
            if name == "direction_deg" and stimulus != DRIFTING_GRATINGS:
                there = "direction_in_degrees"  # only of gratings is it known that they drift
            means = (values != -1).any() if pd.api.types.is_integer_dtype(values.dtype) else values.notna().any()
            if means:
                columns[there] = (what, values.to_numpy())
        if rows["blank"].any() or "orientation_in_degrees" in columns:
            columns["is_blank_sweep"] = ("Grey instead of a stimulus.", rows["blank"].to_numpy(bool))
        for name, what in (
            ("trial", "Running number within the stimulus."),
            ("epoch", "Running number of the stimulus epoch."),
            ("start_frame", "First imaging frame."),
            ("stop_frame", "First imaging frame after it."),
        ):
            columns[name] = (what, rows[name].to_numpy(np.int64))
        nwb.add_stimulus(
            time_intervals(
                names[stimulus],
                f"Presentations of {stimulus}.",
                rows["start_s"].to_numpy(np.float64),
                rows["stop_s"].to_numpy(np.float64),
                columns,
            )
        )


def _add_ophys(nwb: NWBFile, recording: Recording) -> None:
    from pynwb.image import Image, Images
    from pynwb.ophys import DfOverF, ImageSegmentation

    module = nwb.create_processing_module(name="ophys", description="Optical physiology.")
    projection = recording.store.max_projection(recording.session_id)
    if projection is not None:
        image = Image(
            name="maximum_intensity_projection", description="Brightest value of every pixel.", data=projection
        )
        module.add(Images(name="SummaryImages", description="Images of the plane.", images=[image]))
    segmentation, dff = ImageSegmentation(name="ImageSegmentation"), DfOverF(name="DfOverF")
    module.add(segmentation)
    module.add(dff)
    plane = _plane_segmentation(nwb, recording)
    segmentation.add_plane_segmentation(plane)
    dff.create_roi_response_series(
        name="DfOverF",
        description="dF/F of the selected neurons.",
        data=streamed_traces(
            recording.shape, lambda at: recording.read(at.start, at.stop, recording.columns), BLOCK_BYTES
        ),
        timestamps=recording.time_s,
        unit="a.u.",
        rois=plane.create_roi_table_region(
            region=list(range(len(recording.neurons))), description="Regions of the traces."
        ),
    )


def _plane_segmentation(nwb: NWBFile, recording: Recording) -> Any:
    from pynwb.core import ElementIdentifiers, VectorData, VectorIndex
    from pynwb.ophys import PlaneSegmentation

    neurons = recording.neurons
    cells = neurons["cell_specimen_id"]
    named = cells.notna().all() and not cells.duplicated().any()
    # pynwb makes no table of regions without masks; those that nobody knows have no pixel.
    masks = recording.masks or [np.empty((0, 2), np.int16)] * len(neurons)
    joined = np.concatenate([mask.reshape(-1, 2) for mask in masks])
    pixels = np.empty(len(joined), dtype=[("x", "<u4"), ("y", "<u4"), ("weight", "<f4")])
    pixels["x"], pixels["y"], pixels["weight"] = joined[:, 1], joined[:, 0], 1.0
    mask = VectorData(name="pixel_mask", description="Row, column and weight of every pixel.", data=pixels)
    ends = np.cumsum([len(one) for one in masks])
    columns: list[Any] = [mask, VectorIndex(name="pixel_mask_index", data=ends, target=mask)]
    columns.append(
        VectorData(
            name="global_roi_id",
            description=f"Cell specimen id, the same in all recordings of a cell; {NO_ID} where there is none.",
            data=_plain(cells),
        )
    )
    for name in neurons.columns:
        if name not in ("session_id", "column"):
            about = f"Column {name} of the store's neurons"
            columns.append(VectorData(name=str(name), description=f"{about}.", data=_plain(neurons[name])))
    return PlaneSegmentation(
        name="PlaneSegmentation",
        description="The selected neurons; the id is the cell specimen id." if named else "The selected neurons.",
        imaging_plane=nwb.imaging_planes["ImagingPlane"],
        id=ElementIdentifiers(
            name="id", data=cells.to_numpy(np.int64) if named else neurons["column"].to_numpy(np.int64)
        ),
        columns=columns,
    )


def _add_intervals(nwb: NWBFile, recording: Recording) -> None:
    epochs = recording.epochs
    nwb.epochs = time_intervals(
        "epochs",
        "Stretches of one stimulus.",
        recording.times_of(epochs["start_frame"]),
        recording.times_of(epochs["stop_frame"], stop=True),
        {"stimulus_type": ("Stimulus that is shown.", _plain(epochs["stimulus"]))},
    )
    windows = recording.windows
    if windows is None:
        return
    columns = {
        str(name): (f"Column {name} of the windows.", _plain(windows[name]))
        for name in windows.columns
        if name != "session_id"
    }
    start_s = recording.times_of(windows["start_frame"])
    stop_s = recording.times_of(windows["stop_frame"], stop=True)
    what = "Stretches with a role, in half-open imaging frames."
    # Not among NWB's own intervals, where readers look for what was shown.
    module = nwb.create_processing_module(name="roles", description="What time may be learnt from and tested on.")
    module.add(time_intervals("windows", what, start_s, stop_s, columns))


def _plain(values: pd.Series[Any]) -> Any:
    """A column as NWB has it: a missing whole number is -1, a missing text "", a missing truth value makes numbers."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan) if values.isna().any() else values.to_numpy(bool)
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.fillna(NO_ID).to_numpy(np.int64)
    if pd.api.types.is_float_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    return ["" if missing else str(text) for missing, text in zip(values.isna(), values.tolist(), strict=True)]
