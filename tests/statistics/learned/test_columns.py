"""Learned columns: what is written is read back, what does not fit is refused, and nothing is lost by it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError, StoreError, UsageError
from poyodata.intervals import as_intervals
from poyodata.splits import resolve_split
from poyodata.statistics.learned.columns import (
    learned_columns,
    list_columns,
    read_columns,
    read_lineage,
    remove_columns,
    write_columns,
)
from poyodata.statistics.learned.lineage import ColumnLineage, held_out_recordings, held_out_time, lineage_of
from poyodata.statistics.registry import register_statistic, unregister_statistic
from poyodata.statistics.statistic import Column, Statistic
from poyodata.store.commit import Annotation, WriterLock, read_table, replace_table
from tests.fake_store import make_store

STABILITY = Column(dtype="float64", unit="1", definition="Mean cosine between windows.", low=-1.0, high=1.0)
CLUSTER = Column(dtype="int64", unit="1", definition="Cluster of the embedding.", low=0)
COSMOOTH = Column(dtype="float32", unit="1", definition="R2 of a neuron predicted from the others.", high=1.0)
SURE = Column(dtype="bool", unit="1", definition="Whether every window agrees.")
KIND = Column(dtype="str", unit="1", definition="Nearest kind of cell.")
COLUMNS = {
    "nuclr_stability": STABILITY,
    "nuclr_cluster": CLUSTER,
    "mtm_cosmooth_r2": COSMOOTH,
    "nuclr_sure": SURE,
    "nuclr_kind": KIND,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("learned"), n_sessions=3)


@pytest.fixture
def store(made, tmp_path):
    """Three recordings of three donors, an annotation among their columns."""
    own = copy.copy(made)
    own.statistics_folder = tmp_path / "statistics"
    own.sessions = made.sessions.copy()
    own.annotations = {"places": Annotation("9f", "neuron_id", ("place",))}
    return own


@pytest.fixture(scope="module")
def split(made):
    return resolve_split(made, "blocks-5fold", fold=0)


def train_time(store, split, sessions=None):
    return {name: split.train_time(name) for name in (sessions or store.sessions["session_id"])}


def lineage(store, split, **changed):
    looked = {"s000": np.array([[0, 100]])} if split is None else train_time(store, split)
    options = {"producer": "nuclr", "version": "1", "trained_on": looked, "seed": 3}
    return lineage_of(store, split, **(options | changed))


def values_of(store, rows=slice(None)):
    ids = store.neurons["neuron_id"].iloc[rows].tolist()
    n = len(ids)
    return pd.DataFrame(
        {
            "neuron_id": ids,
            "nuclr_stability": np.linspace(-1, 1, n),
            "nuclr_cluster": np.arange(n) % 3,
            "mtm_cosmooth_r2": np.linspace(-5, 1, n).astype(np.float32),
            "nuclr_sure": np.arange(n) % 2 == 0,
            "nuclr_kind": [("Sst", "Vip")[i % 2] for i in range(n)],
        }
    )


def one_column(store, rows=slice(None), name="nuclr_stability"):
    return values_of(store, rows)[["neuron_id", "nuclr_stability"]].rename(columns={"nuclr_stability": name})


def write(store, split, name="nuclr", *, table=None, columns=None, **options):
    given = {"nuclr_stability": STABILITY} if columns is None else columns
    own = one_column(store) if table is None else table
    if "lineage" not in options:
        options["lineage"] = lineage(store, split)
    return write_columns(store, name, own, given, **options)


def files(store):
    folder = store.statistics_folder / "learned"
    return {path.name: path.read_bytes() for path in folder.glob("*")} if folder.exists() else {}


# -- written and read ------------------------------------------------------------------------------------------------


def test_columns_come_back_in_the_order_of_the_store_with_gaps_where_nothing_was_given(store, split):
    table = values_of(store, slice(2, 9))
    shuffled = table.iloc[np.random.default_rng(0).permutation(len(table))]
    written = write_columns(store, "nuclr", shuffled, COLUMNS, lineage(store, split))
    got = read_columns(store, "nuclr")
    assert got["neuron_id"].tolist() == store.neurons["neuron_id"].tolist()
    inside = got.iloc[2:9].reset_index(drop=True)
    for name in COLUMNS:
        assert inside[name].tolist() == pytest.approx(table[name].tolist()), name
        assert got[name].isna().sum() == len(got) - 7, name
    assert got.attrs["digest"] == written.digest
    assert got.attrs["columns"]["nuclr_stability"] == {
        "statistic": "nuclr",
        "version": "1",
        "range": [-1.0, 1.0],
        "dtype": "float64",
        "unit": "1",
        "definition": "Mean cosine between windows.",
    }
    assert learned_columns(store) == dict.fromkeys(COLUMNS, "nuclr")
    # Columns of a caller do not depend on the order in which a model gave its rows.
    again = write_columns(store, "nuclr", table, COLUMNS, lineage(store, split), replace_existing=True)
    assert again.digest == written.digest


def test_the_lineage_comes_back_whole(store, split):
    given = lineage(
        store,
        split,
        checkpoint="c0ffee",
        manifests=("aa", "bb"),
        uses_labels=True,
        computed_on=train_time(store, split, ["s001"]),
    )
    write(store, split, lineage=given)
    known = read_lineage(store, "nuclr").lineage
    assert known.document() == given.document()
    assert (known.split, known.fold, known.seed, known.roles) == (split.digest, 0, 3, ("train",))
    assert known.recordings == dict(zip(store.sessions["session_id"], store.sessions["digest"], strict=True))
    assert list(known.computed_on) == ["s001"]
    assert known.trained_on["s001"].tolist() == as_intervals(split.train_time("s001")).tolist()


def test_a_column_of_which_every_value_is_missing_is_kept(store, split):
    write(store, split, table=one_column(store).assign(nuclr_stability=np.nan))
    assert read_columns(store, "nuclr")["nuclr_stability"].isna().all()


def test_listing_and_removing(store, split):
    write(store, split)
    write(store, split, "mtm", table=one_column(store, name="mtm_r2"), columns={"mtm_r2": STABILITY})
    listed = list_columns(store).set_index("name")
    assert listed.loc["mtm", ["columns", "n_neurons", "window", "problem"]].tolist() == ["mtm_r2", 12, "train", ""]
    remove_columns(store, "mtm")
    assert list_columns(store)["name"].tolist() == ["nuclr"]
    with pytest.raises(UsageError, match="no learned columns 'nucl': did you mean 'nuclr'"):
        read_columns(store, "nucl")
    with pytest.raises(UsageError, match="no learned columns 'mtm'"):
        remove_columns(store, "mtm")


def test_an_empty_store_of_columns_is_no_error(store):
    assert list_columns(store).empty
    assert learned_columns(store) == {}


def test_a_name_that_is_taken_is_replaced_only_when_that_is_said(store, split):
    first = write(store, split)
    before = files(store)
    with pytest.raises(UsageError, match="learned columns 'nuclr' already"):
        write(store, split, table=one_column(store, slice(3)))
    assert files(store) == before
    second = write(store, split, table=one_column(store, slice(3)), replace_existing=True)
    assert second.digest != first.digest
    assert read_columns(store, "nuclr")["nuclr_stability"].notna().sum() == 3


# -- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown neuron": (lambda t: t.replace("s001_2", "s001_99"), "1 neurons that are not in the store.*'s001_99'"),
    "twice the same neuron": (lambda t: pd.concat([t, t.iloc[:1]]), r"two rows of 1 neurons \(first 's000_0'\)"),
    "no neuron": (lambda t: t.assign(neuron_id=None), "12 rows without a neuron_id"),
    "no rows": (lambda t: t.iloc[:0], "has no rows"),
    "no id": (lambda t: t.drop(columns="neuron_id"), "no column 'neuron_id'"),
    "column missing": (lambda t: t.rename(columns={"nuclr_stability": "stability"}), "no column 'nuclr_stability'"),
    "undeclared": (lambda t: t.assign(more=1.0), "'more' that is not declared"),
    "column twice": (lambda t: pd.concat([t, t["nuclr_stability"]], axis=1), "two columns 'nuclr_stability'"),
    "texts": (lambda t: t.assign(nuclr_stability="high"), "declared float64 but holds text values"),
    "truth values": (lambda t: t.assign(nuclr_stability=True), "declared float64 but holds bool values"),
    "objects": (lambda t: t.assign(nuclr_stability=[(1,)] * len(t)), "declared float64 but holds mixed values"),
    "out of range": (lambda t: t.assign(nuclr_stability=1.5), "12 values outside its range of -1 to 1"),
    "infinite": (lambda t: t.assign(nuclr_stability=np.inf), "12 infinite values; leave out"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_table_that_is_not_what_was_promised(change, message, store, split):
    with pytest.raises(StatisticError, match=message):
        write(store, split, table=change(one_column(store)))
    assert files(store) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("skewness", "the statistic 'moments'", id="statistic"),
        pytest.param("Skewness", "the statistic 'moments'", id="statistic in capitals"),
        pytest.param("skewness_low", "the statistic 'moments'", id="bound of an interval"),
        pytest.param("fisher_direction", "the statistic 'fisher_direction'", id="statistic and its column"),
        pytest.param("area", "the store", id="of neurons"),
        pytest.param("x_um", "the store", id="of neurons, elsewhere"),
        pytest.param("rate_hz", "the store", id="of recordings"),
        pytest.param("place", "the annotation 'places'", id="annotation"),
        pytest.param("trial", "windows", id="of presentations"),
        pytest.param("role", "windows", id="of curation"),
        pytest.param("mtm_r2", "the learned columns 'mtm'", id="other learned columns"),
        pytest.param("skewness@drifting_gratings", "cannot be named in a diet", id="restricted"),
        pytest.param("two words", "call it 'two_words'", id="two words"),
        pytest.param("_private", "cannot be named", id="private"),
        pytest.param("class", "a word of the expressions", id="keyword"),
        pytest.param("isnan", "a word of the expressions", id="function"),
    ],
)
def test_a_column_whose_name_means_something_else(name, message, store, split):
    write(store, split, "mtm", table=one_column(store, name="mtm_r2"), columns={"mtm_r2": STABILITY})
    before = files(store)
    with pytest.raises(StatisticError, match=message):
        write(store, split, table=one_column(store, name=name), columns={name: STABILITY})
    assert files(store) == before


@pytest.mark.parametrize(
    ("column", "message"),
    [
        pytest.param(replace(STABILITY, dtype="complex128"), "declares dtype 'complex128'", id="dtype"),
        pytest.param(replace(STABILITY, low=2.0), "range from 2.0 to 1.0", id="empty range"),
        pytest.param(replace(STABILITY, low=np.nan), "range from nan", id="range of nan"),
        pytest.param(replace(STABILITY, definition=" "), "no definition", id="definition"),
    ],
)
def test_a_column_that_is_declared_badly(column, message, store, split):
    with pytest.raises(StatisticError, match=message):
        write(store, split, columns={"nuclr_stability": column})
    with pytest.raises(StatisticError, match="declare no column"):
        write(store, split, columns={})


def test_neurons_of_recordings_that_nobody_looked_at(store, split):
    own = lineage(store, split, trained_on=train_time(store, split, ["s000", "s001"]))
    with pytest.raises(StatisticError, match=r"4 neurons of recordings that its lineage does not name.*'s002_0'"):
        write(store, split, lineage=own)
    write(store, split, table=one_column(store, slice(8)), lineage=own)


@pytest.mark.parametrize("name", ["no/name", "", "../moments", ".hidden", "zarr.json"])
def test_a_file_that_cannot_be_called_so(name, store, split):
    with pytest.raises(UsageError, match=r"cannot name a folder.*Give these columns another name"):
        write(store, split, name)
    assert files(store) == {}


# -- recordings that move --------------------------------------------------------------------------------------------


def test_recordings_that_moved_are_named(store, split):
    own = lineage(store, split)
    write(store, split, lineage=own)
    store.sessions.loc[1, "digest"] = "another"
    for act in (lambda: read_columns(store, "nuclr"), lambda: write(store, split, "more", lineage=own)):
        with pytest.raises(StatisticError, match=r"of the 3 recordings .* 1 changed \(first s001\)"):
            act()
    assert "1 changed (first s001)" in list_columns(store)["problem"].iloc[0]
    store.sessions = store.sessions[store.sessions["session_id"] != "s002"].reset_index(drop=True)
    with pytest.raises(StatisticError, match=r"1 changed \(first s001\) and 1 gone \(first s002\)"):
        read_columns(store, "nuclr")


def test_a_recording_more_leaves_them_as_they_are(store, split, tmp_path):
    own = lineage(store, split)
    write(store, split, lineage=own)
    grown = make_store(tmp_path, n_sessions=4)
    grown.annotations = {}
    grown.sessions.loc[:2, "digest"] = store.sessions["digest"].tolist()
    got = read_columns(grown, "nuclr")
    assert got["nuclr_stability"].isna().tolist() == [False] * 12 + [True] * 4


def test_a_name_that_is_taken_later_is_noticed_when_they_are_read(store, split):
    write(store, split)
    store.annotations = {"mine": Annotation("9f", "neuron_id", ("nuclr_stability",))}
    with pytest.raises(StatisticError, match="'nuclr_stability' has the name of a column of the annotation 'mine'"):
        read_columns(store, "nuclr")
    store.annotations = {}
    register_statistic(
        Statistic(
            name="mine",
            version=1,
            columns={"nuclr_stability": STABILITY},
            chunk=lambda stretch, params: stretch.traces.sum(axis=0),
            combine=np.add,
            finalize=lambda state, params: {"nuclr_stability": state},
            nan_policy="None.",
        )
    )
    try:
        with pytest.raises(StatisticError, match="a column of the statistic 'mine'"):
            read_columns(store, "nuclr")
    finally:
        unregister_statistic("mine")
    read_columns(store, "nuclr")


# -- damage and company ----------------------------------------------------------------------------------------------


def test_any_flipped_byte_is_found_and_leaves_the_others(store, split):
    write(store, split)
    write(store, split, "mtm", table=one_column(store, name="mtm_r2"), columns={"mtm_r2": STABILITY})
    path = store.statistics_folder / "learned" / "nuclr.parquet"
    sound = path.read_bytes()
    for at in np.random.default_rng(0).choice(len(sound), 40, replace=False):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(StoreError, match="seal"):
            read_columns(store, "nuclr")
    assert learned_columns(store) == {"mtm_r2": "mtm"}
    assert list_columns(store).set_index("name")["problem"].ne("").to_dict() == {"mtm": False, "nuclr": True}
    with pytest.raises(UsageError, match="already"):
        write(store, split)
    write(store, split, replace_existing=True)
    read_columns(store, "nuclr")


def test_a_file_under_another_name_or_with_other_values_is_not_believed(store, split):
    write(store, split)
    folder = store.statistics_folder / "learned"
    (folder / "other.parquet").write_bytes((folder / "nuclr.parquet").read_bytes())
    with pytest.raises(StatisticError, match="not what was written under that name"):
        read_columns(store, "other")
    values, metadata = read_table(folder / "nuclr.parquet")
    replace_table(folder / "nuclr.parquet", values.assign(nuclr_stability=0.5), metadata)
    with pytest.raises(StatisticError, match="not what was written"):
        read_columns(store, "nuclr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format": 99}, "format '99', this version reads 1", id="format"),
        pytest.param({"lineage": {}}, "lineage", id="lineage"),
        pytest.param({"columns": {"nuclr_stability": 3}}, "columns.nuclr_stability", id="columns"),
        pytest.param({"more": 1}, "more", id="unknown key"),
    ],
)
def test_a_file_that_says_something_else_of_itself(change, message, store, split):
    write(store, split)
    path = store.statistics_folder / "learned" / "nuclr.parquet"
    values, metadata = read_table(path)
    replace_table(path, values, metadata | change)
    with pytest.raises(StatisticError, match=message):
        read_columns(store, "nuclr")


def test_one_writer_at_a_time_and_what_a_killed_one_left_is_collected(store, split):
    lock = WriterLock(store.statistics_folder / ".learned.lock")
    try:
        with pytest.raises(StoreError, match="being written by"):
            write(store, split)
    finally:
        lock.release()
    folder = store.statistics_folder / "learned"
    folder.mkdir()
    (folder / ".tmp-1-nuclr.parquet").write_bytes(b"half")
    assert list_columns(store).empty
    write(store, split)
    assert list(files(store)) == ["nuclr.parquet"]


# -- lineage ---------------------------------------------------------------------------------------------------------


def test_time_that_a_split_holds_out_is_found_to_the_frame(store, split):
    (start, stop) = split.intervals("s000", "test")[0]
    guard = int(split.sessions["guard_frames"].iloc[0])
    assert guard > 0
    assert held_out_time(train_time(store, split), split).empty
    for frames, found in [
        ([[start - guard - 1, start - guard]], 0),
        ([[start - guard - 1, start - guard + 1]], 1),
        ([[stop + guard - 1, stop + guard + 5]], 1),
        ([[stop + guard, stop + guard + 5]], 0),
        ([[start, start + 7]], 7),
    ]:
        rows = held_out_time({"s000": np.array(frames)}, split)
        rows = rows[rows["role"] == "test"]
        assert int((rows["stop_frame"] - rows["start_frame"]).sum()) == found, frames


def test_a_lineage_that_looked_further_must_say_so(store, split):
    looked = {name: np.concatenate([split.train_time(name), split.intervals(name, "test")]) for name in split._known}
    with pytest.raises(StatisticError, match=r"nuclr looked at .* frames of 3 recordings in or beside test time"):
        lineage(store, split, computed_on=looked)
    open_about_it = lineage(store, split, computed_on=looked, window="all")
    assert open_about_it.roles == ("test", "train")
    with pytest.raises(StatisticError, match="role 'test', so its lineage must say window='all'"):
        replace(open_about_it, window="train")
    with pytest.raises(StatisticError, match="under no split"):
        lineage(store, None)
    assert lineage(store, None, window="all").split is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"window": "test"}, "window is 'test'", id="window"),
        pytest.param({"roles": ("trian",)}, "no role is called 'trian': did you mean 'train'", id="role"),
        pytest.param({"producer": " "}, "producer of a lineage", id="producer"),
        pytest.param({"computed_on": {"s000": np.array([[-1, 5]])}}, "at no frame", id="negative"),
        pytest.param({"recordings": {}}, "windows of recording 's000' but not its digest", id="digest"),
    ],
)
def test_a_lineage_that_contradicts_itself(change, message, store, split):
    with pytest.raises(StatisticError, match=message):
        replace(lineage(store, split), **change)


def test_windows_beyond_the_recording_and_recordings_that_are_not_there(store, split):
    own = lineage(store, split)
    beyond = replace(own, trained_on={**own.trained_on, "s000": np.array([[0, 10**9]])})
    with pytest.raises(StatisticError, match="names frames 0 to 1000000000 of recording s000"):
        write(store, split, lineage=beyond)
    with pytest.raises(UsageError, match="no recording 's01': did you mean"):
        lineage(store, split, trained_on={"s01": np.array([[0, 10]])})


def test_donors_that_the_split_holds_out_are_known(store, split):
    held = replace(split, sessions=split.sessions.assign(role=["train", "test", "train"]))
    assert held_out_recordings({"s000": np.array([[0, 5]]), "s001": np.array([[0, 5]])}, held) == ["s001"]
    assert held_out_recordings({"s001": np.empty((0, 2), np.int64)}, held) == []
    assert lineage(store, held).held_out_donors == ("m1",)


def test_what_went_in_counts_as_looked_at(store, split):
    other = resolve_split(store, "blocks-5fold", fold=1)
    parent = write(
        store,
        split,
        "mtm",
        table=one_column(store, name="mtm_r2"),
        columns={"mtm_r2": STABILITY},
        lineage=lineage(store, other, producer="mtm", uses_labels=True),
    )
    child = lineage(store, split, parents={"mtm": parent.digest})
    assert held_out_time(child.looked_at, split).empty
    write(store, split, lineage=child)
    known = read_lineage(store, "nuclr").lineage
    assert not held_out_time(known.looked_at, split).empty
    assert known.uses_labels
    with pytest.raises(StatisticError, match="'mtm' of digest 000000000000, which the store does not have"):
        write(store, split, "next", lineage=lineage(store, split, parents={"mtm": "0" * 64}))
    with pytest.raises(StatisticError, match="'gone' of digest"):
        write(store, split, "next", lineage=lineage(store, split, parents={"gone": "0" * 64}))


def test_what_went_in_and_looked_at_all_time_makes_its_child_do_so(store, split):
    own = lineage(store, None, window="all")
    parent = write(
        store,
        split,
        "mtm",
        table=one_column(store, slice(4), name="mtm_r2"),
        columns={"mtm_r2": STABILITY},
        lineage=own,
    )
    with pytest.raises(StatisticError, match="looked at all time; the lineage must say window='all'"):
        write(store, split, lineage=lineage(store, split, parents={"mtm": parent.digest}))
    write(store, split, lineage=lineage(store, split, parents={"mtm": parent.digest}, window="all"))


def test_a_lineage_shows_itself_in_short(store, split):
    assert isinstance(lineage(store, split), ColumnLineage)
    assert lineage(store, split).summary()["trained_on"] == "3 recordings"
