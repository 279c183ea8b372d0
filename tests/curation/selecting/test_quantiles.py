"""quantile, zscore and rank: what they compare with, and that what they came to is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.reference_population import ReferencePopulation
from poyodata.curation.selecting.selection import select_neurons
from poyodata.digests import array_digest
from poyodata.errors import DietError

TABLE = pd.DataFrame(
    {
        "neuron_id": list("abcdefgh"),
        "x": [1.0, 2.0, 3.0, 4.0, 10.0, np.nan, np.inf, -np.inf],
        "whole": pd.array([1, 2, 3, 4, 5, None, 7, 8], dtype="Int64"),
        "same": [0.1] * 7 + [np.nan],
        "huge": [1.7e308, -1.7e308, 1e308, 0.0, 1.0, 2.0, 3.0, 4.0],
        "word": list("aabbccdd"),
        "flag": [True] * 8,
        "gone": [np.nan] * 8,
        "role": ["train"] * 4 + ["test"] * 4,
    }
)
TRAIN = (TABLE["role"] == "train").to_numpy(bool)


def answer(text: str, rows: Any = None) -> str:
    result = Evaluator(TABLE, reference=ReferencePopulation(rows)).evaluate(parse_expression(text))
    return "".join("t" if t else "?" if u else "f" for t, u in zip(result.true, result.unknown, strict=True))


@pytest.mark.parametrize(
    ("text", "of_all", "of_train"),
    [
        pytest.param("x >= quantile(x, 0.5)", "ffttt?tf", "ffttt?tf", id="median"),
        pytest.param("x > quantile(x, 0.9)", "fffft?tf", "ffftt?tf", id="ninth_decile"),
        pytest.param("x <= quantile(x, 0)", "tffff?ft", "tffff?ft", id="least"),
        pytest.param("quantile(x, 1) > x", "ttttf?ft", "tttff?ft", id="greatest_on_the_left"),
        pytest.param("quantile(x, 0.25) < x < quantile(x, 0.75)", "fftff?ff", "fttff?ff", id="between_two"),
        pytest.param("zscore(x) > 0", "fffft?tf", "ffttt?tf", id="above_the_mean"),
        pytest.param("rank(x) <= 0.5", "ttfff?ft", "ttfff?ft", id="lower_half"),
        pytest.param("rank(x) == 1.0", "fffft?tf", "ffftt?tf", id="highest_rank"),
        pytest.param("isnan(zscore(x))", "ffffftff", "ffffftff", id="missing_stays_missing"),
        pytest.param("zscore(same) > 0", "????????", "????????", id="constant_column"),
        pytest.param("gone > quantile(gone, 0.5)", "????????", "????????", id="everything_missing"),
        pytest.param("rank(abs(x)) < 0.3", "tffff?ff", "tffff?ff", id="of_a_function"),
        pytest.param("whole > quantile(whole, 0.5)", "fffft?tt", "ffttt?tt", id="whole_numbers"),
    ],
)
def test_numbers_are_compared_with_the_reference_population(text: str, of_all: str, of_train: str) -> None:
    assert answer(text) == of_all
    assert answer(text, TRAIN) == of_train


def test_they_are_those_of_numpy_and_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 2, 500)
    evaluator = Evaluator(pd.DataFrame({"x": x}))
    for share in (0.0, 0.1, 0.333, 0.9, 1.0):
        value = evaluator.values(parse_expression(f"x > quantile(x, {share!r})").operands[1]).values  # type: ignore[union-attr]
        assert value == np.quantile(x, share)
    scores = evaluator.values(parse_expression("zscore(x) > 0").operands[0]).values  # type: ignore[union-attr]
    np.testing.assert_allclose(scores, stats.zscore(x))
    ranks = evaluator.values(parse_expression("rank(x) > 0").operands[0]).values  # type: ignore[union-attr]
    np.testing.assert_allclose(ranks, [stats.percentileofscore(x, value, kind="weak") / 100 for value in x])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_numbers_near_the_end_of_the_range_do_not_overflow(share: float) -> None:
    reference = ReferencePopulation()
    value = reference.quantile(TABLE["huge"].to_numpy(), np.zeros(8, bool), share, "q")
    assert np.isfinite(value)
    assert answer("zscore(huge) > 1") == "????????"  # their deviation is beyond the range: said, not guessed


@pytest.mark.parametrize(
    ("text", "rows", "expected"),
    [
        pytest.param("word > quantile(word, 0.5)", None, r"word holds texts, quantile\(\) takes numbers", id="text"),
        pytest.param("zscore(flag) > 1", None, r"flag holds truth values, zscore\(\) takes numbers", id="bool"),
        pytest.param("x > quantile(x, 0.5)", np.zeros(8, bool), "none of the 0 neurons", id="nobody"),
        pytest.param("rank(x) > 0.5", ~np.isfinite(TABLE["x"].to_numpy()), "none of the 3 neurons", id="none_finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(text: str, rows: Any, expected: str) -> None:
    with pytest.raises(DietError, match=expected):
        answer(text, rows)


def test_what_they_came_to_is_written_down() -> None:
    chosen = select_neurons(Diet.where("x > quantile(x, 0.5) or zscore(x) > 9 or rank(x) > 0.9", name="d"), TABLE)
    known = np.array([1.0, 2.0, 3.0, 4.0])
    assert chosen.frozen == {
        "quantile(x, 0.5)": {"value": 2.5, "n": 4, "reference": "train"},
        "zscore(x)": {"mean": 2.5, "std": known.std(), "n": 4, "reference": "train"},
        "rank(x)": {"n": 4, "digest": array_digest(known), "reference": "train"},
    }


def test_the_reference_can_be_everyone_and_never_holds_invalid_regions() -> None:
    diet = Diet.where("x >= quantile(x, 1)", name="d")
    everyone = diet.with_options(statistics_reference="all")
    assert select_neurons(diet, TABLE).frozen["quantile(x, 1.0)"] == {"value": 4.0, "n": 4, "reference": "train"}
    assert select_neurons(everyone, TABLE).frozen["quantile(x, 1.0)"] == {"value": 10.0, "n": 5, "reference": "all"}
    valid = TABLE.assign(valid_roi=[True, True, True, False, True, True, True, True])
    assert select_neurons(diet, valid).frozen["quantile(x, 1.0)"]["value"] == 3.0
    assert select_neurons(diet, TABLE.drop(columns="role")).frozen["quantile(x, 1.0)"]["reference"] == "all"


def test_a_constant_column_is_noted() -> None:
    chosen = select_neurons(Diet.where("zscore(same) > 1 or flag"), TABLE)
    assert "zscore(same) is unknown: same is the same for all of the reference population" in chosen.warnings
    assert chosen.frozen["zscore(same)"]["std"] == 0.0


def test_held_out_animals_do_not_move_a_quantile(
    resolve: Callable[..., Manifest], store: Any, make_split: Callable[..., Any]
) -> None:
    diet = Diet.where(c.skewness >= c.skewness.quantile(0.5), name="upper")
    split = make_split(store, across=True)
    before = resolve(diet, store, split)
    held = split.sessions.loc[split.sessions["role"] == "test", "session_id"]
    rows = store.neurons["session_id"].isin(held).to_numpy(bool)
    assert before.meta["reference"] == "train"
    assert before.meta["frozen"]["quantile(skewness, 0.5)"]["n"] == int((~rows).sum()) * 11 // 12
    store.moments.loc[rows & (store.neurons["column"] % 2 == 0).to_numpy(bool), "skewness"] = 1000.0
    after = resolve(diet, store, split)
    assert after.meta["frozen"] == before.meta["frozen"]
    everyone = resolve(diet.with_options(statistics_reference="all"), store, split)
    assert everyone.meta["frozen"] != before.meta["frozen"]
    assert everyone.meta["reference"] == "all"
