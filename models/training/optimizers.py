"""What changes the weights at every step: the optimiser that the settings ask for, and its learning rate."""

from __future__ import annotations

import torch
from torch import nn

from poyodata.models.parameter_groups import parameter_groups
from poyodata.models.schedules import rate, released_beta1
from poyodata.models.training.config import TrainConfig


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
    groups = parameter_groups(model, config.weight_decay, decay=decay)
    if config.optimizer == "lamb":
        from poyodata.models.lamb import Lamb

        return Lamb(groups, lr=config.lr)
    # One kernel over all parameters: at 1.2 M of them on one CPU core 3 ms a step, against 15 in a loop.
    return torch.optim.AdamW(groups, lr=config.lr, fused=device.type in ("cpu", "cuda") or None)


def set_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Give the parameters the learning rate of a step; plain numbers, so that nothing waits for the device.

    The schedule of the released code moves LAMB's first beta as well, as its ``OneCycleLR`` does.
    """
    for group in optimizer.param_groups:
        group["lr"] = config.lr * learning_rate(step, config)
        if config.optimizer == "lamb" and config.schedule == "released":
            group["betas"] = (released_beta1(step, config.steps), group["betas"][1])
