"""Going on in the middle of an epoch: not one window is lost or read twice."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest
from poyodata.errors import LoaderError
from poyodata.loaders import Loader, Recipe, SamplingChoice, make_loader
from poyodata.store import Store

SAMPLINGS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "in-order": {"shuffle": False},
    "same-recording": {"sampling": "same-recording"},
    "balanced": {"sampling": SamplingChoice("balanced", by="direction_deg")},
    "weighted": {"sampling": SamplingChoice("weighted", weights={"all": 1.0}, n_windows=50)},
    "jittered": {"jitter_frames": 5},
    "fixed": {"mode": "fixed"},
    "one-of-two-ranks": {"rank": 1, "world": 2},
    "prefetched": {"prefetch": 1},
}

Make = Callable[..., Loader]


@pytest.fixture
def make(tiny_store: Store, gratings: Manifest) -> Make:
    def made(**arguments: Any) -> Loader:
        return make_loader(
            tiny_store, gratings, **{"window_s": 1.0, "batch_size": 7, "seed": 3, "normalise": False, **arguments}
        )

    return made


def rows(batches: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """Where each window of some batches is from, and the number that its random changes are drawn from."""
    names = ("sample", "session_index", "start_frame")
    return [row for b in batches for row in zip(*(b[name].tolist() for name in names), strict=True)]


def term_of(manifest: Manifest) -> str:
    return str(manifest.neurons["term"].iloc[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLINGS)
def test_resumed_anywhere_the_epoch_is_the_same(make: Make, gratings: Manifest, name: str) -> None:
    arguments = dict(SAMPLINGS[name])
    if name == "weighted":
        choice = SamplingChoice("weighted", weights={term_of(gratings): 1.0}, n_windows=50)
        arguments["sampling"] = choice
    whole = make(**arguments)
    whole.set_epoch(4)
    batches = list(whole.arrays())
    expected = rows(batches)
    draw = np.random.default_rng(0)
    # What varies is where it is cut, and how often; ends included.
    for cuts in [[0], [len(batches)], *([sorted(draw.integers(0, len(batches) + 1, 2)) for _ in range(4)])]:
        found: list[dict[str, Any]] = []
        loader = make(**arguments)
        loader.set_epoch(4)
        for cut in cuts:
            iterator = loader.arrays()
            while loader.state_dict()["batches"] < cut and len(found) < cut:
                found.append(next(iterator))
            state = json.loads(json.dumps(loader.state_dict()))
            iterator.close()  # type: ignore[attr-defined]
            loader = make(**arguments)
            loader.load_state_dict(state)
        found += list(loader.arrays())
        assert rows(found) == expected, cuts
        for mine, its in zip(found, batches, strict=True):
            np.testing.assert_array_equal(mine["values"], its["values"])


def test_the_epoch_after_a_resumed_one_is_whole(make: Make) -> None:
    loader = make()
    loader.load_state_dict(make().state_dict() | {"epoch": 2, "batches": 5})
    loader.set_epoch(2)  # as training loops do before every epoch
    assert len(list(loader.arrays())) == len(loader) - 5
    assert loader.state_dict()["batches"] == len(loader)
    assert len(list(loader.arrays())) == len(loader)
    loader.load_state_dict(loader.state_dict() | {"batches": 5})
    loader.set_epoch(3)
    assert len(list(loader.arrays())) == len(loader), "another epoch begins at its start"


@pytest.mark.parametrize("ended", [False, True], ids=["last-batch-given", "iteration-ended"])
@pytest.mark.parametrize("prefetch", [0, 1])
def test_of_a_finished_epoch_nothing_is_left(make: Make, ended: bool, prefetch: int) -> None:
    loader = make(batch_size=20, prefetch=prefetch)
    loader.set_epoch(3)
    iterator = loader.arrays()
    for _ in range(len(loader)):
        next(iterator)
    if ended:
        assert next(iterator, None) is None
    state = loader.state_dict()
    assert (state["epoch"], state["batches"]) == (3, len(loader))
    other = make(batch_size=20, prefetch=prefetch)
    other.load_state_dict(state)
    assert list(other.arrays()) == []
    other.load_state_dict(state)
    other.set_epoch(4)
    assert other.state_dict()["batches"] == 0
    assert rows(list(other.arrays())) == rows([other.batch(4, number) for number in range(len(other))])


def test_the_state_of_the_rank_with_most_batches_is_any_ranks(make: Make) -> None:
    first, last = (make(split="test", batch_size=1, rank=rank, world=2) for rank in (0, 1))
    assert len(first) == len(last) + 1 == first.sampler.most_batches == last.sampler.most_batches
    for _ in first.arrays():
        pass
    last.load_state_dict(first.state_dict())
    assert list(last.arrays()) == []
    with pytest.raises(LoaderError, match="it was changed"):
        last.load_state_dict(first.state_dict() | {"batches": len(first) + 1})


def test_where_rows_came_from_is_part_of_the_state(make: Make) -> None:
    loader, other = make(), make()
    other.windows = replace(other.windows, source=other.windows.source[::-1].copy())
    with pytest.raises(LoaderError, match="windows was"):
        other.load_state_dict(loader.state_dict())


def test_a_loader_that_was_left_early_begins_anew(make: Make) -> None:
    loader = make()
    first = next(loader.arrays())
    assert loader.state_dict()["batches"] == 1
    assert rows([next(loader.arrays())]) == rows([first])


def test_any_batch_is_had_at_once(make: Make) -> None:
    loader = make(jitter_frames=3)
    loader.set_epoch(2)
    for number, batch in enumerate(loader.arrays()):
        mine = loader.batch(2, number)
        assert mine.keys() == batch.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], batch[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"seed": 4}, "seed was 3, here it is 4", id="seed"),
        pytest.param({"batch_size": 8}, "batch size was 7, here it is 8", id="batch-size"),
        pytest.param({"world": 2}, "number of ranks was 1, here it is 2", id="world"),
        pytest.param({"split": "test"}, "role was 'train', here it is 'test'", id="role"),
        pytest.param({"window_s": 2.0}, "recipe was '.{12}', here", id="window"),
        pytest.param({"jitter_frames": 2}, "recipe was", id="jitter"),
        pytest.param({"sampling": "same-recording"}, "sampling was", id="sampling"),
        pytest.param({"normalise": True}, "normalisation was", id="normalisation"),
        pytest.param({"neuron_columns": "x_um"}, "columns of neurons was '', here", id="neuron-columns"),
        pytest.param({"seed": 4, "batch_size": 8}, "seed was .*; batch size was", id="all-that-differ"),
    ],
)
def test_the_state_of_other_batches_is_refused(make: Make, arguments: dict[str, Any], said: str) -> None:
    state = make().state_dict()
    other = make(**arguments)
    with pytest.raises(LoaderError, match=said):
        other.load_state_dict(state)
    assert other.state_dict()["epoch"] == 0


def test_the_state_of_another_manifest_is_refused(make: Make, tiny_store: Store, whole_time: Manifest) -> None:
    other = make_loader(tiny_store, whole_time, mode="fixed", window_s=1.0, batch_size=7, seed=3)
    with pytest.raises(LoaderError, match=r"manifest was '.{12}', here it is '.{12}'"):
        other.load_state_dict(make().state_dict())


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="empty"),
        pytest.param({"batches": 10**6}, id="more-than-there-are"),
        pytest.param({"batches": -1}, id="negative"),
        pytest.param({"epoch": "3"}, id="text"),
        pytest.param({"format": 99}, id="later-format"),
    ],
)
def test_a_damaged_state_is_refused(make: Make, state: dict[str, Any]) -> None:
    loader = make()
    with pytest.raises(LoaderError, match="state"):
        loader.load_state_dict({**loader.state_dict(), **state} if state else {})


def test_the_name_of_a_recipe_is_no_part_of_the_state(tiny_store: Store, gratings: Manifest) -> None:
    text = "recipe: 1\nname: {}\nwindows: {{window_s: 1.0}}\ntargets: [direction]\n"
    a, b = (make_loader(tiny_store, gratings, recipe=Recipe.from_yaml(text.format(name))) for name in "ab")
    b.load_state_dict(a.state_dict())


def test_a_pickled_loader_makes_the_same_batches(make: Make) -> None:
    loader = make(jitter_frames=2, normalise=True)
    _ = loader.batch(0, 0)  # something is open
    other = pickle.loads(pickle.dumps(loader))  # noqa: S301
    assert other.state_dict() == loader.state_dict()
    for name, values in loader.batch(1, 2).items():
        np.testing.assert_array_equal(other.batch(1, 2)[name], values)
