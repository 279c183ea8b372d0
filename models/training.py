"""Training: a model, a loader and a configuration become a run; Lightning does the stepping.

Every random draw of a step comes from (seed, step) alone, so that the same call gives the same weights, bit for bit on
one machine, and the caller's random state stays as it was.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from poyodata.digests import canonical_json
from poyodata.errors import ModelError
from poyodata.models.batches import Batches, ModelBatches
from poyodata.models.checkpoint import package_versions, save_checkpoint
from poyodata.models.config import TrainConfig
from poyodata.models.losses import Loss, direction_objective, masked_objective
from poyodata.models.masking import drop_neurons
from poyodata.models.poyo import PoyoPlus
from poyodata.models.teacher import Teacher
from poyodata.progress import stage

OnStep = Callable[[int, float], None]
"""Called with the step (from 1) and its loss after every step."""

_STAGES = {"masked": "masked latent reconstruction", "direction": "cross-entropy on directions"}


@dataclass(frozen=True, slots=True)
class Run:
    """What a training run was and did.

    Attributes
    ----------
    config : TrainConfig
        How it was trained.
    history : DataFrame
        One row a step: step (from 1), loss, the loss's terms, lr, gradient_norm (before clipping), windows.
    seconds : float
        Wall time of all steps.
    steps, windows : int
        Steps taken and windows seen.
    parameters : int
        Parameters of the model, embeddings included.
    manifest_digest : str or None
        Digest of the manifest that was trained on.
    folder : Path or None
        Where config.json, metrics.csv and model.pt lie.
    """

    config: TrainConfig
    history: pd.DataFrame
    seconds: float
    steps: int
    windows: int
    parameters: int
    manifest_digest: str | None
    folder: Path | None

    @property
    def losses(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Loss of every step, shape (steps,), float64."""
        return self.history["loss"].to_numpy(dtype=np.float64)


def pretrain(
    model: PoyoPlus,
    loader: Batches,
    *,
    steps: int = 1500,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Run:
    """Train by masked latent reconstruction plus a small share of cross-entropy; the model is changed in place.

    Neurons and recordings that the loader names and the model does not know get rows first.

    Parameters
    ----------
    model : PoyoPlus
        What to train.
    loader : iterable of batch
        Passed over again and again until all steps are taken.
    steps : int
        Optimiser steps.
    manifest_digest : str, optional
        Digest of the manifest behind the loader, kept in the run and its checkpoint; by default the one the loader
        names.
    progress : bool, optional
        Whether a progress bar is drawn; by default on a terminal only.
    on_step : callable, optional
        Called with the step (from 1) and its loss after every step, for a progress bar of the caller's own.
    **settings
        Further settings of :class:`~poyodata.models.TrainConfig`.

    Returns
    -------
    Run

    Raises
    ------
    ModelError
        If a setting makes no sense, the loader makes no batch, the loss is not finite, or the folder holds a run.
    """
    config = TrainConfig(**{"objective": "masked", "steps": steps, **settings})
    return train(model, loader, config, manifest_digest=manifest_digest, progress=progress, on_step=on_step)


def finetune(
    model: PoyoPlus,
    loader: Batches,
    *,
    steps: int = 1500,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Run:
    """Train on directions by cross-entropy, from wherever the model stands; arguments as for :func:`pretrain`."""
    config = TrainConfig(**{"objective": "direction", "steps": steps, **settings})
    return train(model, loader, config, manifest_digest=manifest_digest, progress=progress, on_step=on_step)


def train(
    model: PoyoPlus,
    loader: Batches,
    config: TrainConfig,
    *,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a model in place as `config` says; see :func:`pretrain` for the arguments.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> batch = {
    ...     "values": torch.zeros(2, 1, 60), "neuron_index": torch.ones(2, 1, dtype=torch.int64),
    ...     "neuron_mask": torch.ones(2, 1, dtype=torch.bool), "session_index": torch.zeros(2, dtype=torch.int64),
    ...     "direction": torch.tensor([3, 5]),
    ... }
    >>> run = train(model, [batch], TrainConfig(steps=2), progress=False)
    >>> run.steps, run.windows, len(run.losses)
    (2, 4, 2)
    """
    folder = _new_folder(config.folder)
    if manifest_digest is None:
        manifest_digest = getattr(loader, "manifest_digest", None)
    model.extend_vocabulary(getattr(loader, "neuron_ids", ()), getattr(loader, "session_ids", ()))
    shown = sys.stderr.isatty() if progress is None else progress
    bar = stage(_STAGES[config.objective], config.steps, "steps") if shown else contextlib.nullcontext(lambda _: None)
    with _quiet_lightning(), torch.random.fork_rng(devices=_cuda_devices()), bar as advance:
        lesson = _Lesson(model, config, [lambda _step, _loss: advance(1), *([on_step] if on_step else [])])
        trainer = lightning.Trainer(
            accelerator=config.accelerator,
            devices=1,
            max_steps=config.steps,
            gradient_clip_val=config.clip,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[_Nothing()],
            use_distributed_sampler=False,
        )
        began = time.perf_counter()
        try:
            trainer.fit(lesson, train_dataloaders=_Steps(ModelBatches(loader, model), config.steps))
        except SystemExit as stop:  # what Lightning makes of Ctrl-C; it would end a notebook's kernel
            raise KeyboardInterrupt from stop
        seconds = time.perf_counter() - began
    model.eval()
    history = pd.DataFrame(lesson.history)
    run = Run(
        config=config,
        history=history,
        seconds=seconds,
        steps=len(history),
        windows=int(history["windows"].sum()),
        parameters=model.n_parameters,
        manifest_digest=manifest_digest,
        folder=folder,
    )
    if folder is not None:
        _write(run, model, folder)
    return run


class _Lesson(lightning.LightningModule):
    """One optimiser step at a time, each with random draws of its own."""

    def __init__(self, model: PoyoPlus, config: TrainConfig, on_step: Sequence[OnStep]) -> None:
        super().__init__()
        self.model, self.config, self.on_step = model, config, tuple(on_step)
        self.history: list[dict[str, float]] = []
        self.teacher: Teacher | None = None

    def on_train_start(self) -> None:
        # Not before: the model is now where it is trained, and so is the copy.
        if self.config.objective == "masked" and self.config.target == "average":
            self.teacher = Teacher(self.model, self.config.teacher_rate)

    def configure_optimizers(self) -> Any:
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.ndim < 2]
        # Scales and offsets are not decayed: shrinking them changes what is computed, not how large the weights are.
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, self.config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        step = self.global_step
        with step_draws(self.config.seed, step, self.device) as rng:
            shown = drop_neurons(batch, self.config.unit_dropout, rng)
            loss = self._loss(shown)
        value = float(loss.total.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} at step {step + 1}; check the windows for NaN, or lower lr={self.config.lr}"
            )
        self.history.append(
            {
                "step": step + 1,
                "loss": value,
                **{name: float(term) for name, term in loss.terms.items()},
                "lr": self.config.lr * learning_rate(step, self.config),
                "windows": len(batch["values"]),
            }
        )
        return loss.total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.history[-1]["gradient_norm"] = float(torch.nn.utils.get_total_norm(gradients))

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        if self.teacher is not None:
            self.teacher.follow(self.model)
        for tell in self.on_step:
            tell(int(self.history[-1]["step"]), self.history[-1]["loss"])

    def _loss(self, batch: Mapping[str, Tensor]) -> Loss:
        smoothing = self.config.label_smoothing
        if self.config.objective == "direction":
            return direction_objective(self.model, batch, smoothing)
        return masked_objective(
            self.model,
            batch,
            rate=self.config.mask_rate,
            aux_weight=self.config.aux_weight,
            teacher=None if self.teacher is None else self.teacher.model,
            label_smoothing=smoothing,
        )


class _Steps:
    """An iterable of exactly as many batches as there are steps, so that a progress bar knows its end."""

    def __init__(self, batches: ModelBatches, steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self.batches.cycle(self.steps)


class _Nothing(Callback):
    """Keeps the list of callbacks from being empty, which makes Lightning add some of its own."""


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0) as a share of the peak: a straight rise, then half a cosine down to zero.

    Examples
    --------
    >>> config = TrainConfig(steps=100, warmup=0.1)
    >>> [round(learning_rate(step, config), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rise = config.warmup * config.steps
    if step < rise:
        return min(1.0, (step + 1) / rise)
    done = (step - rise) / max(1.0, config.steps - rise)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@contextlib.contextmanager
def step_draws(seed: int, step: int, device: torch.device) -> Iterator[np.random.Generator]:
    """Random draws that belong to one step: torch's are seeded for the block and restored after it.

    Yields
    ------
    numpy.random.Generator
        For draws that are made outside torch.

    Examples
    --------
    >>> with step_draws(0, 5, torch.device("cpu")):
    ...     first = torch.rand(2)
    >>> with step_draws(0, 5, torch.device("cpu")):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    sequence = np.random.SeedSequence([seed, step])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        yield np.random.default_rng(sequence)


def _cuda_devices() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
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


def _new_folder(folder: str | None) -> Path | None:
    if folder is None:
        return None
    path = Path(folder)
    if (path / "config.json").exists():
        raise ModelError(f"{path} holds a run already; choose another folder, or move that run away")
    return path


def _write(run: Run, model: PoyoPlus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "train": run.config.model_dump(),
        "model": model.config.model_dump(),
        "manifest_digest": run.manifest_digest,
        "versions": package_versions(),
        "steps": run.steps,
        "windows": run.windows,
        "parameters": run.parameters,
    }
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(run.history.columns)
        writer.writerows(run.history.itertuples(index=False))
    save_checkpoint(model, folder / "model.pt", facts)
    # Last of all: a folder with a config.json holds a whole run.
    (folder / "config.json").write_text(
        canonical_json({**facts, "seconds": round(run.seconds, 3)}) + "\n", encoding="utf-8"
    )
