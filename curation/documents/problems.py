"""`find_problems`: everything that is wrong with a diet, with line and column, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from poyodata.curation.diet import Diet, Disjoint
from poyodata.curation.documents.document import Builder
from poyodata.curation.documents.names import KnownNames
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Node,
    Not,
    Or,
    Quantile,
    walk,
)
from poyodata.curation.language.parameters import Parameter, settled
from poyodata.curation.language.parse import located_parts
from poyodata.curation.language.window_rule import FRAME_COLUMNS, WINDOW_COLUMNS
from poyodata.curation.library import FILES, load_diet
from poyodata.curation.selecting.references import MAX_REFERENCES, TOO_MANY, FoundDiets, References
from poyodata.documents import plain_text
from poyodata.documents.places import Path, Places, Position
from poyodata.errors import DietError, PoyodataError, Problem, nearest
from poyodata.splits import Split, resolve_split, split_spec

if TYPE_CHECKING:
    from poyodata.store import Store

_COLUMNS: dict[str, tuple[str, ...]] = {"where": tuple(WINDOW_COLUMNS), "while": tuple(FRAME_COLUMNS)}
"""Columns that conditions of windows and of frames may name."""

MAX_IDS = 10
"""Unknown neurons that are named one by one."""


def find_problems(
    source: str | FilePath | Mapping[str, Any] | Diet, store: Store | None = None, split: Split | None = None
) -> list[Problem]:
    """Find everything that is wrong with a diet: keys, values, expressions, and, with a store, names and texts.

    No statistic is computed: a column that a statistic has is known, and of its kind.

    Parameters
    ----------
    source : str, Path, mapping or Diet
        A text of several lines is YAML; other texts are names and paths, as `load_diet` takes them.
    store : Store, optional
        Whose columns and texts the diet must name, in every clause and in the diets that it refers to.
    split : Split, optional
        Only recordings that it holds are looked at.

    Returns
    -------
    list of Problem
        In the order in which they stand in the file; empty when there is none.

    Raises
    ------
    UsageError
        There is no such file.

    Examples
    --------
    >>> for problem in find_problems('''diet: 1
    ... nam: low
    ... neurons:
    ...   where: skewness = 3
    ... '''):
    ...     print(problem)
    <yaml>:2:1: nam: unknown key; did you mean 'name'?
    <yaml>:4:19: neurons.where: `skewness = 3` is not an expression; write == to compare.
    """
    return look_through(source, store, split)[0]


def look_through(
    source: str | FilePath | Mapping[str, Any] | Diet, store: Store | None = None, split: Split | None = None
) -> tuple[list[Problem], list[Problem]]:
    """Find what is wrong with a diet, as `find_problems` does, and what is only remarkable about it.

    Returns
    -------
    problems : list of Problem
        Resolving refuses the diet for each of them.
    notes : list of Problem
        What resolving only warns of: a name of the field, such as a CRE line, that the store does not have.
    """
    notes: list[Problem] = []
    try:
        value, places, folder = _opened(source)
        builder = Builder(places)
        options = builder.diet(value, Disjoint)
        found = list(builder.problems)
        if options is not None and not found:
            Diet(**options, folder=folder)
    except DietError as error:
        return list(error.problems) or [Problem(None, None, "", str(error))], notes
    if options is not None:
        names = None if store is None else KnownNames(store, split)
        finder = _Finder(builder, folder, names)
        found += finder.problems(options)
        notes = finder.notes
    return _ordered(found), _ordered(notes)


def _ordered(found: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(found), key=lambda one: (one.line or 0, one.column or 0))


def _opened(source: str | FilePath | Mapping[str, Any] | Diet) -> tuple[Any, Places, FilePath | None]:
    """Plain value of a diet, places of its entries, and the folder that its references begin at."""
    if isinstance(source, str) and "\n" in source:
        return (*plain_text.read_yaml(source), None)
    if isinstance(source, FilePath) or (isinstance(source, str) and source.endswith(FILES)):
        path = FilePath(source)
        read = plain_text.read_json if path.suffix == ".json" else plain_text.read_yaml
        return (*read(plain_text.read_file(path), str(path)), path.parent)
    if isinstance(source, Mapping):
        return dict(source), Places(), None
    diet = load_diet(source)
    return diet.to_dict(), Places(), diet.folder


@dataclass
class _Finder:
    """Looks at what a builder could read of a document: the diets that it refers to and the names in it."""

    builder: Builder
    folder: FilePath | None
    names: KnownNames | None
    seen: set[tuple[str, FilePath | None]] = field(default_factory=set)
    found: FoundDiets = field(default_factory=FoundDiets)
    nested: bool = False
    notes: list[Problem] = field(default_factory=list)

    def problems(self, options: Mapping[str, Any]) -> Iterator[Problem]:
        if options["splits"] is not None:
            yield from self._split(options["splits"])
        for index, pair in enumerate(options["disjoint"]):
            yield from self._loaded(pair.other, ("disjoint", index, "from"))
        for path, rule in self.builder.rules.items():
            if self.nested or self.found.visits <= MAX_REFERENCES or not isinstance(rule, rules.Reference):
                yield from self._rule(rule, path)
        if self.names is not None:
            for path, (text, node) in self.builder.texts.items():
                table = path[-1] if path[0] == "windows" else "neurons"
                clauses = _Clauses(self.names, str(table))
                yield from clauses.problems(text, node, path, self.builder.places)
                self.notes += clauses.notes

    def _tell(self, path: Path, error: Exception | str, position: Position | None = None) -> Problem:
        position = self.builder.places.value(path) if position is None else position
        return self.builder.places.problem(path, str(error), position)

    def _split(self, name: str) -> Iterator[Problem]:
        try:
            spec = split_spec(name)
            # Of a diet that is referred to only the neurons count, and another split may be asked for.
            if self.names is not None and self.names.split is None and not self.seen:
                resolve_split(self.names.store, spec)
        except PoyodataError as error:
            yield self._tell(("splits",), error)

    # -- diets referred to -----------------------------------------------------------------------------------------

    def _loaded(self, name: str, path: Path) -> Iterator[Problem]:
        try:
            self.found.get(name, self.folder)
        except PoyodataError as error:
            yield self._tell(path, _first_of(error))

    def _reference(self, rule: rules.Reference, path: Path) -> Iterator[Problem]:
        wrong = list(self._loaded(rule.diet, (*path, "diet")))
        if wrong:
            yield from wrong
            return
        diet = self.found.get(rule.diet, self.folder)
        try:
            diet = diet.with_parameters(**{name: settled(value) for name, value in rule.given})
        except PoyodataError as error:
            yield self._tell((*path, "with"), error)
            return
        if not self.nested:  # what they refer to themselves was looked at with them
            try:
                self.found.visits += 1
                References(diet, found=self.found)
            except PoyodataError as error:
                yield self._tell((*path, "diet"), _first_of(error))
                return
            if self.found.visits > MAX_REFERENCES:
                yield self._tell((*path, "diet"), TOO_MANY)
                return
        key = (rule.diet, self.folder)
        if self.names is not None and key not in self.seen:
            self.seen.add(key)
            inner = Builder(Places())
            options = inner.diet(diet.to_dict(), Disjoint) or {"splits": None, "disjoint": ()}
            within = _Finder(inner, diet.folder, self.names, self.seen, self.found, nested=True)
            for problem in within.problems(options):
                yield self._tell((*path, "diet"), f"in diet {rule.diet!r}: {problem.path}: {problem.message}")
            for note in within.notes:
                said = f"in diet {rule.diet!r}: {note.path}: {note.message}"
                self.notes.append(self._tell((*path, "diet"), said))

    # -- names outside of expressions ------------------------------------------------------------------------------

    def _rule(self, rule: rules.Rule, path: Path) -> Iterator[Problem]:
        if isinstance(rule, rules.Reference):
            yield from self._reference(rule, path)
        if self.names is None:
            return
        match rule:
            case rules.Ids():
                yield from self._ids(rule.ids, (*path, "ids"))
            case rules.Sample(within=str() as name):
                yield from self._columns((name,), (*path, "sample", "within"))
            case rules.Balance():
                yield from self._columns(rule.by, (*path, "balance", "by"))
            case rules.Match():
                columns = tuple(name for name in rule.on if name not in rules.COUNTED)
                yield from self._columns(columns, (*path, "match", "on"))
            case rules.Top():
                if rule.within is not None:
                    yield from self._columns((rule.within,), (*path, "top", "within"))

    def _columns(self, columns: tuple[str, ...], path: Path) -> Iterator[Problem]:
        if self.names is None:
            return
        for index, name in enumerate(columns):
            why = self.names.unknown(name)
            at = (*path, index)
            if why is not None:
                yield self._tell(path, why, self.builder.places.value(at if at in self.builder.places.values else path))

    def _ids(self, ids: tuple[str, ...], path: Path) -> Iterator[Problem]:
        known = self.names.neuron_ids if self.names is not None else set()
        absent = [(index, name) for index, name in enumerate(ids) if name not in known]
        some = sorted(known)[:2000] if absent else []
        for index, name in absent[:MAX_IDS]:
            close = nearest(name[:100], some)
            yield self._tell((*path, index), f"the store has no neuron {name[:100]!r}: {close}")
        if len(absent) > MAX_IDS:
            yield self._tell(path, f"and {len(absent) - MAX_IDS} more of these neurons are not in the store.")


@dataclass
class _Clauses:
    """Looks at every clause of one expression: the next is looked at although one is wrong."""

    names: KnownNames
    table: str
    notes: list[Problem] = field(default_factory=list)
    told: list[tuple[Node, str]] = field(default_factory=list)

    def problems(self, text: str, root: Node, path: Path, places: Places) -> Iterator[Problem]:
        parts = located_parts(text)
        last = parts[-1][0]
        used = {id(part) for part, _ in walk(last)}
        at = {id(part): (line, column) for part, line, column in parts if id(part) in used}
        wrong: set[int] = set()
        for part, line, column in parts:
            if id(part) not in used:
                continue  # what stands before @ is no column of its own
            for blamed, message in self._of(part, wrong):
                wrong.add(id(part))
                yield places.problem(path, message, places.within(path, *at.get(id(blamed), (line, column))))
            for blamed, note in self.told:
                where = places.within(path, *at.get(id(blamed), (line, column)))
                self.notes.append(places.problem(path, note, where))
            self.told.clear()
        if path[-1] != "by" and isinstance(last, Column | Call) and id(last) not in wrong:
            for blamed, message in self._tried(last, last, as_condition=True):
                yield places.problem(path, message, places.within(path, *at[id(blamed)]))
        elif path[-1] == "by" and id(last) not in wrong:
            kind = self.names.evaluator(self.table, root).values(root).kind
            if kind not in ("number", "empty"):
                yield places.problem(path, "`top` orders by numbers; name a column of numbers.", places.value(path))

    def _of(self, part: Node, wrong: set[int]) -> Iterator[tuple[Node, str]]:
        """What is wrong with one part, when its own parts are right, and which of them to point at."""
        match part:
            case Column():
                why = self.names.unknown(part.name, self.table)
                if part.name not in _COLUMNS.get(self.table, (part.name,)):
                    wrong.add(id(part))  # told when the diet was read
                elif why is not None:
                    yield part, why
            case Call() | Quantile():
                if id(part.operand) in wrong:
                    wrong.add(id(part))
                elif not (isinstance(part, Call) and part.function == "isnan"):
                    yield from self._tried(part, part)
            case Compare():
                for sign, left, right in zip(part.operators, part.operands, part.operands[1:], strict=False):
                    constants = [one for one in (right, left) if isinstance(one, Literal | Parameter)]
                    if len(constants) < 2 and not {id(left), id(right)} & wrong:
                        one = right if isinstance(left, Quantile) or left in constants else left
                        if isinstance(one, Column | Call):
                            yield from self._tried(Compare((sign,), (left, right)), constants[0] if constants else part)
            case Membership():
                for value in part.values if id(part.operand) not in wrong else ():
                    yield from self._tried(Membership(part.operand, (value,), part.negated), value)
            case Not() | And() | Or():
                for term in (part.term,) if isinstance(part, Not) else part.terms:
                    if isinstance(term, Column) and id(term) not in wrong:
                        yield from self._tried(term, term)

    def _tried(self, node: Node, blamed: Node, as_condition: bool = False) -> Iterator[tuple[Node, str]]:
        evaluator = self.names.evaluator(self.table, node)
        known = len(evaluator.notes)
        try:
            if as_condition:
                evaluator.evaluate(node)
            elif isinstance(node, Quantile) or (isinstance(node, Call) and node.function != "isnan"):
                evaluator.values(node)
            else:
                evaluator.evaluate(node)
        except DietError as error:
            yield blamed, str(error)
        # Notes on stand-ins for what is not computed yet would be of nothing.
        self.told += [(blamed, note) for note in evaluator.notes[known:] if note.startswith(evaluator.holder)]


def _first_of(error: PoyodataError) -> str:
    """The first problem of an error, and how many there are beside it."""
    first, *more = str(error).split("\n")
    return f"{first} (and {len(more)} more)" if more else first
