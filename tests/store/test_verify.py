"""Verify finds every flipped bit, and says where it is."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StoreError, UsageError
from poyodata.statistics import compute_statistics
from poyodata.store import StoreWriter, open_store
from poyodata.store.annotations import annotate
from poyodata.store.damage import Damage
from poyodata.store.seal import is_intact
from poyodata.store.verify import verify_store

DFF = "sessions/a/dff/c/0/0"


@pytest.fixture(scope="module")
def small(tmp_path_factory, make_record_of_module):
    """A store with everything that a store can have; nobody may change it."""
    path = tmp_path_factory.mktemp("verify") / "small.zarr"
    with StoreWriter(path) as writer:
        for name in "ab":
            writer.add(make_record_of_module(name, n_neurons=3, n_frames=1500), traces=("raw",))
        writer.add(make_record_of_module("b", n_neurons=4, n_frames=1100), replace=True)
    compute_statistics(open_store(path), ["moments"], window="all")
    labels = pd.DataFrame({"neuron_id": ["a_100", "b_101"], "layer": ["4", "5"]})
    annotate(path, labels, "layers")
    return path


@pytest.fixture(scope="module")
def make_record_of_module():
    from tests.store.conftest import make_record

    return make_record


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy.zarr")


def flip(path, bit):
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def files_with_bytes(path):
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    return files, np.cumsum([file.stat().st_size for file in files])


def test_intact_store_has_no_damage(small):
    found = verify_store(small)
    assert found.damages == ()
    assert found.unexpected == ()
    assert found.n_recordings == 2
    files, ends = files_with_bytes(small)
    assert found.n_files == len(files)
    assert found.n_bytes == ends[-1]
    assert len(found.table()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))  # 1,000 in all, in parts that can run side by side
def test_every_random_bit_flip_is_found(copy, seed, n_flips=250):
    files, ends = files_with_bytes(copy)
    rng = np.random.default_rng(seed)
    missed = []
    # Half anywhere, which is nearly always in traces; half in a file drawn first.
    for i in range(n_flips):
        at = (
            int(np.searchsorted(ends, rng.integers(ends[-1]), side="right")) if i % 2 else int(rng.integers(len(files)))
        )
        file, bit = files[at], int(rng.integers(8 * files[at].stat().st_size))
        flip(file, bit)
        name = file.relative_to(copy).as_posix()
        damages = verify_store(copy).damages
        if name not in {damage.file for damage in damages}:
            missed.append((name, bit, damages))
        if name.startswith("sessions/") and name.count("/") > 1:
            assert {damage.recording for damage in damages} == {name.split("/")[1].partition("~")[0]}
        flip(file, bit)
    assert missed == []
    assert verify_store(copy).damages == ()


def test_every_bit_of_a_table_is_under_its_seal(small):
    content = bytearray((small / "tables" / "sessions.parquet").read_bytes())
    assert is_intact(bytes(content))
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        assert not is_intact(bytes(content)), bit
        content[bit // 8] ^= 1 << bit % 8


def test_damaged_blocks_are_named_with_their_frames(copy):
    flip(copy / DFF, 8 * 4 * 3 * 1100)
    found = verify_store(copy)
    what = "block 1 of dff (frames 1024 to 1500) is damaged"
    assert found.damages == (Damage("a", DFF, what, "dff", 1, 1024, 1500),)
    assert found.table().loc[0, ["recording", "block", "stop_frame"]].tolist() == ["a", 1, 1500]


def test_every_damage_of_a_store_is_named_at_once(copy):
    flip(copy / DFF, 5)
    flip(copy / "sessions/b~1/time/c/0", 9)
    (copy / "stimuli/natural_movie_one/zarr.json").unlink()
    flip(copy / "tables/sessions.parquet", 1000)
    flip(copy / "zarr.json", 100)
    assert [(one.recording, one.file) for one in verify_store(copy).damages] == [
        ("", "tables/sessions.parquet"),
        ("", "zarr.json"),
        ("a", DFF),
        ("b", "sessions/b~1/time/c/0"),
        ("", "stimuli/natural_movie_one/zarr.json"),
    ]


def _truncate(path):
    os.truncate(path / DFF, 1024 * 12 + 5)


def _older_neurons(path):
    """A whole and sealed table, but not the one that belongs here."""
    other = path.with_name("older.zarr")
    shutil.copytree(path, other)
    with StoreWriter(other) as writer:
        writer.remove(["b"])
    shutil.copyfile(other / "tables/neurons.parquet", path / "tables/neurons.parquet")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(
            _truncate,
            [
                ("a", DFF, "block 1 of dff"),
            ],
            id="truncated",
        ),
        pytest.param(lambda p: (p / DFF).unlink(), [("a", DFF, "is missing")], id="missing"),
        pytest.param(lambda p: flip(p / DFF, 8 * (2 * 1024 * 12 + 3)), [("a", DFF, "the index")], id="index"),
        pytest.param(
            lambda p: (p / "tables/digests/a.parquet").unlink(),
            [("a", "tables/digests/a.parquet", "is missing")],
            id="no-digests",
        ),
        pytest.param(
            lambda p: shutil.copyfile(p / "tables/digests/a.parquet", p / "tables/digests/b~1.parquet"),
            [("b", "tables/digests/b~1.parquet", "not those of the recording")],
            id="digests-of-another",
        ),
        pytest.param(_older_neurons, [("b", "tables/neurons.parquet", "rows are not")], id="older-table"),
        pytest.param(
            lambda p: shutil.copyfile(p / "tables/presentations/a.parquet", p / "tables/presentations/b~1.parquet"),
            [("b", "tables/presentations/b~1.parquet", "rows are not")],
            id="presentations-of-another",
        ),
    ],
)
def test_other_damage(copy, damage, expected):
    damage(copy)
    found = verify_store(copy).damages
    for recording, file, what in expected:
        assert any(one.recording == recording and one.file == file and what in one.what for one in found), found


def test_what_lies_there_besides_is_named_and_does_no_harm(copy):
    (copy / "sessions" / "c").mkdir()
    (copy / "sessions" / "c" / "x").write_bytes(b"x")
    (copy / "notes.txt").write_text("mine")
    found = verify_store(copy)
    assert found.damages == ()
    assert found.unexpected == ("notes.txt", "sessions/c/x")


def test_a_store_may_be_read_and_written_meanwhile(copy, make_record):
    seen = []

    def update(_):
        if not seen:
            with StoreWriter(copy) as writer:
                writer.remove(["b"])
        seen.append(1)

    assert [one for one in verify_store(copy, update).damages if one.recording == "b"] == []


def test_what_is_no_store(tmp_path, copy):
    with pytest.raises(UsageError, match="no store at"):
        verify_store(tmp_path / "none.zarr")
    (tmp_path / "photos").mkdir()
    with pytest.raises(StoreError, match="is not a poyodata store"):
        verify_store(tmp_path / "photos")


def test_the_command(copy, program):
    done = program("verify", copy)
    assert done.status == 0
    assert "2 recordings" in done.out
    assert "nothing damaged" in done.out
    flip(copy / DFF, 77)
    done = program("verify", copy)
    assert done.status == 1
    assert f"damaged  recording a: {DFF}: block 0 of dff (frames 0 to 1024) is damaged" in done.out
    done = program("verify", copy, "--json")
    assert done.status == 1
    found = json.loads(done.out)
    assert not found["intact"]
    assert found["damages"][0]["block"] == 0
    assert program("verify", "s3://x/y").status == 2
