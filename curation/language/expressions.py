"""Where-expressions: a small closed syntax tree and its canonical text.

An expression is data, never code: there is no arithmetic, no attribute and no call but the functions listed here, so
that the same text means the same in a file, a notebook and a manifest, and can be hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from poyodata.curation.language.parameters import Parameter, Value, is_plain_name, plain_value
from poyodata.errors import DietError, nearest
from poyodata.vocabulary import EXPRESSION_FUNCTIONS

MAX_CHARACTERS = 4096
MAX_NODES = 500
MAX_DEPTH = 50
COMPARISONS: tuple[str, ...] = ("==", "!=", "<", "<=", ">", ">=")
NUMBER_FUNCTIONS: tuple[str, ...] = ("abs", "log10", "rank", "zscore")
REFERENCE_FUNCTIONS: tuple[str, ...] = ("rank", "zscore")
"""Functions that compare a neuron with the reference population; so does `Quantile`."""
FUNCTIONS: tuple[str, ...] = EXPRESSION_FUNCTIONS


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
        value = plain_value(self.value)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "kind", type(value).__name__)


@dataclass(frozen=True)
class Call:
    """A function of one operand: ``isnan``, a condition, or one of `NUMBER_FUNCTIONS`.

    ``zscore(x)`` is in standard deviations from the mean of the reference population, ``rank(x)`` the share of the
    reference population whose value is at most x, from 0 to 1.
    """

    function: str
    operand: Operand

    def __post_init__(self) -> None:
        if self.function not in (*NUMBER_FUNCTIONS, "isnan"):
            raise DietError(f"unknown function {self.function[:60]!r}: {nearest(self.function, FUNCTIONS)}")
        if not isinstance(self.operand, Column | Call) or not is_operand(self.operand):
            raise DietError(f"{self.function}() takes a column, as in `{self.function}(skewness)`.")


@dataclass(frozen=True)
class Quantile:
    """``quantile(x, q)``: the value below which the share q of the reference population lies; frozen when resolved."""

    operand: Operand
    q: float | Parameter

    def __post_init__(self) -> None:
        if not isinstance(self.operand, Column | Call) or not is_operand(self.operand):
            raise DietError("quantile() takes a column and a share, as in `quantile(skewness, 0.9)`.")
        share = self.q.default if isinstance(self.q, Parameter) else self.q
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise DietError(f"the share of a quantile is a number from 0 to 1; got {str(share)[:60]!r}.")
        # Also a parameter's default: 1 set to 0.5 from outside is not a whole number set to a fraction.
        named = Parameter(self.q.name, share + 0.0) if isinstance(self.q, Parameter) else share + 0.0
        object.__setattr__(self, "q", named)


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
                "only columns, constants and functions of columns can be compared; join conditions with and / or."
            )
        for left, right in zip(self.operands, self.operands[1:], strict=False):
            _check_pair(left, right)
        for left, middle, right in zip(self.operands, self.operands[1:], self.operands[2:], strict=False):
            kinds = [_kind_of(one) for one in (left, right) if isinstance(one, Literal | Parameter)]
            if len(set(kinds)) > 1:
                raise DietError(
                    f"`{to_text(middle)}` is compared with {_KINDS[kinds[0]]}, `{to_text(left)}`, and with "
                    f"{_KINDS[kinds[1]]}, `{to_text(right)}`; compare it with one kind."
                )


@dataclass(frozen=True)
class Membership:
    """``column in [values]`` or ``column not in [values]``."""

    operand: Operand
    values: tuple[Literal | Parameter, ...]
    negated: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.operand, Column | Call) or not is_operand(self.operand):
            raise DietError("the left side of `in` must be a column, as in `cre_line in ['Sst-IRES-Cre']`.")
        if not self.values:
            raise DietError(f"`{to_text(self.operand)} in []` can keep nothing; name at least one value.")
        if isinstance(self.operand, Call):
            for value in self.values:
                _check_pair(self.operand, value)
        kinds = {_kind_of(value) for value in self.values}
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


Operand: TypeAlias = Column | Literal | Parameter | Call | Quantile
Node: TypeAlias = Column | Literal | Parameter | Call | Quantile | Compare | Membership | Not | And | Or


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
    return is_plain_name(column) and (not at or _is_stimulus_name(stimulus))


def _is_stimulus_name(name: str) -> bool:
    return bool(name) and name == name.strip() and name.isprintable() and "@" not in name and len(name) <= 128


_KINDS = {"number": "a number", "str": "a text", "bool": "a truth value"}


def _check_pair(left: Operand, right: Operand) -> None:
    """Refuse a comparison that says nothing of any row, or that no row can answer."""
    if not any(isinstance(operand, Column | Call) for operand in (left, right)):
        raise DietError(
            f"`{to_text(left)}` and `{to_text(right)}` are compared, and both are constants; one side of every "
            "comparison must be a column or a function of one."
        )
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Call | Quantile) and isinstance(other, Literal | Parameter) and _kind_of(other) != "number":
            raise DietError(
                f"`{to_text(one)}` is a number, and `{to_text(other)}` is {_KINDS[_kind_of(other)]}; compare it with a "
                "number."
            )


def _kind_of(value: Literal | Parameter) -> str:
    plain = value.default if isinstance(value, Parameter) else value.value
    return "number" if type(plain) in (int, float) else type(plain).__name__


def is_operand(node: Any) -> bool:
    """Tell whether `node` has a value that can be compared."""
    return isinstance(node, Column | Literal | Parameter | Quantile) or (
        isinstance(node, Call) and node.function in NUMBER_FUNCTIONS
    )


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
            shown = to_text(term) if is_operand(term) else type(term).__name__
            raise DietError(f"`{word}` joins conditions, but got `{shown}`; {_how_to_compare(term)}.")
    if word != "not" and len(terms) < 2:
        raise DietError(f"`{word}` needs at least two conditions.")


def _how_to_compare(node: Any) -> str:
    """Say how a condition is made of a value."""
    if isinstance(node, Call):
        return f"compare it with something, as in `{to_text(node)} > 0`"
    if isinstance(node, Quantile):
        return f"compare a column with it, as in `{to_text(node.operand)} > {to_text(node)}`"
    if isinstance(node, Literal | Parameter):
        column, sign = {"str": ("cre_line", "=="), "bool": ("valid_roi", "==")}.get(_kind_of(node), ("skewness", ">"))
        return f"compare a column with it, as in `{column} {sign} {to_text(node)}`"
    return "write a comparison, as in `skewness > 0`"


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`."""
    match node:
        case Call():
            return (node.operand,)
        case Quantile():
            return (node.operand, node.q) if isinstance(node.q, Parameter) else (node.operand,)
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
    >>> from poyodata.curation.language.parse import parse_expression
    >>> columns_of(parse_expression("skewness <= 3.51 and kurtosis <= 22.62"))
    ('skewness', 'kurtosis')
    """
    return tuple(dict.fromkeys(item.name for item, _ in walk(node) if isinstance(item, Column)))


def parameters_of(node: Node) -> tuple[Parameter, ...]:
    """Parameters in `node`, in the order in which they stand there."""
    return tuple(item for item, _ in walk(node) if isinstance(item, Parameter))


def replace_parameters(node: Node, new: Callable[[Parameter], Parameter | Value]) -> Node:
    """Write `node` anew with another parameter, or a constant, for every parameter in it.

    Examples
    --------
    >>> from poyodata.curation.language.parse import parse_expression
    >>> to_text(replace_parameters(parse_expression("skewness <= param(most, 3.51)"), lambda one: one.default))
    'skewness <= 3.51'
    """

    def again(part: Any) -> Any:
        match part:
            case Parameter():
                value = new(part)
                return value if isinstance(value, Parameter) else Literal(value)
            case Call():
                return replace(part, operand=again(part.operand))
            case Quantile():
                share = new(part.q) if isinstance(part.q, Parameter) else part.q
                return Quantile(again(part.operand), share)  # type: ignore[arg-type]  # checked by Quantile
            case Compare():
                return replace(part, operands=tuple(map(again, part.operands)))
            case Membership():
                return replace(part, operand=again(part.operand), values=tuple(map(again, part.values)))
            case Not():
                return Not(again(part.term))
            case And() | Or():
                return type(part)(tuple(map(again, part.terms)))
            case _:
                return part

    written: Node = again(node)
    return written


def check_size(node: Node) -> Node:
    """Return `node` when it is a condition within the limits of size and depth.

    Raises
    ------
    DietError
        More than `MAX_NODES` nodes, `MAX_DEPTH` levels or `MAX_CHARACTERS` characters, or no condition.
    """
    _check_limits(node)
    if not is_condition(node):
        raise DietError(f"`{to_text(node)[:60]}` is neither true nor false; {_how_to_compare(node)}.")
    return node


def check_operand(node: Operand) -> Column | Call:
    """Return `node` when it is a column, or a number made of one, within the limits of size and depth.

    Raises
    ------
    DietError
    """
    if not isinstance(node, Column | Call) or not is_operand(node):
        raise DietError("expected a column or a function of one, as in `reliability` or `abs(skewness)`.")
    _check_limits(node)
    return node


def _check_limits(node: Node) -> None:
    for count, (_, depth) in enumerate(walk(node), start=1):
        if count > MAX_NODES:
            raise DietError(
                f"an expression may have {MAX_NODES} parts at most; list neurons under `ids`, or join diets."
            )
        if depth > MAX_DEPTH:
            raise DietError(f"an expression may be nested {MAX_DEPTH} levels deep at most; simplify it.")
    length = len(to_text(node))
    if length > MAX_CHARACTERS:
        raise DietError(f"an expression may have {MAX_CHARACTERS} characters at most, this one has {length}.")


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
        case Parameter():
            return f"param({node.name}, {node.default!r})"
        case Call():
            return f"{node.function}({to_text(node.operand)})"
        case Quantile():
            share = to_text(node.q) if isinstance(node.q, Parameter) else repr(node.q)
            return f"quantile({to_text(node.operand)}, {share})"
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
    return name if not at or is_plain_name(stimulus) else f"{column}@{stimulus!r}"


def _grouped(node: Node, *kinds: type) -> str:
    text = to_text(node)
    return f"({text})" if isinstance(node, kinds) else text
