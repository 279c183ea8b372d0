"""`Fractions`: the shares of train, valid and test, and how a number of things is divided by them."""

from __future__ import annotations

from math import ceil, isclose
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from poyodata.splits.part import Part

ROLES = ("train", "valid", "test")
_Counts: TypeAlias = npt.NDArray[np.int64]


SMALLEST = 0.001
"""Least share of a role that is asked for."""


class Fractions(Part):
    """Shares of the three roles; they sum to one. A role with share 0 is not asked for; others have 0.001 at least.

    Examples
    --------
    >>> Fractions(train=0.7, valid=0.1, test=0.2).counts(10).tolist()
    [7, 1, 2]
    """

    train: float = Field(gt=0, le=1)
    valid: float = Field(ge=0, lt=1)
    test: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Fractions:
        if not isclose(self.train + self.valid + self.test, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, valid and test sum to {self.train + self.valid + self.test:g}, not to 1")
        if any(0 < share < SMALLEST for share in (self.train, self.valid, self.test)):
            raise ValueError(f"a share is 0, or at least {SMALLEST:g}")
        return self

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Shares in the order of `ROLES`, shape (role,), float64."""
        return np.array([self.train, self.valid, self.test])

    def counts(self, n: int) -> _Counts:
        """Divide `n` things by largest remainder, ties to the earlier role: shape (role,), int64."""
        exact = np.round(self.shares * n, 9)
        whole = np.floor(exact).astype(np.int64)
        for at in np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]:
            whole[at] += 1
        return whole

    def fills(self, counts: _Counts) -> bool:
        """Whether every role that is asked for got something."""
        return bool(((counts > 0) | (self.shares == 0)).all())

    def smallest(self) -> int:
        """Fewest things of which every role that is asked for gets one."""
        return next(n for n in range(1, ceil(2 / min(self.shares[self.shares > 0])) + 2) if self.fills(self.counts(n)))
