"""Statistics by group: counts, averages, intervals clustered by donor, and what is said where there are none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from poyodata.errors import StatisticError, UsageError
from poyodata.statistics.groups import clustered_intervals, columns_with_a_mean, summarise_by
from poyodata.statistics.statistic import Resampling
from tests.benchmarks.groups import LAWS, coverage


def make_store(n_donors=4, neurons_each=5):
    """Donors in turn of two lines, one recording each; the first two recordings share their cells."""
    rows, sessions = [], []
    for d in range(n_donors):
        line = ("Sst-IRES-Cre", "Cux2-CreERT2")[d % 2]
        sessions.append({"session_id": f"s{d}", "sex": ("female", "")[d % 2], "age_days": 90.0 + d, "digest": f"{d}"})
        rows += [
            {
                "neuron_id": f"s{d}_{i}",
                "session_id": f"s{d}",
                "cell_specimen_id": i if d < 2 else 100 * d + i,
                "valid_roi": i > 0,
                "donor_id": f"m{d}",
                "cre_line": line,
                "area": ("VISp", "VISl")[d // 2 % 2],
                "depth_um": (175.0, 200.0, 275.0, np.nan)[d % 4],
            }
            for i in range(neurons_each)
        ]
    neurons = pd.DataFrame(rows).astype({"cell_specimen_id": "Int64"})
    return SimpleNamespace(neurons=neurons, sessions=pd.DataFrame(sessions))


def make_table(store, **columns):
    n = len(store.neurons)
    made = {name: values if np.ndim(values) else np.full(n, values) for name, values in columns.items()}
    return pd.DataFrame({"neuron_id": store.neurons["neuron_id"].astype("str"), **made})


def test_counts_say_what_they_count():
    store = make_store()
    store.neurons.loc[store.neurons["neuron_id"] == "s2_0", "cell_specimen_id"] = pd.NA
    found = summarise_by(make_table(store, skewness=1.0), store, "sex").set_index("sex")
    assert found.index.tolist() == ["female", "unknown"]
    assert found.loc["female", ["donors", "recordings", "cells", "neurons"]].tolist() == [2, 2, 9, 10]
    everyone = summarise_by(make_table(store, skewness=1.0), store, "area")
    assert everyone["cells"].tolist() == [9, 5], "cells of two recordings count once, unknown ones not at all"
    assert everyone["area"].tolist() == ["VISl", "VISp"]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        pytest.param("cre_line", [("Cux2-CreERT2",), ("Sst-IRES-Cre",)], id="line"),
        pytest.param("donor", [("m0",), ("m1",), ("m2",), ("m3",)], id="donor"),
        pytest.param("donor_id", [("m0",), ("m1",), ("m2",), ("m3",)], id="donor-by-column"),
        pytest.param("donor,donor_id", [("m0",), ("m1",), ("m2",), ("m3",)], id="twice"),
        pytest.param("session", [("s0",), ("s1",), ("s2",), ("s3",)], id="session"),
        pytest.param("depth", [("100-200 um",), ("200-300 um",), ("unknown",)], id="depth"),
        pytest.param("valid_roi", [("False",), ("True",)], id="yes-and-no"),
        pytest.param(
            "cre_line, area",
            [("Cux2-CreERT2", "VISl"), ("Cux2-CreERT2", "VISp"), ("Sst-IRES-Cre", "VISl"), ("Sst-IRES-Cre", "VISp")],
            id="two",
        ),
        pytest.param(["area", "sex"], None, id="list"),
    ],
)
def test_groups(by, groups):
    store = make_store()
    found = summarise_by(make_table(store, skewness=1.0), store, by)
    keys = found.attrs["by"]
    assert found["neurons"].sum() == len(store.neurons)
    if groups is not None:
        assert [tuple(row) for row in found[keys].to_numpy().tolist()] == groups


def test_bands_of_depth_are_half_open_and_given():
    store = make_store()
    found = summarise_by(make_table(store, skewness=1.0), store, "depth", depth_edges_um=(150, 200, 250))
    assert found["depth"].tolist() == ["150-200 um", "200-250 um", "250 um and below", "unknown"]
    with pytest.raises(UsageError, match="ascend"):
        summarise_by(make_table(store, skewness=1.0), store, "depth", depth_edges_um=(200, 100))


def test_negative_information_enters_unclipped():
    store = make_store()
    values = np.tile([-4.0, -3.0, -2.0, 1.0, 2.0], 4)
    found = summarise_by(make_table(store, fisher_direction=values), store).iloc[0]
    assert found["fisher_direction_mean"] == pytest.approx(-1.2)
    assert found["fisher_direction_median"] == -2.0


def test_missing_and_infinite_values_are_left_out_and_counted():
    store = make_store()
    values = np.arange(20.0)
    values[:5] = np.nan
    values[10] = np.inf
    found = summarise_by(make_table(store, kurtosis=values), store).set_index("cre_line")
    assert found["kurtosis_neurons"].tolist() == [10, 4]
    assert found.loc["Sst-IRES-Cre", "kurtosis_mean"] == pytest.approx(12.5)


def test_neurons_without_a_value_give_a_row_and_no_warning():
    store = make_store()
    found = summarise_by(make_table(store, fisher_direction=np.nan), store)
    assert found["fisher_direction_median"].isna().all()
    assert found["fisher_direction_neurons"].tolist() == [0, 0]


def test_too_few_donors_have_no_interval_and_the_reason():
    store = make_store(n_donors=5)
    values = np.arange(25.0)
    values[20:] = np.nan  # the third donor of the first line
    found = summarise_by(make_table(store, skewness=np.arange(25.0), kurtosis=values), store).set_index("cre_line")
    assert found.loc["Cux2-CreERT2", "note"] == "2 donors: no interval, which takes 3"
    assert np.isnan(found.loc["Cux2-CreERT2", "skewness_median_low"])
    assert found.loc["Sst-IRES-Cre", "note"] == "kurtosis: values of 2 donors: no interval, which takes 3"
    assert np.isfinite(found.loc["Sst-IRES-Cre", "skewness_median_low"])
    assert np.isnan(found.loc["Sst-IRES-Cre", "kurtosis_mean_high"])


def test_intervals_are_of_donors_not_of_neurons():
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(6), 500)
    values = rng.normal(size=6)[donor] + 0.1 * rng.normal(size=len(donor))
    low, high = clustered_intervals(values, donor, Resampling())["mean"]
    as_if_independent = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert high - low > 8 * as_if_independent
    assert low < values.mean() < high


def test_the_seed_decides_and_the_order_of_neurons_does_not():
    rng = np.random.default_rng(1)
    donor = np.repeat(np.arange(5), 40)
    values = rng.normal(size=200)
    first = clustered_intervals(values, donor, Resampling(seed=3))
    order = rng.permutation(200)
    again = clustered_intervals(values[order], donor[order], Resampling(seed=3))
    for name, bounds in first.items():
        assert again[name] == pytest.approx(bounds, rel=1e-12)
    assert clustered_intervals(values, donor, Resampling(seed=4)) != first


def test_a_wider_level_is_wider():
    donor, values = np.repeat(np.arange(5), 4), np.random.default_rng(2).normal(size=20)
    narrow, wide = (clustered_intervals(values, donor, Resampling(level=level))["mean"] for level in (0.8, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_many_neurons_cost_the_median_little():
    rng = np.random.default_rng(3)
    donor, values = np.repeat(np.arange(5), 4000), rng.normal(size=20_000)
    coarse = clustered_intervals(values, donor, Resampling(draws=200))["median"]
    weights = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), 200)
    exact = [
        np.median(np.concatenate([np.tile(values[donor == d], n) for d, n in enumerate(row) if n])) for row in weights
    ]
    reach = t.ppf(0.975, 4) * np.sqrt(5 / 4) * np.std(exact, ddof=1)
    assert coarse == pytest.approx((np.median(values) - reach, np.median(values) + reach), abs=0.05 * reach)


@pytest.mark.parametrize("law", LAWS)
def test_intervals_cover(law):
    found = coverage(law, n_donors=6, repeats=100, seed=1, rivals=False)
    assert found["mean"] >= 0.86
    assert found["median"] >= 0.86


def test_columns_without_a_mean_are_left_out():
    store = make_store()
    table = make_table(
        store, gosi=0.5, gosi_low=0.4, gosi_high=0.6, preferred_direction_deg=90.0, preferred_image_ns=3.0, low=1.0
    )
    table["skewness@drifting_gratings"] = table["skewness_low@drifting_gratings"] = 1.0
    assert columns_with_a_mean(table) == ["gosi", "low", "skewness@drifting_gratings"]
    found = summarise_by(table, store)
    assert "skewness_mean_high@drifting_gratings" in found
    with pytest.raises(StatisticError, match="is an angle"):
        summarise_by(table, store, columns=["preferred_direction_deg"])


def test_without_intervals_nothing_is_drawn():
    store = make_store()
    found = summarise_by(make_table(store, skewness=1.0), store, intervals=None)
    assert found.columns.tolist() == [
        *("cre_line", "donors", "recordings", "cells", "neurons"),
        *("skewness_neurons", "skewness_median", "skewness_mean"),
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        pytest.param({"by": "cre_lin"}, UsageError, "did you mean 'cre_line'", id="unknown-group"),
        pytest.param({"by": "depht"}, UsageError, "did you mean 'depth", id="unknown-depth"),
        pytest.param({"by": "age_days"}, UsageError, "is a number", id="number"),
        pytest.param({"by": "neuron_id"}, UsageError, "'neuron_id'", id="neuron"),
        pytest.param({"by": " , "}, UsageError, "name what to group by", id="nothing"),
        pytest.param({"columns": ["skewnes"]}, StatisticError, "did you mean 'skewness'", id="unknown-column"),
        pytest.param({"intervals": 95}, UsageError, "between 0 and 1", id="level"),
    ],
)
def test_wrong_calls(arguments, error, words):
    store = make_store()
    with pytest.raises(error, match=words):
        summarise_by(make_table(store, skewness=1.0), store, **arguments)


def test_neurons_of_another_store():
    store = make_store()
    table = make_table(store, skewness=1.0)
    table.loc[3, "neuron_id"] = "elsewhere"
    with pytest.raises(UsageError, match="no neuron 'elsewhere'"):
        summarise_by(table, store)


def test_an_empty_store_has_no_groups():
    store = make_store()
    store.neurons = store.neurons.iloc[:0]
    assert len(summarise_by(make_table(store, skewness=np.empty(0)), store)) == 0


def test_on_a_store_with_an_annotation_of_text(tiny_store):
    table = pd.DataFrame({"neuron_id": tiny_store.neurons["neuron_id"], "skewness": 1.0})
    found = summarise_by(table, tiny_store, ["container", "indicator"])
    assert found["neurons"].tolist() == [12, 12, 12]
    assert set(found["indicator"].astype(str)) == {"GCaMP6f"}
