"""The transformer's feed-forward part, which keeps little for the gradient on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from poyodata.models.dropout import Dropout, kept


class FeedForward(nn.Module):
    """LayerNorm, a gated GELU `mult` times as wide, dropout, back to `dim`; without the residual.

    Parameters
    ----------
    dim, mult : int
        Width, and how many times wider the hidden layer is.
    dropout : float
        Probability of leaving out a hidden element.

    Examples
    --------
    >>> FeedForward(8)(torch.zeros(3, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * mult * dim)
        self.dropout = Dropout(dropout)
        self.narrow = nn.Linear(mult * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every position by itself; shapes (..., dim) in and out."""
        wide = self.widen(self.norm(x))
        # A compiler fuses the plain form by itself, and draws masks where its kernel runs.
        if wide.device.type != "cpu" or torch.compiler.is_compiling():
            value, gate = wide.chunk(2, dim=-1)
            hidden = self.dropout(value * functional.gelu(gate))
        else:
            hidden = _Gated.apply(wide, self.dropout.p if self.training else 0.0)  # type: ignore[no-untyped-call]
        return self.narrow(hidden)  # type: ignore[no-any-return]


class _Gated(torch.autograd.Function):
    """``dropout(value * gelu(gate))`` of the two halves of the channels.

    For the gradient it keeps these and a byte for each mask; torch by itself keeps three more arrays of floats.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, wide: Tensor, p: float) -> Tensor:
        value, gate = wide.chunk(2, dim=-1)
        hidden = functional.gelu(gate).mul_(value)
        mask, scale = (None, 1.0) if p == 0 else kept(hidden, p)
        ctx.save_for_backward(wide, mask)  # type: ignore[arg-type]
        ctx.scale = scale  # type: ignore[attr-defined]
        return hidden if mask is None else hidden.mul_(mask.to(hidden.dtype).mul_(scale))

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        wide, mask = ctx.saved_tensors  # type: ignore[attr-defined]
        value, gate = wide.chunk(2, dim=-1)
        if mask is not None:
            gradient = mask.to(gradient.dtype).mul_(ctx.scale).mul_(gradient)  # type: ignore[attr-defined]
        found = torch.empty_like(wide)
        of_value, of_gate = found.chunk(2, dim=-1)
        torch.mul(gradient, functional.gelu(gate), out=of_value)
        of_gate.copy_(torch.ops.aten.gelu_backward(gradient * value, gate))
        return found, None
