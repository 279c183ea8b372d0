"""Random controls: neurons drawn from a pool so that they resemble a target in all that may be named, and in no more.

A plan is made once for a target and a pool; every draw then costs one hash and one sort. The pool is cut into strata:
the session role and the texts in which target and controls must agree exactly, and within them bins of the numbers
whose distribution must agree. From every stratum as many neurons are drawn as the target has there, by the smallest
hashes, which is a uniform draw without replacement. What a bin lacks is taken from its nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.rules import COUNTED
from poyodata.curation.selecting.column_values import read_column
from poyodata.curation.selecting.imbalance import imbalance_rows
from poyodata.curation.selecting.kleene import Mask
from poyodata.curation.selecting.sampling import (
    Hashes,
    Rows,
    combine,
    draw_hashes,
    group_codes,
    hashes_of,
    places,
    rows_of_either,
)
from poyodata.curation.selecting.strata import bins, borrow, level_totals
from poyodata.errors import DietError, nearest

ROLE = "role"


@dataclass(frozen=True)
class MatchPlan:
    """What all draws of controls for one target from one pool share.

    Attributes
    ----------
    table : DataFrame
    target, pool : ndarray of int
        Rows of the table.
    on : tuple of str
    cell : ndarray, shape (len(pool),), int64
        Stratum of every row of the pool.
    quota : ndarray, shape (cell,), int64
        How many are drawn from every stratum.
    weights : ndarray, shape (row of the table, counted), float64
        Windows and tokens of every neuron, where their totals are to agree.
    """

    table: pd.DataFrame
    target: Rows
    pool: Rows
    on: tuple[str, ...]
    cell: Rows
    quota: npt.NDArray[np.int64]
    role: Rows
    roles: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    _hashes: dict[int, Hashes]

    @classmethod
    def make(cls, table: pd.DataFrame, target: Mask, pool: Mask, on: Sequence[str]) -> MatchPlan:
        """Cut a pool into strata and count what is to be drawn from each.

        Parameters
        ----------
        table : DataFrame
            ``neuron_id``, the columns of `on`, and ``role`` where the split gives recordings roles.
        target, pool : ndarray, shape (row,), bool
        on : sequence of str

        Raises
        ------
        DietError
            An empty target, or a group of which the pool has too few.
        """
        aim, held = np.flatnonzero(target).astype(np.int64), np.flatnonzero(pool).astype(np.int64)
        if not len(aim):
            raise DietError("`match` has nothing to match: its target keeps no neuron. Loosen the rule under `to`.")
        for name in on:
            if name not in table.columns:
                raise DietError(f"`match` is on an unknown column {name!r}: {nearest(name, map(str, table.columns))}")
        plain = [name for name in on if name not in COUNTED]
        values = {name: read_column(table[name], name) for name in plain}
        numbers = [name for name in plain if values[name].kind == "number"]
        by_role = ROLE in table.columns and len(table[ROLE].unique()) > 1
        role, roles = (
            group_codes(table, [ROLE], missing_too=True) if by_role else (np.zeros(len(table), np.int64), [""])
        )
        exact = [*([ROLE] if by_role else []), *(name for name in plain if name not in numbers and name != ROLE)]
        group, names = group_codes(table, exact, missing_too=True) if exact else (role, ["all neurons"])
        _require_enough(exact, names, group[aim], group[held])
        coordinates = [bins(values[name], group, aim, held, len(numbers)) for name in numbers]
        cell, place = _cells(group, coordinates, aim, held)
        wanted = np.bincount(cell[aim], minlength=len(place))
        available = np.bincount(cell[held], minlength=len(place))
        quota = borrow(wanted, available, place)
        counted = [name for name in on if name in COUNTED]
        weights = table[counted].to_numpy(np.float64) if counted else np.zeros((len(table), 0))
        return cls(table, aim, held, tuple(on), cell[held], quota, role, tuple(roles), weights, {})

    def is_for(self, target: Mask, pool: Mask) -> bool:
        """Tell whether a target and a pool are those of this plan."""
        return np.array_equal(np.flatnonzero(target), self.target) and np.array_equal(np.flatnonzero(pool), self.pool)

    def draw(self, seed: int, draw: int) -> Rows:
        """Draw controls: rows of the table, sorted. Draws of one seed are independent of each other.

        Parameters
        ----------
        seed, draw : int
        """
        if seed not in self._hashes:
            self._hashes[seed] = hashes_of(self.table["neuron_id"], self.pool, seed)
        hashes = draw_hashes(self._hashes[seed], draw)
        place = places((hashes,), self.cell, self.table["neuron_id"], self.pool)
        drawn = place < self.quota[self.cell]
        if self.weights.shape[1]:
            drawn = self._balanced(hashes, drawn)
        return np.sort(self.pool[drawn])

    def _balanced(self, hashes: Hashes, drawn: Mask) -> Mask:
        """Exchange drawn neurons for others of their stratum until windows and tokens agree as nearly as can be."""
        weight = self.weights[self.pool]
        inside, first = combine([self.cell, *weight.T])
        taken = np.bincount(inside[drawn], minlength=len(first))
        wanted = np.zeros((len(self.roles), weight.shape[1]))
        np.add.at(wanted, self.role[self.target], self.weights[self.target])
        taken = level_totals(
            taken=taken,
            available=np.bincount(inside, minlength=len(first)),
            weight=weight[first],
            stratum=self.cell[first],
            part=self.role[self.pool][first],
            wanted=wanted,
        )
        place = places((hashes,), inside, self.table["neuron_id"], self.pool)
        return place < taken[inside]

    def imbalance(self, drawn: Rows) -> list[dict[str, Any]]:
        """Say what still differs between the target and a draw; see `Manifest.imbalance`."""
        return imbalance_rows(self.table, self.on, self.target, drawn, self.role, self.roles)


def _require_enough(exact: Sequence[str], names: Sequence[str], target: Rows, pool: Rows) -> None:
    needed = np.bincount(target, minlength=len(names))
    available = np.bincount(pool, minlength=len(names))
    short = np.flatnonzero(needed > available)
    if not len(short):
        return
    one = short[0]
    what = f"{' x '.join(exact)} {names[one]!r}" if exact else "the pool"
    more = f" (and {len(short) - 1} further groups have too few)" if len(short) > 1 else ""
    dropped = " Or match on fewer columns." if exact and exact != [ROLE] else ""
    raise DietError(
        f"`match` needs {needed[one]} neurons in {what}, but its pool has {available[one]} there{more}. "
        f"Widen the pool under `from`, or sample the target.{dropped}"
    )


def _cells(group: Rows, coordinates: Sequence[Rows], aim: Rows, held: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Number the combinations of group and bins that occur in target or pool, and say what each is made of."""
    rows = rows_of_either(aim, held, len(group))
    parts = [group[rows], *(one[rows] for one in coordinates)]
    codes, first = combine(parts)
    cell = np.full(len(group), -1, np.int64)
    cell[rows] = codes
    return cell, np.column_stack([part[first] for part in parts]).astype(np.int64)
