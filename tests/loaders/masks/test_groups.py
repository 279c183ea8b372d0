"""Neurons are grouped for masks by any column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poyodata.curation import load_diet
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.masks import Groups, Mask, MaskSpec, group_neurons
from poyodata.store import Store


@pytest.fixture
def view(tiny_store: Store) -> View:
    return load_diet("mixed-30").resolve(tiny_store, split="blocks-5fold").open(tiny_store)


@pytest.fixture
def everyone(tiny_store: Store) -> View:
    return load_diet("all").resolve(tiny_store, split="blocks-5fold").open(tiny_store)


def column_of(view: View, name: str) -> dict[str, Any]:
    """The column of the selected neurons, found the long way."""
    store = view.store.neurons.set_index("neuron_id")
    found = {}
    for key in view.session_ids:
        mine = view.neurons(key)
        found[key] = mine[name] if name in mine else store.loc[mine["neuron_id"], name].reset_index(drop=True)
    return found


@pytest.mark.parametrize("by", ["area", "cre_line", "term", "role", "valid_roi", "donor_id"])
def test_names_are_groups(view: View, by: str) -> None:
    groups = group_neurons(view, by)
    for key, values in column_of(view, by).items():
        assert [groups.labels[code] for code in groups.codes[key]] == values.astype(str).tolist()


def test_a_term_of_the_diet_is_a_group_and_all_others_are_one(view: View) -> None:
    groups = group_neurons(view, "predictable")
    assert groups.labels == ("False", "True")
    for key, terms in column_of(view, "term").items():
        np.testing.assert_array_equal(groups.codes[key], terms == "predictable")


@pytest.mark.parametrize(
    ("by", "answer"),
    [
        pytest.param("skewness > 3.51", lambda v: v("skewness") > 3.51, id="number"),
        pytest.param("kurtosis<=1e1", lambda v: v("kurtosis") <= 10, id="exponent"),
        pytest.param("cre_line == 'Sst-IRES-Cre'", lambda v: v("cre_line") == "Sst-IRES-Cre", id="text"),
        pytest.param('area != "VISp"', lambda v: v("area") != "VISp", id="not"),
    ],
)
def test_a_comparison_makes_two_groups(view: View, by: str, answer: Any) -> None:
    groups = group_neurons(view, by)
    for key in view.session_ids:
        expected = answer(lambda name, at=key: column_of(view, name)[at])
        np.testing.assert_array_equal([groups.labels[code] == "True" for code in groups.codes[key]], expected)


def test_quantiles_cut_each_recording_into_equal_parts(everyone: View) -> None:
    groups = group_neurons(everyone, "x_um", 4)
    for key, x in column_of(everyone, "x_um").items():
        assert np.bincount(groups.codes[key]).tolist() == [3, 3, 3, 3]
        order = np.argsort(x.to_numpy())
        assert (np.diff(groups.codes[key][order]) >= 0).all()
    assert groups.labels == ("x_um 1/4", "x_um 2/4", "x_um 3/4", "x_um 4/4")


def test_edges_are_the_same_everywhere(everyone: View) -> None:
    groups = group_neurons(everyone, "x_um", (100.0, 250.0))
    assert groups.labels == ("x_um <= 100", "100 < x_um <= 250", "250 < x_um")
    for key, x in column_of(everyone, "x_um").items():
        np.testing.assert_array_equal(groups.codes[key], (x > 100).astype(int) + (x > 250))


def test_what_is_missing_is_unknown(everyone: View, monkeypatch: pytest.MonkeyPatch) -> None:
    table = everyone.store.neurons.copy()
    table.loc[table.index[:3], "x_um"] = np.nan
    table["laboratory"] = np.where(np.arange(len(table)) < 3, "", "south")
    table.loc[table.index[:3], "exclusion_label"] = None
    table.loc[table.index[3:], "exclusion_label"] = "union"
    monkeypatch.setitem(everyone.store.__dict__, "neurons", table)
    key = everyone.session_ids[0]
    for by, bins in (
        ("x_um", 3),
        ("x_um", (100.0,)),
        ("exclusion_label", None),
        ("x_um > 100", None),
        ("exclusion_label != 'duplicate'", None),
        ("laboratory", None),
        ("laboratory != 'north'", None),
    ):
        codes = group_neurons(everyone, by, bins).codes[key]
        assert (codes[:3] == -1).all() and (codes[3:] >= 0).all(), by


@pytest.mark.parametrize(
    ("by", "bins", "says"),
    [
        pytest.param("aera", None, "did you mean 'area'", id="no column"),
        pytest.param("x_um", None, "give `bins`", id="numbers without bins"),
        pytest.param("area", 3, "takes no `bins`", id="bins of names"),
        pytest.param("x_um", 1, "at least 2", id="one bin"),
        pytest.param("x_um", (3.0, 2.0), "increasing edges", id="edges fall"),
        pytest.param("x_um", (), "increasing edges", id="no edge"),
        pytest.param("x_um", (float("nan"),), "increasing edges", id="nan"),
        pytest.param("skew > 3", None, "did you mean 'skewness'", id="no column to compare"),
        pytest.param("area > 3", None, "cannot compare 'area'", id="a name with a number"),
        pytest.param("skewness > 'x'", None, "cannot compare 'skewness'", id="a number with a name"),
        pytest.param("__import__('os')", None, "no column", id="code"),
        pytest.param("skewnes", 2, "Nor can it be had as a statistic", id="no statistic"),
    ],
)
def test_groups_that_cannot_be_are_refused(view: View, by: str, bins: Any, says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        group_neurons(view, by, bins)


def test_too_many_groups_are_refused(everyone: View, monkeypatch: pytest.MonkeyPatch) -> None:
    from poyodata.loaders.masks import groups as module

    monkeypatch.setattr(module, "MAX_GROUPS", 30)
    with pytest.raises(LoaderError, match="has 36 groups"):
        group_neurons(everyone, "neuron_id")


def test_padded_follows_the_neurons_that_are_shown() -> None:
    groups = Groups("area", ("p", "q"), {"a": np.array([0, 1, 0]), "b": np.array([1])})
    rows = groups.padded(["b", "a", "a"], [np.array([0]), np.array([2, 1]), np.array([], np.int64)], 3)
    assert rows.tolist() == [[1, -1, -1], [0, 1, -1], [-1, -1, -1]]


def test_specs_group_once_for_each_grouping_and_say_where_masks_are_skipped(everyone: View) -> None:
    spec = MaskSpec(
        (
            Mask("neuron"),
            Mask("within", by="x_um", bins=3),
            Mask("across", by="x_um", bins=3),
            Mask("across", by="area"),
        )
    )
    assert set(spec.groups(everyone)) == {"x_um/3", "area"}
    assert spec.check(everyone) == {"neuron": 0, "within:x_um/3": 0, "across:x_um/3": 0, "across:area": 3}


def test_one_area_in_each_recording_is_refused_before_training(everyone: View) -> None:
    masks = (Mask("within", by="area"), Mask("across", by="area"))
    with pytest.raises(LoaderError, match=r"no mask \(within:area, across:area\) makes sense in any of 3 recordings"):
        MaskSpec(masks).check(everyone)
    with pytest.raises(LoaderError, match="mask 'within:area' makes no sense in recording '900000000'"):
        MaskSpec((Mask("neuron"), *masks), on_single_group="error").check(everyone)


def test_a_statistic_that_the_diet_did_not_look_at_makes_groups(everyone: View) -> None:
    assert "skewness" not in everyone.manifest.neurons
    values = everyone.statistics(["skewness"])["skewness"]
    middle = float(values.median())
    for by, bins in (("skewness", (middle,)), (f"skewness > {middle!r}", None)):
        groups = group_neurons(everyone, by, bins)
        codes = np.concatenate([groups.codes[key] for key in everyone.session_ids])
        np.testing.assert_array_equal(codes, (values > middle).to_numpy())
    thirds = group_neurons(everyone, "skewness", 3)
    assert all(np.bincount(codes).tolist() == [4, 4, 4] for codes in thirds.codes.values())
