"""`Parameter`: a value of a diet that can be set from outside, for sweeps."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from poyodata.errors import DietError, UsageError, nearest

Value: TypeAlias = bool | int | float | str
Plain = TypeVar("Plain", bound=Value)


@dataclass(frozen=True)
class Parameter:
    """A value with a name: ``param(max_skewness, 3.51)`` in an expression, ``{param: share, default: 0.3}`` elsewhere.

    Attributes
    ----------
    name : str
    default : bool, int, float or str
        What holds where nothing else is set.

    Examples
    --------
    >>> Parameter("max_skewness", 3.51)
    Parameter(name='max_skewness', default=3.51)
    """

    name: str
    default: Value
    kind: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise DietError(
                f"{str(self.name)[:60]!r} cannot be the name of a parameter; names are ASCII letters, digits and "
                "underscores, begin with a letter and are no Python keyword."
            )
        object.__setattr__(self, "default", plain_value(self.default))
        # 1, 1.0 and True are three constants, and equal to Python.
        object.__setattr__(self, "kind", type(self.default).__name__)

    def set_to(self, value: Any) -> Parameter:
        """Give the same parameter another value, of the same kind.

        Raises
        ------
        DietError
            A text for a number, a fraction for a whole number, and so on.
        """
        new = plain_value(value)
        if type(self.default) is float and type(new) is int:
            new = float(new)
        if type(new) is not type(self.default):
            raise DietError(
                f"parameter {self.name!r} is {_KINDS[type(self.default)]} (default {self.default!r}); got {new!r}."
            )
        return Parameter(self.name, new)


_KINDS: Mapping[type, str] = {bool: "a truth value", int: "a whole number", float: "a number", str: "a text"}


def is_plain_name(name: Any) -> bool:
    """Tell whether `name` can be a column's or a parameter's: ASCII, no leading underscore, no keyword."""
    return (
        isinstance(name, str)
        and name.isascii()
        and name.isidentifier()
        and not name.startswith("_")
        and not keyword.iskeyword(name)
        and len(name) <= 128
    )


def plain_value(value: Any) -> Value:
    """Return a constant of the language in its canonical form, or refuse it.

    Raises
    ------
    DietError
        Not finite, beyond 64 bits, unprintable, or of another type.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DietError(f"the number {value} is not finite; use isnan(column) to ask for missing values.")
        return value + 0.0  # -0.0 and 0.0 are one constant, or the same diet would have two digests
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise DietError("a whole number does not fit into 64 bits; write it as a float, or correct it.")
        return value
    if isinstance(value, str):
        if not value.isprintable():
            raise DietError(f"the text {value[:40]!r} holds characters that cannot be printed; remove them.")
        return value
    raise DietError(f"{type(value).__name__} is no constant here; use True, False, a number or a text.")


def settled(value: Any) -> Any:
    """Return the value that holds: that of a parameter, or the plain value itself.

    Examples
    --------
    >>> settled(Parameter("share", 0.3)), settled(0.3)
    (0.3, 0.3)
    """
    return value.default if isinstance(value, Parameter) else value


def check_known(names: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse names that no parameter has.

    Raises
    ------
    UsageError
    """
    for name in names:
        if name not in known:
            what = nearest(name, known) if known else "it has no parameters."
            raise UsageError(f"the diet has no parameter {name!r}: {what}")
