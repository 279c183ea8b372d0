"""A user's own statistic: ten lines, known everywhere, and told clearly what is wrong with it."""

import importlib.metadata
import logging
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError
from poyodata.statistics import (
    BUILT_IN,
    STATISTICS,
    Column,
    KeptBlocks,
    Statistic,
    column_metadata,
    compute_statistics,
    describe_statistic,
    find_statistics,
    known_statistics,
    register_statistic,
    registry,
    select_columns,
    unregister_statistic,
)
from poyodata.statistics.declaration import ROUNDING, check_declaration
from poyodata.store import open_store


def peak_of(**changes):
    """The statistic of the docstring of `register_statistic`, with changes."""
    peak = Statistic(
        name="peak",
        version=1,
        columns={"peak_dff_frame": Column(dtype="float64", unit="dF/F", definition="Brightest frame.")},
        chunk=lambda stretch, params: np.fmax.reduce(stretch.traces, axis=0, initial=-np.inf),
        combine=np.fmax,
        finalize=lambda highest, params: {"peak_dff_frame": np.where(np.isfinite(highest), highest, np.nan)},
        nan_policy="Missing frames are left out; NaN without frames.",
    )
    return replace(peak, **changes)


def column(**changes):
    return {"peak_dff_frame": replace(peak_of().columns["peak_dff_frame"], **changes)}


@pytest.fixture(autouse=True)
def as_before():
    yield
    for name in [name for name in STATISTICS if name not in BUILT_IN]:
        unregister_statistic(name)


def test_it_is_known_everywhere(store):
    register_statistic(peak_of())
    assert find_statistics("peak@drifting_gratings")[0].during == "drifting_gratings"
    assert select_columns(["peak_dff_frame"]) == ("peak",)
    assert column_metadata()["peak_dff_frame"]["unit"] == "dF/F"
    assert "Brightest frame." in describe_statistic("peak")
    table = compute_statistics(store, ["peak", "peak@drifting_gratings"], window="all", intervals=0.9)
    highest = np.concatenate([array.max(axis=0) for array in store.arrays.values()])
    assert table["peak_dff_frame"].to_numpy() == pytest.approx(highest)
    assert (table["peak_dff_frame@drifting_gratings"] <= table["peak_dff_frame"]).all()
    assert "peak" not in {statistic.name for statistic in find_statistics()}, "by default those that are built in"


@pytest.mark.slow
def test_it_runs_in_other_processes(tiny_store_path, tmp_path):
    shutil.copytree(tiny_store_path, tmp_path / "own.zarr", ignore=shutil.ignore_patterns("statistics"))
    store = open_store(tmp_path / "own.zarr")
    register_statistic(peak_of())
    names = ["peak", "peak@drifting_gratings"]
    here = compute_statistics(store, names, window="all", workers=1)
    shutil.rmtree(store.statistics_folder)
    there = compute_statistics(store, names, window="all", workers=2)
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    assert here["peak_dff_frame"].notna().all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"name": "my peak"}, "'my peak' is no name", id="a-space"),
        pytest.param({"name": "peak@drifting_gratings"}, "is no name", id="a-restriction"),
        pytest.param({"name": "moments"}, "poyodata's own", id="built-in"),
        pytest.param({"name": "Kurtosis"}, "name 'kurtosis', which is a name of the statistic 'moments'", id="column"),
        pytest.param({"columns": {}}, "declares no columns", id="no-columns"),
        pytest.param({"version": 0}, "has version 0", id="version"),
        pytest.param({"version": "1"}, "has version '1'", id="version-text"),
        pytest.param({"version": 1.5}, "has version 1.5", id="version-fraction"),
        pytest.param({"version": True}, "has version True", id="version-truth"),
        pytest.param({"group": "moment"}, "did you mean 'moments'", id="group"),
        pytest.param({"params": {"of": np.ones(2)}}, "no plain numbers", id="params"),
        pytest.param({"params": {"of": float("nan")}}, "no plain numbers", id="params-nan"),
        pytest.param({"columns": column(dtype="float46")}, "dtype is 'float46'", id="no-dtype"),
        pytest.param({"columns": column(dtype="str")}, "dtype is 'str'", id="text"),
        pytest.param({"columns": column(unit="")}, "give a unit", id="no-unit"),
        pytest.param({"columns": column(definition="Brightest")}, "a definition, a sentence", id="no-sentence"),
        pytest.param({"columns": column(low=1.0, high=0.0)}, "range from 1.0 to 0.0", id="empty-range"),
        pytest.param(
            {"columns": {"skewness": column()["peak_dff_frame"]}}, "name of the statistic 'moments'", id="taken"
        ),
        pytest.param({"columns": {"mean_low": column()["peak_dff_frame"]}}, "statistic 'moments'", id="an-interval's"),
        pytest.param({"columns": {"cre_line": column()["peak_dff_frame"]}}, "store's tables", id="the-store's"),
        pytest.param({"columns": {"and": column()["peak_dff_frame"]}}, "word of diets", id="a-word"),
        pytest.param(
            {"signals": ("running_speed",), "kept_blocks": KeptBlocks(pack=vars, unpack=dict)},
            "keeps blocks, which have traces alone",
            id="blocks-of-signals",
        ),
    ],
)
def test_what_is_not_declared_well_is_refused(changes, says):
    with pytest.raises(StatisticError, match=says):
        register_statistic(peak_of(**changes))
    assert set(known_statistics()) == set(BUILT_IN)


def test_what_is_no_statistic_is_refused():
    with pytest.raises(StatisticError, match="function arrived"):
        register_statistic(lambda: None)


def test_the_same_again_is_no_fault_but_a_change_needs_a_version():
    register_statistic(peak_of())
    register_statistic(peak_of())  # as when a notebook's cell is run again
    changed = {"finalize": lambda highest, params: {"peak_dff_frame": highest * 2}}
    with pytest.raises(StatisticError, match="changed, and its version is still 1"):
        register_statistic(peak_of(**changed))
    register_statistic(peak_of(version=2, **changed))
    assert known_statistics()["peak"].version == 2


def test_unregister():
    register_statistic(peak_of())
    unregister_statistic("peak")
    with pytest.raises(StatisticError, match="no statistic is called 'peak'"):
        find_statistics("peak")
    for name in ("peak", "moments"):
        with pytest.raises(StatisticError, match=f"no statistic {name!r} was registered"):
            unregister_statistic(name)


def raises(state, params):
    raise ZeroDivisionError("by the user")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"finalize": lambda s, p: {}}, "gave no column 'peak_dff_frame'; it gave none", id="missing"),
        pytest.param({"finalize": lambda s, p: s}, "gave ndarray, not a mapping", id="no-mapping"),
        pytest.param({"finalize": lambda s, p: {"peak_dff_frame": s[:-1]}}, r"shape \(3,\), not \(4,\)", id="shape"),
        pytest.param({"finalize": lambda s, p: {"peak_dff_frame": 1.0}}, r"shape \(\), not \(4,\)", id="scalar"),
        pytest.param({"finalize": lambda s, p: {"peak_dff_frame": s.astype(str)}}, "no numbers", id="text"),
        pytest.param({"finalize": lambda s, p: {"peak_dff_frame": s * 1j}}, "no numbers", id="complex"),
        pytest.param({"columns": column(dtype="int64")}, "which int64 cannot hold", id="not-whole"),
        pytest.param(
            {"columns": column(dtype="int64"), "finalize": lambda s, p: {"peak_dff_frame": s * np.nan}},
            "holds nan, which int64 cannot hold",
            id="nan-in-int",
        ),
        pytest.param(
            {
                "columns": column(dtype="float32"),
                "finalize": lambda s, p: {"peak_dff_frame": s.astype("float64") * 1e200},
            },
            "float32 cannot hold",
            id="too-large",
        ),
        pytest.param({"columns": column(high=0.5)}, "outside its declared range from -inf to 0.5", id="range"),
        pytest.param(
            {"finalize": lambda s, p: {"peak_dff_frame": s + np.inf}}, "is inf for trace 0; give NaN", id="inf"
        ),
        pytest.param({"finalize": raises}, r"ZeroDivisionError: by the user \(test_registering.py, line", id="raises"),
        pytest.param({"combine": raises}, "ZeroDivisionError: by the user", id="combine-raises"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_wrong_one_is_named_with_the_recording_and_the_rest_is_computed(store, changes, says):
    register_statistic(peak_of(**changes))
    with pytest.raises(StatisticError, match=says) as raised:
        compute_statistics(store, ["peak", "moments"])
    assert "'peak'" in str(raised.value)
    assert all(f"'{session}'" in str(raised.value) for session in store.arrays)
    assert str(raised.value).count("'peak'") == 1, "said once, not for every recording"
    assert "(so in 3 recordings: 's000', 's001', 's002')" in str(raised.value)
    assert "call again" in str(raised.value)
    steps = []
    compute_statistics(store, "moments", progress=steps.append)
    assert steps == [3], "the rest was computed and kept"


def test_rounding_beyond_a_range_is_brought_back(store):
    slightly = {"peak_dff_frame": 1 + ROUNDING / 2}
    register_statistic(
        peak_of(columns=column(high=1.0), finalize=lambda s, p: {key: s * 0 + to for key, to in slightly.items()})
    )
    assert (compute_statistics(store, "peak")["peak_dff_frame"] == 1.0).all()


def test_it_sees_what_it_declares_and_no_more(store):
    seen = []

    def chunk(stretch, params):
        seen.append((len(stretch.trials), set(stretch.signals)))
        return stretch.traces.max(axis=0)

    for session, array in store.arrays.items():
        for name in ("running_speed", "pupil_size"):
            store.signals[session, name] = np.ones(len(array)), store.time_s(session)
    register_statistic(peak_of(chunk=chunk))
    compute_statistics(store, ["peak", "tuning_drifting_gratings"], window="all")
    assert seen == [(0, set())] * 3
    seen.clear()
    register_statistic(peak_of(chunk=chunk, version=2, uses_labels=True, signals=("pupil_size",)))
    compute_statistics(store, ["peak", "tuning_drifting_gratings"], window="all")
    assert all(trials > 0 and signals == {"pupil_size"} for trials, signals in seen)


# -- installed packages --------------------------------------------------------------------------------------------


PACKAGE = """
import numpy as np
from poyodata.statistics import Column, Statistic

dimmest = Statistic(
    name="dimmest",
    version=1,
    columns={"dimmest_dff": Column(dtype="float64", unit="dF/F", definition="Dimmest frame.")},
    chunk=lambda stretch, params: stretch.traces.min(axis=0, initial=np.inf),
    combine=np.minimum,
    finalize=lambda lowest, params: {"dimmest_dff": lowest},
    nan_policy="none",
)
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """An installed package with a statistic, one that does not import, and one whose name is taken."""
    site = tmp_path / "site"
    info = site / "own_statistics-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "own_statistics.py").write_text(PACKAGE)
    (site / "broken_statistics.py").write_text("import a_package_that_is_not_there")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-statistics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[poyodata.statistics]\na_broken = broken_statistics:it\ndimmest = own_statistics:dimmest\n"
        "nothing = own_statistics:no_such\nno_statistic = own_statistics:PACKAGE\n"
    )
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    registry._packages.clear()
    yield
    for name in ("own_statistics", "broken_statistics"):
        sys.modules.pop(name, None)


def test_statistics_of_installed_packages_are_found_when_they_are_asked_for(packages, store, caplog):
    assert "own_statistics" not in sys.modules
    with caplog.at_level(logging.WARNING):
        table = compute_statistics(store, "dimmest", window="all")
    assert table["dimmest_dff"].to_numpy() == pytest.approx(
        np.concatenate([array.min(axis=0) for array in store.arrays.values()])
    )
    for name in ("a_broken", "nothing", "no_statistic"):
        assert f"the statistic {name} of an installed package" in caplog.text
    assert "ModuleNotFoundError" in caplog.text
    assert "dimmest" not in BUILT_IN
    caplog.clear()
    assert "dimmest" in known_statistics()
    assert caplog.text == "", "told once"


# -- what is built in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_built_in_is_declared_well(name):
    """Names of the store's tables aside: `n_frames` is a column of both."""
    own = STATISTICS[name]
    renamed = {f"own_{column}": value for column, value in own.columns.items()}
    check_declaration(replace(own, name=f"own_{name}", columns=renamed), ())
    others = [statistic for statistic in STATISTICS.values() if statistic is not own]
    taken = {column.casefold() for other in others for column in other.columns} | {other.name for other in others}
    assert not taken & {end for column in own.columns for end in (column, f"{column}_low", f"{column}_high")}
    assert own.nan_policy
    assert own.group != "own"


OPEN = {  # columns that may take any value
    "mean", "skewness", "dff_q05", "dff_q25", "dff_q50", "dff_q75", "dff_q95", "dff_q99", "robust_snr",
    "osi", "dsi", "peak_dff", "running_modulation", "preferred_direction_deg",
    "osi_sg", "peak_dff_sg", "running_modulation_sg", "preferred_orientation_deg_sg", "preferred_phase_sg",
    "time_to_peak_s_sg", "time_to_peak_s_ns", "peak_dff_ns", "running_modulation_ns",
}  # fmt: skip


def test_every_range_is_declared():
    """Estimates of information are unbiased, and so may be negative."""
    found = {name for name, known in column_metadata(BUILT_IN_COLUMNS).items() if known["range"] == [None, None]}
    assert {name for name in found if not name.startswith(("fisher", "dprime2"))} <= OPEN


BUILT_IN_COLUMNS = [name for statistic in BUILT_IN for name in STATISTICS[statistic].columns]
