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
    from poyodata.models.config import PoyoConfig, TrainConfig
    from poyodata.models.evaluation import evaluate
    from poyodata.models.metrics import Score, score
    from poyodata.models.poyo import PoyoPlus
    from poyodata.models.ridge import RidgeDecoder
    from poyodata.models.training import Run, finetune, pretrain, train

_HOME = {
    "Checkpoint": "checkpoint",
    "PoyoConfig": "config",
    "PoyoPlus": "poyo",
    "RidgeDecoder": "ridge",
    "Run": "training",
    "Score": "metrics",
    "TrainConfig": "config",
    "evaluate": "evaluation",
    "finetune": "training",
    "load_checkpoint": "checkpoint",
    "pretrain": "training",
    "save_checkpoint": "checkpoint",
    "score": "metrics",
    "train": "training",
}

__all__ = [
    "Checkpoint",
    "PoyoConfig",
    "PoyoPlus",
    "RidgeDecoder",
    "Run",
    "Score",
    "TrainConfig",
    "evaluate",
    "finetune",
    "load_checkpoint",
    "pretrain",
    "save_checkpoint",
    "score",
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
