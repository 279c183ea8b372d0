"""What a manifest records of how it was resolved is enough to select again without store, files or parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c, load_diet, mix, param
from poyodata.curation.language import rules
from poyodata.curation.manifest import IDENTITY
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import select_neurons
from poyodata.errors import DietError, UsageError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]

LOW = Diet.where(c.skewness <= param("max_skewness", 3.51), name="low")
PREDICTABLE = load_diet("predictable")

DIETS = [
    pytest.param(load_diet("mixed-30"), id="mixed-30"),
    pytest.param(load_diet("random-matched"), id="random-matched"),
    pytest.param(Diet.where(c.skewness > c.skewness.quantile(0.5)), id="quantile"),
    pytest.param(Diet.where((c.skewness.zscore() < 1) & (c.kurtosis.rank() < 0.9)), id="zscore_and_rank"),
    pytest.param(Diet.everyone().top(2, by="skewness", within="session_id"), id="top"),
    pytest.param(Diet.where("kurtosis > 20").balance("cre_line", n=3, seed=4), id="balance"),
    pytest.param(PREDICTABLE.matched(on=["cre_line", "kurtosis", "tokens"], seed=2, draw=3), id="match"),
    pytest.param(LOW.with_parameters(max_skewness=2.0), id="parameter"),
    pytest.param(Diet.where("skewness > 2") - PREDICTABLE, id="difference"),
    pytest.param(~Diet.where("skewness > 2") & Diet.where("cre_line != 'Cux2-CreERT2'"), id="intersection"),
    pytest.param(Diet.where("not (exclusion_label == 'union') and skewness > quantile(skewness, 0.2)"), id="labels"),
    pytest.param(PREDICTABLE.with_options(missing="include"), id="missing_included"),
]


@pytest.fixture
def labelled(store: Any) -> Any:
    """The store with a label of exclusion on some neurons."""
    out = np.arange(len(store.neurons)) % 10 == 0
    store.neurons["valid_roi"] = ~out
    store.neurons["exclusion_label"] = pd.Series(np.where(out, "union", "none"), dtype="str")
    return store


@pytest.mark.parametrize("across", [False, True], ids=["within", "across"])
@pytest.mark.parametrize("diet", DIETS)
def test_the_population_of_a_manifest_gives_the_same_answers(
    diet: Diet, across: bool, resolve: Resolve, labelled: Any, make_split: Make
) -> None:
    manifest = resolve(diet, labelled, make_split(labelled, across=across))
    again = Diet.from_dict(manifest.meta["diet"])
    references = References.from_documents(again, manifest.meta["references"])
    chosen = select_neurons(again, manifest.population, references, trace=True)
    answers = manifest.population["answer"].to_numpy(object)
    assert (chosen.kept == (answers == "kept")).all()
    assert (chosen.trace[-1][1].unknown == (answers == "unknown")).all()
    assert {key: value for key, value in manifest.meta["frozen"].items() if key in chosen.frozen} == chosen.frozen
    assert manifest.population.loc[chosen.kept, "neuron_id"].tolist() == manifest.neurons["neuron_id"].tolist()


@pytest.mark.parametrize("diet", DIETS)
def test_every_dropped_neuron_names_the_step_that_dropped_it(
    diet: Diet, resolve: Resolve, labelled: Any, make_split: Make
) -> None:
    population = resolve(diet, labelled, make_split(labelled)).population
    kept = (population["answer"] == "kept").to_numpy(bool)
    assert ((population["decided_by"] == "").to_numpy(bool) == kept).all()
    assert population.columns[:9].tolist() == [name for name in IDENTITY if name != "term"]
    assert population["neuron_id"].tolist() == sorted(population["neuron_id"])


def test_the_step_that_decided_is_the_deepest_that_did(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = Diet.where("skewness <= 3.51 and kurtosis <= 22.62") - Diet.where("column == 0")
    population = resolve(diet, store, make_split(store)).population.set_index("column")
    by_column = population["decided_by"].groupby(level=0).unique().map(list).to_dict()
    assert by_column[0] == ["neurons.difference[1]"]
    assert by_column[1] == [""]
    assert by_column[5] == by_column[9] == by_column[11] == ["neurons.difference[0].where[0]"]
    assert by_column[10] == ["neurons.difference[0].where[1]"]
    sampled = resolve(Diet.reference("predictable").sample(n=3), store, make_split(store)).population
    assert sampled["decided_by"].value_counts().to_dict() == {
        "neurons.sample.of[predictable].where[0]": 48,
        "neurons.sample.of[predictable].where[1]": 8,
        "neurons": 37,
        "": 3,
    }


def test_what_it_was_resolved_from_is_recorded(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = LOW.with_parameters(max_skewness=2)
    manifest = resolve(diet, store, make_split(store))
    assert manifest.meta["parameters"] == {"max_skewness": 2.0}
    assert manifest.meta["diet"]["neurons"] == {"where": "skewness <= 2.0"}
    assert manifest.meta["recordings"] == dict(zip(store.sessions["session_id"], store.sessions["digest"], strict=True))
    assert manifest.meta["reference"] == "train" and manifest.meta["lineage"] is None
    assert manifest.meta["matched"] == [] and len(manifest.imbalance()) == 0
    plain = resolve(Diet.where("skewness <= 2.0", name="low"), store, make_split(store))
    assert plain.digest == manifest.digest
    store.lineage = {"manifest": "abc"}
    assert resolve(diet, store, make_split(store)).meta["lineage"] == {"manifest": "abc"}


def test_references_are_given_parameters(tmp_path: Path, resolve: Resolve, store: Any, make_split: Make) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "low.yaml").write_text(LOW.to_yaml(), encoding="utf-8")
    text = "diet: 1\nname: {name}\nneurons: {{diet: {file}, with: {{max_skewness: {value}}}}}\n"
    (tmp_path / "parts" / "lower.yaml").write_text(
        text.format(name="lower", file="low.yaml", value=1.5), encoding="utf-8"
    )
    both = mix(
        Diet(rules.Reference("parts/low.yaml", (("max_skewness", param("most", 1.0)),)), folder=tmp_path, name="a"),
        Diet(rules.Reference("parts/low.yaml", (("max_skewness", 3.51),)), folder=tmp_path, name="b"),
        Diet(rules.Reference("parts/lower.yaml"), folder=tmp_path, name="c"),
        name="all three",
    )
    manifest = resolve(both, store, make_split(store))
    assert manifest.neurons["term"].value_counts().to_dict() == {"a": 16, "b": 32}
    assert sorted(manifest.meta["references"]) == [
        "parts/low.yaml",
        "parts/low.yaml with max_skewness = 1.0",
        "parts/low.yaml with max_skewness = 1.5",
        "parts/lower.yaml",
    ]
    assert manifest.meta["parameters"] == {"most": 1.0}
    for path in (tmp_path / "parts").iterdir():
        path.unlink()
    again = Diet.from_dict(manifest.meta["diet"])
    chosen = select_neurons(again, manifest.population, References.from_documents(again, manifest.meta["references"]))
    assert (chosen.kept == (manifest.population["answer"] == "kept").to_numpy(bool)).all()
    with pytest.raises(DietError, match=r"holds no diet 'parts/low\.yaml"):
        References.from_documents(again, {})


def test_a_parameter_that_the_other_diet_has_not_is_refused() -> None:
    diet = Diet(rules.Reference("inhibitory", (("max_skewness", 3.0),)))
    with pytest.raises(UsageError, match="no parameter 'max_skewness'"):
        References(diet)


def test_several_unknown_columns_are_named_together(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = Diet.where("skewnes > 1 and dept_um > 2 and kurtosis > 0", name="typos")
    with pytest.raises(DietError) as caught:
        resolve(diet, store, make_split(store))
    assert "'typos' names 2 columns that cannot be had: (1) an unknown column 'skewnes'" in str(caught.value)
    assert "'skewness'" in str(caught.value) and "'depth_um'" in str(caught.value)


def test_tokens_are_the_frames_of_train_time_that_the_diet_eats(resolve: Resolve, store: Any, make_split: Make) -> None:
    diet = PREDICTABLE.matched(on=["tokens", "windows"]).during("stimulus == 'drifting_gratings' and not blank")
    manifest = resolve(diet, store, make_split(store))
    train = manifest.windows[manifest.windows["role"] == "train"]
    assert set(manifest.population["windows"]) == {len(train) // 8}
    frames = (train["stop_frame"] - train["start_frame"]).sum()
    assert set(manifest.population["tokens"]) == {int(frames) // 8}
