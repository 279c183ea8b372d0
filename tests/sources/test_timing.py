from __future__ import annotations

import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.sources.timing import nearest_frames, rate_of, stops_of_starts, timed_presentations

STEADY = 100.0 + np.arange(50) / 10.0
GAP = np.concatenate([np.arange(10) / 10.0, 9.0 + np.arange(10) / 10.0])


@pytest.mark.parametrize("shift_s", [-0.04, 0.0, 0.04])
def test_a_jitter_below_half_a_frame_changes_nothing(shift_s: float) -> None:
    inner = STEADY[1:]
    np.testing.assert_array_equal(nearest_frames(inner + shift_s, STEADY), np.arange(1, 50))


def test_ends_of_frames_before_a_gap_are_theirs() -> None:
    stops = np.append(GAP[:10], GAP[10:]) + 0.1
    np.testing.assert_array_equal(nearest_frames(stops, GAP), np.arange(1, 21))
    np.testing.assert_array_equal(nearest_frames([5.0, 8.95], GAP), [10, 10])


@pytest.mark.parametrize(
    ("start", "stop", "inside"),
    [
        pytest.param(0.0, 0.5, True, id="within"),
        pytest.param(-0.5, 0.5, False, id="before"),
        pytest.param(9.5, 10.05, True, id="to_the_end"),
        pytest.param(9.5, 10.5, False, id="beyond_the_end"),
        pytest.param(4.0, 5.0, False, id="within_a_gap"),
        pytest.param(0.8, 9.2, True, id="across_a_gap"),
        pytest.param(99.0, 100.0, False, id="after"),
        pytest.param(0.5, 1.05, True, id="to_a_gap"),
        pytest.param(0.5, 1.5, False, id="into_a_gap"),
        pytest.param(0.5, 8.95, True, id="to_the_end_of_a_gap"),
        pytest.param(8.95, 9.4, True, id="from_the_end_of_a_gap"),
    ],
)
def test_what_the_imaging_covers(start: float, stop: float, inside: bool) -> None:
    assert len(timed_presentations("x", [start], [stop], GAP, outside="drop")) == inside
    if not inside:
        with pytest.raises(SourceError, match="`outside: drop`"):
            timed_presentations("x", [start], [stop], GAP)


@pytest.mark.parametrize("times", [(np.nan, 1.0), (1.0, 0.5), (1.0, np.inf)])
def test_times_that_are_none(times: tuple[float, float]) -> None:
    with pytest.raises(SourceError, match="row 0 of x lasts from"):
        timed_presentations("x", [times[0]], [times[1]], GAP)


def test_dropped_rows_take_their_columns_along() -> None:
    rows = timed_presentations("x", [4.0, 0.0], [5.0, 0.5], GAP, outside="drop", direction_deg=[45.0, 90.0], blank=None)
    assert rows["direction_deg"].tolist() == [90.0]


@pytest.mark.parametrize("phase", [90.0, 1.0, -0.25])
def test_phase_that_is_no_share_of_a_cycle(phase: float) -> None:
    with pytest.raises(SourceError, match=r"row 1 of x has the phase .* divide degrees by 360"):
        timed_presentations("x", [0.0, 0.3], [0.2, 0.5], GAP, phase=[0.0, phase])
    rows = timed_presentations("x", [0.0, 0.3], [0.2, 0.5], GAP, phase=[0.75, phase], blank=[False, True])
    np.testing.assert_array_equal(rows["phase"], [0.75, np.nan])


@pytest.mark.parametrize("rate_hz", [9.48, 10.0, 20.0, 30.9, 155.2])
def test_rate_of_a_clock_made_of_it(rate_hz: float) -> None:
    assert rate_of(100.0 + np.arange(900) / rate_hz) == rate_hz


def test_stops_of_few_starts() -> None:
    assert stops_of_starts([]).tolist() == []
    assert stops_of_starts([3.0]).tolist() == [3.0]
