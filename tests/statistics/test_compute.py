import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from poyodata.cli import main
from poyodata.curation import Diet
from poyodata.errors import SplitError, StatisticError, StoreError, UsageError
from poyodata.splits import SPLITS, resolve_split
from poyodata.statistics import (
    BUILT_IN,
    STATISTICS,
    Column,
    Resampling,
    Statistic,
    compute_statistics,
    membership_flips,
    population_information,
)
from poyodata.store import open_store
from poyodata.store.seal import is_intact
from tests.fake_store import GREY, make_store
from tests.splits.test_movie_segments import QUICK, movie_store

TWO = ("moments", "fisher_direction")


def kept(store):
    return sorted(path.name for path in store.statistics_folder.iterdir() if path.is_file())


def forget(store):
    shutil.rmtree(store.statistics_folder, ignore_errors=True)


def test_one_row_a_neuron_in_the_order_of_the_store(store):
    table = compute_statistics(store, list(STATISTICS))
    assert table["neuron_id"].tolist() == store.neurons["neuron_id"].tolist()
    names = [name for statistic in STATISTICS.values() for name in statistic.columns]
    assert table.columns.tolist() == ["neuron_id", *names]
    for statistic in STATISTICS.values():
        for name, column in statistic.columns.items():
            assert table[name].dtype == column.dtype, name


def test_moments_are_those_of_train_time(store):
    split = resolve_split(store, "blocks-5fold", 2)
    table = compute_statistics(store, "moments", split).set_index("neuron_id")
    for session, traces in store.arrays.items():
        seen = np.concatenate([traces[a:b] for a, b in split.train_time(session)]).astype(np.float64)
        rows = table.loc[[f"{session}_{i}" for i in range(traces.shape[1])]]
        assert rows["skewness"].to_numpy() == pytest.approx(scipy.stats.skew(seen), rel=1e-12)
        assert rows["kurtosis"].to_numpy() == pytest.approx(scipy.stats.kurtosis(seen), rel=1e-12)
        assert (rows["n_frames"] == len(seen)).all()


def test_all_time_equals_scipy_on_everything(store):
    table = compute_statistics(store, "moments", window="all")
    everything = np.concatenate([scipy.stats.skew(a.astype(np.float64)) for a in store.arrays.values()])
    assert table["skewness"].to_numpy() == pytest.approx(everything, rel=1e-12)
    assert table.attrs["lineage"]["window"] == "all"
    assert table.attrs["lineage"]["split"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPLITS))
def test_garbage_in_test_time_moves_nothing(name, tmp_path):
    if name == "movie-segments":  # with a guard that a movie of eight seconds leaves time beside
        store, spec = movie_store(tmp_path, n_sessions=3), QUICK
    else:
        store, spec = make_store(tmp_path, n_sessions=10), name
    split = resolve_split(store, spec)
    for session, traces in store.arrays.items():
        speed = np.random.default_rng(0).uniform(0, 30, len(traces))
        store.signals[session, "running_speed"] = speed, store.time_s(session)
    before = compute_statistics(store, list(STATISTICS), split)
    for session, traces in store.arrays.items():
        hidden = np.ones(len(traces), bool)
        for start, stop in split.train_time(session):
            hidden[start:stop] = False
        assert hidden.any()
        traces[hidden] = np.where(np.arange(hidden.sum())[:, None] % 3, np.float32(1e6), np.nan)
        store.signals[session, "running_speed"][0][hidden] = 1e6
    forget(store)
    pd.testing.assert_frame_equal(compute_statistics(store, list(STATISTICS), split), before, check_exact=True)


def test_what_is_drawn_for_intervals_knows_nothing_of_test_time(store):
    split = resolve_split(store, "blocks-5fold")
    before = compute_statistics(store, "moments", split, intervals=0.9)
    store.sessions["digest"] = store.sessions["digest"].str[::-1]  # as test-role frames of another content make it
    forget(store)
    own = resolve_split(store, "blocks-5fold")
    pd.testing.assert_frame_equal(compute_statistics(store, "moments", own, intervals=0.9), before, check_exact=True)


def test_garbage_in_train_time_moves_everything(store):
    split = resolve_split(store, "blocks-5fold")
    before = compute_statistics(store, TWO, split=split)
    for session, traces in store.arrays.items():
        for start, stop in split.train_time(session):
            traces[start:stop] *= np.linspace(0.5, 3, stop - start, dtype=np.float32)[:, None]
    forget(store)
    after = compute_statistics(store, TWO, split=split)
    for name in ("mean", "std", "skewness", "kurtosis", "fisher_direction"):
        assert (before[name] != after[name]).all(), name


def test_neurons_without_data_are_nan_and_the_rest_is_computed(store):
    expected = compute_statistics(store, TWO)
    forget(store)
    store.arrays["s001"][:, 2] = np.nan
    table = compute_statistics(store, TWO)
    gone = (table["neuron_id"] == "s001_2").to_numpy()
    assert np.isnan(table.loc[gone, ["mean", "std", "skewness", "kurtosis", "fisher_direction"]].to_numpy()).all()
    assert table.loc[gone, ["n_frames", "n_trials", "missing_fraction"]].to_numpy().tolist() == [[0, 0, 1]]
    # Not bit by bit: the population's blocks are then read by the loop that tests every frame.
    pd.testing.assert_frame_equal(table[~gone], expected[~gone], rtol=1e-12)


def test_recordings_without_gratings_have_moments_but_no_information(tmp_path):
    table = compute_statistics(make_store(tmp_path, layout=((GREY, 2000),)), TWO)
    assert table["skewness"].notna().all()
    assert table["fisher_direction"].isna().all()
    assert (table["n_trials"] == 0).all()


def test_results_are_kept_and_read_back(store, monkeypatch):
    steps = []
    first = compute_statistics(store, TWO, progress=steps.append)
    assert steps == [1, 1, 1]
    digest = first.attrs["digest"]
    assert kept(store) == [f"{digest}.json", f"{digest}.parquet"]
    monkeypatch.setattr(store, "traces", lambda *_: pytest.fail("traces were read again"))
    second = compute_statistics(store, TWO, progress=steps.append)
    assert steps == [1, 1, 1, 3]
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert second.attrs == first.attrs


def test_lineage_says_what_the_numbers_depend_on(store):
    table = compute_statistics(store, TWO, sessions=["s001"])
    lineage = json.loads((store.statistics_folder / f"{table.attrs['digest']}.json").read_text())
    assert lineage["store"] == store.digest
    assert lineage["split"]["name"] == "blocks-5fold"
    assert lineage["sessions"] == ["s001"]
    assert {entry["name"]: entry["uses_labels"] for entry in lineage["statistics"]} == {
        "moments": False,
        "fisher_direction": True,
    }
    assert lineage.items() >= table.attrs["lineage"].items()


def test_whatever_matters_changes_the_digest(store, monkeypatch):
    digests = [
        compute_statistics(store, **{"names": TWO} | what).attrs["digest"]
        for what in (
            {},
            {"names": "moments"},
            {"split": resolve_split(store, "blocks-5fold", 1)},
            {"split": "epoch-out"},
            {"window": "all"},
            {"sessions": ["s000"]},
        )
    ]
    monkeypatch.setitem(
        STATISTICS, "moments", type(STATISTICS["moments"])(**vars(STATISTICS["moments"]) | {"version": 9})
    )
    digests.append(compute_statistics(store, "moments").attrs["digest"])
    store.sessions.loc[0, "digest"] = "other"
    digests.append(compute_statistics(store, TWO).attrs["digest"])
    assert len(set(digests)) == len(digests)
    assert compute_statistics(store, TWO, split="blocks-5fold").attrs["digest"] == digests[-1], (
        "the default by its name"
    )


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda parquet, lineage: parquet.write_bytes(parquet.read_bytes()[:200]), id="truncated"),
        pytest.param(lambda parquet, lineage: parquet.write_bytes(b""), id="empty"),
        pytest.param(lambda parquet, lineage: lineage.write_text("{"), id="lineage-truncated"),
        pytest.param(lambda parquet, lineage: lineage.write_text("[]"), id="lineage-of-another-kind"),
        pytest.param(lambda parquet, lineage: lineage.unlink(), id="not-committed"),
        pytest.param(lambda parquet, lineage: parquet.unlink(), id="table-gone"),
        pytest.param(
            lambda parquet, lineage: pd.read_parquet(parquet).assign(skewness=0.0).to_parquet(parquet), id="edited"
        ),
    ],
)
def test_damaged_results_are_computed_again(store, damage):
    expected = compute_statistics(store, TWO)
    stem = store.statistics_folder / expected.attrs["digest"]
    damage(stem.with_suffix(".parquet"), stem.with_suffix(".json"))
    pd.testing.assert_frame_equal(compute_statistics(store, TWO), expected, check_exact=True)
    assert len(kept(store)) == 2
    steps = []
    compute_statistics(store, TWO, progress=steps.append)
    assert steps == [3], "kept again"


def test_a_store_that_cannot_be_written_still_gives_statistics(store, caplog):
    store.statistics_folder.write_text("a file where the folder should be")
    assert len(compute_statistics(store, TWO)) == 12
    assert "not kept" in caplog.text


def test_a_user_adds_a_statistic(store, monkeypatch):
    peak = Statistic(
        name="peak",
        version=1,
        columns={"peak": Column(dtype="float64", unit="dF/F", definition="Highest frame.")},
        chunk=lambda stretch, params: stretch.traces.max(axis=0),
        combine=np.maximum,
        finalize=lambda state, params: {"peak": state},
        nan_policy="fail",
    )
    monkeypatch.setitem(STATISTICS, "peak", peak)
    split = resolve_split(store, "blocks-5fold")
    table = compute_statistics(store, ["peak"], split)
    expected = np.concatenate(
        [
            np.max([a[start:stop].max(axis=0) for start, stop in split.train_time(s)], axis=0)
            for s, a in store.arrays.items()
        ]
    )
    assert table["peak"].to_numpy() == pytest.approx(expected)


def test_signals_come_at_the_times_of_frames_and_from_train_time_alone(store, monkeypatch):
    """Samples at twice the frame rate, of a signal that is the time itself; one recording has none."""
    first, *others = store.arrays
    for session in others:
        time_s = store.time_s(session)
        sample_s = np.arange(0, time_s[-1], 1 / 60) + 0.004
        store.signals[session, "running_speed"] = sample_s.copy(), sample_s
    seen = {}

    def chunk(stretch, params):
        seen[len(seen)] = dict(stretch.signals), len(stretch.traces)
        return stretch.traces.shape[1]

    watching = Statistic(
        name="watching",
        version=1,
        columns={"watched": Column(dtype="float64", unit="1", definition="Nothing.")},
        chunk=chunk,
        combine=max,
        finalize=lambda state, params: {"watched": np.zeros(state)},
        nan_policy="none",
        signals=("running_speed",),
    )
    monkeypatch.setitem(STATISTICS, "watching", watching)
    split = resolve_split(store, "blocks-5fold")
    compute_statistics(store, ["watching"], split)
    spans = [(session, span) for session in store.arrays for span in split.train_time(session)]
    assert len(spans) == len(seen)
    for (session, (start, stop)), (signals, n_frames) in zip(spans, seen.values(), strict=True):
        assert n_frames == stop - start
        if session == first:
            assert signals == {}
            continue
        speed, time_s = signals["running_speed"], store.time_s(session)[start:stop]
        # The first and last frames have samples on one side alone: the other side is not train time.
        np.testing.assert_allclose(speed[1:-1], time_s[1:-1], atol=1e-9)
        assert np.isnan(speed[[0, -1]]).all()


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        pytest.param({"names": "momnets"}, StatisticError, "did you mean 'moments'", id="unknown-statistic"),
        pytest.param({"names": ["kurtosis"]}, StatisticError, "column of the statistic 'moments'", id="a-column"),
        pytest.param({"names": []}, StatisticError, "no statistic was named", id="no-names"),
        pytest.param({"window": "test"}, StatisticError, "window is 'test'", id="unknown-window"),
        pytest.param(
            {"window": "all", "split": "epoch-out"}, StatisticError, "leave one of them out", id="all-and-split"
        ),
        pytest.param({"sessions": ["s01"]}, UsageError, "did you mean 's001'", id="unknown-recording"),
        pytest.param({"split": "epochs-out"}, UsageError, "did you mean 'epoch-out'", id="unknown-split"),
        pytest.param({"sessions": [900000000]}, UsageError, "named by texts, and 900000000", id="recording-number"),
        pytest.param({"sessions": 9}, UsageError, "named by texts, and 9", id="recordings-number"),
        pytest.param({"names": [STATISTICS["moments"]]}, StatisticError, "write 'moments'", id="a-statistic"),
        pytest.param({"names": STATISTICS["moments"]}, StatisticError, "write 'moments'", id="a-statistic-alone"),
        pytest.param({"names": 5}, StatisticError, "named by texts, such as 'moments'; 5", id="a-number"),
        pytest.param({"names": ["moments", None]}, StatisticError, "'moments'; None arrived", id="none-inside"),
        pytest.param({"names": [["moments"]]}, StatisticError, "named by texts", id="a-list-inside"),
        pytest.param({"split": 3}, StatisticError, "split is 3; give the name", id="split-number"),
        pytest.param({"intervals": "0.95"}, UsageError, "intervals is '0.95'; give a share", id="level-text"),
        pytest.param({"split": "donor-70-10-20"}, SplitError, "at least 6 are needed", id="split-that-cannot-be"),
    ],
)
def test_what_cannot_be_computed_is_said(store, arguments, kind, says):
    with pytest.raises(kind, match=says):
        compute_statistics(store, **arguments)


def test_the_path_of_a_store_is_no_store():
    with pytest.raises(UsageError, match=r"'a\.zarr' arrived: open it first"):
        compute_statistics("a.zarr")
    with pytest.raises(UsageError, match=r"'a\.zarr' arrived: open it first"):
        population_information("a.zarr")


def test_one_recording_may_be_named_alone(store):
    table = compute_statistics(store, "moments", sessions="s001")
    assert table["neuron_id"].str.startswith("s001").all()
    assert len(table) == 4


def test_a_split_of_other_content_is_refused(store, tmp_path):
    other = make_store(tmp_path / "other", n_sessions=3, n_donors=2)
    other.sessions.loc[other.sessions["session_id"] == "s001", "digest"] = "another"
    split = resolve_split(other, "blocks-5fold")
    for ask in (
        lambda: compute_statistics(store, "moments", split),
        lambda: population_information(store, split=split),
        lambda: membership_flips(store, "skewness <= 1", split),
        lambda: Diet.where("skewness <= 1").resolve(store, split=split),
    ):
        with pytest.raises(SplitError, match="other content of recording 's001'; resolve it again"):
            ask()
    compute_statistics(store, "moments", resolve_split(store, "blocks-5fold"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param({"draws": 2.5}, "draws is 2.5", id="draws"),
        pytest.param({"seed": -1}, "seed is -1", id="seed-negative"),
        pytest.param({"seed": None}, "seed is None", id="no-seed"),
        pytest.param({"level": "0.9"}, "level of intervals is '0.9'", id="level"),
    ],
)
def test_draws_and_seeds_are_whole_numbers(asked, says):
    with pytest.raises(UsageError, match=says):
        Resampling(**asked)


# -- in other processes --------------------------------------------------------------------------------------------


@pytest.fixture
def own_store(tiny_store_path, tmp_path):
    """The simulated store of three recordings, to write statistics into."""
    shutil.copytree(tiny_store_path, tmp_path / "tiny.zarr", ignore=shutil.ignore_patterns("statistics"))
    return open_store(tmp_path / "tiny.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", ["processes", "cluster"])
def test_results_are_the_same_wherever_they_are_computed(elsewhere, own_store, request, monkeypatch):
    base = 2.0  # a statistic of a user's own, which no module holds
    level = Statistic(
        name="level",
        version=1,
        columns={"level": Column(dtype="float64", unit="dF/F", definition="Largest frame, doubled.")},
        chunk=lambda stretch, params: base * stretch.traces.max(axis=0),
        combine=np.maximum,
        finalize=lambda state, params: {"level": state},
        nan_policy="fail",
    )
    monkeypatch.setitem(STATISTICS, "level", level)
    names = ["moments", "fisher_direction", "level"]
    expected = compute_statistics(own_store, names, split="blocks-5fold", workers=1)
    forget(own_store)
    place = {"workers": 2} if elsewhere == "processes" else {"scheduler": request.getfixturevalue("scheduler")}
    steps = []
    table = compute_statistics(own_store, names, split="blocks-5fold", progress=steps.append, **place)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert table.attrs == expected.attrs
    assert steps == [1, 1, 1]


@pytest.mark.slow
def test_a_store_may_be_named_from_here_and_read_elsewhere(own_store, scheduler, monkeypatch):
    expected = compute_statistics(own_store, "moments", window="all")
    forget(own_store)
    monkeypatch.chdir(own_store.path.parent)
    table = compute_statistics(open_store("tiny.zarr"), "moments", window="all", scheduler=scheduler)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


@pytest.mark.slow
def test_a_recording_that_changed_meanwhile_is_not_taken_for_the_one_before(store):
    sessions = store.sessions
    split = resolve_split(store, "blocks-5fold")
    expected = compute_statistics(store, TWO, split=split)
    forget(store)

    class Reopened(type(store)):
        def __reduce__(self):
            moved = type(store)(store.statistics_folder.parent, sessions.assign(digest="other"), *rest)
            return lambda: moved, ()

    rest = (store.neurons, store.presentations, store.epochs, store.segments, store.arrays)
    changed = Reopened(store.statistics_folder.parent, sessions, *rest)
    with pytest.raises(StoreError, match=r"recording 's00[01]' was changed meanwhile; open the store again"):
        compute_statistics(changed, TWO, split=split, workers=2)
    assert not store.statistics_folder.exists()
    pd.testing.assert_frame_equal(compute_statistics(changed, TWO, split=split), expected, check_exact=True)


def test_workers_and_a_scheduler_are_too_much(store):
    with pytest.raises(UsageError, match="both given"):
        compute_statistics(store, workers=2, scheduler="tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("option", "status", "says"),
    [
        (["--workers", "1"], 0, "computing statistics"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], 2, "both given"),
        (["--scheduler", "tcp://127.0.0.1:1"], 1, "no dask scheduler answers"),
    ],
)
def test_the_programs_workers(option, status, says, own_store, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["poyodata", "stats", str(own_store.path), "--only", "moments", *option])
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == status
    assert says in capsys.readouterr().err


def test_kept_results_are_sealed(store):
    digest = compute_statistics(store, TWO).attrs["digest"]
    assert is_intact((store.statistics_folder / f"{digest}.parquet").read_bytes())


# -- what is said of the table -------------------------------------------------------------------------------------


def test_by_default_every_statistic_that_is_built_in(store, monkeypatch):
    monkeypatch.setitem(STATISTICS, "own", replace(STATISTICS["quality_missing"], name="own"))
    table = compute_statistics(store, window="all")
    names = [name for statistic in BUILT_IN for name in STATISTICS[statistic].columns]
    assert table.columns.tolist() == ["neuron_id", *names]


def test_what_columns_mean_travels_with_the_table(store):
    table = compute_statistics(store, TWO, intervals=Resampling(level=0.8, draws=50, seed=3))
    meanings = table.attrs["columns"]
    assert list(meanings) == table.columns.tolist()[1:]
    assert meanings["kurtosis"]["definition"].startswith("EXCESS")
    assert "biased" in meanings["skewness"]["definition"]
    assert meanings["fisher_direction"]["unit"] == "rad^-2"
    assert meanings["mean_low"]["definition"].startswith("Lower end of the 80 % confidence interval of mean")
    assert "seed 3" in meanings["mean_low"]["definition"]
    assert {meaning["statistic"] for meaning in meanings.values()} == set(TWO)
    assert compute_statistics(store, TWO, intervals=Resampling(level=0.8, draws=50, seed=3)).attrs == table.attrs
    assert table.attrs["lineage"]["intervals"] == {"level": 0.8, "draws": 50, "seed": 3}


@pytest.mark.parametrize("level", [0, 1, 95, -0.5])
def test_levels_are_shares(store, level):
    with pytest.raises(UsageError, match="share between 0 and 1"):
        compute_statistics(store, "moments", intervals=level)


def test_intervals_hold_their_values_and_do_not_change_them(store):
    plain, around = (compute_statistics(store, "moments", window="all", intervals=level) for level in (None, 0.9))
    pd.testing.assert_frame_equal(plain, around[plain.columns], check_exact=True)
    for name in ("mean", "std", "skewness", "kurtosis"):
        assert (around[f"{name}_low"] <= around[name]).all(), name
        assert (around[name] <= around[f"{name}_high"]).all(), name
    assert "n_frames_low" not in around


@pytest.mark.slow
def test_intervals_come_out_the_same_from_any_workers(own_store):
    names, what = ["moments", "quality_trace"], {"intervals": Resampling(draws=40), "window": "all"}
    here = compute_statistics(own_store, names, workers=1, **what)
    forget(own_store)
    there = compute_statistics(own_store, names[::-1], workers=2, **what)
    pd.testing.assert_frame_equal(here, there[here.columns], check_exact=True)
    assert here["mean_low"].notna().all()


# -- what cannot be computed ---------------------------------------------------------------------------------------


def test_one_damaged_recording_does_not_lose_the_others(store, monkeypatch):
    whole, steps = store.traces, []

    def traces(session, name="dff"):
        if session == "s001":
            raise StoreError("s001/dff is truncated; restore it from a copy")
        return whole(session, name)

    monkeypatch.setattr(store, "traces", traces)
    with pytest.raises(StoreError, match=r"of 3 recordings, 1 could not be computed.*'s001': .*is truncated"):
        compute_statistics(store, TWO, progress=steps.append)
    assert steps == [1, 1, 1]
    steps.clear()
    with pytest.raises(StoreError, match=r"leave them out \(sessions="):
        compute_statistics(store, TWO, progress=steps.append)
    assert steps == [2, 1], "the others were kept"
    assert len(compute_statistics(store, TWO, sessions=["s000", "s002"])) == 8
    monkeypatch.undo()
    assert compute_statistics(store, TWO)["mean"].notna().all()


def test_a_recording_without_labels_loses_only_what_needs_them(store, monkeypatch):
    def presentations_of(session):
        raise StoreError(f"{session}/presentations is damaged")

    monkeypatch.setattr(store, "presentations_of", presentations_of)
    with pytest.raises(StoreError, match=r"3 could not be computed, or not wholly.*presentations is damaged"):
        compute_statistics(store, TWO, window="all")
    monkeypatch.setattr(store, "traces", lambda *_: pytest.fail("moments were computed, and are kept"))
    assert compute_statistics(store, "moments", window="all")["mean"].notna().all()


def test_an_unknown_statistic_is_said_at_once_and_the_rest_is_computed(store, caplog):
    steps = []
    with pytest.raises(StatisticError, match=r"did you mean 'moments'.*All else that was asked for is computed"):
        compute_statistics(store, ["momnets", "dynamics"], progress=steps.append)
    assert "did you mean 'moments'" in caplog.text
    assert steps == [1, 1, 1]
    compute_statistics(store, "dynamics", progress=steps.append)
    assert steps == [1, 1, 1, 3]


def without_train_time(split, *sessions):
    return replace(split, windows=split.windows[~split.windows["session_id"].isin(sessions)].reset_index(drop=True))


def test_a_recording_without_train_time_has_nan_and_is_named(store):
    split = without_train_time(resolve_split(store, "blocks-5fold"), "s002")
    table = compute_statistics(store, "moments", split)
    assert table["mean"].isna().tolist() == table["neuron_id"].str.startswith("s002").tolist()
    assert table.attrs["notes"] == (
        "moments: no mean for 4 of 12 neurons (4 in 1 recordings without train-role time: s002)",
    )


def test_a_split_without_train_time_is_refused(store):
    split = without_train_time(resolve_split(store, "blocks-5fold"), *store.arrays)
    with pytest.raises(StatisticError, match="gives no train-role time to any of the 3 recordings"):
        compute_statistics(store, "moments", split)


def test_neurons_without_frames_are_counted(store):
    store.arrays["s001"][:, 2] = np.nan
    (note,) = compute_statistics(store, "moments").attrs["notes"]
    assert note.startswith("moments: no mean for 1 of 12 neurons (1 in 1 recordings with nothing but missing frames")
    assert compute_statistics(store, "moments").attrs["notes"] == (note,), "also when it is read"
