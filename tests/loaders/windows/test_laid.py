"""Fixed, frame and whole windows: through stretches of a role, never over what may not be crossed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.windows import WindowIndex, fixed_windows, frame_windows, whole_windows
from tests.loaders.plain_view import ROLES, allowed, plain_view, views, window

SEGMENTS = {"a": [(0, 500), (500, 1000)], "b": [(0, 300)]}
WINDOWS = [
    window("a", "train", 0, 280),
    window("a", "test", 280, 340),
    window("a", "train", 340, 500),
    window("a", "train", 500, 800, stimulus="natural_movie_one"),
    window("a", "train", 803, 900, stimulus="natural_movie_one"),
    window("b", "test", 20, 80),
    window("b", "train", 100, 150),
]


@pytest.fixture
def view() -> View:
    return plain_view(SEGMENTS, WINDOWS)


def spans(index: WindowIndex) -> list[tuple[int, int]]:
    at = index.locate(np.arange(len(index)))
    return list(zip(at.session_index.tolist(), at.start.tolist(), strict=True))


def test_fixed_windows_end_at_gaps_roles_and_frames_left_out(view: View) -> None:
    index = fixed_windows(view, "train", 90, random_phase=False)
    assert spans(index) == [(0, 0), (0, 90), (0, 180), (0, 340), (0, 500), (0, 590), (0, 680), (0, 803)]
    assert index.dropped == {"stretches shorter than 90 frames": 1}
    assert index.n_frames == 90 and index.mode == "fixed"
    assert index.source.tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("hop", "expected"), [(30, [0, 30, 60]), (60, [0, 60]), (100, [0])], ids=["overlapping", "touching", "apart"]
)
def test_a_hop_is_from_start_to_start(hop: int, expected: list[int]) -> None:
    view = plain_view({"a": [(0, 120)]}, [window("a", "train", 0, 120)])
    assert [
        start for _, start in spans(fixed_windows(view, "train", 60, hop_frames=hop, random_phase=False))
    ] == expected


def test_rows_that_touch_are_one_stretch() -> None:
    view = plain_view({"a": [(0, 300)]}, [window("a", "train", 0, 50), window("a", "train", 50, 120)])
    index = fixed_windows(view, "train", 60, random_phase=False)
    assert spans(index) == [(0, 0), (0, 60)] and index.source.tolist() == [-1]


def test_learning_keeps_the_guard_and_testing_does_not() -> None:
    view = plain_view({"a": [(0, 300)]}, [window("a", "train", 0, 150), window("a", "test", 150, 300)], guard=10)
    assert whole_windows(view, "train").length.tolist() == [140]
    assert whole_windows(view, "test").length.tolist() == [150]


def test_frame_windows_are_at_every_frame(view: View) -> None:
    index = frame_windows(view, "test")
    assert spans(index) == [(0, frame) for frame in range(280, 340)] + [(1, frame) for frame in range(20, 80)]
    assert index.n_rows == 2 and index.mode == "frames"
    some = frame_windows(view, "test", 5)
    assert spans(some) == [(0, frame) for frame in range(280, 336)] + [(1, frame) for frame in range(20, 76)]


def test_frame_windows_of_one_stimulus(view: View) -> None:
    index = frame_windows(view, "train", stimulus="natural_movie_one")
    assert {start for _, start in spans(index)} == {*range(500, 800), *range(803, 900)}


def test_whole_windows(view: View) -> None:
    index = whole_windows(view, "train")
    assert list(zip(index.first.tolist(), index.length.tolist(), strict=True)) == [
        (0, 280), (340, 160), (500, 300), (803, 97), (100, 50),
    ]  # fmt: skip
    assert index.session_index.tolist() == [0, 0, 0, 0, 1] and len(index) == 5
    with pytest.raises(LoaderError, match="50 to 300 frames"):
        _ = index.n_frames


@pytest.mark.parametrize(
    ("build", "match"),
    [
        pytest.param(
            lambda view: fixed_windows(view, "train", 301, random_phase=False),
            r"no window of 301 frames fits role 'train': the longest of its 5 stretches has 300 frames\. Shorten",
            id="longer-than-any-stretch",
        ),
        pytest.param(lambda view: frame_windows(view, "test", 61), r"the longest of its 2 .* 60 frames", id="frames"),
        pytest.param(lambda view: fixed_windows(view, "train", 0, random_phase=False), "at least 1", id="no-frames"),
        pytest.param(
            lambda view: fixed_windows(view, "train", 9, hop_frames=0, random_phase=False), "hop_frames is 0", id="hop"
        ),
        pytest.param(lambda view: whole_windows(view, "tset"), "role 'tset': did you mean 'test'", id="role"),
        pytest.param(
            lambda view: frame_windows(view, "train", stimulus="natural_movie_on"),
            "shows 'natural_movie_on': did you mean 'natural_movie_one'",
            id="stimulus",
        ),
    ],
)
def test_refusals(view: View, build: Callable[[View], WindowIndex], match: str) -> None:
    with pytest.raises(LoaderError, match=match):
        build(view)


def test_a_role_that_lies_wholly_within_guards_is_refused() -> None:
    view = plain_view({"a": [(0, 300)]}, [window("a", "train", 100, 110), window("a", "test", 110, 300)], guard=10)
    with pytest.raises(LoaderError, match="all 1 windows of role 'train' lie in gaps or within the guard"):
        whole_windows(view, "train")


def built(build: Callable[[], WindowIndex]) -> WindowIndex | None:
    try:
        return build()
    except LoaderError:
        return None


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(view=views(), role=st.sampled_from(ROLES), n_frames=st.integers(1, 60), hop=st.integers(1, 80))
def test_every_window_lies_within_one_stretch_and_none_is_missed(
    view: View, role: str, n_frames: int, hop: int
) -> None:
    runs = allowed(view, role)
    expected = [
        (at, int(run[0]) + step)
        for at, key in enumerate(view.session_ids)
        for run in runs[key]
        for step in range(0, len(run) - n_frames + 1, hop)
    ]
    index = built(lambda: fixed_windows(view, role, n_frames, hop_frames=hop, random_phase=False))
    assert (spans(index) if index else []) == expected
    frames = built(lambda: frame_windows(view, role, n_frames))
    every = [
        (at, int(start))
        for at, key in enumerate(view.session_ids)
        for run in runs[key]
        for start in run[: max(len(run) - n_frames + 1, 0)]
    ]
    assert (spans(frames) if frames else []) == every
    whole = built(lambda: whole_windows(view, role))
    ends = [] if whole is None else list(zip(whole.first.tolist(), whole.length.tolist(), strict=True))
    assert ends == [(int(run[0]), len(run)) for key in view.session_ids for run in runs[key]]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(view=views(), role=st.sampled_from(ROLES), n_frames=st.integers(1, 60), seed=st.integers(0, 9))
def test_random_phases_stay_within_one_stretch(view: View, role: str, n_frames: int, seed: int) -> None:
    index = built(lambda: fixed_windows(view, role, n_frames, random_phase=True))
    still = built(lambda: fixed_windows(view, role, n_frames, random_phase=False))
    if index is None or still is None:
        assert index is still
        return
    runs = allowed(view, role)
    for epoch in range(3):
        moved = index.at_epoch(seed, epoch)
        assert len(moved) == len(still)
        places = spans(moved)
        assert len(set(places)) == len(places)
        for at, start in places:
            assert sum(run[0] <= start and start + n_frames - 1 <= run[-1] for run in runs[view.session_ids[at]]) == 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(view=views(), role=st.sampled_from(ROLES))
def test_sources_are_the_rows_that_windows_came_from(view: View, role: str) -> None:
    index = built(lambda: frame_windows(view, role))
    table = view.manifest.windows
    for at, source, (start, stop) in (
        []
        if index is None
        else zip(index.session_index.tolist(), index.source.tolist(), index.spans().tolist(), strict=True)
    ):
        mine = table[(table["session_id"] == view.session_ids[at]) & (table["role"] == role)]
        touched = mine.index[(mine["start_frame"] < stop) & (mine["stop_frame"] > start)]
        assert source == (touched[0] if len(touched) == 1 else -1)
