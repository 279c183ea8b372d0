"""The folder of a run.

==========================  ================================================================================
``config.json``             settings of training and of the model, and the manifest's digest
``lineage.json``            the stages behind the model, chained by digests
``environment.json``        versions and machine of every process that worked on the run
``metrics.csv``             one row a step
``validation.csv``          one row a validation
``checkpoints/last.ckpt``   all that it takes to go on
``checkpoints/best.ckpt``   the model at the best validation
``tensorboard/`` ...        what the loggers wrote
``model.pt``                the model after the last step
``summary.json``            written last of all: a folder with it holds a run that came to its end
==========================  ================================================================================
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from poyodata.digests import canonical_json
from poyodata.errors import ModelError
from poyodata.models.checkpoint import package_versions
from poyodata.models.training.config import TrainConfig
from poyodata.replacing import replacing


class RunFolder:
    """Paths in the folder of a run, and its small files.

    Examples
    --------
    >>> RunFolder("runs/a").last.as_posix()
    'runs/a/checkpoints/last.ckpt'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.lineage = self.path / "lineage.json"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.csv"
        self.validation = self.path / "validation.csv"
        self.last = self.path / "checkpoints" / "last.ckpt"
        self.best = self.path / "checkpoints" / "best.ckpt"
        self.model = self.path / "model.pt"
        self.summary = self.path / "summary.json"

    @property
    def holds_run(self) -> bool:
        """Whether a run began here; then there is a checkpoint too, since that is written first."""
        return self.config.exists()

    def read_config(self) -> tuple[TrainConfig, dict[str, Any]]:
        """Settings of training, and everything in ``config.json``.

        Raises
        ------
        ModelError
            If there is no run, or its ``config.json`` cannot be read.
        """
        if not self.holds_run:
            raise ModelError(f"{self.path} holds no run; give the folder that a run was written to")
        try:
            facts: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
            config = TrainConfig(**facts["train"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{self.config} cannot be read ({error}); put it back, or start the run anew") from error
        return config.model_copy(update={"folder": str(self.path)}), facts

    def write(self, file: Path, content: Any) -> None:
        """Write JSON, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text(canonical_json(content) + "\n", encoding="utf-8")

    def add_session(self, step: int, facts: Mapping[str, Any]) -> None:
        """Note who works on the run from a step on."""
        known: list[Any] = []
        if self.environment.exists():
            try:
                known = json.loads(self.environment.read_text(encoding="utf-8"))["sessions"]
            except (KeyError, TypeError, ValueError):
                known = []
        self.write(self.environment, {"sessions": [*known, {"from_step": step, **environment(), **facts}]})


def environment() -> dict[str, Any]:
    """Versions and machine, as far as numbers or their speed depend on them.

    Examples
    --------
    >>> sorted(environment())
    ['cpu_count', 'cuda', 'machine', 'system', 'threads', 'versions']
    """
    return {
        "versions": package_versions(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
    }
