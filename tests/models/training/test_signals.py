"""Signals that stop: the step is finished and saved, and the run exits; SIGUSR1 has SLURM queue the job again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoPlus, TrainConfig, load_checkpoint, train
from poyodata.models.training.lesson import Lesson
from poyodata.models.training.signals import STOPPING, StopSignals, queue_again


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scontrol that writes down what it was asked."""
    said = tmp_path / "said"
    tool = tmp_path / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {said}\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    return said


def config(folder: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(steps=6, log_every=1, loggers=(), folder=str(folder), **changes)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("number", "ends", "queued"),
    [
        pytest.param(signal.SIGUSR1, SystemExit, "requeue 4711\n", id="SIGUSR1"),
        pytest.param(signal.SIGTERM, SystemExit, "", id="SIGTERM"),
        pytest.param(signal.SIGINT, KeyboardInterrupt, "", id="Ctrl-C"),
    ],
)
def test_a_signal_saves_a_whole_step_and_exits(
    number: signal.Signals, ends: type[BaseException], queued: str, model: PoyoPlus, batch: dict[str, Tensor],
    tmp_path: Path, scontrol: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before = {each: signal.getsignal(each) for each in STOPPING}
    folder = tmp_path / "run"

    def told(step: int, loss: float) -> None:
        if step == 3:
            os.kill(os.getpid(), number)

    start = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ends) as stopped:
        train(model, [batch], config(folder), progress=False, on_step=told)
    assert getattr(stopped.value, "code", 128 + number) == 128 + number
    assert (scontrol.read_text(encoding="utf-8") if scontrol.exists() else "") == queued
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt").facts["steps"] in (3, 4)
    assert {each: signal.getsignal(each) for each in before} == before
    # The job comes again, as SLURM starts it: the same call goes on.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run = train(model, [batch], config(folder), progress=False)
    assert run.steps == 6
    model.load_state_dict(start)
    monkeypatch.delenv("SLURM_RESTART_COUNT")
    whole = train(model, [batch], config(tmp_path / "whole"), progress=False)
    assert whole.history.equals(run.history)
    assert all(torch.equal(value, load_checkpoint(folder / "model.pt").model.state_dict()[name])
               for name, value in whole.model.state_dict().items())  # fmt: skip


@pytest.mark.usefixtures("interruptible")
def test_the_second_interrupt_does_not_wait(
    model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Lesson.training_step, list[int]()

    def impatient(self: Lesson, batch: Any, batch_idx: int) -> Tensor:
        steps.append(self.course.step)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
            assert self.course.stop.received == signal.SIGINT
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Lesson, "training_step", impatient)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(model, [batch], config(tmp_path / "run", checkpoint_every=1), progress=False)
    assert steps == [0, 1, 2]
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").facts["steps"] == 2
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interrupt_that_is_not_meant_for_a_run_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            stop.install()
            signal.raise_signal(signal.SIGINT)
            assert stop.received is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_requeue_only_saves(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path, scontrol: Path) -> None:
    def told(step: int, loss: float) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(SystemExit):
        train(model, [batch], config(tmp_path / "run", requeue=False), progress=False, on_step=told)
    assert not scontrol.exists()


def test_what_slurm_says_is_told(scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert queue_again() == "12_3"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12;rm")
    with pytest.raises(ModelError, match="expected digits"):
        queue_again()
    (scontrol.parent / "bin" / "scontrol").write_text("#!/bin/sh\necho denied >&2; exit 1\n", encoding="utf-8")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    with pytest.raises(ModelError, match="scontrol requeue 12_3 failed: denied; the run is saved"):
        queue_again()
