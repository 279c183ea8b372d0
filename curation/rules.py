"""Rules: which neurons a diet keeps, as a tree of a closed list of operators. Nothing here sees a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from poyodata.curation.expressions import Node, check_size, is_column_name, to_text
from poyodata.errors import DietError

MAX_RULES = 500
MAX_RULE_DEPTH = 20
MAX_NAME = 100


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
        if not self.ids:
            raise DietError("`ids` is empty and would keep nothing; name at least one neuron_id.")
        if len(set(self.ids)) != len(self.ids):
            twice = next(name for name in self.ids if self.ids.count(name) > 1)
            raise DietError(f"`ids` names {twice!r} twice; name every neuron once.")
        for name in self.ids:
            check_name(name, "a neuron_id")


@dataclass(frozen=True)
class Reference:
    """Neurons that another diet keeps: a preset by name, or a file by its path."""

    diet: str

    def __post_init__(self) -> None:
        check_name(self.diet, "a diet's name")


@dataclass(frozen=True)
class Union:
    """Neurons of any of the rules."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        _at_least_two("union", self.rules)


@dataclass(frozen=True)
class Intersect:
    """Neurons of all the rules."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        _at_least_two("intersect", self.rules)


@dataclass(frozen=True)
class Difference:
    """Neurons of the first rule that none of the others keeps."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        _at_least_two("difference", self.rules)


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
    fraction : float or None
        Share of the pool, above 0 and at most 1; half a neuron is rounded up.
    n : int or None
        Number of neurons instead.
    seed : int
    within : str or None
        A column: the fraction, or n, holds in each of its groups.
    """

    of: Rule
    fraction: float | None = None
    n: int | None = None
    seed: int = 0
    within: str | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.n is None):
            raise DietError("`sample` takes either a fraction or n, and not both.")
        if self.fraction is not None:
            object.__setattr__(self, "fraction", check_fraction(self.fraction, "fraction"))
        if self.n is not None:
            check_count(self.n, "n", 1)
        check_count(self.seed, "seed", 0)
        if self.within is not None and not is_column_name(self.within):
            raise DietError(f"`within` names a column such as cre_line; got {self.within!r}.")


@dataclass(frozen=True)
class MixTerm:
    """One term of a mix: a pool, and how much of it.

    Attributes
    ----------
    of : Rule
    name : str
        Label in the manifest's column ``term``; ``""`` lets the rule name itself.
    fraction : float or None
        Share of this pool.
    share : float or None
        Share of the result, instead.
    n : int or None
        Number of neurons, instead. With none of the three the whole pool is taken.
    seed : int
    """

    of: Rule
    name: str = ""
    fraction: float | None = None
    share: float | None = None
    n: int | None = None
    seed: int = 0

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
            check_count(self.n, "n", 1)
        check_count(self.seed, "seed", 0)
        if self.name:
            check_name(self.name, "a term's name")


@dataclass(frozen=True)
class Mix:
    """Several pools together, each whole or in part."""

    terms: tuple[MixTerm, ...]

    def __post_init__(self) -> None:
        _at_least_two("mix", self.terms)
        shares = [term.share for term in self.terms if term.share is not None]
        total = sum(shares)
        if len(shares) == len(self.terms) and abs(total - 1) > 1e-9:
            raise DietError(f"the shares of all terms of a `mix` must add up to 1; they add up to {total:g}.")
        if shares and len(shares) < len(self.terms) and total >= 1 - 1e-9:
            raise DietError(
                f"the shares in a `mix` add up to {total:g}, which leaves nothing to its other terms; lower them."
            )


Rule: TypeAlias = Everyone | Where | Ids | Reference | Union | Intersect | Difference | Complement | Sample | Mix


def check_name(name: Any, what: str) -> str:
    """Return `name` when it can be printed on one line."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 4 * MAX_NAME:
        raise DietError(f"{what} is a text of printable characters on one line; got {str(name)[:60]!r}.")
    return name


def check_fraction(value: Any, what: str) -> float:
    """Return `value` as a float when it is above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise DietError(f"{what} is a number above 0 and at most 1; got {value!r}.")
    return float(value)


def check_count(value: Any, what: str, least: int) -> int:
    """Return `value` when it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise DietError(f"{what} is a whole number of at least {least}; got {str(value)[:60]}.")
    return value


def _at_least_two(word: str, rules: tuple[Any, ...]) -> None:
    if len(rules) < 2:
        raise DietError(f"`{word}` joins at least two rules; got {len(rules)}.")


def below(rule: Rule) -> tuple[Rule, ...]:
    """Return the rules directly below `rule`."""
    match rule:
        case Union() | Intersect() | Difference():
            return rule.rules
        case Complement() | Sample():
            return (rule.of,)
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


def check_rule_size(rule: Rule) -> Rule:
    """Return `rule` when it is within the limits of size and depth."""
    for count, (_, depth) in enumerate(walk_rules(rule), start=1):
        if count > MAX_RULES or depth > MAX_RULE_DEPTH:
            raise DietError(
                f"a diet may have {MAX_RULES} rules at most, nested {MAX_RULE_DEPTH} deep; simplify it, or write a "
                "part of it as a diet of its own and refer to that."
            )
    return rule


def rule_text(rule: Rule) -> str:
    """Say a rule in one line, for funnels and messages.

    Examples
    --------
    >>> rule_text(Complement(Reference("predictable")))
    'not [predictable]'
    """
    match rule:
        case Everyone():
            return "all neurons"
        case Where():
            return to_text(rule.condition)
        case Ids():
            return f"{len(rule.ids)} listed neurons"
        case Reference():
            return f"[{rule.diet}]"
        case Union():
            return " or ".join(f"({rule_text(part)})" for part in rule.rules)
        case Intersect():
            return " and ".join(f"({rule_text(part)})" for part in rule.rules)
        case Difference():
            return " but not ".join(f"({rule_text(part)})" for part in rule.rules)
        case Complement():
            inner = rule_text(rule.of)
            return f"not {inner}" if isinstance(rule.of, Reference) else f"not ({inner})"
        case Sample():
            amount = f"{rule.n}" if rule.fraction is None else f"{rule.fraction:g}"
            within = f" in each {rule.within}" if rule.within else ""
            return f"{amount}{within} of ({rule_text(rule.of)}), seed {rule.seed}"
        case Mix():
            return "mix of " + " + ".join(term_text(term) for term in rule.terms)


def term_text(term: MixTerm) -> str:
    """Say a term of a mix in one line."""
    pool = term.name or rule_text(term.of)
    if term.fraction is not None:
        return f"{term.fraction:g} of {pool}"
    if term.share is not None:
        return f"{pool} up to a share of {term.share:g}"
    return f"{term.n} of {pool}" if term.n is not None else pool


def rule_document(rule: Rule) -> Any:
    """Write a rule as plain mappings and lists: the canonical form under ``neurons`` in YAML and JSON."""
    match rule:
        case Everyone():
            return "all"
        case Where():
            return {"where": to_text(rule.condition)}
        case Ids():
            return {"ids": list(rule.ids)}
        case Reference():
            return {"diet": rule.diet}
        case Union() | Intersect() | Difference():
            return {type(rule).__name__.lower(): [rule_document(part) for part in rule.rules]}
        case Complement():
            return {"complement": rule_document(rule.of)}
        case Sample():
            amount = {"n": rule.n} if rule.fraction is None else {"fraction": rule.fraction}
            within = {"within": rule.within} if rule.within else {}
            return {"sample": {"of": rule_document(rule.of), **amount, "seed": rule.seed, **within}}
        case Mix():
            return {"mix": [_term_document(term) for term in rule.terms]}


def _term_document(term: MixTerm) -> dict[str, Any]:
    document: dict[str, Any] = {"name": term.name} if term.name else {}
    document["of"] = rule_document(term.of)
    amounts = {word: getattr(term, word) for word in ("fraction", "share", "n") if getattr(term, word) is not None}
    if amounts or term.seed:
        document |= amounts | {"seed": term.seed}
    return document
