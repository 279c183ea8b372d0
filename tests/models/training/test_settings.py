"""What settings do: optimisers, schedules, accumulation, precision, compilation, validation, loggers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, load_checkpoint, train
from poyodata.models.training.bar import training_bar
from poyodata.models.training.optimizers import optimizer_of, set_rate

MakeBatch = Callable[..., dict[str, Tensor]]
STILL: dict[str, Any] = {"unit_dropout": 0.0, "warmup": 0.0, "weight_decay": 0.0, "schedule": "constant"}


@pytest.fixture
def still(config: PoyoConfig) -> PoyoConfig:
    """Without dropout, so that batches can be put together in other ways."""
    return config.model_copy(update={"ffn_dropout": 0.0, "residual_dropout": 0.0})


def new(config: PoyoConfig) -> PoyoPlus:
    return PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"], seed=1)


def test_two_halves_make_the_step_of_the_whole(still: PoyoConfig, batches: MakeBatch) -> None:
    whole = batches(n_windows=8)
    halves = [{name: value[part] for name, value in whole.items()} for part in (slice(4), slice(4, 8))]
    one = train(new(still), [whole], TrainConfig(steps=3, **STILL), progress=False)
    two = train(new(still), halves, TrainConfig(steps=3, accumulate=2, **STILL), progress=False)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-5)
    assert two.windows == one.windows == 24
    assert two.history["windows"].tolist() == [8, 8, 8]
    torch.testing.assert_close(two.model.units, one.model.units, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "paper", "released", "constant"])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_optimisers_and_schedules(optimizer: str, schedule: str, config: PoyoConfig) -> None:
    settings = TrainConfig(steps=10, optimizer=optimizer, schedule=schedule, decay="all", weight_decay=1e-4, lr=1e-3)
    made = optimizer_of(new(config), settings)
    assert type(made).__name__.lower() == optimizer
    assert {group["weight_decay"] for group in made.param_groups} == {1e-4}
    set_rate(made, 9, settings)
    last = {"cosine": 1e-3, "paper": 1e-7, "released": 1e-7, "constant": 1e-3}[schedule]
    assert made.param_groups[0]["lr"] <= last * 1.001
    beta = 0.95 if (optimizer, schedule) == ("lamb", "released") else 0.9
    assert made.param_groups[0]["betas"][0] == pytest.approx(beta)


def test_lamb_learns_and_goes_on(config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path) -> None:
    settings = TrainConfig(
        steps=4,
        optimizer="lamb",
        lr=1e-2,
        schedule="released",
        checkpoint_every=2,
        loggers=(),
        folder=str(tmp_path / "a"),
    )
    whole = train(new(config), [batch], settings, progress=False)
    # The checkpoint of step 4 of a run of 4: its optimiser's state comes back exactly.
    state = load_checkpoint(tmp_path / "a" / "checkpoints" / "last.ckpt").training
    assert state is not None
    assert any(name.startswith("optimizer.0.") for name in state.tensors)
    assert whole.losses[-1] < whole.losses[0]


def test_bf16_is_near(still: PoyoConfig, batch: dict[str, Tensor]) -> None:
    full, half = (
        train(new(still), [batch], TrainConfig(steps=3, precision=precision, **STILL), progress=False)
        for precision in ("32", "bf16")
    )
    assert not np.array_equal(full.losses, half.losses)
    np.testing.assert_allclose(half.losses, full.losses, rtol=0.05)
    assert half.model.units.dtype == torch.float32


@pytest.mark.slow
# torch warns of its own parts when it compiles.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_compiled_is_near(still: PoyoConfig, batch: dict[str, Tensor]) -> None:
    plain, compiled = (
        train(new(still), [batch], TrainConfig(steps=3, compile=compile, **STILL), progress=False)
        for compile in (False, True)
    )
    np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-4)


def test_identification_trains_rows_alone(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = new(config)
    model.mark_trained(model.neuron_ids, model.session_ids, ["direction"])
    model.extend_vocabulary(["other:0"])
    before = {name: value.clone() for name, value in model.named_parameters()}
    train(model, [batch], TrainConfig(steps=2, trains="identification"), progress=False)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"units", "sessions"}
    assert torch.equal(model.units[-1], before["units"][-1])  # in no window: it stays
    assert all(p.requires_grad for p in model.parameters())


def test_best_and_stopping(config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path) -> None:
    values = iter([0.3, 0.8, 0.7, 0.6, 0.9])
    settings = TrainConfig(
        steps=40, validate_every=2, monitor="accuracy", goal="max", patience=2, loggers=(), folder=str(tmp_path)
    )

    def measure(model: PoyoPlus) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"accuracy": next(values)}

    run = train(new(config), [batch], settings, validate=measure, progress=False)
    assert run.steps == 8
    assert run.best == {"step": 4, "metric": "accuracy", "value": 0.8}
    assert run.validation["accuracy"].tolist() == [0.3, 0.8, 0.7, 0.6]
    best = load_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert best.facts["steps"] == 4
    again = train(new(config), [batch], settings, validate=measure, progress=False, resume=True)
    assert again.steps == 8  # it had stopped, and stays so


def test_a_metric_that_is_not_there(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match=r"no 'accuracy' to monitor; known are loss"):
        settings = TrainConfig(steps=1, monitor="accuracy")
        train(new(config), [batch], settings, validate=lambda model: {"loss": 1.0}, progress=False)


def test_watching_does_not_change_what_is_learned(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    plain = train(new(config), [batch], TrainConfig(steps=3, objective="masked"), progress=False)
    watched = train(
        new(config),
        [batch],
        TrainConfig(steps=3, objective="masked", validate_every=1, log_every=2),
        validate=[batch],
        progress=False,
    )
    assert watched.history.equals(plain.history)
    assert len(watched.validation) == 3


def test_tensorboard_shows_terms_and_gradients(config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = TrainConfig(
        steps=4, log_every=2, objective="masked", folder=str(tmp_path), loggers=("tensorboard", "csv")
    )
    train(new(config), [batch], settings, validate=[batch], progress=False)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    expected = {"train/loss", "train/reconstruction", "train/supervised", "train/gradient_norm", "train/lr"}
    assert expected | {"valid/loss", "gradient/units", "speed/samples_per_second"} <= tags
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4]
    blocks = [events.Scalars(tag)[0].value for tag in tags if tag.startswith("gradient/")]
    assert len(blocks) > 5
    total = events.Scalars("train/gradient_norm")[0].value
    assert np.sqrt(np.square(blocks).sum()) == pytest.approx(total, rel=1e-4)
    assert (tmp_path / "csv" / "from-step-0" / "metrics.csv").exists()


def test_a_logger_that_is_not_installed(
    config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    settings = TrainConfig(steps=1, folder=str(tmp_path / "run"), loggers=("wandb",))
    with pytest.raises(ModelError, match="the logger 'wandb' needs wandb, which is not installed; run: pip install"):
        train(new(config), [batch], settings, progress=False)
    assert not (tmp_path / "run").exists()


def test_the_bar_tells_samples_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar("learning", total=2) as advance:
        advance(1, 32)
        advance(1, 32)
    assert "samples/s" in capsys.readouterr().err


def test_no_number_is_asked_of_the_device_in_a_step(
    config: PoyoConfig, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def watch(name: str) -> None:
        real = getattr(Tensor, name)

        def watched(self: Tensor, *arguments: Any, **named: Any) -> Any:
            asked.append(name)
            return real(self, *arguments, **named)

        monkeypatch.setattr(Tensor, name, watched)

    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "cpu", "numpy", "nonzero"):
        watch(name)

    def all_asked(steps: int) -> list[str]:
        asked.clear()
        settings = TrainConfig(steps=steps, log_every=steps, objective="masked")
        train(new(config), [batch], settings, progress=False)
        return sorted(asked)

    few, many = all_asked(3), all_asked(9)
    assert few == many  # what is asked is asked before the first step, after the last, and at the one reading
    assert few.count("tolist") == 1


def test_a_model_is_trained_in_training_mode_whatever_it_was_in(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    fresh, used = new(config), new(config).eval()
    one, two = (train(model, [batch], TrainConfig(steps=2), progress=False) for model in (fresh, used))
    assert one.history.equals(two.history)
    assert not two.model.training
