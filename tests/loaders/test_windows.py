"""Windows: exact lengths, no gap crossed, no role touched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.windows import fixed_windows, trial_windows

FREE = {"a": np.array([[0, 280], [340, 500], [500, 1000]]), "b": np.array([[0, 20], [80, 300]])}
"""Recording a has a gap at 500 and a test trial at 280, b ends at 300 and has a test trial at 20."""


def rows(*entries: tuple[str, str, int, int, int, float]) -> pd.DataFrame:
    """Entries are (session, role, start, stop, trial, direction)."""
    table = pd.DataFrame(entries, columns=["session_id", "role", "start_frame", "stop_frame", "trial", "direction_deg"])
    return table.assign(blank=table["direction_deg"].isna() & (table["trial"] >= 0))


TRIALS = rows(
    ("a", "train", 10, 70, 0, 0.0),
    ("a", "train", 100, 160, 1, 315.0),
    ("a", "train", 190, 250, 2, np.nan),
    ("a", "test", 280, 340, 3, 90.0),
    ("a", "train", 460, 520, 4, 45.0),
    ("b", "train", 250, 310, 0, 180.0),
    ("b", "test", 20, 80, 1, 270.0),
)


def spans(table: object) -> list[tuple[int, int]]:
    return list(zip(table.session_index.tolist(), table.start_frame.tolist(), strict=True))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("n_frames", "offset", "expected"),
    [
        pytest.param(40, 0, [(0, 10), (0, 100), (0, 190), (0, 460), (1, 250)], id="inside-the-sweep"),
        pytest.param(60, 0, [(0, 10), (0, 100), (0, 190)], id="gap-and-end-of-recording-drop-two"),
        pytest.param(60, -20, [(0, 80), (0, 170), (0, 440), (1, 230)], id="before-the-first-frame-drops-one"),
        pytest.param(95, 0, [(0, 10), (0, 100)], id="would-touch-a-test-trial"),
    ],
)
def test_trial_windows(n_frames: int, offset: int, expected: list[tuple[int, int]]) -> None:
    table = trial_windows(TRIALS, "train", ["a", "b"], FREE, n_frames, offset)
    assert spans(table) == expected
    assert table.n_dropped == 5 - len(expected)
    assert table.n_frames == n_frames


def test_directions_and_blanks() -> None:
    table = trial_windows(TRIALS, "train", ["a", "b"], FREE, 40)
    assert table.direction.tolist() == [0, 7, -1, 1, 4]
    assert table.trial.tolist() == [0, 1, 2, 4, 0]


def test_starts_may_move_only_inside_their_stretch() -> None:
    table = trial_windows(TRIALS, "train", ["a", "b"], FREE, 40)
    assert table.first_start.tolist() == [0, 0, 0, 340, 80]
    assert table.last_start.tolist() == [240, 240, 240, 460, 260]


@pytest.mark.parametrize(
    ("role", "n_frames", "match"),
    [
        pytest.param("valid", 10, "no trials in role 'valid'.*test, train", id="role-without-trials"),
        pytest.param("train", 2000, "no window of 2000 frames", id="longer-than-any-stretch"),
    ],
)
def test_refusals(role: str, n_frames: int, match: str) -> None:
    with pytest.raises(LoaderError, match=match):
        trial_windows(TRIALS, role, ["a", "b"], FREE, n_frames)


@pytest.mark.parametrize("degrees", [30.0, 44.999, 22.5, 337.0])
def test_a_direction_between_labels_is_refused_by_its_value(degrees: float) -> None:
    odd = TRIALS.assign(direction_deg=TRIALS["direction_deg"].replace(315.0, degrees))
    with pytest.raises(LoaderError, match=rf"'a', trial 1 has direction {degrees:g} degrees.*windows.where"):
        trial_windows(odd, "train", ["a", "b"], FREE, 40)


@pytest.mark.parametrize("degrees", [-45.0, 675.0, 315.00001])
def test_a_direction_of_another_turn_or_rounding_is_that_direction(degrees: float) -> None:
    same = TRIALS.assign(direction_deg=TRIALS["direction_deg"].replace(315.0, degrees))
    assert trial_windows(same, "train", ["a", "b"], FREE, 40).direction.tolist() == [0, 7, -1, 1, 4]


def test_the_direction_of_a_blank_sweep_does_not_matter() -> None:
    blank = TRIALS.assign(direction_deg=TRIALS["direction_deg"].fillna(7.0))
    assert trial_windows(blank, "train", ["a", "b"], FREE, 40).direction.tolist() == [0, 7, -1, 1, 4]


STRETCHES = rows(
    ("a", "train", 0, 500, -1, np.nan), ("a", "train", 500, 800, -1, np.nan), ("b", "train", 100, 150, -1, np.nan)
)  # fmt: skip
SEGMENTS = {"a": np.array([[0, 500], [500, 1000]]), "b": np.array([[0, 300]])}


def test_fixed_windows_without_phase() -> None:
    table = fixed_windows(STRETCHES, "train", ["a", "b"], SEGMENTS, 120)
    assert spans(table) == [(0, 0), (0, 120), (0, 240), (0, 360), (0, 500), (0, 620)]
    assert table.n_dropped == 1


def test_fixed_windows_use_free_frames_only() -> None:
    table = fixed_windows(STRETCHES, "train", ["a", "b"], FREE, 120)
    assert spans(table) == [(0, 0), (0, 120), (0, 340), (0, 500), (0, 620)]


def test_fixed_windows_refuse_what_is_too_long() -> None:
    with pytest.raises(LoaderError, match="longest stretch has 500 frames"):
        fixed_windows(STRETCHES, "train", ["a", "b"], SEGMENTS, 501)


@given(seed=st.integers(0, 1000), epoch=st.integers(0, 50), n_frames=st.integers(1, 120))
def test_random_phase_keeps_every_promise(seed: int, epoch: int, n_frames: int) -> None:
    table = fixed_windows(STRETCHES, "train", ["a", "b"], SEGMENTS, n_frames, (seed, epoch))
    stretches: Mapping[int, list[tuple[int, int]]] = {0: [(0, 500), (500, 800)], 1: [(100, 150)]}
    for session, start in spans(table):
        assert any(a <= start and start + n_frames <= b for a, b in stretches[session])
    for session in (0, 1):
        starts = table.start_frame[table.session_index == session]
        assert (np.diff(starts) >= n_frames).all()
    again = fixed_windows(STRETCHES, "train", ["a", "b"], SEGMENTS, n_frames, (seed, epoch))
    assert again.start_frame.tolist() == table.start_frame.tolist()
