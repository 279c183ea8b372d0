"""Taking part of a pool by hash, equally from groups, or from the top: whatever the order of the table.

Everything here is decided by the values of a neuron and a hash of (seed, neuron_id), never by where it stands in the
table or by a random generator. So a smaller sample lies within every larger one, and recordings that are added later
change little of what was taken before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.selecting.column_values import read_column
from poyodata.digests import hash_order

Rows = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

BATCH = 1_000_000

MISSING = "(missing)"
"""Name of the group of those of whom a value is missing."""


def round_half_up(value: float) -> int:
    """Round to the nearest whole number, halves up; 0.3 x 105 counts as 31.5 however its last bit fell.

    Examples
    --------
    >>> round_half_up(31.5), round_half_up(0.1 * 5), round_half_up(32.49)
    (32, 1, 32)
    """
    return int(np.floor(value + 0.5 + 1e-9))


def hashes_of(neuron_id: pd.Series[Any], rows: Rows, seed: int) -> Hashes:
    """Hash of (seed, neuron_id) of some rows, shape (len(rows),)."""
    # A million at a time: as Python strings ten million names would take a gigabyte.
    parts = [
        hash_order(np.asarray(neuron_id.array.take(rows[start : start + BATCH]), dtype=object).tolist(), seed)
        for start in range(0, len(rows), BATCH)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def draw_hashes(hashes: Hashes, draw: int) -> Hashes:
    """Hashes of a numbered draw from those of its seed: a new, unrelated order for every draw, at a few ns a neuron.

    Each hash is offset by the number of the draw and mixed with the finaliser of SplitMix64 (Steele, Lea and Flood
    2014), which maps 64 bits one to one: what differs before differs after.

    Examples
    --------
    >>> len(set(draw_hashes(np.arange(4, dtype=np.uint64), 0)) & set(draw_hashes(np.arange(4, dtype=np.uint64), 1)))
    0
    """
    step = (draw + 1) * 0x9E3779B97F4A7C15 % 2**64
    with np.errstate(over="ignore"):
        mixed = hashes + np.uint64(step)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: Hashes = mixed ^ (mixed >> np.uint64(31))
    return out


def in_ties(keys: Sequence[npt.NDArray[Any]], group: Rows) -> npt.NDArray[np.bool_]:
    """Tell which rows have one of their group beside them whose keys all equal theirs.

    Examples
    --------
    >>> in_ties((np.array([1.0, 2.0, 1.0, 2.0]),), np.array([0, 0, 0, 1])).tolist()
    [True, False, True, False]
    """
    order, same = _sorted(keys, group)
    tied = np.zeros(len(order), np.bool_)
    tied[order] = np.r_[False, same][: len(order)] | np.r_[same, False][: len(order)]
    return tied


def places(keys: Sequence[npt.NDArray[Any]], group: Rows, neuron_id: pd.Series[Any], rows: Rows) -> Rows:
    """Place of every row within its group when sorted by `keys`, the first of them first: shape (row,), from 0.

    Rows of one group whose keys are all equal follow their neuron_id, so that the order of the table never decides.
    """
    order, same = _sorted(keys, group)
    if same.any():
        names = np.asarray(neuron_id.array.take(rows), dtype=object).astype(str)
        order, _ = _sorted((*keys, names), group)
    ordered = group[order]
    first = np.flatnonzero(np.r_[True, np.diff(ordered) != 0]) if len(ordered) else np.zeros(0, np.int64)
    size = np.diff(np.r_[first, len(ordered)])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(first, size)
    return place


def _sorted(keys: Sequence[npt.NDArray[Any]], group: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Order of the rows by group and keys, and whether each row but the first equals the one before it in all these."""
    order = np.lexsort((*reversed(keys), group)).astype(np.int64)
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for key in (*keys, group):
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    return order, same


def rows_of_either(a: Rows, b: Rows, n: int) -> Rows:
    """Rows, of `n`, that are in one list or in both, increasing.

    What ``np.union1d`` gives, which hashes every number and takes a second for a million.

    Examples
    --------
    >>> rows_of_either(np.array([4, 1]), np.array([1, 0]), 6).tolist()
    [0, 1, 4]
    """
    held = np.zeros(n, np.bool_)
    held[a] = held[b] = True
    return np.flatnonzero(held)


def smallest(hashes: Hashes, n: int) -> npt.NDArray[np.bool_]:
    """Tell which are the `n` smallest, without sorting them all."""
    taken = np.zeros(len(hashes), np.bool_)
    if n >= len(hashes):
        taken[:] = True
    elif n > 0:
        taken[np.argpartition(hashes, n - 1)[:n]] = True
    return taken


def group_codes(table: pd.DataFrame, columns: Sequence[str], missing_too: bool = False) -> tuple[Rows, list[str]]:
    """Number every combination of values of some columns that occurs; -1 where one of them is missing.

    With `missing_too`, missing values are a value like any other.

    Returns
    -------
    codes : ndarray, shape (row,), int64
        Numbered in the order of the values, not of the rows.
    names : list of str
        What each group is called: its values, joined by ``" x "``.

    Examples
    --------
    >>> table = pd.DataFrame({"area": ["VISp", "VISl", None, "VISp"], "depth_um": [175, 175, 175, 275]})
    >>> codes, names = group_codes(table, ["area", "depth_um"])
    >>> codes.tolist(), names
    ([1, 0, -1, 2], ['VISl x 175', 'VISp x 175', 'VISp x 275'])
    """
    parts = [_codes(table[column], column) for column in columns]
    missing = np.zeros(len(table), np.bool_)
    for codes, words, gone in parts:
        if missing_too:
            codes[gone] = len(words)
            words.append(MISSING)
        else:
            missing |= gone
    known = np.flatnonzero(~missing)
    joint, first = combine([codes[known] for codes, _, _ in parts])
    names = [" x ".join(words[codes[known[row]]] for codes, words, _ in parts) for row in first]
    out = np.full(len(table), -1, np.int64)
    out[known] = joint
    return out, names


def combine(parts: Sequence[npt.NDArray[Any]]) -> tuple[Rows, Rows]:
    """Number the combinations of several values that occur, in their order, and say in which row each first does.

    Examples
    --------
    >>> codes, first = combine([np.array([7, 5, 7]), np.array([0.5, 0.1, 0.5])])
    >>> codes.tolist(), first.tolist()
    ([1, 0, 1], [1, 0])
    """
    joint = np.zeros(len(parts[0]), np.int64)
    n_joint = 1
    for part in parts:
        codes, distinct = pd.factorize(part, sort=True)
        # Numbered anew after every part: the product of many parts' sizes would leave 64 bits.
        found, kinds = pd.factorize(joint * len(distinct) + codes, sort=True) if n_joint > 1 else (codes, distinct)
        joint, n_joint = found.astype(np.int64), len(kinds)
    first = np.zeros(n_joint if len(joint) else 0, np.int64)
    first[joint[::-1]] = np.arange(len(joint))[::-1]
    return joint, first


def _codes(column: pd.Series[Any], name: str) -> tuple[Rows, list[str], npt.NDArray[np.bool_]]:
    """Codes of a column in the order of its values, what each is called, and where it is missing."""
    values = read_column(column, name)
    gone = np.zeros(len(column), np.bool_) if values.missing is None else values.missing
    if values.kind == "empty":
        return np.zeros(len(column), np.int64), [MISSING], gone
    if values.names is None:
        codes, distinct = pd.factorize(values.values, sort=True)
        return np.maximum(codes, 0).astype(np.int64), [f"{value}" for value in distinct.tolist()], gone
    order = np.argsort(values.names.astype(str), kind="stable")
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = 0
    return rank[values.values], [str(word) for word in values.names[order]], gone
