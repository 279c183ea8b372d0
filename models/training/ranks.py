"""Several processes: which one this is, and what all of them have to agree on.

Whatever one process alone may decide (the disk is full, a signal came, a loss is not finite) is shared before anybody
acts on it: a process that stops while the others wait for it would leave them waiting.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from poyodata.errors import ModelError, PoyodataError
from poyodata.models.training.config import TrainConfig

T = TypeVar("T")


def ranks_of(config: TrainConfig) -> tuple[int, int]:
    """Number of this process and of all, before training starts: what a loader needs to serve its share.

    Under SLURM and torchrun their environment says; else Lightning starts the processes, and numbers them.

    Examples
    --------
    >>> ranks_of(TrainConfig())
    (0, 1)
    """
    if config.world == 1:
        return 0, 1
    for environment in (SLURMEnvironment, TorchElasticEnvironment):
        if environment.detect():
            made = environment()
            return made.global_rank(), made.world_size()
    return int(os.environ.get("NODE_RANK", "0")) * config.devices + int(os.environ.get("LOCAL_RANK", "0")), config.world


def gathered(value: T) -> list[T]:
    """Value of every process, by rank; plain values alone."""
    if not _several():
        return [value]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found


def on_first(do: Callable[[], T]) -> T:
    """Do something in the first process; all get what it gave, or all raise what went wrong.

    Examples
    --------
    >>> on_first(lambda: 3)
    3
    """
    if not _several():
        return do()
    result: list[Any] = [None, None]
    if torch.distributed.get_rank() == 0:
        try:
            result[0] = do()
        except (PoyodataError, OSError) as error:
            result[1] = str(error)
    torch.distributed.broadcast_object_list(result)
    if result[1] is not None:
        raise ModelError(result[1])
    return result[0]  # type: ignore[no-any-return]


@contextlib.contextmanager
def group_left_at_exit() -> Iterator[None]:
    """Leave the group of processes before the interpreter goes, once what is done within has ended well.

    Left to itself, the group's own threads may ask for the interpreter when it has gone, and the process ends by
    SIGABRT (two runs in five on two cores). Left at once, a second training could not enter it again: the launcher's
    store still has the addresses of the first. After an error others may still wait for this process, and leaving
    would wait for them.
    """
    atexit.unregister(_leave_group)
    yield
    if _in_group():
        atexit.register(_leave_group)


def _leave_group() -> None:
    if _in_group():
        torch.distributed.destroy_process_group()


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _several() -> bool:
    return _in_group() and torch.distributed.get_world_size() > 1
