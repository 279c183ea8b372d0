"""LAMB: Adam whose step is as long, for every tensor, as that tensor's own weights allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from poyodata.errors import ModelError


class Lamb(torch.optim.Optimizer):
    """LAMB without bias correction, as the paper's library has it.

    For a tensor w with gradient g::

        m = b1 m + (1 - b1) g            v = b2 v + (1 - b2) g^2
        u = m / (sqrt(v) + eps) + weight_decay w
        w = w - lr min(|w|, clamp) / |u| u

    with norms over the whole tensor; the ratio of the norms is 1 where either is 0.

    Parameters
    ----------
    params : iterable of Tensor or of groups
        What is trained. A group may have ``sparse_rows: True``, for tables of embeddings of which a batch meets few
        rows: rows without gradient keep their weights and both their moments, as if the step had not been. Norms are
        still over the table, in which the rows that rest add nothing to ``|u|``.
    lr : float
        Learning rate.
    betas : tuple of float
        Of the moments.
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Share of the weights in the direction of the step.
    clamp : float
        Largest norm of weights that counts.

    Raises
    ------
    ModelError
        If a setting is out of range, or a gradient is a sparse tensor.

    Notes
    -----
    The published sparse variant (``SparseLamb`` of the released code, ``kirby/optim.py:123-135``) sets the moments of
    resting rows to 0, so that a neuron forgets its history whenever a batch does not hold it. Not reproduced.
    Nothing here asks the device for a number, so that no step waits.

    References
    ----------
    You et al., Large batch optimization for deep learning: training BERT in 76 minutes, 2020.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> weight.grad = torch.tensor([1.0, 1.0])
    >>> Lamb([weight], lr=0.1).step()
    >>> [round(x, 4) for x in weight.tolist()]
    [2.6464, 3.6464]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        clamp: float = 10.0,
    ) -> None:
        in_range = (
            ("lr", lr, lr >= 0),
            ("betas", betas, all(0 <= beta < 1 for beta in betas)),
            ("eps", eps, eps >= 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
            ("clamp", clamp, clamp > 0),
        )
        for name, value, good in in_range:
            if not good:
                raise ModelError(f"Lamb: {name}={value} is out of range; betas lie in [0, 1), the rest is not negative")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "clamp": clamp,
            "sparse_rows": False,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the weights by one step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew, and gradients with it.

        Returns
        -------
        What `closure` returned, if there is one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            if group["sparse_rows"]:
                for weight in weights:
                    self._step_rows(weight, group)
            else:
                self._step_whole(weights, group)
        return loss

    def _step_whole(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [_dense(weight) for weight in weights]
        firsts, seconds = map(list, zip(*(self._moments(weight) for weight in weights), strict=True))
        b1, b2 = group["betas"]
        torch._foreach_mul_(firsts, b1)
        torch._foreach_add_(firsts, gradients, alpha=1 - b1)
        torch._foreach_mul_(seconds, b2)
        torch._foreach_addcmul_(seconds, gradients, gradients, value=1 - b2)
        roots = torch._foreach_sqrt(seconds)
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(firsts, roots)
        if group["weight_decay"]:
            torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
        sizes = zip(torch._foreach_norm(weights), torch._foreach_norm(updates), strict=True)
        steps = [-group["lr"] * _trust(weight, update, group["clamp"]) for weight, update in sizes]
        for weight, update, step in zip(weights, updates, steps, strict=True):
            weight.addcmul_(update, step)

    def _step_rows(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient, (first, second) = _dense(weight), self._moments(weight)
        b1, b2 = group["betas"]
        met = (gradient != 0).flatten(1).any(dim=1).reshape(-1, *[1] * (weight.ndim - 1))
        first.copy_(torch.where(met, b1 * first + (1 - b1) * gradient, first))
        second.copy_(torch.where(met, b2 * second + (1 - b2) * gradient.square(), second))
        update = first / (second.sqrt() + group["eps"]) + group["weight_decay"] * weight
        # Not a product with the mask: 0 / 0 of a row never met, were eps 0, must not spread.
        update = torch.where(met, update, 0.0)
        step = -group["lr"] * _trust(torch.linalg.vector_norm(weight), torch.linalg.vector_norm(update), group["clamp"])
        weight.addcmul_(update, step)

    def _moments(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        state = self.state[weight]
        if not state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        return state["exp_avg"], state["exp_avg_sq"]


def _dense(weight: Tensor) -> Tensor:
    gradient = weight.grad
    if gradient is None or gradient.is_sparse:
        raise ModelError("Lamb takes dense gradients only; make the embedding with sparse=False")
    return gradient


def _trust(weight: Tensor, update: Tensor, clamp: float) -> Tensor:
    """How far to go along an update, from the norms of weights and update."""
    known = (weight > 0) & (update > 0)
    return torch.where(known, weight.clamp(max=clamp) / torch.where(known, update, 1.0), 1.0)
