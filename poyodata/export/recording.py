"""`Recording`: what is exported of one recording, read when it is used."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.intervals import Intervals

if TYPE_CHECKING:
    from poyodata.store import Store

BLOCK_BYTES = 16_000_000
"""About how many bytes of traces are in memory at a time while they are exported."""


class Signal(NamedTuple):
    """A behavioural signal: values and time_s are float64 of shape (sample,), time in seconds."""

    values: npt.NDArray[np.float64]
    time_s: npt.NDArray[np.float64]
    unit: str


@dataclass(frozen=True, eq=False)
class Recording:
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

    store: Store = field(repr=False)
    session_id: str
    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame | None = field(repr=False)
    lineage: Mapping[str, Any] = field(repr=False)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Who was recorded, where and how: the recording's row of ``store.sessions``."""
        table = self.store.sessions
        row = table[(table["session_id"] == self.session_id).to_numpy(bool)].iloc[0]
        return {str(name): value.item() if isinstance(value, np.generic) else value for name, value in row.items()}

    @cached_property
    def columns(self) -> npt.NDArray[np.int64]:
        """Trace columns of the selected neurons, shape (neuron,), increasing."""
        return self.neurons["column"].to_numpy(np.int64)

    @cached_property
    def time_s(self) -> npt.NDArray[np.float64]:
        """True timestamps, shape (time,), float64, seconds."""
        return self.store.time_s(self.session_id)

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and selected neurons."""
        return len(self.time_s), len(self.columns)

    @cached_property
    def period_s(self) -> float:
        """Median step between frames, in seconds."""
        return float(np.median(np.diff(self.time_s)))

    @cached_property
    def segments(self) -> Intervals:
        """Stretches recorded without a gap, shape (segment, 2), int64, frames."""
        table = self.store.segments
        rows = table[(table["session_id"] == self.session_id).to_numpy(bool)]
        return rows[["start_frame", "stop_frame"]].to_numpy(np.int64)

    @cached_property
    def presentations(self) -> pd.DataFrame:
        """What was shown, one row a trial, sweep or movie frame."""
        return self.store.presentations_of(self.session_id)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Stimulus epochs: epoch, stimulus, start_frame, stop_frame."""
        table = self.store.epochs
        return table[(table["session_id"] == self.session_id).to_numpy(bool)].reset_index(drop=True)

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Behavioural signals by name, sorted."""
        dataset = self.store[self.session_id]
        names = sorted(str(name) for name, array in dataset.variables.items() if array.dims == (f"{name}_time",))
        return {
            name: Signal(*self.store.signal(self.session_id, name), str(dataset[name].attrs.get("units", "")))
            for name in names
        }

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
        facts = {name: None if value != value else value for name, value in self.metadata.items()}
        return {"recording": facts, "stimuli": {there: stimulus for stimulus, there in stimuli.items()}}

    def read(self, frames: slice) -> npt.NDArray[np.float32]:
        """Traces of some frames, shape (time, neuron), float32, dF/F."""
        traces = self.store.traces(self.session_id)
        rows = np.asarray(traces[frames])
        # A whole block and then its columns: a fancy index on mapped rows alone is slower.
        block = (
            np.array(rows, order="C")
            if rows.shape[1] == len(self.columns)
            else np.ascontiguousarray(rows[:, self.columns])
        )
        _give_back(traces)
        return block

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[npt.NDArray[np.float32]]:
        """Traces in order, about `block_bytes` at a time; the last block may be shorter."""
        n_frames = len(self.time_s)
        # What is read for a block is all columns, whatever is kept of them.
        step = max(1, block_bytes // (4 * max(1, int(self.metadata["n_neurons"]))))
        for start in range(0, n_frames, step):
            yield self.read(slice(start, min(start + step, n_frames)))

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


def _give_back(traces: Any) -> None:
    """Let the system have the pages of a mapped file again: until then they count as memory of this process."""
    mapped = getattr(traces, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
