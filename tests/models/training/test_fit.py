"""Runs: they learn, they repeat bit for bit, they leave the caller's world alone, and they are written whole."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, Run, TrainConfig, evaluate, finetune, pretrain, train
from poyodata.models.batches import ModelBatches
from poyodata.models.evaluation import accuracy
from poyodata.models.teacher import Teacher

MakeBatch = Callable[..., dict[str, Tensor]]
SMALL = {"lr": 5e-3, "unit_dropout": 0.0, "progress": False}


class TwoSessions:
    """Two recordings of unlike sizes mixed in padded batches; the loader numbers neurons in its own order."""

    neuron_ids = ("b:0", "b:1", "b:2", "b:3", "a:0", "a:1", "a:2", "a:3", "a:4", "a:5")
    session_ids = ("b", "a")
    rate_hz = 10.0

    def __init__(self, n_batches: int = 4, seed: int = 0, n_directions: int = 4) -> None:
        self.n_batches, self.seed, self.n_directions, self.epochs = n_batches, seed, n_directions, list[int]()

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng = np.random.default_rng([self.seed, *self.epochs[-1:]])
        for number in range(self.n_batches):
            session = rng.integers(0, 2, 16)
            direction = rng.integers(0, self.n_directions, 16)
            size = np.where(session == 0, 4, 6)
            mask = np.arange(6) < size[:, None]
            index = np.where(mask, 1 + np.arange(6) + 4 * session[:, None], 0)
            values = 0.5 * rng.standard_normal((16, 6, 24))
            # In recording b neuron i prefers direction i, in recording a direction 3 - i: only the names tell.
            preferred = np.where(session[:, None] == 0, np.arange(6), 3 - np.arange(6))
            values += 2.0 * (preferred == direction[:, None])[:, :, None]
            values[~mask] = 99.0
            yield {
                "values": torch.from_numpy(values.astype(np.float32)),
                "neuron_index": torch.from_numpy(index),
                "neuron_mask": torch.from_numpy(mask),
                "session_index": torch.from_numpy(session),
                "direction": torch.from_numpy(direction),
                "trial": torch.arange(16) + 16 * number,
                "start_frame": torch.arange(16) + 16 * number,
            }


def test_one_batch_is_learned_by_heart(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    batch["values"] = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 5, 24)).astype(np.float32))
    run = finetune(model, [batch], steps=90, **SMALL)
    answers = evaluate(model, [batch])
    assert run.losses[0] > 1.5
    assert run.losses[-1] < 0.1
    assert accuracy(answers["prediction"], answers["target"]) == 1.0


@pytest.mark.slow
def test_sessions_mixed_with_padding_are_learned(config: PoyoConfig) -> None:
    # Built with other names in another order than the loader's: names must decide.
    model = PoyoPlus(config, ["a:5", "a:0", "elsewhere:7"], ["a"], seed=0)
    finetune(model, TwoSessions(), steps=150, lr=5e-3, progress=False)
    assert set(TwoSessions.neuron_ids) < set(model.neuron_ids)
    answers = evaluate(model, TwoSessions(seed=99))
    assert set(answers["session_id"]) == {"a", "b"}
    for session_id, part in answers.groupby("session_id"):
        assert accuracy(part["prediction"], part["target"]) > 0.9, session_id


@pytest.mark.slow
def test_reconstruction_falls_and_latents_do_not_collapse(config: PoyoConfig) -> None:
    model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
    settings: dict[str, Any] = {"steps": 100, "lr": 3e-3, "target": "self", "log_every": 1}
    history = pretrain(model, TwoSessions(), **settings, progress=False).history
    assert list(history["step"]) == list(range(1, 101))
    expected = history["reconstruction"] + 0.01 * history["supervised"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    # Latents grow while they come to tell windows apart, so the error is judged beside their spread.
    relative = (history["reconstruction"] / history["latent_spread"]).to_numpy()
    assert relative[-10:].mean() < 0.7 * relative[:3].mean()
    assert history["latent_spread"].iloc[-1] > history["latent_spread"].iloc[0]


@pytest.mark.slow
def test_an_averaged_target_keeps_latents_at_their_size(config: PoyoConfig) -> None:
    def growth(**settings: Any) -> tuple[float, float]:
        model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
        found = pretrain(model, TwoSessions(), steps=200, log_every=1, progress=False, **settings).history
        return tuple(
            found[name].iloc[-10:].mean() / found[name].iloc[0] for name in ("reconstruction", "latent_spread")
        )

    error, spread = growth()
    runaway_error, runaway_spread = growth(target="self")
    assert error < 1
    assert spread < 10
    assert runaway_error > 4
    assert runaway_spread > 4 * spread


def test_latents_without_a_teacher_are_measured_at_readings(config: PoyoConfig) -> None:
    def measured(**settings: Any) -> list[int]:
        model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
        history = pretrain(model, TwoSessions(), steps=7, log_every=3, progress=False, **settings).history
        return [int(step) for step in history["step"][history["latent_spread"].notna()]]

    assert measured(target="self") == [3, 6, 7]
    assert measured() == [1, 2, 3, 4, 5, 6, 7]


def test_a_run_that_collapses_is_told(config: PoyoConfig) -> None:
    """Without a target that stands still, latents become the same for all windows; dropout goes on to differ."""
    model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
    run = pretrain(
        model,
        TwoSessions(),
        steps=150,
        lr=3e-3,
        target="self",
        stop_gradient=False,
        aux_weight=0.0,
        log_every=5,
        progress=False,
    )
    spread = run.history["latent_spread"].dropna().to_numpy()
    assert spread[-10:].max() < 0.1 * spread[0]
    assert "latents have collapsed" in run.warnings[0]


def test_the_teacher_follows_and_is_no_part_of_the_model(config: PoyoConfig) -> None:
    model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
    names = set(model.state_dict())
    teacher = Teacher(model, 0.25)
    before = teacher.model.latents.clone()
    with torch.no_grad():
        model.latents += 1.0
    teacher.follow(model)
    torch.testing.assert_close(teacher.model.latents, before + 0.25)
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert set(model.state_dict()) == names


def test_same_seed_same_weights_and_the_callers_world_is_untouched(config: PoyoConfig) -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        model = PoyoPlus(config, TwoSessions.neuron_ids, TwoSessions.session_ids)
        pretrain(model, TwoSessions(), steps=4, seed=seed, progress=False)
        finetune(model, TwoSessions(), steps=4, seed=seed, progress=False)
        return model.state_dict()

    torch.manual_seed(1)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    level, filters = logging.getLogger("lightning.pytorch").level, list(warnings.filters)
    first = trained(0)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert logging.getLogger("lightning.pytorch").level == level
    assert warnings.filters == filters
    torch.manual_seed(2)  # whatever the caller's state, the run is the same
    again, other = trained(0), trained(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_steps_windows_epochs_and_callbacks_are_counted(config: PoyoConfig, capsys: pytest.CaptureFixture[str]) -> None:
    model, loader, seen = PoyoPlus(config, ["a:0"], ["a"]), TwoSessions(n_batches=3), list[int]()
    run = finetune(model, loader, steps=7, on_step=lambda step, loss: seen.append(step), manifest_digest="0f")
    assert (run.steps, run.windows, run.manifest_digest) == (7, 7 * 16, "0f")
    assert seen == list(range(1, 8))
    assert loader.epochs[:3] == [0, 1, 2]
    assert run.parameters == sum(p.numel() for p in model.parameters())
    assert run.seconds > 0
    assert not model.training
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")  # no terminal, so no bar and no banner


def test_learning_rate_and_clipping_are_as_configured(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    run = train(model, [batch], TrainConfig(steps=10, lr=1e-3, warmup=0.2, clip=1e-9), progress=False)
    lr = run.history["lr"].to_numpy()
    assert lr[0] == pytest.approx(5e-4)
    assert lr[1] == pytest.approx(1e-3)
    assert (np.diff(lr[2:]) < 0).all()
    assert (run.history["gradient_norm"] > 1e-3).all()  # measured before clipping


@pytest.mark.parametrize("learn", [pretrain, finetune])
def test_a_run_names_the_manifest_of_its_loader(learn: Callable[..., Run], config: PoyoConfig) -> None:
    loader = TwoSessions()
    assert learn(PoyoPlus(config, ["a:0"], ["a"]), loader, steps=1, progress=False).manifest_digest is None
    loader.manifest_digest = "5c"  # as the package's own loader has it
    assert learn(PoyoPlus(config, ["a:0"], ["a"]), loader, steps=1, progress=False).manifest_digest == "5c"
    given = learn(PoyoPlus(config, ["a:0"], ["a"]), loader, steps=1, manifest_digest="0f", progress=False)
    assert given.manifest_digest == "0f"


def test_bad_values_stop_the_run_with_the_step(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    batch["values"][0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"loss is nan at step 1; check the windows for NaN"):
        finetune(model, [batch], steps=2, **SMALL)


def test_a_loader_without_batches_is_refused(model: PoyoPlus) -> None:
    with pytest.raises(ModelError, match="made no batch"):
        finetune(model, [], steps=2, progress=False)


def test_unknown_setting_is_refused(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match=r"no setting 'learning_rat'"):
        finetune(model, [batch], steps=2, learning_rat=1.0)


def test_plain_batches_use_the_models_rows(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    (given,) = ModelBatches([batch], model).epoch(0)
    assert torch.equal(given["neuron_index"], batch["neuron_index"])


def test_an_interrupt_stays_an_interrupt(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    def interrupted(step: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, [batch], TrainConfig(steps=3), progress=False, on_step=interrupted)
