"""Dropout whose draws are cheap on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    return x * kept(x.shape, p, x.device).to(x.dtype).mul_(enlarged(p))


def kept(shape: Sequence[int], p: float, device: torch.device) -> Tensor:
    """Draw which elements of an array of a shape are kept, as a bool of that shape.

    Examples
    --------
    >>> mask = kept((4, 2), 0.5, torch.device("cpu"))
    >>> mask.dtype, tuple(mask.shape)
    (torch.bool, (4, 2))
    """
    levels_left_out, n = round(p * _LEVELS), math.prod(shape)
    if levels_left_out == _LEVELS:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    # One draw of 64 bits for four elements. bernoulli_ asks the generator for every element, slowly enough to be seen
    # in a training step: `python -m tests.benchmarks.models step`.
    draws = torch.empty((n + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    return draws.view(torch.int16)[:n].view(shape) >= levels_left_out - _LEVELS // 2


def enlarged(p: float) -> float:
    """By how much the elements that :func:`kept` keeps are enlarged.

    Examples
    --------
    >>> enlarged(0.5)
    2.0
    """
    levels_left_out = round(p * _LEVELS)
    return 1.0 if levels_left_out == _LEVELS else _LEVELS / (_LEVELS - levels_left_out)


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
