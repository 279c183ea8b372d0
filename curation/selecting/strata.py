"""Strata of `match`: bins of a number, what a bin lends its neighbours, and totals that are brought to agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.selecting.column_values import Values
from poyodata.curation.selecting.sampling import Rows, rows_of_either

Counts = npt.NDArray[np.int64]

FEW_LEVELS = 20
"""A number with at most this many values, each of them shared by `PER_BIN` neurons on average (a depth), is matched
value by value. Of a number whose values are all different that would draw the target itself."""

PER_BIN = 5
MAX_BINS = 10
"""Bins hold at least `PER_BIN` neurons of the target, and there are `MAX_BINS` at most: ten remove 98 % of the bias of
a mean (Cochran 1968 found 90 % for five)."""

OUTSIDE = 10**6
MISSING = 10**9
"""Coordinates of what lies beyond the range of the target, the nearest first, and of what is missing: lent last."""

MAX_PAIRS = 1500
"""Exchanges of which all pairs are tried. Where there are more, single ones leave next to nothing."""


def bins(values: Values, group: Rows, target: Rows, pool: Rows, numbers: int) -> Rows:
    """Coordinate of every row on the axis of one number, in bins of equal shares of the target of its group.

    Parameters
    ----------
    values : Values
        Of kind ``number``.
    group : ndarray, shape (row,), int64
    target, pool : ndarray of int
        Rows.
    numbers : int
        How many numbers are matched together: bins of several are combined, so each has fewer.

    Returns
    -------
    ndarray, shape (row,), int64
        Rows that are in neither target nor pool have `MISSING`.
    """
    x = np.asarray(values.values, dtype=np.float64)
    missing = np.isnan(x) if values.missing is None else values.missing
    out = np.full(len(x), MISSING, np.int64)
    aim = target[~missing[target]]
    rows = rows_of_either(target, pool, len(x))
    rows = rows[~missing[rows]]
    if not len(aim):
        return out
    rank, distinct = pd.factorize(x[rows], sort=True)
    if len(distinct) <= FEW_LEVELS and len(rows) >= PER_BIN * len(distinct):
        out[rows] = rank
        return out
    rank_of = np.zeros(len(x), np.int64)
    rank_of[rows] = rank
    key, width = group * len(distinct) + rank_of, len(distinct)
    known = np.sort(key[aim])
    begin = np.searchsorted(known, group[rows] * width, side="left")
    size = np.searchsorted(known, (group[rows] + 1) * width, side="left") - begin
    less = np.searchsorted(known, key[rows], side="left") - begin
    at_most = np.searchsorted(known, key[rows], side="right") - begin
    n_bins = np.clip(np.floor((size / PER_BIN + 1e-9) ** (1 / numbers)), 1, MAX_BINS).astype(np.int64)
    place = np.minimum(less * n_bins // np.maximum(size, 1), n_bins - 1)
    below, above = at_most == 0, (less == size) & (size > 0)
    lower, upper = np.sort(key[rows][below]), np.sort(key[rows][above])
    # Beyond the range a few at a time, in the order of their distance from it.
    nearer_low = np.searchsorted(lower, (group[rows] + 1) * width) - np.searchsorted(lower, key[rows], side="right")
    nearer_high = np.searchsorted(upper, key[rows], side="left") - np.searchsorted(upper, group[rows] * width)
    place = np.where(below, -OUTSIDE - nearer_low // PER_BIN, place)
    out[rows] = np.where(above, OUTSIDE + nearer_high // PER_BIN, place)
    return out


def borrow(wanted: Counts, available: Counts, place: Counts) -> Counts:
    """Number of neurons to draw from every cell: what is wanted there, and what its nearest neighbours lack.

    Parameters
    ----------
    wanted, available : ndarray, shape (cell,), int64
    place : ndarray, shape (cell, 1 + axis), int64
        Group of each cell, from which nothing is lent to another, then its coordinates; sorted.

    Examples
    --------
    >>> place = np.array([[0, 0], [0, 2], [0, 4]])
    >>> borrow(np.array([3, 1, 0]), np.array([1, 2, 9]), place).tolist()
    [1, 2, 1]
    """
    quota = np.minimum(wanted, available)
    spare = available - quota
    begins = np.flatnonzero(np.r_[True, np.diff(place[:, 0]) != 0])
    ends = np.r_[begins[1:], len(place)]
    lacking = np.flatnonzero(wanted > available)
    of_group = np.searchsorted(begins, lacking, side="right") - 1
    for cell, where in zip(lacking.tolist(), of_group.tolist(), strict=True):
        own = slice(int(begins[where]), int(ends[where]))
        far = np.abs(place[own, 1:] - place[cell, 1:]).sum(axis=1)
        lack = int(wanted[cell] - available[cell])
        nearest = np.argsort(far, kind="stable")
        lent = np.minimum(spare[own][nearest], np.maximum(lack - np.r_[0, np.cumsum(spare[own][nearest])[:-1]], 0))
        quota[own.start + nearest] += lent
        spare[own.start + nearest] -= lent
    return quota


def level_totals(
    *,
    taken: Counts,
    available: Counts,
    weight: npt.NDArray[np.float64],
    stratum: Rows,
    part: Rows,
    wanted: npt.NDArray[np.float64],
) -> Counts:
    """Exchange neurons of different weight within strata until the total of every part comes nearest to what is wanted.

    Parameters
    ----------
    taken, available : ndarray, shape (box,), int64
        A box is a stratum's neurons of one weight.
    weight : ndarray, shape (box, counted), float64
    stratum, part : ndarray, shape (box,), int64
    wanted : ndarray, shape (part, counted), float64
        Total weight of every part.

    Returns
    -------
    ndarray, shape (box,), int64
        As many of every stratum as before.

    Examples
    --------
    >>> boxes = dict(weight=np.array([[10.0], [20.0]]), stratum=np.zeros(2, int), part=np.zeros(2, int))
    >>> level_totals(taken=np.array([3, 0]), available=np.array([5, 5]), wanted=np.array([[50.0]]), **boxes).tolist()
    [1, 2]
    """
    taken = taken.copy()
    scale = np.maximum(np.abs(wanted), 1.0)
    for number in np.unique(part).tolist():
        strata = _movable(stratum, part == number)
        own = np.flatnonzero(part == number)
        residual = taken[own] @ weight[own] - wanted[number]
        while strata:
            left = float((np.abs(residual) / scale[number]).sum())
            singles = (_best_exchange(boxes, taken, available, weight, residual, scale[number]) for boxes in strata)
            best = min(singles, key=lambda found: found[0])
            steps = [best[1:]]
            if not best[0] < left - 1e-12:
                steps = _best_pair(strata, taken, available, weight, residual, scale[number], left)
            if not steps:
                break
            for times, out, into in steps:
                taken[out] -= times
                taken[into] += times
                residual = residual + times * (weight[into] - weight[out])
    return taken


def _movable(stratum: Rows, mine: npt.NDArray[np.bool_]) -> list[Rows]:
    """Boxes of every stratum that has more than one."""
    own = np.flatnonzero(mine)
    order = own[np.argsort(stratum[own], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1)
    return [boxes for boxes in parts if len(boxes) > 1]


def _best_exchange(
    boxes: Rows,
    taken: Counts,
    available: Counts,
    weight: npt.NDArray[np.float64],
    residual: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
) -> tuple[float, int, int, int]:
    """Find the exchange within a stratum that leaves least: what it leaves, how many, out of which box, into which."""
    gain = weight[boxes][None, :, :] - weight[boxes][:, None, :]
    most = np.minimum(taken[boxes][:, None], (available - taken)[boxes][None, :])
    size = (gain / scale) ** 2
    length = size.sum(axis=2)
    wish = -(gain * residual / scale**2).sum(axis=2) / np.where(length > 0, length, 1.0)
    times = np.where(length > 0, np.minimum(np.maximum(np.rint(wish), 1), most), 0).astype(np.int64)
    left = (np.abs(residual + times[:, :, None] * gain) / scale).sum(axis=2)
    left = np.where(times > 0, left, np.inf)
    at = int(np.argmin(left))
    out, into = divmod(at, len(boxes))
    return float(left[out, into]), int(times[out, into]), int(boxes[out]), int(boxes[into])


def _best_pair(
    strata: list[Rows],
    taken: Counts,
    available: Counts,
    weight: npt.NDArray[np.float64],
    residual: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    left: float,
) -> list[tuple[int, int, int]]:
    """Find two exchanges that together leave less than `left`, where no single one does; none where there are none."""
    pairs = [np.stack(np.meshgrid(boxes, boxes, indexing="ij"), axis=-1).reshape(-1, 2) for boxes in strata]
    ends = np.concatenate(pairs)
    ends = ends[(taken[ends[:, 0]] > 0) & (available[ends[:, 1]] > taken[ends[:, 1]]) & (ends[:, 0] != ends[:, 1])]
    if not 0 < len(ends) <= MAX_PAIRS:
        return []
    gain = weight[ends[:, 1]] - weight[ends[:, 0]]
    after = (np.abs(residual + gain[:, None, :] + gain[None, :, :]) / scale).sum(axis=2).ravel()
    for at in np.argsort(after, kind="stable")[:50].tolist():
        if not after[at] < left - 1e-12:
            break
        (out, into), (other_out, other_into) = ends[at // len(ends)].tolist(), ends[at % len(ends)].tolist()
        enough = taken[out] > (out == other_out) and available[into] - taken[into] > (into == other_into)
        if enough:
            return [(1, out, into), (1, other_out, other_into)]
    return []
