"""Whether a statistic is declared as it must be, and gives what it declares: for those of users above all."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.digests import canonical_json
from poyodata.errors import StatisticError, nearest
from poyodata.statistics.restricted import bound_names
from poyodata.statistics.statistic import GROUPS, Column, Statistic
from poyodata.store.tables import TABLES
from poyodata.vocabulary import CURATION_COLUMNS, RESERVED_WORDS

RESERVED: frozenset[str] = frozenset(
    name.casefold()
    for names in (
        *(TABLES[table] for table in ("sessions", "neurons", "presentations")),
        CURATION_COLUMNS,
        RESERVED_WORDS,
        keyword.kwlist,
    )
    for name in names
)
"""Names, in small letters, that mean something else beside columns of statistics, or in a rule of a diet."""

ROUNDING = 1e-9
"""By how much a value may leave its declared range, relative to the bound: it is then brought back to the bound."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_declaration(statistic: Statistic, others: Iterable[Statistic]) -> None:
    """Raise when a statistic is not declared well, or bears a name that is taken.

    Parameters
    ----------
    statistic : Statistic
    others : iterable of Statistic
        Those that it is to stand beside.

    Raises
    ------
    StatisticError
        Saying what to change.
    """
    if not isinstance(statistic, Statistic):
        raise StatisticError(f"a Statistic is registered, and {type(statistic).__name__} arrived; see its docstring.")
    who = f"the statistic {statistic.name!r}"
    for name in (statistic.name, *statistic.columns):
        if not _NAME.fullmatch(str(name)):
            raise StatisticError(f"{who}: {name!r} is no name; use letters, digits and '_', and begin with a letter.")
    if not statistic.columns:
        raise StatisticError(f"{who} declares no columns; give at least one Column.")
    # A text or a fraction would be looked for in the range number by number.
    version: object = statistic.version
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 1 << 31:
        raise StatisticError(f"{who} has version {statistic.version!r}; versions are 1, 2, 3, ...")
    if statistic.group not in GROUPS:
        raise StatisticError(f"{who} is of the group {statistic.group!r}: {nearest(statistic.group, GROUPS)}")
    if statistic.kept_blocks is not None and (statistic.uses_labels or statistic.signals):
        raise StatisticError(f"{who} keeps blocks, which have traces alone, and declares labels or signals; drop one.")
    try:
        canonical_json(dict(statistic.params))
    except (TypeError, ValueError) as error:
        raise StatisticError(
            f"{who} has params that are no plain numbers, texts and lists of these ({error}); they name kept results."
        ) from error
    for name, column in statistic.columns.items():
        _check_column(f"{who}, column {name!r}", column)
    _check_names(statistic, others)


def _check_column(who: str, column: Column) -> None:
    if not _is_number(column.dtype):
        raise StatisticError(f"{who}: dtype is {column.dtype!r}; use 'float64', 'int64' or another plain number's.")
    if not column.unit or not column.definition.endswith("."):
        raise StatisticError(f"{who}: give a unit ('1' for plain numbers) and a definition, a sentence with its stop.")
    if not column.low <= column.high:
        raise StatisticError(f"{who}: the range from {column.low} to {column.high} holds no value.")


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "biuf"
    except TypeError:
        return False


def _check_names(statistic: Statistic, others: Iterable[Statistic]) -> None:
    """Names must be told apart in a table, in a rule of a diet and where somebody asks, also in small letters."""
    taken = dict.fromkeys(RESERVED, "a column of the store's tables or a word of diets")
    for other in others:
        taken |= dict.fromkeys(_names(other), f"a name of the statistic {other.name!r}")
    for name in _names(statistic):
        if name in taken:
            raise StatisticError(
                f"the statistic {statistic.name!r} cannot use the name {name!r}, which is {taken[name]}; choose "
                "another."
            )


def _names(statistic: Statistic) -> list[str]:
    """All names that it takes: its own, and those of its columns and of their intervals."""
    columns = [name for column in statistic.columns for name in (column, *bound_names(column))]
    return [name.casefold() for name in (statistic.name, *columns)]


def checked_columns(
    statistic: Statistic, values: Mapping[str, Any], n_neurons: int, session_id: str
) -> dict[str, npt.NDArray[Any]]:
    """Give the columns of a statistic as they are declared.

    Parameters
    ----------
    statistic : Statistic
    values : mapping of column name to array-like, shape (neuron,)
        What its ``finalize`` gave.
    n_neurons : int
    session_id : str
        For messages.

    Returns
    -------
    dict of column name to ndarray, shape (neuron,), of the declared dtype

    Raises
    ------
    StatisticError
        When a column is missing, has another shape, cannot be held by its dtype, or leaves its range by more than
        rounding: of a user's statistic and of ours alike, since a value that cannot be is wrong wherever it is from.

    Examples
    --------
    >>> from poyodata.statistics import MOMENTS
    >>> checked_columns(MOMENTS, {"mean": [0.1]}, 2, "s001")
    Traceback (most recent call last):
    ...
    poyodata.errors.StatisticError: the statistic 'moments', recording 's001': column 'mean' has shape (1,), not (2,): \
one value for every neuron.
    """
    who = f"the statistic {statistic.name!r}, recording {session_id!r}:"
    if not isinstance(values, Mapping):
        raise StatisticError(f"{who} finalize gave {type(values).__name__}, not a mapping of column name to values.")
    results = {}
    for name, column in statistic.columns.items():
        if name not in values:
            raise StatisticError(f"{who} finalize gave no column {name!r}; it gave {', '.join(values) or 'none'}.")
        array = np.asarray(values[name])
        if array.shape != (n_neurons,):
            raise StatisticError(
                f"{who} column {name!r} has shape {array.shape}, not {(n_neurons,)}: one value for every neuron."
            )
        results[name] = _within_range(f"{who} column {name!r}", _held(f"{who} column {name!r}", array, column), column)
    return results


def _held(who: str, array: npt.NDArray[Any], column: Column) -> npt.NDArray[Any]:
    dtype = np.dtype(column.dtype)
    if array.dtype.kind not in "biuf":
        raise StatisticError(f"{who} has values of dtype {array.dtype}, which are no numbers; declared is {dtype}.")
    with np.errstate(invalid="ignore", over="ignore"):
        held = array.astype(dtype)
        lost = held != array if dtype.kind != "f" else np.isinf(held) & np.isfinite(array)
    if lost.any():
        raise StatisticError(
            f"{who} holds {array[lost][0]!s}, which {dtype} cannot hold; declare float64, or give other values."
        )
    return held


def _within_range(who: str, array: npt.NDArray[Any], column: Column) -> npt.NDArray[Any]:
    if array.dtype.kind == "f" and np.isinf(array).any():
        neuron = int(np.flatnonzero(np.isinf(array))[0])
        raise StatisticError(f"{who} is {array[neuron]!s} for trace {neuron}; give NaN where there is no value.")
    low = column.low - ROUNDING * max(1.0, abs(column.low))
    high = column.high + ROUNDING * max(1.0, abs(column.high))
    outside = (array < low) | (array > high)
    if outside.any():
        neuron = int(np.flatnonzero(outside)[0])
        raise StatisticError(
            f"{who} is {array[neuron]!s} for trace {neuron}, outside its declared range from {column.low:g} to "
            f"{column.high:g}; mend the statistic or the range of its Column."
        )
    return array.clip(column.low, column.high) if array.dtype.kind == "f" else array


def code_of(statistic: Statistic) -> list[Any]:
    """What the functions of a statistic do, as far as it can be compared: a notebook's cell that is run again is equal.

    Variables from outside a function, and what it calls, are not seen.
    """
    functions = (statistic.chunk, statistic.combine, statistic.finalize, statistic.interval)
    return [_compared(getattr(function, "__code__", function)) for function in functions]


def _compared(value: Any) -> Any:
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, tuple(map(_compared, value.co_consts))
    return value
