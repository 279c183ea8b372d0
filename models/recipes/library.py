"""The recipes that are shipped, and how one is loaded by its name or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from poyodata.documents import plain_text
from poyodata.documents.places import Places
from poyodata.errors import UsageError, nearest
from poyodata.models.recipes.overrides import read_overrides
from poyodata.models.recipes.recipe import TRAINING_RECIPE, TrainingRecipe
from poyodata.models.recipes.recipe_document import build


def known_recipes() -> MappingProxyType[str, str]:
    """Give the text of every recipe that is shipped, by name, sorted.

    Examples
    --------
    >>> "paper-pretrain" in known_recipes()
    True
    """
    folder = resources.files("poyodata.models.recipes")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return MappingProxyType({file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8") for file in files})


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> TrainingRecipe:
    """Load a training recipe.

    Parameters
    ----------
    source : str or Path
        Name of a recipe that is shipped, or a path that ends in .yaml or .yml.
    settings : sequence of str
        ``key=value`` texts that replace or add an entry, as in ``train.lr=1e-3``; the value is read as YAML.

    Returns
    -------
    TrainingRecipe

    Raises
    ------
    UsageError
        No such recipe or file, or a setting is not ``key=value`` or stands there twice.
    RecipeError
        With everything that is wrong with the document, each with its line; with settings, under ``--set``.

    Examples
    --------
    >>> load_recipe("small-pretrain", ["batch_size=4"]).batch_size
    4
    """
    text, name, folder = _found(source)
    value, places = plain_text.read_yaml(text, name, TRAINING_RECIPE)
    return build(value, places, overrides=read_overrides(settings), folder=folder)


def _found(source: str | Path) -> tuple[str, str, Path]:
    """Text, name for messages, and folder against which paths inside are taken."""
    if str(source).endswith((".yaml", ".yml")):
        path = Path(source)
        return plain_text.read_file(path, TRAINING_RECIPE), str(path), path.parent
    shipped = known_recipes()
    if str(source) not in shipped:
        close = nearest(str(source)[:60], shipped)
        raise UsageError(f"unknown recipe {str(source)[:60]!r}; {close} A file is named with its ending, .yaml.")
    return shipped[str(source)], f"{source}.yaml", Path()


def from_text(text: str) -> TrainingRecipe:
    """Read a recipe from YAML text.

    Raises
    ------
    RecipeError
    """
    return build(*plain_text.read_yaml(text, kind=TRAINING_RECIPE))


def from_dict(value: dict[str, object]) -> TrainingRecipe:
    """Read a recipe from what `TrainingRecipe.to_dict` gives.

    Raises
    ------
    RecipeError
    """
    return build(value, Places(kind=TRAINING_RECIPE))
