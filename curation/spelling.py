"""Where-expressions as spelled in Python: ``(c.skewness <= 3.51) & c.cre_line.isin([...])``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from poyodata.curation.expressions import (
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
    check_size,
    to_text,
)
from poyodata.curation.parameters import Value
from poyodata.curation.parse import parse_expression
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

    __rand__, __ror__ = __and__, __or__

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
        right = other.node if isinstance(other, Term) else Literal(other)
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

    def isin(self, values: Iterable[Value]) -> Condition:
        """Be one of `values`."""
        if isinstance(values, str):
            raise DietError(f"isin() takes a list; write .isin([{values!r}]).")
        return Condition(Membership(self.node, tuple(Literal(value) for value in values)))

    def isnan(self) -> Condition:
        """Be missing."""
        return Condition(Call("isnan", self.node))

    def log10(self) -> Term:
        """Take the decimal logarithm; unknown where the column is not above 0."""
        return Term(Call("log10", self.node))

    def __matmul__(self, stimulus: str) -> Term:
        """Restrict a statistic to time of a stimulus: ``c.skewness @ "drifting_gratings"``."""
        if not isinstance(self.node, Column) or not isinstance(stimulus, str):
            raise DietError('@ stands between a column and a stimulus, as in c.skewness @ "drifting_gratings".')
        return Term(Column(f"{self.node.name}@{stimulus}"))

    def __abs__(self) -> Term:
        return Term(Call("abs", self.node))

    def __and__(self, other: Any) -> Condition:
        return Condition(And((self.node, condition_node(other))))

    def __or__(self, other: Any) -> Condition:
        return Condition(Or((self.node, condition_node(other))))

    def __invert__(self) -> Condition:
        return Condition(Not(self.node))

    __rand__, __ror__ = __and__, __or__

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
