"""Runs on disk, as stages find them: where one may be written, and the model of one that came to its end."""

from __future__ import annotations

import os
from pathlib import Path

from poyodata.errors import ModelError, UsageError
from poyodata.models.checkpoint import load_checkpoint
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.ancestry import FOLDER, UNFINISHED, Ancestor, Ancestry
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
        Whether the checkpoint that a validation found best is taken, where there is one; else the last.

    Raises
    ------
    ModelError
        The run has not come to its end, or its checkpoint is damaged or of other stages.
    """
    folder = RunFolder(run)
    if not folder.summary.exists():
        raise ModelError(
            f"the run in {str(folder.path)!r} has not come to its end; go on with it first (--resume {folder.path})."
        )
    file = folder.best if best and folder.best.exists() else folder.model
    checkpoint = load_checkpoint(file)
    lineage = from_json(checkpoint.facts.get("lineage", ()), str(file))
    eaten = [stage.manifest_digest for stage in lineage if stage.name != "evaluate"]
    if eaten != [one.manifest.digest for one in ancestry.stages]:
        raise ModelError(
            f"{file} was trained on other manifests than {folder.path / FOLDER} says; put the run's own files back."
        )
    set_lineage(checkpoint.model, lineage)
    return checkpoint.model


def last_stage(run: str | Path) -> Ancestor:
    """Give the last stage of a run: its manifest, recipe and store.

    Raises
    ------
    UsageError
        The folder holds no run.
    """
    return Ancestry.load(Path(run)).stages[-1]
