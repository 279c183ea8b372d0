"""The reference population: the rows that quantile, zscore and rank compare with, and what they came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.curation.selecting.kleene import Mask
from poyodata.digests import array_digest
from poyodata.errors import DietError

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReferencePopulation:
    """Rows that quantile, zscore and rank compare with: those with a finite value, of `rows`.

    Attributes
    ----------
    rows : ndarray, shape (row,), bool, or None
        None: every row.
    name : {"train", "all"}
        Whether held-out animals (windows) are among them; stands in `frozen`.
    noun : str
        What a row is, for messages.
    frozen : dict
        What each call came to, by its text: a quantile's ``value``, a zscore's ``mean`` and ``std``, the ``digest`` of
        what a rank compares with, and how many they rest on. It goes into the manifest.

    Examples
    --------
    >>> reference = ReferencePopulation()
    >>> reference.quantile(np.array([1.0, 3.0, np.inf]), np.zeros(3, bool), 0.5, "quantile(x, 0.5)")
    2.0
    >>> reference.frozen
    {'quantile(x, 0.5)': {'value': 2.0, 'n': 2, 'reference': 'all'}}
    """

    rows: Mask | None = None
    name: str = "all"
    noun: str = "neuron"
    frozen: dict[str, dict[str, Any]] = field(default_factory=dict)

    def quantile(self, numbers: Numbers, missing: Mask, share: float, text: str) -> float:
        """Value below which a share of the reference population lies, interpolated as `numpy.quantile` does."""
        known = self._values(numbers, missing, text)
        with np.errstate(over="ignore", invalid="ignore"):
            value = float(np.quantile(known, share))
        if not np.isfinite(value):
            # The difference of two numbers near the end of the range of floats overflows; that of their halves cannot.
            value = 2.0 * float(np.quantile(known / 2, share))
        self._freeze(text, {"value": value, "n": len(known)})
        return value

    def zscore(self, numbers: Numbers, missing: Mask, text: str) -> Numbers | None:
        """Distance from the mean of the reference population in its standard deviations; None where it has none."""
        known = np.sort(self._values(numbers, missing, text))  # or a last bit would follow the order of the table
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(known.mean()), float(known.std())
            # All equal: rounding may leave a deviation of 1e-17, which would make scores of nothing.
            if known[0] == known[-1] or not np.isfinite(std) or std == 0:
                self._freeze(text, {"mean": mean if np.isfinite(mean) else None, "std": 0.0, "n": len(known)})
                return None
            self._freeze(text, {"mean": mean, "std": std, "n": len(known)})
            scores: Numbers = (numbers - mean) / std
        return scores

    def rank(self, numbers: Numbers, missing: Mask, text: str) -> Numbers:
        """Share of the reference population whose value is at most that of a row, from 0 to 1."""
        known = np.sort(self._values(numbers, missing, text))
        self._freeze(text, {"n": len(known), "digest": array_digest(known)})
        ranks: Numbers = np.searchsorted(known, numbers, side="right") / len(known)
        return np.where(missing, np.nan, ranks)

    def _values(self, numbers: Numbers, missing: Mask, text: str) -> Numbers:
        usable = np.isfinite(numbers) & ~missing
        if self.rows is not None:
            usable &= self.rows
        known = numbers[usable]
        if not len(known):
            among = len(numbers) if self.rows is None else int(self.rows.sum())
            whose = f"{self.noun}s to learn from" if self.name == "train" else f"{self.noun}s"
            raise DietError(
                f"`{text}` compares with a reference population that is empty: none of the {among} {whose} has a "
                "finite value. Take another column, another split, or `statistics: {reference: all}`."
            )
        return known

    def _freeze(self, text: str, values: dict[str, Any]) -> None:
        self.frozen[text] = values | {"reference": self.name}
