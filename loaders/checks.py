"""Checks of plain values that are given to loaders, in one place: what is wrong is said before anything is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from poyodata.errors import LoaderError, UsageError


def whole_number(name: str, value: Any, least: int = 0, error: type[LoaderError] = LoaderError) -> int:
    """Give a whole number as an int; NumPy's are taken too, and truth values, texts and 2.0 are not.

    Raises
    ------
    LoaderError
        It is none, or less than `least`. Of another class where `error` says so.

    Examples
    --------
    >>> whole_number("batch_size", np.int64(8), 1)
    8
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise error(f"{name} is {value!r}; it must be a whole number of at least {least}.")
    return int(value)


def finite_number(name: str, value: Any, error: type[LoaderError] = LoaderError) -> float:
    """Give a number as a float.

    Raises
    ------
    LoaderError
        It is a text or a truth value, infinite or NaN. Of another class where `error` says so.

    Examples
    --------
    >>> finite_number("offset_s", -1)
    -1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise error(f"{name} is {value!r}; it must be a number, and neither infinite nor NaN.")
    return float(value)


def truth(name: str, value: Any, error: type[LoaderError] = LoaderError) -> bool:
    """Give a truth value, Python's or NumPy's, as a bool.

    Raises
    ------
    LoaderError
        It is something else, such as ``"no"`` or 1. Of another class where `error` says so.

    Examples
    --------
    >>> truth("shuffle", np.False_)
    False
    """
    if not isinstance(value, bool | np.bool_):
        raise error(f"{name} is {value!r}; it must be True or False.")
    return bool(value)


def names(what: str, value: Any) -> tuple[str, ...]:
    """Give names as a tuple; a lone text is one name.

    Raises
    ------
    UsageError
        It is no sequence of texts.

    Examples
    --------
    >>> names("neuron_columns", "depth_um"), names("targets", ["direction", "running"])
    (('depth_um',), ('direction', 'running'))
    """
    given = (value,) if isinstance(value, str) else value
    if isinstance(given, Mapping) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise UsageError(f"{what} are names, got {value!r}; give one, or a list of them.")
    return tuple(given)
