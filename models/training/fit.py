"""The one way from a model, a loader and a configuration to a run; Lightning does the stepping.

Every random draw of a step comes from (seed, step) alone, so that the same call gives the same weights, bit for bit on
one machine, whether or not it was interrupted, and the caller's random state stays as it was.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from poyodata.errors import ModelError
from poyodata.models.batches import Batches, ModelBatches, shown_names
from poyodata.models.checkpoint import package_versions, save_checkpoint
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training import lineage as lineages
from poyodata.models.training.bar import training_bar
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.continuing import checkpoint_of, go_on, settled
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.guards import check_device, one_sentence
from poyodata.models.training.history import History, OnStep
from poyodata.models.training.lesson import Course, Lesson
from poyodata.models.training.lock import alone_in
from poyodata.models.training.loggers import check_loggers
from poyodata.models.training.objective import Objective, objective_of, tasks_learnt
from poyodata.models.training.ranks import group_left_at_exit, on_first, ranks_of
from poyodata.models.training.rows import Rows
from poyodata.models.training.run import Run
from poyodata.models.training.signals import StopSignals, was_requeued
from poyodata.models.training.trainer import cuda_devices, make_trainer, quiet_lightning
from poyodata.models.training.validation import Measure, Validation, loss_over
from poyodata.models.unet import UNetDecoder

_STAGES = {
    "masked": "masked latent reconstruction",
    "direction": "cross-entropy on directions",
    "supervised": "losses of the tasks",
}


def pretrain(
    model: PoyoPlus,
    loader: Batches,
    *,
    steps: int = 1500,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    validate: Measure | Batches | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """Train by masked latent reconstruction plus a small share of the supervised loss; the model is changed in place.

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
        Called with the step (from 1) and its loss for every step, `log_every` steps at a time, for a progress bar of
        the caller's own.
    validate : callable or iterable of batch, optional
        Measures the model, or gives the batches to measure its loss on; see `TrainConfig.monitor`.
    resume : bool
        Whether a run that `folder` holds is gone on with; one that is not there is begun.
    **settings
        Further settings of :class:`~poyodata.models.TrainConfig`.

    Returns
    -------
    Run

    Raises
    ------
    ModelError
        If a setting makes no sense, the loader makes no batch, the loss is not finite, memory or disk run out, or the
        folder holds a run that is not to be resumed.
    """
    config = TrainConfig(**{"objective": "masked", "steps": steps, **settings})
    return train(
        model,
        loader,
        config,
        manifest_digest=manifest_digest,
        progress=progress,
        on_step=on_step,
        validate=validate,
        resume=resume,
        stage="pretrain",
    )


def finetune(
    model: PoyoPlus,
    loader: Batches,
    *,
    steps: int = 1500,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    validate: Measure | Batches | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """Train on directions by cross-entropy, from wherever the model stands; arguments as for :func:`pretrain`."""
    config = TrainConfig(**{"objective": "direction", "steps": steps, **settings})
    return train(
        model,
        loader,
        config,
        manifest_digest=manifest_digest,
        progress=progress,
        on_step=on_step,
        validate=validate,
        resume=resume,
        stage="finetune",
    )


def resume(
    folder: str | Path,
    loader: Batches,
    *,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    validate: Measure | Batches | None = None,
    **changes: Any,
) -> Run:
    """Go on with the run in a folder from its last checkpoint, to the end that it would have had undisturbed.

    Parameters
    ----------
    folder : path
        Of the run.
    loader : iterable of batch
        Made as it was for the run; it is told where it was.
    progress, on_step, validate
        As for :func:`pretrain`.
    **changes
        Settings that may differ: where it runs and what it tells (`poyodata.models.training.config.FREE_ON_RESUME`).

    Returns
    -------
    Run
        Of all steps; ``run.model`` is what was trained.

    Raises
    ------
    ModelError
        If there is no run, another process trains in the folder, the checkpoint is damaged or of another run, or the
        loader makes other batches.
    """
    run = RunFolder(folder)
    config, facts = run.read_config()
    checkpoint = run.read_checkpoint(run.last)
    return train(
        checkpoint.model,
        loader,
        TrainConfig(**{**config.model_dump(), **changes}),
        manifest_digest=facts.get("manifest_digest"),
        progress=progress,
        on_step=on_step,
        validate=validate,
        resume=True,
        stage=facts.get("stage"),
    )


def train(
    model: PoyoPlus,
    loader: Batches,
    config: TrainConfig,
    *,
    manifest_digest: str | None = None,
    progress: bool | None = None,
    on_step: OnStep | None = None,
    validate: Measure | Batches | None = None,
    resume: bool = False,
    stage: str | None = None,
) -> Run:
    """Train a model in place as `config` says; see :func:`pretrain` for the arguments.

    Parameters
    ----------
    stage : str, optional
        What the stage is called in the lineage; by default ``pretrain`` or ``finetune``, after the objective.

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
    folder = None if config.folder is None else RunFolder(config.folder)
    check_device(config)
    if folder is not None:
        check_loggers(config.loggers)
    rank, world = ranks_of(config)
    _check_share(loader, world)
    # Before anything is read there; of several processes, the first writes.
    alone = contextlib.nullcontext() if folder is None or rank else alone_in(folder.path)
    with alone, group_left_at_exit():
        if folder is not None and rank == 0:
            folder.remove_unfinished()
        return _train(
            model,
            loader,
            config,
            folder,
            writes=rank == 0,
            manifest_digest=manifest_digest,
            progress=progress,
            on_step=on_step,
            validate=validate,
            resume=resume,
            stage=stage,
        )


def _train(
    model: PoyoPlus,
    loader: Batches,
    config: TrainConfig,
    folder: RunFolder | None,
    *,
    writes: bool,
    manifest_digest: str | None,
    progress: bool | None,
    on_step: OnStep | None,
    validate: Measure | Batches | None,
    resume: bool,
    stage: str | None,
) -> Run:
    """Train in a folder that no other process trains in."""
    if manifest_digest is None:
        manifest_digest = getattr(loader, "manifest_digest", None)
    config = settled(folder, config)
    stage = stage or ("pretrain" if config.objective == "masked" else "finetune")
    settings = {"train": _lasting(config), "model": model.config.model_dump(mode="json")}
    # How batches are made, where the loader says it: a run on other batches is another run.
    settings |= {name: getattr(loader, name) for name in ("recipe_digest", "batch_size") if hasattr(loader, name)}
    lineage = lineages.added(lineages.lineage_of(model), stage, manifest_digest, settings)
    checkpoint = checkpoint_of(folder, config, manifest_digest, model.config, resume=resume or was_requeued())
    shown = shown_names(loader)
    if checkpoint is not None:
        model.load_state_dict(checkpoint.model.state_dict())
        lineage = lineages.from_json(checkpoint.facts["lineage"], "the checkpoint's lineage")
    else:
        _check_identified(config, model)
        # A row that no window shows would stay as it was drawn, and answer as if it had been learnt.
        model.extend_vocabulary(shown.neurons, shown.sessions)
    facts = {
        "train": config.model_dump(mode="json"),
        "stage": stage,
        "manifest_digest": manifest_digest,
        "versions": package_versions(),
        "parameters": model.n_parameters,
        "classes": model.classes,
        "lineage": lineages.to_json(lineage),
    }
    objective = objective_of(config, model)
    measure = _measure(validate, objective, config, model)
    metrics, validations = (Rows(file, writes=writes) for file in _tables(folder))
    drawn = (sys.stderr.isatty() if progress is None else progress) and writes
    with StopSignals() as stop:
        course = Course(
            config=config,
            objective=objective,
            cycle=ModelBatches(loader, model).cycle(config.steps * config.accumulate),
            history=History(metrics, [on_step] if on_step and writes else []),
            rows=validations,
            validation=Validation(config, measure, together=not callable(validate)),
            stop=stop,
            facts=facts,
            folder=folder,
        )
        if folder is not None:
            course.started = partial(_begin, folder, course, model)
        if checkpoint is not None:
            go_on(course, checkpoint)
        if (course.step < config.steps and not course.stopped) or course.owes_validation:
            model.mark_trained(
                shown.neurons if shown.named else model.neuron_ids,
                shown.sessions if shown.named else model.session_ids,
                tasks_learnt(config, model),
            )
            _fit(model, course, drawn)
    model.eval()
    if stop.received is not None and course.step < config.steps:
        stop.leave(requeue=config.requeue and writes and folder is not None)
    lineages.set_lineage(model, lineage)
    run = Run(
        config=config,
        history=metrics.table(),
        seconds=course.elapsed,
        steps=course.step,
        windows=course.windows,
        parameters=model.n_parameters,
        manifest_digest=manifest_digest,
        folder=None if folder is None else folder.path,
        model=model,
        validation=validations.table(),
        best=course.validation.best,
        lineage=lineage,
        warnings=tuple(course.warnings),
    )
    if folder is not None:
        with one_sentence(partial(_where, course)):
            on_first(partial(_finish, folder, run, facts, resumed=checkpoint is not None))
    return run


def _where(course: Course) -> str:
    """Say how far a run came, and what is saved of it."""
    saved = "" if course.saved is None else f", the checkpoint of step {course.saved} is whole"
    return f"after step {course.step} of {course.config.steps}{saved}"


def _fit(model: PoyoPlus, course: Course, shown: bool) -> None:
    """Take the steps that are left."""
    config = course.config
    taking = {name: p.requires_grad for name, p in model.named_parameters()}
    frozen = [(part, part.statistics_frozen) for part in model.modules() if isinstance(part, UNetDecoder)]
    bar = (
        training_bar(_STAGES[config.objective], config.steps, course.step)
        if shown
        else contextlib.nullcontext(course.advance)
    )
    # A model comes out of its last run, or of a checkpoint, in evaluation mode, and Lightning leaves it there.
    model.train()
    try:
        if config.trains == "identification":
            model.identify_only()
        with (
            one_sentence(partial(_where, course)),
            quiet_lightning(),
            torch.random.fork_rng(devices=cuda_devices()),
            bar as advance,
        ):
            course.advance = advance
            lesson = Lesson(model, course)
            trainer = make_trainer(config, course)
            if config.world > 1:
                # Lightning's own agreement on signals makes every step wait for the device; ours is at readings.
                trainer.fit_loop.epoch_loop.__dict__["_broadcast_sigterm_tensor"] = lambda: None
            try:
                trainer.fit(lesson, train_dataloaders=course.cycle)
            except SystemExit as stop:  # what Lightning makes of Ctrl-C; it would end a notebook's kernel
                raise KeyboardInterrupt from stop
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(taking[name])
        for decoder, was_frozen in frozen:
            decoder.freeze_statistics(was_frozen)


def _check_share(loader: Batches, world: int) -> None:
    """Refuse a loader that gives every process the same windows."""
    ranks = getattr(loader, "ranks", None)
    if ranks is not None and ranks.world != world:
        raise ModelError(
            f"the loader shares its windows among {ranks.world} processes, and {world} are training; make it with rank "
            "and world of poyodata.models.training.ranks_of(config)"
        )


def _check_identified(config: TrainConfig, model: PoyoPlus) -> None:
    """Refuse to identify neurons by a model that has learnt nothing to identify them by."""
    if config.trains != "identification":
        return
    if not model.trained_session_ids:
        raise ModelError(
            "identification trains rows of new neurons in a model that was trained on others, and this one never was; "
            "train it first, or begin with a run (--from)"
        )
    if untrained := [name for name in tasks_learnt(config, model) if name not in model.trained_tasks]:
        raise ModelError(
            f"identification leaves readouts as they are, and that of {' and '.join(map(repr, untrained))} was never "
            "trained; begin with a run that trained it, or take the task out of model.tasks"
        )


def _tables(folder: RunFolder | None) -> tuple[Path | None, Path | None]:
    return (None, None) if folder is None else (folder.metrics, folder.validation)


def _measure(
    validate: Measure | Batches | None, objective: Objective, config: TrainConfig, model: PoyoPlus
) -> Measure | None:
    if validate is None or callable(validate):
        return validate
    options: dict[str, Any] = {}
    if config.objective == "masked" and config.target == "average":
        # The average is of the training; what is measured stands for itself.
        options["teacher"] = None
        changed = config.model_copy(update={"target": "self"})
        objective = objective_of(changed, model)
    return loss_over(validate, objective, config.seed)


def _begin(folder: RunFolder, course: Course, model: PoyoPlus) -> None:
    """Write what is known before the first step; a folder with ``config.json`` can be resumed."""
    if course.resumed is None:
        folder.write(folder.lineage, course.facts["lineage"])
        folder.write(folder.config, {**course.facts, "model": model.config.model_dump(mode="json")})
    device = next(model.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    folder.add_session(course.step, {"device": name, "processes": course.config.world})


def _best_kept(folder: RunFolder, run: Run) -> Mapping[str, Any] | None:
    """Give the validation that ``best.ckpt`` is of, after steps that may have been taken twice.

    Where a step comes out otherwise the second time (on a GPU, say), the better model of the first time stays there.
    """
    if run.best is None:
        return None
    with contextlib.suppress(ModelError):  # missing, or of another run: said when it is tested
        kept: Mapping[str, Any] = folder.read_checkpoint(folder.best).facts["best"]
        better = min if run.config.goal == "min" else max
        return better(run.best, kept, key=lambda one: one["value"])
    return run.best


def _finish(folder: RunFolder, run: Run, facts: dict[str, Any], *, resumed: bool) -> None:
    whole = {**facts, "steps": run.steps, "windows": run.windows}
    save_checkpoint(run.model, folder.model, whole)
    # Last of all: a folder with a summary.json holds a run that came to its end.
    summary: dict[str, Any] = {
        "steps": run.steps,
        "windows": run.windows,
        "parameters": run.parameters,
        "best": _best_kept(folder, run) if resumed else run.best,
    }
    summary |= {"seconds": round(run.seconds, 3), "manifest_digest": run.manifest_digest}
    folder.write(folder.summary, {**summary, "warnings": run.warnings})


def _lasting(config: TrainConfig) -> dict[str, Any]:
    """Settings that decide what is learned."""
    from poyodata.models.training.config import FREE_ON_RESUME

    return {name: value for name, value in config.model_dump(mode="json").items() if name not in FREE_ON_RESUME}
