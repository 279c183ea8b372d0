"""What changes the weights at every step: the optimiser that the settings ask for, and its learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from poyodata.models.parameter_groups import parameter_groups
from poyodata.models.schedules import rate, released_beta1
from poyodata.models.training.config import TrainConfig

TABLES = ("units", "sessions")
"""Tables of embeddings, of which a batch meets few rows."""


class AdamW(torch.optim.AdamW):
    """AdamW that decays, in groups with ``sparse_rows``, only the rows that a step has a gradient for.

    A table holds rows of neurons that no batch of this stage shows: decayed at every step, they would be forgotten.

    Examples
    --------
    >>> table = nn.Parameter(torch.ones(2, 1))
    >>> table.grad = torch.tensor([[1.0], [0.0]])
    >>> AdamW([{"params": [table], "sparse_rows": True}], lr=0.1, weight_decay=0.5).step()
    >>> [round(x, 4) for x in table.flatten().tolist()]
    [0.85, 1.0]
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the weights by one step; as `torch.optim.AdamW.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rows = [group for group in self.param_groups if group.get("sparse_rows") and group["weight_decay"]]
        decays = [group["weight_decay"] for group in rows]
        for group, decay in zip(rows, decays, strict=True):
            for table in group["params"]:
                if table.grad is not None:
                    met = (table.grad != 0).flatten(1).any(dim=1)
                    shrunk = torch.where(met, 1 - group["lr"] * decay, 1.0).to(table.dtype)
                    table.mul_(shrunk.reshape(-1, *[1] * (table.ndim - 1)))
            group["weight_decay"] = 0.0
        try:
            super().step()
        finally:
            for group, decay in zip(rows, decays, strict=True):
                group["weight_decay"] = decay
        return loss


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0) as a share of the peak.

    Examples
    --------
    >>> config = TrainConfig(steps=100, warmup=0.1)
    >>> [round(learning_rate(step, config), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    return rate(step, config.schedule, config.steps, warmup=config.warmup)


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimiser of all parameters of `model` that take gradients.

    Examples
    --------
    >>> optimizer = optimizer_of(nn.LayerNorm(3), TrainConfig())
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.0]
    """
    device = next(model.parameters()).device
    # Rows of neurons that no batch showed stay as they are when only rows are trained.
    decay = "weights" if config.trains == "identification" else config.decay
    tables = [name for name, _ in model.named_parameters() if name in TABLES]
    groups = parameter_groups(model, config.weight_decay, decay=decay, tables=tables, sparse_rows=True)
    if config.optimizer == "lamb":
        from poyodata.models.lamb import Lamb

        return Lamb(groups, lr=config.lr)
    # One kernel over all parameters: at 1.2 M of them on one CPU core 3 ms a step, against 15 in a loop.
    return AdamW(groups, lr=config.lr, fused=device.type in ("cpu", "cuda") or None)


def set_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Give the parameters the learning rate of a step; plain numbers, so that nothing waits for the device.

    The schedule of the released code moves LAMB's first beta as well, as its ``OneCycleLR`` does.
    """
    for group in optimizer.param_groups:
        group["lr"] = config.lr * learning_rate(step, config)
        if config.optimizer == "lamb" and config.schedule == "released":
            group["betas"] = (released_beta1(step, config.steps), group["betas"][1])
