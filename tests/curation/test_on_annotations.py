"""Diets that name a column which a user joined to the store."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, check_leaks, load_diet
from poyodata.errors import AnnotationError, DietError
from poyodata.splits import resolve_split
from poyodata.store import open_store
from poyodata.store.annotations import annotate

IDS = ["900000000_10000000000", "900000000_10000000001", "900000000_10000000002"]


@pytest.fixture
def annotated(tiny_store_path, tmp_path):
    """Folder of a store in which three neurons of one recording have labels, a rank and a mark."""
    path = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_store_path, path)
    labels = pd.DataFrame({"neuron_id": IDS, "label": ["place", "grid", "place"], "rank": [1, 2, 3]})
    annotate(path, labels.assign(checked=[True, False, None]), "places")
    annotate(path, pd.DataFrame({"cell_specimen_id": [10000000000], "other": [1.5]}), "others")
    return path


@pytest.mark.parametrize(
    ("where", "kept", "unknown"),
    [
        pytest.param("label == 'place'", [0, 2], 33, id="text"),
        pytest.param("label in ['place', 'grid'] and rank >= 2", [1, 2], 33, id="number"),
        pytest.param("checked", [0], 34, id="truth"),
        pytest.param(
            "label == 'place' and cre_line == 'Sst-IRES-Cre' and skewness > -100", [0, 2], 9, id="with-others"
        ),
    ],
)
def test_a_diet_resolves_on_labels(annotated, where, kept, unknown):
    store = open_store(annotated)
    split = resolve_split(store, "blocks-5fold")
    manifest = Diet.where(where, name="labelled").resolve(store, split=split)
    assert manifest.neurons["neuron_id"].tolist() == [IDS[index] for index in kept]
    assert any(
        f"{unknown} neurons are left out because a column the diet names is missing" in one for one in manifest.warnings
    )


def test_the_manifest_names_the_annotations_it_used(annotated, tmp_path):
    store = open_store(annotated)
    split = resolve_split(store, "blocks-5fold")
    manifest = load_diet(Diet.where("label == 'place'", name="labelled")).resolve(store, split=split)
    assert manifest.meta["annotations"] == {"places": store.annotations["places"].digest}
    manifest.save(tmp_path / "manifest")
    assert Manifest.load(tmp_path / "manifest").meta["annotations"] == manifest.meta["annotations"]
    assert load_diet("all").resolve(store, split=split).meta["annotations"] == {}


@pytest.mark.parametrize("packed", [False, True])
def test_an_annotation_that_chose_neurons_cannot_be_checked_for_leaks(annotated, packed, tmp_path):
    store = open_store(annotated)
    manifest = Diet.where("label == 'place'", name="labelled").resolve(store, split="blocks-5fold")
    if packed:
        store = manifest.open(store).materialise(tmp_path / "packed.zarr", progress=lambda _: None)
        manifest = load_diet("all").resolve(store, split="blocks-5fold")
    report = check_leaks([("train", manifest)])
    (said,) = report.unchecked
    place = ", packed as 'labelled'" if packed else ""
    assert said.detail == f"annotation 'places'{place}: nothing says which time and animals it looked at"
    assert "1 NOT CHECKED: no leak" in report.text().splitlines()[0]
    assert not check_leaks([("train", load_diet("all").resolve(open_store(annotated)))]).unchecked


@pytest.mark.parametrize(
    ("where", "message"),
    [
        pytest.param("label == 3", "label holds texts but is compared with 3", id="text-with-number"),
        pytest.param("rank == 'a'", "rank holds numbers but is compared with 'a'", id="number-with-text"),
        pytest.param("label == 'plaice'", "no neuron has label 'plaice'.*'place'", id="no-such-text"),
        pytest.param("labell == 'place'", "unknown column 'labell': did you mean 'label'", id="no-such-column"),
    ],
)
def test_kinds_are_checked(annotated, where, message):
    store = open_store(annotated)
    with pytest.raises(DietError, match=message):
        Diet.where(where, name="labelled").resolve(store, split=resolve_split(store, "blocks-5fold"))


def test_a_label_that_is_called_as_a_statistic_is(annotated):
    annotate(annotated, pd.DataFrame({"neuron_id": IDS, "skewness": [1.0, 2.0, 3.0]}), "mine")
    store = open_store(annotated)
    with pytest.raises(DietError, match="'skewness', which is a column of the annotation 'mine' and of a statistic"):
        load_diet("predictable").resolve(store, split=resolve_split(store, "blocks-5fold"))


@pytest.mark.parametrize("name", ["windows", "tokens", "role"])
def test_labels_cannot_be_called_as_what_curation_counts(annotated, name):
    with pytest.raises(AnnotationError, match=f"column '{name}' is the name of a column of windows"):
        annotate(annotated, pd.DataFrame({"neuron_id": IDS, name: [1, 2, 3]}), "mine")


@pytest.mark.parametrize(
    "diet",
    [
        pytest.param(Diet.where("tokens > 0"), id="where"),
        pytest.param(Diet.everyone().balance("windows"), id="balance"),
        pytest.param(Diet.where("windows > 0").matched(on=["windows"]), id="match"),
    ],
)
def test_counts_are_no_columns_of_neurons(annotated, diet):
    store = open_store(annotated)
    split = resolve_split(store, "blocks-5fold")
    for ask in (diet.resolve, diet.preview):
        with pytest.raises(DietError, match=r"unknown column '(tokens|windows)'"):
            ask(store, split=split)
