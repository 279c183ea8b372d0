"""What every answer of a model costs: classes, values and pictures, with weights, where a batch has the truth.

Losses live outside the models. A loss is a number with the terms it was made from, so that a run can show them.
Missing answers are weighed 0 rather than left out: shapes never depend on the data, so that no step waits for the
device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from poyodata.errors import ModelError
from poyodata.models import image_losses
from poyodata.models.tasks import Task

UNLABELLED = -1
"""Class of blank sweeps and of windows without a label."""


Sums = Mapping[str, Mapping[str, float]]
"""Terms that are sums of others: name, and what each of the others is multiplied by."""


class Loss(NamedTuple):
    """A loss to go down, and the terms to look at (detached, by name).

    ``sums`` says how ``loss``, and terms before it, are made of terms: what is put together over many batches is put
    together term by term, because batches differ in how many answers they know. Empty where they are no such sum.
    """

    total: Tensor
    terms: dict[str, Tensor]
    sums: Sums = MappingProxyType({})


PictureLoss = Callable[[Tensor, Tensor], image_losses.ImageLoss]
"""What pictures (image, height, width) in [0, 1] cost beside true ones; those whose truth is NaN must not count."""

Per = Literal["mean", "windows"]


def tasks_in(batch: Mapping[str, Tensor], tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Tasks of which a batch has all columns.

    Examples
    --------
    >>> from poyodata.models.tasks import make_tasks
    >>> [task.name for task in tasks_in({"running": torch.zeros(2)}, make_tasks(("direction", "running")))]
    ['running']
    """
    return tuple(task for task in tasks if all(column in batch for column in task.columns))


def multitask_loss(
    outputs: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    tasks: Sequence[Task],
    *,
    label_smoothing: float = 0.0,
    image_loss: PictureLoss = image_losses.image_loss,
    per: Per = "mean",
) -> Loss:
    """Sum over tasks of weight times loss, each loss the mean over the answers that are known.

    Classes cost their cross-entropy, values their squared error in units of the task's ``std``, pictures what
    `image_loss` says. Class -1, ``<column>_blank`` and NaN mark answers that are not known; a task with none in the
    batch costs 0, and one whose columns the batch lacks is left out.

    Parameters
    ----------
    outputs : mapping of str to Tensor
        By task: logits (batch, class), values (batch, value) in units of ``std`` from ``mean``, or pictures (batch,
        height, width); with a time dimension after the batch where the task is at frames.
    batch : mapping of str to Tensor
        With the columns of the tasks.
    tasks : sequence of Task
        What is asked; those without an output are left out.
    label_smoothing : float
        Share of the target spread over all classes.
    image_loss : callable, optional
        What pictures cost; by default the published sum of terms.
    per : {"mean", "windows"}
        ``windows``: each task's loss is multiplied by the number of windows with a known answer, as in the released
        code; steps then depend on the size of the batch wherever the optimiser's do on that of the gradient.

    Returns
    -------
    Loss
        With terms ``<task>`` (unweighted) and ``<task>_count`` (known answers, int64); of pictures also
        ``<task>_<term>``.

    Raises
    ------
    ModelError
        If no task has both an output and its columns, or shapes differ.

    Examples
    --------
    >>> from poyodata.models.tasks import make_tasks
    >>> outputs = {"direction": torch.zeros(3, 8), "running": torch.ones(3, 1)}
    >>> batch = {"direction": torch.tensor([3, -1, 0]), "running": torch.tensor([float("nan"), 1.0, 3.0])}
    >>> tasks = make_tasks(("direction", "running"), weight=0.5, mean={"running": (1.0,)}, std={"running": (2.0,)})
    >>> loss = multitask_loss(outputs, batch, tasks)
    >>> {name: round(term.item(), 4) for name, term in loss.terms.items()}
    {'direction': 2.0794, 'direction_count': 2, 'running': 0.5, 'running_count': 2}
    >>> round(loss.total.item(), 4)
    1.2897
    """
    weighed: list[Tensor] = []
    terms: dict[str, Tensor] = {}
    weights: dict[str, float] = {}
    for task in tasks_in(batch, [task for task in tasks if task.name in outputs]):
        output = outputs[task.name].float()
        known = known_answers(task, batch)
        parts: dict[str, Tensor] = {}
        if task.kind == "class":
            loss = class_task_loss(output, batch[task.columns[0]], known, label_smoothing, name=task.name)
        elif task.kind == "value":
            loss = value_task_loss(output, normalised(task, batch), known, name=task.name)
        else:
            loss, parts = image_task_loss(output, batch[task.columns[0]], known, image_loss, name=task.name)
        scale = task.weight * (windows_of(known) if per == "windows" else 1)
        weighed.append(scale * loss)
        weights[task.name] = task.weight
        terms |= {task.name: loss.detach(), f"{task.name}_count": known.sum()}
        terms |= {f"{task.name}_{name}": part for name, part in parts.items()}
    if not weighed:
        wanted = ", ".join(f"{task.name} ({', '.join(task.columns)})" for task in tasks)
        raise ModelError(
            f"the batch answers no task of the model: it wants {wanted}, and has {', '.join(sorted(batch))}; give the "
            "loader the targets of these tasks"
        )
    return Loss(torch.stack(weighed).sum(), terms, {"loss": weights} if per == "mean" else {})


def known_answers(task: Task, batch: Mapping[str, Tensor]) -> Tensor:
    """Which answers of a task a batch has, bool of shape (batch,), or (batch, time) for a task at frames.

    Examples
    --------
    >>> from poyodata.models.tasks import TASKS
    >>> batch = {"direction": torch.tensor([3, -1, 0]), "direction_blank": torch.tensor([False, False, True])}
    >>> known_answers(TASKS["direction"], batch).tolist()
    [True, False, False]
    """
    first = batch[task.columns[0]]
    if task.kind == "class":
        known = first >= 0
    elif task.kind == "value":
        known = torch.stack([torch.isfinite(number) for number in _numbers(task, batch)]).all(dim=0)
    else:
        known = torch.isfinite(first).flatten(-2).all(dim=-1)
    for column in task.columns:
        blank = batch.get(f"{column}_blank")
        if blank is not None:
            known = known & ~blank
    return known


def windows_of(known: Tensor) -> Tensor:
    """How many windows have a known answer, from :func:`known_answers`.

    Examples
    --------
    >>> windows_of(torch.tensor([[True, True], [False, True], [False, False]])).item()
    2
    """
    return known.reshape(len(known), -1).any(dim=1).sum()


def normalised(task: Task, batch: Mapping[str, Tensor]) -> Tensor:
    """Values of a task in units of its ``std`` from its ``mean``, one number each along the last dimension.

    Examples
    --------
    >>> from poyodata.models.tasks import make_tasks
    >>> (task,) = make_tasks(("running",), mean={"running": (1.0,)}, std={"running": (2.0,)})
    >>> normalised(task, {"running": torch.tensor([5.0, 1.0])}).tolist()
    [[2.0], [0.0]]
    """
    numbers = _numbers(task, batch)
    if task.std:
        # Number by number: a tensor of the means would have to be sent to the device.
        numbers = [(x - mean) / std for x, mean, std in zip(numbers, task.mean, task.std, strict=True)]
    return torch.stack(numbers, dim=-1)


def _numbers(task: Task, batch: Mapping[str, Tensor]) -> list[Tensor]:
    """What a value is made of: columns of their own, or the last dimension of one column."""
    if len(task.columns) == 1 and task.n_outputs > 1:
        return list(batch[task.columns[0]].unbind(dim=-1))
    return [batch[column] for column in task.columns]


def class_task_loss(
    logits: Tensor, target: Tensor, known: Tensor, label_smoothing: float = 0.0, *, name: str = "class"
) -> Tensor:
    """Mean cross-entropy over the known answers; 0 where none is known.

    Parameters
    ----------
    logits : Tensor, shape (batch, class) or (batch, time, class)
        Before the softmax.
    target : Tensor, shape (batch,) or (batch, time), int64
        Classes.
    known : Tensor, as `target`, bool
        Which count.
    label_smoothing : float
        Share of the target spread over all classes.
    name : str
        Of the task, for errors.

    Examples
    --------
    >>> target = torch.tensor([3, -1])
    >>> round(class_task_loss(torch.zeros(2, 8), target, target >= 0).item(), 4)
    2.0794
    """
    _same(name, logits.shape[:-1], target.shape)
    try:
        summed = functional.cross_entropy(
            logits.flatten(0, -2),
            torch.where(known, target, UNLABELLED).flatten(),
            ignore_index=UNLABELLED,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
    # Asked of torch, which looks at every class on a CPU anyway: a look of our own would make a GPU wait.
    except IndexError as error:
        raise ModelError(
            f"task {name!r} has {logits.shape[-1]} outputs, and the batch has class {int(target.max())}, counted from "
            "0; give the task as many outputs as there are classes (n_outputs)"
        ) from error
    return summed / known.sum().clamp(min=1)


def value_task_loss(output: Tensor, target: Tensor, known: Tensor, *, name: str = "value") -> Tensor:
    """Mean squared error over the known answers; 0 where none is known.

    Parameters
    ----------
    output, target : Tensor, shape (batch, value) or (batch, time, value)
        In the same units; the target may be NaN where it is not known.
    known : Tensor, shape (batch,) or (batch, time), bool
        Which count.
    name : str
        Of the task, for errors.

    Examples
    --------
    >>> value_task_loss(torch.zeros(2, 1), torch.tensor([[2.0], [float("nan")]]), torch.tensor([True, False])).item()
    4.0
    """
    _same(name, output.shape, target.shape)
    # Replaced before the difference: a NaN times 0 is a NaN, in the gradient too.
    target = torch.where(known[..., None], target, output.detach())
    squared = (output - target).square().mean(dim=-1)
    return squared.sum() / known.sum().clamp(min=1)


def image_task_loss(
    pictures: Tensor, target: Tensor, known: Tensor, image_loss: PictureLoss, *, name: str = "image"
) -> image_losses.ImageLoss:
    """Mean loss over the known pictures; 0 where none is known.

    Parameters
    ----------
    pictures, target : Tensor, shape (batch, height, width) or (batch, time, height, width)
        In [0, 1]; the target may be NaN where it is not known.
    known : Tensor, shape (batch,) or (batch, time), bool
        Which count.
    image_loss : callable
        Of pictures and target, both (image, height, width); pictures whose target is NaN do not count there.
    name : str
        Of the task, for errors.

    Examples
    --------
    >>> target = torch.tensor([0.5, float("nan")])[:, None, None].expand(2, 16, 16)
    >>> loss = image_task_loss(target.nan_to_num(0.5), target, target[:, 0, 0] >= 0, image_losses.image_loss)
    >>> round(loss.total.item(), 4)
    0.0
    """
    _same(name, pictures.shape, target.shape)
    if not target.is_floating_point():
        raise ModelError(
            f"task {name!r}: the batch has pictures of {target.dtype}, and those of the model are numbers from 0 to 1; "
            "divide by the value of white first"
        )
    shown = torch.where(known[..., None, None], target, torch.nan)
    return image_loss(pictures.flatten(0, -3), shown.flatten(0, -3))


def _same(name: str, found: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(found) != tuple(wanted):
        raise ModelError(
            f"task {name!r}: the model answers in shape {tuple(found)}, the batch has {tuple(wanted)}; let the "
            "loader's target and the task be at the same frames (one for the window, or each), and of one size"
        )
