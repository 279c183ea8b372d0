"""`Recording`: what is exported of one recording, read when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.store.stored_recording import StoredRecording

BLOCK_BYTES = 16_000_000
"""About how many bytes of traces are in memory at a time while they are exported."""


@dataclass(frozen=True, eq=False)
class Recording(StoredRecording):
    """The selected neurons of one recording and everything else that the store has of it.

    Attributes
    ----------
    store : Store
    session_id : str
    neurons : DataFrame
        One row a selected neuron, in the order of the exported traces.
    windows : DataFrame or None
        Stretches with a role, in frames; None where nothing gave any.
    lineage : dict
        Where this comes from, by digest.
    """

    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame | None = field(repr=False)
    lineage: Mapping[str, Any] = field(repr=False)

    @cached_property
    def columns(self) -> npt.NDArray[np.int64]:
        """Trace columns of the selected neurons, shape (neuron,), increasing."""
        return self.neurons["column"].to_numpy(np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and selected neurons."""
        return len(self.time_s), len(self.columns)

    @cached_property
    def period_s(self) -> float:
        """Median step between frames, in seconds."""
        return float(np.median(np.diff(self.time_s)))

    @cached_property
    def masks(self) -> list[npt.NDArray[np.int16]] | None:
        """Pixels of every selected neuron, x (column) and y (row): (pixel, 2), int16; None where there are none."""
        if "mask_px" not in self.store[self.session_id].variables:
            return None
        masks = self.store.masks(self.session_id)
        return [masks[column] for column in self.columns.tolist()]

    def described(self, stimuli: Mapping[str, str]) -> dict[str, Any]:
        """What the store knows of the recording, for a file whose layout has no place for all of it; plain JSON.

        Parameters
        ----------
        stimuli : mapping of str to str
            Name that each stimulus has in the file.
        """
        facts = {name: None if value != value else value for name, value in self.row.items()}
        return {"recording": facts, "stimuli": {there: stimulus for stimulus, there in stimuli.items()}}

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[npt.NDArray[np.float32]]:
        """Traces in order, about `block_bytes` at a time; the last block may be shorter."""
        n_frames = len(self.time_s)
        # What is read for a block is all columns, whatever is kept of them.
        step = max(1, block_bytes // (4 * max(1, int(self.row["n_neurons"]))))
        for start in range(0, n_frames, step):
            yield self.read(start, min(start + step, n_frames), self.columns)

    def times_of(self, frames: npt.ArrayLike, *, stop: bool = False) -> npt.NDArray[np.float64]:
        """Seconds at which frames begin, or half-open stretches stop.

        A stretch that stops at the end of a segment stops one period after its last frame, not after the gap.

        Parameters
        ----------
        frames : array_like of int, shape (n,)
        stop : bool
            The frames are the first ones after stretches.

        Returns
        -------
        ndarray, shape (n,), float64
        """
        index = np.asarray(frames, np.int64)
        if not stop:
            return self.time_s[index]
        ends = np.isin(index, self.segments[:, 1])
        after = self.time_s[np.maximum(index - 1, 0)] + self.period_s
        return np.where(ends | (index >= len(self.time_s)), after, self.time_s[np.minimum(index, len(self.time_s) - 1)])
