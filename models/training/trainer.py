"""The Trainer of a run: where it runs, in how many processes, how precisely, and that it keeps quiet."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy

from poyodata.digests import json_digest
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.lesson import Course
from poyodata.models.training.lineage import from_json
from poyodata.models.training.loggers import make_loggers

_TIMEOUT = timedelta(minutes=10)
"""How long processes wait for one another before they give up."""


def make_trainer(config: TrainConfig, course: Course) -> lightning.Trainer:
    """Make the Trainer that takes the steps of a course that are left."""
    strategy: Any = "auto"
    if config.world > 1:
        # A batch may lack a task, and then its readout has no gradient.
        strategy = DDPStrategy(find_unused_parameters=True, timeout=_TIMEOUT, **_backend(config))
    loggers: Any = False
    if course.folder is not None and config.loggers:
        # The same when the run goes on, another for the same settings in another folder.
        place = str(course.folder.path.resolve())
        identity = json_digest([from_json(course.facts["lineage"])[-1].digest, place])
        loggers = make_loggers(config.loggers, course.folder.path, course.step, identity)
    # SLURM numbers the processes; the job is queued again by us, after a whole step.
    plugins: Any = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        max_steps=config.steps - course.step,
        accumulate_grad_batches=config.accumulate,
        logger=loggers,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[_Nothing()],
        use_distributed_sampler=False,
        plugins=plugins,
        default_root_dir=None if course.folder is None else course.folder.path,
    )


def _backend(config: TrainConfig) -> dict[str, Any]:
    gpu = config.accelerator == "gpu" or (config.accelerator == "auto" and torch.cuda.is_available())
    return {} if gpu else {"process_group_backend": "gloo"}


class _Nothing(Callback):
    """Keeps the list of callbacks from being empty, which makes Lightning add some of its own."""


def cuda_devices() -> list[int]:
    """Devices whose random state a run must leave as it was."""
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's banners and its own warnings while it runs; everybody else's stay visible."""
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
