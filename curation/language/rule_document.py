"""A rule as one line, for funnels and messages, and as plain mappings and lists, its canonical form in a file."""

from __future__ import annotations

from typing import Any

from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parameters import Parameter, settled
from poyodata.curation.language.rules import (
    Balance,
    Complement,
    Difference,
    Everyone,
    Ids,
    Intersect,
    Match,
    Mix,
    MixTerm,
    Reference,
    Rule,
    Sample,
    Top,
    Union,
    Where,
)
from poyodata.curation.language.window_rule import WindowRule


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
            return numbered(len(rule.ids), "listed neuron")
        case Reference():
            given = ", ".join(f"{name} = {settled(value)}" for name, value in rule.given)
            return f"[{rule.diet} with {given}]" if given else f"[{rule.diet}]"
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
            amount = f"{settled(rule.n)}" if rule.fraction is None else f"{settled(rule.fraction):g}"
            within = f" in each {rule.within}" if rule.within else ""
            return f"{amount}{within} of ({rule_text(rule.of)}), seed {settled(rule.seed)}"
        case Balance():
            amount = "as many" if rule.n is None else f"{settled(rule.n)}"
            return f"{amount} in each {' x '.join(rule.by)} of ({rule_text(rule.of)}), seed {settled(rule.seed)}"
        case Top():
            within = f" in each {rule.within}" if rule.within else ""
            return f"{settled(rule.k)} {rule.order} in {to_text(rule.by)}{within} of ({rule_text(rule.of)})"
        case Match():
            on = f" on {', '.join(rule.on)}" if rule.on else ""
            return (
                f"random from ({rule_text(rule.of)}) matched to ({rule_text(rule.to)}){on}, "
                f"seed {settled(rule.seed)}, draw {settled(rule.draw)}"
            )
        case Mix():
            return "mix of " + " + ".join(term_text(term) for term in rule.terms)


def term_text(term: MixTerm) -> str:
    """Say a term of a mix in one line."""
    pool = term.name or rule_text(term.of)
    if term.fraction is not None:
        return f"{settled(term.fraction):g} of {pool}"
    if term.share is not None:
        return f"{pool} up to a share of {settled(term.share):g}"
    return f"{settled(term.n)} of {pool}" if term.n is not None else pool


def numbered(count: int, noun: str) -> str:
    """Say how many there are of something.

    Examples
    --------
    >>> numbered(1, "neuron"), numbered(1200, "neuron")
    ('1 neuron', '1,200 neurons')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def they_are(count: int, noun: str) -> str:
    """Say how many there are of something, for what is said of them.

    Examples
    --------
    >>> they_are(1, "neuron"), they_are(2, "neuron")
    ('1 neuron is', '2 neurons are')
    """
    return f"{numbered(count, noun)} {'is' if count == 1 else 'are'}"


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
            given = {name: plain_amount(value) for name, value in rule.given}
            return {"diet": rule.diet, "with": given} if given else {"diet": rule.diet}
        case Union() | Intersect() | Difference():
            return {type(rule).__name__.lower(): [rule_document(part) for part in rule.rules]}
        case Complement():
            return {"complement": rule_document(rule.of)}
        case Sample():
            amount = {"n": rule.n} if rule.fraction is None else {"fraction": rule.fraction}
            return {"sample": _entries(of=rule.of, **amount, seed=rule.seed, within=rule.within)}
        case Balance():
            return {"balance": _entries(of=rule.of, by=list(rule.by), n=rule.n, seed=rule.seed)}
        case Top():
            top = _entries(of=rule.of, k=rule.k, by=to_text(rule.by), order=rule.order, within=rule.within)
            return {"top": top}
        case Match():
            drawn = {"seed": plain_amount(rule.seed), "draw": plain_amount(rule.draw)}
            pools = {"to": rule_document(rule.to), "from": rule_document(rule.of)}
            return {"match": pools | ({"on": list(rule.on)} if rule.on else {}) | drawn}
        case Mix():
            return {"mix": [_term_document(term) for term in rule.terms]}


def _term_document(term: MixTerm) -> dict[str, Any]:
    document: dict[str, Any] = {"name": term.name} if term.name else {}
    document["of"] = rule_document(term.of)
    amounts = _entries(fraction=term.fraction, share=term.share, n=term.n)
    if amounts or term.seed:
        document |= amounts | {"seed": plain_amount(term.seed)}
    return document


def _entries(of: Rule | None = None, **values: Any) -> dict[str, Any]:
    """Entries of a mapping in the order given, without those that are None."""
    document: dict[str, Any] = {} if of is None else {"of": rule_document(of)}
    return document | {word: plain_amount(value) for word, value in values.items() if value is not None}


def windows_document(rule: WindowRule) -> dict[str, Any]:
    """Write a window rule as the mapping under ``windows``; empty where it asks for nothing."""
    document: dict[str, Any] = {}
    if rule.where is not None:
        document["where"] = to_text(rule.where)
    if rule.while_ is not None:
        document["while"] = to_text(rule.while_)
    if rule.min_length_s is not None:
        document["min_length_s"] = plain_amount(rule.min_length_s)
    if rule.sample is not None:
        part = rule.sample
        document["sample"] = _entries(fraction=part.fraction, n=part.n, seed=part.seed) | {"roles": list(part.roles)}
    return document


def plain_amount(value: Any) -> Any:
    """Write a number, or the parameter that stands for it, as it stands in a file.

    Examples
    --------
    >>> plain_amount(Parameter("share", 0.3)), plain_amount(0.3)
    ({'param': 'share', 'default': 0.3}, 0.3)
    """
    return {"param": value.name, "default": value.default} if isinstance(value, Parameter) else value
