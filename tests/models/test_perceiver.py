"""Rotary time, attention and the published parameter count."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from poyodata.models.attention import Context
from poyodata.models.perceiver import (
    CrossAttention,
    Perceiver,
    Rotation,
    SelfAttention,
    rotate,
    rotation,
)


@pytest.mark.parametrize(
    ("dim", "expected"), [pytest.param(64, 1_269_120, id="1.3M"), pytest.param(128, 3_324_672, id="dim-128")]
)
def test_parameter_counts_of_the_reference(dim: int, expected: int) -> None:
    model = Perceiver(dim=dim, context_dim=2 * dim, dim_head=64, depth=6, cross_heads=2, self_heads=8)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_rotation_periods_are_geometric_and_exclude_the_longest() -> None:
    # At the time of a full period the angle is a full turn: periods 1e-4 * 4e4 ** (i / 16) for heads of 64 channels.
    periods = 1e-4 * 4e4 ** (np.arange(16) / 16)
    assert periods[-1] == pytest.approx(2.0627, abs=1e-4)
    for i, period in enumerate(periods):
        found = rotation(torch.tensor([period / 4], dtype=torch.float64), 64, 1e-4, 4.0)
        assert found.cos[0, i].item() == pytest.approx(0.0, abs=1e-6)
        assert found.sin[0, i].item() == pytest.approx(1.0, abs=1e-6)


def test_rotated_products_depend_on_time_differences_only() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, 32), torch.randn(1, 32)

    def product(t_q: float, t_k: float) -> float:
        turns = [rotation(torch.tensor([t]), 32, 0.3, 4.0) for t in (t_q, t_k)]
        return (rotate(q, turns[0]) * rotate(k, turns[1])).sum().item()

    assert product(0.2, 0.9) == pytest.approx(product(1.3, 2.0), abs=1e-4)
    assert abs(product(0.2, 0.9) - product(0.2, 1.4)) > 1e-2


def test_half_of_the_channels_stay() -> None:
    x = torch.randn(3, 16)
    turned = rotate(x, rotation(torch.tensor([0.1, 0.2, 0.3]), 16, 0.1, 4.0))
    assert torch.equal(turned[:, 8:], x[:, 8:])
    assert not torch.allclose(turned[:, :8], x[:, :8], atol=1e-2)


def _attend_by_hand(
    layer: CrossAttention, query: torch.Tensor, context: torch.Tensor, t_q: torch.Tensor, t_k: torch.Tensor, head: int
) -> torch.Tensor:
    """Attention of one head by explicit turns of every key and value, for one batch element, without a kernel."""
    dim_head = layer.to_q.out_features // layer.heads
    rows = slice(head * dim_head, (head + 1) * dim_head)
    wk, wv = layer.to_kv.weight.chunk(2)
    neurons = context.shape[1]
    x = layer.norm_context(context).flatten(0, 1)
    turn_k = rotation(t_k.repeat_interleave(neurons), dim_head, 0.3, 4.0)
    turn_q = rotation(t_q, dim_head, 0.3, 4.0)
    q = rotate(layer.norm(query) @ layer.to_q.weight[rows].T, turn_q)
    k = rotate(x @ wk[rows].T, turn_k)
    v = x @ wv[rows].T
    v = rotate(v, turn_k) if layer.rotate_values else v
    weights = torch.softmax(q @ k.T / math.sqrt(dim_head), dim=-1)
    taken = weights @ v
    return rotate(taken, turn_q, back=True) if layer.rotate_values else taken


@pytest.mark.parametrize("rotate_values", [True, False], ids=["encoder", "decoder"])
def test_cross_attention_equals_the_explicit_form(rotate_values: bool) -> None:
    torch.manual_seed(1)
    layer = CrossAttention(dim=12, context_dim=10, heads=2, dim_head=8, rotate_values=rotate_values)
    query, context = torch.randn(2, 3, 12), torch.randn(2, 4, 5, 10)
    t_q, t_k = torch.tensor([0.1, 0.4, 0.9]), torch.tensor([0.2, 0.5, 0.8, 1.1])
    found = layer(query, Context.of(context), rotation(t_q, 8, 0.3, 4.0), rotation(t_k, 8, 0.3, 4.0))
    for b in range(2):
        taken = torch.cat([_attend_by_hand(layer, query[b], context[b], t_q, t_k, head) for head in (0, 1)], dim=-1)
        torch.testing.assert_close(found[b], layer.to_out(taken), atol=1e-5, rtol=1e-5)


def test_self_attention_is_cross_attention_with_itself() -> None:
    torch.manual_seed(2)
    own = SelfAttention(dim=12, heads=2, dim_head=8)
    cross = CrossAttention(dim=12, context_dim=12, heads=2, dim_head=8, rotate_values=True)
    with torch.no_grad():
        q, k, v = own.to_qkv.weight.chunk(3)
        cross.to_q.weight.copy_(q)
        cross.to_kv.weight.copy_(torch.cat((k, v)))
        cross.to_out.load_state_dict(own.to_out.state_dict())
    x = torch.randn(2, 6, 12)
    times = rotation(torch.arange(6) * 0.125, 8, 0.3, 4.0)
    torch.testing.assert_close(
        own(x.transpose(0, 1), times).transpose(0, 1),
        cross(x, Context.of(x[:, :, None]), times, times),
        atol=1e-5,
        rtol=1e-5,
    )


def test_angles_keep_their_phase_at_the_shortest_period() -> None:
    # In float32, 60 s over 0.1 ms would have lost the phase altogether.
    found: Rotation = rotation(torch.tensor([60.0 + 0.25e-4], dtype=torch.float64), 64, 1e-4, 4.0)
    assert found.sin[0, 0].item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("rotate_values", [True, False], ids=["encoder", "decoder"])
def test_weights_are_those_of_the_explicit_form(rotate_values: bool) -> None:
    torch.manual_seed(4)
    layer = CrossAttention(dim=12, context_dim=10, heads=2, dim_head=8, rotate_values=rotate_values)
    query, context = torch.randn(2, 3, 12), torch.randn(2, 4, 5, 10)
    times = rotation(torch.tensor([0.1, 0.4, 0.9]), 8, 0.3, 4.0), rotation(torch.arange(4) * 0.3, 8, 0.3, 4.0)
    mask = torch.ones(2, 4, 5, dtype=torch.bool)
    mask[0, 1:, 2] = False
    found = layer.weights(query, Context.of(context), *times, mask)
    assert found.shape == (2, 2, 3, 20)
    assert not found.unflatten(-1, (4, 5))[0, :, :, 1:, 2].any()
    _, v = layer.keys_values(Context.of(context), times[1])
    taken = found @ v
    taken = rotate(taken, times[0], back=True) if rotate_values else taken
    expected = layer.to_out(taken.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(query, Context.of(context), *times, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_attention_dropout_is_right_on_average_and_off_in_evaluation(kind: str) -> None:
    # Leaving out some weights and enlarging the others keeps the mean, as attention is linear in its weights.
    n_draws = 4_000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        times = rotation(torch.arange(4) * 0.3, 8, 0.3, 4.0)
        x = torch.randn(1, 4, 12)
        cross = CrossAttention(12, 12, 2, 8, dropout=0.2, rotate_values=True)
        own = SelfAttention(12, 2, 8, dropout=0.2)

        def attend(x: torch.Tensor) -> torch.Tensor:
            return (
                own(x.transpose(0, 1), times).transpose(0, 1)
                if kind == "self"
                else cross(x, Context.of(x[:, :, None]), times, times)
            )

        own.eval()
        cross.eval()
        still = attend(x)
        assert torch.equal(still, attend(x))
        own.train()
        cross.train()
        drawn = attend(x.expand(n_draws, -1, -1))
    error = drawn.std(dim=0) / n_draws**0.5
    assert error.min() > 0  # something was left out
    assert ((drawn.mean(dim=0) - still[0]).abs() < 5 * error).all()
