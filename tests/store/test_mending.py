"""What verify advises works; what an update and a merge may never lose; a table of sessions of before is seen."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import SourceError, StoreError
from poyodata.statistics import compute_statistics
from poyodata.store import StoreWriter, open_store
from poyodata.store.annotations import annotate, remove_annotation
from poyodata.store.merge import merge_stores
from poyodata.store.verify import verify_store
from tests.store.test_merge import same_content


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.fixture
def two(write_store, make_record):
    return write_store(*(make_record(name, n_frames=1100, n_neurons=3) for name in "ab"), traces=("raw",)).path


# -- following the advice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        "sessions/a/dff/c/0/0",
        "sessions/a/raw/c/0/0",
        "sessions/a/time/c/0",
        "stimuli/natural_movie_one/frames/c/0/0/0",
        "tables/digests/a.parquet",
        "tables/digests/stimuli/natural_movie_one.parquet",
        "tables/presentations/a.parquet",
    ],
)
def test_an_update_writes_anew_what_is_damaged(two, write_store, make_record, file):
    before = open_store(two).digest
    flip(two / file)
    found = verify_store(two)
    assert found.damages
    assert found.is_of_recordings
    with StoreWriter(two) as writer:
        records = [make_record(name, n_frames=1100, n_neurons=3) for name in "ab"]
        statuses = [writer.add(record, replace=True).status for record in records]
    assert statuses == ["updated", "unchanged"]
    after = verify_store(two)
    assert (after.damages, after.unexpected, after.unnamed) == ((), (), ())
    assert open_store(two).digest == before
    np.testing.assert_array_equal(
        open_store(two).movie("natural_movie_one"), records[0].templates["natural_movie_one"]()
    )


def test_a_merge_that_updates_writes_anew_what_is_damaged(two, tmp_path):
    copy = shutil.copytree(two, tmp_path / "copy.zarr")
    for file in ("sessions/b/dff/c/0/0", "stimuli/natural_movie_one/frames/c/0/0/0"):
        flip(two / file)
    merge_stores(two, [copy], replace=True)
    assert verify_store(two).damages == ()
    same_content(open_store(two), open_store(copy))


def test_what_no_update_mends_is_advised_otherwise(two, program):
    flip(two / "sessions/a/dff/c/0/0")
    assert "--update (it writes what is damaged anew)" in program("verify", two).out
    flip(two / "tables/neurons.parquet")
    done = program("verify", two)
    assert "--update" not in done.out
    assert "restore the damaged files from a copy, or poyodata ingest SOURCE --out with a new store" in done.out
    with pytest.raises(StoreError, match="restore it from a copy, or ingest the recordings again into a new store"):
        StoreWriter(two)


# -- traces that are stored -----------------------------------------------------------------------------------------


def test_an_update_keeps_the_traces_that_are_stored(two, make_record, change):
    new = make_record("a", n_frames=1100, n_neurons=3, seed=3)
    with StoreWriter(two) as writer:
        assert writer.add(new, replace=True).status == "updated"
        np.testing.assert_array_equal(open_store(two).traces("a", "raw"), new.further["raw"](0, 1100))
        digest = open_store(two).digest
        with pytest.raises(SourceError, match=r"'a' is stored with the traces raw, which the new one does not have"):
            writer.add(change(make_record("a", n_frames=1100, n_neurons=3), further={}), replace=True)
    assert open_store(two).digest == digest


def test_a_merge_loses_no_traces(two, write_store, make_record):
    other = write_store(make_record("a", n_frames=1100, n_neurons=3, seed=3), name="other.zarr")
    digest = open_store(two).digest
    with pytest.raises(StoreError, match="'a' is stored with the traces raw"):
        merge_stores(two, [other.path], replace=True)
    assert open_store(two).digest == digest


@pytest.mark.parametrize("order", [("few", "more"), ("more", "few")], ids="-then-".join)
def test_of_twins_the_one_with_more_traces_is_merged(write_store, make_record, tmp_path, order):
    stores = {
        "few": write_store(make_record("a"), name="few.zarr"),
        "more": write_store(make_record("a"), name="more.zarr", traces=("raw",)),
    }
    merged = merge_stores(tmp_path / "m.zarr", [stores[name].path for name in order])
    assert len(merged) == 2
    same_content(open_store(tmp_path / "m.zarr"), stores["more"])
    found = verify_store(tmp_path / "m.zarr")
    assert (found.damages, found.unexpected) == ((), ())
    other = write_store(make_record("a"), name="other.zarr", traces=("corrected",))
    with pytest.raises(StoreError, match="arrives twice"):  # neither has all of the other
        merge_stores(tmp_path / "n.zarr", [stores["more"].path, other.path])
    assert not (tmp_path / "n.zarr").exists()


# -- files that are whole, but in the wrong place -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("tables/digests/stimuli/natural_movie_one.parquet", "tables/digests/a.parquet"),
        ("tables/digests/a.parquet", "tables/digests/stimuli/natural_movie_one.parquet"),
        ("tables/epochs.parquet", "tables/digests/a.parquet"),
        ("tables/epochs.parquet", "tables/digests/stimuli/natural_movie_one.parquet"),
        ("tables/epochs.parquet", "tables/presentations/a.parquet"),
        ("tables/presentations/a.parquet", "tables/epochs.parquet"),
        ("tables/segments.parquet", "tables/epochs.parquet"),
        ("tables/neurons.parquet", "tables/segments.parquet"),
        ("tables/epochs.parquet", "tables/sessions.parquet"),
    ],
)
def test_a_whole_file_in_the_place_of_another(two, source, target):
    shutil.copyfile(two / source, two / target)
    flip(two / "sessions/b/dff/c/0/0")
    damaged = {one.file for one in verify_store(two).damages}
    assert {target, "sessions/b/dff/c/0/0"} <= damaged  # and the check went on to the end
    assert damaged <= {target, "sessions/b/dff/c/0/0"}


@pytest.mark.parametrize("how", ["another-table", "another-name", "table-alone"])
def test_statistics_of_something_else(two, how):
    compute_statistics(open_store(two), ["moments"], window="all")
    (table,) = (two / "statistics").glob("*.parquet")
    foreign = two / "statistics" / "0123456789.parquet"
    if how == "another-table":
        shutil.copyfile(two / "tables/epochs.parquet", table)
        expected = {table}
    else:
        shutil.copyfile(table, foreign)
        expected = set()
        if how == "another-name":
            shutil.copyfile(table.with_suffix(".json"), foreign.with_suffix(".json"))
            expected = {foreign.with_suffix(".json")}
    found = verify_store(two)
    assert {one.file for one in found.damages} == {file.relative_to(two).as_posix() for file in expected}
    assert ("statistics/0123456789.parquet" in found.unexpected) == (how == "table-alone")


def test_what_goes_while_it_is_verified_is_no_damage(two):
    annotate(two, pd.DataFrame({"neuron_id": ["a_100"], "layer": ["4"]}), "layers")
    seen = []

    def remove_all(_):
        if not seen:
            remove_annotation(two, "layers")
            with StoreWriter(two) as writer:
                writer.remove(["a", "b"])
        seen.append(1)

    assert verify_store(two, remove_all).damages == ()


def test_what_lies_in_a_temporary_folder_is_named(two):
    (two / ".tmp-0123/session").mkdir(parents=True)
    (two / ".tmp-0123/session/zarr.json").write_bytes(b"x")
    found = verify_store(two)
    assert (found.damages, found.unexpected) == ((), (".tmp-0123/session/zarr.json",))


# -- a table of sessions of before ----------------------------------------------------------------------------------


def test_an_older_table_of_sessions_is_said_and_not_written_over(two, make_record, program, monkeypatch):
    older = (two / "tables/sessions.parquet").read_bytes()
    with StoreWriter(two) as writer:
        writer.add(make_record("c", n_frames=1100, n_neurons=3))
    whole = (two / "tables/sessions.parquet").read_bytes()
    (two / "tables/sessions.parquet").write_bytes(older)
    found = verify_store(two)
    assert (found.damages, found.unexpected, found.unnamed) == ((), (), ("c",))
    assert "1 recordings lie in the store that its table of sessions does not name (c)" in program("verify", two).out
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    program("remove", two, "a")  # declined
    (two / "tables/sessions.parquet").write_bytes(whole)
    assert verify_store(two).damages == ()
    assert len(open_store(two)) == 3


def test_a_table_of_sessions_that_is_much_older_is_refused(two, make_record, files_of):
    older = (two / "tables/sessions.parquet").read_bytes()
    with StoreWriter(two) as writer:
        for name in "cd":
            writer.add(make_record(name, n_frames=1100, n_neurons=3))
    (two / "tables/sessions.parquet").write_bytes(older)
    before = files_of(two / "sessions")
    with pytest.raises(StoreError, match="older than the tables beside it"):
        StoreWriter(two)
    assert files_of(two / "sessions") == before
    found = verify_store(two)
    assert [one.file for one in found.damages] == ["tables/sessions.parquet"]
    assert "restored from an older copy" in found.damages[0].what
    assert found.unnamed == ("c", "d")


def test_commands_quote_paths_and_count_a_recording_once(two, tmp_path, program):
    place = tmp_path / "a b#?.zarr"
    done = program("merge", two, "--out", place)
    assert f"Next: poyodata info '{place}'" in done.out
    assert f"Next: poyodata stats '{place}'" in program("info", place).out
    assert program("remove", place, "a", "a", "--yes").out == "removed 1 recordings; 1 are left\n"
