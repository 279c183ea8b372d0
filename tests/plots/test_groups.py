"""By line and area: boxes, dots, counts, order, what is left out, intervals, wrong calls."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError, UsageError
from poyodata.plots import column_by_group
from poyodata.statistics import Resampling
from poyodata.statistics.groups import clustered_intervals

LINES = ["Sst-IRES-Cre"] * 30 + ["Cux2-CreERT2"] * 60 + ["Vip-IRES-Cre"] * 10


@pytest.fixture
def store():
    neurons = pd.DataFrame(
        {
            "neuron_id": [f"n{i}" for i in range(100)],
            "session_id": [f"s{i // 10}" for i in range(100)],
            "donor_id": [f"m{i // 10}" for i in range(100)],
            "cre_line": LINES,
            "area": ["VISp", "VISl"] * 50,
            "depth_um": [175.0 if i % 3 else 375.0 for i in range(100)],
        }
    )
    return SimpleNamespace(neurons=neurons, sessions=neurons[["session_id"]].drop_duplicates())


@pytest.fixture
def table():
    values = np.r_[np.linspace(0, 1, 30), np.linspace(5, 9, 60), np.full(10, np.nan)]
    values[-4:] = 3.0
    return pd.DataFrame({"neuron_id": [f"n{i}" for i in range(100)], "skewness": values, "kurtosis": np.nan})


def ticks(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def counts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_dot_for_every_neuron_and_counts_beside_each_box(store, table) -> None:
    ax = column_by_group(table, store, "skewness")
    assert ticks(ax) == ["Sst-IRES-Cre", "Vip-IRES-Cre", "Cux2-CreERT2"]
    assert counts(ax) == ["30 neurons, 3 donors", "4 neurons, 1 donor", "60 neurons, 6 donors"]
    dots = [np.asarray(points.get_offsets()) for points in ax.collections]
    assert [len(own) for own in dots] == [30, 4, 60]
    np.testing.assert_allclose(np.sort(dots[2][:, 0]), np.linspace(5, 9, 60))
    assert ax.get_title(loc="left").startswith("94 neurons of 10 donors; 6 without a value left out")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("skewness", "CRE line")
    assert ax.yaxis_inverted()


def test_boxes_are_quartiles_and_whiskers_percentiles(store, table) -> None:
    ax = column_by_group(table, store, "skewness", intervals=None)
    low, high = 5.0, 9.0
    expected = low + (high - low) * np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    seen = np.unique(np.concatenate([np.asarray(line.get_xdata(), float) for line in ax.lines]))
    for value in expected:
        assert np.isclose(seen, value, atol=0.04).any(), value


def test_thick_bars_are_intervals_clustered_by_donor(store, table) -> None:
    resampling = Resampling(level=0.9, draws=200, seed=3)
    ax = column_by_group(table, store, "skewness", intervals=resampling)
    bars = [np.asarray(line.get_xdata(), float) for line in ax.lines if line.get_linewidth() == 3]
    own = table.iloc[30:90]["skewness"].to_numpy()
    donors = store.neurons.iloc[30:90]["donor_id"].to_numpy(str)
    np.testing.assert_allclose(bars[2], clustered_intervals(own, donors, resampling)["median"])
    assert np.isnan(bars[1]).all()
    assert "90% interval of the median" in ax.get_title(loc="left")


def test_two_groups_are_rows_and_colours(store, table) -> None:
    ax = column_by_group(table, store, "skewness", by=("cre_line", "area"))
    assert len(counts(ax)) == 6
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["VISl", "VISp"]
    assert len({tuple(points.get_facecolor()[0]) for points in ax.collections}) == 2


def test_depths_are_bands_from_the_surface_down(store, table) -> None:
    assert ticks(column_by_group(table, store, "skewness", by="depth")) == ["100-200 um", "300-400 um"]


def test_a_bent_axis_has_round_ticks_that_do_not_touch(store, table) -> None:
    table["skewness"] = np.r_[np.linspace(-1, 1, 50), np.logspace(0, 3, 50)]
    ax = column_by_group(table, store, "skewness", log=True)
    at = np.sort(ax.transData.transform([(tick, 0) for tick in ax.get_xticks()])[:, 0])
    assert {0.0, 1000.0} <= set(ax.get_xticks())
    assert len(at) >= 4
    assert np.diff(at).min() > 0.1 * (at[-1] - at[0])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        pytest.param({"column": "skewnes"}, StatisticError, "did you mean 'skewness'", id="column"),
        pytest.param({"column": "neuron_id"}, StatisticError, "not numbers", id="text"),
        pytest.param({"column": "kurtosis"}, StatisticError, "no neuron has a value", id="nothing-known"),
        pytest.param({"by": "cre_lin"}, UsageError, "did you mean 'cre_line'", id="group"),
        pytest.param({"by": ("cre_line", "area", "depth")}, UsageError, "3 groups at once", id="three"),
        pytest.param({"by": ("area", "donor")}, StatisticError, "put it first", id="too-many-colours"),
    ],
)
def test_wrong_calls(store, table, change, error, words) -> None:
    with pytest.raises(error, match=words):
        column_by_group(table, store, **{"column": "skewness", **change})


def test_neurons_of_another_store(store, table) -> None:
    with pytest.raises(UsageError, match="no neuron"):
        column_by_group(table.assign(neuron_id="else"), store, "skewness")
