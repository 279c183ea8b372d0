"""The gated feed-forward part against its formula, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from poyodata.models.feed_forward import FeedForward


def by_formula(layer: FeedForward, x: Tensor) -> Tensor:
    normed = functional.layer_norm(x, x.shape[-1:], layer.norm.weight, layer.norm.bias)
    wide = normed @ layer.widen.weight.T + layer.widen.bias
    value, gate = wide.chunk(2, dim=-1)
    return layer.dropout(value * functional.gelu(gate)) @ layer.narrow.weight.T + layer.narrow.bias


@pytest.mark.parametrize("dropout", [0.0, 0.2, 0.4, 1.0])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6), (0, 6)], ids=str)
def test_formula_and_gradients(dropout: float, training: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    layer = FeedForward(6, mult=4, dropout=dropout).train(training)
    x = torch.randn(shape, requires_grad=True)
    found = []
    for form in (layer, lambda x: by_formula(layer, x)):
        torch.manual_seed(4)  # the same masks
        answer = form(x)
        found.append((answer, *torch.autograd.grad((answer**2).sum(), (x, *layer.parameters()))))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_permuted_rows() -> None:
    torch.manual_seed(5)
    layer, x = FeedForward(6), torch.randn(2, 3, 6)
    torch.testing.assert_close(layer(x.transpose(0, 1)), layer(x).transpose(0, 1))


def test_gradients_are_those_of_differences_and_so_are_theirs() -> None:
    torch.manual_seed(6)
    layer, x = FeedForward(4).double(), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_function_transforms() -> None:
    torch.manual_seed(7)
    layer, x = FeedForward(4), torch.randn(3, 4)
    rows = torch.func.vmap(layer)(x)
    torch.testing.assert_close(rows, layer(x))
    jacobian = torch.func.jacrev(layer)(x[0])
    expected = torch.autograd.functional.jacobian(lambda one: by_formula(layer, one), x[0])
    torch.testing.assert_close(jacobian, expected)
    torch.testing.assert_close(torch.autograd.functional.jacobian(layer, x[0], vectorize=True), expected)


def test_autocast_keeps_its_dtype() -> None:
    layer = FeedForward(6, dropout=0.2)
    with torch.autocast("cpu", torch.bfloat16):
        answer = layer(torch.randn(5, 6))
    assert answer.dtype == torch.bfloat16
    answer.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_keeps_two_arrays_and_a_byte_for_each_mask() -> None:
    """Bytes that torch keeps for the gradient beside parameters."""
    layer, rows = FeedForward(6, mult=4, dropout=0.2), 1000
    own = {p.data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        layer(torch.randn(rows, 6))
    # Input, its norm, mean and spread of every row; both halves of the hidden layer, what is narrowed, and the mask.
    expected = rows * (4 * (6 + 6 + 2 + 48 + 24) + 24)
    assert sum(kept.values()) <= expected + 64
