"""Loaders that number neurons, recordings and classes by vocabularies of earlier ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest, load_diet
from poyodata.errors import LoaderError
from poyodata.loaders import Loader, Recipe, make_loader, to_xarray
from poyodata.loaders.targets import Vocabulary
from poyodata.loaders.torch import ResidentLoader
from poyodata.store import Store

LAYOUTS = ("dense", "tokens", "token-views", "jagged")


def small(store: Store, manifest: Manifest, **arguments: Any) -> Loader:
    return make_loader(store, manifest, **{"window_s": 1.0, "batch_size": 20, **arguments})


def earlier(loader: Loader) -> list[Vocabulary]:
    """Of a store in which other neurons and recordings came first, and some of these in another order."""
    neurons, sessions = loader.neuron_ids, loader.session_ids
    return [
        Vocabulary("neuron", ("stranger", *neurons[20:10:-1])),
        Vocabulary("recording", ("another", sessions[-1], "one more")),
    ]


def names_in(loader: Loader, batch: dict[str, Any]) -> list[Any]:
    index = batch["input_unit_index"] if "input_unit_index" in batch else batch["neuron_index"]
    named = np.array(["", *loader.neuron_ids], object)
    return [named[index].tolist(), [loader.session_ids[at] for at in batch["session_index"]]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_are_those_of_the_vocabularies_and_mean_the_same(
    tiny_store: Store, gratings: Manifest, layout: str
) -> None:
    plain = small(tiny_store, gratings, layout=layout)
    given = earlier(plain)
    loader = small(tiny_store, gratings, layout=layout, vocabulary=given)
    for one in given:
        assert loader.vocabularies[one.kind].extends(one)
    assert set(plain.neuron_ids) < set(loader.neuron_ids) and set(plain.session_ids) < set(loader.session_ids)
    for number in range(2):
        batch, own = loader.batch(0, number), plain.batch(0, number)
        assert names_in(loader, batch) == names_in(plain, own)
        key = "input_values" if "input_values" in own else "values"
        np.testing.assert_array_equal(batch[key], own[key])
        assert (batch["session_index"] != own["session_index"]).any()


def test_what_is_kept_serves_a_manifest_of_more_neurons(tiny_store: Store, gratings: Manifest, tmp_path: Path) -> None:
    some = load_diet("all").during("stimulus == 'drifting_gratings'").sample(fraction=0.5)
    first = small(tiny_store, some.resolve(tiny_store, split="blocks-5fold"), neuron_columns="cre_line")
    kept = [vocabulary.save(tmp_path / f"{kind}.json") for kind, vocabulary in first.vocabularies.items()]
    later = small(tiny_store, gratings, neuron_columns="cre_line", vocabulary=[Vocabulary.load(path) for path in kept])
    assert later.neuron_ids[: len(first.neuron_ids)] == first.neuron_ids
    assert len(later.neuron_ids) == len(gratings.neurons)
    assert set(later.vocabularies) == {"neuron", "recording", "cre_line"}


def test_columns_masks_and_views_follow_the_numbers(tiny_store: Store, gratings: Manifest) -> None:
    masks = "windows: {window_s: 1.0}\nmasks: [{scheme: neuron, exclude_radius_um: 40.0}]"
    for text in (masks, "views: {window_s: 1.0, min_neurons: 3}"):
        recipe = Recipe.from_yaml(f"recipe: 1\n{text}\n")
        arguments: dict[str, Any] = {"recipe": recipe, "batch_size": 9, "neuron_columns": ["x_um", "cre_line"]}
        plain = make_loader(tiny_store, gratings, **arguments)
        lines = Vocabulary("cre_line", ("Unheard-of", "Vip-IRES-Cre"))
        loader = make_loader(tiny_store, gratings, **arguments, vocabulary=[*earlier(plain), lines])
        classes = loader.vocabularies["cre_line"]
        assert classes.extends(lines)
        batch, own = loader.batch(0, 0), plain.batch(0, 0)
        for one, other in [(batch, own)] if "a" not in own else [(batch["a"], own["a"]), (batch["b"], own["b"])]:
            assert names_in(loader, one) == names_in(plain, other)
            np.testing.assert_array_equal(one["neuron_x_um"], other["neuron_x_um"])
            for mine, its in zip(one["neuron_cre_line"].ravel(), other["neuron_cre_line"].ravel(), strict=True):
                assert mine == its == -1 or classes.names[mine] == plain.vocabularies["cre_line"].names[its]
        for name in {"hidden", "target", "matched"} & set(own):
            np.testing.assert_array_equal(batch[name], own[name])
        assert [loader.session_ids[at] for at in batch["session_index"]] == [
            plain.session_ids[at] for at in own["session_index"]
        ]


def test_traces_on_a_device_are_of_the_same_neurons(tiny_store: Store, gratings: Manifest) -> None:
    plain = small(tiny_store, gratings)
    loader = small(tiny_store, gratings, vocabulary=earlier(plain))
    made, expected = ResidentLoader(loader, "cpu").batch(0, 0), loader.batch(0, 0)
    assert made.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(made[name].numpy(), values)


def test_labelled_batches_name_the_same_neurons(tiny_store: Store, gratings: Manifest) -> None:
    plain = small(tiny_store, gratings)
    loader = small(tiny_store, gratings, vocabulary=earlier(plain))
    one, other = (to_xarray(each, each.batch(0, 0)) for each in (loader, plain))
    for name in ("neuron_id", "session_id"):
        assert one[name].values.tolist() == other[name].values.tolist()


def test_a_state_is_of_the_numbers(tiny_store: Store, gratings: Manifest) -> None:
    plain = small(tiny_store, gratings)
    given = earlier(plain)
    state = small(tiny_store, gratings, vocabulary=given).state_dict()
    grown = [one.grow([*plain.neuron_ids, "later"] if one.kind == "neuron" else plain.session_ids) for one in given]
    small(tiny_store, gratings, vocabulary=grown).load_state_dict(state)  # more names, and the same numbers
    for other in ((), given[:1], given[1:]):
        with pytest.raises(LoaderError, match="numbers of neurons and recordings was"):
            small(tiny_store, gratings, vocabulary=other).load_state_dict(state)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param([Vocabulary("neurons", ())], "did you mean 'neuron'", id="kind"),
        pytest.param([Vocabulary("neuron", ()), Vocabulary("neuron", ("a",))], "two vocabularies of kind", id="twice"),
        pytest.param(["neurons.json"], r"Vocabulary\.load", id="a path"),
        pytest.param(
            [Vocabulary("cre_line", ())], "numbers nothing by a vocabulary of kind 'cre_line'", id="no column"
        ),
    ],
)
def test_vocabularies_that_number_nothing_are_refused(
    tiny_store: Store, gratings: Manifest, given: Any, says: str
) -> None:
    with pytest.raises(LoaderError, match=says):
        small(tiny_store, gratings, vocabulary=given)
