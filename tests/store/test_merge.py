"""Merging, updating and removing: digests stay right, whatever the order; readers of before are told."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StoreError, UsageError
from poyodata.store import StoreWriter, open_store
from poyodata.store.merge import merge_stores
from poyodata.store.verify import verify_store

TABLES = ("neurons", "presentations", "epochs", "segments", "blocks", "parts")


def same_content(a, b):
    assert a.digest == b.digest
    assert a.stimuli == b.stimuli
    drop = {"columns": "generation"}
    pd.testing.assert_frame_equal(a.sessions.drop(**drop), b.sessions.drop(**drop))
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    for session_id in a:
        np.testing.assert_array_equal(a.traces(session_id), b.traces(session_id))


def no_links(monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.slow
@pytest.mark.parametrize("linked", [True, False], ids=["linked", "copied"])
def test_merged_stores_are_as_if_ingested_into_one(tmp_path, write_store, make_record, monkeypatch, linked):
    a = write_store(make_record("a"), make_record("b"), name="a.zarr", traces=("raw",))
    b = write_store(
        make_record("c"), make_record("b"), make_record("d", templates=False), name="b.zarr", traces=("raw",)
    )
    whole = write_store(
        *(make_record(name) for name in "cba"), make_record("d", templates=False), name="whole.zarr", traces=("raw",)
    )
    if not linked:
        no_links(monkeypatch)
    merged = merge_stores(tmp_path / "m.zarr", [a.path, b.path])
    assert [(one.session_id, one.status) for one in merged] == [
        ("a", "added"),
        ("b", "added"),
        ("b", "unchanged"),
        ("c", "added"),
        ("d", "added"),
    ]
    store = open_store(tmp_path / "m.zarr")
    same_content(store, whole)
    assert verify_store(store.path).damages == ()
    assert verify_store(store.path).unexpected == ()
    shard = store.path / "sessions/a/dff/c/0/0"
    assert (shard.stat().st_nlink == 2) == linked
    # What is merged does not depend on where it came from.
    with StoreWriter(a.path) as writer:
        writer.remove(["a", "b"])
    same_content(open_store(store.path), whole)
    assert [one.status for one in merge_stores(store.path, [b.path])] == ["unchanged"] * 3


def pack(record, path, **lineage):
    """Write a store that says, as one that `View.materialise` wrote does, what it was packed from."""
    with StoreWriter(path, {"name": "few", "before": None} | lineage) as writer:
        writer.add(record)
    return path


def test_a_merge_of_packed_stores_carries_their_lineage(tmp_path, make_record):
    a, b = (pack(make_record(name), tmp_path / f"{name}.zarr") for name in "ab")
    merge_stores(tmp_path / "m.zarr", [a, b])
    merged = open_store(tmp_path / "m.zarr")
    assert merged.session_ids == ("a", "b")
    assert merged.lineage == {"name": "few", "before": None}
    assert merge_stores(merged.path, [a])[0].status == "unchanged"


@pytest.mark.parametrize("other", ["plain", "of another lineage", "a target"])
def test_a_packed_store_is_not_merged_with_others(other, tmp_path, write_store, make_record, files_of):
    packed = pack(make_record("a"), tmp_path / "a.zarr")
    target, further = tmp_path / "m.zarr", []
    if other == "a target":
        target = write_store(make_record("b"), name="b.zarr").path
    elif other == "plain":
        further = [write_store(make_record("b"), name="b.zarr").path]
    else:
        further = [pack(make_record("b"), tmp_path / "b.zarr", name="others")]
    before = files_of(target) if target.exists() else None
    with pytest.raises(StoreError, match=r"a copy of a part of another store|no copy of another store"):
        merge_stores(target, [*further, packed])
    assert (files_of(target) if target.exists() else None) == before


def test_a_full_disk_is_that_of_the_target(write_store, make_record, monkeypatch, files_of):
    target = write_store(make_record("a"), name="t.zarr")
    other = write_store(make_record("b"), name="o.zarr")
    before = files_of(target.path)
    no_links(monkeypatch)

    def full(source, into):
        raise OSError(errno.ENOSPC, "No space left on device", os.fspath(source), None, os.fspath(into))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match=rf"the disk of the store {target.path} is full"):
        merge_stores(target.path, [other.path])
    assert files_of(target.path) == before


def test_learned_columns_that_stay_behind_are_named(tmp_path, write_store, make_record, program):
    a = write_store(make_record("a"), name="a.zarr")
    file = a.path / "statistics" / "learned" / "nuclr.parquet"
    file.parent.mkdir()
    file.write_bytes(b"columns")
    done = program("merge", a.path, "--out", tmp_path / "m.zarr", "--json")
    assert done.status == 0
    assert [one["status"] for one in json.loads(done.out)] == ["added"]
    assert f"learned columns are not merged and stay with their stores: {file}" in done.err
    file.unlink()
    assert "learned" not in program("merge", a.path, "--out", tmp_path / "m.zarr").err


def test_other_content_is_refused_and_nothing_is_merged(tmp_path, write_store, make_record, files_of):
    target = write_store(make_record("a"), name="t.zarr")
    other = write_store(make_record("a", seed=1), make_record("z"), name="o.zarr")
    before = files_of(target.path)
    with pytest.raises(StoreError, match=r"recording 'a' is in the store already, with other content .*--update"):
        merge_stores(target.path, [other.path])
    assert files_of(target.path) == before
    merged = merge_stores(target.path, [other.path], replace=True)
    assert [one.status for one in merged] == ["updated", "added"]
    same_content(open_store(target.path), other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda p: (p / "sessions/a/time/c/0").unlink(), "time/c/0 is missing or damaged", id="missing"),
        pytest.param(
            lambda p: (p / "sessions/a/dff/c/0/0").write_bytes(b"x"), "dff/c/0/0 is missing or dam", id="bytes"
        ),
    ],
)
def test_damaged_source_is_not_merged(tmp_path, write_store, make_record, spoil, message, files_of):
    target = write_store(make_record("t"), name="t.zarr")
    source = write_store(make_record("a"), name="s.zarr")
    spoil(source.path)
    before = files_of(target.path)
    with pytest.raises(StoreError, match=message):
        merge_stores(target.path, [source.path])
    assert files_of(target.path) == before


def test_two_sources_that_differ(tmp_path, write_store, make_record):
    stores = [write_store(make_record("a", seed=seed), name=f"{seed}.zarr").path for seed in (0, 1)]
    with pytest.raises(StoreError, match="'a' arrives twice, with different content"):
        merge_stores(tmp_path / "m.zarr", stores, replace=True)
    with pytest.raises(UsageError, match="takes the others"):
        merge_stores(stores[0], stores)
    with pytest.raises(UsageError, match="no store at"):
        merge_stores(tmp_path / "m.zarr", [tmp_path / "nothing.zarr"])


# -- updates and removals -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_update_leaves_what_a_fresh_ingest_would(write_store, make_record, files_of):
    store = write_store(make_record("a"), make_record("b"))
    with StoreWriter(store.path) as writer:
        assert writer.add(make_record("a"), replace=True).status == "unchanged"
        before = files_of(store.path)
        assert writer.add(make_record("a", seed=5, n_neurons=4), replace=True).status == "updated"
        assert writer.add(make_record("a", seed=6, n_neurons=5), replace=True).status == "updated"
    fresh = write_store(make_record("b"), make_record("a", seed=6, n_neurons=5), name="fresh.zarr")
    updated = open_store(store.path)
    same_content(updated, fresh)
    assert updated.sessions["generation"].tolist() == [2, 0]
    assert {path.name for path in (store.path / "sessions").iterdir()} == {"a~2", "b", "zarr.json"}
    assert verify_store(store.path).damages == ()
    assert verify_store(store.path).unexpected == ()
    after = files_of(store.path)
    untouched = [name for name in before if "/b" in name]
    assert untouched
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


def test_update_with_further_traces(write_store, make_record):
    store = write_store(make_record("a"))
    with StoreWriter(store.path) as writer:
        assert writer.add(make_record("a"), traces=("raw",), replace=True).status == "updated"
        assert writer.add(make_record("a"), replace=True).status == "unchanged"  # never loses traces it has
    same_content(open_store(store.path), write_store(make_record("a"), traces=("raw",), name="b.zarr"))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["abc", "cab"])
def test_digest_after_removal_is_that_of_never_having_been_there(write_store, make_record, order):
    records = {"a": make_record("a"), "b": make_record("b", templates=False), "c": make_record("c", templates=False)}
    store = write_store(*(records[name] for name in order))
    with StoreWriter(store.path) as writer:
        writer.remove(["a"])
    removed = open_store(store.path)
    same_content(removed, write_store(records["b"], records["c"], name="fresh.zarr"))
    assert removed.stimuli == {}
    assert {path.name for path in (store.path / "stimuli").iterdir()} == {"zarr.json"}
    assert verify_store(store.path).damages == ()
    with StoreWriter(store.path) as writer:
        writer.add(records["a"])
    again = open_store(store.path)
    same_content(again, write_store(*records.values(), name="whole.zarr"))
    assert again.sessions["generation"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(again.movie("natural_movie_one"), store_movie(records["a"]))


def store_movie(record):
    return record.templates["natural_movie_one"]()


@pytest.mark.slow
def test_template_changes_only_with_all_that_brought_it(write_store, make_record, change):
    store = write_store(make_record("a"), make_record("b"))
    movie = np.ones((8, 4, 5), np.uint8)
    other = {name: change(make_record(name), templates={"natural_movie_one": lambda: movie}) for name in "ab"}
    with StoreWriter(store.path) as writer:
        with pytest.raises(StoreError, match="brings another template for 'natural_movie_one'"):
            writer.add(other["a"], replace=True)
        assert open_store(store.path).digest == store.digest
        writer.remove(["b"])
        assert writer.add(other["a"], replace=True).status == "updated"
        assert writer.add(other["b"]).status == "added"
    now = open_store(store.path)
    np.testing.assert_array_equal(now.movie("natural_movie_one"), movie)
    same_content(now, write_store(other["b"], other["a"], name="fresh.zarr"))
    assert {path.name for path in (store.path / "stimuli").iterdir()} == {"natural_movie_one~1", "zarr.json"}
    # So it does where a merge brings both.
    with StoreWriter(write_store(make_record("a"), make_record("b"), name="old.zarr").path):
        pass
    merge_stores(store.path.with_name("old.zarr"), [store.path], replace=True)
    same_content(open_store(store.path.with_name("old.zarr")), now)


def test_last_recording_can_be_removed(write_store, make_record):
    store = write_store(make_record("a"))
    with StoreWriter(store.path) as writer:
        with pytest.raises(UsageError, match="no recording 'b'"):
            writer.remove(["a", "b"])
        assert len(writer.sessions) == 1
        writer.remove(["a"])
    assert len(open_store(store.path).neurons) == 0
    assert open_store(store.path).digest == write_store(name="empty.zarr").digest
    assert verify_store(store.path).damages == ()


READS = {
    "traces": lambda store: store.traces("a"),
    "neurons": lambda store: store.neurons,
    "epochs": lambda store: store.epochs,
    "presentations": lambda store: store.presentations,
    "presentations_of": lambda store: store.presentations_of("a"),
    "blocks": lambda store: store.blocks,
    "time_s": lambda store: store.time_s("a"),
    "item": lambda store: store["a"],
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("change_store", ["update", "remove"])
def test_reader_of_before_is_told_that_a_recording_is_gone(write_store, make_record, read, change_store):
    old = write_store(make_record("a"), make_record("b"))
    held = old.traces("b"), open_store(old.path).traces("a")
    expected = np.array(held[1])
    with StoreWriter(old.path) as writer:
        if change_store == "update":
            writer.add(make_record("a", seed=9), replace=True)
        else:
            writer.remove(["a"])
    with pytest.raises(
        StoreError, match=r"'a' of .* was updated or removed since this store was opened; open it again\."
    ):
        READS[read](old)
    np.testing.assert_array_equal(held[1], expected)  # mapped before: readable until it is let go
    np.testing.assert_array_equal(old.traces("b"), make_record("b").read_traces(0, 2500))


def test_commands(tmp_path, write_store, make_record, program):
    a = write_store(make_record("a"), name="a.zarr")
    b = write_store(make_record("a"), make_record("b"), name="b.zarr")
    done = program("merge", a.path, b.path, "--out", tmp_path / "m.zarr", "--json")
    assert done.status == 0
    assert [one["status"] for one in json.loads(done.out)] == ["added", "unchanged", "added"]
    assert open_store(tmp_path / "m.zarr").digest == b.digest
    done = program("remove", tmp_path / "m.zarr", "b", "--yes")
    assert (done.status, done.out) == (0, "removed 1 recordings; 1 are left\n")
    assert open_store(tmp_path / "m.zarr").digest == a.digest
    assert "did you mean" in program("remove", tmp_path / "m.zarr", "aa", "--yes").err
    assert program("remove", tmp_path / "nothing.zarr", "a", "--yes").status == 2
    assert not (tmp_path / "nothing.zarr").exists()
    assert program("merge", a.path, tmp_path / "x.zarr", "--out", tmp_path / "m.zarr").status == 2
