"""Training: a model, a loader and a configuration become a run; Lightning does the stepping.

====================  ==========================================================================
`config`              how a model is trained: `TrainConfig`
`fit`                 `train`, `pretrain`, `finetune`, `resume`: the one way from a model to a `Run`
`lesson`              a step: what Lightning is told to do
`trainer`             Lightning's Trainer: device, processes, precision, loggers
`objective`           which loss a step minimises
`draws`               randomness that belongs to a step, whatever happened before it
`optimizers`          AdamW or LAMB, and the learning rate of a step
`history`             what every step reports, read from the device in groups
`rows`                tables of numbers on disk, cut back to a checkpoint when a run goes on
`validation`          a number to watch: the best checkpoint, and when to stop
`state`               all that a run needs to go on, as tensors and plain values
`folder`              what lies where in the folder of a run
`lineage`             which manifests a model was trained on, chained over stages
`signals`             SIGTERM and SIGUSR1: save, have the job queued again, exit
`guards`              memory, disk and loss: errors of libraries become one sentence
`ranks`               several processes: what they agree on
`loggers`             TensorBoard, Weights & Biases, CSV
`bar`                 the progress bar
====================  ==========================================================================

Every name is loaded when it is first used: `TrainConfig` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poyodata.models.training.config import TrainConfig
    from poyodata.models.training.draws import step_draws
    from poyodata.models.training.fit import finetune, pretrain, resume, train
    from poyodata.models.training.history import OnStep
    from poyodata.models.training.lineage import Lineage, Stage
    from poyodata.models.training.optimizers import learning_rate
    from poyodata.models.training.ranks import ranks_of
    from poyodata.models.training.run import Run

_HOME = {
    "Lineage": "lineage",
    "OnStep": "history",
    "Run": "run",
    "Stage": "lineage",
    "TrainConfig": "config",
    "finetune": "fit",
    "learning_rate": "optimizers",
    "pretrain": "fit",
    "ranks_of": "ranks",
    "resume": "fit",
    "step_draws": "draws",
    "train": "fit",
}

__all__ = [
    "Lineage",
    "OnStep",
    "Run",
    "Stage",
    "TrainConfig",
    "finetune",
    "learning_rate",
    "pretrain",
    "ranks_of",
    "resume",
    "step_draws",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'poyodata.models.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"poyodata.models.training.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
