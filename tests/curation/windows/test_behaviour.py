from __future__ import annotations

import numpy as np
import pytest

from poyodata.curation.windows.behaviour import Behaviour
from poyodata.errors import UsageError
from poyodata.store.signals import mean_within


class Walker:
    """A recording of ten frames a second, in which the mouse runs as fast as the frame's number says."""

    def __init__(self, **signals: np.ndarray) -> None:
        self.signals, self.asked = signals, []

    def time_s(self, session_id: str) -> np.ndarray:
        return 100.0 + np.arange(50) / 10.0

    def signal(self, session_id: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(name)
        if name not in self.signals:
            raise UsageError(f"no signal {name!r}")
        return self.signals[name], self.time_s(session_id)


RISING = np.arange(50.0)
BLINK = np.where((np.arange(50) >= 10) & (np.arange(50) < 20), np.nan, 7.0)


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param([[0, 5], [10, 11]], [2.0, 10.0], id="means"),
        pytest.param([[30, 40], [0, 4], [35, 37]], [34.5, 1.5, 35.5], id="in any order, overlapping"),
        pytest.param([[45, 50]], [47.0], id="to the end"),
        pytest.param([], [], id="none"),
    ],
)
def test_behaviour_is_the_mean_over_the_frames(windows: list, expected: list) -> None:
    frames = np.array(windows, np.int64).reshape(-1, 2)
    found = Behaviour(Walker(running_speed=RISING)).of_windows("a", frames, ["running_cm_s"], 10.0)
    assert found["running_cm_s"].tolist() == expected


def test_rest_is_zero_whatever_came_before() -> None:
    speed = np.r_[np.full(1000, 1e6 / 3), np.zeros(1000)]
    assert mean_within(speed, np.array([[1000, 1500], [1500, 2000]])).tolist() == [0.0, 0.0]


def test_unknown_frames_count_for_nothing_and_none_but_unknown_ones_is_unknown() -> None:
    frames = np.array([[5, 15], [10, 20], [12, 13]])
    found = Behaviour(Walker(pupil_area_px=BLINK)).of_windows("a", frames, ["pupil_area_px"], 10.0)["pupil_area_px"]
    assert found[0] == 7.0
    assert np.isnan(found[1:]).all()


def test_times_are_those_of_the_recording() -> None:
    found = Behaviour(Walker()).of_windows("a", np.array([[5, 15]]), ["start_s", "stop_s", "duration_s"], 10.0)
    assert {name: values.round(9).tolist() for name, values in found.items()} == {
        "start_s": [100.5],
        "stop_s": [101.5],
        "duration_s": [1.0],
    }


def test_what_is_lacking_is_unknown_and_said_once_for_each_column() -> None:
    behaviour = Behaviour(Walker(running_speed=RISING))
    for session in ("a", "b"):
        values = behaviour.of_frames(session, ["running_cm_s", "pupil_area_px", "time_s"])
        assert np.isnan(values["pupil_area_px"]).all()
        assert values["running_cm_s"].tolist() == RISING.tolist()
        assert values["time_s"][0] == 100.0
    expected = "pupil_area_px is unknown in 2 of 3 recordings: they have no signal 'pupil_area_px'"
    assert behaviour.warnings(3) == [expected]


def test_signals_that_nobody_names_are_not_read() -> None:
    walker = Walker(running_speed=RISING, pupil_area_px=BLINK)
    Behaviour(walker).of_windows("a", np.array([[0, 5]]), ["duration_s"], 10.0)
    Behaviour(walker).of_frames("a", ["time_s", "pupil_area_px"])
    assert walker.asked == ["pupil_area_px"]
