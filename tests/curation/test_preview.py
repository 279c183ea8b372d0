"""Counts of what a diet would keep, from evidence that is gathered once for each open store."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c, load_diet, mix
from poyodata.curation import evidence as evidence_module
from poyodata.errors import DietError
from poyodata.store import Store, StoreWriter, open_store
from tests.curation.test_on_a_store import record

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]
PREDICTABLE = (c.skewness <= 3.51) & (c.kurtosis <= 22.62)


@pytest.fixture
def ready(resolve: Resolve, store: Any, make_split: Make) -> Any:
    """A TinyStore whose moments can be found."""
    resolve(Diet.everyone(), store, make_split(store))
    return store


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, ready: Any) -> list[tuple[str, ...]]:
    """Statistics that were asked for, in order."""
    asked: list[tuple[str, ...]] = []
    real = evidence_module.compute_statistics

    def counted(store: Any, names: Any, **options: Any) -> pd.DataFrame:
        asked.append(tuple(names))
        return real(store, names, **options)

    monkeypatch.setattr(evidence_module, "compute_statistics", counted)
    return asked


DIETS = {
    "where": Diet.where(PREDICTABLE, name="d"),
    "preset": load_diet("mixed-30"),
    "everyone": Diet.everyone(),
    "metadata": Diet.where((c.sex == "F") & (c.depth_um > 100)),
    "quantile": Diet.where("skewness <= quantile(skewness, 0.3)"),
    "sample": Diet.where(PREDICTABLE).sample(n=2, within="cre_line"),
    "top": Diet.everyone().top(7, by=c.kurtosis),
    "matched": Diet.where(PREDICTABLE).matched(on=["session_id"]),
    "tokens": Diet.where(PREDICTABLE).matched(on=["tokens"]),
    "labels": Diet.where("not valid_roi"),
    "mix": mix(Diet.where(PREDICTABLE, name="low"), Diet.where("kurtosis > 30", name="high").sample(fraction=0.5)),
}


@pytest.mark.parametrize("name", DIETS)
def test_it_counts_what_resolving_keeps(name: str, ready: Any, make_split: Make) -> None:
    ready.neurons.loc[ready.neurons["column"] == 1, "valid_roi"] = False
    split = make_split(ready, across=True)
    preview = DIETS[name].preview(ready, split=split)
    manifest = DIETS[name].resolve(ready, split=split)
    kept = manifest.neurons
    assert preview.kept == len(kept)
    answers = manifest.population["answer"].value_counts().to_dict()
    counted = {"kept": preview.kept, "rejected": preview.rejected, "unknown": preview.unknown}
    assert {word: count for word, count in counted.items() if count} == answers
    assert (preview.recordings, preview.donors) == (kept["session_id"].nunique(), kept["donor_id"].nunique())
    for column, found in (("role", preview.by_role), ("cre_line", preview.by_cre_line), ("area", preview.by_area)):
        assert {name: count for name, count in found.items() if count} == kept[column].value_counts().to_dict()
        assert set(found) == set(manifest.population[column])
    ours = preview.funnel()[["step", "kept", "rejected", "unknown"]]
    theirs = manifest.funnel()
    theirs = theirs[theirs["counts"] == "neurons"][ours.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs)
    frames = manifest.windows.assign(n=manifest.windows["stop_frame"] - manifest.windows["start_frame"])
    per_session = kept["session_id"].value_counts()
    expected = (frames["n"] * frames["session_id"].map(per_session)).groupby(frames["role"]).sum()
    assert preview.tokens == {"identify": 0, "test": 0, "train": 0, "valid": 0} | expected.to_dict()


def test_evidence_is_gathered_once_for_each_column_and_split(
    ready: Any, make_split: Make, passes: list[tuple[str, ...]]
) -> None:
    split, other = make_split(ready), make_split(ready, fold=1)
    for most in (1.0, 2.0, 3.51):
        Diet.where(c.skewness <= most).preview(ready, split=split)
    assert passes == [("moments",)]
    Diet.where(PREDICTABLE).preview(ready, split=split)  # kurtosis is new
    Diet.where(PREDICTABLE | (c.sex == "F")).preview(ready, split=split)
    assert passes == [("moments",)] * 2
    Diet.where(c.skewness <= 1).preview(ready, split=other)
    Diet.where(c.skewness <= 1, statistics_window="all").preview(ready, split=split)
    assert passes == [("moments",)] * 4
    Diet.everyone().preview(ready, split=other)
    assert len(passes) == 4


def test_remarks_are_those_of_resolving(ready: Any, make_split: Make) -> None:
    split = make_split(ready)
    split.warnings = ("the split warns",)
    everything = Diet.where(PREDICTABLE, name="d", statistics_window="all")
    for diet in (everything, everything, everything.matched(on=["tokens"]), Diet.where(c.sex == "F"), Diet.everyone()):
        expected = diet.resolve(ready, split=split).warnings
        assert diet.preview(ready, split=split).warnings == expected
        assert any("computed on all time" in said for said in expected) == (diet.statistics_window == "all")


def test_a_diet_that_keeps_nothing_is_counted(ready: Any, make_split: Make) -> None:
    preview = Diet.where("skewness > 1000").preview(ready, split=make_split(ready))
    assert (preview.kept, preview.rejected, preview.unknown) == (0, 88, 8)
    assert set(preview.tokens.values()) == {0} and set(preview.by_role.values()) == {0}


def test_what_resolving_refuses_is_refused(ready: Any, make_split: Make) -> None:
    split = make_split(ready)
    with pytest.raises(DietError, match="did you mean 'skewness'"):
        Diet.where("skewnes > 1").preview(ready, split=split)
    with pytest.raises(DietError, match="asks for 1000 neurons"):
        Diet.everyone().sample(n=1000).preview(ready, split=split)


@pytest.mark.parametrize(
    "diet",
    [
        pytest.param(Diet.where("role == 'train'"), id="where"),
        pytest.param(Diet.everyone().sample(n=1, within="role"), id="within"),
        pytest.param(Diet.where(PREDICTABLE).matched(on=["role"]), id="match"),
        pytest.param(Diet.where(PREDICTABLE).matched(on=["role", "tokens"]), id="match_and_count"),
    ],
)
def test_roles_are_no_column_of_neurons_in_a_preview_either(diet: Diet, ready: Any, make_split: Make) -> None:
    split = make_split(ready, across=True)
    for ask in (diet.resolve, diet.preview):
        with pytest.raises(DietError, match="unknown column 'role'"):
            ask(ready, split=split)


def test_it_reads_well(ready: Any, make_split: Make) -> None:
    diet = Diet.where(PREDICTABLE, name="low").during(c.stimulus == "drifting_gratings")
    preview = diet.preview(ready, split=make_split(ready))
    text = str(preview)
    for word in ("low: skewness <= 3.51", "40 neurons in 8 recordings of 4 donors", "at most", "neurons.where[1]"):
        assert word in text
    assert "&lt;=" in preview._repr_html_() and "<script" not in preview._repr_html_()
    facts = json.loads(json.dumps(preview.to_dict()))
    assert (facts["kept"], facts["by_role"]) == (40, {"train": 40})
    assert facts["steps"][-1]["step"] == "missing"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preview") / "small.zarr"
    with StoreWriter(path) as writer:
        for number, line in enumerate(("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")):
            writer.add(record(number, line))
    return path


def test_it_works_on_a_written_store_and_forgets_it_when_it_is_closed(small: Path) -> None:
    store = open_store(small)
    diet = load_diet("predictable")
    preview = diet.preview(store)
    assert preview.kept == len(diet.resolve(store).neurons) == 12
    assert diet.preview(store, fold=1).kept == 12
    assert diet.preview(store, split="blocks-5fold", fold=0) == preview
    watched: weakref.ref[Store] = weakref.ref(store)
    del store
    gc.collect()
    assert watched() is None
    assert np.isclose(diet.preview(open_store(small)).kept, 12)
