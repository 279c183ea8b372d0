"""A full disk and a folder that may not be written: one clear sentence, nothing lost, and on it goes afterwards."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import poyodata
from poyodata.errors import StoreError
from poyodata.store import StoreWriter, open_store
from poyodata.store.merge import merge_stores
from poyodata.store.verify import verify_store
from tests.store.killer import Watched

FULL = (
    r"^the disk of the store .* is full \(No space left on device\); every recording finished so far is in the store\. "
)
REFUSED = r"^the store .* cannot be written \(.*\); nothing was changed\. Check who may write"


class BrokenDisk:
    """Refuses every change below a folder from the n-th one on, a write after half of its bytes."""

    def __init__(self, monkeypatch, number, after):
        self.left, self.number, self.broken = after, number, False
        real = io.open

        def opened(file, mode="r", *arguments, **options):
            changing = isinstance(file, str | os.PathLike) and ".zarr" in os.fspath(file) and set(mode) & set("wxa+")
            if changing:
                self.step(os.fspath(file))
            made = real(file, mode, *arguments, **options)
            return Watched(made, self.half) if changing else made

        monkeypatch.setattr(io, "open", opened)
        for name in ("rename", "replace", "mkdir", "fsync", "ftruncate"):
            call = getattr(os, name)

            def changed(*arguments, call=call, name=name, **options):
                if name in ("fsync", "ftruncate") or any(
                    ".zarr" in os.fspath(path) for path in arguments[:2] if isinstance(path, str | os.PathLike)
                ):
                    self.step(arguments[0])
                return call(*arguments, **options)

            monkeypatch.setattr(os, name, changed)

    def step(self, path):
        self.left -= 1
        if self.left <= 0:
            self.broken = True
            raise OSError(self.number, os.strerror(self.number), *([path] if isinstance(path, str) else []))

    def half(self, file, content):
        try:
            self.step(None)
        except OSError:
            file.write(content[: len(content) // 2])
            raise
        return file.write(content)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of two recordings, one of two others, and what becomes of the first in each change."""
    from tests.store.conftest import make_record

    folder = tmp_path_factory.mktemp("disk")
    with StoreWriter(folder / "ab.zarr") as writer:
        for name in "ab":
            writer.add(make_record(name, n_frames=1100, n_neurons=2))
    with StoreWriter(folder / "cd.zarr") as writer:
        for name in "cd":
            writer.add(make_record(name, n_frames=1100, n_neurons=2, templates=False))
    return folder


CHANGES = {
    "add": lambda path, make: _written(path, lambda writer: writer.add(make("e", n_frames=1100, n_neurons=2))),
    "update": lambda path, make: _written(
        path, lambda writer: writer.add(make("a", n_frames=1100, n_neurons=3), replace=True)
    ),
    "remove": lambda path, make: _written(path, lambda writer: writer.remove(["a"])),
    "merge": lambda path, make: merge_stores(path, [path.with_name("cd.zarr")]),
}


def _written(path, change):
    with StoreWriter(path) as writer:
        change(writer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, FULL), (errno.EROFS, REFUSED), (errno.EACCES, REFUSED)],
    ids=["full", "read-only", "forbidden"],
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_the_disk_refuses_anywhere(stores, tmp_path, make_record, change, number, message, stride=3):
    shutil.copytree(stores / "cd.zarr", tmp_path / "cd.zarr")
    whole = shutil.copytree(stores / "ab.zarr", tmp_path / "whole.zarr")
    CHANGES[change](whole, make_record)
    before, after = open_store(stores / "ab.zarr").digest, open_store(whole).digest
    assert before != after
    seen = set()
    for step in range(1, 1000, stride if number == errno.ENOSPC else 3 * stride):
        path = shutil.copytree(stores / "ab.zarr", tmp_path / f"{step}.zarr")
        with pytest.MonkeyPatch.context() as patch:
            disk = BrokenDisk(patch, number, step)
            try:
                CHANGES[change](path, make_record)
            except StoreError as error:
                raised = error
            else:
                raised = None
        if not disk.broken:
            break
        assert raised is None or re.search(message, str(raised))
        found = open_store(path).digest
        # Once committed, a change stands, whatever becomes of the clearing up; else nothing was changed.
        assert found == (before if raised else after)
        seen.add(found)
        assert verify_store(path).damages == ()
        if found == before:
            CHANGES[change](path, make_record)
        StoreWriter(path).close()
        assert open_store(path).digest == after
        assert (verify_store(path).damages, verify_store(path).unexpected) == ((), ())
        shutil.rmtree(path)
    assert before in seen


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, FULL), (errno.EROFS, REFUSED)], ids=["full", "read-only"]
)
def test_a_store_that_cannot_be_made(tmp_path, monkeypatch, number, message):
    with monkeypatch.context() as patch:
        BrokenDisk(patch, number, 1)
        with pytest.raises(StoreError, match=message) as raised:
            StoreWriter(tmp_path / "new.zarr")
    assert "\n" not in str(raised.value)
    with StoreWriter(tmp_path / "new.zarr") as writer:
        assert len(writer.sessions) == 0


def test_errors_of_the_source_are_not_the_stores(tmp_path, make_record, change):
    def unreadable(start, stop):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "source.nwb"))

    with StoreWriter(tmp_path / "s.zarr") as writer, pytest.raises(PermissionError, match=r"source\.nwb"):
        writer.add(change(make_record("a"), read_traces=unreadable))


# -- the same on a real disk ----------------------------------------------------------------------------------


def in_a_namespace(script, *arguments):
    """Run a shell script where it may mount; skip where that is not allowed."""
    probe = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=1m poyodata "$1"', "sh", str(arguments[0])]
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        pytest.skip("needs Linux with unshare, to mount a small disk")
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk without rights")
    environment = {**os.environ, "PYTHONPATH": str(Path(poyodata.__file__).parents[1])}
    command = ["unshare", "-Urm", "sh", "-ec", script, "sh", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


ADD = """
import json, runpy, sys
from pathlib import Path
make_record = runpy.run_path(sys.argv[2])["make_record"]
from poyodata.errors import PoyodataError
from poyodata.store import StoreWriter, open_store
from poyodata.store.verify import verify_store
path = Path(sys.argv[1]) / "s.zarr"
said, statuses = "", []
try:
    with StoreWriter(path) as writer:
        for name in "abcdef":
            statuses.append(writer.add(make_record(name, n_frames=20_000, n_neurons=6)).status)
except PoyodataError as error:
    said = str(error)
store = open_store(path)
print(json.dumps({"said": said, "statuses": statuses, "sessions": store.session_ids, "digest": store.digest,
                  "damages": len(verify_store(path).damages), "files": [p.name for p in path.iterdir()]}))
"""


@pytest.mark.slow
def test_a_small_disk_that_fills_up(tmp_path):
    script = """
    mount -t tmpfs -o size=2m poyodata "$1"
    "$2" -c "$3" "$1" "$4"
    mount -o remount,size=64m "$1"
    "$2" -c "$3" "$1" "$4"
    mkdir "$1/fresh"
    "$2" -c "$3" "$1/fresh" "$4"
    """
    (tmp_path / "disk").mkdir()
    conftest = Path(__file__).with_name("conftest.py")
    full, resumed, fresh = in_a_namespace(script, tmp_path / "disk", sys.executable, ADD, conftest)
    assert re.search(FULL, full["said"])
    assert 1 <= len(full["statuses"]) < 6
    assert full["sessions"] == list("abcdef"[: len(full["statuses"])])
    assert full["damages"] == 0
    assert not [name for name in full["files"] if name.startswith(".tmp-")]
    assert resumed["statuses"] == ["unchanged"] * len(full["sessions"]) + ["added"] * (6 - len(full["sessions"]))
    assert resumed["digest"] == fresh["digest"] != full["digest"]
    assert resumed["damages"] == 0


@pytest.mark.slow
def test_a_disk_that_is_read_only(tmp_path, write_store, make_record):
    store = write_store(*(make_record(name, n_frames=20_000, n_neurons=6) for name in "ab"), name="disk/s.zarr")
    script = """
    mount --bind "$5" "$1"
    mount -o remount,ro,bind "$1"
    "$2" -c "$3" "$1" "$4"
    """
    (tmp_path / "seen").mkdir()
    conftest = Path(__file__).with_name("conftest.py")
    (found,) = in_a_namespace(script, tmp_path / "seen", sys.executable, ADD, conftest, store.path.parent)
    assert re.search(REFUSED, found["said"])
    assert "Read-only file system" in found["said"]
    assert (found["sessions"], found["digest"], found["damages"]) == (["a", "b"], store.digest, 0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_the_right_to_write(write_store, make_record):
    store = write_store(make_record("a"))
    folders = [store.path, *(path for path in store.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with pytest.raises(StoreError, match=REFUSED), StoreWriter(store.path) as writer:
            writer.add(make_record("b"))
        assert open_store(store.path).digest == store.digest
    finally:
        for folder in folders:
            folder.chmod(0o755)
