"""NWB 1.0 files of any length, made without simulating: what the memory and the growth of ingest are measured on."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

PIPELINE = "processing/brain_observatory_pipeline"
_PLANE = "imaging_plane_1"
_MASK_PX = 12


def write_made_nwb(path: Path, n_frames: int, n_neurons: int, number: int = 0) -> Path:
    """Write dF/F of noise, clocks, ids, masks, running and drifting gratings, in the places of the released files.

    Parameters
    ----------
    path : Path
    n_frames, n_neurons : int
    number : int
        Of the recording: it makes ids and values.

    Returns
    -------
    Path
    """
    rng = np.random.default_rng(number)
    time_s = np.arange(n_frames) / 30.0
    with h5py.File(path, "w") as file:
        for name, text in {
            "nwb_version": "NWB-1.0.6",
            "general/session_id": str(600_000_000 + number),
            "general/experiment_container_id": str(510_000_000 + number),
            "general/specimen_name": f"Cux2-CreERT2;Camk2a-tTA;Ai93-{200_000 + number}",
            "general/subject/genotype": "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)",
            "general/session_type": "three_session_A",
            f"general/optophysiology/{_PLANE}/location": "VISp",
            f"general/optophysiology/{_PLANE}/imaging depth": "275 microns",
        }.items():
            file[name] = np.bytes_(text)
        dff = file.create_group(f"{PIPELINE}/DfOverF/{_PLANE}")
        data = dff.create_dataset("data", (n_neurons, n_frames), "f4")
        for neuron in range(n_neurons):
            data[neuron] = rng.standard_normal(n_frames, np.float32)
        dff["timestamps"] = time_s
        running = file.create_group(f"{PIPELINE}/BehavioralTimeSeries/running_speed")
        running["data"], running["timestamps"] = rng.standard_normal(n_frames), time_s
        _write_rois(file, n_neurons, number)
        _write_gratings(file, n_frames, rng)
    return path


def _write_rois(file: h5py.File, n_neurons: int, number: int) -> None:
    rois = file.create_group(f"{PIPELINE}/ImageSegmentation")
    rois["cell_specimen_ids"] = 517_000_000 + 1_000 * number + np.arange(n_neurons)
    rois["roi_ids"] = np.array([f"{900_000_000 + index}" for index in range(n_neurons)], dtype="S")
    names = [f"roi_{index:04d}" for index in range(n_neurons)]
    rois[f"{_PLANE}/roi_list"] = np.array(names, dtype="S")
    for index, name in enumerate(names):
        drawn = np.zeros((512, 512), np.uint8)
        drawn[5 + 2 * index :, :][:_MASK_PX, 100 : 100 + _MASK_PX] = 1
        rois.create_dataset(f"{_PLANE}/{name}/img_mask", data=drawn, compression="gzip", compression_opts=1)


def _write_gratings(file: h5py.File, n_frames: int, rng: np.random.Generator) -> None:
    start = np.arange(0, n_frames - 90, 90)
    shown = file.create_group("stimulus/presentation/drifting_gratings_stimulus")
    directions, rates = 45.0 * rng.integers(0, 8, len(start)), 2.0 ** rng.integers(0, 4, len(start))
    shown["data"] = np.column_stack([rates, directions, np.zeros(len(start))])
    shown["features"] = np.array([b"temporal_frequency", b"orientation", b"blank_sweep"])
    shown["frame_duration"] = np.column_stack([start, start + 60])
