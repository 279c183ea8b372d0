"""What the numbers of tasks are normalised by, where nobody said: their mean and spread in the training windows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import torch

from poyodata.errors import ModelError
from poyodata.loaders.loader import Loader
from poyodata.models.config import PoyoConfig
from poyodata.models.multitask import known_answers, normalised
from poyodata.models.tasks import Task

_AT_ONCE = 4096
"""Windows whose targets are read together."""


def with_scales(config: PoyoConfig, loader: Loader, learnt: Collection[str] = ()) -> PoyoConfig:
    """Give the numbers of every task a scale: its own, or that of the training windows.

    Parameters
    ----------
    config : PoyoConfig
    loader : Loader
        Of the training windows, with the targets of the tasks.
    learnt : collection of str
        Tasks whose readouts have learnt before: on the scale that they have, or on none.

    Raises
    ------
    ModelError
        No training window has an answer to a task that has no scale, or the target gives another count of numbers.
    """
    lacking = [task for task in config.make_tasks() if task.kind == "value" and not task.std]
    found = {task.name: _scale(task, loader) for task in lacking if task.name not in learnt}
    return config.model_copy(update={"scales": {**config.scales, **found}}) if found else config


def _scale(task: Task, loader: Loader) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of each number of a task; of one that is always the same, 1 for the latter."""
    values = _answers(task, loader)
    if not len(values):
        raise ModelError(
            f"no training window has an answer to task {task.name!r} ({', '.join(task.columns)}), so that it has no "
            "scale and nothing can be learnt; take it out of model.tasks, or choose recordings that have it."
        )
    constant = values.min(axis=0) == values.max(axis=0)
    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    return tuple(zip(mean.tolist(), np.where(constant, 1.0, std).tolist(), strict=True))


def _answers(task: Task, loader: Loader) -> npt.NDArray[np.float32]:
    """All known answers, shape (answer, number)."""
    targets = [target for target in loader.targets if set(task.columns) & set(target.columns)]
    windows, found = loader.windows, [np.empty((0, task.n_outputs), np.float32)]
    for first in range(0, len(windows), _AT_ONCE):
        located = windows.locate(np.arange(first, min(first + _AT_ONCE, len(windows))))
        read = {name: part for target in targets for name, part in target.of(located).items()}
        own = {name for name in read if name.removesuffix("_blank") in task.columns}
        batch = {name: torch.from_numpy(read[name]) for name in own}
        numbers = normalised(task, batch)
        if numbers.ndim < 2 or numbers.shape[-1] != task.n_outputs:
            given = " and ".join(f"{name} in shape {tuple(batch[name].shape)}" for name in task.columns)
            raise ModelError(
                f"task {task.name!r} is of {task.n_outputs} numbers, and the loader gives {given}; let the target and "
                "the task (model.n_outputs, layout) agree."
            )
        found.append(numbers[known_answers(task, batch)].numpy())
    return np.concatenate(found)
