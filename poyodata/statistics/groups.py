"""Statistics by CRE line, area, depth, donor, ...: medians and means over neurons, with intervals clustered by donor.

Neurons of one mouse are alike, so that a thousand neurons of three mice are nearer to three observations than to a
thousand. Intervals therefore draw donors, never neurons: the standard error is that of a bootstrap over donors, widened
by sqrt(G / (G - 1)) for G donors, and the quantile is Student's with one degree of freedom less than the effective
number of donors (few large ones count for less, Kish). Percentiles of the same bootstrap cover far too little with few
donors; docs/statistics.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import StatisticError, nearest
from poyodata.statistics.asked import as_resampling
from poyodata.statistics.grouping import CELL, DEPTH_EDGES_UM, DONOR, SESSION, group_names, group_neurons
from poyodata.statistics.registry import column_metadata
from poyodata.statistics.restricted import bound_names, parse_restricted, restricted_name
from poyodata.statistics.statistic import Resampling

if TYPE_CHECKING:
    from poyodata.store import Store

FloatVector = npt.NDArray[np.float64]

FEWEST_DONORS = 3
COUNTS = ("donors", "recordings", "cells", "neurons")
SUMMARIES = ("neurons", "median", "median_low", "median_high", "mean", "mean_low", "mean_high")

_NO_AVERAGE = {"deg": "an angle", "cycles": "a phase", "image": "the number of an image"}
_GRID = 2048


def summarise_by(
    table: pd.DataFrame,
    store: Store,
    by: str | Sequence[str] = "cre_line",
    columns: Sequence[str] | None = None,
    *,
    intervals: Resampling | float | None = 0.95,
    depth_edges_um: Sequence[float] = DEPTH_EDGES_UM,
) -> pd.DataFrame:
    """Summarise statistics of neurons by what the neurons have in common.

    Parameters
    ----------
    table : DataFrame
        As `compute_statistics` gives it: ``neuron_id`` and columns.
    store : Store
        Where the neurons are from.
    by : str or sequence of str
        ``cre_line``, ``area``, ``depth``, ``donor``, ``container``, ``session``, or any column of text or of yes and no
        of the store's neurons (annotations too) or sessions; several at once, also as ``"cre_line,area"``.
    columns : sequence of str, optional
        By default every column of numbers, bounds of intervals, angles, phases and labels left out: these have no mean.
    intervals : Resampling or float, optional
        Level of the intervals, or how they are drawn; None leaves them out.
    depth_edges_um : sequence of float
        Depths are continuous: ``depth`` groups them into half-open bands between these. By default bands of 100 um,
        which keep the observatory's usual depths (175, 275, 375, 550 um) apart and are no statement about layers.

    Returns
    -------
    DataFrame
        One row a group, sorted: the columns of `by`; ``donors``, ``recordings``, ``cells``, ``neurons``; for each
        column ``<column>_neurons`` (with a value), ``_median``, ``_median_low``, ``_median_high``, ``_mean``,
        ``_mean_low`` and ``_mean_high`` (a restriction such as ``@drifting_gratings`` stays at the end); with
        intervals ``note``, why they are missing. ``attrs`` are those of `table`, and ``"by"``, ``"level"`` and
        ``"summarised"``.

    Notes
    -----
    A cell is one ``cell_specimen_id``; neurons without one are in no count of cells, as in ``store.cells``. Medians and
    means are over neurons, so that a cell recorded three times enters three times: it stays within its donor, and the
    interval allows for it. Negative estimates of information enter unclipped.

    Raises
    ------
    StatisticError
        For an unknown column, or one that has no mean.
    UsageError
        For an unknown `by`, depths out of order, or neurons that the store does not have.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> neurons = pd.DataFrame({
    ...     "neuron_id": ["a", "b", "c"], "session_id": ["s", "s", "t"], "cell_specimen_id": [1, 2, 1],
    ...     "donor_id": ["m1", "m1", "m1"], "cre_line": "Sst-IRES-Cre",
    ... })
    >>> store = SimpleNamespace(neurons=neurons, sessions=neurons[["session_id"]].drop_duplicates())
    >>> table = pd.DataFrame({"neuron_id": ["a", "b", "c"], "skewness": [1.0, 2.0, 6.0]})
    >>> found = summarise_by(table, store).iloc[0]
    >>> int(found["cells"]), int(found["neurons"]), float(found["skewness_median"]), float(found["skewness_mean"])
    (2, 3, 2.0, 3.0)
    >>> found["note"]
    '1 donor: no interval, which takes 3'
    """
    names = group_names(by)
    wanted = _columns(table, columns)
    resampling = as_resampling(intervals)
    neurons = group_neurons(table, store, names, depth_edges_um)
    keys = [name for name, _ in names]
    rows = []
    # The neurons are sorted by group, unknown ones last.
    for values, own in neurons.groupby(keys, sort=False, observed=True):
        rows.append(dict(zip(keys, values, strict=True)) | _row(own, wanted, resampling))
    order = [*keys, *COUNTS, *(summary_name(column, name) for column in wanted for name in SUMMARIES), "note"]
    if resampling is None:
        order = [name for name in order if name != "note" and not parse_restricted(name)[0].endswith(("_low", "_high"))]
    found = pd.DataFrame(rows, columns=order)
    level = None if resampling is None else resampling.level
    found.attrs = dict(table.attrs) | {"by": keys, "level": level, "summarised": list(wanted)}
    return found


def summary_name(column: str, summary: str) -> str:
    """Name the column of a summary: a restriction stays at the end.

    Examples
    --------
    >>> summary_name("skewness@drifting_gratings", "median_low")
    'skewness_median_low@drifting_gratings'
    """
    own, stimulus = parse_restricted(column)
    return restricted_name(f"{own}_{summary}", stimulus)


def clustered_intervals(
    values: FloatVector, donors: npt.NDArray[Any], resampling: Resampling
) -> dict[str, tuple[float, float]]:
    """Intervals of the median and the mean over neurons of one group, clustered by donor.

    Parameters
    ----------
    values : ndarray, shape (neuron,)
        Finite.
    donors : ndarray, shape (neuron,)
        Who each neuron is of.
    resampling : Resampling

    Returns
    -------
    dict
        ``"median"`` and ``"mean"`` to lower and upper bound; NaN with fewer than three donors.

    Examples
    --------
    >>> clustered_intervals(np.arange(4.0), np.array(["a", "a", "b", "b"]), Resampling())["mean"]
    (nan, nan)
    """
    from scipy.stats import t

    _, donor = np.unique(donors, return_inverse=True)
    sizes = np.bincount(donor).astype(np.float64)
    if len(sizes) < FEWEST_DONORS:
        return {"median": (np.nan, np.nan), "mean": (np.nan, np.nan)}
    rng = np.random.default_rng(resampling.seed)
    weights = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), resampling.draws).astype(np.float64)
    drawn = {
        "median": drawn_medians(values, donor, weights),
        "mean": weights @ np.bincount(donor, values) / (weights @ sizes),
    }
    estimates = {"median": float(np.median(values)), "mean": float(values.mean())}
    effective = max(sizes.sum() ** 2 / (sizes**2).sum(), 2.0)
    reach = t.ppf(0.5 + resampling.level / 2, effective - 1) * np.sqrt(len(sizes) / (len(sizes) - 1))
    errors = {name: float(reach * of.std(ddof=1)) for name, of in drawn.items()}
    return {name: (estimates[name] - errors[name], estimates[name] + errors[name]) for name in drawn}


def drawn_medians(values: FloatVector, donor: npt.NDArray[np.intp], weights: FloatVector) -> FloatVector:
    """Medians over neurons when donors are drawn again.

    Parameters
    ----------
    values : ndarray, shape (neuron,)
    donor : ndarray, shape (neuron,), int
        Who each neuron is of, counted from 0.
    weights : ndarray, shape (draw, donor)
        How often each donor was drawn.

    Returns
    -------
    ndarray, shape (draw,)
        Exact up to 2,048 neurons, to 1 / 2,048 of their ranks beyond.

    Examples
    --------
    >>> drawn_medians(np.array([1.0, 2.0, 9.0]), np.array([0, 0, 1]), np.array([[1.0, 1.0], [0.0, 2.0]])).tolist()
    [2.0, 9.0]
    """
    ascending = np.sort(values)
    grid = ascending[np.linspace(0, len(values) - 1, min(len(values), _GRID)).round().astype(int)]
    below = np.array([np.searchsorted(np.sort(values[donor == d]), grid, "right") for d in range(weights.shape[1])])
    counts = weights @ below
    half = counts[:, -1:] / 2
    medians: FloatVector = (grid[(counts >= half).argmax(axis=1)] + grid[(counts > half).argmax(axis=1)]) / 2
    return medians


def _columns(table: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return columns_with_a_mean(table)
    known, numbers = known_columns(table), _numbers(table)
    for name in columns:
        if name not in numbers:
            raise StatisticError(f"the table has no column of numbers {name!r}: {nearest(name, numbers)}")
        reason = why_no_mean(name, known)
        if reason is not None:
            raise StatisticError(f"{name!r} is {reason}, which has no mean or median; leave it out.")
    return list(dict.fromkeys(columns))


def columns_with_a_mean(table: pd.DataFrame) -> list[str]:
    """Columns of numbers that a mean can be taken of: no bounds of intervals, no angles, phases or labels.

    Examples
    --------
    >>> columns_with_a_mean(pd.DataFrame({"gosi": [0.5], "gosi_low": [0.4], "preferred_direction_deg": [90.0]}))
    ['gosi']
    """
    known, numbers = known_columns(table), _numbers(table)
    bounds = {bound for name in numbers for bound in bound_names(name)}
    return [name for name in numbers if name not in bounds and why_no_mean(name, known) is None]


def _numbers(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.select_dtypes(["number", "bool", "boolean"]).columns]


def known_columns(table: pd.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    """Give what a table of statistics says of its columns, or what is declared of them."""
    return table.attrs.get("columns") or column_metadata()


def why_no_mean(column: str, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Say what a column is that has no mean, such as an angle; None for all others.

    Parameters
    ----------
    column : str
    known : mapping of column name to what is known of it
        As `column_metadata` gives it, or ``attrs["columns"]`` of a table.

    Examples
    --------
    >>> why_no_mean("preferred_direction_deg", column_metadata()), why_no_mean("gosi", column_metadata())
    ('an angle', None)
    """
    facts = known.get(column) or known.get(parse_restricted(column)[0]) or {}
    return _NO_AVERAGE.get(str(facts.get("unit")))


def _row(neurons: pd.DataFrame, columns: Sequence[str], resampling: Resampling | None) -> dict[str, Any]:
    """Counts and summaries of one group."""
    donors = neurons[DONOR].to_numpy(str)
    n_donors = len(np.unique(donors))
    row: dict[str, Any] = {
        "donors": n_donors,
        "recordings": neurons[SESSION].nunique(),
        "cells": neurons[CELL].nunique(),
        "neurons": len(neurons),
    }
    notes = [_too_few(n_donors)] if n_donors < FEWEST_DONORS else []
    for column in columns:
        values = neurons[column].to_numpy(np.float64, na_value=np.nan)
        known = np.isfinite(values)
        found: dict[str, Any] = {"neurons": int(known.sum()), "median": np.nan, "mean": np.nan}
        if known.any():
            found |= {"median": float(np.median(values[known])), "mean": float(values[known].mean())}
        if resampling is not None:
            bounds = clustered_intervals(values[known], donors[known], resampling)
            for name, (low, high) in bounds.items():
                found |= {f"{name}_low": low, f"{name}_high": high}
            n_with = len(np.unique(donors[known]))
            if n_with < FEWEST_DONORS <= n_donors:
                notes.append(f"{column}: values of {_too_few(n_with)}")
        row |= {summary_name(column, name): value for name, value in found.items()}
    return row | {"note": "; ".join(notes)}


def _too_few(n: int) -> str:
    return f"{n} donor{'' if n == 1 else 's'}: no interval, which takes {FEWEST_DONORS}"
