"""A view opens what a manifest was resolved on, and nothing that has moved since."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest
from poyodata.errors import ManifestError
from poyodata.splits import resolve_split
from poyodata.statistics.learned.columns import remove_columns, write_columns
from poyodata.statistics.learned.lineage import lineage_of
from poyodata.statistics.statistic import Column
from poyodata.store import Store, StoreWriter, open_store
from poyodata.store.annotations import annotate, remove_annotation
from tests.curation.test_on_a_store import record

STABILITY = Column(dtype="float64", unit="1", definition="How stable a neuron is.", low=0, high=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("view") / "plain.zarr"
    with StoreWriter(path) as writer:
        for number, line in enumerate(("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")):
            writer.add(record(number, line))
    label(path, 0)
    learn(open_store(path), 0.5)
    return path


@pytest.fixture
def store(plain: Path, tmp_path: Path) -> Store:
    return open_store(shutil.copytree(plain, tmp_path / "s.zarr"))


def label(path: Path, first: int, name: str = "kinds", column: str = "kind") -> None:
    ids = open_store(path).neurons["neuron_id"]
    annotate(path, pd.DataFrame({"neuron_id": ids, column: np.arange(len(ids)) + first}), name, replace_existing=True)


def learn(store: Store, value: float) -> None:
    split = resolve_split(store, "blocks-5fold")
    seen = {name: split.intervals(name, "train") for name in store.session_ids}
    lineage = lineage_of(store, split, producer="nuclr", version="1", trained_on=seen, computed_on=seen)
    table = pd.DataFrame({"neuron_id": store.neurons["neuron_id"], "stability": value})
    write_columns(store, "nuclr", table, {"stability": STABILITY}, lineage, replace_existing=True)


def resolved(store: Store) -> Manifest:
    return Diet.where("kind >= 0 and stability > 0.1", name="d").resolve(store, split="blocks-5fold")


@pytest.mark.parametrize(
    ("move", "said"),
    [
        pytest.param(lambda path: label(path, 1), "1 annotation was changed or removed (kinds).", id="annotation"),
        pytest.param(
            lambda path: remove_annotation(path, "kinds"),
            "1 annotation was changed or removed (kinds).",
            id="no labels",
        ),
        pytest.param(
            lambda path: learn(open_store(path), 0.25),
            "1 file of learned columns was changed or removed (nuclr).",
            id="learned",
        ),
        pytest.param(
            lambda path: remove_columns(open_store(path), "nuclr"),
            "1 file of learned columns was changed or removed (nuclr).",
            id="not learned",
        ),
    ],
)
def test_evidence_that_moved_is_named(move: Callable[[Path], None], said: str, store: Store) -> None:
    manifest = resolved(store)
    assert len(manifest.open(open_store(store.path))) == 3
    move(Path(store.path))
    with pytest.raises(ManifestError) as caught:
        manifest.open(open_store(store.path))
    assert said in str(caught.value)


def test_evidence_that_the_diet_did_not_use_may_move(store: Store) -> None:
    manifest = Diet.where("kind >= 0", name="d").resolve(store)
    learn(store, 0.75)
    label(Path(store.path), 0, "others", "other")
    assert len(manifest.open(open_store(store.path))) == 3


def test_recordings_that_moved_are_named(store: Store) -> None:
    manifest = resolved(store)
    with StoreWriter(store.path) as writer:
        writer.remove(["601"])
    with pytest.raises(ManifestError, match=r"1 recording was removed \(601\)"):
        manifest.open(open_store(store.path))
    with StoreWriter(store.path) as writer:
        writer.add(record(1, "Vip-IRES-Cre"))
    with pytest.raises(ManifestError, match=r"1 recording was changed \(601\)"):
        manifest.open(open_store(store.path))


def test_another_order_of_ingestion_is_the_same_store(store: Store, tmp_path: Path) -> None:
    manifest = resolved(store)
    other = tmp_path / "other.zarr"
    with StoreWriter(other) as writer:
        for number in (2, 0, 1):
            writer.add(record(number, ("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")[number]))
    label(other, 0)
    learn(open_store(other), 0.5)
    same = resolved(open_store(other))
    assert (same.digest, same.record_digest) == (manifest.digest, manifest.record_digest)
    assert manifest.open(open_store(other)).session_ids == ("600", "601", "602")
    assert manifest.diff(same).same


@pytest.mark.slow
def test_a_diff_names_labels_and_learned_columns(store: Store) -> None:
    path = Path(store.path)
    rule = Diet.where("kind >= 3 and stability > 0.1", name="d")
    before = rule.resolve(store, split="blocks-5fold")
    label(path, 2)
    after = rule.resolve(open_store(path), split="blocks-5fold")
    diff = before.diff(after)
    assert diff.neurons["cause"].tolist() == ["annotation"] * 2
    assert diff.neurons["what"].unique().tolist() == ["kind of kinds"]
    assert diff.neurons[["before", "after"]].to_numpy().tolist() == [["1", "3"], ["2", "4"]]
    learn(open_store(path), 0.05)
    values = pd.Series([0.05, 0.9]).repeat(12).to_numpy()
    split = resolve_split(store, "blocks-5fold")
    seen = {name: split.intervals(name, "train") for name in store.session_ids}
    lineage = lineage_of(store, split, producer="nuclr", version="2", trained_on=seen, computed_on=seen)
    table = pd.DataFrame({"neuron_id": store.neurons["neuron_id"], "stability": values})
    write_columns(store, "nuclr", table, {"stability": STABILITY}, lineage, replace_existing=True)
    learned = after.diff(rule.resolve(open_store(path), split="blocks-5fold"))
    assert set(learned.neurons["cause"]) == {"learned column"} and set(learned.neurons["change"]) == {"went"}
    assert learned.neurons["what"].iloc[0] == "stability of nuclr"
