from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.simulation.recording import SimulatedSession
from poyodata.sources import read_allen_nwb
from poyodata.sources.allen_behaviour import read_signals

MOTION = "MotionCorrection/2p_image_series"
RUNNING = "BehavioralTimeSeries/running_speed"
SPHERICAL = "EyeTracking/pupil_location_spherical"
CLOCK = np.array([0.0, 1.0])


@pytest.fixture
def file() -> Iterator[h5py.File]:
    with h5py.File("memory", "w", driver="core", backing_store=False) as memory:
        yield memory


def put(file: h5py.File, name: str, data: object, time_s: object, **further: object) -> None:
    group = file.create_group(f"p/{name}")
    for part, values in {"data": data, "timestamps": time_s, **further}.items():
        group[part] = values


def test_signals_of_a_whole_file(made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    session, path = made("A")
    seen, eye, signals = session.behaviour, session.behaviour.eye, read_allen_nwb(path).signals
    assert eye is not None
    expected = {
        "running_speed": (seen.running_speed, seen.running_time_s, "cm/s"),
        "pupil_altitude_deg": (eye.location_deg[:, 0], eye.time_s, "deg"),
        "pupil_azimuth_deg": (eye.location_deg[:, 1], eye.time_s, "deg"),
        "pupil_x_cm": (eye.location_cm[:, 0], eye.time_s, "cm"),
        "pupil_y_cm": (eye.location_cm[:, 1], eye.time_s, "cm"),
        "pupil_area_px": (eye.area_px, eye.time_s, "px"),
        "motion_x_px": (seen.motion_px[:, 0], session.timeline.time_s, "px"),
        "motion_y_px": (seen.motion_px[:, 1], session.timeline.time_s, "px"),
    }
    assert list(signals) == list(expected)
    for name, (values, time_s, unit) in expected.items():
        assert signals[name].values.dtype == signals[name].time_s.dtype == np.float64
        np.testing.assert_array_equal(signals[name].values, values, err_msg=name)
        np.testing.assert_array_equal(signals[name].time_s, time_s, err_msg=name)
        assert signals[name].unit == unit
    assert np.isnan(signals["pupil_area_px"].values).sum() == 6  # a blink stays one


@pytest.mark.parametrize("name", ["xy_translation", "xy_translations"])
@pytest.mark.parametrize(
    ("described", "x"),
    [
        pytest.param({}, [1.0, 3.0], id="undescribed"),
        pytest.param({"feature_description": np.array([b"x_motion", b"y_motion"])}, [1.0, 3.0], id="x_first"),
        pytest.param({"feature_description": np.array([b"y_motion", b"x_motion"])}, [2.0, 4.0], id="y_first"),
    ],
)
def test_motion(file: h5py.File, name: str, described: dict[str, object], x: list[float]) -> None:
    put(file, f"{MOTION}/{name}", [[1, 2], [3, 4]], [0.0, 0.1], **described)
    signals = read_signals(file, "p", CLOCK)
    assert sorted(signals) == ["motion_x_px", "motion_y_px"]
    assert signals["motion_x_px"].values.tolist() == x


@pytest.mark.parametrize(
    ("data", "time_s"),
    [
        pytest.param([1.0, 2.0], [0.0, 0.1], id="flat"),
        pytest.param([[1.0], [2.0]], [0.0, 0.1], id="column"),
        pytest.param([[1.0], [2.0]], [[0.0], [0.1]], id="columns"),
        pytest.param(np.array([1, 2], np.int16), [0.0, 0.1], id="integers"),
    ],
)
def test_running_however_it_lies(file: h5py.File, data: object, time_s: object) -> None:
    put(file, RUNNING, data, time_s)
    running = read_signals(file, "p", CLOCK)["running_speed"]
    assert running.values.tolist() == [1.0, 2.0]
    assert running.time_s.tolist() == [0.0, 0.1]


@pytest.mark.parametrize(
    ("name", "left"),
    [
        (RUNNING, 7),
        (SPHERICAL, 6),
        ("EyeTracking/pupil_location", 6),
        ("EyeTracking", 4),
        ("PupilTracking", 7),
        ("MotionCorrection", 6),
        (f"{RUNNING}/data", 7),
    ],
)
def test_what_is_missing_is_left_out(name: str, left: int, edited: Callable[..., Path]) -> None:
    def remove(file: h5py.File) -> None:
        del file[f"processing/brain_observatory_pipeline/{name}"]

    assert len(read_allen_nwb(edited(remove)).signals) == left


@pytest.mark.parametrize(
    ("name", "data", "parts", "message"),
    [
        pytest.param(RUNNING, [1.0, 2.0], {}, "running_speed has no timestamps", id="no_clock"),
        pytest.param(
            RUNNING, [1.0, 2.0], {"timestamps": [0.0]}, r"shape \(2,\) and 1 timestamps; \(1, 1\)", id="short_clock"
        ),
        pytest.param(
            SPHERICAL,
            [1.0, 2.0],
            {"timestamps": [0.0, 0.1]},
            r"shape \(2,\) and 2 timestamps; \(2, 2\)",
            id="no_azimuth",
        ),
    ],
)
def test_bad_signals(file: h5py.File, name: str, data: object, parts: dict[str, object], message: str) -> None:
    file[f"p/{name}/data"] = data
    for part, values in parts.items():
        file[f"p/{name}/{part}"] = values
    with pytest.raises(SourceError, match=message):
        read_signals(file, "p", CLOCK)


@pytest.mark.parametrize(
    ("time_s", "message"),
    [
        pytest.param([0.0, np.nan, 0.2], "never go back; it fails at sample 1", id="nan"),
        pytest.param([0.0, 0.1, np.inf], "never go back; it fails at sample 2", id="infinite"),
        pytest.param([0.0, 0.2, 0.1], "never go back; it fails at sample 2", id="negative_step"),
        pytest.param([0.0, 0.1, 1e9], r"has 1e\+09 s, more than a day from .*, which goes from 0 to 1 s", id="far"),
        pytest.param([-1e9, 0.1, 0.2], r"has -1e\+09 s, more than a day", id="long_before"),
    ],
)
@pytest.mark.parametrize("name", [RUNNING, "PupilTracking/pupil_size", f"{MOTION}/xy_translation"])
def test_a_clock_that_is_none(file: h5py.File, name: str, time_s: list[float], message: str) -> None:
    put(file, name, np.zeros((3, 2)), time_s)
    with pytest.raises(SourceError, match=f"p/{name}/timestamps .*{message}"):
        read_signals(file, "p", CLOCK)


def test_times_may_repeat_and_begin_before_the_traces(file: h5py.File) -> None:
    put(file, RUNNING, [np.nan, 1.0, 2.0], [-5.0, 0.1, 0.1])
    running = read_signals(file, "p", CLOCK)["running_speed"]
    assert running.time_s.tolist() == [-5.0, 0.1, 0.1]
    assert np.isnan(running.values[0])
