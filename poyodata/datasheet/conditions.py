"""What a diet says of numbers: its conditions, and the two thresholds that make regions of a plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from poyodata.curation import Diet, Manifest
from poyodata.curation.language.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Node,
    Not,
    Or,
    Quantile,
    columns_of,
    to_text,
    walk,
)
from poyodata.curation.language.rules import Complement, Difference, Match, Reference, Rule, Where, below
from poyodata.curation.selecting.references import References
from poyodata.plots import MAX_KURTOSIS, MAX_SKEWNESS
from poyodata.statistics import column_metadata


@dataclass(frozen=True)
class Condition:
    """A ``where`` of a diet, or of one that it refers to.

    Attributes
    ----------
    node : Node
    negated : bool
        Neurons are kept that do not meet it, as under ``complement``.
    target : bool
        Of what controls are matched to: it decides on none of the neurons that are drawn.
    """

    node: Node
    negated: bool = False
    target: bool = False


def conditions_of(manifest: Manifest) -> list[Condition]:
    """Conditions of all ``where`` of a manifest's diet and of those it refers to, each once."""
    diet = Diet.from_dict(manifest.meta["diet"]).bound()
    references = References.from_documents(diet, manifest.meta["references"])
    found: dict[tuple[str, bool, bool], Condition] = {}
    for condition in _conditions(diet.neurons, diet, references):
        found.setdefault((to_text(condition.node), condition.negated, condition.target), condition)
    return list(found.values())


def own_conditions(manifest: Manifest) -> list[Node]:
    """Conditions that decide on the neurons of a diet, each once: none of those that controls are matched to."""
    return list({to_text(found.node): found.node for found in conditions_of(manifest) if not found.target}.values())


def _conditions(
    rule: Rule, diet: Diet, references: References, negated: bool = False, target: bool = False
) -> Iterator[Condition]:
    match rule:
        case Where():
            yield Condition(rule.condition, negated, target)
        case Reference():
            other = references.get(rule, diet)
            yield from _conditions(other.neurons, other, references, negated, target)
        case Match():
            yield from _conditions(rule.of, diet, references, negated, target)
            yield from _conditions(rule.to, diet, references, negated, True)
        case _:
            for place, child in enumerate(below(rule)):
                turned = isinstance(rule, Complement) or (isinstance(rule, Difference) and place > 0)
                yield from _conditions(child, diet, references, negated != turned, target)


def of_moments(condition: Node) -> bool:
    """Tell whether a condition is answered by a neuron's own moments, whatever the other neurons are."""
    home = column_metadata()
    # A column on the time of one stimulus is of the statistic of the column without it.
    statistics = {str(home.get(name.partition("@")[0], {}).get("statistic", "")) for name in columns_of(condition)}
    compared = any(
        isinstance(part, Quantile) or (isinstance(part, Call) and part.function in ("rank", "zscore"))
        for part, _ in walk(condition)
    )
    return statistics == {"moments"} and not compared


@dataclass(frozen=True)
class Thresholds:
    """The plane of two columns, and where it is cut.

    Attributes
    ----------
    x, y : str
        Columns: skewness and kurtosis, perhaps on the time of one stimulus.
    max_x, max_y : float
        The first upper bound of each column; of one that the diet bounds from below alone, the first lower bound.
    own : bool
        The diet names both.
    of_target : bool
        What its controls are matched to names both. Where neither does, they are those of the preset ``predictable``,
        for comparison.
    further : tuple of (str, float)
        Other numbers that the diet compares the same columns with, lower bounds among them.
    """

    x: str = "skewness"
    y: str = "kurtosis"
    max_x: float = MAX_SKEWNESS
    max_y: float = MAX_KURTOSIS
    own: bool = False
    further: tuple[tuple[str, float], ...] = ()
    of_target: bool = False

    @property
    def published(self) -> bool:
        """Whether the diet's thresholds are those of POYO-CAP."""
        return (self.own or self.of_target) and (self.max_x, self.max_y) == (MAX_SKEWNESS, MAX_KURTOSIS)


def thresholds_of(manifest: Manifest) -> Thresholds:
    """Find the thresholds of skewness and kurtosis in what a diet says, or in what its controls are matched to."""
    conditions = conditions_of(manifest)
    own = _thresholds([condition for condition in conditions if not condition.target])
    if own.own:
        return own
    target = _thresholds([condition for condition in conditions if condition.target])
    return replace(target, own=False, of_target=True) if target.own else own


def _thresholds(conditions: list[Condition]) -> Thresholds:
    upper: dict[str, list[float]] = {}
    lower: dict[str, list[float]] = {}
    for condition in conditions:
        for column, above, value in _bounds(condition.node, condition.negated):
            values = (upper if above else lower).setdefault(column, [])
            if value not in values:
                values.append(value)
    # Upper bounds first: `0.5 <= skewness <= 3` keeps what is low, from 0.5 on. `skewness > 3.51` cuts at 3.51.
    named = {
        column: list(dict.fromkeys([*upper.get(column, []), *lower.get(column, [])])) for column in (*upper, *lower)
    }
    during = next((name.partition("@")[2] for name in named if name.startswith(("skewness@", "kurtosis@"))), "")
    plain = "skewness" in named or "kurtosis" in named or not during
    x, y = ("skewness", "kurtosis") if plain else (f"skewness@{during}", f"kurtosis@{during}")
    if x not in named or y not in named:
        return Thresholds(x, y, further=tuple((name, value) for name in (x, y) for value in named.get(name, [])))
    further = tuple((name, value) for name in (x, y) for value in named[name][1:])
    return Thresholds(x, y, named[x][0], named[y][0], own=True, further=further)


def _bounds(condition: Node, negated: bool) -> Iterator[tuple[str, bool, float]]:
    """Bounds of columns: in ``0 < skewness <= 3.51`` the lower one 0 and the upper one (True) 3.51."""
    match condition:
        case Not():
            yield from _bounds(condition.term, not negated)
        case And() | Or():
            for term in condition.terms:
                yield from _bounds(term, negated)
        case Compare():
            sides = zip(condition.operands, condition.operators, condition.operands[1:], strict=False)
            for left, operator, right in sides:
                column, number = (left, right) if isinstance(left, Column) else (right, left)
                if operator not in _ABOVE or not isinstance(column, Column) or not isinstance(number, Literal):
                    continue
                if number.kind in ("int", "float"):
                    above = _ABOVE[operator] ^ (column is right) ^ negated
                    yield column.name, above, float(number.value)
        case _:
            pass


_ABOVE = {"<": True, "<=": True, ">": False, ">=": False}
"""Whether a comparison bounds its left side from above."""
