"""The parameters of a whole diet: found in its rules, expressions and windows, set, and replaced by constants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from poyodata.curation.language import expressions, rules
from poyodata.curation.language.parameters import Parameter, Value, check_known
from poyodata.errors import DietError

Part = TypeVar("Part")

_NODES = (
    expressions.Column,
    expressions.Literal,
    expressions.Call,
    expressions.Quantile,
    expressions.Compare,
    expressions.Membership,
    expressions.Not,
    expressions.And,
    expressions.Or,
)


def parameters_within(part: Any) -> Iterator[Parameter]:
    """Yield every parameter of a rule, a window rule or a tuple of them, in the order in which they stand there.

    Examples
    --------
    >>> from poyodata.curation.language import rules
    >>> list(parameters_within(rules.Sample(rules.Everyone(), fraction=Parameter("share", 0.3))))
    [Parameter(name='share', default=0.3)]
    """
    if isinstance(part, Parameter):
        yield part
    elif isinstance(part, _NODES):
        yield from expressions.parameters_of(part)
    elif isinstance(part, tuple):
        for item in part:
            yield from parameters_within(item)
    elif dataclasses.is_dataclass(part) and not isinstance(part, rules.Ids):  # there may be very many
        for name in _parts_of(part):
            yield from parameters_within(getattr(part, name))


def written_anew(part: Part, new: Callable[[Parameter], Parameter | Value]) -> Part:
    """Write a rule, a window rule or a tuple of them with another parameter, or a constant, for every parameter.

    Examples
    --------
    >>> from poyodata.curation.language import rules
    >>> rule = rules.Sample(rules.Everyone(), fraction=Parameter("share", 0.3))
    >>> written_anew(rule, lambda parameter: parameter.default)
    Sample(of=Everyone(), fraction=0.3, n=None, seed=0, within=None)
    """
    written: Any = part
    if isinstance(part, Parameter):
        written = new(part)
    elif isinstance(part, _NODES):
        written = expressions.replace_parameters(part, new)
    elif isinstance(part, tuple):
        written = tuple(written_anew(item, new) for item in part)
    elif dataclasses.is_dataclass(part) and not isinstance(part, type | rules.Ids):
        written = dataclasses.replace(
            part, **{name: written_anew(getattr(part, name), new) for name in _parts_of(part)}
        )
    same: Part = written
    return same


def _parts_of(part: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(part) if field.init]


def collect_parameters(*parts: Any) -> dict[str, Parameter]:
    """Gather parameters by name.

    Raises
    ------
    DietError
        One name with two defaults: which of them holds would depend on where it is looked up.
    """
    found: dict[str, Parameter] = {}
    for parameter in parameters_within(parts):
        first = found.setdefault(parameter.name, parameter)
        if first != parameter:
            raise DietError(
                f"parameter {parameter.name!r} has two defaults, {first.default!r} and {parameter.default!r}; "
                "give it the same one everywhere, or use two names."
            )
    return found


def settings_of(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Parameter]:
    """Set parameters to values; those that are not named stay.

    Raises
    ------
    UsageError
        No such parameter.
    DietError
        A value of another kind.
    """
    check_known(values, parameters)
    return {
        name: parameter.set_to(values[name]) if name in values else parameter for name, parameter in parameters.items()
    }
