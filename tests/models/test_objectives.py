"""Losses against independent computations, and what is hidden from a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.losses import direction_loss, latent_loss, latent_spread, masked_objective
from poyodata.models.masking import causal_mask, drop_neurons
from poyodata.models.poyo import PoyoPlus

# -- cross-entropy ---------------------------------------------------------------------------------------------------


def test_blank_windows_do_not_count() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 8)
    direction = torch.tensor([2, -1, 7, -1, 0])
    labelled = [0, 2, 4]
    expected = -torch.log_softmax(logits, 1)[labelled, direction[labelled]].mean()
    torch.testing.assert_close(direction_loss(logits, direction), expected)


def test_only_blank_windows_give_no_loss_and_no_nan() -> None:
    logits = torch.randn(2, 8, requires_grad=True)
    loss = direction_loss(logits, torch.tensor([-1, -1]))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


# -- masked latent reconstruction ------------------------------------------------------------------------------------


@pytest.mark.parametrize("taught", [False, True], ids=["self", "average"])
def test_masked_objective_against_the_formula(
    model: PoyoPlus, config: PoyoConfig, batch: dict[str, Tensor], taught: bool
) -> None:
    other = PoyoPlus(config, model.neuron_ids, model.session_ids, seed=5).eval() if taught else None
    model.eval()  # no dropout: the two branches can be computed one after the other
    batch["direction"][1] = -1
    found = masked_objective(model, batch, rate=0.5, aux_weight=0.01, teacher=other)

    z1 = model.encode(batch)
    m1 = z1.clone()
    for latent, time_s in enumerate(model.latent_times_s.tolist()):
        if time_s > model.config.window_s / 2:
            m1[:, latent] = model.mask_token + model.latents[latent % model.config.latents_per_step]
    z_l, m_l = model.process(z1), model.process(m1)
    late = model.latent_times_s > model.config.window_s / 2
    if other is None:
        error = m_l - z_l.detach()
    else:

        def level(z: Tensor) -> Tensor:
            return (z - z.mean(-1, keepdim=True)) / (z.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()

        error = level(m_l) - level(other.process(other.encode(batch)))
    reconstruction = error.abs()[:, late].mean()
    shown = batch["direction"] >= 0
    log_p = torch.log_softmax(model.decode(z_l, batch["session_index"]), 1)[shown]
    cross_entropy = -log_p[torch.arange(len(log_p)), batch["direction"][shown]].mean()

    torch.testing.assert_close(found.terms["reconstruction"], reconstruction.detach())
    torch.testing.assert_close(found.terms["cross_entropy"], cross_entropy.detach())
    torch.testing.assert_close(found.total, reconstruction + 0.01 * cross_entropy)
    torch.testing.assert_close(found.terms["latent_spread"], z_l.detach().std(dim=0, unbiased=False).mean())


def test_no_gradient_reaches_the_target() -> None:
    predicted, target = torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 3, requires_grad=True)
    latent_loss(predicted, target, causal_mask(4, 1, 0.5)).backward()
    assert target.grad is None
    assert predicted.grad is not None
    assert predicted.grad[:, 2:].abs().min() > 0
    assert not predicted.grad[:, :2].any()


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
    masked_objective(model, batch, rate=0.5, aux_weight=0.0).total.backward()
    gradient = seen[0].grad
    assert gradient is not None
    assert not gradient[:, mask].any()
    assert gradient[:, ~mask].abs().max() > 0
    assert model.mask_token.grad is not None
    assert model.mask_token.grad.abs().max() > 0


def test_the_windows_are_encoded_once(model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    sizes: list[int] = []
    model.perceiver.read.register_forward_hook(lambda *call: sizes.append(len(call[2])))
    model.perceiver.layers[0]["attention"].register_forward_hook(lambda *call: sizes.append(len(call[2])))
    masked_objective(model, batch, rate=0.5, aux_weight=0.01)
    assert sizes == [6, 12]


def test_collapse_shows(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    healthy = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).eval()
    collapsed = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"]).eval()
    with torch.no_grad():
        collapsed.project.weight.zero_()
    spread = [
        masked_objective(m, batch, rate=0.5, aux_weight=0.01).terms["latent_spread"] for m in (healthy, collapsed)
    ]
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6
    assert latent_spread(torch.tensor([[[0.0]], [[2.0]]])).item() == 1.0


@pytest.mark.parametrize(
    ("n_steps", "rate", "masked"),
    [(16, 0.5, 8), (4, 0.5, 2), (4, 0.01, 1), (4, 0.99, 3), (2, 0.9, 1)],
)
def test_causal_mask_counts_steps(n_steps: int, rate: float, masked: int) -> None:
    mask = causal_mask(n_steps, 3, rate)
    assert mask.tolist() == [False] * (3 * (n_steps - masked)) + [True] * (3 * masked)


def test_one_step_cannot_be_masked() -> None:
    with pytest.raises(ModelError, match="longer window"):
        causal_mask(1, 16, 0.5)


# -- neurons left out ------------------------------------------------------------------------------------------------


def test_dropped_neurons_keep_values_with_their_index(batch: dict[str, Tensor]) -> None:
    batch["values"] = batch["neuron_index"][:, :, None] * torch.ones(6, 5, 24)
    batch["neuron_mask"][:2, 3:] = False
    kept = drop_neurons(batch, 0.6, np.random.default_rng(1))
    assert kept["values"].shape[1] < 5
    assert torch.equal(kept["values"][:, :, 0], kept["neuron_index"].float())
    assert kept["neuron_mask"].any(dim=1).all()
    real = kept["neuron_index"][:2][kept["neuron_mask"][:2]]
    assert int(real.max()) <= 3  # padding never becomes a neuron
    assert len({tuple(row) for row in kept["neuron_index"][2:].tolist()}) > 1  # other neurons for every window


def test_share_left_out_is_uniform_up_to_the_largest() -> None:
    batch = {
        "values": torch.zeros(1, 200, 1),
        "neuron_index": torch.arange(1, 201)[None],
        "neuron_mask": torch.ones(1, 200, dtype=torch.bool),
    }
    rng = np.random.default_rng(0)
    left = np.array([drop_neurons(batch, 0.5, rng)["values"].shape[1] for _ in range(300)]) / 200
    assert left.min() >= 0.5
    assert left.max() > 0.98
    assert left.min() < 0.52
    assert left.mean() == pytest.approx(0.75, abs=0.03)


def test_the_share_is_of_a_windows_own_neurons() -> None:
    size = torch.tensor([100, 20])
    batch = {
        "values": torch.zeros(2, 100, 1),
        "neuron_index": torch.arange(1, 101).repeat(2, 1),
        "neuron_mask": torch.arange(100) < size[:, None],
    }
    left = drop_neurons(batch, 0.9, np.random.default_rng(3))["neuron_mask"].sum(dim=1)
    assert left[0] < 100
    assert left[1] == pytest.approx(left[0] / 5, abs=1)


def test_nothing_is_left_out_at_zero(batch: dict[str, Tensor]) -> None:
    kept = drop_neurons(batch, 0.0, np.random.default_rng(0))
    assert all(kept[name] is batch[name] for name in batch)
