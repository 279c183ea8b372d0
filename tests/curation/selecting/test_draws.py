"""Many draws at once are what each of them is alone, and share all that does not differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.curation import resolve as resolving
from poyodata.curation.language import rules
from poyodata.curation.selecting.draws import draw_controls
from poyodata.curation.selecting.selection import select_neurons
from poyodata.errors import DietError, UsageError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]


@pytest.mark.parametrize(
    "on", [pytest.param(["session_id"], id="recordings"), pytest.param(["cre_line", "tokens"], id="tokens")]
)
def test_each_of_many_draws_is_the_draw_of_that_number(
    resolve: Resolve, store: Any, make_split: Make, on: list[str]
) -> None:
    low, split = load_diet("predictable"), make_split(store, across=True)
    alone = [resolve(low.matched(on=on, seed=5, draw=draw), store, split) for draw in range(4)]
    together = draw_controls(low, store, 4, on=on, seed=5, split=split)
    assert [one.digest for one in together] == [one.digest for one in alone]
    assert [one.record_digest for one in together] == [one.record_digest for one in alone]
    assert len({one.digest for one in together}) == 4
    for one in together:
        counts = one.neurons["session_id"].value_counts()
        assert len(one.neurons) == 40
        assert on != ["session_id"] or set(counts) == {5}


def test_a_diet_of_controls_is_numbered_on_from_its_own_draw(resolve: Resolve, store: Any, make_split: Make) -> None:
    split = make_split(store)
    diet = load_diet("predictable").matched(on=["session_id"], draw=2)
    resolve(diet, store, split)  # puts the store's moments in the place of computed ones
    seen = [one.meta["diet"]["neurons"]["match"]["draw"] for one in draw_controls(diet, store, 3, split=split)]
    assert seen == [2, 3, 4]
    inside = Diet(rules.Mix((rules.MixTerm(load_diet("unpredictable-strict").neurons), rules.MixTerm(diet.neurons))))
    assert [len(one.meta["matched"]) > 0 for one in draw_controls(inside, store, 2, split=split)] == [True, True]


def test_columns_strata_and_windows_are_found_once(
    resolve: Resolve, store: Any, make_split: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(store)
    low = load_diet("predictable")
    resolve(low, store, split)
    calls: list[str] = []
    for name in ("gather", "select_windows"):
        real = getattr(resolving, name)
        monkeypatch.setattr(
            resolving, name, lambda *a, _real=real, _name=name, **k: (calls.append(_name), _real(*a, **k))[1]
        )
    draw_controls(low, store, 6, on=["session_id"], split=split)
    assert calls == ["gather", "select_windows"]


@pytest.mark.parametrize(
    ("n", "options", "expected"),
    [
        pytest.param(0, {}, "at least 1", id="none"),
        pytest.param(2, {"on": ["session_id"]}, "matched already", id="said_twice"),
    ],
)
def test_wrong_calls_are_refused(store: Any, n: int, options: dict[str, Any], expected: str) -> None:
    diet = load_diet("predictable").matched()
    with pytest.raises((DietError, UsageError), match=expected):
        draw_controls(diet, store, n, **options)


def test_controls_for_as_many_neurons_as_the_real_recording_has() -> None:
    # 111 predictable, 105 high in both, 38 neither, as in the recording of the next test.
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "neuron_id": [f"527745328_{k}" for k in range(254)],
            "session_id": "527745328",
            "skewness": np.r_[rng.uniform(0, 3.5, 111), rng.uniform(3.6, 9, 105), rng.uniform(3.6, 9, 38)],
            "kurtosis": np.r_[rng.uniform(0, 22, 111), rng.uniform(23, 90, 105), rng.uniform(0, 22, 38)],
        }
    )
    low, both = load_diet("predictable"), load_diet("unpredictable-strict")
    assert [int(select_neurons(one, table).kept.sum()) for one in (low, both, Diet.everyone() - low - both)] == [
        111,
        105,
        38,
    ]
    plans: dict[str, Any] = {}
    kept = [select_neurons(low.matched(["session_id"], draw=k), table, plans=plans).kept for k in range(200)]
    assert {int(one.sum()) for one in kept} == {111} and len(plans) == 1
    # Of 111 drawn at random from 254, 48.5 of the target's own on average (hypergeometric, deviation 4.0).
    shared = np.array([int(one[:111].sum()) for one in kept])
    assert abs(shared.mean() - 111 * 111 / 254) < 4 * 4.0 / np.sqrt(200)
    assert abs(shared.std() - 4.0) < 0.8


@pytest.mark.slow
def test_controls_of_the_real_recording(real_recording: Any, tmp_path: Any) -> None:
    from poyodata.sources import read_arrays
    from poyodata.store import StoreWriter, open_store

    with StoreWriter(tmp_path / "real.zarr") as writer:
        writer.add(read_arrays(real_recording / "dff_dg_continuous.h5"))
    store = open_store(tmp_path / "real.zarr")
    low = load_diet("predictable").with_options(statistics_window="all")
    draws = draw_controls(low, store, 30, on=["session_id", "mean"])
    assert {len(one.neurons) for one in draws} == {111}
    assert len({one.digest for one in draws}) == 30
    assert np.mean([abs(one.imbalance().set_index("thing").loc["mean", "smd"]) for one in draws]) < 0.1
    free = draw_controls(low, store, 30, on=["session_id"])
    target = set(low.resolve(store).neurons["neuron_id"])
    shared = [len(target & set(one.neurons["neuron_id"])) for one in free]
    # 111 of 254 drawn at random: 48.5 of the target's own, on average.
    assert abs(np.mean(shared) - 111 * 111 / 254) < 4 * 4.0 / np.sqrt(30)
    assert free[0].imbalance()["difference"].abs().max() == 0
