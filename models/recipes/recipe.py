"""`TrainingRecipe`: everything that decides a training run beside the store and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, InstanceOf, model_validator

from poyodata.digests import json_digest
from poyodata.documents import plain_text
from poyodata.documents.places import DocumentKind
from poyodata.errors import RecipeError
from poyodata.loaders.recipe import Recipe, plain
from poyodata.models.config import PoyoConfig, Settings
from poyodata.models.training.config import FREE_ON_RESUME, TrainConfig

TRAINING_RECIPE = DocumentKind(
    "training recipe", "`training: 1`", "leave entries out", "write several recipes", RecipeError
)
OF_LOADER = ("name", "rate_hz", "window_frames", "scales")
"""Settings of a model that are not in a recipe: they come from its size and from the windows."""
OF_RUN = ("folder", "seed", "accelerator", "devices", "nodes", "loggers", "requeue")
"""Settings of training that are not in its section of a recipe: where it is run, and the seed of everything."""


class ModelChoice(Settings):
    """Which model: a named size, and the settings that differ from it.

    Attributes
    ----------
    size : str
        One of the named sizes (`poyodata.models.sizes`).
    changes : mapping of str to value
        Settings of `PoyoConfig`.

    Examples
    --------
    >>> ModelChoice(size="poyo-tiny", changes={"depth": 1}).config(window_frames=60, rate_hz=30.0).depth
    1
    """

    size: str = "poyo-tiny"
    changes: Mapping[str, Any] = Field(default_factory=dict)

    def config(self, window_frames: int, rate_hz: float) -> PoyoConfig:
        """Make the settings of the model for windows of so many frames.

        Raises
        ------
        ModelError
            No such size, or settings that contradict each other.
        """
        return PoyoConfig.named(self.size, window_frames=window_frames, rate_hz=rate_hz, **self.changes)


class TrainingRecipe(Settings):
    """How one stage of training is done. Which neurons and which time, a manifest says.

    Attributes
    ----------
    name : str
        For people; not in the digest, and neither is `about`.
    stage : {"pretrain", "finetune"}
    about : str
        What it follows, and where it differs from that.
    seed : int
        Of the model's first weights, of the order of windows, and of every draw in training.
    batch_size : int
        Windows of one batch.
    epochs : float or None
        Passes over the training windows, in the place of ``train.steps``; a million at most.
    stimulus : str or None
        The only stimulus that is shown: a diet that says nothing of time is resolved on it, and a manifest with
        windows of another is refused. None takes whatever a manifest has.
    loader : poyodata.loaders.Recipe
        How data are shown: windows, order, targets, transforms; in the dense layout, without masks and views.
    model : ModelChoice
    train : TrainConfig

    Examples
    --------
    >>> from poyodata.models.recipes import load_recipe
    >>> recipe = load_recipe("small-pretrain")
    >>> recipe.stage, recipe.model.size
    ('pretrain', 'poyo-tiny')
    >>> TrainingRecipe.from_yaml(recipe.to_yaml()) == recipe
    True
    """

    name: str
    stage: Literal["pretrain", "finetune"]
    about: str = ""
    seed: int = Field(0, ge=0)
    batch_size: int = Field(ge=1)
    epochs: float | None = Field(None, gt=0, le=1e6)
    stimulus: str | None = None
    loader: InstanceOf[Recipe]
    model: ModelChoice = Field(default_factory=ModelChoice)
    train: InstanceOf[TrainConfig]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.loader.views is not None:
            raise ValueError("this model reads single windows; leave `views` out of `loader`")
        if self.loader.masks is not None:
            raise ValueError(
                "this model masks its latents (train.mask_mode, train.mask_rate), and no values; leave `masks` out of "
                "`loader`"
            )
        if self.loader.layout != "dense":
            raise ValueError(
                f"this model reads dense batches, and `loader` lays them out as {self.loader.layout}; leave `layout` "
                "out"
            )
        return self

    @property
    def digest(self) -> str:
        """Sha256 of all that changes a weight: the same for every spelling, and whatever the recipe is called."""
        whole = self.to_dict()
        train = {word: part for word, part in whole["train"].items() if word not in FREE_ON_RESUME}
        # As often as checkpoints is how often models are measured, where nothing else is said.
        train.setdefault("validate_every", self.train.checkpoint_every)
        loader = {word: part for word, part in whole["loader"].items() if word not in ("name", "diet")}
        return json_digest(
            {word: part for word, part in whole.items() if word not in ("name", "about")}
            | {"loader": loader, "train": train}
        )

    def to_dict(self) -> dict[str, Any]:
        """Write the recipe as plain mappings and lists: everything that is settled, defaults too."""
        loader = {word: part for word, part in self.loader.to_dict().items() if word != "recipe"}
        train = {word: part for word, part in self.train.model_dump().items() if word not in OF_RUN}
        head = {"training": 1, "name": self.name, "stage": self.stage, "about": self.about}
        numbers: dict[str, Any] = {"seed": self.seed, "batch_size": self.batch_size}
        if self.epochs is not None:
            numbers["epochs"] = self.epochs
            train.pop("steps", None)
        if self.stimulus is not None:
            numbers["stimulus"] = self.stimulus
        model = {"size": self.model.size, **self.model.changes}
        parts: dict[str, Any] = plain(
            {**head, **numbers, "loader": loader, "model": model, "train": _without_none(train)}
        )
        return parts

    def to_yaml(self) -> str:
        """Write the whole recipe as YAML, which `from_yaml` reads back to an equal recipe."""
        return plain_text.write_yaml(self.to_dict(), TRAINING_RECIPE)

    @classmethod
    def from_yaml(cls, source: str | Path) -> TrainingRecipe:
        """Read a recipe from YAML text, or from a file: a ``Path``, or a text of one line that ends in .yaml or .yml.

        Raises
        ------
        RecipeError
            With everything that is wrong, each with its line.
        UsageError
            No such file.
        """
        from poyodata.models.recipes import library

        if isinstance(source, str) and ("\n" in source or not source.strip().endswith((".yaml", ".yml"))):
            return library.from_text(source)
        return library.load_recipe(Path(source))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given: a document has no entries without a value."""
    return {
        word: _without_none(value) if isinstance(value, Mapping) else value
        for word, value in values.items()
        if value is not None
    }
