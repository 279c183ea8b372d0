"""From the document of a recipe to the recipe: every problem of it gathered, each with its line and column."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pydantic

from poyodata.documents.places import RECIPE, Path, Places, printable, together
from poyodata.documents.plain_text import check_plain
from poyodata.errors import LoaderError, Problem, nearest
from poyodata.loaders.masks.mask import Mask
from poyodata.loaders.masks.mask_spec import DRAWS, ON_SINGLE_GROUP, MaskSpec
from poyodata.loaders.recipe import LAYOUTS, TRANSFORMS, Recipe, SamplingChoice, WindowsChoice
from poyodata.loaders.targets.target import known_targets
from poyodata.loaders.views import TwoViews

Made = TypeVar("Made")

KEYS = (
    "name",
    "diet",
    "windows",
    "sampling",
    "targets",
    "transforms",
    "masks",
    "mask_draw",
    "on_single_group",
    "views",
    "layout",
)


def build(value: Any, places: Places) -> Recipe:
    """Make a recipe of a plain mapping.

    Raises
    ------
    RecipeError
        With everything that is wrong with the document, as far as it can be told without a store.
    """
    return _Builder(places).recipe(value)


class _Builder:
    """Turns a plain mapping into the parts of a recipe, and gathers what is wrong with it."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.problems: list[Problem] = []

    def tell(self, path: Path, message: str, *, value: bool = False) -> None:
        """Write a problem down: at the key of an entry, or at its value."""
        self.problems.append(self.places.problem(path, message, self.places.value(path) if value else None))

    def recipe(self, value: Any) -> Recipe:
        check_plain(value, self.places)
        if not isinstance(value, dict):
            raise self.places.error(f"a recipe is a mapping that begins with `recipe: 1`; got {type(value).__name__}.")
        if "recipe" not in value:
            raise self.places.error("this is no recipe: it must begin with `recipe: 1` (the version of the format).")
        body, at = self._body(value)
        options: dict[str, Any] = {}
        for word in ("name", "diet"):
            if word in body and self._is_text(body[word], (*at, word)):
                options[word] = body[word]
        for word, kind in (("windows", WindowsChoice), ("sampling", SamplingChoice), ("views", TwoViews)):
            if word in body:
                given = {"how": body[word]} if word == "sampling" and isinstance(body[word], str) else body[word]
                options[word] = self.made(given, (*at, word), kind)
        if "layout" in body and self._is_one_of(body["layout"], LAYOUTS, (*at, "layout")):
            options["layout"] = body["layout"]
        if "targets" in body:
            options["targets"] = self._targets(body["targets"], (*at, "targets"))
        if "transforms" in body:
            options["transforms"] = self._transforms(body["transforms"], (*at, "transforms"))
        options["masks"] = self._masks(body, at)
        if self.problems:
            raise together(self.problems, RECIPE)
        try:
            return Recipe(**options)
        except LoaderError as error:
            raise together([self.places.problem(at, str(error))], RECIPE) from None

    def _body(self, value: dict[str, Any]) -> tuple[dict[str, Any], Path]:
        """The mapping that holds a recipe's keys, and where it stands; without keys that are unknown or empty."""
        nested = isinstance(value["recipe"], dict)
        if not nested and (value["recipe"] != 1 or isinstance(value["recipe"], bool)):
            wrong = f"recipe format {printable(str(value['recipe']), 20)!r} cannot be read here; this version reads 1."
            raise together([self.places.problem(("recipe",), wrong)], RECIPE)
        body: dict[str, Any] = {}
        outer = ("diet",) if nested else KEYS
        for word, part in value.items():
            if word != "recipe" and self._is_known(word, outer, (word,), part):
                body[word] = part
        if nested:
            for word, part in value["recipe"].items():
                if self._is_known(word, KEYS, ("recipe", word), part):
                    body[word] = part
        return body, ("recipe",) if nested else ()

    def _is_known(self, word: str, known: tuple[str, ...], path: Path, part: Any) -> bool:
        if word not in known:
            self.tell(path, f"unknown key; {nearest(word[:60], known)}")
        elif part is None:
            self.tell(path, "has no value; write one, or leave the key out.")
        return word in known and part is not None

    def _is_text(self, value: Any, path: Path) -> bool:
        good = isinstance(value, str) and bool(value.strip())
        if not good:
            self.tell(path, f"expected a text, got {_shown(value)}.", value=True)
        return good

    def _is_one_of(self, value: Any, known: tuple[str, ...], path: Path) -> bool:
        if value not in known:
            self.tell(path, f"unknown value {_shown(value)}: {nearest(str(value)[:60], known)}", value=True)
        return value in known

    def _entries(self, value: Any, path: Path) -> list[Any]:
        if not isinstance(value, list | tuple):
            self.tell(path, f"expected a list, got {_shown(value)}.", value=True)
            return []
        return list(value)

    def _targets(self, value: Any, path: Path) -> dict[str, dict[str, Any]]:
        targets: dict[str, dict[str, Any]] = {}
        for index, entry in enumerate(self._entries(value, path)):
            at = (*path, index)
            options = {"name": entry} if isinstance(entry, str) else entry
            if not isinstance(options, dict) or not isinstance(options.get("name"), str):
                self.tell(at, "a target is its name, or a mapping with `name` and options.", value=True)
                continue
            name = options["name"]
            kind = options.get("target", name)
            if not isinstance(kind, str) or kind not in known_targets():
                self.tell(at, f"unknown target {_shown(kind)}: {nearest(str(kind)[:60], known_targets())}", value=True)
            elif name in targets:
                self.tell(at, f"target {name!r} stands there twice; keep one, or give one another name.", value=True)
            else:
                targets[name] = {word: one for word, one in options.items() if word != "name"}
        return targets

    def _transforms(self, value: Any, path: Path) -> tuple[Any, ...]:
        made = []
        for index, entry in enumerate(self._entries(value, path)):
            at = (*path, index)
            options = {"name": entry} if isinstance(entry, str) else entry
            if not isinstance(options, dict) or not isinstance(options.get("name"), str):
                self.tell(at, "a transform is its name, or a mapping with `name` and options.", value=True)
                continue
            name = options["name"]
            if name not in TRANSFORMS:
                where = at if isinstance(entry, str) else (*at, "name")
                self.tell(where, f"unknown transform {_shown(name)}: {nearest(name[:60], TRANSFORMS)}", value=True)
                continue
            rest = {word: one for word, one in options.items() if word != "name"}
            made.append(self.made(rest, at, TRANSFORMS[name]))
        return tuple(made)

    def _masks(self, body: Mapping[str, Any], at: Path) -> MaskSpec | None:
        options: dict[str, Any] = {}
        for word, name, known in (
            ("mask_draw", "draw_scheme", DRAWS),
            ("on_single_group", "on_single_group", ON_SINGLE_GROUP),
        ):
            if word in body and self._is_one_of(body[word], known, (*at, word)):
                options[name] = body[word]
            if word in body and "masks" not in body:
                self.tell((*at, word), "is for `masks`, and there are none.")
        if "masks" not in body:
            return None
        path = (*at, "masks")
        masks = [
            self.made(entry, (*path, index), Mask) for index, entry in enumerate(self._entries(body["masks"], path))
        ]
        if self.problems:
            return None
        try:
            return MaskSpec(tuple(mask for mask in masks if mask is not None), **options)
        except LoaderError as error:
            self.tell(path, str(error))
            return None

    def made(self, value: Any, path: Path, kind: Callable[..., Made]) -> Made | None:
        """Make a frozen dataclass of a mapping; None, and problems, where it cannot be made."""
        if not isinstance(value, dict):
            self.tell(path, f"expected a mapping, got {_shown(value)}.", value=True)
            return None
        hints = _hints(kind)
        try:
            model = _model(kind).model_validate(_with_tuples(value))
        except pydantic.ValidationError as error:
            told: set[Any] = set()
            for item in error.errors(include_url=False):
                word = item["loc"][0]
                if word in told:
                    continue  # of a choice of kinds, each says that it is not of it
                told.add(word)
                what = item["type"] if len(item["loc"]) == 1 else "of another kind"
                self._wrong(what, str(word), value, path, hints)
            return None
        try:
            return kind(**{name: getattr(model, name) for name in model.model_fields_set})
        except LoaderError as error:
            self.tell(path, str(error))
            return None

    def _wrong(self, what: str, word: str, value: dict[str, Any], path: Path, hints: Mapping[str, Any]) -> None:
        if what == "extra_forbidden":
            self.tell((*path, word), f"unknown key; {nearest(word[:60], hints)}")
        elif what == "missing":
            self.tell(path, f"the key {word!r} is missing.")
        elif value[word] is None:
            self.tell((*path, word), "has no value; write one, or leave the key out.")
        elif get_origin(hints[word]) is Literal:
            self._is_one_of(value[word], get_args(hints[word]), (*path, word))
        else:
            self.tell((*path, word), f"expected {_words(hints[word])}, got {_shown(value[word])}.", value=True)


@cache
def _hints(kind: Callable[..., Any]) -> dict[str, Any]:
    """Types of a dataclass's fields; a default of None means that the key may be left out, and no more."""
    hints = get_type_hints(kind)
    return {one.name: _given(hints[one.name]) for one in fields(kind)}  # type: ignore[arg-type]


@cache
def _model(kind: Callable[..., Any]) -> type[pydantic.BaseModel]:
    """A strict model of the fields of a dataclass."""
    hints = _hints(kind)
    options: dict[str, Any] = {
        one.name: (hints[one.name], ... if one.default is MISSING else one.default)
        for one in fields(kind)  # type: ignore[arg-type]
    }
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    made: type[pydantic.BaseModel] = pydantic.create_model("Document", __config__=config, **options)
    return made


def _given(hint: Any) -> Any:
    """A type without None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return Union[tuple(kinds)]  # noqa: UP007  # of kinds that are known when it runs


def _words(hint: Any) -> str:
    """Say what a type takes."""
    known = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    if hint in known:
        return known[hint]
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return "a list of numbers" if Ellipsis in parts else f"a list of {len(parts)} numbers"
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_words(kind) for kind in get_args(hint))
    return "a mapping of names to numbers"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return repr(value)[:60]


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {word: _with_tuples(one) for word, one in value.items()}
    return tuple(_with_tuples(one) for one in value) if isinstance(value, list) else value
