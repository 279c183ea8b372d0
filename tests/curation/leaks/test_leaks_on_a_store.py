"""Leak checks on written stores: packed copies, a loader's normalisation, splits across mice; nothing is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poyodata.curation import Diet, Manifest, check_leaks, load_diet
from poyodata.errors import LeakError
from poyodata.loaders import make_loader
from poyodata.splits import Across, Blocks, Fractions, SplitSpec
from poyodata.store import Store, open_store
from poyodata.store.merge import merge_stores
from tests.curation.leaks.leak_resolved import GRATINGS, disjoint
from tests.curation.leaks.leak_runs import FIT_TIME, PACKED, REFERENCE, STATISTIC_SPLIT, TIME, WINDOW, shared
from tests.curation.test_on_a_store import write

THIRDS = Fractions(train=1 / 3, valid=1 / 3, test=1 / 3)
MICE = SplitSpec(name="mice", across=Across(fractions=THIRDS), within=Blocks(folds=5))
BLOCKS = "blocks-5fold"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(tmp_path_factory.mktemp("leaks") / "small.zarr", [0, 1, 2])


@pytest.fixture(scope="module")
def pack(small: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Predictable neurons under fold 0, packed."""
    return eat("predictable", small).open(small).materialise(tmp_path_factory.mktemp("leaks") / "low.zarr")


def eat(diet: str | Diet, store: Store, split: Any = BLOCKS, fold: int = 0) -> Manifest:
    return load_diet(diet).during(GRATINGS).resolve(store, split=split, fold=fold)


def found(*manifests: Manifest, **options: Any) -> dict[str, int]:
    stages = [(f"stage {place}", manifest) for place, manifest in enumerate(manifests)]
    report = check_leaks(stages, allow_leakage="to count", **options)
    return {leak.check: leak.found for leak in report.leaks}


def test_a_packed_copy_under_its_own_fold_is_the_same_data(small: Store, pack: Store) -> None:
    copy = eat("all", pack)
    assert copy.split_digest != eat("all", small).split_digest
    assert found(eat("predictable", small), copy) == {}
    assert found(eat("predictable", pack), eat("all", small)) == {}
    report = check_leaks([("pretrain", eat("predictable", small)), ("test", copy)]).table()
    looked = report[(report["check"] == TIME) & (report["stages"] == "pretrain -> test")]
    assert looked["checked"].tolist() == [len(copy.windows[copy.windows["role"] == "test"])]


def test_a_packed_copy_under_another_fold_is_a_leak(pack: Store) -> None:
    assert found(eat("all", pack, fold=1)) == {PACKED: 3}


def test_time_is_followed_from_the_original_to_the_copy(small: Store, pack: Store) -> None:
    copy = eat("all", pack)
    leaks = found(eat("all", small, fold=1), copy)
    # The last test trial of each of the three recordings lies beside fold 1's own test, within its guard.
    assert leaks[TIME] == len(copy.windows[copy.windows["role"] == "test"]) - 3
    assert "stages of different stores" not in leaks


@pytest.mark.slow
def test_a_copy_packed_by_metadata_serves_every_fold(small: Store, tmp_path: Path) -> None:
    copy = eat("inhibitory", small).open(small).materialise(tmp_path / "lines.zarr")
    assert found(eat("predictable", copy, fold=3)) == {}


@pytest.mark.slow
def test_a_copy_of_a_copy_remembers_the_first_fold(pack: Store, tmp_path: Path) -> None:
    again = eat("inhibitory", pack).open(pack).materialise(tmp_path / "again.zarr")
    assert found(eat("all", again)) == {}
    assert found(eat("all", again, fold=2)) == {PACKED: 2}


def test_a_loader_says_what_its_normalisation_looked_at(small: Store, pack: Store) -> None:
    tested = eat("all", small)
    fits = {}
    for fold in (0, 1):
        loader = make_loader(small, eat("all", small, fold=fold), window_s=2.0)
        fits[fold] = loader.normalisation.fitted
    assert found(tested, fitted=[fits[0]]) == {}
    leaks = found(tested, fitted=[fits[1]])
    assert leaks[FIT_TIME] == len(tested.windows[tested.windows["role"] == "test"]) - 3
    assert make_loader(small, tested, window_s=2.0, normalise=False).normalisation.fitted is None
    assert found(eat("all", pack), fitted=[fits[0]]) == {}


@pytest.mark.parametrize("reference", ["train", "all"])
def test_thresholds_across_mice(reference: str, small: Store) -> None:
    diet = Diet.where("skewness <= quantile(skewness, 0.9)", statistics_reference=reference)
    assert found(eat(diet, small, MICE)) == ({} if reference == "train" else {REFERENCE: 1})


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_packing_does_not_wash_away_how_neurons_were_chosen(twice: bool, small: Store, tmp_path: Path) -> None:
    """Statistics of all time, then everything in the packed copy, and in a copy of that."""
    chosen = eat(load_diet("predictable").with_options(statistics_window="all"), small)
    copy = chosen.open(small).materialise(tmp_path / "copy.zarr")
    if twice:
        copy = eat("all", copy).open(copy).materialise(tmp_path / "again.zarr")
    assert found(chosen) == found(eat("all", copy)) == {WINDOW: 1}
    with pytest.raises(LeakError, match="moments on window 'all', packed as 'predictable'"):
        check_leaks([("test", eat("all", copy))])
    merge_stores(tmp_path / "merged.zarr", [copy.path])
    assert found(eat("all", open_store(tmp_path / "merged.zarr"))) == {WINDOW: 1}


@pytest.mark.slow
def test_transfer_between_stores(small: Store, tmp_path: Path) -> None:
    """Other animals, and a store grown by a recording with the roles of before, are no other split of the test."""
    low = load_diet("predictable")
    with_quantile = Diet.where("skewness <= quantile(skewness, 0.9)")
    others, fewer = (write(tmp_path / f"{name}.zarr", numbers) for name, numbers in (("o", [2]), ("f", [0, 1])))
    for earlier, later in ((others, fewer), (fewer, small), (small, fewer)):
        assert eat(low, earlier).split_digest != eat(low, later).split_digest
        assert found(eat(low, earlier), eat(with_quantile, later)) == {}
        assert found(eat(with_quantile, earlier), eat(low, later)) == {}
    assert STATISTIC_SPLIT in found(eat(low, fewer, fold=1), eat("all", small))


@pytest.mark.slow
def test_what_is_saved_is_judged_as_what_is_in_memory(small: Store, tmp_path: Path) -> None:
    low, rest = eat("predictable", small, fold=1), eat(disjoint(load_diet("all"), "predictable", "cell"), small)
    loaded = [Manifest.load(one.save(tmp_path / one.name)) for one in (low, rest)]
    assert found(*loaded) == found(low, rest)
    assert found(*loaded)[shared("cell")] == 12
    assert found(*loaded)[STATISTIC_SPLIT] == 1
