"""A writer killed at any point leaves a store that opens and verifies, with every finished step, and that resumes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import poyodata
from poyodata.errors import PoyodataError, StoreError
from poyodata.store import StoreWriter, open_store
from poyodata.store.verify import verify_store
from tests.store.killer import STEPS, steps_of

HERE = Path(__file__).parent
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill many writers cheaply")


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("seed", (1, 2, 3, 4))  # 200 in all, in parts that can run side by side
def test_every_point_may_be_the_last(tmp_path, make_record, seed, n_points=50):
    environment = {**os.environ, "PYTHONPATH": str(Path(poyodata.__file__).parents[1])}
    command = [sys.executable, str(HERE / "killer.py"), str(HERE / "conftest.py"), str(tmp_path)]
    command += [str(n_points), str(seed)]
    subprocess.run(command, check=True, env=environment)
    whole = json.loads((tmp_path / "whole.json").read_text())
    steps = steps_of(make_record)
    empty = open_store(StoreWriter(tmp_path / "empty.zarr").path).digest
    states = [empty, *whole["digests"]]
    assert len(states) == len(STEPS) + 1
    assert whole["n_points"] > 500
    kinds = Counter((tmp_path / "killed").read_text().split())
    assert kinds["write"] >= n_points // 25
    assert kinds["fsync"] >= n_points // 25
    paths = sorted(path for path in tmp_path.glob("*.zarr") if path.stem.isdigit() and path.stem != "0")
    assert len(paths) == n_points
    for path in paths:
        log = tmp_path / f"{path.stem}.finished"
        finished = len(log.read_text().splitlines()) if log.exists() else 0
        try:
            found = open_store(path)
        except PoyodataError:
            assert not finished, "only the creation of the store may leave none"
        else:
            # A step can be committed an instant before it says so; nothing lies between two steps.
            assert found.digest in states[finished : finished + 2]
            assert found.neurons["session_id"].unique().tolist() == list(found.session_ids)
            if (path / "tables" / "sessions.parquet").exists():
                assert verify_store(path).damages == ()
        for name in STEPS[finished:]:
            steps[name](path)
        assert open_store(path).digest == states[-1]
        after = verify_store(path)
        assert (after.damages, after.unexpected) == ((), ())
        # What is kept has one name of each kind, whatever was redone.
        names = {entry.name for entry in (path / "sessions").iterdir()}
        assert names == {"zarr.json", *(f"{own}~{one}" if one else own for own, one in generations(path).items())}


def generations(path):
    sessions = open_store(path).sessions
    return dict(zip(sessions["session_id"], sessions["generation"], strict=True))


ORPHAN = """
import os, sys, time
from poyodata.store import StoreWriter
writer = StoreWriter(sys.argv[1])
if os.fork() == 0:  # a worker that goes on after its parent died
    print(os.getpid(), flush=True)
    time.sleep(600)
os._exit(1)
"""


@needs_fork
def test_lock_does_not_outlive_its_owner_in_a_forked_child(tmp_path):
    path = tmp_path / "s.zarr"
    owner = subprocess.Popen([sys.executable, "-c", ORPHAN, str(path)], stdout=subprocess.PIPE, text=True)
    orphan = int(owner.stdout.readline())
    owner.wait()
    try:
        StoreWriter(path).close()
    finally:
        os.kill(orphan, signal.SIGKILL)
        owner.stdout.close()
    assert (path / "tables" / ".lock").read_bytes() == b""


def test_next_writer_collects_what_was_left(tmp_path, make_record):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("a", templates=False))
    for left in (
        "sessions/b",
        "sessions/a~1",
        "stimuli/m",
        ".tmp-0123456789abcdef",
        "tables/presentations/.tmp-1-b.parquet",
        "tables/digests/b.parquet",
        "tables/digests/stimuli/m.parquet",
    ):
        (writer.path / left).mkdir(parents=True)
    (writer.path / "tables" / ".tmp-1-neurons.parquet").write_bytes(b"x")
    (writer.path / "statistics" / "f00.parquet").write_bytes(b"x")
    (writer.path / "statistics" / ".tmp-1-zarr.json").write_bytes(b"x")
    (writer.path / "statistics" / ".tmp-1-complete_recordings.txt").write_bytes(b"x")
    (writer.path / "statistics" / ".tmp-1-f01.parquet").write_bytes(b"x")  # somebody may be writing it
    (writer.path / "mine.txt").write_bytes(b"x")
    StoreWriter(writer.path).close()
    assert {p.name for p in (writer.path / "sessions").iterdir()} == {"a", "zarr.json"}
    assert {p.name for p in (writer.path / "stimuli").iterdir()} == {"zarr.json"}
    assert {p.name for p in (writer.path / "tables" / "presentations").iterdir()} == {"a.parquet"}
    assert not list((writer.path / "tables").glob(".tmp-*"))
    assert (writer.path / "statistics" / "f00.parquet").exists()
    assert verify_store(writer.path).unexpected == ("mine.txt", "statistics/.tmp-1-f01.parquet")


def test_recording_that_fails_while_it_is_committed_can_be_added_again(tmp_path, make_record, monkeypatch):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("a"))
        real = os.replace

        def full_disk(source, target):
            if Path(target).name == "segments.parquet":
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full_disk)
            with pytest.raises(StoreError, match=r"is full \(No space left"):
                writer.add(make_record("b"))
        assert open_store(writer.path).neurons["session_id"].unique().tolist() == ["a"]
        # Other content than the first time: nothing of the failed attempt may shine through.
        record = make_record("b", n_neurons=3)
        writer.add(replace(record, templates={}))
        store = open_store(writer.path)
    assert store.neurons.groupby("session_id").size().to_dict() == {"a": 7, "b": 3}
    assert store.traces("b").shape == (2500, 3)
