"""The transformer's feed-forward part, which keeps little for the gradient on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.models.dropout import Dropout, enlarged, kept


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
        p = self.dropout.p if self.training else 0.0
        # A compiler fuses the plain form by itself, and draws masks where its kernel runs.
        if wide.device.type != "cpu" or torch.compiler.is_compiling():
            value, gate = wide.chunk(2, dim=-1)
            hidden = self.dropout(value * functional.gelu(gate))
        else:
            mask = None if p == 0 else kept((*wide.shape[:-1], wide.shape[-1] // 2), p, wide.device)
            hidden = _Gated.apply(wide, mask, enlarged(p))  # type: ignore[no-untyped-call]
        return self.narrow(hidden)  # type: ignore[no-any-return]


class _Gated(torch.autograd.Function):
    """``value * gelu(gate)`` of the two halves of the channels, masked and enlarged.

    For the gradient it keeps these and a byte for each mask; torch by itself keeps floats for the mask, and what the
    GELU made.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(wide: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        value, gate = wide.chunk(2, dim=-1)
        hidden = functional.gelu(gate).mul_(value)
        return hidden if mask is None else hidden.mul_(mask.to(hidden.dtype).mul_(scale))

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor | None, float], _: Tensor
    ) -> None:
        wide, mask, ctx.scale = inputs  # type: ignore[attr-defined]
        ctx.save_for_backward(wide, mask)  # type: ignore[arg-type]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Of operations that can be differentiated themselves: a gradient's gradient runs through here.
        wide, mask = ctx.saved_tensors  # type: ignore[attr-defined]
        value, gate = wide.chunk(2, dim=-1)
        if mask is not None:
            gradient = gradient * mask.to(gradient.dtype).mul_(ctx.scale)  # type: ignore[attr-defined]
        of_gate = torch.ops.aten.gelu_backward(gradient * value, gate)
        return torch.cat((gradient * functional.gelu(gate), of_gate), dim=-1), None, None
