"""Models, what trains them, and what judges them; every name is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "poyodata.models":
    raise ImportError(
        f"this folder is the code of poyodata.models, but was imported as {__name__!r}; "
        "write `import poyodata.models`, so that no class exists twice"
    )

if TYPE_CHECKING:
    from poyodata.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from poyodata.models.config import PoyoConfig
    from poyodata.models.evaluation import Result, Score, compare, evaluate, judge, score
    from poyodata.models.image_losses import ImageLossWeights, image_loss
    from poyodata.models.lamb import Lamb
    from poyodata.models.mlp import MLPDecoder
    from poyodata.models.multitask import multitask_loss
    from poyodata.models.objectives import MaskedLatents, masked_objective, supervised_objective
    from poyodata.models.perceptual import AlexNetFeatures
    from poyodata.models.poyo import PoyoPlus
    from poyodata.models.ridge import RidgeDecoder, RidgeRegression
    from poyodata.models.tasks import Task, make_tasks
    from poyodata.models.training import Run, TrainConfig, finetune, pretrain, resume, train
    from poyodata.models.unet import UNetDecoder, make_decoder

_HOME = {
    "AlexNetFeatures": "perceptual",
    "Checkpoint": "checkpoint",
    "ImageLossWeights": "image_losses",
    "Lamb": "lamb",
    "MLPDecoder": "mlp",
    "MaskedLatents": "objectives",
    "PoyoConfig": "config",
    "PoyoPlus": "poyo",
    "Result": "evaluation.result",
    "RidgeDecoder": "ridge",
    "RidgeRegression": "ridge",
    "Run": "training.run",
    "Score": "evaluation.decoding",
    "Task": "tasks",
    "TrainConfig": "training.config",
    "UNetDecoder": "unet",
    "compare": "evaluation.answers",
    "evaluate": "evaluation.answers",
    "finetune": "training.fit",
    "image_loss": "image_losses",
    "judge": "evaluation.judging",
    "load_checkpoint": "checkpoint",
    "make_decoder": "unet",
    "make_tasks": "tasks",
    "masked_objective": "objectives",
    "multitask_loss": "multitask",
    "pretrain": "training.fit",
    "resume": "training.fit",
    "save_checkpoint": "checkpoint",
    "score": "evaluation.decoding",
    "supervised_objective": "objectives",
    "train": "training.fit",
}

__all__ = [
    "AlexNetFeatures",
    "Checkpoint",
    "ImageLossWeights",
    "Lamb",
    "MLPDecoder",
    "MaskedLatents",
    "PoyoConfig",
    "PoyoPlus",
    "Result",
    "RidgeDecoder",
    "RidgeRegression",
    "Run",
    "Score",
    "Task",
    "TrainConfig",
    "UNetDecoder",
    "compare",
    "evaluate",
    "finetune",
    "image_loss",
    "judge",
    "load_checkpoint",
    "make_decoder",
    "make_tasks",
    "masked_objective",
    "multitask_loss",
    "pretrain",
    "resume",
    "save_checkpoint",
    "score",
    "supervised_objective",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'poyodata.models' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"poyodata.models.{_HOME[name]}")
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "lightning"}:
            raise
        raise ImportError(
            f"poyodata.models.{name} needs {error.name}, which is not installed; run: pip install 'poyodata[train]'",
            name=error.name,
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
