from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import nwb2_writer as writer
from poyodata.simulation.field_of_view import maximum_projection
from poyodata.simulation.nwb2_stimuli import stimulus_epochs
from poyodata.simulation.nwb2_writer import write_nwb2
from poyodata.simulation.recording import SimulatedSession
from tests.simulation.made_session import SESSION_STIMULI, made_session
from tests.simulation.test_allen_writer import file_size_limit

same = np.testing.assert_array_equal


class Written(NamedTuple):
    path: Path
    session: SimulatedSession
    nwb: pynwb.NWBFile


@pytest.fixture(scope="module", params=[pytest.param(name, id=name) for name in SESSION_STIMULI])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """A recording of every session type; that of C has no eye tracking."""
    session = made_session(request.param, seed=3, eye=request.param != "C")
    path = write_nwb2(tmp_path_factory.mktemp("nwb2") / "new" / "one.nwb", session)
    assert [file.name for file in path.parent.iterdir()] == ["one.nwb"]
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        yield Written(path, session, io.read())


@pytest.mark.slow
def test_is_valid(written: Written) -> None:
    assert pynwb.validate(path=str(written.path)) == []


def test_whose_recording_it_is(written: Written) -> None:
    nwb, kind = written.nwb, written.session.metadata.session_type.removeprefix("three_session_")
    assert nwb.session_id == f"900000003-Stim{kind}"
    assert nwb.session_start_time == datetime(2017, 1, 2, 10, tzinfo=UTC)
    assert nwb.session_description == "Simulated calcium imaging; no animal was recorded."
    assert nwb.identifier == "poyodata simulation, session 900000003"
    assert nwb.protocol == f"900000003_{kind}"
    assert nwb.institution == "none: simulated"
    assert nwb.notes.splitlines() == [
        "Container ID: 511510753",
        "Mouse ID (from genotype white paper): 222426",
        f"Session type: three_session_{kind}",
    ]
    subject = nwb.subject
    assert (subject.subject_id, subject.age, subject.sex, subject.species) == ("222426", "P104D", "F", "Mus musculus")
    assert subject.strain == "Cux2-CreERT2;Camk2a-tTA;Ai93-222426"
    assert subject.genotype == "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)"
    assert sorted(nwb.devices) == ["Camera", "Microscope", "StimulusDisplay"]
    plane = nwb.imaging_planes["ImagingPlane"]
    assert (plane.location, plane.indicator, plane.excitation_lambda) == ("VISp", "GCaMP6f", 910.0)
    assert "275 µm" in plane.description
    assert plane.device is nwb.devices["Microscope"]
    assert plane.grid_spacing[:].tolist() == [0.78, 0.78]
    assert (plane.grid_spacing_unit, np.isnan(plane.optical_channel[0].emission_lambda)) == ("micrometers", True)


def test_traces(written: Written) -> None:
    ophys, session = written.nwb.processing["ophys"], written.session
    traces = session.fluorescence
    corrected = traces.demixed - traces.neuropil_r[:, None] * traces.neuropil
    assert sorted(ophys["Fluorescence"].roi_response_series) == ["Corrected", "Demixed", "Neuropil"]
    for series, wanted, unit in (
        (ophys["DfOverF"]["DfOverF"], session.dff, "a.u."),
        (ophys["Fluorescence"]["Corrected"], corrected.astype(np.float32), "n.a."),
        (ophys["Fluorescence"]["Neuropil"], traces.neuropil, "n.a."),
        (ophys["Fluorescence"]["Demixed"], traces.demixed, "n.a."),
    ):
        same(series.data[()], wanted.T, err_msg=series.name)
        assert (series.data.dtype, series.unit) == (np.float32, unit), series.name
        same(series.timestamps[:], session.timeline.time_s)
        same(series.rois.data[:], np.arange(4))
        assert series.rois.table is ophys["ImageSegmentation"]["PlaneSegmentation"]
    ratios = ophys["ContaminationRatios"].to_dataframe()
    same(ratios["ratios"], traces.neuropil_r)
    same(ratios["ratios_rmse"], np.zeros(4))


def test_timestamps_are_stored_once(written: Written) -> None:
    with h5py.File(written.path) as file:
        ophys = file["processing/ophys"]
        links = {
            name: ophys[name].get("timestamps", getlink=True)
            for name in ("DfOverF/DfOverF", "Fluorescence/Neuropil", "Fluorescence/Demixed")
        }
        assert {link.path for link in links.values()} == {"/processing/ophys/Fluorescence/Corrected/timestamps"}


def test_regions(written: Written) -> None:
    ophys, rois = written.nwb.processing["ophys"], written.session.rois
    plane = ophys["ImageSegmentation"]["PlaneSegmentation"]
    assert plane.imaging_plane is written.nwb.imaging_planes["ImagingPlane"]
    same(plane.id[:], rois.cell_specimen_id)
    same(plane["global_roi_id"][:], rois.cell_specimen_id)
    assert list(plane["exclusion_label"][:]) == ["", "duplicate", "", ""]
    for index, pixels in enumerate(rois.pixels):
        mask = plane["pixel_mask"][index]
        # As in the released files: the row stands in x, the column in y.
        same([row for row, _, _ in mask], pixels[:, 1])
        same([column for _, column, _ in mask], pixels[:, 0])
        assert {float(weight) for _, _, weight in mask} == {1.0}
    same(ophys["SummaryImages"]["maximum_intensity_projection"].data[()], maximum_projection(written.session))


def test_behaviour(written: Written) -> None:
    behaviour, seen = written.nwb.processing["behavior"], written.session.behaviour
    running = behaviour["BehavioralTimeSeries"]["running_speed"]
    same(running.data[:], seen.running_speed)
    same(running.timestamps[:], seen.running_time_s)
    assert running.unit == "cm/s"
    if seen.eye is None:
        assert list(behaviour.data_interfaces) == ["BehavioralTimeSeries"]
        return
    for series, wanted, unit, conversion in (
        (behaviour["EyeTracking"]["pupil_location"], seen.eye.location_cm, "m", 0.01),
        (behaviour["CompassDirection"]["pupil_location_spherical"], seen.eye.location_deg, "degrees", 1.0),
        (behaviour["PupilTracking"]["pupil_size"], seen.eye.area_px, "px", 1.0),
    ):
        same(series.data[()], wanted)
        same(series.timestamps[:], seen.eye.time_s)
        assert (series.unit, series.conversion) == (unit, conversion), series.name


def test_every_stimulus_is_there(written: Written) -> None:
    names = {"drifting_gratings", "static_gratings"}
    shown = written.session.timeline.tables
    assert set(written.nwb.stimulus) == {name if name in names else f"{name}_stimulus" for name in shown}
    assert set(written.nwb.stimulus_template) == {
        name if name.startswith("natural_movie") else f"{name}_template" for name in written.session.templates
    }


def test_gratings_and_grey_are_intervals(written: Written) -> None:
    tables, time_s = written.session.timeline.tables, written.session.timeline.time_s
    grey = written.nwb.stimulus["spontaneous_stimulus"].to_dataframe()
    same(grey["start_time"], time_s[tables["spontaneous"]["start"]])
    same(grey["stop_time"], time_s[tables["spontaneous"]["end"]])
    assert list(grey) == ["start_time", "stop_time"]
    for name, duration_s, columns in (
        ("drifting_gratings", 2.0, {"temporal_frequency": "temporal_frequency_in_hz"}),
        ("static_gratings", 0.25, {"spatial_frequency": "spatial_frequency_in_cycles_per_degree", "phase": "phase"}),
    ):
        if name not in tables:
            continue
        stored, table = written.nwb.stimulus[name].to_dataframe(), tables[name]
        assert len(stored) == len(table) > 3
        same(stored["start_time"], time_s[table["start"]])
        same(stored["stop_time"], time_s[table["start"]] + duration_s)
        for ours, theirs in {"orientation": "orientation_in_degrees", **columns}.items():
            same(stored[theirs], table[ours])
        assert stored["is_blank_sweep"].dtype == bool
        same(stored["is_blank_sweep"], np.arange(len(table)) == 0)
        if name == "drifting_gratings":
            assert (stored["spatial_frequency_in_cycles_per_degree"] == 0.04).all()


def test_images_and_movies_are_shown_by_index(written: Written) -> None:
    prefix = {"natural_scenes": "NaturalScene"}
    for name, template in written.session.templates.items():
        table, series = written.session.timeline.tables[name], written.nwb.stimulus[f"{name}_stimulus"]
        same(series.timestamps[:], written.session.timeline.time_s[table["start"]])
        assert series.data.dtype == np.uint32
        same(series.data[:].astype(np.int32), table["frame"])
        if name.startswith("natural_movie"):
            assert series.indexed_timeseries is written.nwb.stimulus_template[name]
            same(series.indexed_timeseries.data[()], template)
            assert np.isnan([series.indexed_timeseries.rate, series.indexed_timeseries.starting_time]).all()
            assert series.indexed_timeseries.device is written.nwb.devices["StimulusDisplay"]
        else:
            images = series.indexed_images
            assert images is written.nwb.stimulus_template[f"{name}_template"]
            assert len(images.images) == len(template)
            for index, frame in enumerate(template):
                same(images[f"{prefix.get(name, 'LocallySparseImage')}{index}"].data[()], frame)
    if "natural_scenes" in written.session.templates:
        assert written.nwb.stimulus["natural_scenes_stimulus"].data[0] == 2**32 - 1


def test_epochs(written: Written) -> None:
    epochs, session = written.nwb.epochs.to_dataframe(), written.session
    wanted = [
        (name, session.timeline.time_s[table["start"].iloc[0]], session.timeline.time_s[table["end"].iloc[-1]])
        for name, table in session.timeline.tables.items()
    ]
    assert list(epochs[["stimulus_type", "start_time", "stop_time"]].itertuples(index=False, name=None)) == wanted


@pytest.mark.parametrize(
    ("kind", "pause", "count"),
    [
        pytest.param("A", 39, 1, id="A-within"),
        pytest.param("A", 40, 2, id="A-cut"),
        pytest.param("B", 15, 1, id="B-within"),
        pytest.param("B", 16, 2, id="B-cut"),
        pytest.param("C2", 7, 1, id="C2-within"),
        pytest.param("C2", 8, 2, id="C2-cut"),
    ],
)
def test_epochs_are_cut_where_the_stimulus_pauses(kind: str, pause: int, count: int) -> None:
    session = made_session(kind)
    table = pd.DataFrame({"frame": [0, 1, 0], "start": [300, 301, 302 + pause], "end": [301, 302, 310 + pause]})
    grey = pd.DataFrame({"start": [10, 590], "end": [200, 600]})
    timeline = dataclasses.replace(session.timeline, tables={"spontaneous": grey, "natural_movie_one": table})
    epochs = stimulus_epochs(dataclasses.replace(session, timeline=timeline))
    movie = [(300, 310 + pause)] if count == 1 else [(300, 302), (302 + pause, 310 + pause)]
    assert epochs[["start", "end"]].to_numpy().tolist() == [[10, 200], *map(list, movie), [590, 600]]
    assert epochs["stimulus"].tolist() == ["spontaneous", *["natural_movie_one"] * count, "spontaneous"]


def test_traces_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_BLOCK_BYTES", 4 * 4 * 77)
    session = made_session("A")
    with h5py.File(write_nwb2(tmp_path / "one.nwb", session)) as file:
        stored = file["processing/ophys/DfOverF/DfOverF/data"]
        assert stored.chunks == (77, 4)
        same(stored[()], session.dff.T)


def test_one_neuron_and_no_stimuli(tmp_path: Path) -> None:
    session = made_session("A", neurons=1)
    session = dataclasses.replace(session, timeline=dataclasses.replace(session.timeline, tables={}), templates={})
    with h5py.File(write_nwb2(tmp_path / "one.nwb", session)) as file:
        assert file["processing/ophys/DfOverF/DfOverF/data"].shape == (600, 1)


def test_grey_to_the_last_frame(tmp_path: Path) -> None:
    session = made_session("A")
    session.timeline.tables["spontaneous"]["end"] = session.timeline.n_frames
    with h5py.File(write_nwb2(tmp_path / "one.nwb", session)) as file:
        assert file["stimulus/presentation/spontaneous_stimulus/stop_time"][0] == session.timeline.time_s[-1]
        assert file["intervals/epochs/stop_time"][-1] == session.timeline.time_s[-1]


def test_stimulus_without_its_template(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shows natural_movie_one but has no template"):
        write_nwb2(tmp_path / "one.nwb", dataclasses.replace(made_session("A"), templates={}))
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_up(tmp_path: Path) -> None:
    with file_size_limit(100_000), pytest.raises(UsageError, match=r"one\.nwb cannot be written \(.*too large\)"):
        write_nwb2(tmp_path / "one.nwb", made_session("A"))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_midway_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # The traces are read while the file is written.
    monkeypatch.setattr("hdmf.data_utils.GenericDataChunkIterator.__next__", fail)
    path = tmp_path / "one.nwb"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_nwb2(path, made_session("A"))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


@pytest.mark.slow
def test_pynwb_is_imported_only_to_write() -> None:
    code = "import sys, poyodata.simulation.nwb2_writer; sys.exit('pynwb' in sys.modules or 'hdmf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
