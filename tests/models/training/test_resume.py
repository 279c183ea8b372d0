"""A run that was broken off goes on to the end that it would have had; bit for bit, and with no row lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, Run, TrainConfig, resume, train
from poyodata.models.checkpoint import load_checkpoint
from poyodata.models.training import step_draws
from tests.models.training.broken_off import BrokenOffError, break_off

MakeBatch = Callable[..., dict[str, Tensor]]
STEPS = 8
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "objective": "masked",
    "checkpoint_every": 3,
    "log_every": 1,
    "loggers": (),
    "validate_every": 2,
}


class Counted:
    """Three batches a pass, another three in every pass; tells where it is, and can be told."""

    neuron_ids = tuple(f"s:{i}" for i in range(5))
    session_ids = ("s",)

    def __init__(self, batches: MakeBatch) -> None:
        self.batches, self.epoch, self.start, self.given = batches, 0, 0, 0
        self.asked: list[tuple[int, int]] = []

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.start = 0
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        start, self.start = self.start, 0
        for number in range(start, 3):
            self.given = number + 1
            self.asked.append((self.epoch, number))
            yield self.batches(seed=10 * self.epoch + number)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "given": self.given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.start = state["epoch"], state["given"]


def new_model(config: PoyoConfig) -> PoyoPlus:
    return PoyoPlus(config, Counted.neuron_ids, Counted.session_ids, seed=1)


def same(run: Run, other: Run) -> None:
    first, second = run.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    if run.folder is not None and other.folder is not None:
        for name in ("metrics.csv", "validation.csv"):
            if name == "validation.csv" and run.validation.empty:
                continue
            assert (run.folder / name).read_bytes() == (other.folder / name).read_bytes()
        mine, theirs = (
            load_checkpoint(each / "checkpoints" / "last.ckpt").training for each in (run.folder, other.folder)
        )
        assert mine is not None
        assert theirs is not None
        assert all(torch.equal(value, theirs.tensors[name]) for name, value in mine.tensors.items())
    assert run.history.equals(other.history)
    assert (run.steps, run.windows, run.best) == (other.steps, other.windows, other.best)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stateful", "list"])
@pytest.mark.parametrize("at", [pytest.param(2, id="first-pass"), pytest.param(5, id="second-pass"), STEPS])
def test_a_broken_run_goes_on(kind: str, at: int, config: PoyoConfig, batches: MakeBatch, tmp_path: Path) -> None:
    def loader() -> Any:
        return Counted(batches) if kind == "stateful" else [batches(seed=i) for i in range(3)]

    def begin(name: str, **more: Any) -> Run:
        settings = TrainConfig(folder=str(tmp_path / name), accumulate=2 if kind == "list" else 1, **SETTINGS)
        return train(new_model(config), loader(), settings, validate=[batches(seed=99)], progress=False, **more)

    whole = begin("whole")
    with pytest.raises(BrokenOffError):
        begin("broken", on_step=break_off(at))
    same(whole, resume(tmp_path / "broken", loader(), validate=[batches(seed=99)], progress=False))
    sessions = json.loads((tmp_path / "broken" / "environment.json").read_text(encoding="utf-8"))["sessions"]
    assert [session["from_step"] for session in sessions] == [0, (at - 1) // 3 * 3]


def test_a_loader_that_knows_where_it_is_repeats_nothing(
    config: PoyoConfig, batches: MakeBatch, tmp_path: Path
) -> None:
    folder = str(tmp_path / "run")
    with pytest.raises(BrokenOffError):
        train(
            new_model(config),
            Counted(batches),
            TrainConfig(folder=folder, **SETTINGS),
            progress=False,
            on_step=break_off(5),
        )
    loader = Counted(batches)
    resume(folder, loader, progress=False)
    assert loader.asked == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]  # after a checkpoint at the end of pass 0


def test_a_run_at_its_end_stays_as_it_is(config: PoyoConfig, batches: MakeBatch, tmp_path: Path) -> None:
    settings = TrainConfig(folder=str(tmp_path), **SETTINGS)
    run = train(new_model(config), Counted(batches), settings, progress=False)
    again = train(new_model(config), Counted(batches), settings, progress=False, resume=True)
    same(run, again)


@pytest.mark.parametrize(
    ("at", "saved", "changes"),
    [
        pytest.param(1, 2, {}, id="first"),
        pytest.param(4, 8, {}, id="last-step"),
        pytest.param(2, 4, {"monitor": "supervised_none", "patience": 1}, id="that-ends-the-run"),
    ],
)
def test_a_validation_that_fails_costs_no_step(
    at: int, saved: int, changes: dict[str, Any], config: PoyoConfig, batches: MakeBatch, tmp_path: Path
) -> None:
    class Measure:
        """Never better than at first; fails the `at`-th time."""

        def __init__(self, at: int = 0) -> None:
            self.at, self.calls = at, 0

        def __call__(self, model: PoyoPlus) -> dict[str, float]:
            self.calls += 1
            if self.calls == self.at:
                raise ModelError("no memory for that")
            size = float(sum(value.detach().abs().sum() for value in model.parameters()))
            return {"loss": size, "supervised_none": 1.0}

    def begin(name: str, measure: Measure) -> Run:
        settings = TrainConfig(**{**SETTINGS, "checkpoint_every": 2, **changes}, folder=str(tmp_path / name))
        return train(new_model(config), Counted(batches), settings, validate=measure, progress=False)

    whole = begin("whole", Measure())
    with pytest.raises(ModelError, match=rf"no memory for that \(stopped after step {saved}.*step {saved} is whole"):
        begin("broken", Measure(at))
    assert load_checkpoint(tmp_path / "broken" / "checkpoints" / "last.ckpt").facts["steps"] == saved
    same(whole, resume(tmp_path / "broken", Counted(batches), validate=Measure(), progress=False))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"lr": 1.0}, "lr was 0.002, here it is 1.0", id="settings"),
        pytest.param({"manifest_digest": "ff"}, "begun on manifest none, here it is ff", id="manifest"),
    ],
)
def test_another_run_is_not_gone_on_with(
    change: dict[str, Any], said: str, config: PoyoConfig, batches: MakeBatch, tmp_path: Path
) -> None:
    digest = change.pop("manifest_digest", None)
    first = {**SETTINGS, "steps": 1, "folder": str(tmp_path)}
    train(new_model(config), Counted(batches), TrainConfig(**first), progress=False)
    with pytest.raises(ModelError, match=said):
        train(
            new_model(config),
            Counted(batches),
            TrainConfig(**{**first, **change}),
            manifest_digest=digest,
            progress=False,
            resume=True,
        )


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no run"):
        resume(tmp_path, [])


def test_a_lost_table_is_said(config: PoyoConfig, batches: MakeBatch, tmp_path: Path) -> None:
    train(new_model(config), Counted(batches), TrainConfig(**{**SETTINGS, "steps": 2}, folder=str(tmp_path)))
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"metrics.csv is not the table"):
        resume(tmp_path, Counted(batches))


def test_draws_belong_to_a_step() -> None:
    def drawn(*of: int, **more: int) -> tuple[float, float]:
        with step_draws(*of, torch.device("cpu"), **more) as rng:
            return float(torch.rand(())), float(rng.random())

    assert drawn(0, 5) == drawn(0, 5)
    others = [drawn(0, 6), drawn(1, 5), drawn(0, 5, part=1), drawn(0, 5, rank=1), drawn(0, 5, part=1, rank=1)]
    assert len({drawn(0, 5), *others}) == 6


# -- SIGKILL ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_ends_bit_identical(tmp_path: Path, n_points: int = 20) -> None:
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(n_points)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(points) == n_points
    assert {point["kind"] for point in points} >= set(["checkpoint", "metrics", "step"][:n_points])
    for point in points:
        assert point["differs"] == [], point
        assert point["killed"], point


def test_the_better_of_a_step_that_was_taken_twice_is_the_best(
    config: PoyoConfig, batches: MakeBatch, tmp_path: Path
) -> None:
    settings = TrainConfig(**{**SETTINGS, "steps": 6, "validate_every": 1}, folder=str(tmp_path))
    first, second = iter([5.0, 4.0, 3.0, 1.0]), iter([4.5, 4.4, 4.3, 4.2])  # it goes on at the validation after three
    with pytest.raises(BrokenOffError):
        train(
            new_model(config),
            Counted(batches),
            settings,
            validate=lambda _: {"loss": next(first)},
            progress=False,
            on_step=break_off(5),
        )
    resume(tmp_path, Counted(batches), validate=lambda _: {"loss": next(second)}, progress=False)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["best"] == {"step": 4, "metric": "loss", "value": 1.0}
    assert load_checkpoint(tmp_path / "checkpoints" / "best.ckpt").facts["steps"] == 4
