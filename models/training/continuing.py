"""What a run goes on from: its last checkpoint, where the folder, the settings and the windows are still the run's."""

from __future__ import annotations

from poyodata.errors import ModelError
from poyodata.models.checkpoint import Checkpoint
from poyodata.models.config import PoyoConfig
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.lesson import Course


def settled(folder: RunFolder | None, config: TrainConfig) -> TrainConfig:
    """Say how often the model is measured, which `checkpoint_every` must not change when a run goes on."""
    if config.validate_every is not None or folder is None:
        return config
    known = folder.read_config()[0] if folder.holds_run else config
    return config.model_copy(update={"validate_every": _measured(known).validate_every})


def checkpoint_of(
    folder: RunFolder | None, config: TrainConfig, manifest_digest: str | None, model: PoyoConfig, *, resume: bool
) -> Checkpoint | None:
    """Give the checkpoint to go on from; None for a run that begins.

    Raises
    ------
    ModelError
        If there is a run that is not to be resumed, or that learns differently, or files of another run.
    """
    if folder is None:
        return None
    if not folder.holds_run:
        folder.check_nothing_lost()
        return None
    if not resume:
        raise ModelError(
            f"{folder.path} holds a run already; go on with it with resume=True, choose another folder, or move that "
            "run away"
        )
    known, facts = folder.read_config()
    known = _measured(known)
    # Through the settings, so that one which there was not yet has its default.
    own, was = model.model_dump(mode="json"), PoyoConfig(**facts["model"]).model_dump(mode="json")
    differ = known.differences(config)
    differ |= {f"the model's {name}": (was.get(name), own[name]) for name in own if was.get(name) != own[name]}
    if differ:
        listed = "; ".join(f"{name} was {before!r}, here it is {here!r}" for name, (before, here) in differ.items())
        raise ModelError(f"the run in {folder.path} was begun with other settings: {listed}; give those, or begin anew")
    if facts["manifest_digest"] != manifest_digest:
        raise ModelError(
            f"the run in {folder.path} was begun on manifest {_short(facts['manifest_digest'])}, here it is "
            f"{_short(manifest_digest)}; give that one, or begin anew"
        )
    checkpoint = folder.read_checkpoint(folder.last)
    if checkpoint.training is None:
        raise ModelError(f"{folder.last} is a model alone, without the state of its training; put the run's own back")
    changed = _measured(TrainConfig(**checkpoint.facts["train"])).differences(known)
    changed |= {
        name: (checkpoint.facts.get(name), facts.get(name))
        for name in ("stage", "manifest_digest", "classes")
        if checkpoint.facts.get(name, {}) != facts.get(name, {})
    }
    if changed:
        listed = "; ".join(f"{name} was {was!r}, there it is {now!r}" for name, (was, now) in changed.items())
        raise ModelError(
            f"{folder.last} was trained with other settings than {folder.config} says: {listed}; put the run's own "
            "files back"
        )
    return checkpoint


def go_on(course: Course, checkpoint: Checkpoint) -> None:
    """Put a course where a checkpoint was taken."""
    state = checkpoint.training
    if state is None:
        return
    progress = state.progress
    course.resumed = state
    course.step, course.windows, course.seconds = progress["step"], progress["windows"], progress["seconds"]
    course.stopped, course.saved = progress["stopped"], progress["step"]
    course.history.rows.cut(progress["metrics"])
    course.watch(course.history.rows.rows)
    course.rows.cut(progress["validations"])
    course.validation.load(progress["validation"])
    course.cycle.load_state_dict(progress["batches"])


def _measured(config: TrainConfig) -> TrainConfig:
    """Give settings that say how often the model is measured: by default as often as there are checkpoints."""
    return config.model_copy(update={"validate_every": config.validate_every or config.checkpoint_every})


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
