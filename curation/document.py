"""The document of a diet: its keys, checked whole, every error with its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field

from poyodata.curation import rules
from poyodata.curation.expressions import Node
from poyodata.curation.parse import parse_expression
from poyodata.curation.plain_text import MAX_YAML_DEPTH, Path
from poyodata.errors import DietError, nearest

Made = TypeVar("Made")


class _Strict(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SampleDocument(_Strict):
    """``sample:`` of a rule."""

    of: RuleLike
    fraction: float | None = None
    n: int | None = None
    seed: int = 0
    within: str | None = None


class TermDocument(_Strict):
    """One entry of ``mix:``."""

    of: RuleLike
    name: str = ""
    fraction: float | None = None
    share: float | None = None
    n: int | None = None
    seed: int = 0


class RuleDocument(_Strict):
    """One rule: exactly one operator."""

    all: Literal[True] | None = None
    where: str | None = None
    ids: list[str] | None = None
    diet: str | None = None
    union: list[RuleLike] | None = None
    intersect: list[RuleLike] | None = None
    difference: list[RuleLike] | None = None
    complement: RuleLike | None = None
    sample: SampleDocument | None = None
    mix: list[TermDocument] | None = None


def _spell_out_all(value: Any) -> Any:
    return {"all": True} if value == "all" else value


RuleLike = Annotated[RuleDocument, BeforeValidator(_spell_out_all)]


class StatisticsDocument(_Strict):
    """``statistics:`` of a diet."""

    window: Literal["train", "all"] = "train"
    reference: Literal["train", "all"] = "train"


class WindowsDocument(_Strict):
    """``windows:`` of a diet."""

    where: str | None = None
    min_length_s: float | None = None


class DisjointDocument(_Strict):
    """One entry of ``disjoint:``."""

    other: str = Field(alias="from")
    by: str


class DietDocument(_Strict):
    """The whole document."""

    diet: Literal[1]
    name: str = "unnamed"
    description: str = ""
    splits: str | None = None
    statistics: StatisticsDocument = StatisticsDocument()
    missing: Literal["exclude", "include", "error"] = "exclude"
    neurons: RuleLike
    windows: WindowsDocument = WindowsDocument()
    disjoint: list[DisjointDocument] = []


for _model in (SampleDocument, TermDocument, RuleDocument, DietDocument):
    _model.model_rebuild()


def read_document(value: Any, lines: Mapping[Path, int] | None = None) -> DietDocument:
    """Check a plain mapping as a diet, and gather everything that is wrong with it in one message.

    Raises
    ------
    DietError
    """
    lines = lines or {}
    if not isinstance(value, dict):
        raise DietError(f"a diet is a mapping that begins with `diet: 1`; got {type(value).__name__}.")
    if "diet" not in value:
        raise DietError("this is no diet: it must begin with `diet: 1` (the version of the format).")
    if value["diet"] != 1 or isinstance(value["diet"], bool):
        raise DietError(f"diet format {str(value['diet'])[:20]!r} cannot be read here; this version reads `diet: 1`.")
    try:
        return DietDocument.model_validate(value)
    except pydantic.ValidationError as error:
        items = sorted(error.errors(include_url=False), key=lambda item: _line(tuple(item["loc"]), lines) or 0)
        said = [_sentence(item, lines) for item in items]
        shown = said[:10] + ([f"and {len(said) - 10} more"] if len(said) > 10 else [])
        raise DietError(" ".join(shown)) from None
    except RecursionError:
        raise DietError(f"a diet may be nested {MAX_YAML_DEPTH} levels deep at most.") from None


def _model_at(location: Path) -> type[pydantic.BaseModel]:
    """Return the model whose key the last entry of a location is."""
    model: type[pydantic.BaseModel] = DietDocument
    below: dict[str, type[pydantic.BaseModel]] = {
        "neurons": RuleDocument,
        "union": RuleDocument,
        "intersect": RuleDocument,
        "difference": RuleDocument,
        "complement": RuleDocument,
        "of": RuleDocument,
        "sample": SampleDocument,
        "mix": TermDocument,
        "statistics": StatisticsDocument,
        "windows": WindowsDocument,
        "disjoint": DisjointDocument,
    }
    for word in location[:-1]:
        model = below.get(str(word), model)
    return model


def _sentence(item: Any, lines: Mapping[Path, int]) -> str:
    location: Path = tuple(item["loc"])
    at = place(location, lines)
    arrived = repr(item["input"])[:60] if isinstance(item["input"], str | int | float | bool | None) else ""
    if item["type"] == "extra_forbidden":
        fields = _model_at(location).model_fields
        known = [field.alias or name for name, field in fields.items()]
        return f"{at}unknown key {str(location[-1])[:60]!r}; {nearest(str(location[-1])[:60], known)}"
    if item["type"] == "missing":
        return f"{at}the key {location[-1]!r} is missing."
    if item["type"] in ("model_type", "model_attributes_type"):
        return f"{at}expected a mapping{f', got {arrived}' if arrived else ''}."
    if item["type"] == "string_type":
        return f"{at}expected a text, got {arrived or 'a mapping or list'}; set it in quotes."
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{at}{message}{f', got {arrived}' if arrived else ''}."


def _line(location: Path, lines: Mapping[Path, int]) -> int | None:
    return next((lines[location[:cut]] for cut in range(len(location), -1, -1) if location[:cut] in lines), None)


def place(location: Path, lines: Mapping[Path, int]) -> str:
    """Say where in the document something stands: its line, when it is known, and its path."""
    line = _line(location, lines)
    path = ".".join(map(str, location))
    if line is None:
        return f"{path}: " if path else ""
    return f"line {line} ({path}): " if path else f"line {line}: "


_JOINING: Mapping[str, Callable[..., rules.Rule]] = {
    "union": rules.Union,
    "intersect": rules.Intersect,
    "difference": rules.Difference,
}


class Builder:
    """Turns checked documents into rules and prefixes every error with its place."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self.lines = lines

    def _at(self, path: Path, error: DietError) -> DietError:
        return DietError(f"{place(path, self.lines)}{error}")

    def condition(self, text: str, path: Path) -> Node:
        """Read an expression that stands at `path`."""
        try:
            return parse_expression(text)
        except DietError as error:
            raise self._at(path, error) from None

    def rule(self, document: RuleDocument, path: Path) -> rules.Rule:
        """Build one rule; `path` is where it stands."""
        given = [name for name in RuleDocument.model_fields if getattr(document, name) is not None]
        if len(given) != 1:
            known = ", ".join(RuleDocument.model_fields)
            what = f"has {' and '.join(given)}" if given else "has no operator"
            raise self._at(path, DietError(f"a rule has exactly one of {known}; this one {what}."))
        word = given[0]
        inner = (*path, word)
        match document:
            case RuleDocument(all=True):
                return rules.Everyone()
            case RuleDocument(where=str() as text):
                return rules.Where(self.condition(text, inner))
            case RuleDocument(complement=RuleDocument() as part):
                return rules.Complement(self.rule(part, inner))
        parts: tuple[Any, ...]
        try:
            if document.ids is not None:
                return rules.Ids(tuple(document.ids))
            if document.diet is not None:
                return rules.Reference(document.diet)
        except DietError as error:
            raise self._at(inner, error) from None
        if document.sample is not None:
            of = self.rule(document.sample.of, (*inner, "of"))
            return self.made(inner, rules.Sample, of, **document.sample.model_dump(exclude={"of"}))
        if document.mix is not None:
            parts = tuple(self._term(term, (*inner, index)) for index, term in enumerate(document.mix))
            return self.made(inner, rules.Mix, parts)
        kind: Callable[..., rules.Rule] = _JOINING[word]
        parts = tuple(self.rule(part, (*inner, index)) for index, part in enumerate(getattr(document, word)))
        return self.made(inner, kind, parts)

    def _term(self, document: TermDocument, path: Path) -> rules.MixTerm:
        of = self.rule(document.of, (*path, "of"))
        term: rules.MixTerm = self.made(path, rules.MixTerm, of, **document.model_dump(exclude={"of"}))
        return term

    def made(self, path: Path, kind: Callable[..., Made], *parts: Any, **options: Any) -> Made:
        """Make a value of what stands at `path`."""
        try:
            return kind(*parts, **options)
        except DietError as error:
            raise self._at(path, error) from None
