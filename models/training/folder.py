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
``training.lock``           locked while a process trains here
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
from poyodata.models.checkpoint import Checkpoint, load_checkpoint, package_versions
from poyodata.models.config import PoyoConfig
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.lineage import Lineage, from_json
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
            self.check_nothing_lost()
            raise ModelError(f"{self.path} holds no run; give the folder that a run was written to")
        facts = self._read(self.config, dict)
        try:
            config = TrainConfig(**facts["train"])
            PoyoConfig(**facts["model"])
            if not isinstance(facts["manifest_digest"], str | None):
                raise ValueError("its manifest_digest is no text")
            classes = facts.setdefault("classes", {})
            lists = classes.values() if isinstance(classes, dict) else [None]
            if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
                raise ValueError("its classes are no lists of names")
        except KeyError as error:
            raise ModelError(
                f"{self.config} cannot be read (it has no {error.args[0]}); put it back, or start the run anew"
            ) from error
        except (TypeError, ValueError) as error:
            raise ModelError(f"{self.config} cannot be read ({error}); put it back, or start the run anew") from error
        return config.model_copy(update={"folder": str(self.path)}), facts

    def read_lineage(self) -> Lineage:
        """Stages behind the model, as ``lineage.json`` has them.

        Raises
        ------
        ModelError
            If it is missing, cannot be read, or was changed.
        """
        return from_json(self._read(self.lineage, list), str(self.lineage))

    def read_summary(self) -> dict[str, Any]:
        """Everything in ``summary.json``; its ``steps``, and ``best`` with its ``step``, are what they should be.

        Raises
        ------
        ModelError
            If it is missing, or cannot be read.
        """
        facts: dict[str, Any] = self._read(self.summary, dict)
        best = facts.get("best")
        if not isinstance(facts.get("steps"), int) or not (
            best is None or (isinstance(best, dict) and isinstance(best.get("step"), int))
        ):
            raise ModelError(f"{self.summary} does not say how many steps were taken; put it back, or train again")
        return facts

    def read_checkpoint(self, file: Path, step: int | None = None) -> Checkpoint:
        """Load a checkpoint of this run.

        Parameters
        ----------
        file : Path
            One of the folder's.
        step : int, optional
            The one that ``summary.json`` says it is of.

        Raises
        ------
        ModelError
            If it is missing, damaged, or of another run or step.
        """
        if not file.is_file():
            raise ModelError(f"{file} is missing; put the run's own file back, or train again")
        checkpoint = load_checkpoint(file)
        own, its = self.read_lineage(), from_json(checkpoint.facts.get("lineage", ()), str(file))
        if its != own:
            raise ModelError(
                f"{file} is of another run than {self.lineage} is (lineage {_last(its)}, there {_last(own)}); put the "
                "run's own files back, or train again"
            )
        found = checkpoint.facts.get("steps")
        if step is not None and found != step:
            raise ModelError(
                f"{file} is of step {found}, and {self.summary} says that it is of step {step}; put the run's own "
                "files back, or train again"
            )
        return checkpoint

    def check_nothing_lost(self) -> None:
        """Refuse to begin where steps were taken and ``config.json`` is gone: they would be written over.

        Raises
        ------
        ModelError
            If it is so.
        """
        if self.holds_run:
            return
        steps = load_checkpoint(self.last).facts.get("steps", 0) if self.last.exists() else 0
        if steps or self.summary.exists():
            raise ModelError(
                f"{self.config} is missing, and the run beside it has taken steps; put it back to go on, or choose "
                "another folder to begin anew"
            )

    def remove_unfinished(self) -> None:
        """Remove what a process that was killed had half written; for one that is alone in the folder."""
        for place in (self.path, self.last.parent):
            for partial in place.glob(".*.partial"):
                partial.unlink(missing_ok=True)

    def _read(self, file: Path, kind: type) -> Any:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{file} is missing; put it back, or train again") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be read ({error}); put it back, or train again") from error
        if not isinstance(content, kind):
            raise ModelError(
                f"{file} holds a {type(content).__name__}, expected a {kind.__name__}; put it back, or train again"
            )
        return content

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


def _last(lineage: Lineage) -> str:
    return lineage[-1].digest[:12] if lineage else "none"


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
