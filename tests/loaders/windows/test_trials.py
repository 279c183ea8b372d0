"""Trial windows: one for each trial, with context where that is free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.windows import WindowIndex, trial_windows
from tests.loaders.plain_view import ROLES, allowed, plain_view, views, window

SEGMENTS = {"a": [(0, 500), (500, 1000)], "b": [(0, 300)]}
TRIALS = [
    window("a", "train", 10, 70, trial=0),
    window("a", "train", 100, 160, trial=1),
    window("a", "train", 190, 250, trial=2),
    window("a", "test", 280, 340, trial=3),
    window("a", "train", 460, 520, trial=4),
    window("a", "train", 600, 700),
    window("b", "test", 20, 80, trial=1),
    window("b", "train", 250, 310, trial=0),
]


@pytest.fixture
def view() -> View:
    return plain_view(SEGMENTS, TRIALS)


def spans(index: WindowIndex) -> list[tuple[int, int]]:
    at = index.locate(np.arange(len(index)))
    return list(zip(at.session_index.tolist(), at.start.tolist(), strict=True))


@pytest.mark.parametrize(
    ("n_frames", "offset", "expected"),
    [
        pytest.param(40, 0, [(0, 10), (0, 100), (0, 190), (0, 460), (1, 250)], id="inside-the-sweep"),
        pytest.param(60, 0, [(0, 10), (0, 100), (0, 190)], id="gap-and-end-of-recording-drop-two"),
        pytest.param(60, -20, [(0, 80), (0, 170)], id="grey-before-goes-with-the-trial-before"),
        pytest.param(95, 0, [(0, 10), (0, 100)], id="would-touch-a-test-trial"),
        pytest.param(40, 50, [(0, 60), (0, 150), (0, 240), (0, 510)], id="after-the-sweep"),
    ],
)
def test_windows_are_aligned_to_onsets(view: View, n_frames: int, offset: int, expected: list[tuple[int, int]]) -> None:
    index = trial_windows(view, "train", n_frames, offset_frames=offset)
    assert spans(index) == expected
    assert sum(index.dropped.values()) == 5 - len(expected)
    assert index.n_frames == n_frames and index.mode == "trial"


def test_sources_are_the_trials(view: View) -> None:
    index = trial_windows(view, "train", 40)
    rows = view.manifest.windows.iloc[index.source]
    assert rows["trial"].tolist() == [0, 1, 2, 4, 0]
    assert rows["start_frame"].tolist() == index.first.tolist()


def test_windows_may_be_moved_only_inside_their_stretch(view: View) -> None:
    index = trial_windows(view, "train", 40)
    assert index.low.tolist() == [0, 0, 0, 460, 250]
    assert index.high.tolist() == [240, 240, 240, 460, 260]


@pytest.mark.parametrize(
    ("role", "n_frames", "match"),
    [
        pytest.param("valid", 10, "no windows of role 'valid'", id="no-such-role"),
        pytest.param("train", 2000, "no window of 2000 frames .* of the 5 trials .* has 500 frames", id="too-long"),
        pytest.param("train", 0, "at least 1", id="no-frames"),
    ],
)
def test_refusals(view: View, role: str, n_frames: int, match: str) -> None:
    with pytest.raises(LoaderError, match=match):
        trial_windows(view, role, n_frames)


def test_a_role_without_trials_says_which_have_some() -> None:
    view = plain_view(SEGMENTS, [window("a", "train", 0, 60), window("a", "test", 100, 160, trial=0)])
    with pytest.raises(LoaderError, match="no trials in role 'train'; roles with trials are test"):
        trial_windows(view, "train", 10)


SHOWN = [window("a", "", 10, 70, trial=0), window("a", "", 100, 160, trial=1), window("a", "", 190, 250, trial=2)]


def test_where_the_diet_leaves_frames_out_trials_keep_their_onset() -> None:
    """Of trial 0 the frames before 30 went, of trial 1 some in the middle, of trial 2 those from 240 on."""
    left = [
        window("a", "train", 30, 70, trial=0),
        window("a", "train", 100, 120, trial=1),
        window("a", "train", 130, 160, trial=1),
        window("a", "train", 190, 240, trial=2),
    ]
    view = plain_view({"a": [(0, 500)]}, left, presentations=SHOWN, diet={"windows": {"while": "running_cm_s < 2"}})
    assert spans(trial_windows(view, "train", 20)) == [(0, 100), (0, 190)]
    assert spans(trial_windows(view, "train", 20, offset_frames=30)) == [(0, 40), (0, 130), (0, 220)]
    assert spans(trial_windows(view, "train", 50)) == [(0, 190)]
    with pytest.raises(LoaderError, match="no window of 20 frames at offset -20 fits any of the 3 trials"):
        trial_windows(view, "train", 20, offset_frames=-20)


def test_where_the_diet_leaves_no_frames_out_context_is_what_is_free() -> None:
    view = plain_view({"a": [(0, 500)]}, [window("a", "train", 100, 160, trial=1)], presentations=SHOWN)
    assert spans(trial_windows(view, "train", 80, offset_frames=-20)) == [(0, 80)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    view=views(trials=True), role=st.sampled_from(ROLES), n_frames=st.integers(1, 60), offset=st.integers(-20, 20)
)  # fmt: skip
def test_every_trial_with_room_has_one_window(view: View, role: str, n_frames: int, offset: int) -> None:
    runs = allowed(view, role, eaten=False)
    table = view.manifest.windows
    expected = []
    for at, key in enumerate(view.session_ids):
        for start in table.loc[(table["session_id"] == key) & (table["role"] == role), "start_frame"]:
            inside = [run for run in runs[key] if run[0] <= start + offset and start + offset + n_frames - 1 <= run[-1]]
            if inside:
                expected.append((at, start + offset, inside[0][0], inside[0][-1] + 1 - n_frames))
    try:
        index = trial_windows(view, role, n_frames, offset_frames=offset)
    except LoaderError:
        assert expected == []
        return
    found = zip(*(column.tolist() for column in (index.session_index, index.first, index.low, index.high)), strict=True)
    assert list(found) == expected


KEPT = [window("a", "train", 10, 70, trial=0), window("a", "train", 190, 250, trial=2)]
GREY = {"stimulus": "spontaneous", "trial": -1}
LET_GO = [*SHOWN, window("a", "", 300, 400, **GREY)]


@pytest.mark.parametrize(
    ("n_frames", "offset", "expected"),
    [
        pytest.param(60, 0, [10, 190], id="inside-the-sweep"),
        pytest.param(90, 0, [10, 190], id="grey-after-the-sweep"),
        pytest.param(91, 0, [190], id="longer-than-the-grey"),
        pytest.param(60, -30, [160], id="grey-before-the-sweep"),
        pytest.param(60, 50, [240], id="after-the-sweep"),
        pytest.param(110, 0, [190], id="up-to-grey-screen-that-was-let-go"),
    ],
)
def test_a_window_never_holds_a_presentation_that_the_diet_let_go(
    n_frames: int, offset: int, expected: list[int]
) -> None:
    view = plain_view({"a": [(0, 500)]}, KEPT, presentations=LET_GO)
    for reach in (None, 0, 7):
        index = trial_windows(view, "train", n_frames, offset_frames=offset, reach_frames=reach)
        assert index.first.tolist() == expected
        assert sum(index.dropped.values()) == 2 - len(expected)
    with pytest.raises(LoaderError, match=r"no window of 111 frames .* has 140 frames"):
        trial_windows(view, "train", 111, offset_frames=-40)


def test_a_window_is_not_moved_into_what_the_diet_let_go() -> None:
    view = plain_view({"a": [(0, 500)]}, KEPT, presentations=LET_GO)
    bounds = [trial_windows(view, "train", 60, reach_frames=reach) for reach in (None, 35, 0)]
    assert [index.low.tolist() for index in bounds] == [[0, 160], [0, 160], [10, 190]]
    assert [index.high.tolist() for index in bounds] == [[40, 240], [40, 225], [10, 190]]


def test_a_trial_is_its_own_where_another_shares_a_frame() -> None:
    """Two movie frames within one imaging frame, of which the diet keeps one."""
    shown = [window("a", "", 10, 12, trial=0), window("a", "", 11, 13, trial=1)]
    view = plain_view({"a": [(0, 50)]}, [window("a", "train", 10, 12, trial=0)], presentations=shown)
    index = trial_windows(view, "train", 2)
    assert (index.first.tolist(), index.low.tolist(), index.high.tolist()) == ([10], [0], [10])


@pytest.mark.parametrize(
    ("n_frames", "reach", "read"),
    [
        pytest.param(60, 0, [], id="inside-the-sweeps"),
        pytest.param(50, 0, [], id="shorter"),
        pytest.param(60, 1, [["a", "b"]], id="moved-beyond"),
        pytest.param(61, 0, [["a", "b"]], id="longer"),
    ],
)
def test_presentations_are_read_only_where_windows_leave_the_trials(
    n_frames: int, reach: int, read: list[list[str]]
) -> None:
    """In recording c, trials touch."""
    trials = [{**row, "session_id": "b"} for row in KEPT]
    trials += [window("c", "train", start, start + 100, trial=start) for start in (0, 100, 200)]
    view = plain_view({"a": [(0, 500)], "b": [(0, 500)], "c": [(0, 300)]}, [*KEPT, *trials])
    asked, real = [], view.store.presentations_of
    view.store.presentations_of = lambda names, columns: (asked.append(list(names)), real(names, columns))[1]  # type: ignore[method-assign,assignment]
    trial_windows(view, "train", n_frames, reach_frames=reach)
    assert asked == read
