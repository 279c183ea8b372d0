"""Rules: which neurons a diet keeps, as a tree of a closed list of operators. Nothing here sees a store.

Numbers of a rule (fractions, counts, seeds) may be a `Parameter`, which is set from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from poyodata.curation.language.expressions import Call, Column, Node, check_operand, check_size, is_column_name
from poyodata.curation.language.parameters import Parameter, Value, is_plain_name, plain_value, settled
from poyodata.errors import DietError, nearest

MAX_RULES = 500
MAX_RULE_DEPTH = 20
MAX_NAME = 100
LONGEST_NAME = 4 * MAX_NAME
"""Characters of a name that somebody gives; names that are made of others are let go above `MAX_NAME`."""

FILES: tuple[str, ...] = (".yaml", ".yml", ".json")
"""Endings of the names of files with diets."""


@dataclass(frozen=True)
class Everyone:
    """Every neuron of the store."""


@dataclass(frozen=True)
class Where:
    """Neurons for which an expression is true."""

    condition: Node

    def __post_init__(self) -> None:
        check_size(self.condition)


@dataclass(frozen=True)
class Ids:
    """Neurons by ``neuron_id``."""

    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        if not self.ids:
            raise DietError("`ids` is empty and would keep nothing; name at least one neuron_id.")
        seen: set[str] = set()
        for name in self.ids:
            check_name(name, "a neuron_id")
            if name in seen:
                raise DietError(f"`ids` names {name!r} twice; name every neuron once.")
            seen.add(name)


@dataclass(frozen=True)
class Reference:
    """Neurons that another diet keeps: one by name (a preset, or of an installed package), or a file by its path.

    Attributes
    ----------
    diet : str
    given : tuple of (name, value)
        Parameters of that diet which are set here, sorted by name; ``with:`` in a file.
    """

    diet: str
    given: tuple[tuple[str, Value | Parameter], ...] = ()
    kinds: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.diet, "a diet's name")
        names = [name for name, _ in self.given]
        for name in names:
            if not is_plain_name(name):
                raise DietError(f"{str(name)[:60]!r} cannot be the name of a parameter.")
        if len(set(names)) < len(names):
            raise DietError(f"a parameter of diet {self.diet!r} is set twice; set it once.")
        values = {name: value if isinstance(value, Parameter) else plain_value(value) for name, value in self.given}
        object.__setattr__(self, "given", tuple((name, values[name]) for name in sorted(values)))
        # 1, 1.0 and True are three values, and equal to Python.
        object.__setattr__(self, "kinds", tuple(type(value).__name__ for _, value in self.given))


@dataclass(frozen=True)
class Union:
    """Neurons of any of the rules."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", _at_least_two("union", self.rules))


@dataclass(frozen=True)
class Intersect:
    """Neurons of all the rules."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", _at_least_two("intersect", self.rules))


@dataclass(frozen=True)
class Difference:
    """Neurons of the first rule that none of the others keeps."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", _at_least_two("difference", self.rules))


@dataclass(frozen=True)
class Complement:
    """Neurons that a rule rejects. Where it is unknown, so is its complement."""

    of: Rule


@dataclass(frozen=True)
class Sample:
    """A part of what a rule keeps, by the smallest hash of (seed, neuron_id).

    Attributes
    ----------
    of : Rule
    fraction : float, Parameter or None
        Share of the pool, above 0 and at most 1; half a neuron is rounded up.
    n : int, Parameter or None
        Number of neurons instead.
    seed : int or Parameter
    within : str or None
        A column: the fraction, or n, holds in each of its groups.
    """

    of: Rule
    fraction: float | Parameter | None = None
    n: int | Parameter | None = None
    seed: int | Parameter = 0
    within: str | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.n is None):
            raise DietError("`sample` takes either a fraction or n, and not both.")
        if self.fraction is not None:
            object.__setattr__(self, "fraction", check_fraction(self.fraction, "fraction"))
        if self.n is not None:
            object.__setattr__(self, "n", check_count(self.n, "n", 1))
        object.__setattr__(self, "seed", check_count(self.seed, "seed", 0))
        _check_column(self.within, "within")


@dataclass(frozen=True)
class Balance:
    """As many neurons from every group, by the smallest hash of (seed, neuron_id).

    Attributes
    ----------
    of : Rule
    by : tuple of str
        Columns; every combination of their values is a group.
    n : int, Parameter or None
        Neurons from every group. None takes as many as the smallest group has.
    seed : int or Parameter
    """

    of: Rule
    by: tuple[str, ...]
    n: int | Parameter | None = None
    seed: int | Parameter = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", _check_columns(self.by, "balance", "by"))
        if self.n is not None:
            object.__setattr__(self, "n", check_count(self.n, "n", 1))
        object.__setattr__(self, "seed", check_count(self.seed, "seed", 0))


ORDERS: tuple[str, ...] = ("highest", "lowest")


@dataclass(frozen=True)
class Top:
    """The k neurons that are highest (or lowest) in something, of all or of each group.

    Attributes
    ----------
    of : Rule
    k : int or Parameter
    by : Column or Call
        A column, or a number made of one: ``reliability``, ``abs(skewness)``. Where it is missing a neuron is unknown.
    order : {"highest", "lowest"}
    within : str or None
        A column: k neurons of each of its groups.
    """

    of: Rule
    k: int | Parameter
    by: Column | Call
    order: str = "highest"
    within: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_count(self.k, "k", 1))
        try:
            check_operand(self.by)
        except DietError as error:
            raise DietError(f"`by` of `top`: {error}") from None
        if self.order not in ORDERS:
            raise DietError(f"unknown `order` {str(self.order)[:60]!r} of `top`: {nearest(str(self.order), ORDERS)}")
        _check_column(self.within, "within")


COUNTED: tuple[str, ...] = ("windows", "tokens")
"""What `Match` can match beside columns: windows, and tokens (neurons x frames of their recordings' windows)."""


@dataclass(frozen=True)
class Match:
    """Random controls: neurons of a pool, as many as another rule keeps and like them in what `on` names.

    Attributes
    ----------
    to : Rule
        What is matched.
    of : Rule
        The pool that is drawn from; written ``from``. Every neuron by default, those of `to` among them.
    on : tuple of str
        What must agree: columns of text (equal counts in every group: ``session_id``, ``cre_line``), columns of
        numbers (the distribution), or ``windows`` and ``tokens`` of train-role time. Empty: the number alone.
    seed : int or Parameter
    draw : int or Parameter
        Number of the draw, from 0: draws of one seed are independent of each other.
    """

    to: Rule
    of: Rule = field(default_factory=Everyone)
    on: tuple[str, ...] = ()
    seed: int | Parameter = 0
    draw: int | Parameter = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", _check_columns(self.on, "match", "on") if self.on else ())
        object.__setattr__(self, "seed", check_count(self.seed, "seed", 0))
        object.__setattr__(self, "draw", check_count(self.draw, "draw", 0))


@dataclass(frozen=True)
class MixTerm:
    """One term of a mix: a pool, and how much of it.

    Attributes
    ----------
    of : Rule
    name : str
        Label in the manifest's column ``term``; ``""`` lets the rule name itself.
    fraction : float, Parameter or None
        Share of this pool.
    share : float, Parameter or None
        Share of the result, instead.
    n : int, Parameter or None
        Number of neurons, instead. With none of the three the whole pool is taken.
    seed : int or Parameter
    """

    of: Rule
    name: str = ""
    fraction: float | Parameter | None = None
    share: float | Parameter | None = None
    n: int | Parameter | None = None
    seed: int | Parameter = 0

    def __post_init__(self) -> None:
        given = [word for word in ("fraction", "share", "n") if getattr(self, word) is not None]
        if len(given) > 1:
            raise DietError(
                f"a term of `mix` has both {' and '.join(given)}: fraction is of its pool, share is of the result, "
                "n is a number of neurons. Keep one of them."
            )
        for word in ("fraction", "share"):
            if getattr(self, word) is not None:
                object.__setattr__(self, word, check_fraction(getattr(self, word), word))
        if self.n is not None:
            object.__setattr__(self, "n", check_count(self.n, "n", 1))
        object.__setattr__(self, "seed", check_count(self.seed, "seed", 0))
        if self.name:
            check_name(self.name, "a term's name")


@dataclass(frozen=True)
class Mix:
    """Several pools together, each whole or in part."""

    terms: tuple[MixTerm, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _at_least_two("mix", self.terms))
        shares = [float(settled(term.share)) for term in self.terms if term.share is not None]
        total = sum(shares)
        if len(shares) == len(self.terms) and abs(total - 1) > 1e-9:
            raise DietError(f"the shares of all terms of a `mix` must add up to 1; they add up to {total:g}.")
        if shares and len(shares) < len(self.terms) and total >= 1 - 1e-9:
            raise DietError(
                f"the shares in a `mix` add up to {total:g}, which leaves nothing to its other terms; lower them."
            )


Rule: TypeAlias = (
    Everyone
    | Where
    | Ids
    | Reference
    | Union
    | Intersect
    | Difference
    | Complement
    | Sample
    | Balance
    | Top
    | Match
    | Mix
)


def check_name(name: Any, what: str) -> str:
    """Return `name` when it can be printed on one line."""
    if isinstance(name, str) and len(name) > LONGEST_NAME:
        raise DietError(f"{what} has {LONGEST_NAME} characters at most; got {len(name):,}, {name[:40]!r} ...")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise DietError(f"{what} is a text of printable characters on one line; got {str(name)[:60]!r}.")
    return name


def check_description(text: str) -> str:
    """Return a description when all of its lines can be printed."""
    if not all(line.isprintable() for line in text.split("\n")):
        raise DietError("the description holds characters that cannot be printed (a tab is one); remove them.")
    return text


def check_fraction(value: Any, what: str) -> float | Parameter:
    """Return `value`, as a float, when it is above 0 and at most 1."""
    value = value.item() if isinstance(value, np.generic) else value
    number = settled(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 1:
        raise DietError(f"{what} is a number above 0 and at most 1; got {str(number)[:60]!r}.")
    # Also a parameter's default: set to 1, it can be set to 0.5 from outside.
    return Parameter(value.name, float(number)) if isinstance(value, Parameter) else float(number)


def check_count(value: Any, what: str, least: int) -> int | Parameter:
    """Return `value` when it is a whole number of at least `least`."""
    value = value.item() if isinstance(value, np.generic) else value
    number = settled(value)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number < 2**63:
        shown = "one beyond 64 bits" if isinstance(number, int) and abs(number) >= 2**63 else str(number)[:60]
        raise DietError(f"{what} is a whole number of at least {least}; got {shown}.")
    return value if isinstance(value, Parameter) else number


def _check_column(name: Any, word: str) -> None:
    if name is not None and not is_column_name(name):
        raise DietError(f"`{word}` names a column such as cre_line; got {str(name)[:60]!r}.")


def _check_columns(names: Any, operator: str, word: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable) or not (columns := tuple(names)):
        raise DietError(f"`{operator}` takes columns under `{word}`, as in `{word}: [cre_line]`.")
    for name in columns:
        _check_column(name, word)
    if len(set(columns)) < len(columns):
        raise DietError(f"`{operator}` names a column under `{word}` twice; name it once.")
    return columns


def _at_least_two(word: str, rules: Iterable[Any]) -> tuple[Any, ...]:
    several = tuple(rules)
    if len(several) < 2:
        raise DietError(f"`{word}` joins at least two rules; got {len(several)}.")
    return several


def below(rule: Rule) -> tuple[Rule, ...]:
    """Return the rules directly below `rule`."""
    match rule:
        case Union() | Intersect() | Difference():
            return rule.rules
        case Complement() | Sample() | Balance() | Top():
            return (rule.of,)
        case Match():
            return (rule.to, rule.of)
        case Mix():
            return tuple(term.of for term in rule.terms)
        case _:
            return ()


def walk_rules(rule: Rule) -> Iterator[tuple[Rule, int]]:
    """Yield every rule of the tree with its depth, without recursion."""
    stack: list[tuple[Rule, int]] = [(rule, 1)]
    while stack:
        current, depth = stack.pop()
        yield current, depth
        stack.extend((child, depth + 1) for child in reversed(below(current)))


def names_file(name: str) -> bool:
    """Tell whether the name of a diet is the path of a file that is looked up in a folder.

    Examples
    --------
    >>> names_file("calm.yaml"), names_file("/diets/calm.yaml"), names_file("predictable")
    (True, False, False)
    """
    return name.endswith(FILES) and not Path(name).is_absolute()


def check_rule_size(rule: Rule) -> Rule:
    """Return `rule` when it is one, within the limits of size and depth."""
    for count, (current, depth) in enumerate(walk_rules(rule), start=1):
        if not isinstance(current, Rule):
            raise DietError(
                f"a diet is made of rules, and {type(current).__name__} is none; make one with Diet.where(...), "
                "and join diets with & | - ~ and mix(...)."
            )
        if count > MAX_RULES or depth > MAX_RULE_DEPTH:
            raise DietError(
                f"a diet may have {MAX_RULES} rules at most, nested {MAX_RULE_DEPTH} deep; simplify it, or write a "
                "part of it as a diet of its own and refer to that."
            )
    return rule
