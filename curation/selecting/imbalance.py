"""What still differs between a target and the controls drawn for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.rules import COUNTED
from poyodata.curation.selecting.column_values import read_column
from poyodata.curation.selecting.sampling import MISSING, Rows, group_codes, rows_of_either

Numbers = npt.NDArray[np.float64]


def imbalance_rows(
    table: pd.DataFrame, on: Sequence[str], target: Rows, drawn: Rows, role: Rows, roles: Sequence[str]
) -> list[dict[str, Any]]:
    """Compare target and draw in their number and in all that was matched, in every session role.

    Parameters
    ----------
    table : DataFrame
    on : sequence of str
    target, drawn : ndarray of int
        Rows of the table.
    role : ndarray, shape (row,), int64
    roles : sequence of str
        Name of every role; ``""`` where there is but one.

    Returns
    -------
    list of dict
        thing, role, group, target, drawn, difference, smd, ks. Of a number there is a row of means, and one of how
        many values are missing where any is.
    """
    rows: list[dict[str, Any]] = []
    for code, name in enumerate(roles):
        a, b = target[role[target] == code], drawn[role[drawn] == code]
        if len(a) or len(b):
            rows.append(_row("neurons", name, "", len(a), len(b)))
            for column in on:
                rows += _of_column(table, column, name, a, b)
    return rows


def smd(target: Numbers, drawn: Numbers) -> float | None:
    """Standardised mean difference: that of the means in pooled standard deviations; None where it has no meaning.

    Examples
    --------
    >>> smd(np.array([0.0, 2.0]), np.array([1.0, 3.0]))
    1.0
    """
    if not len(target) or not len(drawn):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        difference = float(drawn.mean() - target.mean())
        spread = float(np.sqrt((target.var() + drawn.var()) / 2))
        value = 0.0 if difference == 0 else difference / spread if spread > 0 else np.nan
    return _finite(value)


def ks_distance(target: Numbers, drawn: Numbers) -> float | None:
    """Greatest distance between two cumulative distributions (Kolmogorov-Smirnov), from 0 to 1.

    Examples
    --------
    >>> ks_distance(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    if not len(target) or not len(drawn):
        return None
    a, b = np.sort(target), np.sort(drawn)
    at = np.concatenate([a, b])
    apart = np.searchsorted(a, at, side="right") / len(a) - np.searchsorted(b, at, side="right") / len(b)
    return float(np.abs(apart).max())


def _of_column(table: pd.DataFrame, column: str, role: str, target: Rows, drawn: Rows) -> list[dict[str, Any]]:
    if column in COUNTED:
        values = table[column].to_numpy(np.float64)
        return [_row(column, role, "total", int(values[target].sum()), int(values[drawn].sum()))]
    rows = rows_of_either(target, drawn, len(table))
    own = table.iloc[rows]
    read = read_column(own[column], column)
    place = np.full(len(table), -1, np.int64)
    place[rows] = np.arange(len(own))
    a, b = place[target], place[drawn]
    if read.kind == "number":
        numbers = np.asarray(read.values, dtype=np.float64)
        known = np.isfinite(numbers) & ~(np.zeros(len(own), np.bool_) if read.missing is None else read.missing)
        # Sorted, or the last bit of a sum would follow the order of the table.
        x, y = np.sort(numbers[a][known[a]]), np.sort(numbers[b][known[b]])
        means = (_finite(x.mean()) if len(x) else None, _finite(y.mean()) if len(y) else None)
        compared = [_row(column, role, "mean", *means, smd=smd(x, y), ks=ks_distance(x, y))]
        lacking = len(a) - len(x), len(b) - len(y)  # a mean says nothing of those
        return [*compared, _row(column, role, MISSING, *lacking)] if any(lacking) else compared
    codes, names = group_codes(own, [column], missing_too=True)
    wanted, got = np.bincount(codes[a], minlength=len(names)), np.bincount(codes[b], minlength=len(names))
    return [_row(column, role, name, int(n), int(m)) for name, n, m in zip(names, wanted, got, strict=True) if n or m]


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _row(
    thing: str,
    role: str,
    group: str,
    target: float | None,
    drawn: float | None,
    smd: float | None = None,
    ks: float | None = None,
) -> dict[str, Any]:
    difference = None if target is None or drawn is None else drawn - target
    return {
        "thing": thing,
        "role": role,
        "group": group,
        "target": target,
        "drawn": drawn,
        "difference": difference,
        "smd": smd,
        "ks": ks,
    }
