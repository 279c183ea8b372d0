"""Dropout by cheap draws: shares, scale, gradient, seeds."""

from __future__ import annotations

import math

import pytest
import torch

from poyodata.models.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.2, 0.4, 0.5, 0.9, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_share_scale_and_gradient(p: float, dtype: torch.dtype) -> None:
    n = 200_001  # no multiple of the four elements that share a draw
    x = torch.ones(n, dtype=dtype, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = dropout(x, p)
    assert dropped.dtype == dtype
    share = (dropped != 0).double().mean().item()
    assert share == pytest.approx(1 - p, abs=5 * math.sqrt(p * (1 - p) / n))
    kept_share = 1 - round(p * 2**16) / 2**16
    assert set(dropped.tolist()) == {0.0, torch.tensor(1 / kept_share, dtype=dtype).item()}
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped.detach())


def test_every_place_is_drawn_by_itself() -> None:
    # The four elements of a draw of 64 bits: each kept as often as the others, and pairs as often as chance has it.
    n = 50_000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        kept = (dropout(torch.ones(n, 4), 0.4) != 0).double()
    together = kept.T @ kept / n
    expected = torch.full((4, 4), 0.36, dtype=torch.float64).fill_diagonal_(0.6)
    assert (together - expected).abs().max() < 5 * 0.5 / math.sqrt(n)


def test_seeds_repeat_and_draws_differ() -> None:
    x = torch.ones(3, 50)
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            drawn.append((dropout(x, 0.3), dropout(x, 0.3)))
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0][0], drawn[2][0])


@pytest.mark.parametrize(
    ("p", "training"),
    [pytest.param(0.0, True, id="nothing"), pytest.param(0.5, False, id="evaluation")],
)
def test_is_free_where_nothing_is_left_out(p: float, training: bool) -> None:
    x = torch.ones(7)
    before = torch.get_rng_state()
    assert dropout(x, p, training=training) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (), (1,), (3, 5)])
def test_shapes(shape: tuple[int, ...]) -> None:
    with torch.random.fork_rng(devices=[]):
        assert dropout(torch.ones(shape), 0.5).shape == shape
        assert not dropout(torch.ones(shape), 1.0).any()
        assert (
            dropout(torch.ones(4, *shape).transpose(0, -1), 0.5).shape == torch.ones(4, *shape).transpose(0, -1).shape
        )


def test_layer_drops_while_training_alone() -> None:
    layer = Dropout(0.5)
    x = torch.ones(1000)
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(layer(x), x)
    assert layer.eval()(x) is x
    assert repr(layer) == "Dropout(p=0.5)"
