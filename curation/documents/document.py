"""From the document of a diet to the diet: every problem of it gathered, each with its line and column."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar

import pydantic

from poyodata.curation.binding import collect_parameters
from poyodata.curation.documents import document_keys as keys
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import Column, Node, Operand, columns_of, parameters_of
from poyodata.curation.language.parameters import Parameter
from poyodata.curation.language.parse import located_parts, parse_expression, parse_operand
from poyodata.curation.language.window_rule import WindowRule, WindowSample
from poyodata.documents.places import MAX_PROBLEMS, Path, Places, Position, together
from poyodata.documents.plain_text import check_plain
from poyodata.errors import DietError, Problem, nearest

Made = TypeVar("Made")
ROUNDS = 8
NEAR = 2
"""Levels below something at which another problem may be the cause of its own: shares of terms of a mix."""


def build(
    value: Any,
    places: Places,
    *,
    diet: Callable[..., Made],
    disjoint: Callable[[str, str], Any],
    folder: str | FilePath | None = None,
) -> Made:
    """Make a diet of a plain mapping, with `diet` and `disjoint` the classes of both.

    Raises
    ------
    DietError
        With everything that is wrong with the document, as far as it can be told without a store.
    """
    builder = Builder(places)
    options = builder.diet(value, disjoint)
    if builder.problems or options is None:
        raise together(builder.problems)
    try:
        return diet(**options, folder=folder)
    except DietError as error:
        raise together([places.problem((), str(error))]) from None


class Builder:
    """Turns a plain mapping into the parts of a diet, and gathers what is wrong with it.

    Attributes
    ----------
    places : Places
    problems : list of Problem
    texts : dict of path to (text, tree)
        Every expression that could be read.
    rules : dict of path to Rule
        Every rule that could be made.
    parameters : list of (Parameter, path, position)
        Every parameter, where it stands.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.problems: list[Problem] = []
        self.texts: dict[Path, tuple[str, Node]] = {}
        self.rules: dict[Path, rules.Rule] = {}
        self.mended: set[Path] = set()
        self.parameters: list[tuple[Parameter, Path, Position]] = []

    def diet(self, value: Any, disjoint: Callable[[str, str], Any]) -> dict[str, Any] | None:
        """Build the attributes of a diet; None where the document cannot be read at all."""
        document = self.document(value)
        if document is None:
            return None
        for word, what in (("name", "a diet's name"), ("splits", "a split's name")):
            if getattr(document, word) is not None:
                self.made((word,), rules.check_name, getattr(document, word), what, at=self.places.value((word,)))
        windows = self.windows(document.windows)
        pairs = [
            self.made(("disjoint", index), disjoint, pair.other, pair.by)
            for index, pair in enumerate(document.disjoint)
        ]
        neurons = self.rule(document.neurons, ("neurons",))
        self.made(("neurons",), rules.check_rule_size, neurons)
        self.made(
            ("description",), rules.check_description, document.description, at=self.places.value(("description",))
        )
        self.two_defaults(neurons, windows)
        return {
            "neurons": neurons,
            "name": document.name,
            "description": document.description,
            "splits": document.splits,
            "statistics_window": document.statistics.window,
            "statistics_reference": document.statistics.reference,
            "missing": document.missing,
            "windows": windows,
            "disjoint": tuple(pair for pair in pairs if pair is not None),
        }

    # -- keys and values -------------------------------------------------------------------------------------------

    def document(self, value: Any) -> keys.DietDocument | None:
        """Check keys and values. What is wrong is mended in a copy, so that the rest can be looked at too."""
        check_plain(value, self.places)
        if not isinstance(value, dict):
            raise self.places.error(f"a diet is a mapping that begins with `diet: 1`; got {type(value).__name__}.")
        if "diet" not in value:
            raise self.places.error("this is no diet: it must begin with `diet: 1` (the version of the format).")
        if value["diet"] != 1 or isinstance(value["diet"], bool):
            wrong = f"diet format {str(value['diet'])[:20]!r} cannot be read here; this version reads `diet: 1`."
            raise together([self.places.problem(("diet",), wrong)])
        value = copy.deepcopy(value)
        for path, holder in list(_empty_entries(value)):
            self._mend(path, "has no value; write one, or leave the key out.", holder)
        tries: Counter[Path] = Counter()
        for _ in range(ROUNDS):
            try:
                return keys.DietDocument.model_validate(value)
            except pydantic.ValidationError as error:
                found = error.errors(include_url=False)
            except RecursionError:
                raise self.places.error("the diet is nested too deeply; simplify it.") from None
            if len(found) > MAX_PROBLEMS:
                self.problems += [self._problem(_path(item), item) for item in found[:MAX_PROBLEMS]]
                return None
            for item in found:
                path = _path(item)
                if not any(path[: len(known)] == known for known in self.mended):
                    self.problems.append(self._problem(path, item))
                _replace(value, path, tries[path], missing=item["type"] == "missing")
                tries[path] += 1
            self.mended.update(tries)
        return None

    def _mend(self, path: Path, message: str, holder: Any) -> None:
        self.problems.append(self.places.problem(path, message))
        self.mended.add(path)
        if isinstance(holder, list):
            holder[int(path[-1])] = "all"
        else:
            del holder[path[-1]]

    def _problem(self, path: Path, item: Any) -> Problem:
        arrived = item["input"]
        shown = repr(arrived)[:60] if isinstance(arrived, str | int | float | bool) else ""
        got = f", got {shown}" if shown else ""
        if item["type"] == "extra_forbidden":
            word = str(path[-1])
            return self.places.problem(path, f"unknown key; {nearest(word[:60], _keys_at(path))}")
        if item["type"] == "missing":
            return self.places.problem(path[:-1], f"the key {path[-1]!r} is missing.")
        message = f"{item['msg'][0].lower()}{item['msg'][1:]}{got}."
        if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
            message = f"expected a mapping{got}."
        elif item["type"] == "string_type":
            message = f"expected a text{got or ', got a mapping or list'}; set it in quotes."
        elif item["type"] == "literal_error":
            known = re.findall(r"'([^']*)'", item["ctx"]["expected"]) or [item["ctx"]["expected"]]
            close = nearest(str(arrived)[:60], known) if isinstance(arrived, str) else f"known are {', '.join(known)}."
            message = f"unknown value{f' {shown}' if shown else ''}: {close}"
        elif item["type"] in ("float_type", "int_type", "int_from_float"):
            kind = "a number" if item["type"] == "float_type" else "a whole number"
            message = f"expected {kind} or {{param: name, default: ...}}{got}."
        return self.places.problem(path, message, self.places.value(path))

    # -- expressions and numbers -----------------------------------------------------------------------------------

    def tell(self, path: Path, message: str, position: Position | None = None) -> None:
        """Write a problem down, but for what only follows from one that is written down already."""
        near = (known for known in self.mended if known[: len(path)] == path)
        if not any(len(known) - len(path) <= NEAR for known in near):
            self.problems.append(self.places.problem(path, message, position))

    def made(
        self, path: Path, kind: Callable[..., Made], *parts: Any, at: Position | None = None, **options: Any
    ) -> Made | None:
        """Make a value of what stands at `path`; None, and a problem, where it cannot be made."""
        try:
            return kind(*parts, **options)
        except DietError as error:
            self.tell(path, str(error), at)
            return None

    def text(self, text: str, path: Path, read: Callable[[str], Any]) -> Any:
        """Read an expression or operand that stands at `path`; None, and a problem, where it cannot be read."""
        try:
            node = read(text)
        except DietError as error:
            where, message = self.places.value(path), str(error)
            if error.problems:
                found = error.problems[0]
                where = self.places.within(path, *_unstripped(text, found.line or 1, found.column or 1))
                message = found.message
            self.tell(path, message, where)
            return None
        self.texts[path] = (text, node)
        for part, line, column in located_parts(text) if parameters_of(node) else ():
            if isinstance(part, Parameter):
                self.parameters.append((part, path, self.places.within(path, line, column)))
        return node

    def two_defaults(self, *parts: Any) -> None:
        """Point at every parameter that has another default than where it stood before."""
        try:
            collect_parameters(*parts)
        except DietError as error:
            whole = str(error)
        else:
            return
        first: dict[str, Parameter] = {}
        found = sorted(self.parameters, key=lambda one: (one[2][0] or 0, one[2][1] or 0))
        told = len(self.problems)
        for parameter, path, position in found:
            try:
                collect_parameters(first.setdefault(parameter.name, parameter), parameter)
            except DietError as error:
                if parameter.default != first[parameter.name].default or isinstance(parameter.default, bool):
                    self.tell(path, str(error), position)
        if len(self.problems) == told:  # by a limit on what is told, or because 1 and 1.0 stand where both can
            self.problems.append(self.places.problem((), whole))

    def amount(self, value: Any, path: Path) -> Any:
        """Read a number, or the parameter that stands for it."""
        if not isinstance(value, keys.ParameterDocument):
            return value
        made = self.made(path, Parameter, value.param, value.default)
        if made is not None:
            self.parameters.append((made, path, self.places.value((*path, "default"))))
        return value.default if made is None else made

    def amounts(self, document: pydantic.BaseModel, path: Path, *words: str) -> dict[str, Any]:
        """Read several numbers of one mapping; 1 stands in for one that is out of range."""
        read: dict[str, Any] = {}
        for word in words:
            at = (*path, word)
            value = read[word] = self.amount(getattr(document, word), at)
            if value is None:
                continue
            where = self.places.value(at)
            if word in ("fraction", "share"):
                checked: Any = self.made(at, rules.check_fraction, value, word, at=where)
            else:
                checked = self.made(at, rules.check_count, value, word, 0 if word in ("seed", "draw") else 1, at=where)
            if checked is None:
                read[word] = 1
                self.mended.add(at)
        return read

    # -- rules -----------------------------------------------------------------------------------------------------

    def rule(self, document: keys.RuleDocument, path: Path) -> rules.Rule:
        """Build one rule; every neuron stands in for one that cannot be built, so that the rest is looked at."""
        given = [name for name in keys.OPERATORS if getattr(document, name) is not None]
        if document.given is not None and given != ["diet"]:
            self.tell((*path, "with"), "`with` stands beside `diet` alone: it sets parameters of that diet.")
            if not given:
                return rules.Everyone()
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has no operator"
            self.tell(path, f"a rule has exactly one of {', '.join(keys.OPERATORS)}; this one {what}.")
            return rules.Everyone()
        made = self._operator(document, given[0], (*path, given[0]))
        if made is None:
            return rules.Everyone()
        self.rules[path] = made
        return made

    def _operator(self, document: keys.RuleDocument, word: str, path: Path) -> rules.Rule | None:
        match word:
            case "all":
                return rules.Everyone()
            case "where":
                condition = self.text(document.where or "", path, parse_expression)
                return None if condition is None else rules.Where(condition)
            case "ids":
                return self.made(path, rules.Ids, tuple(document.ids or ()))
            case "diet":
                return self._reference(document, path)
            case "complement" if document.complement is not None:
                return rules.Complement(self.rule(document.complement, path))
            case "mix":
                return self._mix(document.mix or [], path)
            case "union" | "intersect" | "difference":
                parts = enumerate(getattr(document, word))
                kind: Callable[..., rules.Rule] = getattr(rules, word.capitalize())
                return self.made(path, kind, tuple(self.rule(part, (*path, index)) for index, part in parts))
        return self._drawn(document, path)

    def _drawn(self, document: keys.RuleDocument, path: Path) -> rules.Rule | None:
        match document:
            case keys.RuleDocument(sample=keys.SampleDocument() as part):
                of = self.rule(part.of, (*path, "of"))
                options = self.amounts(part, path, "fraction", "n", "seed")
                return self.made(path, rules.Sample, of, **options, within=part.within)
            case keys.RuleDocument(balance=keys.BalanceDocument() as even):
                of = self.rule(even.of, (*path, "of"))
                return self.made(path, rules.Balance, of, _several(even.by), **self.amounts(even, path, "n", "seed"))
            case keys.RuleDocument(top=keys.TopDocument() as top):
                of = self.rule(top.of, (*path, "of"))
                by: Operand | None = self.text(top.by, (*path, "by"), parse_operand)
                options = self.amounts(top, path, "k") | {"order": top.order, "within": top.within}
                options["by"] = Column("unread") if by is None else by
                return self.made(path, rules.Top, of, **options)
            case keys.RuleDocument(match=keys.MatchDocument() as match):
                to = self.rule(match.to, (*path, "to"))
                pool = rules.Everyone() if match.pool is None else self.rule(match.pool, (*path, "from"))
                if match.on == []:
                    self.tell((*path, "on"), "`on` is empty; name columns, or leave it out to match the number alone.")
                options = self.amounts(match, path, "seed", "draw")
                return self.made(path, rules.Match, to, pool, () if match.on is None else _several(match.on), **options)
        return None

    def _reference(self, document: keys.RuleDocument, path: Path) -> rules.Rule | None:
        given = document.given or {}
        beside = (*path[:-1], "with")
        values = tuple((name, self.amount(value, (*beside, name))) for name, value in given.items())
        return self.made(path, rules.Reference, document.diet, values)

    def _mix(self, documents: list[keys.TermDocument], path: Path) -> rules.Rule | None:
        terms = []
        for index, document in enumerate(documents):
            at = (*path, index)
            of = self.rule(document.of, (*at, "of"))
            options = self.amounts(document, at, "fraction", "share", "n", "seed")
            terms.append(self.made(at, rules.MixTerm, of, name=document.name, **options))
        # What the shares add up to is not known where a term could not be made.
        return None if None in terms else self.made(path, rules.Mix, tuple(terms))

    # -- windows ---------------------------------------------------------------------------------------------------

    def windows(self, document: keys.WindowsDocument) -> WindowRule | None:
        """Build ``windows:``."""
        conditions: dict[str, Any] = {}
        for attribute, text in (("where", document.where), ("while_", document.while_)):
            path: Path = ("windows", attribute.rstrip("_"))
            node = None if text is None else self.text(text, path, parse_expression)
            if node is not None and self._known(attribute, node, path):
                conditions[attribute] = node
        length = self.amount(document.min_length_s, ("windows", "min_length_s"))
        at = ("windows", "min_length_s")
        if self.made(at, WindowRule, min_length_s=length, at=self.places.value(at)) is None:
            length = None
        sample = None
        if document.sample is not None:
            inner = ("windows", "sample")
            amounts = self.amounts(document.sample, inner, "fraction", "n", "seed")
            sample = self.made(inner, WindowSample, **amounts, roles=tuple(document.sample.roles))
        options = {**conditions, "min_length_s": length, "sample": sample}
        return self.made(("windows",), WindowRule, **options)

    def _known(self, attribute: str, node: Node, path: Path) -> bool:
        """Tell whether every column of a condition is one of windows; point at each that is not."""
        wrong = {name for name in columns_of(node) if self._of_windows(attribute, name) is not None}
        for part, line, column in located_parts(self.texts[path][0]) if wrong else ():
            if isinstance(part, Column) and part.name in wrong:
                message = self._of_windows(attribute, part.name) or ""
                self.tell(path, message, self.places.within(path, line, column))
        return not wrong

    @staticmethod
    def _of_windows(attribute: str, name: str) -> str | None:
        options: dict[str, Any] = {attribute: Column(name)}
        try:
            WindowRule(**options)
        except DietError as error:
            return str(error)
        return None


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _unstripped(text: str, line: int, column: int) -> tuple[int, int]:
    """Place in a text of a character whose place in ``text.strip()`` is known."""
    before = text[: len(text) - len(text.lstrip())]
    shift = len(before) - before.rfind("\n") - 1 if line == 1 else 0
    return line + before.count("\n"), column + shift


def _empty_entries(value: Any) -> Iterator[tuple[Path, Any]]:
    """Entries without a value, each with the list or mapping that holds it."""
    stack: list[tuple[Any, Path]] = [(value, ())]
    while stack:
        current, path = stack.pop()
        items = list(current.items() if isinstance(current, dict) else enumerate(current))
        for key, item in items:
            if item is None:
                yield (*path, key), current
            elif isinstance(item, dict | list):
                stack.append((item, (*path, key)))


_FILLERS: tuple[Any, ...] = ("all", 1, "donor", {"of": "all"}, {"from": "all", "by": "donor"})
"""What is put for something wrong, one after the other, so that the rest can be looked at."""


def _replace(value: Any, path: Path, attempt: int, *, missing: bool) -> None:
    """Take something wrong out of a document, or put something harmless for it where it cannot be left out."""
    holder = value
    for word in path[:-1]:
        try:
            holder = holder[word]
        except (KeyError, IndexError, TypeError):
            return  # what holds it was taken out
    if isinstance(holder, dict) and attempt == 0 and not missing:
        holder.pop(path[-1], None)
    elif isinstance(holder, dict | list):
        # What was popped and is missed now is filled from the first on.
        place = attempt - 1 if isinstance(holder, dict) and attempt else attempt
        holder[path[-1]] = copy.deepcopy(_FILLERS[place % len(_FILLERS)])  # type: ignore[index]  # of its own kind


def _path(item: Mapping[str, Any]) -> Path:
    """Path of something that is wrong, without the names of the kinds that were tried."""
    return tuple(part for part in item["loc"] if part not in keys.TAGS)


def _keys_at(path: Path) -> list[str]:
    """Keys that are known where the last word of a path stands."""
    below: dict[str, type[pydantic.BaseModel]] = {
        **dict.fromkeys(("neurons", "union", "intersect", "difference", "complement", "of", "to"), keys.RuleDocument),
        "sample": keys.WindowSampleDocument if path[0] == "windows" else keys.SampleDocument,
        "balance": keys.BalanceDocument,
        "top": keys.TopDocument,
        "match": keys.MatchDocument,
        "from": keys.RuleDocument,
        "mix": keys.TermDocument,
        "statistics": keys.StatisticsDocument,
        "windows": keys.WindowsDocument,
        "disjoint": keys.DisjointDocument,
        **dict.fromkeys(
            ("fraction", "share", "n", "k", "seed", "draw", "min_length_s", "with"), keys.ParameterDocument
        ),
    }
    model: type[pydantic.BaseModel] = keys.DietDocument
    for word in path[:-1]:
        model = below.get(str(word), model)
    return [entry.alias or name for name, entry in model.model_fields.items()]
