"""A stage of training before it begins: all that it needs is read and checked, and nothing is written."""

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
from poyodata.models.training.ancestry import Ancestor, Ancestry
from poyodata.models.training.arguments import PATH, require_kinds
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
from poyodata.models.training.first_pictures import begin_with_pictures
from poyodata.models.training.known import strangers, without
from poyodata.models.training.plan import TrainingPlan, make_plan, plan_text, steps_of
from poyodata.models.training.runs import load_model
from poyodata.models.training.scales import with_scales
from poyodata.store import Store

StageName = Literal["pretrain", "finetune"]
Accelerator = Literal["auto", "cpu", "gpu"]


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

    require_kinds(
        store=(store, Store),
        manifest=(manifest, Manifest),
        recipe=(recipe, TrainingRecipe),
        from_run=(from_run, (*PATH, type(None))),
        allow_leakage=(allow_leakage, (str, type(None))),
    )
    if recipe.stage != stage:
        raise UsageError(
            f"recipe {recipe.name!r} is of stage {recipe.stage}; use `poyodata train {recipe.stage}`, or a recipe of "
            f"stage {stage} (poyodata train {stage} --list)."
        )
    before, ancestry = None, Ancestry()
    if from_run is not None:
        before, ancestry = model_before(from_run), Ancestry.load(Path(from_run))
    place = str(store.path.absolute() if isinstance(store.path, Path) else store.path)
    origin = None if from_run is None else str(Path(from_run).absolute())
    own = Ancestor(stage, manifest, recipe, place, allow_leakage, origin)
    prepared = prepare_stage(store, ancestry, own, before, accelerator, devices, nodes)
    rehearse(prepared.config, prepared.train, prepared.loader, prepared.validation())
    return prepared


def prepare_stage(
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
    """Prepare a stage that stands as `own` after those of `ancestry`.

    Parameters
    ----------
    store : Store
    ancestry : Ancestry
        The stages before.
    own : Ancestor
        The stage itself.
    before : PoyoPlus or None
        The model that it begins with.
    accelerator, devices, nodes
        Where it is trained.
    known, classes : optional
        Of a run that goes on: the settings of its model, and what its numbers mean.
    """
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


def model_before(run: str | Path) -> PoyoPlus:
    """Load the model that a stage begins with: of the run's last step."""
    return load_model(run, Ancestry.load(Path(run)), best=False)


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
