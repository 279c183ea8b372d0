"""What is known of neurons, beside the neurons of a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import load_diet
from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import NeuronColumns, Vocabulary, neuron_vocabulary
from poyodata.loaders.targets.neurons import METADATA
from poyodata.splits import resolve_split
from poyodata.statistics import compute_statistics
from poyodata.store import Store
from tests.loaders.targets.conftest import THIN, view_of


def test_metadata_stands_beside_the_neurons_of_a_batch(store: Store) -> None:
    view = view_of(store)
    known = NeuronColumns(view, METADATA)
    names = neuron_vocabulary(view).names
    table = store.neurons.set_index("neuron_id")
    index = np.random.default_rng(0).integers(0, 1 + len(names), (4, 9))
    index[0, 0] = 0
    found = known.of(index)
    assert set(found) == {f"neuron_{name}" for name in METADATA} == set(known.columns)
    for place in np.ndindex(index.shape):
        if index[place] == 0:
            assert found["neuron_cre_line"][place] == found["neuron_area"][place] == -1
            assert np.isnan([found[f"neuron_{name}"][place] for name in ("depth_um", "x_um", "y_um")]).all()
            continue
        row = table.loc[names[index[place] - 1]]
        assert known.classes["cre_line"].names[found["neuron_cre_line"][place]] == row["cre_line"]
        assert known.classes["area"].names[found["neuron_area"][place]] == row["area"]
        for name in ("depth_um", "x_um", "y_um"):
            assert found[f"neuron_{name}"][place] == np.float32(row[name])
    for name, column in known.columns.items():
        assert str(found[name].dtype) == column.dtype
    assert known.columns["neuron_depth_um"].unit == "um"


def test_statistics_that_the_diet_looked_at_are_those_of_the_manifest(store: Store) -> None:
    view = load_diet("unpredictable").resolve(store, split=THIN).open(store)
    known = NeuronColumns(view, ["skewness"])
    index = 1 + np.arange(len(view.manifest.neurons))
    np.testing.assert_array_equal(
        known.of(index)["neuron_skewness"], view.manifest.neurons["skewness"].to_numpy(np.float32)
    )


def test_other_statistics_are_those_kept_of_the_split(store: Store) -> None:
    view = view_of(store)
    known = NeuronColumns(view, ["kurtosis", "std"])
    split = resolve_split(store, THIN)
    table = compute_statistics(store, "moments", split).set_index("neuron_id").loc[list(known.neurons.names)]
    index = 1 + np.arange(len(known.neurons))
    np.testing.assert_array_equal(known.of(index)["neuron_kurtosis"], table["kurtosis"].to_numpy(np.float32))
    np.testing.assert_array_equal(known.of(index)["neuron_std"], table["std"].to_numpy(np.float32))


def test_a_table_of_ones_own(store: Store) -> None:
    view = view_of(store)
    names = neuron_vocabulary(view).names
    own = pd.DataFrame({"neuron_id": names[5:2:-1], "place": [0.5, 1.5, 2.5], "kind": ["b", None, "a"]})
    known = NeuronColumns(view, ["place", "kind"], table=own)
    found = known.of(np.array([0, 4, 5, 6, 7]))
    np.testing.assert_array_equal(found["neuron_place"], np.array([np.nan, 2.5, 1.5, 0.5, np.nan], np.float32))
    assert found["neuron_kind"].tolist() == [-1, 0, -1, 1, -1]


def test_cells_are_classes_and_no_floats(store: Store) -> None:
    """The same cell in two recordings is one class, and eleven digits are not a float32."""
    view = view_of(store)
    known = NeuronColumns(view, ["cell_specimen_id"])
    found = known.of(1 + np.arange(len(known.neurons)))["neuron_cell_specimen_id"]
    cells = view.manifest.neurons["cell_specimen_id"]
    assert [known.classes["cell_specimen_id"].names[number] for number in found] == cells.astype(str).tolist()
    assert len(np.unique(found)) == cells.nunique() < len(cells)


def test_numbers_of_another_vocabulary(store: Store) -> None:
    view = view_of(store)
    larger = Vocabulary("neuron", ("stranger", *neuron_vocabulary(view).names[::-1]))
    known = NeuronColumns(view, ["x_um"], neurons=larger)
    own = NeuronColumns(view, ["x_um"])
    count = len(own.neurons)
    assert np.isnan(known.of(np.array([0, 1]))["neuron_x_um"]).all()
    np.testing.assert_array_equal(
        known.of(2 + np.arange(count))["neuron_x_um"], own.of(count - np.arange(count))["neuron_x_um"]
    )
    with pytest.raises(LoaderError, match="not in the vocabulary"):
        NeuronColumns(view, ["x_um"], neurons=Vocabulary("neuron", larger.names[:5]))


def test_classes_of_an_earlier_store(store: Store) -> None:
    view = view_of(store)
    lines = Vocabulary("cre_line", ("Sst-IRES-Cre", "Cux2-CreERT2"))
    known = NeuronColumns(view, ["cre_line"], classes={"cre_line": lines})
    assert set(known.of(np.array([1, 2]))["neuron_cre_line"]) == {1}
    with pytest.raises(LoaderError, match=r"'Cux2-CreERT2'.*grow"):
        NeuronColumns(view, ["cre_line"], classes={"cre_line": Vocabulary("cre_line", ("Sst-IRES-Cre",))})


def test_what_is_nowhere_is_refused_before_training(store: Store) -> None:
    view = view_of(store)
    names = neuron_vocabulary(view).names
    with pytest.raises(UsageError, match="did you mean 'cre_line'"):
        NeuronColumns(view, ["creline"])
    with pytest.raises(UsageError, match="neuron_id"):
        NeuronColumns(view, ["place"], table=pd.DataFrame({"neuron": names, "place": 1.0}))
    with pytest.raises(UsageError, match="twice"):
        NeuronColumns(view, ["place"], table=pd.DataFrame({"neuron_id": [names[0]] * 2, "place": 1.0}))
    with pytest.raises(LoaderError, match=r"no one of the \d+ selected neurons has a value of 'place'"):
        NeuronColumns(view, ["place"], table=pd.DataFrame({"neuron_id": ["a"], "place": 1.0}))


def test_a_split_that_moved_gives_no_statistics(store: Store) -> None:
    from poyodata.errors import ManifestError

    view = view_of(store)
    meta = {**view.manifest.meta, "split": {**view.manifest.meta["split"], "fold": 1}}
    with pytest.raises(ManifestError, match="other roles"):
        replace(view.manifest, meta=meta).open(store).statistics(["skewness"])
