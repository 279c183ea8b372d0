"""Membership of halves of train time: the halves themselves, rules, and the numbers of the real recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError, UsageError
from poyodata.intervals import covers, n_frames
from poyodata.sources.arrays import read_arrays
from poyodata.splits import resolve_split
from poyodata.statistics import compute_statistics
from poyodata.statistics.membership import halve_train_time, membership_flips, memberships, split_rule
from poyodata.store import open_store
from poyodata.store.writer import StoreWriter
from tests.fake_store import make_store

RULE = "skewness <= 1.5 and kurtosis <= 3.0"


@pytest.mark.parametrize("name", ["blocks-5fold", "epoch-out"])
def test_halves_divide_the_train_time_of_every_recording(name, tmp_path):
    store = make_store(tmp_path, n_sessions=2, cuts=(1500,))
    split = resolve_split(store, name)
    first, second = halve_train_time(store, split)
    for session in store.sessions["session_id"]:
        whole, one, two = (part.train_time(session) for part in (split, first, second))
        assert abs(n_frames(one) - n_frames(two)) <= 1
        assert n_frames(one) + n_frames(two) == n_frames(whole)
        assert one[-1, 1] <= two[0, 0]
        assert covers(whole, *np.concatenate([one, two]).T).all()
    assert len({split.digest, first.digest, second.digest}) == 3
    for half in (first, second):
        assert set(half.windows["role"]) <= {"train", "identify"}
        shown = store.presentations.merge(half.trials)
        assert len(shown) == len(half.trials) > 0
        for session, rows in shown.groupby("session_id"):
            assert covers(half.train_time(session), rows["start_frame"], rows["stop_frame"]).all()


def test_test_time_moves_no_membership(tmp_path):
    store = make_store(tmp_path, n_sessions=2)
    split = resolve_split(store, "blocks-5fold")
    before = memberships(store, RULE, split)
    for session, traces in store.arrays.items():
        hidden = np.ones(len(traces), bool)
        for start, stop in split.train_time(session):
            hidden[start:stop] = False
        traces[hidden] = 1e6
    for path in store.statistics_folder.rglob("*"):
        if path.is_file():
            path.unlink()
    pd.testing.assert_frame_equal(memberships(store, RULE, split), before)


def test_a_neuron_that_changes_half_way_flips(tmp_path):
    store = make_store(tmp_path, n_sessions=1, n_neurons=6)
    split = resolve_split(store, "blocks-5fold")
    _, second = halve_train_time(store, split)
    traces = store.arrays["s000"]
    traces[:] = np.random.default_rng(0).standard_normal(traces.shape)
    (start, stop), *_ = second.train_time("s000")
    traces[start : start + (stop - start) // 8, 0] += 30  # skewed in the second half alone
    traces[:, 1] = np.nan
    detail = memberships(store, "skewness <= 1", split).set_index("neuron_id")
    assert detail.loc["s000_0", ["first", "second", "known"]].tolist() == [True, False, True]
    assert not detail.loc["s000_1", ["whole", "first", "second", "known"]].any()
    row = membership_flips(store, "skewness <= 1", split).iloc[0]
    assert (row["neurons"], row["flips"], row["share"]) == (5, 1, 0.2)
    assert row["members_first"] - row["members_second"] == 1
    assert row["flips_first_whole"] + row["flips_second_whole"] == 1


def test_rules_agree_with_the_statistics(tmp_path):
    store = make_store(tmp_path, n_sessions=3)
    split = resolve_split(store, "blocks-5fold")
    by_function = {"both": lambda table: ((table["skewness"] <= 1.5) & (table["kurtosis"] <= 3.0)).to_numpy()}
    as_text = membership_flips(store, {"both": RULE}, split)
    pd.testing.assert_frame_equal(
        membership_flips(store, by_function, split, columns=["skewness", "kurtosis"]), as_text
    )
    table = compute_statistics(store, "moments", split)
    inside = (table["skewness"] <= 1.5) & (table["kurtosis"] <= 3.0)
    assert as_text.loc[0, "members"] == inside.sum()
    assert 0 < inside.sum() < len(table)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        pytest.param(
            "skewness <= kurtosis", StatisticError, "no comparison of a column with a number", id="two-columns"
        ),
        pytest.param("skewness <= 1 or mean > 2", StatisticError, "no comparison", id="or"),
        pytest.param("", StatisticError, "no comparison", id="empty"),
        pytest.param("skewnes <= 1", StatisticError, "did you mean 'skewness'", id="misspelled"),
        pytest.param("skewness_low <= 1", StatisticError, "an end of the interval of 'skewness'", id="bound"),
        pytest.param({}, UsageError, "no rule was given", id="none"),
        pytest.param(
            lambda table: table["mean"] > 0, UsageError, "name it in `columns`", id="function-without-columns"
        ),
    ],
)
def test_rules_that_cannot_be_read(rule, error, words, tmp_path):
    with pytest.raises(error, match=words):
        membership_flips(make_store(tmp_path), rule)


def test_a_function_has_to_give_booleans(tmp_path):
    with pytest.raises(StatisticError, match="one boolean for each"):
        membership_flips(make_store(tmp_path), lambda table: table["mean"], columns=["mean"])


def test_restricted_columns_are_read():
    assert split_rule("skewness@drifting_gratings<-1.5e1") == [("skewness@drifting_gratings", "<", -15.0)]


def test_the_real_recording(real_recording, tmp_path, record_property):
    with StoreWriter(tmp_path / "real.zarr") as writer:
        writer.add(read_arrays(real_recording / "dff_dg_continuous.h5"))
    store = open_store(tmp_path / "real.zarr")
    rules = {
        "predictable": "skewness <= 3.51 and kurtosis <= 22.62",
        "unpredictable": "skewness > 3.51 and kurtosis > 22.62",
    }
    split = resolve_split(store, "blocks-5fold")
    windows = store.segments[["session_id", "start_frame", "stop_frame"]].assign(role="train")
    everything = replace(split, digest="all of the time", windows=windows)
    of_all = membership_flips(store, rules, everything).set_index("rule")
    of_train = membership_flips(store, rules, split).set_index("rule")
    for table in (of_all, of_train):
        record_property("flips", table.to_csv())
        assert (table["neurons"] == 254).all()
    assert of_all["members"].tolist() == [111, 105]
    # Between a half and the whole: some 25 to 45 neurons.
    between = of_all[["flips_first_whole", "flips_second_whole"]].to_numpy()
    assert between.min() >= 25
    assert between.max() <= 45
    assert of_train.loc["predictable", ["flips", "flips_first_whole", "flips_second_whole"]].tolist() == [64, 18, 46]
