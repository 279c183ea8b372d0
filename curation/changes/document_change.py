"""What differs between two diets, as single changes that can be made to the first one, each on its own.

Diets are compared in their canonical documents (`Diet.to_dict`), with those that they refer to. A change of a constant
in a condition is a threshold, or a parameter where one of that name took the same step; a condition that is joined by
``and`` is compared clause by clause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from poyodata.curation.diet import Diet
from poyodata.curation.language.expressions import And, to_text
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.language.rule_document import rule_text, term_text
from poyodata.curation.language.rules import Mix
from poyodata.digests import canonical_json
from poyodata.errors import DietError

Document: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]

ORDER: tuple[str, ...] = ("parameter", "threshold", "clause", "rule", "reference", "sampling", "policy")
"""Causes of a change within a diet, in the order in which they are looked at."""

_SAMPLERS = ("sample", "balance", "top")
_SAMPLING = ("fraction", "share", "n", "k", "seed", "draw", "within", "by", "order", "on", "roles", *_SAMPLERS)
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?<![\w.@])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SHOWN = 160


@dataclass(frozen=True)
class Edit:
    """One change of a document.

    Attributes
    ----------
    cause : str
        One of `ORDER`, or the last word of the place outside of the rule.
    place : str
        Where in the diet, as in ``neurons.mix[1].fraction``.
    before, after : str
        What stood there and what does now; ``""`` for nothing.
    apply : callable
        Makes the change in a document.
    """

    cause: str
    place: str
    before: str
    after: str
    apply: Callable[[Document], None] = field(repr=False, compare=False)


def edits_between(
    before: Document, after: Document, parameters: Sequence[Mapping[str, Any]] = ({}, {})
) -> tuple[Edit, ...]:
    """List the changes that make one document the other, in the order of `ORDER`; each can be made without the others.

    Parameters
    ----------
    before, after : dict
        Plain mappings and lists.
    parameters : (mapping, mapping)
        Values that parameters had in each.

    Returns
    -------
    tuple of Edit

    Examples
    --------
    >>> one, other = ({"neurons": {"where": f"skewness <= {value} and std > 1"}} for value in (3.51, 3))
    >>> edits_between(one, other)
    (Edit(cause='threshold', place='neurons.where[0]', before='skewness <= 3.51', after='skewness <= 3'),)
    """
    first, second = parameters
    steps = {
        name: (str(first[name]), str(second[name]))
        for name in first
        if name in second and canonical_json(first[name]) != canonical_json(second[name])
    }
    edits = [_named(edit, steps) for edit in _walk(before, after, ())]
    place = {cause: index for index, cause in enumerate(ORDER)}
    return tuple(sorted(edits, key=lambda edit: place.get(edit.cause, len(ORDER))))


def shown(value: Any) -> str:
    """Write a part of a document on one short line: a rule, or a term of a mix, as funnels say it."""
    text = value if isinstance(value, str) else _said(value) or canonical_json(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _said(value: Any) -> str:
    """Say a rule, a term of a mix, or several, in words; nothing where it is neither."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"[{', '.join(_said(item) or canonical_json(item) for item in value)}]"
    if not isinstance(value, dict):
        return ""
    try:
        if "of" not in value:
            return rule_text(Diet.from_dict({"diet": 1, "neurons": value}).neurons)
        mixed = Diet.from_dict({"diet": 1, "neurons": {"mix": [{"of": "all"}, value]}}).neurons
    except DietError:
        return ""
    return term_text(mixed.terms[1]) if isinstance(mixed, Mix) else ""


def _walk(a: Any, b: Any, path: Path) -> Iterator[Edit]:
    if canonical_json(a) == canonical_json(b):
        return
    if path and path[-1] == "where" and isinstance(a, str) and isinstance(b, str):
        yield from _clauses(a, b, path)
    elif isinstance(a, dict) and isinstance(b, dict) and not _other_operator(a, b, path):
        for key in (*a, *(key for key in b if key not in a)):
            if key in a and key in b:
                yield from _walk(a[key], b[key], (*path, key))
            else:
                yield _replaced(a.get(key), b.get(key), (*path, key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and any(isinstance(x, dict) for x in a):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _walk(one, other, (*path, index))
    else:
        yield _replaced(a, b, path)


def _other_operator(a: Document, b: Document, path: Path) -> bool:
    """Whether two mappings are rules of other operators, which have no keys in common worth comparing."""
    in_rule = "neurons" in path and path[-1] != "with"
    return in_rule and a.keys().isdisjoint(b.keys())


def _replaced(a: Any, b: Any, path: Path) -> Edit:
    def apply(document: Document) -> None:
        holder: Any = document
        for key in path[:-1]:
            holder = holder[key]
        if b is None:
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = b

    before, after = ("" if part is None else shown(part) for part in (a, b))
    return Edit(_cause(path, a, b), _place(path), before, after, apply)


def _cause(path: Path, a: Any, b: Any) -> str:
    words = [word for word in path if isinstance(word, str)]
    if "neurons" not in words:
        word = words[-1]
        return {"missing": "policy", "window": "statistics window"}.get(word, word)
    if words[-1] in _SAMPLING or _wraps(a, b) or _wraps(b, a):
        return "sampling"
    return "parameter" if "with" in words else "rule"


def _wraps(a: Any, b: Any) -> bool:
    """Whether rule b is a part of what rule a keeps."""
    return isinstance(b, dict) and any(
        isinstance(b.get(word), dict) and canonical_json(b[word].get("of")) == canonical_json(a) for word in _SAMPLERS
    )


def _place(path: Path) -> str:
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text.removeprefix("diet.")


# -- conditions ------------------------------------------------------------------------------------------------------


def _clauses(a: str, b: str, path: Path) -> Iterator[Edit]:
    """Changes of a condition, clause by clause: first those that changed, then new ones, then those that went."""
    old, new = _terms(a), _terms(b)
    gone = [term for term in old if term not in new]
    come = [term for term in new if term not in old]
    for term in list(gone):
        alike = next((other for other in come if _skeleton(other) == _skeleton(term)), None)
        if alike is not None:
            gone.remove(term)
            come.remove(alike)
            yield _clause(path, term, alike, old)
    for term in come:
        yield _clause(path, "", term, new)
    for term in gone:
        yield _clause(path, term, "", old)
    if sorted(old) == sorted(new):  # the same clauses in another order
        yield _replaced(a, b, path)


def _clause(path: Path, before: str, after: str, among: Sequence[str]) -> Edit:
    def apply(document: Document) -> None:
        holder: Any = document
        for key in path[:-1]:
            holder = holder[key]
        terms = _terms(holder[path[-1]])
        at = terms.index(before) if before else len(terms)
        terms[at : at + bool(before)] = [after] if after else []
        holder[path[-1]] = _joined(terms)

    cause = "threshold" if before and after else "clause"
    # As the steps of a funnel are called.
    at = f"[{among.index(before or after)}]" if len(among) > 1 else ""
    return Edit(cause, _place(path) + at, before, after, apply)


def _terms(text: str) -> list[str]:
    try:
        node = parse_expression(text)
    except DietError:
        return [text]
    return [to_text(term) for term in node.terms] if isinstance(node, And) else [to_text(node)]


def _joined(terms: Sequence[str]) -> str:
    nodes = tuple(parse_expression(term) for term in terms)
    return to_text(nodes[0] if len(nodes) == 1 else And(nodes))


def _skeleton(text: str) -> str:
    return _LITERAL.sub("#", text)


def _named(edit: Edit, steps: Mapping[str, tuple[str, str]]) -> Edit:
    """Call a change that of a parameter when every constant in it took a step that a parameter took."""
    if edit.cause not in ("threshold", "sampling") or not edit.before or not edit.after:
        return edit
    pairs = zip(_LITERAL.findall(edit.before), _LITERAL.findall(edit.after), strict=False)
    names = []
    for old, new in ((old, new) for old, new in pairs if old != new):
        name = next((name for name, step in steps.items() if _same(old, step[0]) and _same(new, step[1])), None)
        if name is None:
            return edit
        names.append(name)
    if not names:
        return edit
    what = ", ".join(dict.fromkeys(names))
    before, after = (", ".join(steps[name][side] for name in dict.fromkeys(names)) for side in (0, 1))
    return Edit("parameter", what, before, after, edit.apply)


def _same(literal: str, value: str) -> bool:
    plain = literal[1:-1] if literal[:1] in "'\"" else literal
    try:
        return float(plain) == float(value)
    except ValueError:
        return plain == value
