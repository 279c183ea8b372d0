"""Three-valued answers: true, false, or unknown where a value is missing (Kleene's logic)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Kleene:
    """A three-valued answer for every row: `true`, `unknown`, and false for the rest.

    Attributes
    ----------
    true, unknown : ndarray, shape (row,), bool
        Never both at once.

    Examples
    --------
    >>> some = Kleene(np.array([True, False, False]), np.array([False, False, True]))
    >>> (~some).counts()
    (1, 1, 1)
    """

    true: Mask
    unknown: Mask

    @classmethod
    def known(cls, true: npt.ArrayLike) -> Kleene:
        """Make an answer without unknowns."""
        array = np.asarray(true, dtype=np.bool_)
        return cls(array, np.zeros(len(array), np.bool_))

    @property
    def false(self) -> Mask:
        """Rows that are known not to hold."""
        return ~(self.true | self.unknown)

    def __invert__(self) -> Kleene:
        return Kleene(self.false, self.unknown)

    def __and__(self, other: Kleene) -> Kleene:
        true = self.true & other.true
        return Kleene(true, ~(true | self.false | other.false))

    def __or__(self, other: Kleene) -> Kleene:
        true = self.true | other.true
        return Kleene(true, ~true & (self.unknown | other.unknown))

    def counts(self) -> tuple[int, int, int]:
        """Rows that are true, false and unknown; they sum to all rows."""
        true, unknown = int(np.count_nonzero(self.true)), int(np.count_nonzero(self.unknown))
        return true, len(self.true) - true - unknown, unknown
