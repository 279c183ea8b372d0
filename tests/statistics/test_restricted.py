"""`moments@drifting_gratings`: train-role time within the epochs of one stimulus, under names that say so."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from poyodata.errors import StatisticError
from poyodata.intervals import as_intervals, intersect
from poyodata.splits import resolve_split
from poyodata.statistics import (
    MOMENTS,
    bound_names,
    column_metadata,
    compute_statistics,
    describe_statistic,
    find_statistics,
    parse_restricted,
    restrict,
    select_columns,
)
from tests.fake_store import GRATINGS, GREY, MOVIE, make_store


def within(store, session, stimulus, spans):
    own = store.epochs[(store.epochs["session_id"] == session) & (store.epochs["stimulus"] == stimulus)]
    return intersect(spans, as_intervals(own[["start_frame", "stop_frame"]].to_numpy()))


@pytest.mark.parametrize("stimulus", [GRATINGS, MOVIE, GREY])
def test_moments_are_those_of_train_time_within_epochs(store, stimulus):
    split = resolve_split(store, "blocks-5fold", 1)
    table = compute_statistics(store, ["moments", f"moments@{stimulus}"], split).set_index("neuron_id")
    for session, traces in store.arrays.items():
        spans = within(store, session, stimulus, split.train_time(session))
        seen = np.concatenate([traces[a:b] for a, b in spans]).astype(np.float64)
        rows = table.loc[[f"{session}_{i}" for i in range(traces.shape[1])]]
        assert rows[f"skewness@{stimulus}"].to_numpy() == pytest.approx(scipy.stats.skew(seen), rel=1e-12)
        assert (rows[f"n_frames@{stimulus}"] == len(seen)).all()
        assert (rows["n_frames"] > len(seen)).all()


def test_labels_of_the_stimulus_itself_are_seen(store):
    table = compute_statistics(store, ["fisher_direction", f"fisher_direction@{GRATINGS}"], window="all")
    assert table[f"fisher_direction@{GRATINGS}"].notna().all()
    pd.testing.assert_series_equal(table["fisher_direction"], table[f"fisher_direction@{GRATINGS}"], check_names=False)


def test_lineage_and_meanings_say_so(store):
    table = compute_statistics(store, f"moments@{GRATINGS}", intervals=0.9)
    (lineage,) = table.attrs["lineage"]["statistics"]
    assert (lineage["name"], lineage["during"]) == (f"moments@{GRATINGS}", GRATINGS)
    assert {"skewness@drifting_gratings", "skewness_low@drifting_gratings"} <= set(table.columns)
    meaning = table.attrs["columns"]["skewness@drifting_gratings"]
    assert meaning["definition"].endswith("Within epochs of drifting_gratings alone.")
    assert "during" not in find_statistics("moments")[0].lineage


def test_recordings_without_the_stimulus_have_nan(store):
    gone = (store.epochs["session_id"] == "s001") & (store.epochs["stimulus"] == MOVIE)
    store.epochs = store.epochs[~gone].reset_index(drop=True)
    table = compute_statistics(store, ["moments", f"moments@{MOVIE}"])
    without = table["neuron_id"].str.startswith("s001").to_numpy()
    assert table[f"skewness@{MOVIE}"].isna().tolist() == without.tolist()
    assert (table.loc[without, f"n_frames@{MOVIE}"] == 0).all()
    assert table["skewness"].notna().all()
    (note,) = table.attrs["notes"]
    assert f"4 in 1 recordings which were not shown {MOVIE}: s001" in note


def test_a_stimulus_that_no_recording_was_shown(store, caplog):
    with pytest.raises(StatisticError, match=r"no recording was shown 'drifting_grating'.*did you mean 'drifting_gr"):
        compute_statistics(store, ["moments@drifting_grating", "dynamics"])
    assert "The rest is computed" in caplog.text
    caplog.clear()
    steps = []
    compute_statistics(store, "dynamics", progress=steps.append)
    assert steps == [3], "the rest was computed"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("tuning_static_gratings@drifting_gratings", "needs 'static_gratings'", id="another-stimulus"),
        pytest.param("momnets@drifting_gratings", "did you mean 'moments'", id="unknown"),
        pytest.param("skewness@drifting_gratings", "column of the statistic 'moments@drifting_gratings'", id="column"),
        pytest.param("moments@", "name@stimulus", id="no-stimulus"),
        pytest.param("@drifting_gratings", "name@stimulus", id="no-name"),
        pytest.param("moments@a@b", "name@stimulus", id="twice"),
    ],
)
def test_what_cannot_be_restricted(name, says):
    with pytest.raises(StatisticError, match=says):
        find_statistics(name)


def test_a_restriction_is_not_restricted_again():
    with pytest.raises(StatisticError, match="looks at 'b' alone already"):
        restrict(restrict(MOMENTS, "b"), "c")


def test_the_registry_understands_restrictions():
    assert select_columns(["kurtosis@spontaneous", "mean", "skewness@drifting_gratings", "ar1"]) == (
        "moments",
        "moments@drifting_gratings",
        "moments@spontaneous",
        "dynamics",
    )
    known = column_metadata(["skewness@spontaneous"])["skewness@spontaneous"]
    assert (known["statistic"], known["unit"]) == ("moments@spontaneous", "1")
    assert describe_statistic("skewness@spontaneous").startswith("skewness@spontaneous [1]")
    assert describe_statistic("moments@spontaneous").startswith("moments@spontaneous")
    for ask in (describe_statistic, lambda name: select_columns([name]), lambda name: column_metadata([name])):
        with pytest.raises(StatisticError, match="did you mean 'skewness'"):
            ask("skewnes@spontaneous")


def test_names():
    assert parse_restricted("a@b") == ("a", "b")
    assert bound_names("a@b") == ("a_low@b", "a_high@b")
    assert bound_names("a") == ("a_low", "a_high")


def test_garbage_outside_the_epochs_moves_nothing(tmp_path):
    store = make_store(tmp_path)
    names = [f"{name}@{GRATINGS}" for name in ("moments", "robust", "quality_trace", "fisher_direction")]
    before = compute_statistics(store, names, window="all")
    for session, traces in store.arrays.items():
        hidden = np.ones(len(traces), bool)
        for start, stop in within(store, session, GRATINGS, np.array([[0, len(traces)]])):
            hidden[start:stop] = False
        traces[hidden] = 1e6
    for path in sorted(store.statistics_folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    pd.testing.assert_frame_equal(compute_statistics(store, names, window="all"), before, check_exact=True)
