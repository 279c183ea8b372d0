"""One process trains in a folder; its right to do so ends with it, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoPlus, TrainConfig, train
from poyodata.models.training.lock import LOCK, alone_in

HOLDS_WITH_A_CHILD = """
import os, sys, time
from pathlib import Path
from poyodata.models.training.lock import alone_in
with alone_in(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_of_the_first(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path) -> None:
    settings = TrainConfig(steps=1, loggers=(), folder=str(tmp_path))
    with (
        alone_in(tmp_path),
        pytest.raises(ModelError, match=rf"another process trains in this folder \(process {os.getpid()} on "),
    ):
        train(model, [batch], settings, progress=False)
    assert not (tmp_path / "checkpoints").exists()
    assert train(model, [batch], settings, progress=False).steps == 1
    assert (tmp_path / LOCK).read_text() == ""


def test_an_error_gives_the_right_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone_in(tmp_path):
        raise KeyError
    with alone_in(tmp_path):
        pass


def test_a_child_does_not_keep_it_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS_WITH_A_CHILD, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(ModelError, match=f"process {parent.pid} on"), alone_in(tmp_path):
                pass
            parent.kill()
            parent.wait()
            for _ in range(200):  # a child that was just forked may not have come to dropping it
                os.kill(child, 0)  # it lives
                with contextlib.suppress(ModelError), alone_in(tmp_path):
                    break
                time.sleep(0.05)
            else:
                pytest.fail("the child kept the lock of its parent")
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_without_locks_it_goes_on(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ModelError, match=r"cannot write to .*run \(Not a directory\); make room"),
        alone_in(tmp_path / "file" / "run"),
    ):
        pass
