"""Where-expressions: a small closed syntax tree and its canonical text.

An expression is data, never code: there is no arithmetic, no attribute and no call but the functions listed here, so
that the same text means the same in a file, a notebook and a manifest, and can be hashed.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from poyodata.errors import DietError, nearest
from poyodata.vocabulary import EXPRESSION_FUNCTIONS

MAX_CHARACTERS = 4096
MAX_NODES = 500
MAX_DEPTH = 50
COMPARISONS: tuple[str, ...] = ("==", "!=", "<", "<=", ">", ">=")
NUMBER_FUNCTIONS: tuple[str, ...] = ("abs", "log10")
FUNCTIONS: tuple[str, ...] = EXPRESSION_FUNCTIONS

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True)
class Column:
    """A column by name; ``skewness@drifting_gratings`` is a statistic's, on time of that stimulus alone."""

    name: str

    def __post_init__(self) -> None:
        if not is_column_name(self.name):
            raise DietError(
                f"{str(self.name)[:60]!r} cannot be a column name; names are ASCII letters, digits and underscores, "
                "begin with a letter and are no Python keyword; after them, @ and the name of a stimulus may stand."
            )


@dataclass(frozen=True)
class Literal:
    """A constant: bool, int, float or text. ``1``, ``1.0`` and ``True`` are three different constants."""

    value: Value
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        value = self.value.item() if isinstance(self.value, np.generic) else self.value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise DietError(f"the number {value} is not finite; use isnan(column) to ask for missing values.")
            value = value + 0.0  # -0.0 and 0.0 are one constant, or the same diet would have two digests
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DietError("a whole number does not fit into 64 bits; write it as a float, or correct it.")
        elif isinstance(value, str) and not value.isprintable():
            raise DietError(f"the text {value[:40]!r} holds characters that cannot be printed; remove them.")
        elif not isinstance(value, bool | int | float | str):
            raise DietError(f"{type(value).__name__} is no constant here; use True, False, a number or a text.")
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "kind", type(value).__name__)


@dataclass(frozen=True)
class Call:
    """One of `FUNCTIONS` of one operand. ``isnan`` is a condition, the others are numbers."""

    function: str
    operand: Operand

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise DietError(f"unknown function {self.function[:60]!r}: {nearest(self.function, FUNCTIONS)}")
        if not is_operand(self.operand) or isinstance(self.operand, Literal):
            raise DietError(f"{self.function}() takes a column, as in `{self.function}(skewness)`.")


@dataclass(frozen=True)
class Compare:
    """A comparison or a chain of them: ``0 < skewness <= 3.51`` has two operators and three operands."""

    operators: tuple[str, ...]
    operands: tuple[Operand, ...]

    def __post_init__(self) -> None:
        if not self.operators or len(self.operands) != len(self.operators) + 1:
            raise DietError("a comparison needs one operand more than it has operators.")
        for operator in self.operators:
            if operator not in COMPARISONS:
                raise DietError(f"unknown comparison {operator!r}; use one of {', '.join(COMPARISONS)}, in, not in.")
        if not all(is_operand(operand) for operand in self.operands):
            raise DietError(
                "only columns, constants, abs() and log10() can be compared; join conditions with and / or."
            )
        if all(isinstance(operand, Literal) for operand in self.operands):
            raise DietError(f"`{to_text(self)}` compares constants and names no column.")


@dataclass(frozen=True)
class Membership:
    """``column in [values]`` or ``column not in [values]``."""

    operand: Operand
    values: tuple[Literal, ...]
    negated: bool = False

    def __post_init__(self) -> None:
        if not is_operand(self.operand) or isinstance(self.operand, Literal):
            raise DietError("the left side of `in` must be a column, as in `cre_line in ['Sst-IRES-Cre']`.")
        if not self.values:
            raise DietError(f"`{to_text(self.operand)} in []` can keep nothing; name at least one value.")
        kinds = {"number" if value.kind in ("int", "float") else value.kind for value in self.values}
        if len(kinds) > 1:
            raise DietError(
                f"the list after `{to_text(self.operand)} in` mixes {' and '.join(sorted(kinds))}; use one kind."
            )


@dataclass(frozen=True)
class Not:
    """The negation of a condition; unknown stays unknown."""

    term: Node

    def __post_init__(self) -> None:
        _require_conditions("not", (self.term,))


@dataclass(frozen=True)
class And:
    """All terms. Terms that are themselves `And` are taken apart, so that grouping does not change the digest."""

    terms: tuple[Node, ...]

    def __post_init__(self) -> None:
        flat = [t for term in self.terms for t in (term.terms if isinstance(term, And) else (term,))]
        object.__setattr__(self, "terms", tuple(flat))
        _require_conditions("and", self.terms)


@dataclass(frozen=True)
class Or:
    """Any term. Terms that are themselves `Or` are taken apart."""

    terms: tuple[Node, ...]

    def __post_init__(self) -> None:
        flat = [t for term in self.terms for t in (term.terms if isinstance(term, Or) else (term,))]
        object.__setattr__(self, "terms", tuple(flat))
        _require_conditions("or", self.terms)


Operand: TypeAlias = Column | Literal | Call
Node: TypeAlias = Column | Literal | Call | Compare | Membership | Not | And | Or


def is_column_name(name: Any) -> bool:
    """Tell whether `name` may stand for a column in an expression.

    Examples
    --------
    >>> is_column_name("skewness"), is_column_name("skewness@drifting_gratings"), is_column_name("2nd")
    (True, True, False)
    """
    if not isinstance(name, str):
        return False
    column, at, stimulus = name.partition("@")
    return _is_plain_name(column) and (not at or _is_stimulus_name(stimulus))


def _is_stimulus_name(name: str) -> bool:
    return bool(name) and name == name.strip() and name.isprintable() and "@" not in name and len(name) <= 128


def _is_plain_name(name: Any) -> bool:
    return (
        isinstance(name, str)
        and name.isascii()
        and name.isidentifier()
        and not name.startswith("_")
        and not keyword.iskeyword(name)
        and len(name) <= 128
    )


def is_operand(node: Any) -> bool:
    """Tell whether `node` has a value that can be compared."""
    return isinstance(node, Column | Literal) or (isinstance(node, Call) and node.function in NUMBER_FUNCTIONS)


def is_condition(node: Any) -> bool:
    """Tell whether `node` can be true or false; a bare column can (``valid_roi``) and so can ``True``."""
    if isinstance(node, Literal):
        return node.kind == "bool"
    return isinstance(node, Column | Compare | Membership | Not | And | Or) or (
        isinstance(node, Call) and node.function == "isnan"
    )


def _require_conditions(word: str, terms: tuple[Node, ...]) -> None:
    for term in terms:
        if not is_condition(term):
            shown = to_text(term) if isinstance(term, Column | Literal | Call) else type(term).__name__
            raise DietError(
                f"`{word}` joins conditions, but got `{shown}`; compare it with something, as in `{shown} > 0`."
            )
    if word != "not" and len(terms) < 2:
        raise DietError(f"`{word}` needs at least two conditions.")


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`."""
    match node:
        case Call():
            return (node.operand,)
        case Compare():
            return node.operands
        case Membership():
            return (node.operand, *node.values)
        case Not():
            return (node.term,)
        case And() | Or():
            return node.terms
        case _:
            return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Yield every node with its depth, without recursion, so that no input can exhaust the stack."""
    stack: list[tuple[Node, int]] = [(node, 1)]
    while stack:
        current, depth = stack.pop()
        yield current, depth
        stack.extend((child, depth + 1) for child in reversed(children(current)))


def columns_of(node: Node) -> tuple[str, ...]:
    """Names of the columns in `node`, in the order in which they first stand there.

    Examples
    --------
    >>> from poyodata.curation.parse import parse_expression
    >>> columns_of(parse_expression("skewness <= 3.51 and kurtosis <= 22.62"))
    ('skewness', 'kurtosis')
    """
    return tuple(dict.fromkeys(item.name for item, _ in walk(node) if isinstance(item, Column)))


def check_size(node: Node) -> Node:
    """Return `node` when it is a condition within the limits of size and depth.

    Raises
    ------
    DietError
        More than `MAX_NODES` nodes, `MAX_DEPTH` levels or `MAX_CHARACTERS` characters, or no condition.
    """
    for count, (_, depth) in enumerate(walk(node), start=1):
        if count > MAX_NODES:
            raise DietError(
                f"an expression may have {MAX_NODES} parts at most; list neurons under `ids`, or join diets."
            )
        if depth > MAX_DEPTH:
            raise DietError(f"an expression may be nested {MAX_DEPTH} levels deep at most; simplify it.")
    if not is_condition(node):
        raise DietError(
            f"`{to_text(node)[:60]}` is neither true nor false; compare it with something, as in `skewness <= 3.51`."
        )
    length = len(to_text(node))
    if length > MAX_CHARACTERS:
        raise DietError(f"an expression may have {MAX_CHARACTERS} characters at most, this one has {length}.")
    return node


def to_text(node: Node) -> str:
    """Write `node` in its one canonical text form, which `parse_expression` reads back to an equal tree.

    Examples
    --------
    >>> to_text(Not(Compare(("<=",), (Column("skewness"), Literal(3.51)))))
    'not (skewness <= 3.51)'
    """
    match node:
        case Column():
            return _column_text(node.name)
        case Literal():
            return repr(node.value)
        case Call():
            return f"{node.function}({to_text(node.operand)})"
        case Compare():
            pairs = zip(node.operators, node.operands[1:], strict=True)
            return to_text(node.operands[0]) + "".join(f" {operator} {to_text(right)}" for operator, right in pairs)
        case Membership():
            listed = ", ".join(map(to_text, node.values))
            return f"{to_text(node.operand)} {'not in' if node.negated else 'in'} [{listed}]"
        case Not():
            return f"not {_grouped(node.term, Compare, Membership, Not, And, Or)}"
        case And():
            return " and ".join(_grouped(term, Or) for term in node.terms)
        case Or():
            return " or ".join(_grouped(term, And) for term in node.terms)


def _column_text(name: str) -> str:
    column, at, stimulus = name.partition("@")
    return name if not at or _is_plain_name(stimulus) else f"{column}@{stimulus!r}"


def _grouped(node: Node, *kinds: type) -> str:
    text = to_text(node)
    return f"({text})" if isinstance(node, kinds) else text
