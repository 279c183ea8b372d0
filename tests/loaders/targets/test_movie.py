"""Pixels of windows: the template's own frames, at the frames at which they were shown."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import make_target
from poyodata.loaders.windows.frames import frame_windows
from poyodata.loaders.windows.index import WindowIndex
from poyodata.loaders.windows.trials import trial_windows
from poyodata.simulation.sessions import SimulatedSession
from poyodata.store import Store
from tests.loaders.targets.conftest import view_of

MOVIE, SCENES = "natural_movie_one", "natural_scenes"


def everything(index: WindowIndex):
    return index.locate(np.arange(len(index)))


def test_pixels_are_those_of_the_frame_on_the_screen(store: Store, simulated: dict[str, SimulatedSession]) -> None:
    view = view_of(store)
    index = frame_windows(view, "train", stimulus=MOVIE)
    target = make_target("movie", view, height=32, width=64, stimulus=MOVIE)
    target.check(view, index)
    located = everything(index)
    found = target.of(located)
    shown = 0
    for at in range(len(located)):
        session = simulated[view.session_ids[located.session_index[at]]]
        table = session.timeline.tables[MOVIE]
        stop = np.maximum(table["end"], table["start"] + 1)
        rows = table[(table["start"] <= located.start[at]) & (located.start[at] < stop)]
        if rows.empty:
            assert np.isnan(found["movie"][at]).all()
            continue
        frame = session.templates[MOVIE][int(rows["frame"].iloc[-1])]
        np.testing.assert_allclose(found["movie"][at], frame / 255, atol=1e-6)
        shown += 1
    assert shown > 80
    assert found["movie"].dtype == np.float32
    assert not found["movie_blank"].any()


def test_every_frame_of_a_window(store: Store) -> None:
    view = view_of(store)
    index = frame_windows(view, "train", 4, stimulus=MOVIE)
    located = everything(index)
    one, all_four = (make_target("movie", view, height=8, width=16, stimulus=MOVIE, at=at) for at in ("centre", "all"))
    one.check(view, index)
    all_four.check(view, index)
    pixels = all_four.of(located)["movie"]
    assert pixels.shape == (len(index), 4, 8, 16)
    assert all_four.columns["movie"].shape == "(batch, time, 8, 16)"
    assert one.columns["movie"].shape == "(batch, 8, 16)"
    np.testing.assert_array_equal(pixels[:, 2], one.of(located)["movie"])
    pixels[:] = 0.5  # a batch is the caller's own, and nobody else's
    assert np.unique(one.of(located)["movie"]).size > 20


@pytest.mark.parametrize("at", ["centre", "all"])
def test_the_mean_frame_counts_every_frame_that_is_shown_once(store: Store, at: str) -> None:
    view = view_of(store)
    index = frame_windows(view, "train", 3, stimulus=MOVIE)
    target = make_target("movie", view, height=8, width=16, stimulus=MOVIE, at=at)
    ids = make_target("movie_frame", view, stimulus=MOVIE, at=at)
    target.check(view, index)
    ids.check(view, index)
    shown = np.unique(ids.of(everything(index))["movie_frame"])
    shown = shown[shown >= 0]
    assert 1 < len(shown) < len(index)
    np.testing.assert_allclose(target.mean_frame(index), target.frames[shown].mean(axis=0), atol=1e-6)


def test_scenes_have_pixels_too_and_blanks_have_none(store: Store, simulated: dict[str, SimulatedSession]) -> None:
    view = view_of(store, SCENES)
    index = trial_windows(view, "train", 5)
    target = make_target("movie", view, height=24, width=32, stimulus=SCENES, name="scene")
    target.check(view, index)
    found = target.of(everything(index))
    rows = view.manifest.windows.iloc[index.source]
    template = simulated[rows["session_id"].iloc[0]].templates[SCENES]
    shown = store.presentations.set_index(["session_id", "stimulus", "trial"])
    for at, (_, window) in enumerate(rows.iterrows()):
        row = shown.loc[(window["session_id"], SCENES, window["trial"])]
        assert found["scene_blank"][at] == row["blank"]
        if row["blank"]:
            assert np.isnan(found["scene"][at]).all()
        else:
            np.testing.assert_allclose(found["scene"][at], template[row["image"]] / 255, atol=1e-6)
    assert found["scene_blank"].any()


def test_no_template_is_refused_before_training(store: Store) -> None:
    view = view_of(store, MOVIE)
    index = trial_windows(view, "train", 1)
    target = make_target("movie", view, height=4, width=8)
    target.check(view, index)
    del store.stimuli[MOVIE]
    with pytest.raises(LoaderError, match=r"96 windows show 'natural_movie_one'.*no template.*'movie_frame'"):
        target.check(view, index)


@pytest.mark.parametrize("mode", ["trial", "frames"])
def test_a_template_of_fewer_frames_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    view = view_of(store, MOVIE) if mode == "trial" else view_of(store)
    index = trial_windows(view, "train", 1) if mode == "trial" else frame_windows(view, "train")
    short = np.zeros((6, 32, 64), np.uint8)
    monkeypatch.setattr(store, "movie", lambda stimulus: short)
    store.stimuli[MOVIE] = "0" * 64
    target = make_target("movie", view, height=4, width=8, stimulus=MOVIE)
    with pytest.raises(LoaderError, match="frame 9 of natural_movie_one is shown, and its template has 6"):
        target.check(view, index)


@pytest.mark.parametrize("options", [{"height": 0, "width": 4}, {"height": 4, "width": 2.5}])
def test_sides_are_whole_numbers(store: Store, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="whole number"):
        make_target("movie", view_of(store), **options)


def test_another_process_makes_the_frames_itself(store: Store) -> None:
    view = view_of(store, MOVIE)
    index = trial_windows(view, "train", 1)
    target = make_target("movie", view, height=32, width=64)
    target.check(view, index)
    expected = target.of(everything(index))["movie"]
    text = pickle.dumps(target)
    assert len(text) < target.frames.nbytes + 200_000
    np.testing.assert_array_equal(pickle.loads(text).of(everything(index))["movie"], expected)  # noqa: S301
