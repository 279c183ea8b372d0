"""How a model is trained: typed, frozen, refused with one sentence when it makes no sense."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from poyodata.models.config import Settings

FREE_ON_RESUME = frozenset({"folder", "accelerator", "loggers", "log_every", "checkpoint_every", "requeue"})
"""Settings that may change when a run goes on: they decide where it runs and what it tells, not what it learns.

Numbers of processes are none of them: they share the windows of a step, and draw each for itself."""


class TrainConfig(Settings):
    """How a model is trained; together with the batches and the model it decides every weight.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    lr, weight_decay : float
        Peak learning rate, and decay of the optimiser.
    optimizer : {"adamw", "lamb"}
        LAMB is the paper's.
    decay : {"weights", "matrices", "all"}
        What is decayed: weights of layers, tables of embeddings too, or scales and offsets too, as in the paper.
    schedule : {"cosine", "paper", "released", "constant"}
        How the rate goes over the run: see `poyodata.models.schedules.rate`.
    warmup : float
        Share of the steps over which ``cosine`` rises from zero.
    clip : float
        Largest norm of the gradient.
    accumulate : int
        Batches whose gradients make one step.
    precision : {"32", "bf16"}
        Of the arithmetic; weights stay float32.
    compile : bool
        Whether torch compiles the objective: for a GPU, after a minute or so at the start.
    seed : int
        Seed of dropout and of unit dropout, together with the step.
    objective : {"direction", "supervised", "masked"}
        Cross-entropy on directions; the weighted losses of all the model's tasks; or masked latent reconstruction plus
        `aux_weight` times those.
    trains : {"all", "identification"}
        What is trained: everything, or only the embeddings of neurons and recordings, to identify new ones.
    mask_mode : {"causal", "random_tokens", "channels", "one_channel"}
        What is masked: the last time steps, any latents, channels, or the released code's one channel.
    mask_rate : float
        Share that is masked.
    mask_loss : {"l1", "mse"}
        How masked and unmasked latents are compared.
    mask_where : {"masked", "all"}
        Over which of them.
    stop_gradient : bool
        Whether no gradient reaches the unmasked ones.
    aux_weight : float
        Weight of the supervised losses beside the reconstruction.
    target : {"average", "self"}
        What masked latents are compared with: those of a slow average of the model, or the model's own, which is the
        published formula and runs away (see `poyodata.models.teacher`).
    teacher_rate : float
        Share of the way to the model that the average goes at every step.
    unit_dropout : float
        Largest share of a window's neurons left out; the share is drawn from 0 to this at every step.
    label_smoothing : float
        Share of the target spread over all classes.
    picture_loss : {"paper", "released"}
        Of tasks whose answer is a picture: the published terms and weights, or what the released code comes to
        (`poyodata.models.image_losses.ImageLossWeights.legacy`).
    perceptual : str or None
        File of AlexNet weights: with it, pictures are compared by its features too, at weight 1; not for ``released``.
    log_every : int
        Steps between readings: losses stay on the device until then, so that no step waits for it.
    checkpoint_every : int
        Steps between checkpoints; there is one before the first step and one after the last, too.
    validate_every : int or None
        Steps between validations; None for as often as checkpoints when the run begins.
    monitor : str
        Column of the validation that says which model is best.
    goal : {"min", "max"}
        Whether lower or higher is better.
    patience : int or None
        Validations without a better value after which training stops; None for never.
    loggers : tuple of {"tensorboard", "csv", "wandb"}
        What is told about a run that has a folder, beside its ``metrics.csv``.
    accelerator : {"auto", "cpu", "gpu"}
        Where the model is trained.
    devices, nodes : int
        Processes on each machine, and machines.
    requeue : bool
        Whether a SLURM job that gets SIGUSR1 is queued again; after SIGTERM (scancel, timeout) none is.
    folder : str or None
        Where the run is written; nothing is written when None.

    Examples
    --------
    >>> TrainConfig(steps=100).objective
    'direction'
    """

    steps: int = Field(1500, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.2, ge=0)
    optimizer: Literal["adamw", "lamb"] = "adamw"
    decay: Literal["weights", "matrices", "all"] = "matrices"
    schedule: Literal["cosine", "paper", "released", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    accumulate: int = Field(1, ge=1)
    precision: Literal["32", "bf16"] = "32"
    compile: bool = False
    seed: int = Field(0, ge=0)
    objective: Literal["direction", "supervised", "masked"] = "direction"
    trains: Literal["all", "identification"] = "all"
    mask_mode: Literal["causal", "random_tokens", "channels", "one_channel"] = "causal"
    mask_rate: float = Field(0.5, gt=0, lt=1)
    mask_loss: Literal["l1", "mse"] = "l1"
    mask_where: Literal["masked", "all"] = "masked"
    stop_gradient: bool = True
    aux_weight: float = Field(0.01, ge=0)
    target: Literal["average", "self"] = "average"
    teacher_rate: float = Field(0.01, gt=0, le=1)
    unit_dropout: float = Field(0.5, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    picture_loss: Literal["paper", "released"] = "paper"
    perceptual: str | None = None
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(250, ge=1)
    validate_every: int | None = Field(None, ge=1)
    monitor: str = "loss"
    goal: Literal["min", "max"] = "min"
    patience: int | None = Field(None, ge=1)
    loggers: tuple[Literal["tensorboard", "csv", "wandb"], ...] = ("tensorboard",)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    requeue: bool = True
    folder: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.loggers)) != len(self.loggers):
            raise ValueError(f"loggers {self.loggers} name one twice")
        if self.picture_loss == "released" and self.perceptual is not None:
            raise ValueError("perceptual is for picture_loss='paper'; the released code gives it next to no weight")
        return self

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    def differences(self, other: TrainConfig) -> dict[str, tuple[object, object]]:
        """Settings in which two runs learn differently, with the values of both.

        Examples
        --------
        >>> TrainConfig(lr=1e-3, accelerator="cpu").differences(TrainConfig(lr=2e-3))
        {'lr': (0.001, 0.002)}
        """
        return {
            name: (getattr(self, name), getattr(other, name))
            for name in type(self).model_fields
            if name not in FREE_ON_RESUME and getattr(self, name) != getattr(other, name)
        }
