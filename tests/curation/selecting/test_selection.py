from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import PRESETS, Diet, load_diet, mix
from poyodata.curation.language import rules
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import round_half_up, select_neurons
from poyodata.errors import DietError

COUNTS = {
    "all": 96,
    "predictable": 40,
    "unpredictable": 48,
    "unpredictable-strict": 32,
    "inhibitory": 48,
    "mixed-30": 48 + 12,
    "predictable-cre": 48,
    "unpredictable-cre": 48,
    "mixed-cre": 72,
    "random-matched": 40,
}


def kept(diet: Diet, table: pd.DataFrame) -> set[str]:
    return set(table.loc[select_neurons(diet, table).kept, "neuron_id"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_known_numbers(name: str, population: pd.DataFrame) -> None:
    assert len(kept(load_diet(name), population)) == COUNTS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_step_adds_up(name: str, population: pd.DataFrame) -> None:
    for step in select_neurons(load_diet(name), population).steps:
        assert step.kept + step.rejected + step.unknown == len(population)


def test_a_diet_its_complement_and_the_unknown_are_the_population(population: pd.DataFrame) -> None:
    low = load_diet("predictable")
    a, b = kept(low, population), kept(~low, population)
    unknown = set(population.loc[population["skewness"].isna(), "neuron_id"])
    assert a | b | unknown == set(population["neuron_id"])
    assert not a & b and not (a | b) & unknown


def test_operators_are_those_of_sets(population: pd.DataFrame) -> None:
    a, b = Diet.where("skewness > 2"), Diet.where("kurtosis > 20")
    one, two = kept(a, population), kept(b, population)
    assert kept(a & b, population) == one & two
    assert kept(a | b, population) == one | two
    assert kept(a - b, population) == one - two
    assert kept(Diet.ids(sorted(one)), population) == one
    assert kept(Diet.reference("predictable"), population) == kept(load_diet("predictable"), population)


def test_policies_for_missing_values(population: pd.DataFrame) -> None:
    low = load_diet("predictable")
    assert len(kept(low.with_options(missing="include"), population)) == 48
    with pytest.raises(DietError, match="unknown for 8 neurons"):
        select_neurons(low.with_options(missing="error"), population)
    assert select_neurons(low, population).warnings == [
        "8 neurons are left out because a column the diet names is missing there"
    ]


def test_samples_are_nested_and_do_not_depend_on_order_or_on_others(population: pd.DataFrame) -> None:
    everyone = Diet.everyone()
    samples = [kept(everyone.sample(fraction=f, seed=3), population) for f in (0.1, 0.3, 0.7, 1.0)]
    assert [len(part) for part in samples] == [10, 29, 67, 96]
    assert all(small < large for small, large in itertools.pairwise(samples))
    shuffled = population.sample(frac=1, random_state=1).reset_index(drop=True)
    assert kept(everyone.sample(fraction=0.3, seed=3), shuffled) == samples[1]
    assert kept(everyone.sample(fraction=0.3, seed=4), population) != samples[1]
    # Without half of the neurons, those of the sample that are left come before all others still.
    half = population.iloc[::2].reset_index(drop=True)
    left = kept(everyone.sample(n=len(samples[1] & set(half["neuron_id"])), seed=3), half)
    assert left == samples[1] & set(half["neuron_id"])


def test_a_sample_within_groups_takes_of_each(population: pd.DataFrame) -> None:
    taken = kept(Diet.everyone().sample(n=2, within="session_id", seed=1), population)
    assert population[population["neuron_id"].isin(taken)].groupby("session_id").size().tolist() == [2] * 8
    part = kept(Diet.everyone().sample(fraction=0.25, within="cre_line", seed=1), population)
    assert population[population["neuron_id"].isin(part)].groupby("cre_line").size().tolist() == [6] * 4
    with pytest.raises(DietError, match=r"its pool \(session_id s00\) has 12"):
        kept(Diet.everyone().sample(n=13, within="session_id"), population)


@pytest.mark.parametrize(
    ("value", "expected"), [(31.5, 32), (0.3 * 105, 32), (2.4999, 2), (0.5, 1), (0.1 * 15, 2), (0.29 * 50, 15)]
)
def test_halves_are_rounded_up(value: float, expected: int) -> None:
    assert round_half_up(value) == expected


def test_a_mix_labels_its_terms_and_takes_shares_of_the_result(population: pd.DataFrame) -> None:
    chosen = select_neurons(load_diet("mixed-30"), population)
    assert pd.Series(chosen.term[chosen.kept]).value_counts().to_dict() == {"unpredictable": 48, "predictable": 12}
    assert chosen.frozen == {"neurons.mix[1]": {"pool": 40, "taken": 12, "seed": 0}}
    low, high = load_diet("predictable"), load_diet("unpredictable-strict")
    terms = (rules.MixTerm(high.neurons), rules.MixTerm(low.neurons, share=0.2))
    assert len(kept(Diet(rules.Mix(terms)), population)) == 32 + 8
    both = (rules.MixTerm(high.neurons, share=0.5), rules.MixTerm(low.neurons, share=0.5))
    assert len(kept(Diet(rules.Mix(both)), population)) == 64
    with pytest.raises(DietError, match="needs 128 neurons"):
        terms = (rules.MixTerm(high.neurons), rules.MixTerm(low.neurons, share=0.8))
        kept(Diet(rules.Mix(terms)), population)
    with pytest.raises(DietError, match="term 2 of the mix"):
        kept(mix(low, Diet.where("skewness > 100", name="none")), population)


def test_python_and_preset_mix_keep_the_same_neurons(population: pd.DataFrame) -> None:
    low = Diet.where("skewness <= 3.51 and kurtosis <= 22.62", name="predictable")
    assert kept(mix(~low, low.sample(fraction=0.3, seed=0)), population) == kept(load_diet("mixed-30"), population)


def test_an_empty_diet_says_which_step_emptied_it(population: pd.DataFrame) -> None:
    with pytest.raises(DietError) as caught:
        select_neurons(Diet.where("skewness <= 3.51 and kurtosis > 1000", name="none"), population)
    message = str(caught.value)
    assert "keeps none of the 96 neurons" in message
    assert "... and kurtosis > 1000" in message
    assert "Loosen" in message


def test_unknown_things_are_named(population: pd.DataFrame) -> None:
    with pytest.raises(DietError, match="1 of 2 neurons under `ids`"):
        select_neurons(Diet.ids(["s00_001", "s00_999"]), population)
    with pytest.raises(DietError, match="did you mean 'cre_line'"):
        select_neurons(Diet.everyone().sample(n=1, within="cre_lin"), population)


def test_references_in_a_circle_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        text = f"diet: 1\nname: {name}\nneurons: {{complement: {{diet: {other}.yaml}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DietError, match=r"b.yaml -> c.yaml -> a.yaml -> b.yaml"):
        select_neurons(load_diet(tmp_path / "a.yaml"), pd.DataFrame({"neuron_id": ["x"]}))


def test_a_reference_keeps_its_own_policy_and_its_unknowns(tmp_path: Path, population: pd.DataFrame) -> None:
    low = load_diet("predictable").with_options(missing="include").named("low")
    (tmp_path / "low.yaml").write_text(low.to_yaml(), encoding="utf-8")
    (tmp_path / "top.yaml").write_text("diet: 1\nneurons: {diet: low.yaml}\n", encoding="utf-8")
    assert len(kept(load_diet(tmp_path / "top.yaml"), population)) == 48
    assert len(kept(~Diet.reference("predictable"), population)) == 48


def test_a_large_table_is_quick() -> None:
    import time

    n = 60_000
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "neuron_id": [f"s_{i}" for i in range(n)],
            "skewness": rng.gamma(2, 2, n),
            "kurtosis": rng.gamma(2, 10, n),
        }
    )
    begun = time.process_time()
    select_neurons(load_diet("mixed-30"), table)
    assert time.process_time() - begun < 2


def test_an_empty_diet_says_why_a_score_is_unknown(population: pd.DataFrame) -> None:
    with pytest.raises(DietError, match="k is the same for all of the reference population"):
        select_neurons(Diet.where("zscore(k) > 0"), population.assign(k=1.0))


def test_files_of_json_are_told_apart_by_their_folders(tmp_path: Path, population: pd.DataFrame) -> None:
    (tmp_path / "sub").mkdir()
    low, high = Diet.where("skewness <= 3.51"), Diet.where("skewness > 3.51")
    (tmp_path / "calm.json").write_text(low.to_json(), encoding="utf-8")
    (tmp_path / "sub" / "calm.json").write_text(high.to_json(), encoding="utf-8")
    (tmp_path / "sub" / "both.json").write_text(Diet.reference("calm.json").to_json(), encoding="utf-8")
    both = "diet: 1\nneurons: {union: [{diet: calm.json}, {diet: sub/both.json}]}\n"
    (tmp_path / "top.yaml").write_text(both, encoding="utf-8")
    diet = load_diet(tmp_path / "top.yaml")
    assert kept(diet, population) == kept(low, population) | kept(high, population)
    assert set(References(diet).documents) == {"calm.json", "sub/both.json", "sub/calm.json"}
    # A chain of files of one name is no circle.
    (tmp_path / "sub" / "top.json").write_text(low.to_json(), encoding="utf-8")
    (tmp_path / "top.json").write_text(Diet.reference("sub/top.json").to_json(), encoding="utf-8")
    outer = tmp_path / "outer.yaml"
    outer.write_text("diet: 1\nneurons: {diet: top.json}\n", encoding="utf-8")
    assert kept(load_diet(outer), population) == kept(low, population)


def test_windows_and_tokens_are_counts_in_a_match_and_columns_elsewhere(population: pd.DataFrame) -> None:
    named = (Diet.where("tokens > 5") & Diet.everyone().balance("windows")).matched(on=["tokens"])
    assert References(named).columns == ("tokens", "windows")
    assert References(named).counted == ("tokens",)
    with pytest.raises(DietError, match="unknown column 'tokens'"):
        select_neurons(Diet.where("tokens > 5"), population)
