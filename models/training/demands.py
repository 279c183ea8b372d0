"""What a recipe demands of a manifest and of the batches of its loader, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from poyodata.curation.manifest import Manifest
from poyodata.errors import ModelError, nearest
from poyodata.loaders.loader import Loader
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.models.recipes.recipe import TrainingRecipe
from poyodata.models.tokens import FEATURE_COLUMNS


def check_stimulus(manifest: Manifest, recipe: TrainingRecipe) -> None:
    """Refuse a manifest with windows of another stimulus than the recipe's own.

    Raises
    ------
    ModelError
        Naming the others.
    """
    wanted = recipe.stimulus
    if wanted is None:
        return
    found = sorted({str(name) for name in manifest.windows["stimulus"].unique()})
    others = [name for name in found if name != wanted]
    if others:
        what = ", ".join(name or "whole stretches of any stimulus" for name in others[:4])
        raise ModelError(
            f"recipe {recipe.name!r} shows {wanted} alone, and manifest {manifest.name!r} has windows of {what}; "
            f"resolve the diet on that time (`windows: {{where: stimulus == '{wanted}'}}`), or give up the demand "
            "(--set stimulus=null)."
        )


def check_targets(config: PoyoConfig, loader: Loader, recipe: TrainingRecipe) -> None:
    """Refuse a task that no target of the loader answers, or whose classes do not suffice.

    Raises
    ------
    ModelError
        Naming the task, what it reads, and what batches hold.
    """
    columns = {name for target in loader.targets for name in target.columns}
    for task in config.make_tasks():
        lacking = [name for name in task.columns if name not in columns]
        if lacking:
            raise ModelError(
                f"task {task.name!r} reads {' and '.join(map(repr, lacking))}, and the targets of the recipe's loader "
                f"give {', '.join(sorted(columns)) or 'nothing'}: {nearest(lacking[0], columns)} Add the target to "
                "loader.targets, or take the task out of model.tasks."
            )
        target = next((one for one in loader.targets if task.columns[0] in one.columns), None)
        n_classes = getattr(target, "n_classes", None)
        if task.kind == "class" and isinstance(n_classes, int) and n_classes > task.n_outputs:
            raise ModelError(
                f"task {task.name!r} has {task.n_outputs} classes, and the store shows {n_classes}; give --set "
                f"model.n_outputs.{task.name}={n_classes}."
            )
        if task.kind == "image":
            options = recipe.loader.targets.get(task.columns[0], {})
            size = (options.get("height"), options.get("width"))
            if size != tuple(config.image_size):
                raise ModelError(
                    f"the loader's pictures are {size[0]} x {size[1]} pixels, and the model's {config.image_size[0]} x "
                    f"{config.image_size[1]}; make `height` and `width` of the target and model.image_size alike."
                )


SHAPING = (
    "layout",
    "tokens",
    "features",
    "patch_frames",
    "dim",
    "dim_head",
    "depth",
    "cross_heads",
    "self_heads",
    "ffn_mult",
    "latents_per_step",
)
"""Settings of a model that say what its weights mean; some of them leave every weight its shape."""


def check_weights_fit(config: PoyoConfig, before: PoyoConfig, recipe: TrainingRecipe, from_run: str | None) -> None:
    """Refuse a recipe that wants a model in which the weights of the run before mean nothing, or are left out.

    Raises
    ------
    ModelError
        Naming the setting.
    """
    for name in SHAPING:
        wanted, had = getattr(config, name), getattr(before, name)
        if wanted != had:
            raise ModelError(
                f"recipe {recipe.name!r} sets model.{name} to {wanted!r}, and the run {str(from_run)!r} was "
                f"trained with {had!r}, so that its weights do not fit; take model.{name} out of the recipe (--set "
                f"model.{name}=null), or begin with another run."
            )


def check_identified(config: PoyoConfig, before: PoyoPlus, recipe: TrainingRecipe) -> None:
    """Refuse to identify neurons by readouts that the run before does not have, or never trained.

    Raises
    ------
    ModelError
        Naming the task.
    """
    train = recipe.train
    if train.trains != "identification" or (train.objective == "masked" and train.aux_weight == 0):
        return
    had = {task.name: task.n_outputs for task in before.tasks if task.name in before.trained_tasks}
    for task in config.make_tasks():
        if (task.name == "direction" or train.objective != "direction") and had.get(task.name) != task.n_outputs:
            raise ModelError(
                f"recipe {recipe.name!r} identifies neurons by the readout of task {task.name!r}, which the run before "
                f"did not train with {task.n_outputs} outputs; it trained {', '.join(sorted(had)) or 'none'}. Begin "
                "with a run that did, or name its tasks in model.tasks."
            )


def feature_columns(features: Sequence[str]) -> list[str]:
    """Columns of neurons that the tokens of a model are made of, as a loader names them.

    Examples
    --------
    >>> feature_columns(("depth", "position"))
    ['depth_um', 'x_um', 'y_um']
    """
    return [name.removeprefix("neuron_") for one in features for name in FEATURE_COLUMNS[one]]


def role_to_learn_from(recipe: TrainingRecipe) -> str:
    """Role of the windows that are learnt from: those of held-out animals where new neurons are to be identified."""
    return "identify" if recipe.train.trains == "identification" else "train"
