from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.simulation import World, load_world, simulate_session
from poyodata.sources import SessionRecord, read_allen_nwb

DFF = "processing/brain_observatory_pipeline/DfOverF/imaging_plane_1"
GRATINGS = "stimulus/presentation/drifting_gratings_stimulus"
GENOTYPE = "general/subject/genotype"


@pytest.fixture(scope="module")
def world() -> World:
    return load_world("tiny").replace(seed=7)


@pytest.fixture(scope="module")
def record(tiny_folder: Path) -> SessionRecord:
    return read_allen_nwb(tiny_folder / "900000001.nwb")


@pytest.fixture
def edited(tiny_folder: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], None]], Path]:
    def edit(change: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "edited.nwb"
        shutil.copy(tiny_folder / "900000001.nwb", path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


def test_what_was_written_is_read(record: SessionRecord, world: World) -> None:
    session, truth = simulate_session(world, 1)
    np.testing.assert_array_equal(np.concatenate(list(record.blocks(1000))), session.dff.T)
    np.testing.assert_array_equal(record.time_s, session.timeline.time_s)
    assert record.metadata == session.metadata
    assert record.neurons["cell_specimen_id"].tolist() == truth["cell_specimen_id"].tolist()
    assert record.neurons["roi_id"].tolist() == truth["roi_id"].tolist()
    assert record.neurons["neuron_id"][0] == f"900000001_{truth['cell_specimen_id'][0]}"
    # The mask has whole pixels, the truth has not: half a pixel of 0.78 um.
    np.testing.assert_allclose(record.neurons["x_um"], truth["x_um"], atol=0.4)
    np.testing.assert_allclose(record.neurons["y_um"], truth["y_um"], atol=0.4)
    running = record.signals["running_speed"]
    np.testing.assert_array_equal(running.values, session.running_speed)
    np.testing.assert_array_equal(running.time_s, session.timeline.time_s)
    assert running.unit == "cm/s"
    np.testing.assert_array_equal(record.templates["natural_movie_one"](), session.movie)


def test_gratings(record: SessionRecord, world: World) -> None:
    session, _ = simulate_session(world, 1)
    written, table = session.timeline.gratings, record.presentations
    table = table[table["stimulus"] == "drifting_gratings"]
    for column, name in {
        "start_frame": "start",
        "stop_frame": "end",
        "direction_deg": "orientation",
        "temporal_frequency_hz": "temporal_frequency",
        "blank": "blank_sweep",
    }.items():
        np.testing.assert_array_equal(table[column].to_numpy(float), written[name].to_numpy(float))
    assert table["trial"].tolist() == list(range(51))
    assert table["blank"].sum() == 2
    assert (table["movie_frame"] == -1).all()
    np.testing.assert_array_equal(table["start_s"], session.timeline.time_s[written["start"]])
    assert (table["stop_s"] - table["start_s"]).between(1.95, 2.05).all()


def test_movie_and_grey(record: SessionRecord, world: World) -> None:
    table = record.presentations
    movie = table[table["stimulus"] == "natural_movie_one"]
    assert movie["movie_frame"].tolist() == list(range(10)) * 4
    assert movie["repeat"].tolist() == np.repeat(range(4), 10).tolist()
    assert (movie["stop_frame"] > movie["start_frame"]).all()
    session, _ = simulate_session(world, 1)
    grey = table[table["stimulus"] == "spontaneous"]
    assert grey[["start_frame", "stop_frame"]].to_numpy().tolist() == session.timeline.spontaneous.to_numpy().tolist()
    assert list(dict.fromkeys(zip(table["epoch"], table["stimulus"], strict=True))) == [
        (0, "drifting_gratings"),
        (1, "natural_movie_one"),
        (2, "drifting_gratings"),
        (3, "spontaneous"),
        (4, "drifting_gratings"),
    ]


def test_gap_in_the_clock_is_a_segment(edited: Callable[..., Path]) -> None:
    def drop(file: h5py.File) -> None:
        file[f"{DFF}/timestamps"][2000:] += 5.0

    assert read_allen_nwb(edited(drop)).segments[0].tolist() == [0, 2000]


def test_early_layouts(edited: Callable[..., Path]) -> None:
    """Running as one column, the stimulus group without its suffix, masks as pixels only, age as P123."""

    def age_file(file: h5py.File) -> None:
        running = file["processing/brain_observatory_pipeline/BehavioralTimeSeries/running_speed"]
        values = running["data"][()]
        del running["data"]
        running["data"] = values[:, None]
        file.move(GRATINGS, "stimulus/presentation/drifting_gratings")
        del file["general/subject/age"]
        file["general/subject/age"] = np.bytes_(b"P123")
        masks = file["processing/brain_observatory_pipeline/ImageSegmentation/imaging_plane_1"]
        for name in masks["roi_list"][()]:
            del masks[name]["pix_mask"]

    record = read_allen_nwb(edited(age_file))
    assert record.signals["running_speed"].values.ndim == 1
    assert (record.presentations["stimulus"] == "drifting_gratings").sum() == 51
    assert record.metadata.age_days == 123.0
    assert record.neurons["x_um"].between(0, 400).all()


def test_movie_frame_without_length_keeps_one_frame(edited: Callable[..., Path]) -> None:
    def shorten(file: h5py.File) -> None:
        frames = file["stimulus/presentation/natural_movie_one_stimulus/frame_duration"]
        frames[3, 1] = frames[3, 0]

    movie = read_allen_nwb(edited(shorten)).presentations.query("stimulus == 'natural_movie_one'")
    assert movie["stop_frame"].iloc[3] == movie["start_frame"].iloc[3] + 1


def rewrite(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


def remove(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            rewrite(GENOTYPE, np.bytes_(b"Ssst-IRES-Cre/wt")),
            "unknown CRE line 'Ssst-IRES-Cre/wt': did you mean 'Sst-IRES-Cre'",
            id="unknown_line",
        ),
        pytest.param(
            rewrite("general/specimen_name", np.bytes_(b"mouse")), "must end in the donor's number", id="no_donor"
        ),
        pytest.param(
            rewrite("nwb_version", np.bytes_(b"2.2.5")),
            "is an NWB 2.2.5 file; this source reads the NWB 1.0",
            id="nwb_2",
        ),
        pytest.param(
            remove(f"{DFF}/data"),
            "not one of the Allen Brain Observatory: it has no processing/.*DfOverF",
            id="no_traces",
        ),
        pytest.param(remove("general"), "it has no general/session_id.*and 3 more", id="no_metadata"),
        pytest.param(
            rewrite(f"{DFF}/timestamps", np.arange(10.0)),
            r"12 cell specimen ids and 10 timestamps",
            id="clock_too_short",
        ),
        pytest.param(
            rewrite(f"{DFF}/data", np.zeros((100, 12))), "a \\(neuron, time\\) array was expected", id="transposed"
        ),
        pytest.param(remove(f"{GRATINGS}/frame_duration"), "has no frame_duration", id="no_frames"),
        pytest.param(remove(f"{GRATINGS}/features"), "has the features none", id="no_features"),
        pytest.param(
            rewrite(f"{GRATINGS}/frame_duration", np.full((51, 2), 10**6)),
            "row 0 of drifting_gratings spans frames 1000000",
            id="beyond_the_end",
        ),
        pytest.param(
            rewrite("stimulus/presentation/spontaneous_stimulus/data", np.array([1, 1])),
            "2 starts and 0 ends",
            id="grey_never_ends",
        ),
    ],
)
def test_bad_file(change: Callable[[h5py.File], None], message: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_allen_nwb(edited(change))
    assert str(caught.value).count("edited.nwb") == 1


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated_file(share: float, tiny_folder: Path, tmp_path: Path) -> None:
    whole = (tiny_folder / "900000001.nwb").read_bytes()
    path = tmp_path / "cut.nwb"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=r"cut.nwb is a truncated or damaged HDF5 file"):
        read_allen_nwb(path)


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone.nwb does not exist"):
        read_allen_nwb(tmp_path / "gone.nwb")
    (tmp_path / "text.nwb").write_text("hello")
    with pytest.raises(SourceError, match=r"text.nwb is not an HDF5 file"):
        read_allen_nwb(tmp_path / "text.nwb")
    with h5py.File(tmp_path / "plain.nwb", "w") as file:
        file["x"] = 1
    with pytest.raises(SourceError, match=r"is an HDF5 file but not one of the Allen Brain Observatory"):
        read_allen_nwb(tmp_path / "plain.nwb")
