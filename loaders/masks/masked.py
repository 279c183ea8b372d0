"""`Masked`: masks that were drawn; `MaskReport`: how often each was, and which could not be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Masked:
    """Masks of one batch.

    Attributes
    ----------
    hidden : ndarray, shape (batch, neuron, time), bool
        Entries that the input must not show. Never padding.
    target : ndarray, shape (batch, neuron, time), bool
        Entries that are scored: a subset of `hidden`.
    scheme : ndarray, shape (batch,), int64
        Position in ``MaskSpec.masks``; -1 where none could be used, and nothing is hidden or scored.
    causal : ndarray, shape (batch,), bool
        Whether attention should be causal under the scheme.
    group : ndarray, shape (batch,), int64
        The group that was picked; -1 for schemes without groups.
    """

    hidden: BoolArray
    target: BoolArray
    scheme: IntArray
    causal: BoolArray
    group: IntArray


@dataclass
class MaskReport:
    """Counts what was drawn and what was skipped, over as many batches as it is given to.

    Attributes
    ----------
    drawn : Counter of str
        Windows, by mask.
    skipped : Counter of (str, str)
        Windows for which a mask was drawn and could not be used, by mask and reason.
    unmasked : int
        Windows for which no mask could be used.
    hidden, targets, entries : int
        Entries that were hidden, that are scored, and that there are without padding.
    """

    drawn: Counter[str] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmasked: int = 0
    hidden: int = 0
    targets: int = 0
    entries: int = 0

    def table(self) -> pd.DataFrame:
        """Give the counts as rows: mask, windows, reason (empty for those that were drawn)."""
        rows = [(name, count, "") for name, count in sorted(self.drawn.items())]
        rows += [(name, count, reason) for (name, reason), count in sorted(self.skipped.items())]
        if self.unmasked:
            rows.append(("none", self.unmasked, "no mask of the recipe can be used"))
        return pd.DataFrame(rows, columns=["mask", "windows", "reason"])
