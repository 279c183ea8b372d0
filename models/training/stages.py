"""Stages of training, from a store, a manifest and a recipe to a run folder: `pretrain`, `finetune`, `evaluate`.

Before anything is trained the whole lineage is held against its tests: a test window that any stage has seen ends the
call, unless a reason is given, which then stands in every result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from poyodata.curation.leaks.report import LeakReport
from poyodata.curation.manifest import Manifest
from poyodata.documents.plain_text import write_yaml
from poyodata.errors import ModelError, UsageError
from poyodata.loaders.loader import Loader
from poyodata.loaders.make import make_loader
from poyodata.loaders.recipe import SamplingChoice, plain
from poyodata.models.batches import shown_names
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.models.recipes.recipe import TRAINING_RECIPE, TrainingRecipe
from poyodata.models.training.ancestry import FOLDER, LOGGERS, PROCESSES, Ancestor, Ancestry
from poyodata.models.training.classes import Classes, classes_of, feature_vocabularies, with_classes
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.demands import (
    check_identified,
    check_stimulus,
    check_targets,
    check_weights_fit,
    feature_columns,
    role_to_learn_from,
)
from poyodata.models.training.evaluating import Evaluation, evaluate, pool_folds
from poyodata.models.training.first_pictures import begin_with_pictures
from poyodata.models.training.folder import RunFolder
from poyodata.models.training.known import strangers, without
from poyodata.models.training.plan import TrainingPlan, make_plan, plan_text, steps_of
from poyodata.models.training.runs import check_out, check_recipe, last_stage, load_model
from poyodata.models.training.scales import with_scales
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

StageName = Literal["pretrain", "finetune"]
Accelerator = Literal["auto", "cpu", "gpu"]
DEFAULT_LOGGERS = ("tensorboard",)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A stage that may begin: everything was read and checked, and nothing was written.

    Attributes
    ----------
    store : Store
    manifest : Manifest
    recipe : TrainingRecipe
    ancestry : Ancestry
        With this stage last.
    leaks : LeakReport or None
        None where nothing is tested on.
    loader : Loader
        Of the training windows.
    config : PoyoConfig
        Of the model.
    train : TrainConfig
        With the steps that were settled.
    before : PoyoPlus or None
        The model that the stage begins with.
    classes : mapping of str to tuple of str
        What the numbers of features and of answers mean.
    """

    store: Store
    manifest: Manifest
    recipe: TrainingRecipe
    ancestry: Ancestry
    leaks: LeakReport | None
    loader: Loader
    config: PoyoConfig
    train: TrainConfig
    before: PoyoPlus | None
    classes: Classes

    @cached_property
    def plan(self) -> TrainingPlan:
        """Sizes, steps, tokens and memory; the model is not allocated for it."""
        import torch

        with torch.device("meta"):
            model = PoyoPlus(self.config, ("",), ("",))
        shown, before = shown_names(self.loader), self.before
        neurons = {*shown.neurons, *(() if before is None else before.neuron_ids)}
        sessions = {*shown.sessions, *(() if before is None else before.session_ids)}
        own = self.config.unit_dim * len(neurons) + self.config.dim * len(sessions)
        parameters = model.n_parameters + own - self.config.unit_dim - self.config.dim
        return make_plan(self.recipe, self.config, self.loader, parameters, own)

    def model(self) -> PoyoPlus:
        """Make the model that the stage begins with: new, or with all that the run before has of it, by name.

        A new decoder of pictures begins with the mean of the training frames.
        """
        from poyodata.models.training.lineage import lineage_of, set_lineage

        shown = shown_names(self.loader)
        model = PoyoPlus(self.config, shown.neurons, shown.sessions, seed=self.recipe.seed)
        model.classes = dict(self.classes)
        known: tuple[str, ...] = ()
        if self.before is not None:
            known = model.load_by_name(self.before.state_dict(), keep_others=True).tasks
            set_lineage(model, lineage_of(self.before))
        if self.config.layout != "legacy":
            begin_with_pictures(model, self.loader, known)
        return model

    def validation(self) -> Loader | None:
        """Give the loader of the windows that say which checkpoint is best; None where the manifest has none.

        Recordings that this stage does not learn from have none: a row that was never learnt says nothing of a model.
        All its windows are read, in their order, however training draws its own.
        """
        return self._validation

    @cached_property
    def _validation(self) -> Loader | None:
        shown = shown_names(self.loader)
        known = without(self.manifest, "valid", strangers(self.manifest, "valid", shown.neurons, shown.sessions))
        if "valid" not in known.roles:
            return None
        own = replace(self.ancestry.stages[-1], manifest=known)
        return _loader(self.store, own, self.config.features, "valid", self.train, self.classes, self.loader)

    @property
    def _n_valid(self) -> int:
        validation = self.validation()
        return 0 if validation is None else len(validation.windows)

    def facts(self) -> dict[str, Any]:
        """Give all of it as JSON has it: the plan, the recipe in full, the model, and the leak checks."""
        found = None if self.leaks is None else self.leaks.table().to_dict(orient="records")
        return {
            "plan": {**self.plan.facts(), "valid_windows": self._n_valid},
            "recipe": self.recipe.to_dict(),
            "model": self.config.model_dump(mode="json"),
            "leaks": found,
        }

    def text(self) -> str:
        """Say all of it: the recipe in full, the model in full, the plan and the leaks."""
        model = {"model": plain(self.config.model_dump())}
        leaks = "nothing is tested on" if self.leaks is None else self.leaks.text().splitlines()[0]
        return "\n".join(
            [
                self.recipe.to_yaml().rstrip(),
                "",
                f"# the model, for windows of {self.config.window_frames} frames at {self.config.rate_hz:.2f} Hz",
                write_yaml(model, TRAINING_RECIPE).rstrip(),
                "",
                plan_text(self.plan.facts()),
                f"{'validation':<12}{f'{self._n_valid:,} windows' if self._n_valid else 'none: no valid windows'}",
                f"{'leaks':<12}{leaks}",
            ]
        )


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
    loggers: Sequence[str] | None = None,
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
    loggers : sequence of str, optional
        ``tensorboard`` (default), ``csv``, ``wandb``; an empty sequence for nobody.
    progress : bool, optional
        Whether a progress bar is drawn; by default on a terminal.

    Returns
    -------
    StageRun

    Raises
    ------
    LeakError
        A test window was seen, and no reason is given.
    ModelError
        Recipe and manifest do not fit each other, or the folder holds a run.
    LoaderError, ManifestError
        No batch can be made; the manifest belongs to another store.
    """
    check_out(out)
    prepared = prepare(store, manifest, recipe, stage="pretrain", allow_leakage=allow_leakage, accelerator=accelerator)
    return carry_out(prepared, out, loggers=loggers, progress=progress)


def finetune(
    store: Store,
    manifest: Manifest,
    recipe: TrainingRecipe,
    from_run: str | Path | None,
    out: str | Path,
    *,
    allow_leakage: str | None = None,
    accelerator: Accelerator = "auto",
    loggers: Sequence[str] | None = None,
    progress: bool | None = None,
) -> StageRun:
    """Train on from an earlier run, or from scratch where that is None; arguments as for `pretrain`.

    Weights go by name: neurons and recordings that the earlier run knew keep their rows, whether this stage shows them
    or not, others get rows of their own, and tasks that it had keep their readouts. All that its stages have seen is
    held against this manifest's test windows.
    """
    check_out(out)
    prepared = prepare(
        store,
        manifest,
        recipe,
        stage="finetune",
        from_run=from_run,
        allow_leakage=allow_leakage,
        accelerator=accelerator,
    )
    return carry_out(prepared, out, loggers=loggers, progress=progress)


def resume(
    run: str | Path,
    store: Store | None = None,
    *,
    stage: StageName | None = None,
    accelerator: Accelerator = "auto",
    loggers: Sequence[str] | None = None,
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
    loggers : sequence of str, optional
        Who is told from here on; by default those that the run was begun with.

    Raises
    ------
    UsageError
        The folder holds no run, or one of another stage.
    ModelError
        Its last checkpoint is damaged, files of it are missing or of another run, the run that it begins with was
        trained anew, or another process trains in the folder.
    """
    from poyodata.models.training import fit

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
        prepared = _prepare(opened, earlier, last, before, accelerator, *_processes_noted(folder))
        told = _loggers_noted(folder) if loggers is None else loggers
        return _train(prepared, prepared.model(), folder, told, progress)
    config, facts = RunFolder(folder).read_config()
    check_recipe(config, last, f"{RunFolder(folder).config} trains", RunFolder(folder))
    known, classes = PoyoConfig(**facts["model"]), facts.get("classes", {})
    classes = {kind: tuple(names) for kind, names in classes.items()}
    prepared = _prepare(
        opened, earlier, last, None, accelerator, config.devices, config.nodes, known=known, classes=classes
    )
    changes: dict[str, Any] = {"accelerator": accelerator} | ({} if loggers is None else {"loggers": tuple(loggers)})
    done = fit.resume(folder, prepared.loader, validate=prepared.validation(), progress=progress, **changes)
    return StageRun(folder, last.stage, done, ancestry)


def prepare(
    store: Store,
    manifest: Manifest,
    recipe: TrainingRecipe,
    *,
    stage: StageName,
    from_run: str | Path | None = None,
    allow_leakage: str | None = None,
    accelerator: Accelerator = "auto",
    devices: int = 1,
    nodes: int = 1,
) -> Prepared:
    """Read and check all that a stage needs, down to a batch of its validation; nothing is written.

    No model is allocated but a narrow one, which tries the loss.

    Raises
    ------
    LeakError, ModelError, LoaderError, ManifestError, UsageError
        As `pretrain` and `finetune`.
    """
    from poyodata.models.training.rehearsal import rehearse

    if recipe.stage != stage:
        raise UsageError(
            f"recipe {recipe.name!r} is of stage {recipe.stage}; use `poyodata train {recipe.stage}`, or a recipe of "
            f"stage {stage} (poyodata train {stage} --list)."
        )
    before, ancestry = None, Ancestry()
    if from_run is not None:
        before, ancestry = _model_before(from_run), Ancestry.load(Path(from_run))
    place = str(store.path.absolute() if isinstance(store.path, Path) else store.path)
    origin = None if from_run is None else str(Path(from_run).absolute())
    own = Ancestor(stage, manifest, recipe, place, allow_leakage, origin)
    prepared = _prepare(store, ancestry, own, before, accelerator, devices, nodes)
    rehearse(prepared.config, prepared.train, prepared.loader, prepared.validation())
    return prepared


def carry_out(
    prepared: Prepared, out: str | Path, *, loggers: Sequence[str] | None = None, progress: bool | None = None
) -> StageRun:
    """Train a stage that was prepared, and write the run.

    Raises
    ------
    ModelError
        The loss is not finite, memory or disk run out, or a logger's package is missing.
    """
    from poyodata.models.training.loggers import check_loggers
    from poyodata.models.training.ranks import ranks_of

    folder = Path(out)
    chosen = tuple(DEFAULT_LOGGERS if loggers is None else loggers)
    check_loggers(chosen)
    if (folder / FOLDER).exists() and Ancestry.load(folder).facts != prepared.ancestry.facts:
        raise ModelError(
            f"the run in {str(folder)!r} was begun with another manifest, recipe or earlier run; go on with it as it "
            f"was begun (--resume {folder}), or name another folder."
        )
    model = prepared.model()
    if ranks_of(prepared.train)[0] == 0 and not (folder / FOLDER).exists():
        prepared.ancestry.save(folder, chosen, (prepared.train.devices, prepared.train.nodes))
    return _train(prepared, model, folder, chosen, progress)


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


def _prepare(
    store: Store,
    ancestry: Ancestry,
    own: Ancestor,
    before: PoyoPlus | None,
    accelerator: Accelerator,
    devices: int = 1,
    nodes: int = 1,
    known: PoyoConfig | None = None,
    classes: Classes | None = None,
) -> Prepared:
    manifest, recipe = own.manifest, own.recipe
    if recipe.train.trains == "identification" and own.from_run is None:
        raise ModelError(
            f"recipe {recipe.name!r} identifies new neurons by a model that was trained on others; give its run: "
            "--from RUN."
        )
    manifest.open(store)  # refuses another store, before it is blamed on windows
    check_stimulus(manifest, recipe)
    whole = ancestry.then(own)
    leaks = whole.check(allow_leakage=own.allow_leakage)
    where = {"accelerator": accelerator, "devices": devices, "nodes": nodes}
    train = TrainConfig(**{**recipe.train.model_dump(), **where})
    earlier = None if before is None else before.config
    features = _features(recipe, known or earlier)
    if classes is None:
        classes = {} if before is None else before.classes
    loader = _loader(store, own, features, role_to_learn_from(recipe), train, classes)
    config = known or _config(recipe, loader, earlier, own.from_run)
    check_targets(config, loader, recipe)
    if before is not None:
        check_identified(config, before, recipe)
    settled = {**classes, **classes_of(loader, config)}
    if with_classes(recipe.loader, settled) != with_classes(recipe.loader, classes):
        # Made with all numbers settled, so that it is the same loader when the run goes on.
        loader = _loader(store, own, features, role_to_learn_from(recipe), train, settled)
    if known is None:
        config = with_scales(config, loader, () if before is None else before.trained_tasks)
    train = TrainConfig(**{**train.model_dump(), "steps": steps_of(recipe, len(loader))})
    return Prepared(store, manifest, recipe, whole, leaks, loader, config, train, before, settled)


def _features(recipe: TrainingRecipe, before: PoyoConfig | None) -> Sequence[str]:
    asked: Sequence[str] | None = recipe.model.changes.get("features")
    if asked is not None:
        return asked
    return () if before is None else before.features


def _loader(
    store: Store,
    own: Ancestor,
    features: Sequence[str],
    role: str,
    train: TrainConfig,
    classes: Classes,
    like: Loader | None = None,
) -> Loader:
    from poyodata.models.training.ranks import ranks_of

    recipe, shown = own.recipe, with_classes(own.recipe.loader, classes)
    if role == "valid":
        # What says which model is best is no draw of windows, and the same for every model.
        shown = replace(shown, sampling=SamplingChoice(shuffle=False))
    rank, world = ranks_of(train)
    columns = feature_columns(features)
    return make_loader(
        store,
        own.manifest,
        role,
        recipe=shown,
        normalise=like.normalisation if like is not None and recipe.loader.normalise else None,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        neuron_columns=columns,
        vocabulary=feature_vocabularies(classes, columns),
        rank=rank if like is None else 0,
        world=world if like is None else 1,
    )


def _model_before(run: str | Path) -> PoyoPlus:
    return load_model(run, Ancestry.load(Path(run)), best=False)


def _same_before(run: str, earlier: Ancestry, folder: Path) -> PoyoPlus:
    """Load the model of the run that one in `folder` begins with, where it is still what it was when that was begun."""
    if Ancestry.load(Path(run)).facts != earlier.facts:
        raise ModelError(
            f"the run {run!r}, with which the one in {str(folder)!r} begins, was trained anew since: its stages are "
            f"no longer those in {folder / FOLDER}; put it back as it was, or begin again in a new folder."
        )
    return _model_before(run)


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


def _config(recipe: TrainingRecipe, loader: Loader, before: PoyoConfig | None, from_run: str | None) -> PoyoConfig:
    """Settings of the model: of the recipe; after another run, that run's, with what the recipe asks of it."""
    if before is None:
        return recipe.model.config(loader.n_frames, loader.rate_hz)
    if recipe.model.size != before.name:
        raise ModelError(
            f"the run {str(from_run)!r} is a {before.name}, and recipe {recipe.name!r} wants a {recipe.model.size}; "
            f"give --set model.size={before.name}, or begin with another run."
        )
    changes = recipe.model.changes
    tasks = changes.get("tasks", before.tasks)
    kept: dict[str, Any] = {}
    # What is asked of one task leaves the others as they were trained.
    for field in ("n_outputs", "weights", "scales"):
        known = {name: value for name, value in getattr(before, field).items() if name in tasks}
        kept[field] = {**known, **changes.get(field, {})}
    frame_tasks = tuple(name for name in before.frame_tasks if name in tasks)
    settings = {**before.model_dump(), "frame_tasks": frame_tasks, **changes, **kept}
    made = PoyoConfig(**{**settings, "window_frames": loader.n_frames, "rate_hz": loader.rate_hz})
    check_weights_fit(made, before, recipe, from_run)
    return made
