"""Stages of training, from a store, a manifest and a recipe to a run folder: `pretrain`, `finetune`, `evaluate`.

Before anything is trained the whole lineage is held against its tests: a test window that any stage has seen ends the
call, unless a reason is given, which then stands in every result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poyodata.curation.manifest import Manifest
from poyodata.errors import ModelError, UsageError
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.models.recipes.recipe import TrainingRecipe
from poyodata.models.training.ancestry import FOLDER, LOGGERS, PROCESSES, Ancestry
from poyodata.models.training.arguments import PATH, require_kinds
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.evaluating import Evaluation, evaluate, pool_folds
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.preparing import (
    Accelerator,
    Prepared,
    StageName,
    model_before,
    prepare,
    prepare_stage,
)
from poyodata.models.training.runs import check_out, check_recipe, last_stage
from poyodata.store import Store, open_store

__all__ = [
    "Evaluation",
    "Prepared",
    "StageRun",
    "carry_out",
    "check_out",
    "evaluate",
    "finetune",
    "last_stage",
    "pool_folds",
    "prepare",
    "pretrain",
    "resume",
]

DEFAULT_LOGGERS = ("tensorboard",)


@dataclass(frozen=True, eq=False)
class StageRun:
    """A stage that was carried out.

    Attributes
    ----------
    folder : Path
        Of the run.
    stage : {"pretrain", "finetune"}
    run : poyodata.models.training.Run
    ancestry : Ancestry
    """

    folder: Path
    stage: StageName
    run: Any
    ancestry: Ancestry

    @property
    def facts(self) -> dict[str, Any]:
        """What it came to, as JSON has it."""
        losses = self.run.losses
        return {
            "run": str(self.folder),
            "stage": self.stage,
            "steps": self.run.steps,
            "windows": self.run.windows,
            "parameters": self.run.parameters,
            "seconds": round(self.run.seconds, 3),
            "first_loss": float(losses[0]) if len(losses) else None,
            "last_loss": float(losses[-1]) if len(losses) else None,
            "lineage": self.ancestry.facts,
        }

    def text(self) -> str:
        """Say what it came to, and what comes next."""
        facts = self.facts
        last = "" if facts["last_loss"] is None else f", loss {facts['first_loss']:.4g} to {facts['last_loss']:.4g}"
        manifest = self.ancestry.stages[-1]
        further = (
            f"poyodata train finetune DIET {manifest.store} --from {self.folder} --out ..."
            if self.stage == "pretrain"
            else f"poyodata train evaluate {self.folder} {manifest.store}"
        )
        return f"{facts['steps']:,} steps, {facts['windows']:,} windows{last}\nrun {self.folder}\nNext: {further}"


def pretrain(
    store: Store,
    manifest: Manifest,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    allow_leakage: str | None = None,
    accelerator: Accelerator = "auto",
    loggers: str | Sequence[str] | None = None,
    progress: bool | None = None,
) -> StageRun:
    """Train a new model on a manifest, as a recipe says.

    Parameters
    ----------
    store : Store
    manifest : Manifest
        Which neurons and time; its train-role windows are learnt from, its valid-role windows choose a checkpoint.
    recipe : TrainingRecipe
        Of stage ``pretrain``.
    out : path
        A new folder.
    allow_leakage : str, optional
        A reason to go on although a test leaks.
    accelerator : {"auto", "cpu", "gpu"}
    loggers : str or sequence of str, optional
        ``tensorboard`` (default), ``csv``, ``wandb``; an empty sequence for nobody.
    progress : bool, optional
        Whether a progress bar is drawn; by default on a terminal.

    Returns
    -------
    StageRun

    Raises
    ------
    UsageError
        An argument is not of its kind, a logger is unknown, or the folder holds something.
    LeakError
        A test window was seen, and no reason is given.
    ModelError
        Recipe and manifest do not fit each other.
    LoaderError, ManifestError
        No batch can be made; the manifest belongs to another store.
    """
    told = _checked(out, loggers)
    prepared = prepare(store, manifest, recipe, stage="pretrain", allow_leakage=allow_leakage, accelerator=accelerator)
    return carry_out(prepared, out, loggers=told, progress=progress)


def finetune(
    store: Store,
    manifest: Manifest,
    recipe: TrainingRecipe,
    from_run: str | Path | None,
    out: str | Path,
    *,
    allow_leakage: str | None = None,
    accelerator: Accelerator = "auto",
    loggers: str | Sequence[str] | None = None,
    progress: bool | None = None,
) -> StageRun:
    """Train on from an earlier run, or from scratch where that is None; arguments as for `pretrain`.

    Weights go by name: neurons and recordings that the earlier run knew keep their rows, whether this stage shows them
    or not, others get rows of their own, and tasks that it had keep their readouts. All that its stages have seen is
    held against this manifest's test windows.
    """
    told = _checked(out, loggers)
    prepared = prepare(
        store,
        manifest,
        recipe,
        stage="finetune",
        from_run=from_run,
        allow_leakage=allow_leakage,
        accelerator=accelerator,
    )
    return carry_out(prepared, out, loggers=told, progress=progress)


def resume(
    run: str | Path,
    store: Store | None = None,
    *,
    stage: StageName | None = None,
    accelerator: Accelerator = "auto",
    loggers: str | Sequence[str] | None = None,
    progress: bool | None = None,
) -> StageRun:
    """Go on with a run that was stopped, to the end that it would have had undisturbed.

    Parameters
    ----------
    run : path
        Folder of the run: manifest, recipe and settings are those that lie there.
    store : Store, optional
        By default the one of which the run says where it lay.
    stage : {"pretrain", "finetune"}, optional
        What the run is taken to be; another is refused.
    accelerator, progress
        As for `pretrain`.
    loggers : str or sequence of str, optional
        Who is told from here on; by default those that the run was begun with.

    Raises
    ------
    UsageError
        The folder holds no run, or one of another stage; or an argument is not of its kind.
    ModelError
        Its last checkpoint is damaged, files of it are missing or of another run, the run that it begins with was
        trained anew, or another process trains in the folder.
    """
    from poyodata.models.training import fit
    from poyodata.models.training.loggers import check_loggers

    require_kinds(run=(run, PATH), store=(store, (Store, type(None))))
    chosen = None if loggers is None else check_loggers(loggers)
    folder = Path(run)
    ancestry = Ancestry.load(folder)
    last = ancestry.stages[-1]
    if stage is not None and last.stage != stage:
        raise UsageError(f"{str(folder)!r} is a run of stage {last.stage}; use `poyodata train {last.stage} --resume`.")
    opened = open_store(last.store) if store is None else store
    earlier = Ancestry(ancestry.stages[:-1])
    if not RunFolder(folder).holds_run:
        # It was stopped before its first checkpoint, and begins as it would have begun.
        RunFolder(folder).check_nothing_lost()
        before = None if last.from_run is None else _same_before(last.from_run, earlier, folder)
        prepared = prepare_stage(opened, earlier, last, before, accelerator, *_processes_noted(folder))
        told = _loggers_noted(folder) if chosen is None else chosen
        return _train(prepared, prepared.model(), folder, told, progress)
    config, facts = RunFolder(folder).read_config()
    check_recipe(config, last, f"{RunFolder(folder).config} trains", RunFolder(folder))
    known, classes = PoyoConfig(**facts["model"]), facts.get("classes", {})
    classes = {kind: tuple(names) for kind, names in classes.items()}
    prepared = prepare_stage(
        opened, earlier, last, None, accelerator, config.devices, config.nodes, known=known, classes=classes
    )
    changes: dict[str, Any] = {"accelerator": accelerator} | ({} if chosen is None else {"loggers": chosen})
    done = fit.resume(folder, prepared.loader, validate=prepared.validation(), progress=progress, **changes)
    return StageRun(folder, last.stage, done, ancestry)


def carry_out(
    prepared: Prepared, out: str | Path, *, loggers: str | Sequence[str] | None = None, progress: bool | None = None
) -> StageRun:
    """Train a stage that was prepared, and write the run.

    Raises
    ------
    UsageError
        A logger is unknown.
    ModelError
        The loss is not finite, memory or disk run out, or a logger's package is missing.
    """
    from poyodata.models.training.loggers import check_loggers
    from poyodata.models.training.ranks import ranks_of

    folder = Path(out)
    chosen = check_loggers(DEFAULT_LOGGERS if loggers is None else loggers)
    if (folder / FOLDER).exists() and Ancestry.load(folder).facts != prepared.ancestry.facts:
        raise ModelError(
            f"the run in {str(folder)!r} was begun with another manifest, recipe or earlier run; go on with it as it "
            f"was begun (--resume {folder}), or name another folder."
        )
    model = prepared.model()
    if ranks_of(prepared.train)[0] == 0 and not (folder / FOLDER).exists():
        prepared.ancestry.save(folder, chosen, (prepared.train.devices, prepared.train.nodes))
    return _train(prepared, model, folder, chosen, progress)


def _checked(out: str | Path, loggers: str | Sequence[str] | None) -> tuple[str, ...]:
    """Refuse a folder and loggers that cannot be used, before anything is read; and give the names of the loggers."""
    from poyodata.models.training.loggers import check_loggers

    require_kinds(out=(out, PATH))
    chosen = check_loggers(DEFAULT_LOGGERS if loggers is None else loggers)
    check_out(out)
    return chosen


def _train(
    prepared: Prepared, model: PoyoPlus, folder: Path, loggers: Sequence[str], progress: bool | None
) -> StageRun:
    from poyodata.models.training import fit

    last = prepared.ancestry.stages[-1]
    settings = {**prepared.train.model_dump(), "folder": str(folder), "loggers": tuple(loggers)}
    done = fit.train(
        model,
        prepared.loader,
        TrainConfig(**settings),
        validate=prepared.validation(),
        progress=progress,
        stage=last.stage,
    )
    return StageRun(folder, last.stage, done, prepared.ancestry)


def _same_before(run: str, earlier: Ancestry, folder: Path) -> PoyoPlus:
    """Load the model of the run that one in `folder` begins with, where it is still what it was when that was begun."""
    if Ancestry.load(Path(run)).facts != earlier.facts:
        raise ModelError(
            f"the run {run!r}, with which the one in {str(folder)!r} begins, was trained anew since: its stages are "
            f"no longer those in {folder / FOLDER}; put it back as it was, or begin again in a new folder."
        )
    return model_before(run)


def _processes_noted(folder: Path) -> tuple[int, int]:
    file = folder / FOLDER / PROCESSES
    if not file.exists():
        return 1, 1
    try:
        devices, nodes = map(int, file.read_text(encoding="utf-8").split())
    except ValueError as error:
        raise ModelError(
            f"{file} does not say on how many devices and machines the run was planned ({error}); write both numbers, "
            "as in `2 1`, or begin again in a new folder."
        ) from error
    return devices, nodes


def _loggers_noted(folder: Path) -> tuple[str, ...]:
    file = folder / FOLDER / LOGGERS
    return tuple(file.read_text(encoding="utf-8").split()) if file.exists() else DEFAULT_LOGGERS
