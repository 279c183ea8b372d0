"""`check_table`: whether a table that somebody made can be selected from at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from poyodata.documents.places import printable
from poyodata.errors import DietError, UsageError


def check_table(table: Any, columns: Iterable[str]) -> None:
    """Refuse what is no table, and a table in which a column that is looked at cannot be one of a diet.

    Parameters
    ----------
    table : DataFrame
    columns : iterable of str
        Columns that are looked at; those that it lacks are told elsewhere.

    Raises
    ------
    UsageError
        It is no DataFrame.
    DietError
        A column stands there twice, or holds lists and the like.

    Examples
    --------
    >>> check_table({"skewness": [1.0]}, ["skewness"])
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: a diet selects from a table of neurons (a pandas DataFrame), not from a dict.
    """
    if not isinstance(table, pd.DataFrame):
        raise UsageError(f"a diet selects from a table of neurons (a pandas DataFrame), not from a {_kind(table)}.")
    for name in columns:
        count = int((table.columns == name).sum())
        if count > 1:
            raise DietError(f"the table has {count} columns {name!r}; keep one of them.")
        if not count or table[name].dtype != object or pd.api.types.infer_dtype(table[name], skipna=True) != "mixed":
            continue
        odd = next((value for value in table[name] if not pd.api.types.is_scalar(value)), None)
        if odd is not None:
            raise DietError(
                f"column {name} holds a {_kind(odd)} ({printable(str(odd), 40)}), which an expression cannot "
                "compare; give one number, text or truth value for each neuron."
            )


def _kind(value: Any) -> str:
    return type(value).__name__
