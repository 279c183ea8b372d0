"""Where-expressions as spelled in Python: ``(c.skewness <= 3.51) & c.cre_line.isin([...])``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from poyodata.curation.language.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Node,
    Not,
    Operand,
    Or,
    Quantile,
    check_operand,
    check_size,
    to_text,
)
from poyodata.curation.language.parameters import Parameter, Value
from poyodata.curation.language.parse import parse_expression, parse_operand
from poyodata.errors import DietError


@dataclass(frozen=True, repr=False)
class Condition:
    """A whole expression in Python: combine with ``&``, ``|`` and ``~``.

    Examples
    --------
    >>> (c.skewness <= 3.51) & ~c.cre_line.isin(["Sst-IRES-Cre"])
    Condition("skewness <= 3.51 and not (cre_line in ['Sst-IRES-Cre'])")
    """

    node: Node

    def __post_init__(self) -> None:
        check_size(self.node)

    def __and__(self, other: Any) -> Condition:
        return Condition(And((self.node, condition_node(other))))

    def __or__(self, other: Any) -> Condition:
        return Condition(Or((self.node, condition_node(other))))

    def __invert__(self) -> Condition:
        return Condition(Not(self.node))

    def __rand__(self, other: Any) -> Condition:
        return Condition(And((condition_node(other), self.node)))

    def __ror__(self, other: Any) -> Condition:
        return Condition(Or((condition_node(other), self.node)))

    def __bool__(self) -> bool:
        raise DietError(
            f"`{self}` has no truth value by itself: join conditions with & | ~ (not and / or / not) and set each "
            "in parentheses, as in (c.skewness <= 3.51) & (c.kurtosis <= 22.62)."
        )

    def __str__(self) -> str:
        return to_text(self.node)

    def __repr__(self) -> str:
        return f"Condition({str(self)!r})"


class Term:
    """A column, or a function of one, as written in Python; comparing it gives a `Condition`."""

    __slots__ = ("node",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, node: Operand) -> None:
        self.node = node

    def _compare(self, operator: str, other: Any) -> Condition:
        right = other.node if isinstance(other, Term) else _constant(other)
        return Condition(Compare((operator,), (self.node, right)))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: Any) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Condition:
        return self._compare(">=", other)

    def isin(self, values: Iterable[Value | Parameter]) -> Condition:
        """Be one of `values`."""
        return Condition(Membership(self.node, _listed(values, "isin")))

    def notin(self, values: Iterable[Value | Parameter]) -> Condition:
        """Be none of `values`."""
        return Condition(Membership(self.node, _listed(values, "notin"), negated=True))

    def isnan(self) -> Condition:
        """Be missing."""
        return Condition(Call("isnan", self.node))

    def quantile(self, q: float | Parameter) -> Term:
        """Take the value below which the share `q` of the reference population lies; it is no longer a neuron's own.

        Examples
        --------
        >>> c.skewness <= c.skewness.quantile(0.9)
        Condition('skewness <= quantile(skewness, 0.9)')
        """
        return Term(Quantile(self.node, q))

    def zscore(self) -> Term:
        """Take standard deviations from the mean of the reference population."""
        return Term(Call("zscore", self.node))

    def rank(self) -> Term:
        """Take the share of the reference population whose value is at most this one, from 0 to 1."""
        return Term(Call("rank", self.node))

    def abs(self) -> Term:
        """Take the absolute value, as ``abs(c.skewness)`` does."""
        return Term(Call("abs", self.node))

    def log10(self) -> Term:
        """Take the decimal logarithm; unknown where the column is not above 0."""
        return Term(Call("log10", self.node))

    def __matmul__(self, stimulus: str) -> Term:
        """Restrict a statistic to time of a stimulus: ``c.skewness @ "drifting_gratings"``."""
        if not isinstance(self.node, Column) or not isinstance(stimulus, str):
            raise DietError('@ stands between a column and a stimulus, as in c.skewness @ "drifting_gratings".')
        return Term(Column(f"{self.node.name}@{stimulus}"))

    __abs__ = abs

    def __and__(self, other: Any) -> Condition:
        return Condition(And((condition_node(self), condition_node(other))))

    def __or__(self, other: Any) -> Condition:
        return Condition(Or((condition_node(self), condition_node(other))))

    def __rand__(self, other: Any) -> Condition:
        return Condition(And((condition_node(other), condition_node(self))))

    def __ror__(self, other: Any) -> Condition:
        return Condition(Or((condition_node(other), condition_node(self))))

    def __invert__(self) -> Condition:
        return Condition(Not(condition_node(self)))

    def __bool__(self) -> bool:
        raise DietError(f"column `{self}` has no truth value by itself; compare it, and join conditions with & | ~.")

    def __str__(self) -> str:
        return to_text(self.node)

    def __repr__(self) -> str:
        if isinstance(self.node, Column):
            return f"c[{self.node.name!r}]" if "@" in self.node.name else f"c.{self}"
        return f"Term({str(self)!r})"


class Columns:
    """``c.name`` and ``c["name"]``: the column of that name; ``c["skewness@drifting_gratings"]``: restricted.

    Examples
    --------
    >>> Columns().skewness
    c.skewness
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Term:
        if name.startswith("_"):  # copy, pickle and notebooks probe for such names and expect this answer
            raise AttributeError(f"{name!r} cannot be a column name")
        return Term(Column(name))

    def __getitem__(self, name: str) -> Term:
        return Term(Column(name))

    def __repr__(self) -> str:
        return "c"


c = Columns()


def param(name: str, default: Value) -> Parameter:
    """Name a value of a diet, so that it can be set from outside: in conditions, fractions, counts and seeds.

    Examples
    --------
    >>> c.skewness <= param("max_skewness", 3.51)
    Condition('skewness <= param(max_skewness, 3.51)')
    """
    return Parameter(name, default)


def operand_node(value: Any) -> Column | Call:
    """Take the tree out of a column, or of a number made of one, spelled with `c` or as a text.

    Examples
    --------
    >>> operand_node("abs(skewness)") == operand_node(c.skewness.abs())
    True
    """
    if isinstance(value, str):
        return parse_operand(value)
    return check_operand(value.node if isinstance(value, Term) else value)


def _constant(value: Any) -> Literal | Parameter:
    return value if isinstance(value, Parameter) else Literal(value)


def _listed(values: Any, word: str) -> tuple[Literal | Parameter, ...]:
    if isinstance(values, str | Parameter) or not isinstance(values, Iterable):
        shown = values if isinstance(values, str) else "..."
        raise DietError(f"{word}() takes a list; write .{word}([{shown!r}]).")
    return tuple(map(_constant, values))


def condition_node(value: Any) -> Node:
    """Take the tree out of a `Condition`, of a column used as a condition, or of a text."""
    if isinstance(value, Condition | Term):
        node: Node = value.node
    elif isinstance(value, str):
        return parse_expression(value)
    elif isinstance(value, Column | Literal | Call | Compare | Membership | Not | And | Or):
        node = value
    else:
        raise DietError(
            f"a condition is a text or made with `c`, as in (c.skewness <= 3.51); got {type(value).__name__}. "
            "Set parentheses around every comparison: & and | bind more tightly than <=."
        )
    return check_size(node)
