"""Stimulus tables and templates against expectations written by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import SourceError
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.simulation.recording import SimulatedSession
from poyodata.sources import read_allen_nwb
from poyodata.sources.allen_stimuli import find_templates, read_presentations
from poyodata.sources.record import PRESENTATION_COLUMNS
from poyodata.vocabulary import STIMULI
from tests.simulation.made_session import TEMPLATE_SHAPES, made_session

TIME_S = np.arange(500) / 30.0
NAN = float("nan")
MEANINGLESS = {
    "blank": False,
    "direction_deg": NAN,
    "temporal_frequency_hz": NAN,
    "orientation_deg": NAN,
    "spatial_frequency_cpd": NAN,
    "phase": NAN,
    "image": -1,
    "movie_frame": -1,
    "repeat": -1,
}


@pytest.fixture
def file() -> Iterator[h5py.File]:
    with h5py.File("memory", "w", driver="core", backing_store=False) as memory:
        yield memory


def put(file: h5py.File, name: str, data: Any, frames: Any, features: tuple[str, ...] = ()) -> None:
    group = file.create_group(f"stimulus/presentation/{name}")
    group["data"], group["frame_duration"] = data, frames
    if features:
        group["features"] = np.array([feature.encode() for feature in features])


TABLES = [
    pytest.param(
        "drifting_gratings",
        # Early files have 0 instead of NaN where nothing was shown.
        [[1, 45, 0], [0, 0, 1], [15, 270, 0]],
        [[30, 90], [120, 180], [210, 270.0]],
        ("temporal_frequency", "orientation", "blank_sweep"),
        [
            {"start_frame": 30, "stop_frame": 90, "temporal_frequency_hz": 1.0, "direction_deg": 45.0},
            {"start_frame": 120, "stop_frame": 180, "blank": True},
            {"start_frame": 210, "stop_frame": 270, "temporal_frequency_hz": 15.0, "direction_deg": 270.0},
        ],
        id="drifting_gratings",
    ),
    pytest.param(
        "static_gratings",
        [[150, 0.02, 0.75], [NAN, NAN, NAN]],
        [[10, 17], [18, 25]],
        ("orientation", "spatial_frequency", "phase"),
        [
            {
                "start_frame": 10,
                "stop_frame": 17,
                "orientation_deg": 150.0,
                "spatial_frequency_cpd": 0.02,
                "phase": 0.75,
            },
            {"start_frame": 18, "stop_frame": 25, "blank": True},
        ],
        id="static_gratings",
    ),
    pytest.param(
        "static_gratings",
        [[0, 0.04, 0, 0], [0, 0, 0, 1]],
        [[10, 17], [18, 25]],
        ("orientation", "spatial_frequency", "phase", "blank_sweep"),
        [
            {"start_frame": 10, "stop_frame": 17, "orientation_deg": 0.0, "spatial_frequency_cpd": 0.04, "phase": 0.0},
            {"start_frame": 18, "stop_frame": 25, "blank": True},
        ],
        id="static_gratings_with_a_flag",
    ),
    pytest.param(
        "natural_scenes",
        [81, -1, 33],
        [[16, 23], [24, 31], [31, 38]],
        (),
        [
            {"start_frame": 16, "stop_frame": 23, "image": 81},
            {"start_frame": 24, "stop_frame": 31, "blank": True},
            {"start_frame": 31, "stop_frame": 38, "image": 33},
        ],
        id="natural_scenes",
    ),
    *(
        pytest.param(
            name,
            np.array([[7], [0]], np.int16),
            [[5, 12], [12, 20]],
            (),
            [
                {"start_frame": 5, "stop_frame": 12, "image": 7},
                {"start_frame": 12, "stop_frame": 20, "image": 0},
            ],
            id=name,
        )
        for name in ("locally_sparse_noise", "locally_sparse_noise_4deg", "locally_sparse_noise_8deg")
    ),
    *(
        pytest.param(
            name,
            [0, 1, 2, 0, 1, 2],
            # Two frames of the movie within one imaging frame: the rows stand in disorder.
            [[10, 11], [11, 11], [11, 12], [13, 14], [12, 13], [14, 15]],
            (),
            [
                {"start_frame": 10, "stop_frame": 11, "movie_frame": 0, "repeat": 0},
                {"start_frame": 11, "stop_frame": 12, "movie_frame": 1, "repeat": 0},
                {"start_frame": 11, "stop_frame": 12, "movie_frame": 2, "repeat": 0},
                {"start_frame": 12, "stop_frame": 13, "movie_frame": 1, "repeat": 1},
                {"start_frame": 13, "stop_frame": 14, "movie_frame": 0, "repeat": 1},
                {"start_frame": 14, "stop_frame": 15, "movie_frame": 2, "repeat": 1},
            ],
            id=name,
        )
        for name in ("natural_movie_one", "natural_movie_two", "natural_movie_three")
    ),
    pytest.param(
        "natural_movie_two",
        [0, 1, 2, 0, 1],
        [[10, 11], [11, 12], [12, 13], [13, 14], [14, 15]],
        (),
        [
            {"start_frame": 10, "stop_frame": 11, "movie_frame": 0, "repeat": 0},
            {"start_frame": 11, "stop_frame": 12, "movie_frame": 1, "repeat": 0},
            {"start_frame": 12, "stop_frame": 13, "movie_frame": 2, "repeat": 0},
            {"start_frame": 13, "stop_frame": 14, "movie_frame": 0, "repeat": 1},
            {"start_frame": 14, "stop_frame": 15, "movie_frame": 1, "repeat": 1},
        ],
        id="movie_that_broke_off",  # AllenSDK asserts
    ),
    pytest.param(
        "spontaneous",
        np.array([1, -1, 1, -1], np.int8),
        [[100, 100], [200, 200], [20, 20], [90, 90]],
        (),
        [{"start_frame": 20, "stop_frame": 90}, {"start_frame": 100, "stop_frame": 200}],
        id="spontaneous",
    ),
    pytest.param(
        "looming_disc",
        [3, 4],
        [[5, 12], [12, 20]],
        (),
        [{"start_frame": 5, "stop_frame": 12}, {"start_frame": 12, "stop_frame": 20}],
        id="another_stimulus",
    ),
]


@pytest.mark.parametrize("ending", ["_stimulus", ""])
@pytest.mark.parametrize(("name", "data", "frames", "features", "expected"), TABLES)
def test_tables(
    file: h5py.File,
    name: str,
    data: Any,
    frames: Any,
    features: tuple[str, ...],
    expected: list[dict[str, Any]],
    ending: str,
) -> None:
    put(file, name + ending, data, frames, features)
    table = read_presentations(file, TIME_S)
    assert {column: str(table[column].dtype) for column in table} == dict(PRESENTATION_COLUMNS)
    assert table["stimulus"].tolist() == [name] * len(expected)
    assert table["trial"].tolist() == list(range(len(expected)))
    rows = [MEANINGLESS | row for row in expected]
    for column in ("start_frame", "stop_frame", *MEANINGLESS):
        np.testing.assert_array_equal(table[column], [row[column] for row in rows], err_msg=column)
    np.testing.assert_array_equal(table["start_s"], TIME_S[table["start_frame"]])
    np.testing.assert_allclose(table["stop_s"], TIME_S[table["stop_frame"]])


@pytest.mark.parametrize("session_type", ["A", "B", "C", "C2"])
def test_tables_of_whole_files(session_type: str, made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    session, path = made(session_type)
    table = read_allen_nwb(path).presentations
    assert set(table["stimulus"]) == set(session.timeline.tables)
    names = {
        "temporal_frequency": "temporal_frequency_hz",
        "blank_sweep": "blank",
        "spatial_frequency": "spatial_frequency_cpd",
        "phase": "phase",
        "start": "start_frame",
    }
    for stimulus, written in session.timeline.tables.items():
        read = table[table["stimulus"] == stimulus]
        own = {
            "orientation": "direction_deg" if stimulus == "drifting_gratings" else "orientation_deg",
            "frame": "movie_frame" if stimulus.startswith("natural_movie") else "image",
        }
        for column in set(written) - {"end"}:
            np.testing.assert_array_equal(
                read[(names | own)[column]].to_numpy(float),
                written[column].to_numpy(float),
                err_msg=f"{stimulus} {column}",
            )
        # A presentation within one imaging frame gets that frame.
        stop = np.maximum(written["end"], written["start"] + 1)
        np.testing.assert_array_equal(read["stop_frame"], stop, err_msg=stimulus)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_stimulus_is_lost(data: st.DataObject) -> None:
    """Whatever is shown, in whatever order the rows stand, every row comes in under its stimulus."""
    shown = data.draw(st.lists(st.sampled_from([*STIMULI, "plaids"]), unique=True))
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        expected = {}
        for stimulus in shown:
            starts = data.draw(st.lists(st.integers(0, 490), min_size=1, max_size=12))
            frames = np.array([[start, start + data.draw(st.integers(0, 9))] for start in starts])
            values: Any = data.draw(
                st.lists(st.integers(-1, 5), min_size=len(starts), max_size=len(starts)), label="data"
            )
            features: tuple[str, ...] = ()
            if stimulus == "spontaneous":
                frames = np.repeat(np.array(sorted(starts * 2)), 2).reshape(-1, 2)
                values = np.tile([1, -1], len(starts))
                expected[stimulus] = sorted(frames[::2, 0].tolist())
            else:
                expected[stimulus] = sorted(starts)
            if stimulus == "drifting_gratings":
                features = ("orientation", "temporal_frequency", "blank_sweep")
            elif stimulus == "static_gratings":
                features = ("phase", "orientation", "spatial_frequency")
            if features:
                values = np.repeat(np.array(values, float)[:, None], 3, axis=1)
            if stimulus == "static_gratings":
                values[:, 0] = values[:, 0] % 4 / 4  # phases are shares of a cycle
            put(file, stimulus + data.draw(st.sampled_from(["", "_stimulus"])), values, frames, features)
        table = read_presentations(file, TIME_S)
    assert {name: rows["start_frame"].tolist() for name, rows in table.groupby("stimulus")} == expected
    assert table["start_frame"].is_monotonic_increasing
    assert (table["stop_frame"] > table["start_frame"]).all()
    assert table.groupby("epoch")["stimulus"].nunique().eq(1).all()


GRATING_FEATURES = ("temporal_frequency", "orientation", "blank_sweep")
BAD = [
    pytest.param(
        lambda f: put(f, "natural_scenes_stimulus", [1, 2], [[0, 7]]),
        "one row of data and two frames",
        id="too_few_rows",
    ),
    pytest.param(
        lambda f: put(f, "natural_scenes_stimulus", [1], [[0, 7, 9]]),
        "one row of data and two frames",
        id="three_frames",
    ),
    pytest.param(
        lambda f: put(f, "static_gratings_stimulus", [[1, 2, 3]], [[0, 7]]),
        "has the features none for 3",
        id="no_features",
    ),
    pytest.param(
        lambda f: put(f, "static_gratings_stimulus", [1.0], [[0, 7]], GRATING_FEATURES),
        r"for 1 columns; orientation, spatial_frequency and phase were expected",
        id="one_column",
    ),
    pytest.param(
        lambda f: put(f, "drifting_gratings_stimulus", [[1, 2]], [[0, 7]], GRATING_FEATURES),
        "has the features temporal_frequency, orientation, blank_sweep for 2 columns",
        id="two_columns",
    ),
    pytest.param(
        lambda f: put(f, "spontaneous_stimulus", [1, 1], [[0, 0], [5, 5]]), "2 starts and 0 ends", id="never_ends"
    ),
    pytest.param(
        lambda f: put(f, "plaids_stimulus", [1], [[490, 501]]), "row 0 of plaids spans frames 490 to 501", id="beyond"
    ),
    pytest.param(
        lambda f: put(f, "plaids_stimulus", [1], [[49, 48]]), "row 0 of plaids spans frames 49 to 48", id="backwards"
    ),
    pytest.param(
        lambda f: f.create_group("stimulus/presentation/plaids"), "has no data and no frame_duration", id="empty_group"
    ),
    pytest.param(
        lambda f: (put(f, "plaids", [1], [[1, 2]]), put(f, "plaids_stimulus", [1], [[1, 2]])),
        "two tables of plaids",
        id="twice",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_tables(file: h5py.File, change: Callable[[h5py.File], Any], message: str) -> None:
    change(file)
    with pytest.raises(SourceError, match=message):
        read_presentations(file, TIME_S)


def test_a_table_under_two_names_is_read_once(file: h5py.File) -> None:
    put(file, "natural_scenes_stimulus", [1], [[1, 2]])
    file["stimulus/presentation/natural_scenes"] = h5py.SoftLink("/stimulus/presentation/natural_scenes_stimulus")
    assert len(read_presentations(file, TIME_S)) == 1


def test_no_stimuli_at_all(file: h5py.File) -> None:
    assert len(read_presentations(file, TIME_S)) == 0
    assert find_templates(file, Path("memory")) == {}


@pytest.mark.parametrize("templates", ["inside", "linked"])
@pytest.mark.parametrize("session_type", ["A", "B", "C", "C2"])
def test_templates(session_type: str, templates: Any, tmp_path: Path) -> None:
    session = made_session(session_type)
    path = write_allen_nwb(tmp_path / "a.nwb", session, templates=templates)
    record = read_allen_nwb(path)
    assert set(record.templates) == set(TEMPLATE_SHAPES) & set(session.timeline.tables)
    for stimulus, frames in session.templates.items():
        read = record.templates[stimulus]()
        assert read.shape == frames.shape
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, frames)


def test_linked_templates_that_stayed_behind(tmp_path: Path) -> None:
    path = write_allen_nwb(tmp_path / "there" / "a.nwb", made_session("B"), templates="linked")
    moved = tmp_path / "a.nwb"
    shutil.copy(path, moved)
    with pytest.raises(SourceError, match=r"a\.nwb: .*lies in another file, templates\.h5, which is not there; put"):
        read_allen_nwb(moved)
    with h5py.File(tmp_path / "templates.h5", "w") as other:
        other["unrelated"] = 1
    with pytest.raises(SourceError, match=r"templates\.h5, which has no '/natural_movie_one_image_stack'"):
        read_allen_nwb(moved)
