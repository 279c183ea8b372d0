"""Memory and disk run out in many ways, and a GPU may be missing; each becomes one sentence that says what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator

import torch

from poyodata.errors import ModelError, PoyodataError
from poyodata.models.training.config import TrainConfig

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_device(config: TrainConfig) -> None:
    """Refuse to train on GPUs that this machine does not have.

    Raises
    ------
    ModelError
        Saying what there is.

    Examples
    --------
    >>> check_device(TrainConfig(accelerator="cpu", devices=64))
    """
    if config.accelerator == "cpu":
        return
    n_gpus = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if config.accelerator == "gpu" and not n_gpus:
        raise ModelError("accelerator 'gpu' is asked for, and torch finds no GPU here; choose 'cpu' or 'auto'")
    if 0 < n_gpus < config.devices:
        raise ModelError(
            f"{config.devices} processes are asked for, and this machine has GPUs for {n_gpus}; ask for as many, or "
            "choose the accelerator 'cpu'"
        )


@contextlib.contextmanager
def one_sentence(where: Callable[[], str]) -> Iterator[None]:
    """Turn what libraries raise when memory or disk run out into a :class:`ModelError`; the rest passes.

    Parameters
    ----------
    where : callable
        Says how far the run came and what is saved, as the end of a sentence.

    Examples
    --------
    >>> with one_sentence(lambda: "after step 3"):
    ...     raise MemoryError
    Traceback (most recent call last):
    ...
    poyodata.errors.ModelError: out of memory after step 3; use a smaller batch_size and a larger accumulate, ...
    """
    try:
        yield
    except PoyodataError as error:
        # A ModelError from the middle of a run does not know what is saved.
        if isinstance(error, ModelError) and "checkpoint" not in str(error) and where():
            raise ModelError(f"{error} (stopped {where()})") from error
        raise
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        raise ModelError(
            f"out of memory {where()}; use a smaller batch_size and a larger accumulate, fewer neurons, or "
            "precision='bf16'"
        ) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ModelError(f"the disk is full ({error.strerror}) {where()}; make room, then resume the run") from error


def _is_memory(error: BaseException) -> bool:
    # On a CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)
