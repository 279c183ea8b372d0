"""Runs on disk, as stages find them: where one may be written, and the model of one that came to its end."""

from __future__ import annotations

import os
from pathlib import Path

from poyodata.errors import ModelError, UsageError
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.ancestry import FOLDER, UNFINISHED, Ancestor, Ancestry
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.lineage import from_json, set_lineage
from poyodata.models.training.signals import was_requeued


def check_out(out: str | Path) -> None:
    """Refuse a folder that holds something, before anything is read for a run in it.

    A job that SLURM queued again, and every process of a run but the first, finds its own run there, which is right.

    Raises
    ------
    UsageError
        It holds a run, or anything else; or it is a file.
    """
    if was_requeued() or int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_PROCID") or 0) > 0:
        return
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file; name a new folder for the run.")
    if (folder / FOLDER).exists():
        raise UsageError(
            f"{str(folder)!r} holds a run already; go on with it (--resume {folder}), or name another folder."
        )
    if folder.is_dir() and any(path.name != UNFINISHED for path in folder.iterdir()):
        raise UsageError(f"{str(folder)!r} is not empty and holds no run; name a new folder.")


def load_model(run: str | Path, ancestry: Ancestry, *, best: bool) -> PoyoPlus:
    """Load the model of a run that came to its end, with its lineage.

    Parameters
    ----------
    run : path
    ancestry : Ancestry
        Of the run; the checkpoint's own lineage must be of the same manifests.
    best : bool
        Whether the checkpoint is taken that a validation found best, where ``summary.json`` names one; else the last.

    Raises
    ------
    ModelError
        The run has not come to its end, or its checkpoint is missing, damaged, or of another run or step.
    """
    folder = RunFolder(run)
    file, step = chosen_checkpoint(run, best=best)
    checkpoint = folder.read_checkpoint(file, step)
    lineage = from_json(checkpoint.facts["lineage"], str(file))
    eaten = [stage.manifest_digest for stage in lineage if stage.name != "evaluate"]
    if eaten != [one.manifest.digest for one in ancestry.stages]:
        raise ModelError(
            f"{file} was trained on other manifests than {folder.path / FOLDER} says; put the run's own files back."
        )
    check_recipe(TrainConfig(**checkpoint.facts["train"]), ancestry.stages[-1], f"{file} was trained", folder)
    set_lineage(checkpoint.model, lineage)
    return checkpoint.model


def chosen_checkpoint(run: str | Path, *, best: bool) -> tuple[Path, int]:
    """Give the checkpoint that stands for a run which came to its end, and its step; arguments as for `load_model`.

    Raises
    ------
    ModelError
        The run has not come to its end.
    """
    folder = RunFolder(run)
    if not folder.summary.exists():
        raise ModelError(
            f"the run in {str(folder.path)!r} has not come to its end; go on with it first (--resume {folder.path})."
        )
    summary = folder.read_summary()
    chosen = summary.get("best") if best else None
    return (folder.model, summary["steps"]) if chosen is None else (folder.best, chosen["step"])


def check_recipe(train: TrainConfig, own: Ancestor, what: str, folder: RunFolder) -> None:
    """Refuse settings that are not those of a stage's recipe: then files of another run lie in the folder.

    Parameters
    ----------
    train : TrainConfig
        The settings.
    own : Ancestor
        The stage.
    what : str
        Whose settings they are, as the beginning of a sentence.
    folder : RunFolder

    Raises
    ------
    ModelError
        Naming the settings.
    """
    recipe = own.recipe
    # Not of a recipe, or settled when the stage began.
    settled = {"devices", "nodes"} | ({"steps"} if recipe.epochs is not None else set())
    settled |= {"validate_every"} if recipe.train.validate_every is None else set()
    differ = {name: both for name, both in recipe.train.differences(train).items() if name not in settled}
    if differ:
        listed = "; ".join(f"{name} {here!r}, the recipe says {asked!r}" for name, (asked, here) in differ.items())
        raise ModelError(
            f"{what} otherwise than the recipe in {folder.path / FOLDER}: {listed}; put the run's own files back"
        )


def last_stage(run: str | Path) -> Ancestor:
    """Give the last stage of a run: its manifest, recipe and store.

    Raises
    ------
    UsageError
        The folder holds no run.
    """
    return Ancestry.load(Path(run)).stages[-1]
