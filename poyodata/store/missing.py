"""Missing values in traces: what may be done about them, and how they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MISSING = ("error", "keep", "drop")
"""What may be done about NaN or infinite values in dF/F."""


@dataclass
class MissingTally:
    """Where the traces are NaN or infinite, counted while they stream by."""

    neurons: npt.NDArray[np.bool_]
    n_frames: int = 0

    def count(self, blocks: Iterator[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        """Pass blocks on with every non-finite value as the one NaN."""
        for block in blocks:
            # A sum is finite only if every value is, and needs no array of its own; what overflows is looked at again.
            with np.errstate(over="ignore", invalid="ignore"):
                total = block.sum()
            if np.isfinite(total):
                yield block
                continue
            finite = np.isfinite(block)
            if finite.all():
                yield block
                continue
            if finite.shape[1:] == self.neurons.shape:  # another width is refused where the blocks are joined
                self.neurons |= ~finite.all(axis=0)
                self.n_frames += int((~finite.all(axis=1)).sum())
            # One kind of missing: an infinity would poison every sum, and NaNs of other bits every digest.
            yield np.where(finite, block, np.float32(np.nan))
