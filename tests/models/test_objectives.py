"""Masked latent reconstruction and answers to tasks against independent computations on a model's own steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.masking import causal_mask, latent_mask
from poyodata.models.objectives import (
    MaskedLatents,
    latent_loss,
    latent_terms,
    masked_objective,
    supervised_objective,
)
from poyodata.models.poyo import PoyoPlus
from poyodata.models.teacher import Teacher

SELF = MaskedLatents(target="self")


def distance(
    masked: Tensor, target: Tensor, where: npt.NDArray[np.bool_], options: MaskedLatents
) -> npt.NDArray[np.float64]:
    """Mean distance in numpy, over an index of what counts."""
    difference = masked.detach().double().numpy() - target.detach().double().numpy()
    counted = (np.abs(difference) if options.loss == "l1" else difference**2)[where]
    return counted.mean()  # type: ignore[no-any-return]


def cross_entropy(model: PoyoPlus, z: Tensor, batch: dict[str, Tensor]) -> Tensor:
    logits = model.decode(z, batch["session_index"])["direction"]
    shown = batch["direction"] >= 0
    log_p = torch.log_softmax(logits, 1)[shown]
    return -log_p[torch.arange(len(log_p)), batch["direction"][shown]].mean()


def levelled(z: Tensor) -> Tensor:
    return (z - z.mean(-1, keepdim=True)) / (z.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


# -- the published formula -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taught", [False, True], ids=["self", "average"])
def test_masked_objective_against_the_formula(
    model: PoyoPlus, config: PoyoConfig, batch: dict[str, Tensor], taught: bool
) -> None:
    other = PoyoPlus(config, model.neuron_ids, model.session_ids, seed=5).eval() if taught else None
    model.eval()  # no dropout: the two branches can be computed one after the other
    batch["direction"][1] = -1
    found = masked_objective(model, batch, MaskedLatents() if taught else MaskedLatents.paper(), teacher=other)

    z1 = model.encode(batch)
    m1 = z1.clone()
    for latent, time_s in enumerate(model.latent_times_s.tolist()):
        if time_s > model.config.window_s / 2:
            m1[:, latent] = model.mask_token + model.latents[latent % model.config.latents_per_step]
    z_l, m_l = model.process(z1), model.process(m1)
    late = model.latent_times_s > model.config.window_s / 2
    error = m_l - z_l if other is None else levelled(m_l) - levelled(other.process(other.encode(batch)))
    reconstruction = error.abs()[:, late].mean()
    supervised = cross_entropy(model, z_l, batch)

    torch.testing.assert_close(found.terms["reconstruction"], reconstruction.detach())
    torch.testing.assert_close(found.terms["direction"], supervised.detach())
    torch.testing.assert_close(found.terms["supervised"], supervised.detach())
    torch.testing.assert_close(found.total, reconstruction + 0.01 * supervised)
    measured = z_l if other is None else other.process(other.encode(batch))
    torch.testing.assert_close(found.terms["latent_spread"], measured.detach().std(dim=0, unbiased=False).mean())
    assert not any(term.requires_grad for term in found.terms.values())


@pytest.mark.parametrize("mode", ["causal", "random_tokens", "channels"])
@pytest.mark.parametrize("loss", ["l1", "mse"])
@pytest.mark.parametrize("where", ["masked", "all"])
@pytest.mark.parametrize("fill", ["token", "zero"])
def test_every_way_to_mask_against_numpy(
    model: PoyoPlus, batch: dict[str, Tensor], mode: Any, loss: Any, where: Any, fill: Any
) -> None:
    model.eval()
    options = MaskedLatents(mode=mode, loss=loss, where=where, fill=fill, target="self", rate=0.25)
    found = masked_objective(model, batch, options, rng=np.random.default_rng(3))
    config = model.config
    mask = latent_mask(
        mode,
        0.25,
        n_steps=config.n_steps,
        latents_per_step=config.latents_per_step,
        dim=config.dim,
        n_windows=6,
        rng=np.random.default_rng(3),
    )
    z = model.encode(batch)
    hidden = mask.expand_as(z).numpy()
    m = z.detach().numpy().copy()
    stand_in = (model.mask_token + model.latents.repeat(config.n_steps, 1)).expand_as(z).detach().numpy()
    m[hidden] = stand_in[hidden] if fill == "token" else 0.0
    masked, clean = model.process(torch.from_numpy(m)), model.process(z)
    expected = distance(masked, clean, hidden if where == "masked" else np.ones_like(hidden), options)
    assert found.terms["reconstruction"].item() == pytest.approx(expected, rel=1e-4)


def test_a_target_that_moves_has_a_gradient_of_its_own(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()

    def gradients(stop: bool) -> dict[str, Tensor]:
        model.zero_grad()
        options = MaskedLatents(target="self", stop_gradient=stop, aux_weight=0.0)
        masked_objective(model, batch, options).total.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    stopped, moving = gradients(True), gradients(False)
    assert any(not torch.equal(stopped[name], moving[name]) for name in stopped)
    predicted, target = torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 3, requires_grad=True)
    latent_loss(predicted, target, causal_mask(4, 1, 0.5)[None, :, None]).backward()
    assert predicted.grad is not None
    assert target.grad is not None
    assert predicted.grad[:, 2:].abs().min() > 0
    assert not predicted.grad[:, :2].any()
    torch.testing.assert_close(predicted.grad, -target.grad)


def test_masked_end_of_the_window_gives_the_encoder_no_gradient(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    """With a stopped target, what only the masked latents read cannot be learned from the reconstruction."""
    model.eval()
    mask = causal_mask(model.config.n_steps, model.config.latents_per_step, 0.5)
    seen: list[Tensor] = []
    encode = model.encode

    def watched(batch: dict[str, Tensor]) -> Tensor:
        z = encode(batch)
        z.retain_grad()
        seen.append(z)
        return z

    model.encode = watched  # type: ignore[method-assign,assignment]
    masked_objective(model, batch, MaskedLatents(target="self", aux_weight=0.0)).total.backward()
    gradient = seen[0].grad
    assert gradient is not None
    assert not gradient[:, mask].any()
    assert gradient[:, ~mask].abs().max() > 0
    assert model.mask_token.grad is not None
    assert model.mask_token.grad.abs().max() > 0


def test_the_windows_are_encoded_once(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    sizes: list[int] = []
    model.perceiver.read.register_forward_hook(lambda *call: sizes.append(len(call[2])))
    model.perceiver.layers[0]["attention"].register_forward_hook(lambda *call: sizes.append(call[2].shape[1]))
    masked_objective(model, batch, SELF)
    assert sizes == [6, 12]


def test_collapse_shows(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    healthy = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).eval()
    collapsed = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).eval()
    with torch.no_grad():
        collapsed.perceiver.read.to_out.weight.zero_()
    terms = [masked_objective(m, batch, SELF).terms for m in (healthy, collapsed)]
    assert terms[0]["latent_spread"] > 1e-3
    assert terms[1]["latent_spread"] < 1e-6
    assert 1 < terms[0]["latent_rank"] <= 5


@pytest.mark.parametrize("taught", [False, True], ids=["self", "average"])
def test_dropout_is_no_spread(config: PoyoConfig, batch: dict[str, Tensor], taught: bool) -> None:
    model = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).train()
    assert model.config.residual_dropout > 0
    same = {**batch, "values": batch["values"][:1].expand(6, -1, -1)}
    with torch.no_grad():
        assert model.process(model.encode(same)).std(dim=0).mean() > 1e-3
    for windows, lowest, highest in ((same, 0.0, 1e-6), (batch, 1e-3, 10.0)):
        before = torch.get_rng_state()
        terms = latent_terms(model, windows)
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training
        if taught:
            teacher = Teacher(model, 0.1).model
            terms = masked_objective(model, windows, teacher=teacher).terms
        assert lowest <= terms["latent_spread"] <= highest
    # A pass without dropout is not taken in every step.
    assert "latent_spread" not in masked_objective(model, batch, SELF).terms


# -- the released code -----------------------------------------------------------------------------------------------


def test_legacy_against_the_released_steps(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    """Second encoding without residuals, one channel at 0, squared error over all, times the labelled windows."""
    model.eval()
    batch["direction"][1] = -1
    found = masked_objective(model, batch, MaskedLatents.legacy())
    found.total.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    model.zero_grad()
    perceiver, taken = model.perceiver, list[Tensor]()
    handle = perceiver.read.register_forward_hook(lambda _module, _arguments, result: taken.append(result))
    z = model.encode(batch)
    handle.remove()
    initial = model.latents.repeat(model.config.n_steps, 1)
    torch.testing.assert_close(initial + taken[0] + perceiver.read_ffn(initial + taken[0]), z)
    m = taken[0].clone()
    m[:, :, -int(16 * 0.5)] = 0  # as the line is written, without the colon
    assert int((m != taken[0]).any(dim=(0, 1)).sum()) == 1
    m_l, z_l = model.process(perceiver.read_ffn(m)), model.process(z)
    mse, entropy = ((m_l - z_l) ** 2).mean(), cross_entropy(model, z_l, batch)
    expected = 5 * (entropy + mse)
    expected.backward()

    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.terms["reconstruction"], mse.detach())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name not in gradients), name
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_legacy_encodes_twice_with_dropout_of_its_own(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    calls: list[int] = []
    model.perceiver.read.register_forward_hook(lambda *call: calls.append(len(call[2])))
    masked_objective(model, batch, MaskedLatents.legacy())
    assert calls == [6, 6]


def test_legacy_objective_and_layout_go_together(batch: dict[str, Tensor]) -> None:
    small = {"dim": 16, "dim_head": 8, "self_heads": 2, "depth": 1, "ffn_dropout": 0.0, "residual_dropout": 0.0}
    config = PoyoConfig(layout="legacy", window_frames=24, rate_hz=10.0, **small)
    model = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"])
    loss = masked_objective(model, batch, MaskedLatents.legacy())
    terms = loss.terms
    torch.testing.assert_close(loss.total.detach(), 6 * (terms["reconstruction"] + terms["direction"]))
    loss.total.backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    assert {name for name in unused if "readouts.heads" not in name and "depth" not in name} == set()


def test_one_channel_alone_brings_the_rest_of_the_released_code() -> None:
    """So a training configuration, which has fewer settings, reaches the whole preset."""
    options = MaskedLatents(
        mode="one_channel", loss="mse", where="all", stop_gradient=False, target="self", aux_weight=1.0
    )
    assert options == MaskedLatents.legacy()
    assert (MaskedLatents().fill, MaskedLatents().residual, MaskedLatents().per) == ("token", True, "mean")


# -- what is given ---------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers_but_for_the_target() -> None:
    default = MaskedLatents()
    assert (default.mode, default.rate, default.loss, default.where) == ("causal", 0.5, "l1", "masked")
    assert (default.aux_weight, default.stop_gradient, default.target) == (0.01, True, "average")
    assert MaskedLatents.paper().target == "self"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "causl"}, "mode='causl'"),
        ({"loss": "l2"}, "loss='l2'"),
        ({"rate": 1.0}, "rate=1.0"),
        ({"aux_weight": float("nan")}, "aux_weight=nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        MaskedLatents(**settings)


def test_teacher_and_target_belong_together(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match="needs a teacher"):
        masked_objective(model, batch)
    with pytest.raises(ModelError, match="has no teacher"):
        masked_objective(model, batch, SELF, teacher=model)


def test_windows_without_any_answer_are_reconstructed_alone(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    model.eval()
    labelled = masked_objective(model, batch, SELF)
    del batch["direction"]
    alone = masked_objective(model, batch, SELF)
    torch.testing.assert_close(alone.total, labelled.terms["reconstruction"], check_stride=False)
    assert alone.terms["supervised"] == 0
    assert "direction" not in alone.terms


# -- tasks -----------------------------------------------------------------------------------------------------------


def test_only_what_the_batch_answers_is_asked(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    config = PoyoConfig(**{**config.model_dump(), "tasks": ("direction", "running", "movie_frame")})
    model = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).eval()
    batch["running"] = torch.linspace(-5, 40, 6)
    asked: list[Any] = []
    decode = model.decode

    def watched(z: Tensor, session_index: Tensor, tasks: Any = None) -> dict[str, Tensor]:
        asked.append(list(tasks))
        return decode(z, session_index, tasks)

    model.decode = watched  # type: ignore[method-assign]
    loss = supervised_objective(model, batch)
    masked = masked_objective(model, batch, SELF)
    assert asked == [["direction", "running"]] * 2
    assert set(loss.terms) == {"direction", "direction_count", "running", "running_count"}
    torch.testing.assert_close(masked.terms["supervised"], loss.total.detach())
    answers = model(batch, ["direction", "running"])
    speed = (batch["running"] - 6.80354332) / 13.87822103
    error = ((answers["running"][:, 0] - speed) ** 2).mean()
    entropy = torch.nn.functional.cross_entropy(answers["direction"], batch["direction"])
    torch.testing.assert_close(loss.total, entropy + 1.5 * error)


def test_frames_of_a_movie_are_classes(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = PoyoPlus(PoyoConfig(**{**config.model_dump(), "tasks": ("movie_frame",)}), ["s:0"] * 1, ["s"]).eval()
    batch["neuron_index"] = torch.ones_like(batch["neuron_index"])
    batch["movie_frame"] = torch.tensor([0, 450, 899, -1, 7, 7])
    loss = supervised_objective(model, batch)
    logits = model(batch)["movie_frame"]
    assert logits.shape == (6, 900)
    rows = torch.log_softmax(logits, 1)[[0, 1, 2, 4, 5], [0, 450, 899, 7, 7]]
    torch.testing.assert_close(loss.total, -0.25 * rows.mean())


def test_a_batch_that_answers_nothing_is_refused(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    del batch["direction"]
    with pytest.raises(ModelError, match="answers no task"):
        supervised_objective(model, batch)
