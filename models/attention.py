"""Attention to something long that need not be there as a whole.

Thousands of tokens (every neuron at every moment) are read by a few latents. Their keys and values, and the gradients
of both, are the largest arrays of a training step; on a CPU, asking the system for that memory anew at every step costs
more than filling it. Here they are made, attended to and let go some moments at a time, and made again for the
gradient: what a step needs does not grow with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from poyodata.errors import ModelError

Parts = tuple[Tensor | None, ...]
KeysValues = Callable[..., tuple[Tensor, Tensor]]

PIECE_BYTES = 8 * 2**20
"""Keys and values that are there at a time: what caches hold beside their gradients, and malloc takes from its own."""


class Context(NamedTuple):
    """What is attended to: at every one of some moments the same rows, of a width.

    Attributes
    ----------
    make : callable
        ``make(at, *parts)`` gives the moments in the slice `at`, shape (moment, row, batch, dim).
    parts : tuple of Tensor or None
        All tensors that it is made of: gradients reach these, and nothing else.
    n_moments, n_rows : int
        How many there are.

    Examples
    --------
    >>> context = Context.of(torch.zeros(2, 57, 200, 8))
    >>> context.make(slice(0, 5), *context.parts).shape
    torch.Size([5, 200, 2, 8])
    """

    make: Callable[..., Tensor]
    parts: Parts
    n_moments: int
    n_rows: int

    @classmethod
    def of(cls, x: Tensor) -> Context:
        """Take a tensor as it is, shape (batch, moment, row, dim)."""
        return cls(lambda at, x: x[:, at].permute(1, 2, 0, 3), (x,), x.shape[1], x.shape[2])

    def whole(self) -> Tensor:
        """All of it, shape (batch, moment, row, dim)."""
        return self.make(slice(None), *self.parts).permute(2, 0, 1, 3)


def attend(q: Tensor, context: Context, keys_values: KeysValues, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention to a context.

    Parameters
    ----------
    q : Tensor, shape (batch, head, query, channel)
        What asks.
    context : Context
        What answers; its ``make`` is not called here.
    keys_values : callable
        ``keys_values(at, *context.parts)`` gives keys and values of the moments in the slice `at`, each of shape
        (batch, head, moment * row, channel).
    mask : Tensor, shape (batch, moment, row), bool, optional
        True for what is there. A query to which nothing is shown takes 0.
    dropout : float
        Probability of leaving out an attention weight.

    Returns
    -------
    Tensor, shape (batch, head, query, channel)
    """
    length = _piece_length(q, context) if _can_be_cut(q, dropout) else context.n_moments
    if length < context.n_moments:
        pieces = [slice(i, i + length) for i in range(0, context.n_moments, length)]
        return _InPieces.apply(q, mask, keys_values, pieces, *context.parts)  # type: ignore[no-any-return, no-untyped-call]
    k, v = keys_values(slice(None), *context.parts)
    shown = None if mask is None else mask.flatten(1)[:, None, None, :]
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=shown, dropout_p=dropout)


def _can_be_cut(q: Tensor, dropout: float) -> bool:
    """Whether the kernel for CPUs would be taken, which also tells how much a piece weighs in the whole."""
    # On a GPU memory is not given back to the system in between, and recomputing is not free. Compilers, autocast and
    # function transforms would have to be told of what happens in the backward pass.
    if torch.compiler.is_compiling():  # before all others, which a compiler cannot look into
        return False
    return (
        q.device.type == "cpu"
        and dropout == 0
        and q.dtype in (torch.float32, torch.float64)
        and torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]  # on all devices
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def _piece_length(q: Tensor, context: Context) -> int:
    """Moments of a piece: the longest is one moment, or has at most `PIECE_BYTES` of keys and values."""
    batch, heads, _, channels = q.shape
    a_moment = 2 * context.n_rows * batch * heads * channels * q.element_size()
    longest = max(1, PIECE_BYTES // max(1, a_moment))
    n_pieces = math.ceil(context.n_moments / longest)
    return max(1, math.ceil(context.n_moments / max(1, n_pieces)))


class _InPieces(torch.autograd.Function):
    """As `attend`, piece by piece; equal to it but for rounding."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        q: Tensor,
        mask: Tensor | None,
        keys_values: KeysValues,
        pieces: list[slice],
        *parts: Tensor | None,
    ) -> Tensor:
        # The logarithm of the sum of exp(scores), by which pieces are weighed, is known to this operator alone.
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        q = _dense(q)
        taken, weight = torch.zeros_like(q), q.new_full(q.shape[:3], -math.inf)
        for at in pieces:
            k, v = (_dense(each) for each in keys_values(at, *parts))
            more, its_weight = kernel(q, k, v, attn_mask=_shown(mask, at, q.dtype))
            if mask is not None:  # the operator says 0 of windows that have nothing in this piece
                its_weight = its_weight.masked_fill(~mask[:, at].flatten(1).any(dim=1)[:, None, None], -math.inf)
            both = torch.logaddexp(weight, its_weight)
            for each, share in ((taken, weight), (more, its_weight)):
                each.mul_((share - both).exp().nan_to_num_()[..., None])  # NaN: neither has anything
            taken, weight = taken.add_(more), both
        ctx.save_for_backward(q, mask, taken, weight.masked_fill(weight == -math.inf, 0.0), *parts)  # type: ignore[arg-type]
        ctx.keys_values, ctx.pieces = keys_values, pieces  # type: ignore[attr-defined]
        return taken

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            # `once_differentiable` would say so in `Tensor.backward` alone, and be pruned from `autograd.grad`.
            raise ModelError(
                "a gradient of a gradient was asked for, which torch's attention kernel for CPUs does not have; put "
                "the forward pass under torch.nn.attention.sdpa_kernel(SDPBackend.MATH)"
            )
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        q, mask, taken, weight, *kept = ctx.saved_tensors  # type: ignore[attr-defined]
        wanted = ctx.needs_input_grad[4:]  # type: ignore[attr-defined]
        parts = [part.detach().requires_grad_() if want else part for part, want in zip(kept, wanted, strict=True)]
        asked = [part for part, want in zip(parts, wanted, strict=True) if want]
        of_q, sums = torch.zeros_like(q), [torch.zeros_like(part) for part in asked]
        for at in ctx.pieces:  # type: ignore[attr-defined]
            with torch.enable_grad(), torch.autocast("cpu", enabled=False):  # as they were made before
                k, v = (_dense(each) for each in ctx.keys_values(at, *parts))  # type: ignore[attr-defined]
            more, of_k, of_v = kernel(
                gradient, q, k.detach(), v.detach(), taken, weight, 0.0, False, attn_mask=_shown(mask, at, q.dtype)
            )
            of_q += more
            if asked:
                for total, one in zip(sums, torch.autograd.grad((k, v), asked, (of_k, of_v)), strict=True):
                    total += one
        found = iter(sums)
        return of_q, None, None, None, *(next(found) if want else None for want in wanted)


def _dense(x: Tensor) -> Tensor:
    """With channels beside each other, as the operators take for granted."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _shown(mask: Tensor | None, at: slice, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores of a piece, shape (batch, 1, 1, moment * row): 0, or -inf for what is not there."""
    if mask is None:
        return None
    hidden = ~mask[:, at].flatten(1)[:, None, None, :]
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -math.inf)
