"""No window of any epoch holds a missing value of a selected neuron."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.windows import (
    WindowIndex,
    drop_missing,
    fixed_windows,
    frame_windows,
    trial_windows,
    whole_windows,
)
from poyodata.store.complete import FILE, complete_recordings
from tests.loaders.plain_view import plain_view, window

TRIALS = [window("a", "train", at, at + 40, trial=at // 50) for at in range(0, 300, 50)]
STRETCHES = [window("a", "train", 0, 140), window("a", "train", 160, 300), window("b", "train", 0, 300)]


def holed(holes: list[int], folder: Path, *, trials: bool = False, column: int = 0) -> View:
    """Three neurons, of which two are selected; some frames of one of them are missing in recording a."""
    rng = np.random.default_rng(0)
    arrays = {key: rng.standard_normal((300, 3)).astype(np.float32) for key in ("a", "b")}
    arrays["a"][holes, column] = np.nan
    arrays["b"][5, 1] = 1e38  # large, and not missing
    rows = [*TRIALS, window("b", "train", 0, 40, trial=0)] if trials else STRETCHES
    return plain_view(
        {"a": [(0, 300)], "b": [(0, 300)]}, rows, arrays=arrays, neurons={"a": ["", ""], "b": ["", ""]}, folder=folder
    )


def starts(index: WindowIndex, recording: int = 0) -> list[int]:
    at = index.locate(np.arange(len(index)))
    return at.start[at.session_index == recording].tolist()


def test_trials_with_a_hole_go_and_others_are_moved_no_further(tmp_path: Path) -> None:
    view = holed([60, 61, 148], tmp_path, trials=True)
    index = drop_missing(trial_windows(view, "train", 40), view)
    assert starts(index) == [0, 100, 150, 200, 250] and starts(index, 1) == [0]
    assert index.dropped == {"windows with a missing value": 1}
    assert index.low.tolist() == [0, 62, 149, 149, 149, 0]
    assert index.high.tolist() == [20, 108, 260, 260, 260, 260]


def test_stretches_end_where_frames_are_missing(tmp_path: Path) -> None:
    view = holed([60, 61, 139], tmp_path)
    fixed = fixed_windows(view, "train", 50, random_phase=False)
    index = drop_missing(fixed, view)
    assert starts(fixed) == [0, 50, 160, 210] and starts(index) == [0, 62, 160, 210]
    assert len(drop_missing(fixed_windows(view, "train", 70, random_phase=False), view)) == 1 + 2 + 4
    frames = drop_missing(frame_windows(view, "train"), view)
    assert starts(frames) == [*range(60), *range(62, 139), *range(160, 300)]
    assert frames.dropped == {"windows with a missing value": 3} and frames.mode == "frames"
    whole = drop_missing(whole_windows(view, "train"), view)
    assert list(zip(whole.first.tolist(), whole.length.tolist(), strict=True))[:3] == [(0, 60), (62, 77), (160, 140)]


def test_neurons_that_are_not_selected_do_not_count(tmp_path: Path) -> None:
    view = holed([60], tmp_path, column=2)
    index = frame_windows(view, "train")
    assert drop_missing(index, view) is index


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_missing(tmp_path: Path, value: float) -> None:
    view = holed([], tmp_path)
    view.store.arrays["a"][7, 1] = value
    assert 7 not in starts(drop_missing(frame_windows(view, "train"), view))


def test_complete_recordings_are_read_once(tmp_path: Path) -> None:
    view = holed([60], tmp_path)
    for _ in range(2):
        drop_missing(frame_windows(view, "train"), view)
    assert view.store.read == ["a", "b", "a"]
    assert complete_recordings(view.store.statistics_folder) == {"digest-b"}
    view.store.sessions["digest"] = ["digest-a", "another"]
    drop_missing(frame_windows(view, "train"), view)
    assert view.store.read[3:] == ["a", "b"], "a recording that was replaced is read again"


@pytest.mark.parametrize("content", [b"", b"digest-", b"\xff\xfe\x00", b"\n\n"])
def test_a_damaged_list_costs_another_look(tmp_path: Path, content: bytes) -> None:
    view = holed([60], tmp_path)
    (tmp_path / FILE).write_bytes(content)
    assert len(drop_missing(frame_windows(view, "train"), view)) == 279 + 300
    assert view.store.read == ["a", "b"]
    assert "digest-b" in complete_recordings(view.store.statistics_folder)


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    view = holed([60], tmp_path / "file" / "statistics")
    assert len(drop_missing(frame_windows(view, "train"), view)) == 279 + 300


def test_no_window_left_names_the_recording_and_the_remedy(tmp_path: Path) -> None:
    view = holed(list(range(300)), tmp_path, trials=True)
    object.__setattr__(view.manifest, "windows", view.manifest.windows.iloc[:-1])
    for index in (trial_windows(view, "train", 40), frame_windows(view, "train")):
        with pytest.raises(LoaderError, match=r"'a', 300 frames.*--missing drop.*missing_fraction > 0"):
            drop_missing(index, view)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)  # files are written
@given(holes=st.sets(st.integers(0, 299), max_size=12), n_frames=st.integers(1, 40), seed=st.integers(0, 20))
def test_no_window_of_any_epoch_holds_a_hole(
    tmp_path_factory: pytest.TempPathFactory, holes: set[int], n_frames: int, seed: int
) -> None:
    view = holed(sorted(holes), tmp_path_factory.mktemp("holed"))
    index = drop_missing(fixed_windows(view, "train", n_frames, random_phase=True), view)
    for epoch in range(3):
        moved = index.at_epoch(seed, epoch)
        assert len(moved) == len(index)
        for start in starts(moved):
            assert holes.isdisjoint(range(start, start + n_frames))
            assert start + n_frames <= 140 or (start >= 160 and start + n_frames <= 300)
    trials = holed(sorted(holes), tmp_path_factory.mktemp("holed"), trials=True)
    kept = drop_missing(trial_windows(trials, "train", n_frames), trials)
    assert set(starts(kept)) == {at for at in range(0, 300, 50) if holes.isdisjoint(range(at, at + n_frames))}
    for low, high in zip(kept.low[kept.session_index == 0], kept.high[kept.session_index == 0], strict=True):
        assert holes.isdisjoint(range(low, high + n_frames))
