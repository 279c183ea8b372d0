"""Memory, loss and disk: one sentence, and a last checkpoint that is whole and can be gone on from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoPlus, TrainConfig, load_checkpoint, resume, train
from poyodata.models.training import lesson
from poyodata.models.training.guards import check_device

MakeBatch = Callable[..., dict[str, Tensor]]


def settings(folder: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(
        **{"steps": 6, "checkpoint_every": 2, "log_every": 1, "loggers": (), **changes}, folder=str(folder)
    )


def at(step: int, do: Callable[[], Any]) -> Callable[[int, float], None]:
    def told(now: int, loss: float) -> None:
        if now == step:
            do()

    return told


def goes_on(folder: Path, batch: dict[str, Tensor], step: int) -> None:
    """The last checkpoint is that of a step, nothing half written lies about, and the run comes to its end from it."""
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt").facts["steps"] == step
    assert resume(folder, [batch], progress=False).steps == 6


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), id="gpu"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), id="cpu"),
        pytest.param(MemoryError(), id="python"),
    ],
)
def test_out_of_memory(
    error: Exception, model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, calls = lesson.drop_neurons, list[int]()

    def fails(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise error
        return draw(*arguments)

    monkeypatch.setattr(lesson, "drop_neurons", fails)
    with pytest.raises(ModelError, match=r"out of memory after step 3 of 6, the checkpoint of step 2 is whole"):
        train(model, [batch], settings(tmp_path), progress=False)
    goes_on(tmp_path, batch, 2)


def test_other_errors_are_not_called_memory(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    def broken() -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        train(model, [batch], TrainConfig(steps=2, log_every=1), progress=False, on_step=at(1, broken))


@pytest.mark.parametrize(
    ("n_gpus", "where", "said"),
    [
        pytest.param(0, {"accelerator": "gpu"}, "finds no GPU", id="no-gpu"),
        pytest.param(1, {"accelerator": "gpu", "devices": 2}, "GPUs for 1", id="too-few"),
        pytest.param(1, {"accelerator": "auto", "devices": 2}, "GPUs for 1", id="too-few-of-whatever-there-is"),
        pytest.param(0, {"accelerator": "auto", "devices": 2}, "", id="processes-on-a-cpu"),
        pytest.param(2, {"accelerator": "gpu", "devices": 2}, "", id="enough"),
    ],
)
def test_a_gpu_that_is_not_there(n_gpus: int, where: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    if not said:
        check_device(TrainConfig(**where))
        return
    with pytest.raises(ModelError, match=said):
        check_device(TrainConfig(**where))


def test_a_run_says_that_there_is_no_gpu(
    model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match="finds no GPU"):
        train(model, [batch], settings(tmp_path / "run", accelerator="gpu"), progress=False)
    assert not (tmp_path / "run").exists()


class Spoiled:
    """A NaN in the batch of one step."""

    def __init__(self, batches: MakeBatch, step: int) -> None:
        self.batches, self.step = batches, step

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number in range(6):
            batch = self.batches(seed=number)
            if number + 1 == self.step:
                batch["values"][0, 0, 0] = float("nan")
            yield batch


@pytest.mark.parametrize("log_every", [1, 50])
def test_nan(log_every: int, model: PoyoPlus, batches: MakeBatch, batch: dict[str, Tensor], tmp_path: Path) -> None:
    # At step 4 there would be a checkpoint: one of a spoiled model is never written.
    with pytest.raises(ModelError, match=r"the loss is nan at step 3; check the windows for NaN") as caught:
        train(model, Spoiled(batches, 3), settings(tmp_path, log_every=log_every), progress=False)
    assert "the checkpoint of step 2 is whole" in str(caught.value)
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8").count("\n") == 3  # header, steps 1 and 2
    assert all(p.isfinite().all() for p in load_checkpoint(tmp_path / "checkpoints" / "last.ckpt").model.parameters())
    goes_on(tmp_path, batch, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_disk_full_while_a_checkpoint_is_written(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path) -> None:
    def fill() -> None:
        (tmp_path / "checkpoints" / f".last.ckpt.{os.getpid()}.partial").symlink_to("/dev/full")

    with pytest.raises(ModelError, match=r"cannot write .*last.ckpt \(No space left on device\)") as caught:
        train(model, [batch], settings(tmp_path), progress=False, on_step=at(3, fill))
    assert "the one that was there before is whole" in str(caught.value)
    assert not list(tmp_path.rglob("*.partial"))
    goes_on(tmp_path, batch, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_disk_full_while_metrics_are_written(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path) -> None:
    metrics, aside = tmp_path / "metrics.csv", tmp_path / "aside.csv"

    def fill() -> None:
        metrics.rename(aside)
        metrics.symlink_to("/dev/full")

    with pytest.raises(
        ModelError, match=r"disk is full \(No space left on device\) after step 4 of 6, the checkpoint of"
    ):
        train(model, [batch], settings(tmp_path), progress=False, on_step=at(3, fill))
    metrics.unlink()
    aside.rename(metrics)
    goes_on(tmp_path, batch, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_disk_full_at_the_very_end(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path) -> None:
    def fill() -> None:
        (tmp_path / f".summary.json.{os.getpid()}.partial").symlink_to("/dev/full")

    with pytest.raises(ModelError, match=r"disk is full .* after step 6 of 6, the checkpoint of step 6 is whole; make"):
        train(model, [batch], settings(tmp_path), progress=False, on_step=at(6, fill))
    goes_on(tmp_path, batch, 6)
