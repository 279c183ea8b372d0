"""``paper-trial``: the division of POYO-CAP, trial by trial, and what is wrong with it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from poyodata.errors import SplitError
from poyodata.intervals import n_frames
from poyodata.splits import SPLITS, Across, Fractions, PaperTrials, SplitSpec, Trials, resolve_split
from poyodata.vocabulary import STATIC_GRATINGS
from tests.fake_store import GRATINGS, GREY, MOVIE, make_store
from tests.splits.test_resolve import check_everything

# 30 frames a movie in a made store: 10 repeats. 613 sweeps, of which 15 are blank, in three epochs.
LAYOUT = ((GRATINGS, 200), (MOVIE, 300), (GRATINGS, 200), (GREY, 1000), (GRATINGS, 213))


def trials_of(split: Any, store: Any, stimulus: str) -> Any:
    shown = store.presentations_of("s000")
    own = split.trials[(split.trials["session_id"] == "s000") & (split.trials["stimulus"] == stimulus)]
    return shown[shown["stimulus"] == stimulus].merge(own[["stimulus", "trial", "role"]], how="left")


def test_gratings_are_shuffled_as_in_the_paper(tmp_path: Any) -> None:
    store = make_store(tmp_path, layout=LAYOUT, n_sessions=2)
    shown = store.presentations["stimulus"] == GRATINGS
    store.presentations.loc[shown, "blank"] = store.presentations.loc[shown, "trial"] % 41 == 40
    store.presentations.loc[shown & (store.presentations["trial"] == 612), "blank"] = True
    split = resolve_split(store, "paper-trial")
    check_everything(store, split)
    gratings = trials_of(split, store, GRATINGS)
    seen = gratings[~gratings["blank"]].reset_index(drop=True)
    assert len(seen) == 598
    order = np.random.default_rng(42).permutation(598)
    expected = np.full(598, "train", dtype=object)
    expected[order[418:478]], expected[order[478:]] = "valid", "test"
    assert seen["role"].tolist() == expected.tolist()
    assert gratings.loc[gratings["blank"], "role"].isna().all()
    other = split.trials[(split.trials["session_id"] == "s001") & (split.trials["stimulus"] == GRATINGS)]
    assert other["role"].tolist() == seen["role"].tolist()  # the same shuffle in every recording


def test_movies_are_divided_by_repeats_so_every_test_frame_was_seen(tmp_path: Any) -> None:
    store = make_store(tmp_path, layout=LAYOUT)
    split = resolve_split(store, "paper-trial")
    movie = trials_of(split, store, MOVIE)
    by_repeat = movie.groupby("repeat")["role"].agg(set)
    assert by_repeat.tolist() == [{"train"}] * 8 + [{"valid"}, {"test"}]
    frames = movie.groupby("role")["movie_frame"].agg(set)
    assert frames["test"] == frames["train"] == set(range(30))  # what its caution says
    gratings = trials_of(split, store, GRATINGS).dropna(subset="role")["role"].tolist()
    beside = sum({a, b} == {"train", "test"} for a, b in pairwise(gratings))
    assert beside > 100


@pytest.mark.parametrize(
    ("n", "expected"),
    [pytest.param(3, [1, 1, 1], id="3"), pytest.param(5, [3, 1, 1], id="5"), pytest.param(20, [16, 2, 2], id="20")],
)
def test_other_numbers_of_repeats_keep_the_last_for_test(n: int, expected: list[int], tmp_path: Any) -> None:
    store = make_store(tmp_path, layout=((MOVIE, 30 * n),))
    movie = trials_of(resolve_split(store, "paper-trial"), store, MOVIE)
    roles = movie.groupby("repeat")["role"].first().tolist()
    assert roles == ["train"] * expected[0] + ["valid"] * expected[1] + ["test"] * expected[2]


def test_what_the_paper_leaves_out_is_dealt_as_said(tmp_path: Any) -> None:
    store = make_store(tmp_path, layout=((GRATINGS, 100), (GREY, 1000), (GRATINGS, 100)))
    second = store.presentations["epoch"] == 2
    store.presentations.loc[second, "stimulus"] = STATIC_GRATINGS
    store.presentations.loc[second, "blank"] = False
    split = resolve_split(store, "paper-trial")
    assert trials_of(split, store, STATIC_GRATINGS)["role"].value_counts().to_dict() == {
        "train": 70,
        "valid": 10,
        "test": 20,
    }
    grey = store.presentations[store.presentations["stimulus"] == GREY].iloc[0]
    for role, start, stop in (("train", 0, 700), ("valid", 700, 800), ("test", 800, 1000)):
        span = [grey["start_frame"] + start, grey["start_frame"] + stop]
        assert span in split.intervals("s000", role).tolist()
    assert n_frames(np.concatenate([split.intervals("s000", role) for role in ("train", "valid", "test")])) == (
        20 * int((~store.presentations["blank"] & (store.presentations["stimulus"] != GREY)).sum()) + 1000
    )


@pytest.mark.parametrize(
    ("layout", "says", "smallest"),
    [
        pytest.param(((MOVIE, 60),), "2 repeats of natural_movie_one.*at least 3", ((MOVIE, 90),), id="repeats"),
        pytest.param(((GRATINGS, 4),), "4 trials of drifting_gratings.*at least 6", ((GRATINGS, 6),), id="trials"),
    ],
)
def test_too_few_names_how_many_are_needed(layout: Any, says: str, smallest: Any, tmp_path: Any) -> None:
    stores = [make_store(tmp_path, layout=shape) for shape in (layout, smallest)]
    for store in stores:
        store.presentations["blank"] = False
    with pytest.raises(SplitError, match=says):
        resolve_split(stores[0], "paper-trial")
    assert set(resolve_split(stores[1], "paper-trial").trials["role"]) == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(SPLITS["paper-trial"], ["every movie frame of test was shown in training", "both sides"], id="p"),
        pytest.param(
            SplitSpec(name="dealt", within=Trials(fractions=Fractions(train=0.8, valid=0.1, test=0.1))),
            ["neighbouring trials lie on both sides"],
            id="trials",
        ),
        pytest.param(
            SplitSpec(name="site", across=Across(by="container"), within=PaperTrials()),
            ["the same mouse may be on both sides", "neighbouring trials"],
            id="container",
        ),
        pytest.param(SPLITS["blocks-5fold"], None, id="blocks"),
        pytest.param(SPLITS["donor-70-10-20"], None, id="donors"),
        pytest.param(SPLITS["movie-segments"], None, id="segments"),
    ],
)
def test_a_split_says_what_a_reader_must_know(spec: SplitSpec, says: list[str] | None, tmp_path: Any) -> None:
    if says is None:
        assert spec.caution is None
        return
    assert spec.caution is not None
    assert spec.name in spec.caution
    for text in says:
        assert text in spec.caution
    if spec.across is None:
        assert resolve_split(make_store(tmp_path, layout=LAYOUT), spec).warnings == (spec.caution,)
