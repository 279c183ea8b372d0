"""Which step kept or dropped a neuron, with the values that it looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Diet, Manifest, c, load_diet, mix
from poyodata.curation.language import rules
from poyodata.errors import UsageError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]
GRATINGS = c.stimulus == "drifting_gratings"
PREDICTABLE = (c.skewness <= 3.51) & (c.kurtosis <= 22.62)


def rows_of(explanation: Any) -> list[list[str]]:
    rows: list[list[str]] = explanation.steps[["step", "answer", "looked_at"]].to_numpy().tolist()
    return rows


def test_the_clause_that_dropped_a_neuron_is_named_with_its_values(
    resolve: Resolve, store: Any, make_split: Make
) -> None:
    diet = Diet.where(PREDICTABLE, name="predictable").during(GRATINGS, min_length_s=1.9)
    manifest = resolve(diet, store, make_split(store))
    # Column 10 is high in kurtosis alone.
    found = manifest.explain("s02_010")
    assert (found.answer, found.kept, found.decided_by) == ("rejected", False, "neurons.where[1]")
    assert rows_of(found) == [
        ["neurons.where[0]", "kept", "skewness = 1"],
        ["neurons.where[1]", "rejected", "kurtosis = 40"],
        ["neurons", "rejected", "skewness = 1, kurtosis = 40"],
        ["missing", "rejected", ""],
    ]
    assert found.values == {"skewness": 1.0, "kurtosis": 40.0}
    assert (found.about["session_id"], found.about["cre_line"], found.about["role"]) == ("s02", "Vip-IRES-Cre", "train")
    assert found.windows == {"test": 10, "train": 20, "valid": 10}
    text = str(found)
    first = text.splitlines()[0]
    assert first == (
        "Neuron s02_010 is rejected by diet 'predictable': step neurons.where[1]; kurtosis <= 22.62; kurtosis = 40."
    )
    assert "Windows of its recording: 10 test, 20 train, 10 valid." in text
    assert "&lt;=" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["steps"][1]["looked_at"] == "kurtosis = 40"


def test_kept_and_unknown_neurons(resolve: Resolve, store: Any, make_split: Make) -> None:
    manifest = resolve(Diet.where(PREDICTABLE, name="d"), store, make_split(store))
    kept = manifest.explain("s00_000")
    assert (kept.answer, kept.decided_by) == ("kept", "")
    assert str(kept).startswith("Neuron s00_000 is kept by diet 'd'.")
    unknown = manifest.explain("s00_011")
    assert (unknown.answer, unknown.decided_by) == ("unknown", "neurons.where[0]")
    assert "skewness = missing; a value that it looks at is missing" in unknown.reason
    assert unknown.values == {"skewness": None, "kurtosis": None}


def test_what_was_frozen_is_shown(resolve: Resolve, store: Any, make_split: Make) -> None:
    manifest = resolve(Diet.where("skewness <= quantile(skewness, 0.5)", name="d"), store, make_split(store))
    value = manifest.meta["frozen"]["quantile(skewness, 0.5)"]["value"]
    looked_at = manifest.explain("s00_004").steps["looked_at"].iloc[0]
    assert looked_at == f"skewness = 3, quantile(skewness, 0.5) = {value:.6g}"


@pytest.mark.parametrize(
    ("diet", "pool", "place"),
    [
        pytest.param(
            Diet.where(PREDICTABLE).sample(fraction=0.5, seed=3), 40, "by hash (seed 3), the first 20", id="fraction"
        ),
        pytest.param(Diet.where(PREDICTABLE).sample(n=7, seed=0), 40, "by hash (seed 0), the first 7", id="n"),
        pytest.param(
            Diet.where(PREDICTABLE).sample(n=2, within="cre_line"),
            10,
            "in Cux2-CreERT2 by hash (seed 0), the first 2",
            id="within",
        ),
        pytest.param(
            Diet.where(PREDICTABLE).balance("session_id", n=3), 5, "in s04 by hash (seed 0), the first 3", id="balance"
        ),
        pytest.param(
            Diet.where(PREDICTABLE).balance("cre_line"),
            10,
            "in Cux2-CreERT2 by hash (seed 0), the first 10",
            id="as many",
        ),
        pytest.param(Diet.where(PREDICTABLE).top(16, by=c.skewness), 40, "by highest skewness (", id="top"),
        pytest.param(
            Diet.where(PREDICTABLE).sample(n=20, seed=0).with_options(missing="include"),
            48,
            "by hash (seed 0), the first 20",
            id="unknown_included",
        ),
        pytest.param(
            mix(Diet.where(c.kurtosis > 30, name="high"), Diet.where(PREDICTABLE, name="low").sample(fraction=0.3)),
            40,
            "by hash (seed 0), the first 12",
            id="mix",
        ),
    ],
)
def test_the_place_in_a_sample_agrees_with_what_was_taken(
    diet: Diet, pool: int, place: str, resolve: Resolve, store: Any, make_split: Make
) -> None:
    manifest = resolve(diet.named("d"), store, make_split(store))
    found = [manifest.explain(f"s04_{column:03d}") for column in range(5)]
    shown = [next(text for text in one.steps["place"] if text) for one in found]
    places = [int(text.split("place ")[1].split(" of ")[0]) for text in shown]
    for text, own, one in zip(shown, places, found, strict=True):
        assert place in text and f" of {pool}" in text
        taken = int(text.split("the first ")[1].split(" are")[0])
        assert one.kept == (own <= taken)
    assert len(set(places)) == 5
    in_no_pool = manifest.explain("s04_011").steps["place"].eq("").all()  # unknown, unless the diet includes that
    assert in_no_pool == (diet.missing == "exclude")


def test_a_term_that_takes_from_what_others_leave_says_of_how_many(
    resolve: Resolve, store: Any, make_split: Make
) -> None:
    terms = (rules.MixTerm(Diet.where(PREDICTABLE).neurons, n=15), rules.MixTerm(Diet.everyone().neurons, n=20))
    manifest = resolve(Diet(rules.Mix(terms), name="d"), store, make_split(store))
    assert len(manifest.neurons) == 35
    places = manifest.explain("s04_000").steps["place"].tolist()
    assert any("the first 15 are taken; term 2: 20 of the 81 that other terms leave are taken" in one for one in places)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["abs(zscore(skewness))", "rank(skewness)", "zscore(skewness)"])
@pytest.mark.parametrize("reference", ["train", "all"])
def test_the_place_in_a_top_is_among_the_population_that_was_compared_with(
    by: str, reference: str, resolve: Resolve, store: Any, make_split: Make
) -> None:
    rng = np.random.default_rng(0)
    held_out = store.neurons["donor_id"].eq("d3").to_numpy()
    store.moments["skewness"] = rng.normal(3, 2, len(store.moments)) + 2.5 * held_out
    diet = Diet.everyone().named("t").top(50, by=by, order="lowest").with_options(statistics_reference=reference)
    manifest = resolve(diet, store, make_split(store, across=True))
    kept = set(manifest.neurons["neuron_id"])
    for neuron_id in manifest.population["neuron_id"]:
        found = manifest.explain(neuron_id)
        place = next(text for text in found.steps["place"] if text)
        assert (int(place.split("place ")[1].split(" of ")[0]) <= 50) == (neuron_id in kept) == found.kept


def test_matched_controls_say_how_many_were_drawn(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = Diet.where(PREDICTABLE, name="low").matched(on=["session_id"], seed=2)
    found = resolve(diet.named("d"), store, make_split(store)).explain("s04_000")
    assert any("40 of 96 drawn (seed 2, draw 0)" in text for text in found.steps["place"])


def test_steps_go_through_references(resolve: Resolve, store: Any, make_split: Make) -> None:
    manifest = resolve(load_diet("mixed-30"), store, make_split(store))
    found = manifest.explain("s01_005")
    assert (found.answer, found.decided_by) == ("kept", "")
    assert "as 'unpredictable'" in str(found).splitlines()[0]
    assert any("predictable" in step and "where" in step for step in found.steps["step"])


def test_a_diet_explains_on_a_store_also_when_it_keeps_nothing(resolve: Resolve, store: Any, make_split: Make) -> None:
    split = make_split(store)
    resolve(Diet.everyone(), store, split)  # lets a TinyStore's moments be found
    none = Diet.where("skewness > 100 and kurtosis > 1", name="none")
    found = none.explain(store, "s00_001", split=split)
    assert (found.answer, found.decided_by, found.windows) == ("rejected", "neurons.where[0]", None)
    same = resolve(Diet.where(PREDICTABLE, name="d"), store, split).explain("s00_010")
    other = Diet.where(PREDICTABLE, name="d").explain(store, "s00_010", split=split)
    assert rows_of(same) == rows_of(other) and other.windows is None


def test_a_neuron_that_is_not_considered(resolve: Resolve, store: Any, make_split: Make) -> None:
    store.neurons.loc[3, "valid_roi"] = False
    store.neurons["exclusion_label"] = ["edge" if not valid else "" for valid in store.neurons["valid_roi"]]
    split = make_split(store)
    manifest = resolve(Diet.where(PREDICTABLE, name="d"), store, split)
    found = Diet.where(PREDICTABLE, name="d").explain(store, "s00_003", split=split)
    assert (found.answer, found.decided_by) == ("not considered", "valid_roi")
    assert "exclusion label 'edge'" in str(found)
    with pytest.raises(UsageError, match="considered no neuron 's00_003'"):
        manifest.explain("s00_003")
    split.sessions = split.sessions[split.sessions["session_id"] != "s07"]
    left_out = Diet.where(PREDICTABLE, name="d").explain(store, "s07_000", split=split)
    assert (left_out.answer, left_out.decided_by) == ("not considered", "split")


def test_an_unknown_neuron_is_answered_with_the_nearest(resolve: Resolve, store: Any, make_split: Make) -> None:
    split = make_split(store)
    manifest = resolve(Diet.where(PREDICTABLE, name="d"), store, split)
    with pytest.raises(UsageError, match=r"considered no neuron 's02_0003': did you mean 's02_003'\?"):
        manifest.explain("s02_0003")
    with pytest.raises(UsageError, match=r"no neuron 's02_0003' in .*did you mean 's02_003'\?"):
        Diet.where(PREDICTABLE).explain(store, "s02_0003", split=split)


def test_of_a_mix_only_the_term_that_took_a_neuron_is_told(resolve: Resolve, store: Any, make_split: Make) -> None:
    low, high = Diet.where(PREDICTABLE, name="low"), Diet.where("kurtosis > 30", name="high")
    terms = (
        rules.MixTerm(low.top(16, "skewness").neurons, name="first", n=10, seed=1),
        rules.MixTerm(low.neurons, name="second", n=9, seed=2),
        rules.MixTerm(high.neurons, name="third"),
    )
    manifest = resolve(Diet(rules.Mix(terms), name="d"), store, make_split(store))
    reasons = {"first": "", "second": "", "third": ""}
    for neuron_id, term in manifest.neurons[["neuron_id", "term"]].itertuples(index=False):
        reasons[term] = max(reasons[term], manifest.explain(neuron_id).reason, key=len)
    assert "place" in reasons["first"] and "by highest skewness" in reasons["first"]
    assert "term 1: " in reasons["first"] and "term 2" not in reasons["first"]
    assert "term 2: 9 of the 30 that other terms leave" in reasons["second"]
    assert "term 1" not in reasons["second"] and "highest" not in reasons["second"]
    assert reasons["third"] == "as 'third'"


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        pytest.param("rank(skewness) <= 0.5", "skewness = 3, rank(skewness) = 0.545455", id="rank"),
        pytest.param("zscore(skewness) < 2", "zscore(skewness) = -0.163299 (mean 3.27273, std 1.67011)", id="zscore"),
        pytest.param("log10(skewness) < 2", "skewness = 3, log10(skewness) = 0.477121", id="log10"),
        pytest.param("abs(log10(skewness)) < 2", "abs(log10(skewness)) = 0.477121", id="within each other"),
        pytest.param("skewness < quantile(log10(skewness), 0.9)", "quantile(log10(skewness), 0.9) = 0.69897", id="q"),
    ],
)
def test_what_a_function_came_to_is_shown(
    condition: str, said: str, resolve: Resolve, store: Any, make_split: Make
) -> None:
    manifest = resolve(Diet.where(f"{condition} or skewness > 0", name="d"), store, make_split(store))
    assert said in manifest.explain("s00_004").steps["looked_at"].iloc[0]
    missing = manifest.explain("s00_011").steps["looked_at"].iloc[0]
    assert "skewness = missing" in missing and ("(skewness) = missing" in missing or "quantile" in missing)
