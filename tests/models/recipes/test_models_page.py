"""The page on models: its recipe is one, and it names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poyodata.models.recipes import TrainingRecipe, known_recipes, load_recipe
from poyodata.models.sizes import SIZES
from poyodata.models.tasks import TASKS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "models.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_its_recipe_is_read() -> None:
    (text,) = blocks("yaml")
    recipe = TrainingRecipe.from_yaml(text)
    assert recipe.model.changes == {"depth": 3}


def test_its_program_compiles() -> None:
    (text,) = blocks("python")
    compile(text, "docs/models.md", "exec")


@pytest.mark.parametrize("name", [*known_recipes(), *SIZES, *TASKS])
def test_everything_is_named(name: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-]*\.yaml)", PAGE)


@pytest.mark.parametrize("name", ["small-pretrain", "small-finetune", "paper-pretrain", "paper-finetune-gratings"])
def test_numbers_of_the_table_are_those_of_the_recipes(name: str) -> None:
    recipe = load_recipe(name)
    row = next(line for line in PAGE.splitlines() if line.startswith("| length |"))
    length = f"{recipe.epochs:g} epochs of" if recipe.epochs else f"{recipe.train.steps:,}"
    assert length in row
    assert str(recipe.batch_size) in row
