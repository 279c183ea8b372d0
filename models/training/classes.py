"""What numbers of classes mean, from one stage to the next: a row that was learnt keeps the name that it had."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from poyodata.errors import LoaderError, ModelError
from poyodata.loaders.loader import Loader
from poyodata.loaders.recipe import Recipe
from poyodata.loaders.targets.labels import LABELS
from poyodata.loaders.targets.vocabulary import NEURON, RECORDING, Vocabulary
from poyodata.models.config import PoyoConfig

Classes = Mapping[str, tuple[str, ...]]
"""Names of classes by number: of a feature under the name of its column, of answers under the name of the task."""


def classes_of(loader: Loader, config: PoyoConfig) -> dict[str, tuple[str, ...]]:
    """Say what the numbers in a loader's batches mean to a model.

    Raises
    ------
    ModelError
        A feature has more classes than the model has rows for.
    """
    rows = {"cre_line": config.n_cre_lines, "area": config.n_areas}
    found: dict[str, tuple[str, ...]] = {}
    for kind, known in loader.vocabularies.items():
        if kind in (NEURON, RECORDING):
            continue
        if len(known) > rows.get(kind, len(known)):
            raise ModelError(
                f"there are {len(known)} classes of {kind!r}, and the model has rows for {rows[kind]}; give --set "
                f"model.n_{kind}s={len(known)}, and begin with a run that has as many."
            )
        found[kind] = known.names
    for task in config.make_tasks():
        target = next((one for one in loader.targets if task.columns[0] in one.columns), None)
        if task.kind == "class" and hasattr(type(target), "classes"):
            with contextlib.suppress(LoaderError):  # ids have no classes: their numbers are those of the store
                found[task.name] = getattr(target, "classes").names  # noqa: B009
    return found


def feature_vocabularies(classes: Classes, columns: Sequence[str]) -> tuple[Vocabulary, ...]:
    """Give the vocabularies of columns of neurons that have classes already, as `make_loader` takes them."""
    return tuple(Vocabulary(kind, classes[kind]) for kind in columns if kind in classes)


def with_classes(recipe: Recipe, classes: Classes) -> Recipe:
    """Give a recipe whose targets number classes as they were numbered before; a value beyond them is refused there.

    Examples
    --------
    >>> recipe = Recipe(targets={"temporal_frequency": {}})
    >>> with_classes(recipe, {"temporal_frequency": ("1", "2")}).targets["temporal_frequency"]["vocabulary"].names
    ('1', '2')
    """
    targets = dict(recipe.targets)
    for name, options in recipe.targets.items():
        label = LABELS.get(str(options.get("target", name)))
        fixed = label is None or label.is_id or label.columns == ("direction_deg",)
        if name in classes and label is not None and not fixed and "vocabulary" not in options:
            targets[name] = {**options, "vocabulary": Vocabulary("+".join(label.columns), classes[name])}
    return recipe if targets == recipe.targets else replace(recipe, targets=targets)
