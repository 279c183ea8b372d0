"""Who is told about a run beside its own tables: TensorBoard, Weights & Biases, or another CSV."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from poyodata.errors import ModelError, UsageError, nearest

KNOWN = ("tensorboard", "csv", "wandb")
_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check_loggers(names: str | Iterable[str]) -> tuple[str, ...]:
    """Give the names of loggers, each once, before anything is written; a lone text is one name.

    Raises
    ------
    UsageError
        One of them is unknown.
    ModelError
        A package is missing; with what to install.

    Examples
    --------
    >>> check_loggers("csv"), check_loggers(["csv", "csv"])
    (('csv',), ('csv',))
    """
    wanted = "give names of loggers, or an empty sequence for nobody"
    if not isinstance(names, Iterable):
        raise UsageError(f"loggers is {names!r}; {wanted}: {nearest(str(names), KNOWN)}")
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in KNOWN:
            raise UsageError(f"there is no logger {name!r}; {wanted}: {nearest(str(name), KNOWN)}")
        package = _PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            raise ModelError(
                f"the logger {name!r} needs {package}, which is not installed; run: pip install {package}, or leave it "
                "out of loggers"
            )
    return tuple(dict.fromkeys(chosen))


def make_loggers(names: Sequence[str], folder: Path, start: int, identity: str) -> list[Logger]:
    """Make the loggers of a run.

    Parameters
    ----------
    names : sequence of {"tensorboard", "csv", "wandb"}
        Which.
    folder : Path
        Of the run; ``tensorboard/``, ``csv/`` and ``wandb/`` appear in it.
    start : int
        Step from which the run goes on; what an earlier process told of later steps is hidden.
    identity : str
        Of the run at Weights & Biases: the same when it goes on. With ``WANDB_MODE=offline`` nothing is sent.
    """
    check_loggers(names)
    made: list[Logger] = []
    for name in names:
        if name == "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            # A run that was killed before its first checkpoint begins at step 0 again, and has told of steps.
            gone_on = start > 0 or (folder / "tensorboard").exists()
            purge: dict[str, Any] = {"purge_step": start + 1} if gone_on else {}
            made.append(TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False, **purge))
        elif name == "csv":
            from lightning.pytorch.loggers import CSVLogger

            made.append(CSVLogger(folder, name="csv", version=f"from-step-{start}"))
        else:
            made.append(_wandb(folder, identity))
    return made


def _wandb(folder: Path, identity: str) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    try:
        return WandbLogger(save_dir=folder, name=folder.name, project="poyodata", id=identity[:16], resume="allow")
    except ImportError as error:
        raise ModelError(
            f"the logger 'wandb' does not start ({error}); install wandb anew, or go on without it: --logger none"
        ) from error
