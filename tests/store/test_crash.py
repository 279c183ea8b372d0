"""An ingest killed at any step leaves a store that opens, with every finished recording, and that resumes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import poyodata
from poyodata.errors import PoyodataError
from poyodata.store import StoreWriter, open_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill many writers cheaply")

KILLER = """
import os, runpy, signal, sys
from pathlib import Path
conftest = runpy.run_path(sys.argv[1])
import poyodata.store.session, pyarrow.parquet, zarr  # imported once, before the forks
from poyodata.store import StoreWriter

root = Path(sys.argv[2])
STREAMING = 0

def ingest(point):
    steps = 0

    def counted(call):
        def step(*arguments):
            nonlocal steps
            steps += 1
            if steps == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)
        return step

    os.rename, os.replace = counted(os.rename), counted(os.replace)
    with StoreWriter(root / f"{point}.zarr") as writer:
        for name in ("a", "b"):
            record = conftest["make_record"](name)
            if point == STREAMING and name == "b":
                read = record.read_traces
                kill = lambda start, stop: read(start, stop) if start == 0 else os.kill(os.getpid(), signal.SIGKILL)
                object.__setattr__(record, "read_traces", kill)
            writer.add(record)
            (root / f"{point}.finished").open("a").write(name)

for point in range(0, 100, int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        ingest(point)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.mark.parametrize(
    "stride", [pytest.param(6, id="every-sixth"), pytest.param(1, marks=pytest.mark.slow, id="every-one")]
)
def test_every_step_of_an_ingest_may_be_its_last(tmp_path, make_record, stride):
    environment = {**os.environ, "PYTHONPATH": str(Path(poyodata.__file__).parents[1])}
    command = [sys.executable, "-c", KILLER, str(Path(__file__).with_name("conftest.py")), str(tmp_path), str(stride)]
    subprocess.run(command, check=True, env=environment)
    records = {name: make_record(name) for name in "ab"}
    points = sorted(int(path.name.removesuffix(".zarr")) for path in tmp_path.glob("*.zarr"))
    assert points == list(range(0, points[-1] + 1, stride))
    assert points[-1] > 20  # creation, two recordings, one template
    whole = open_store(tmp_path / f"{points[-1]}.zarr")
    assert whole.session_ids == ("a", "b")
    seen = set()
    for point in points:
        path = tmp_path / f"{point}.zarr"
        log = tmp_path / f"{point}.finished"
        finished = log.read_text() if log.exists() else ""
        try:
            store = open_store(path)
        except PoyodataError:
            assert point == 1, "only the very first step may leave no store"
            store = None
        if store is not None:
            # A recording can be committed an instant before its writer says so.
            assert set(finished) <= set(store.session_ids) <= set("ab")
            assert store.neurons["session_id"].unique().tolist() == list(store.session_ids)
            assert store.presentations["session_id"].unique().tolist() == list(store.session_ids)
            for name in store:
                np.testing.assert_array_equal(store.traces(name), records[name].read_traces(0, 2500))
            for stimulus in store.stimuli:
                assert store.movie(stimulus).shape == (20, 4, 5)
            seen.add(store.session_ids)
        with StoreWriter(path) as writer:
            for record in records.values():
                writer.add(record)
        again = open_store(path)
        assert again.digest == whole.digest
        assert {p.name for p in (path / "sessions").iterdir()} == {"a", "b", "zarr.json"}
    assert seen == {(), ("a",), ("a", "b")}


def test_next_writer_collects_what_was_left(tmp_path, make_record):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("a", templates=False))
    for left in (
        "sessions/b",
        "sessions/.tmp-c",
        "stimuli/m",
        "stimuli/.tmp-n",
        "tables/presentations/.tmp-1-b.parquet",
    ):
        (writer.path / left).mkdir()
    (writer.path / "tables" / ".tmp-1-neurons.parquet").write_bytes(b"x")
    (writer.path / "statistics" / "f00.parquet").write_bytes(b"x")
    StoreWriter(writer.path).close()
    assert {p.name for p in (writer.path / "sessions").iterdir()} == {"a", "zarr.json"}
    assert {p.name for p in (writer.path / "stimuli").iterdir()} == {"zarr.json"}
    assert {p.name for p in (writer.path / "tables" / "presentations").iterdir()} == {"a.parquet"}
    assert not list((writer.path / "tables").glob(".tmp-*"))
    assert (writer.path / "statistics" / "f00.parquet").exists()


def test_recording_that_fails_while_it_is_committed_can_be_added_again(tmp_path, make_record, monkeypatch):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("a"))
        real = os.replace

        def full_disk(source, target):
            if Path(target).name == "blocks.parquet":
                raise OSError(28, "No space left on device")
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full_disk)
            with pytest.raises(OSError, match="No space left"):
                writer.add(make_record("b"))
        assert open_store(writer.path).neurons["session_id"].unique().tolist() == ["a"]
        # Other content than the first time: nothing of the failed attempt may shine through.
        record = make_record("b", n_neurons=3)
        writer.add(replace(record, templates={}))
        store = open_store(writer.path)
    assert store.neurons.groupby("session_id").size().to_dict() == {"a": 7, "b": 3}
    assert store.traces("b").shape == (2500, 3)
