"""Rules over columns that a model wrote, and the leaks that are refused: to the frame, and across animals."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c, check_leaks
from poyodata.errors import DietError, LeakError, StatisticError
from poyodata.splits import Across, Blocks, Fractions, Split, SplitSpec, resolve_split
from poyodata.statistics.learned.columns import LearnedColumns, read_columns, remove_columns, write_columns
from poyodata.statistics.learned.lineage import Windows, lineage_of
from poyodata.statistics.statistic import Column
from poyodata.store import Store, StoreWriter, open_store
from poyodata.store.annotations import annotate
from poyodata.store.verify import verify_store

STABILITY = Column(dtype="float64", unit="1", definition="Mean cosine between windows.", low=-1.0, high=1.0)
RULE = c.nuclr_stability > 0
THIRDS = Fractions(train=1 / 3, valid=1 / 3, test=1 / 3)
MICE = SplitSpec(name="mice", across=Across(fractions=THIRDS), within=Blocks(folds=5))


@pytest.fixture
def store(tiny_store_path: Path, tmp_path: Path) -> Store:
    path = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_store_path, path)
    return open_store(path)


@pytest.fixture
def split(store: Store) -> Split:
    return resolve_split(store, "blocks-5fold")


def train_time(split: Split, role: str = "train") -> dict[str, Any]:
    return {name: split.intervals(name, role) for name in split.sessions["session_id"]}


def write(
    store: Store, split: Split | None, trained_on: Windows | None = None, *, n: int | None = None, **options: Any
) -> LearnedColumns:
    """Write one column: 1 for even neurons, -1 for odd ones, of the first `n`."""
    looked = trained_on if split is None or trained_on is not None else train_time(split)
    assert looked is not None
    computed = options.pop("computed_on", {name: looked.get(name, np.empty((0, 2), int)) for name in store.session_ids})
    own = lineage_of(
        store, split, producer="nuclr", version="1", trained_on=looked, computed_on=computed, seed=0, **options
    )
    ids = store.neurons["neuron_id"].iloc[:n].tolist()
    table = pd.DataFrame({"neuron_id": ids, "nuclr_stability": np.where(np.arange(len(ids)) % 2, -1.0, 1.0)})
    return write_columns(store, "nuclr", table, {"nuclr_stability": STABILITY}, own)


def resolve(store: Store, split: Split, rule: Any = RULE, **options: Any) -> Manifest:
    return Diet.where(rule, name="stable", **options).resolve(store, split=split)


def test_a_learned_column_selects_and_the_manifest_says_what_it_came_from(
    store: Store, split: Split, tmp_path: Path
) -> None:
    written = write(store, split, n=20, checkpoint="c0ffee", manifests=("aa",))
    rule = RULE & (c.skewness > -10) & (c.std @ "drifting_gratings" > 0)
    manifest = resolve(store, split, rule)
    assert manifest.neurons["neuron_id"].tolist() == store.neurons["neuron_id"].iloc[0:20:2].tolist()
    assert (manifest.neurons["nuclr_stability"] == 1).all()
    known = Manifest.load(manifest.save(tmp_path / "manifest")).meta["learned"]["nuclr"]
    assert known == manifest.meta["learned"]["nuclr"]
    assert (known["digest"], known["columns"], known["beyond_train"]) == (written.digest, ["nuclr_stability"], False)
    assert (known["checkpoint"], known["manifests"], known["split"]) == ("c0ffee", ["aa"], split.digest)
    assert manifest.meta["statistics"]["names"] == ["moments", "moments@drifting_gratings"]
    assert any("16 neurons are left out because a column" in one for one in manifest.warnings)
    report = check_leaks([("train", manifest), ("test", manifest)])
    assert report.ok
    # Of the manifest that it was trained on, a digest alone is known.
    assert "'nuclr'" in report.unchecked[0].detail and len(report.unchecked) == 2


@pytest.mark.parametrize("depth", ["column", "column of a column", "column of a packed store"])
def test_a_column_is_judged_by_the_manifest_it_was_trained_on(
    depth: str, store: Store, split: Split, tmp_path: Path
) -> None:
    """The model learnt from train time alone, of neurons that were chosen by statistics of all time."""
    chosen = (
        Diet.where("skewness > -10", name="peeking").with_options(statistics_window="all").resolve(store, split=split)
    )
    if depth == "column of a packed store":
        store = chosen.open(store).materialise(tmp_path / "packed.zarr", progress=lambda _: None)
        chosen = Diet.everyone(name="packed").resolve(store, split=resolve_split(store, "blocks-5fold"))
        split = resolve_split(store, "blocks-5fold")
    written = write(store, split, manifests=(chosen,))
    manifest = resolve(store, split)
    if depth == "column of a column":
        own = lineage_of(
            store, split, producer="mtm", version="1", trained_on=train_time(split), parents={"nuclr": written.digest}
        )
        table = pd.DataFrame({"neuron_id": store.neurons["neuron_id"], "more": 0.5})
        write_columns(store, "mtm", table, {"more": STABILITY}, own)
        manifest = resolve(store, split, "more > 0")
    loaded = Manifest.load(manifest.save(tmp_path / "manifest"))
    with pytest.raises(LeakError) as caught:
        check_leaks([("train", loaded), ("test", loaded)])
    assert "statistics beyond train-role time [train]" in str(caught.value)
    assert f"in training for the column '{'mtm' if depth == 'column of a column' else 'nuclr'}'" in str(caught.value)
    assert not check_leaks([("test", loaded)], allow_leakage="to see").unchecked


def test_diets_without_learned_columns_say_nothing_of_them(store: Store, split: Split) -> None:
    write(store, split)
    assert resolve(store, split, "skewness > -10").meta["learned"] == {}


@pytest.mark.parametrize("kind", ["fold", "computed", "one frame"])
def test_time_that_the_split_holds_out_was_looked_at(kind: str, store: Store, split: Split) -> None:
    other = resolve_split(store, "blocks-5fold", fold=2)
    if kind == "fold":
        write(store, other)
    elif kind == "computed":
        write(store, other, {}, computed_on=train_time(other))
    else:
        session = store.session_ids[1]
        start = int(split.intervals(session, "test")[0][0])
        write(store, None, {session: np.array([[start, start + 1]])}, window="all")
        with pytest.raises(DietError, match="looked at all time"):
            resolve(store, split)
        return
    with pytest.raises(DietError) as caught:
        resolve(store, split)
    said = str(caught.value)
    assert re.search(r"'nuclr' were trained under another split and looked at [\d,]+ frames of 3 recordings", said)
    assert "of split blocks-5fold, fold 0. Train that model under this split and fold" in said


def test_another_split_that_holds_out_other_time_is_no_leak(store: Store, split: Split) -> None:
    """The windows decide, not the digest: under this specification less is learnt from, all of it train time here."""
    fewer = SplitSpec(name="fewer", within=Blocks(folds=5, guard_s=3.0))
    other = resolve_split(store, fewer)
    assert other.digest != split.digest
    write(store, other)
    manifest = resolve(store, split)
    assert manifest.meta["learned"]["nuclr"]["split"] == other.digest
    assert check_leaks([("train", manifest), ("test", manifest)]).ok


def test_a_single_frame_in_the_guard_is_a_leak(store: Store, split: Split) -> None:
    session = store.session_ids[0]
    guard = int(split.sessions["guard_frames"].iloc[0])
    before = int(split.intervals(session, "test")[1][0])
    # A split in memory that gives the frames near its own test time to training, as another fold would.
    for frame, leaks in ((before - guard - 1, False), (before - guard, True)):
        loose = Split(split.spec, 1, "other", split.sessions.assign(guard_frames=0), split.windows, split.store)
        write(store, loose, {session: np.array([[frame, frame + 1]])})
        if leaks:
            with pytest.raises(DietError, match=f"1 frames of 1 recordings in or beside test time .first {session}"):
                resolve(store, split)
        else:
            resolve(store, split)
        remove_columns(store, "nuclr")


def test_who_looked_at_all_time_is_used_only_in_writing(store: Store, split: Split) -> None:
    everything = {name: np.array([[0, 100]]) for name in store.session_ids}
    write(store, None, everything, window="all")
    with pytest.raises(DietError, match=r"looked at all time, test time included. .*statistics: \{window: all\}"):
        resolve(store, split)
    manifest = resolve(store, split, statistics_window="all")
    assert manifest.warnings[0].startswith("learned columns 'nuclr' looked at all time")
    assert manifest.meta["learned"]["nuclr"]["beyond_train"] is True
    leaks = check_leaks([("train", manifest)], allow_leakage="on purpose").leaks
    assert [leak.check for leak in leaks] == ["statistics beyond train-role time"]
    assert "nuclr" in leaks[0].detail


def test_a_clean_column_stays_clean_in_a_diet_of_all_time(store: Store, split: Split) -> None:
    write(store, split)
    manifest = resolve(store, split, statistics_window="all")
    assert manifest.warnings == ()
    assert check_leaks([("train", manifest)]).ok


def test_held_out_animals_that_a_model_learnt_from(store: Store, split: Split) -> None:
    mice = resolve_split(store, MICE)
    held = mice.sessions.loc[mice.sessions["role"] != "train", "session_id"].tolist()
    assert len(held) == 2
    # The train time of `split` is, of held-out animals, the time that they are identified by.
    write(store, split, uses_labels=True)
    with pytest.raises(DietError, match=rf"trained with labels of 2 recordings \(first {held[0]}\) of animals that"):
        resolve(store, mice)
    remove_columns(store, "nuclr")
    write(store, split)
    assert "transductive" in resolve(store, mice).warnings[0]
    remove_columns(store, "nuclr")
    # Learnt from the animals to learn from, and computed for the others from the time that statistics see too.
    own = {name: frames for name, frames in train_time(mice).items() if name not in held}
    write(store, mice, own, computed_on=train_time(split))
    assert resolve(store, mice).warnings == ()


def test_a_model_of_a_split_of_time_has_seen_the_test_time_of_held_out_animals(store: Store, split: Split) -> None:
    mice = resolve_split(store, MICE, fold=0)
    write(store, resolve_split(store, "blocks-5fold", fold=3))
    with pytest.raises(DietError, match=r"in or beside test and valid time .* of split mice, fold 0"):
        resolve(store, mice)


def test_labels_of_held_out_neurons_are_flagged_over_the_lineage(store: Store) -> None:
    mice = resolve_split(store, MICE)
    held = mice.sessions.loc[mice.sessions["role"] != "train", "session_id"].tolist()
    own = {name: frames for name, frames in train_time(mice).items() if name not in held}
    write(store, mice, own, computed_on=train_time(mice, "identify"), uses_labels=True)
    leaks = check_leaks([("train", resolve(store, mice))], allow_leakage="on purpose").leaks
    assert [(leak.check, leak.detail) for leak in leaks] == [("held-out neurons selected by labels", "by nuclr")]


def test_another_fold_tests_what_selected(store: Store, split: Split) -> None:
    write(store, split)
    other = resolve_split(store, "blocks-5fold", fold=1)
    stages = [("pretrain", resolve(store, split)), ("test", Diet.everyone().resolve(store, split=other))]
    found = {leak.check for leak in check_leaks(stages, allow_leakage="on purpose").leaks}
    assert "statistics under another split than the test" in found


def test_recordings_that_changed_since(store: Store, split: Split, tmp_path: Path) -> None:
    write(store, split)
    with StoreWriter(store.path) as writer:
        writer.remove([store.session_ids[1]])
    now = open_store(store.path)
    with pytest.raises(StatisticError, match=rf"1 gone \(first {store.session_ids[1]}\)"):
        read_columns(now, "nuclr")
    with pytest.raises(StatisticError, match="1 gone"):
        resolve(now, resolve_split(now, "blocks-5fold"))
    assert len(resolve(now, resolve_split(now, "blocks-5fold"), "skewness > -10").neurons) == 24


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        pytest.param("nuclr_stabilty > 0", "did you mean 'nuclr_stability'", id="nearly"),
        pytest.param("nuclr_stability@drifting_gratings > 0", "only statistics can be restricted", id="restricted"),
        pytest.param("nuclr_stability_low > 0", "did you mean 'nuclr_stability'", id="bound"),
        pytest.param("nuclr_stability == 'high'", "nuclr_stability holds numbers", id="kind"),
    ],
)
def test_names_that_mean_nothing(rule: str, message: str, store: Store, split: Split) -> None:
    write(store, split)
    with pytest.raises(DietError, match=message):
        resolve(store, split, rule)


def test_a_damaged_file_is_named_where_its_column_is_missed(store: Store, split: Split) -> None:
    write(store, split)
    path = store.statistics_folder / "learned" / "nuclr.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DietError, match=r"unknown column 'nuclr_stability'.*learned columns 'nuclr' cannot be read"):
        resolve(store, split)
    assert len(resolve(store, split, "skewness > -10").neurons) == 36


def test_an_annotation_of_the_same_name(store: Store, split: Split) -> None:
    write(store, split)
    ids = store.neurons["neuron_id"].tolist()
    annotate(store.path, pd.DataFrame({"neuron_id": ids, "nuclr_stability": 1.0}), "mine")
    with pytest.raises(DietError, match="'nuclr_stability', which is a column of the learned columns 'nuclr' and of"):
        resolve(open_store(store.path), split)


def test_verification_reads_them_too(store: Store, split: Split) -> None:
    write(store, split)
    assert verify_store(store.path).damages == ()
    assert verify_store(store.path).unexpected == ()
    path = store.statistics_folder / "learned" / "nuclr.parquet"
    path.write_bytes(path.read_bytes().replace(b"nuclr", b"nuclR", 1))
    (damage,) = verify_store(store.path).damages
    assert damage.file == "statistics/learned/nuclr.parquet"
    assert damage.what.startswith("a model's columns are damaged")
