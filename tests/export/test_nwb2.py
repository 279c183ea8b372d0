from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pynwb
import pytest

from poyodata.export import export, nwb2, recording, select
from poyodata.sources.nwb2 import read_nwb2
from poyodata.store import open_store

same = np.testing.assert_array_equal


@pytest.fixture(scope="module")
def exported(tiny_store_path, tiny_manifest, tmp_path_factory):
    """A file of the world `tiny`: its path, the store, the recording and how many rows were read at a time."""
    store = open_store(tiny_store_path)
    folder = tmp_path_factory.mktemp("nwb2") / "out"
    session_id = store.session_ids[0]
    patch = pytest.MonkeyPatch()
    read, rows = recording.Recording.read, []

    def watched(self, *frames):
        block = read(self, *frames)
        rows.append(len(block))
        return block

    with patch.context() as context:
        context.setattr(nwb2, "BLOCK_BYTES", 4 * 12 * 1000)
        context.setattr(recording.Recording, "read", watched)
        export(select(store, manifest=tiny_manifest, sessions=[session_id]), "nwb2", folder)
    return folder / f"{session_id}.nwb", store, session_id, rows


@pytest.fixture
def nwb(exported):
    with pynwb.NWBHDF5IO(str(exported[0]), "r") as io:
        yield io.read()


@pytest.mark.slow
def test_is_valid(exported):
    assert pynwb.validate(path=str(exported[0])) == []


def test_whose_recording_it_is(exported, nwb, tiny_manifest):
    _, store, session_id, _ = exported
    meta = store.sessions.iloc[0]
    assert nwb.session_id == session_id
    assert nwb.session_start_time == datetime(2017, 1, 2, 10, tzinfo=UTC)
    assert (nwb.subject.subject_id, nwb.subject.age) == (meta["donor_id"], f"P{meta['age_days']:.0f}D")
    assert nwb.subject.genotype == meta["genotype"]
    plane = nwb.imaging_planes["ImagingPlane"]
    assert (plane.location, plane.indicator, plane.excitation_lambda) == (meta["area"], "GCaMP6f", 910.0)
    about = json.loads(nwb.scratch["poyodata"].data)
    assert about["lineage"]["manifest"]["digest"] == tiny_manifest.digest
    assert about["lineage"]["store"]["digest"] == store.digest
    assert about["recording"]["cre_line"] == meta["cre_line"]


def test_traces_with_their_true_timestamps(exported, nwb):
    _, store, session_id, rows = exported
    series = nwb.processing["ophys"]["DfOverF"]["DfOverF"]
    same(series.data[()], store.traces(session_id))
    same(series.timestamps[:], store.time_s(session_id))
    assert (series.data.dtype, series.rate) == (np.float32, None)
    assert max(rows) == 1000, "written a block at a time"


def test_regions(exported, nwb):
    _, store, session_id, _ = exported
    plane = nwb.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
    neurons = store.neurons[store.neurons["session_id"] == session_id]
    same(plane.id[:], neurons["cell_specimen_id"].astype("int64"))
    assert list(plane["neuron_id"][:]) == neurons["neuron_id"].tolist()
    same(plane["roi_id"][:], neurons["roi_id"].astype("int64"))
    same(plane["x_um"][:], neurons["x_um"])
    same(plane["valid_roi"][:], neurons["valid_roi"])
    for index, mask in enumerate(store.masks(session_id)):
        same([(row, column) for row, column, _ in plane["pixel_mask"][index]], mask[:, ::-1])
    image = nwb.processing["ophys"]["SummaryImages"]["maximum_intensity_projection"]
    same(image.data[()], store.max_projection(session_id))


def test_behaviour(exported, nwb):
    _, store, session_id, _ = exported
    behaviour = nwb.processing["behavior"]
    for series, names in (
        (behaviour["BehavioralTimeSeries"]["running_speed"], ["running_speed"]),
        (behaviour["EyeTracking"]["pupil_location"], ["pupil_x_cm", "pupil_y_cm"]),
        (behaviour["CompassDirection"]["pupil_location_spherical"], ["pupil_altitude_deg", "pupil_azimuth_deg"]),
        (behaviour["PupilTracking"]["pupil_size"], ["pupil_area_px"]),
    ):
        signals = [store.signal(session_id, name) for name in names]
        same(np.reshape(series.data[()], (-1, len(names))), np.column_stack([values for values, _ in signals]))
        same(series.timestamps[:], signals[0][1])


def test_stimuli_epochs_and_windows(exported, nwb, tiny_manifest):
    _, store, session_id, _ = exported
    shown = store.presentations_of(session_id)
    assert set(nwb.stimulus) == {"drifting_gratings", "natural_movie_one", "spontaneous_stimulus"}
    columns = {
        "drifting_gratings": {
            "direction_deg": "orientation_in_degrees",
            "temporal_frequency_hz": "temporal_frequency_in_hz",
        },
        "natural_movie_one": {"movie_frame": "movie_frame", "repeat": "repeat"},
        "spontaneous": {},
    }
    for name, renamed in columns.items():
        rows = shown[shown["stimulus"] == name]
        table = nwb.stimulus[name if name in nwb.stimulus else f"{name}_stimulus"].to_dataframe()
        always = {
            "start_s": "start_time",
            "stop_s": "stop_time",
            "start_frame": "start_frame",
            "stop_frame": "stop_frame",
        }
        for ours, theirs in (always | renamed).items():
            same(table[theirs], rows[ours])
    same(
        nwb.stimulus["drifting_gratings"]["is_blank_sweep"][:],
        shown.loc[shown["stimulus"] == "drifting_gratings", "blank"],
    )
    epochs = store.epochs[store.epochs["session_id"] == session_id]
    time_s = store.time_s(session_id)
    table = nwb.epochs.to_dataframe()
    assert table["stimulus_type"].tolist() == epochs["stimulus"].tolist()
    same(table["start_time"], time_s[epochs["start_frame"]])
    windows = nwb.processing["roles"]["windows"].to_dataframe()
    own = tiny_manifest.windows[tiny_manifest.windows["session_id"] == session_id]
    assert windows["role"].tolist() == own["role"].tolist()
    same(windows["start_time"], time_s[own["start_frame"]])


def test_our_own_source_reads_it_back(exported):
    path, store, session_id, _ = exported
    record = read_nwb2(path)
    neurons = store.neurons[store.neurons["session_id"] == session_id]
    meta = store.sessions.iloc[0]
    for name in ("session_id", "donor_id", "container_id", "cre_line", "area", "depth_um", "session_type", "age_days"):
        assert getattr(record.metadata, name) == meta[name], name
    assert record.neurons["neuron_id"].tolist() == neurons["neuron_id"].tolist()
    assert record.neurons["cell_specimen_id"].tolist() == neurons["cell_specimen_id"].tolist()
    same(record.time_s, store.time_s(session_id))
    same(record.read_traces(100, 900), store.traces(session_id)[100:900])
    for one, other in zip(record.masks, store.masks(session_id), strict=True):
        same(one, other)
    shown = store.presentations_of(session_id)
    for name in ("stimulus", "start_frame", "stop_frame", "direction_deg", "movie_frame", "blank"):
        same(record.presentations[name], shown[name], err_msg=name)


def test_what_is_not_known_is_said(store, tmp_path):
    export(select(store, sessions=["gapped"]), "nwb2", tmp_path / "out")
    path = tmp_path / "out" / "gapped.nwb"
    assert pynwb.validate(path=str(path)) == []
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        nwb = io.read()
        assert nwb.session_start_time == datetime(1970, 1, 1, tzinfo=UTC)
        assert "start of the session is unknown" in nwb.session_description
        assert (nwb.subject.age, nwb.subject.sex) == (None, "U")
        assert "behavior" not in nwb.processing
        plane = nwb.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert plane.id[:].tolist() == [0, 1, 2, 3, 4], "one trace is of no cell, so that rows are numbered"
        assert plane["global_roi_id"][:].tolist() == [100, 101, 102, 103, -1]
        assert plane["pixel_mask_index"].data[:].tolist() == [0] * 5
        same(nwb.processing["ophys"]["DfOverF"]["DfOverF"].timestamps[:], store.time_s("gapped"))
