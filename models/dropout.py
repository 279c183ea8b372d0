"""Dropout whose draws are cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 2**16


def dropout(x: Tensor, p: float, *, training: bool = True) -> Tensor:
    """Leave out elements of `x` with a probability of `p` and enlarge the others, so that the mean stays.

    On a CPU `p` is rounded to a multiple of 2 ** -16 and the others are divided by the share that is then kept.

    Parameters
    ----------
    x : Tensor
        Any floating-point numbers.
    p : float
        From 0 to 1.
    training : bool
        Without it `x` is returned as it is.

    Examples
    --------
    >>> sorted(set(dropout(torch.ones(1000), 0.5).tolist()))
    [0.0, 2.0]
    """
    if not training or p == 0:
        return x
    # Elsewhere the kernel of torch draws fast, and a compiler draws its own.
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.dropout(x, p)
    mask, scale = kept(x, p)
    return x * mask.to(x.dtype).mul_(scale)


def kept(x: Tensor, p: float) -> tuple[Tensor, float]:
    """Draw which elements of `x` are kept, a bool of its shape, and by how much they are then enlarged.

    Examples
    --------
    >>> mask, scale = kept(torch.ones(4, 2), 0.5)
    >>> mask.dtype, tuple(mask.shape), scale
    (torch.bool, (4, 2), 2.0)
    """
    levels_left_out = round(p * _LEVELS)
    if levels_left_out == _LEVELS:
        return torch.zeros_like(x, dtype=torch.bool), 1.0
    # One draw of 64 bits for four elements. bernoulli_ asks the generator for every element, slowly enough to be seen
    # in a training step: `python -m tests.benchmarks.models step`.
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    mask = draws.view(torch.int16)[: x.numel()].view(x.shape) >= levels_left_out - _LEVELS // 2
    return mask, _LEVELS / (_LEVELS - levels_left_out)


class Dropout(nn.Module):
    """:func:`dropout` as a layer.

    Parameters
    ----------
    p : float
        Probability of leaving out an element.

    Examples
    --------
    >>> x = torch.ones(3)
    >>> Dropout(0.2).eval()(x) is x
    True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Leave out elements while training."""
        return dropout(x, self.p, training=self.training)

    def extra_repr(self) -> str:
        """What is printed of the layer."""
        return f"p={self.p}"
