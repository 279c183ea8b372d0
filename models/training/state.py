"""The state of an optimiser and of a teacher as named tensors, which a checkpoint can hold without pickling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.teacher import Teacher


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser: ``optimizer.<parameter>.<name>``; a plain number is a float64 under ``.number``.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    >>> weight.grad = torch.ones(2)
    >>> optimizer.step()
    >>> optimizer_tensors(optimizer)
    {'optimizer.0.momentum_buffer': tensor([1., 1.])}
    """
    tensors: dict[str, Tensor] = {}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            elif value is not None:
                tensors[f"optimizer.{number}.{name}.number"] = torch.tensor(value, dtype=torch.float64)
    return tensors


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took; learning rates and decay stay as the optimiser has them.

    Raises
    ------
    ModelError
        If the state is of other parameters.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if not key.startswith("optimizer."):
            continue
        _, number, name, *plain = key.split(".")
        at = int(number)
        if at >= len(params) or (value.ndim and value.shape != params[at].shape):
            raise ModelError(
                f"the checkpoint's optimiser state {key!r} of shape {tuple(value.shape)} belongs to another model; "
                "resume with the checkpoint's own model"
            )
        number_of = value.item() if plain else None
        if number_of is not None and float(number_of).is_integer():
            number_of = int(number_of)
        state.setdefault(at, {})[name] = number_of if plain else value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def teacher_tensors(teacher: Teacher | None) -> dict[str, Tensor]:
    """Weights of a teacher: ``teacher.<name>``; without the names of neurons, which are the model's."""
    if teacher is None:
        return {}
    return {f"teacher.{name}": value for name, value in teacher.model.named_parameters()}


def load_teacher(teacher: Teacher, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`teacher_tensors` took."""
    with torch.no_grad():
        for name, value in teacher.model.named_parameters():
            value.copy_(tensors[f"teacher.{name}"])
