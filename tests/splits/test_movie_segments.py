"""Segments of movies: where they are cut, and that a movie frame of test is never shown in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poyodata.errors import SplitError
from poyodata.simulation.movies import movie_template, scene_cuts
from poyodata.splits import (
    SPLITS,
    Across,
    Blocks,
    Fractions,
    MovieSegments,
    SplitSpec,
    n_folds,
    resolve_split,
)
from poyodata.splits.movie_segments import blocks_of_segments, cut_movie
from tests.fake_store import GRATINGS, GREY, MOVIE, make_store
from tests.splits.test_resolve import check_everything

FRAMES, REPEATS = 240, 5
QUICK = SplitSpec(name="quick", within=MovieSegments(folds=5, guard_s=0.2))


def scenes(*lengths: int, height: int = 8) -> np.ndarray:
    """A movie of still scenes under slowly changing light, black and white in turn."""
    grey = np.concatenate([np.full(length, 40 + 120 * (at % 2)) for at, length in enumerate(lengths)])
    light = np.rint(3 * np.sin(np.arange(len(grey)) / 9)).astype(int)
    return np.broadcast_to((grey + light)[:, None, None], (len(grey), height, 10)).astype(np.uint8)


def movie_store(folder: Any, template: np.ndarray | None = None, **options: Any) -> Any:
    """A movie of 240 frames, five times, between gratings and grey."""
    layout = ((GRATINGS, 60), (MOVIE, FRAMES * REPEATS), (GREY, 900), (GRATINGS, 60))
    store = make_store(folder, **({"layout": layout} | options))
    shown = (store.presentations["stimulus"] == MOVIE).to_numpy()
    number = store.presentations.loc[shown, "trial"]
    store.presentations.loc[shown, "movie_frame"] = number % FRAMES
    store.presentations.loc[shown, "repeat"] = number // FRAMES
    store.movies[MOVIE] = scenes(*[24] * 10) if template is None else template
    return store


def frames_with(store: Any, split: Any, *roles: str) -> set[int]:
    """Movie frames shown, even in part, during time of these roles in any recording."""
    seen = set()
    for session in store.sessions["session_id"]:
        shown = store.presentations_of(session)
        shown = shown[shown["stimulus"] == MOVIE]
        for role in roles:
            for start, stop in split.intervals(session, role):
                during = (shown["start_frame"] < stop) & (shown["stop_frame"] > start)
                seen |= set(shown.loc[during, "movie_frame"])
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_scene_changes_of_a_moving_picture_are_found(seed: int) -> None:
    movie = movie_template(960, 38, 76, np.random.default_rng(seed))
    true = scene_cuts(movie)
    cut = cut_movie(movie, segments=8, cut_factor=8.0)
    assert (cut.starts.tolist(), cut.n_within) == (true.tolist(), max(0, 8 - len(true)))


@pytest.mark.parametrize(
    ("template", "segments", "starts", "n_within"),
    [
        pytest.param(scenes(30, 50, 40), 3, [0, 30, 80], 0, id="as many scenes"),
        pytest.param(scenes(30, 50, 40), 2, [0, 30, 80], 0, id="more scenes"),
        pytest.param(scenes(60, 2, 60), 3, [0, 60, None], 1, id="two changes in a row"),
        pytest.param(np.full((20, 4, 4), 9, np.uint8), 4, [0, 5, None, None], 3, id="still"),
    ],
)
def test_a_movie_is_cut_at_scene_changes_first(
    template: np.ndarray, segments: int, starts: list, n_within: int
) -> None:
    cut = cut_movie(template, segments=segments, cut_factor=8.0)
    assert len(cut.starts) == len(starts)
    assert set(starts) - {None} <= set(cut.starts.tolist())
    assert cut.n_within == n_within


@pytest.mark.parametrize("segments", [8, 13])
def test_a_single_take_is_cut_into_enough_segments_none_of_them_short(segments: int) -> None:
    movie = movie_template(59, 38, 76, np.random.default_rng(0))
    cut = cut_movie(np.concatenate([movie] + [movie[-1:]] * 200), segments=segments, cut_factor=8.0)
    assert len(cut.starts) == segments
    assert np.diff([*cut.starts, cut.n_frames]).min() >= cut.n_frames // (4 * segments)


@pytest.mark.parametrize(
    ("within", "sizes"),
    [
        pytest.param(MovieSegments(folds=5), [48] * 5, id="folds"),
        pytest.param(MovieSegments(folds=8, segments=8), [24, 24, 24, 24, 24, 24, 48, 48], id="nearly one each"),
        pytest.param(MovieSegments(fractions=Fractions(train=0.7, valid=0.1, test=0.2)), [168, 24, 48], id="fractions"),
        pytest.param(
            MovieSegments(fractions=Fractions(train=0.5, valid=0.0, test=0.5)), [120, 0, 120], id="without valid"
        ),
    ],
)
def test_neighbouring_segments_make_blocks_of_the_asked_size(within: MovieSegments, sizes: list[int]) -> None:
    cut = cut_movie(scenes(*[24] * 10), within.segments, within.cut_factor)
    block = blocks_of_segments(cut, within)
    length = np.diff([*cut.starts, cut.n_frames])
    found = np.bincount(block, length, minlength=len(sizes)).tolist()
    assert sorted(found) == sorted(sizes)
    assert (np.diff(block) >= 0).all()


def test_no_frame_of_test_is_shown_in_training_in_any_recording(tmp_path: Any) -> None:
    store = movie_store(tmp_path, n_sessions=2, cuts=(2400,))
    tested: list[int] = []
    for fold in range(n_folds(store, QUICK)):
        split = resolve_split(store, QUICK, fold)
        check_everything(store, split)
        test, valid, train = (frames_with(store, split, role) for role in ("test", "valid", "train"))
        assert test
        assert valid
        assert not test & (train | valid)
        assert not train & valid
        tested += test
        roles = split.trials[split.trials["stimulus"] == MOVIE].merge(store.presentations)
        assert (roles.groupby("movie_frame")["role"].nunique() == 1).all()
        repeats = roles[roles["role"] == "test"].groupby("movie_frame")["repeat"].nunique()
        assert repeats.max() == REPEATS
    assert sorted(tested) == list(range(FRAMES))
    plain = resolve_split(store, "blocks-5fold")
    assert frames_with(store, plain, "test") <= frames_with(store, plain, "train")  # what other specs cannot do


def test_a_guard_lies_at_every_cut_of_every_repeat(tmp_path: Any) -> None:
    store = movie_store(tmp_path)
    split = resolve_split(store, QUICK, 1)
    test = split.intervals("s000", "test")
    movie = store.epochs[store.epochs["stimulus"] == MOVIE].iloc[0]
    inside = test[(test[:, 0] >= movie["start_frame"]) & (test[:, 1] <= movie["stop_frame"])]
    assert (inside - movie["start_frame"]).tolist() == [[240 * i + 48, 240 * i + 96] for i in range(REPEATS)]
    for start, stop in inside:
        for role in ("train", "valid"):
            for a, b in split.intervals("s000", role):
                assert b <= start - 6 or a >= stop + 6


def test_other_stimuli_are_divided_by_blocks(tmp_path: Any) -> None:
    store = movie_store(tmp_path)
    blocks = SplitSpec(name="blocks", within=Blocks(folds=5, guard_s=0.2))
    for fold in (0, 3):
        ours, plain = (resolve_split(store, spec, fold).trials for spec in (QUICK, blocks))
        ours, plain = (table[table["stimulus"] == GRATINGS].reset_index(drop=True) for table in (ours, plain))
        assert ours.equals(plain)


def test_cuts_within_a_scene_are_told(tmp_path: Any) -> None:
    assert resolve_split(movie_store(tmp_path), QUICK).warnings == ()
    store = movie_store(tmp_path, scenes(100, 100, 40))
    (text,) = resolve_split(store, QUICK).warnings
    assert "5 of 7 cuts of natural_movie_one lie within a scene" in text
    assert "only the guard of 0.2 s parts them" in text


@pytest.mark.parametrize("assign", ["rank", "hash"])
def test_it_goes_with_held_out_donors(assign: Any, tmp_path: Any) -> None:
    spec = QUICK.model_copy(update={"across": Across(assign=assign, fractions=Fractions(train=0.5, valid=0, test=0.5))})
    store = movie_store(tmp_path, n_sessions=8)
    split = resolve_split(store, spec, 2)
    check_everything(store, split)
    assert set(split.sessions["role"]) == {"train", "test"}
    assert not frames_with(store, split, "test") & frames_with(store, split, "train", "identify")


@pytest.mark.parametrize(
    ("spec", "change", "says"),
    [
        pytest.param(QUICK, lambda store: store.movies.clear(), "no template .* use 'blocks-5fold'", id="no template"),
        pytest.param(
            QUICK,
            lambda store: store.movies.update({MOVIE: scenes(*[20] * 10)}),
            "frame 239 of natural_movie_one, whose template has 200",
            id="another template",
        ),
        pytest.param(
            QUICK,
            lambda store: store.movies.update({MOVIE: scenes(3, 4)}),
            "a movie of 7 frames has no 8 segments; ask for 7",
            id="few frames",
        ),
        pytest.param(SPLITS["movie-segments"], lambda store: None, "guard of 2 s .*`guard_s: ", id="guard"),
        pytest.param(
            QUICK,
            lambda store: store.presentations.__setitem__("movie_frame", -1),
            "was shown no movie.* use 'blocks-5fold'",
            id="no movie",
        ),
    ],
)
def test_what_cannot_be_divided_says_what_can(spec: SplitSpec, change: Any, says: str, tmp_path: Any) -> None:
    store = movie_store(tmp_path)
    change(store)
    with pytest.raises(SplitError, match=says):
        resolve_split(store, spec)


def test_the_advised_guard_works(tmp_path: Any) -> None:
    store = movie_store(tmp_path)
    with pytest.raises(SplitError) as caught:
        resolve_split(store, "movie-segments")
    advised = float(str(caught.value).split("`guard_s: ")[1].split("`")[0])
    within = SPLITS["movie-segments"].within.model_copy(update={"guard_s": advised})
    assert resolve_split(store, SplitSpec(name="ok", within=within)).check()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({}, "either `folds` or `fractions`", id="neither"),
        pytest.param({"folds": 10}, "10 folds need at least as many `segments`", id="folds"),
        pytest.param({"folds": 2}, "greater than or equal to 3", id="two folds"),
        pytest.param({"folds": 5, "cut_factor": 0}, "greater than 0", id="factor"),
    ],
)
def test_malformed_segments(values: dict, says: str) -> None:
    with pytest.raises(SplitError, match=says):
        MovieSegments(**values)
