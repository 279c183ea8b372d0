"""Groups of neurons for masks, by any column: areas, terms of a diet, blocks of the image, bins of a statistic."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.view import View
from poyodata.errors import LoaderError, StatisticError, nearest
from poyodata.loaders.masks.masked import IntArray

Bins = int | tuple[float, ...] | None

MAX_GROUPS = 64

_COMPARISON = re.compile(
    r"\s*([A-Za-z]\w*(?:@\w+)?)\s*(<=|>=|==|!=|<|>)\s*"
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|'[^']*'|\"[^\"]*\")\s*"
)
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Groups:
    """Which group every selected neuron belongs to.

    Attributes
    ----------
    by : str
    labels : tuple of str
        Of the groups; the same number is the same group in every recording.
    codes : mapping of session id to ndarray, shape (selected neuron,), int64
        Positions in `labels`; -1 where the group is unknown.
    """

    by: str
    labels: tuple[str, ...]
    codes: Mapping[str, IntArray] = field(repr=False)

    def padded(self, session_ids: Sequence[str], positions: Sequence[IntArray], width: int) -> IntArray:
        """Give the groups of a batch, shape (batch, width), int64; -1 in padding.

        Parameters
        ----------
        session_ids : sequence of str
            Recording of every window.
        positions : sequence of ndarray, shape (kept neuron,), int64
            Which of the recording's selected neurons a window shows, in the order in which it does.
        width : int
        """
        rows = np.full((len(session_ids), width), -1, np.int64)
        for row, key, kept in zip(rows, session_ids, positions, strict=True):
            row[: len(kept)] = self.codes[key][kept]
        return rows


def group_neurons(view: View, by: str, bins: Bins = None) -> Groups:
    """Group the selected neurons of a view.

    Parameters
    ----------
    view : View
    by : str
        A column of the manifest's neurons, of the store's, or of a statistic, which is computed where it is not kept:
        texts, truth values and whole numbers are groups as they are, other numbers need `bins`. Or the name of a term
        of the diet's mix: neurons of it, and all others. Or one comparison: ``skewness > 3.51``. Where a value is
        missing, or an empty text, the group is unknown.
    bins : int or tuple of float, optional
        An integer: so many quantiles of each recording, so that spatial blocks fit each field of view. Edges: the
        groups between them, the same in every recording.

    Raises
    ------
    LoaderError
        There is no such column, bins are missing or have no sense, or there are more than 64 groups.
    """
    sessions = view.manifest.neurons["session_id"].astype(str).to_numpy()
    term = view.manifest.neurons["term"]
    terms = set(term.dropna().astype(str)) - {""}
    comparison = _COMPARISON.fullmatch(by)
    column: pd.Series[Any]
    if comparison is not None:
        column = _compared(view, *comparison.groups())
    elif by in terms and not any(by in table for table in _tables(view)):
        column = term.astype(str) == by
    else:
        column = _column(view, by, "group neurons by", terms)
    codes, labels = _binned(column, sessions, by, bins) if bins is not None else _named(column, by)
    if len(labels) > MAX_GROUPS:
        raise LoaderError(
            f"{by!r} has {len(labels):,} groups, and masks take {MAX_GROUPS} at most; give `bins`, or another column."
        )
    return Groups(by, labels, {key: codes[sessions == key] for key in view.session_ids})


def neuron_positions(view: View) -> npt.NDArray[np.float64]:
    """Where the selected neurons lie, shape (neuron, 2), float64, um; NaN where unknown."""
    found = _tables(view)[1]
    return np.column_stack([found[name].to_numpy(np.float64) for name in ("x_um", "y_um")])


def _tables(view: View) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the manifest and the store know of the selected neurons, in the order of the manifest."""
    own = view.manifest.neurons
    table = view.store.neurons
    store = table.set_index(table["neuron_id"].astype(str)).reindex(own["neuron_id"].astype(str))
    return own.reset_index(drop=True), store.reset_index(drop=True)


def _column(view: View, name: str, what: str, terms: Set[str] = frozenset()) -> pd.Series[Any]:
    """A column of the manifest, of the store, or a statistic; an empty text is a missing one."""
    tables = _tables(view)
    column = next((table[name] for table in tables if name in table), None)
    if column is None:
        try:
            column = view.statistics([name])[name]
        except StatisticError as error:
            known = {str(known) for table in tables for known in table} | terms
            raise LoaderError(
                f"masks cannot {what} {name!r}, which is no column: {nearest(name, known)} Nor can it be had as a "
                f"statistic: {error}"
            ) from error
    return column if pd.api.types.is_numeric_dtype(column.dtype) else column.where(column.notna() & (column != ""))


def _compared(view: View, name: str, sign: str, constant: str) -> pd.Series[Any]:
    column = _column(view, name, "compare")
    number = constant[0] not in "'\""
    if number != pd.api.types.is_numeric_dtype(column.dtype):
        raise LoaderError(f"masks cannot compare {name!r}, of {column.dtype}, with {constant}.")
    answer = _SIGNS[sign](column, float(constant) if number else constant[1:-1])
    known_only: pd.Series[Any] = answer.astype("boolean").mask(column.isna())
    return known_only


def _named(column: pd.Series[Any], by: str) -> tuple[IntArray, tuple[str, ...]]:
    if pd.api.types.is_float_dtype(column.dtype):
        raise LoaderError(
            f"{by!r} is numeric and makes no groups by itself; give `bins`: a number of quantiles, or edges."
        )
    if not pd.api.types.is_numeric_dtype(column.dtype):
        column = column.astype("str").where(column.notna())
    codes, known = pd.factorize(column, sort=True)
    return codes.astype(np.int64), tuple(map(str, known))


def _binned(
    column: pd.Series[Any], sessions: npt.NDArray[Any], by: str, bins: int | tuple[float, ...]
) -> tuple[IntArray, tuple[str, ...]]:
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise LoaderError(f"{by!r} is no number and takes no `bins`; leave them out.")
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    codes = np.full(len(values), -1, np.int64)
    if isinstance(bins, int):
        if bins < 2:
            raise LoaderError(f"`bins` of {by!r} are at least 2 quantiles, got {bins}.")
        for key in np.unique(sessions):
            mine = known & (sessions == key)
            if mine.any():
                edges = np.quantile(values[mine], np.arange(1, bins) / bins)
                codes[mine] = np.searchsorted(edges, values[mine], side="left")
        return codes, tuple(f"{by} {at + 1}/{bins}" for at in range(bins))
    edges = np.array(bins, np.float64)
    if len(edges) == 0 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise LoaderError(f"`bins` of {by!r} are increasing edges, got {list(bins)}.")
    codes[known] = np.searchsorted(edges, values[known], side="left")
    spans = ["", *(f"{edge:g}" for edge in bins), ""]
    names = (f"{low} < " * bool(low) + by + f" <= {high}" * bool(high) for low, high in pairwise(spans))
    return codes, tuple(names)
