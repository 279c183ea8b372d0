"""Which loss a step minimises, as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.image_losses import ImageLossWeights, image_loss
from poyodata.models.multitask import Loss, PictureLoss, multitask_loss, tasks_in
from poyodata.models.objectives import MaskedLatents, masked_objective, supervised_objective
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig

Batch = Mapping[str, Tensor]
Objective = Callable[..., Loss]
"""Of (model, batch), with ``rng`` for random masks and the ``teacher`` where there is one."""


def objective_of(config: TrainConfig, model: PoyoPlus) -> Objective:
    """Choose the loss of a run.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> objective_of(TrainConfig(objective="direction"), model).__name__
    'direction'
    """
    smoothing = config.label_smoothing
    if config.objective == "direction":
        if "direction" not in {task.name for task in model.tasks}:
            raise ModelError(
                f"the objective 'direction' needs a model with that task, and this one has "
                f"{', '.join(task.name for task in model.tasks)}; choose the objective 'supervised'"
            )
        return _direction(smoothing)
    pictures = _picture_loss(config)
    if config.objective == "supervised":

        def supervised(model: PoyoPlus, batch: Batch, **_draws: Any) -> Loss:
            if not tasks_in(batch, model.tasks):
                asked = ", ".join(task.name for task in model.tasks)
                raise ModelError(
                    f"the batch answers none of the model's tasks {asked}: it has {', '.join(sorted(batch))}; give the "
                    "loader their targets"
                )
            return supervised_objective(model, batch, label_smoothing=smoothing, image_loss=pictures)

        return supervised
    options = masked_options(config)

    def masked(model: PoyoPlus, batch: Batch, *, rng: np.random.Generator, teacher: PoyoPlus | None = None) -> Loss:
        return masked_objective(
            model, batch, options, teacher=teacher, rng=rng, label_smoothing=smoothing, image_loss=pictures
        )

    return masked


def masked_options(config: TrainConfig) -> MaskedLatents:
    """How latents are masked; the mode ``one_channel`` brings along what else the released code does differently.

    Examples
    --------
    >>> masked_options(TrainConfig(mask_mode="channels")).mode
    'channels'
    """
    return MaskedLatents(
        mode=config.mask_mode,
        rate=config.mask_rate,
        loss=config.mask_loss,
        where=config.mask_where,
        stop_gradient=config.stop_gradient,
        target=config.target,
        aux_weight=config.aux_weight,
    )


def tasks_learnt(config: TrainConfig, model: PoyoPlus) -> tuple[str, ...]:
    """Name the tasks whose readouts an objective trains.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> config = PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0, tasks=("direction", "running"))
    >>> model = PoyoPlus(config, ["a:0"], ["a"])
    >>> tasks_learnt(TrainConfig(), model), tasks_learnt(TrainConfig(objective="masked", aux_weight=0), model)
    (('direction',), ())
    """
    if config.objective == "direction":
        return ("direction",)
    if config.objective == "masked" and config.aux_weight == 0:
        return ()
    return tuple(task.name for task in model.tasks)


def _direction(smoothing: float) -> Objective:
    def direction(model: PoyoPlus, batch: Batch, **_draws: Any) -> Loss:
        if "direction" not in batch:
            raise ModelError(f"the batch has no 'direction'; it has {', '.join(sorted(batch))}")
        tasks = [task for task in model.tasks if task.name == "direction"]
        return multitask_loss(model(batch, ["direction"]), batch, tasks, label_smoothing=smoothing)

    return direction


def _picture_loss(config: TrainConfig) -> PictureLoss:
    if config.picture_loss == "released":
        return partial(image_loss, weights=ImageLossWeights.legacy())
    if config.perceptual is None:
        return image_loss
    from poyodata.models.perceptual import AlexNetFeatures

    return partial(image_loss, weights=ImageLossWeights(perceptual=1.0), perceptual=AlexNetFeatures(config.perceptual))
