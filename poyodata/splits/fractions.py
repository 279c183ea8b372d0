"""`Fractions`: the shares of train, valid and test, and how a number of things is divided by them."""

from __future__ import annotations

from math import ceil, isclose
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poyodata.errors import SplitError

ROLES = ("train", "valid", "test")
_Counts: TypeAlias = npt.NDArray[np.int64]


class Part(BaseModel):
    """A frozen piece of a specification which refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SplitError(f"a split is not well formed: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    """Say all of a validation's complaints in one line: place, complaint, what arrived."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'split'}: {item['msg']} (got {item['input']!r})"
        for item in error.errors(include_url=False)
    )


class Fractions(Part):
    """Shares of the three roles; they sum to one. A role with share 0 is not asked for.

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
