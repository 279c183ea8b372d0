"""Training recipes: how a model is shaped, shown its data and trained, as typed YAML with a digest."""

from __future__ import annotations

from poyodata.models.recipes.library import known_recipes, load_recipe
from poyodata.models.recipes.recipe import ModelChoice, TrainingRecipe

__all__ = ["ModelChoice", "TrainingRecipe", "known_recipes", "load_recipe"]
