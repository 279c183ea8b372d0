"""From the document of a training recipe to the recipe: every problem gathered, each with its line and column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath
from typing import Any, get_args

import pydantic

from poyodata.documents.places import Path, Places, printable, together
from poyodata.documents.plain_text import check_plain
from poyodata.errors import LoaderError, ModelError, PoyodataError, Problem, RecipeError, nearest
from poyodata.loaders.recipe import Recipe, WindowsChoice
from poyodata.loaders.recipe_document import build as build_loader
from poyodata.models.config import PoyoConfig, Settings
from poyodata.models.recipes.overrides import Overrides, overridden
from poyodata.models.recipes.recipe import OF_LOADER, OF_RUN, TRAINING_RECIPE, ModelChoice, TrainingRecipe
from poyodata.models.sizes import SIZES
from poyodata.models.training.config import TrainConfig

KEYS = ("training", *TrainingRecipe.model_fields)
PLAIN = ("name", "stage", "about", "seed", "batch_size", "epochs", "stimulus")
"""Keys whose values are taken as they are."""
RATE_HZ, WINDOW_S = 30.0, 2.0
"""Imaging rate, and length of a window that says none, at which settings of a model are tried before any recording."""


def build(
    value: Any, places: Places, *, overrides: Overrides | None = None, folder: FilePath | None = None
) -> TrainingRecipe:
    """Make a training recipe of a plain mapping.

    Parameters
    ----------
    value : mapping
    places : Places
        Where its entries stand.
    overrides : mapping of tuple of str to value, optional
        Entries that are replaced or added first; what is wrong with one is told under ``--set``.
    folder : Path, optional
        Where the file of a loader's recipe is looked for.

    Raises
    ------
    RecipeError
        With everything that is wrong with the document, as far as it can be told without a store.
    """
    changed = overridden(value, overrides or {})
    check_plain(changed, places)
    try:
        return _Builder(places, folder or FilePath()).recipe(changed)
    except RecipeError as error:
        if not overrides or not error.problems:
            raise
        told = [_under_set(problem, overrides) for problem in error.problems]
        raise together(told, TRAINING_RECIPE) from None


def _under_set(problem: Problem, overrides: Overrides) -> Problem:
    """Point at the setting, where a problem is of what was set."""
    for words in overrides:
        key = ".".join(words)
        if problem.path == key or problem.path.startswith(f"{key}."):
            return replace(problem, line=None, column=None, name="--set")
    return problem


class _Builder:
    """Turns a plain mapping into the parts of a recipe, and gathers what is wrong with it."""

    def __init__(self, places: Places, folder: FilePath) -> None:
        self.places, self.folder = places, folder
        self.problems: list[Problem] = []

    def tell(self, path: Path, message: str, *, value: bool = False) -> None:
        """Write a problem down: at the key of an entry, or at its value."""
        self.problems.append(self.places.problem(path, message, self.places.value(path) if value else None))

    def recipe(self, value: Any) -> TrainingRecipe:
        if not isinstance(value, dict) or "training" not in value:
            raise self.places.error("this is no training recipe: it must begin with `training: 1` (the format).")
        if value["training"] != 1 or isinstance(value["training"], bool):
            wrong = f"format {printable(str(value['training']), 20)!r} cannot be read here; this version reads 1."
            raise together([self.places.problem(("training",), wrong)], TRAINING_RECIPE)
        self._keys(value)
        body = {word: part for word, part in value.items() if word in KEYS and part is not None}
        loader = self._loader(body.pop("loader", None))
        self._typed({word: part for word, part in body.items() if word != "training"})
        if self.problems:
            raise together(self.problems, TRAINING_RECIPE)
        model = dict(body.get("model") or {})
        choice = self._made(("model",), lambda: self._model(model, loader))
        train = self._made(("train",), lambda: self._train(body))
        if self.problems:
            raise together(self.problems, TRAINING_RECIPE)
        plain_parts = {word: body[word] for word in PLAIN if word in body}
        made: TrainingRecipe | None = self._made(
            (), lambda: TrainingRecipe(**plain_parts, loader=loader, model=choice, train=train)
        )
        if made is None:
            raise together(self.problems, TRAINING_RECIPE)
        return made

    def _keys(self, value: Mapping[str, Any]) -> None:
        for word, part in value.items():
            if word not in KEYS:
                self.tell((word,), f"unknown key; {nearest(word[:60], KEYS)}")
            elif part is None:
                self.tell((word,), "has no value; write one, or leave the key out.")
        for word in ("loader", "train"):
            if word not in value:
                self.tell((), f"the key {word!r} is missing.")

    def _typed(self, body: Mapping[str, Any]) -> None:
        """Hold the sections against the types of their settings."""
        try:
            _document().model_validate(with_tuples(dict(body)))
        except pydantic.ValidationError as error:
            told: set[Path] = set()
            for item in error.errors(include_url=False):
                path = _path(item["loc"], body)
                if path not in told:
                    told.add(path)
                    self.problems += self._wrong(item, path)

    def _wrong(self, item: Any, path: Path) -> Iterator[Problem]:
        kind = item["type"]
        if kind == "missing":
            if path[-1] != item["loc"][-1]:
                message = f"expected a longer list, got {shown(item['input'])}."
                yield self.places.problem(path, message, self.places.value(path))
            elif path[-1] not in ("loader", "train"):
                yield self.places.problem(path[:-1], f"the key {path[-1]!r} is missing.")
            return
        if kind == "extra_forbidden":
            if len(path) > 1:
                yield self.places.problem(path, f"unknown key; {self._near(path)}")
            return
        given = item["input"]
        if given is None:
            yield self.places.problem(path, "has no value; write one, or leave the key out.")
        elif kind == "literal_error":
            known = [str(one).strip("'") for one in item["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            message = f"unknown value {shown(given)}: {nearest(str(given)[:60], known)}"
            yield self.places.problem(path, message, self.places.value(path))
        else:
            message = f"{_sentence(item['msg'])}, got {shown(given)}."
            yield self.places.problem(path, message, self.places.value(path))

    def _near(self, path: Path) -> str:
        known = set(_fields_of(path[:-1]))
        word = str(path[-1])
        if path[:-1] == ("model",) and word in OF_LOADER:
            return "that comes from the size and from the windows of `loader`."
        if path[:-1] == ("train",) and word in OF_RUN:
            return {
                "seed": "`seed` stands beside `train`, for everything that is drawn.",
                "folder": "where a run is written is said when it is started (--out).",
            }.get(word, "that is said when the run is started.")
        return nearest(word[:60], known)

    def _loader(self, value: Any) -> Recipe | None:
        if value is None:
            return None
        try:
            if isinstance(value, str):
                if not value.endswith((".yaml", ".yml")):
                    self.tell(("loader",), "is a mapping, or the path of a recipe of loaders (.yaml).", value=True)
                    return None
                return Recipe.from_yaml(self.folder / value)
            if not isinstance(value, dict):
                self.tell(("loader",), f"expected a mapping, got {shown(value)}.", value=True)
                return None
            body = {word: part for word, part in value.items() if word != "recipe"}
            return build_loader({"recipe": body}, _moved(self.places))
        except LoaderError as error:
            for problem in getattr(error, "problems", ()) or (Problem(None, None, "", str(error)),):
                inner = problem.path.removeprefix("recipe").removeprefix(".")
                at = problem if problem.line is not None else self.places.problem(("loader",), "")
                path = f"loader.{inner}" if inner else "loader"
                self.problems.append(Problem(at.line, at.column, path, problem.message, self.places.name))
        except PoyodataError as error:
            self.tell(("loader",), str(error), value=True)
        return None

    def _made(self, path: Path, make: Any) -> Any:
        try:
            return make()
        except ModelError as error:
            self.tell(path, str(error))
            return None

    def _model(self, given: dict[str, Any], loader: Recipe | None) -> ModelChoice:
        size = given.pop("size", ModelChoice().size)
        if size not in SIZES:
            self.tell(
                ("model", "size"), f"there is no model size {size[:60]!r}; {nearest(size[:60], SIZES)}", value=True
            )
            return ModelChoice()
        choice = ModelChoice(size=size, changes=with_tuples(given))
        windows = WindowsChoice() if loader is None else loader.windows
        n_frames = windows.n_frames or max(1, round((windows.window_s or WINDOW_S) * RATE_HZ))
        choice.config(n_frames, RATE_HZ)
        return choice

    def _train(self, body: Mapping[str, Any]) -> TrainConfig:
        given = with_tuples(dict(body.get("train") or {}))
        if "epochs" in body and "steps" in given:
            raise ModelError("is `epochs` or `train.steps`, and not both; take one away (--set train.steps=null)")
        if "epochs" not in body and "steps" not in given:
            raise ModelError("needs its length: `train.steps`, or `epochs` beside it")
        return TrainConfig(**{**given, "seed": body.get("seed", 0)})


def _moved(places: Places) -> Places:
    """Places of what stands under ``loader``, as if it stood under ``recipe``."""
    places.key(())  # looks for them, where that has not been done
    keys = {("recipe", *path[1:]): at for path, at in places.keys.items() if path[:1] == ("loader",)}
    values = {("recipe", *path[1:]): at for path, at in places.values.items() if path[:1] == ("loader",)}
    return Places(places.name, places.text, keys, values, kind=places.kind)


def section(kind: type[Settings], leave_out: tuple[str, ...] = (), **more: Any) -> type[pydantic.BaseModel]:
    """Make a strict model of settings as a document has them: nothing must be given, and nothing unknown may be."""
    fields: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        if name in leave_out:
            continue
        annotation: Any = info.annotation
        inner = _settings_in(annotation)
        fields[name] = (section(inner), None) if inner is not None else (annotation, info)
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    made: type[pydantic.BaseModel] = pydantic.create_model(kind.__name__, __config__=config, **fields, **more)
    return made


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The class of settings that an entry holds, where it does."""
    kinds = [annotation, *get_args(annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Settings)), None)


@cache
def _document() -> type[pydantic.BaseModel]:
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    own = TrainingRecipe.model_fields
    made: type[pydantic.BaseModel] = pydantic.create_model(
        "Document",
        __config__=config,
        name=(str, pydantic.Field(min_length=1, max_length=80)),
        stage=(_annotation("stage"), ...),
        about=(str, ""),
        seed=(int, own["seed"]),
        batch_size=(int, own["batch_size"]),
        epochs=(float | None, own["epochs"]),
        stimulus=(str | None, None),
        model=(section(PoyoConfig, OF_LOADER, size=(str, "")), None),
        train=(section(TrainConfig, OF_RUN), None),
    )
    return made


def _annotation(name: str) -> Any:
    return TrainingRecipe.model_fields[name].annotation


def _fields_of(path: Path) -> tuple[str, ...]:
    """Known keys at a place of the document."""
    kind: Any = _document()
    for word in path:
        info = kind.model_fields.get(str(word))
        if info is None:
            return ()
        kind = info.annotation
    return tuple(getattr(kind, "model_fields", ()))


def _path(loc: tuple[int | str, ...], body: Any) -> Path:
    """Cut a place that pydantic names to what stands in the document; of a choice of kinds, each adds its own name."""
    path: list[int | str] = []
    for word in loc:
        inside = (isinstance(body, dict) and (word in body or not path)) or (
            isinstance(body, list | tuple) and isinstance(word, int) and word < len(body)
        )
        if not inside and isinstance(body, dict) and word == loc[-1]:
            path.append(word)
            break
        if not inside:
            break
        path.append(word)
        body = body.get(word) if isinstance(body, dict) else body[int(word)]
    return tuple(path)


def _sentence(message: str) -> str:
    words = {
        "Input should be a valid integer": "expected a whole number",
        "Input should be a valid number": "expected a number",
        "Input should be a valid string": "expected a text",
        "Input should be a valid boolean": "expected true or false",
        "Input should be a valid tuple": "expected a list",
    }
    for start, said in words.items():
        if message.startswith(start):
            return said
    if message.startswith("Input should be a valid dictionary"):
        return "expected a mapping"
    return message.replace("Input should be", "must be")


def shown(value: Any) -> str:
    """Show what arrived, and no more of it than fits a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number without end"
    return repr(value)[:60]


def with_tuples(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    if isinstance(value, dict):
        return {word: with_tuples(one) for word, one in value.items()}
    return tuple(with_tuples(one) for one in value) if isinstance(value, list | tuple) else value
