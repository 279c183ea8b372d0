"""`StoredRecording`: all that a store has of one recording, read when it is used; copies of it begin here."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.intervals import Intervals
from poyodata.vocabulary import DFF

if TYPE_CHECKING:
    from poyodata.store.reader import Store


class Signal(NamedTuple):
    """A behavioural signal: values and time_s are float64 of shape (sample,), time in seconds."""

    values: npt.NDArray[np.float64]
    time_s: npt.NDArray[np.float64]
    unit: str


@dataclass(frozen=True, eq=False)
class StoredRecording:
    """One recording of a store, with all its neurons.

    Attributes
    ----------
    store : Store
    session_id : str
    """

    store: Store = field(repr=False)
    session_id: str

    @cached_property
    def row(self) -> dict[str, Any]:
        """Who was recorded, where and how: the recording's row of ``store.sessions``."""
        row = self._own(self.store.sessions).iloc[0]
        return {str(name): value.item() if isinstance(value, np.generic) else value for name, value in row.items()}

    @cached_property
    def time_s(self) -> npt.NDArray[np.float64]:
        """True timestamps, shape (time,), float64, seconds."""
        return self.store.time_s(self.session_id)

    @cached_property
    def segments(self) -> Intervals:
        """Stretches recorded without a gap, shape (segment, 2), int64, frames."""
        segments: Intervals = self._own(self.store.segments)[["start_frame", "stop_frame"]].to_numpy(np.int64)
        return segments

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Stimulus epochs: epoch, stimulus, start_frame, stop_frame."""
        return self._own(self.store.epochs)

    @cached_property
    def presentations(self) -> pd.DataFrame:
        """What was shown, one row a trial, sweep or movie frame."""
        return self.store.presentations_of(self.session_id)

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Behavioural signals by name, sorted."""
        dataset = self.store[self.session_id]
        names = sorted(str(name) for name, array in dataset.variables.items() if array.dims == (f"{name}_time",))
        return {
            name: Signal(*self.store.signal(self.session_id, name), str(dataset[name].attrs.get("units", "")))
            for name in names
        }

    def read(
        self, start: int, stop: int, columns: npt.NDArray[np.int64] | None = None, name: str = DFF
    ) -> npt.NDArray[np.float32]:
        """Traces of some frames in memory, shape (time, neuron), float32, C order; of some columns, or all.

        The system has the pages of the mapped file again at once: until then they count as memory of this process.
        """
        traces = self.store.traces(self.session_id, name)
        rows = np.asarray(traces[start:stop])
        kept = columns is None or len(columns) == rows.shape[1]
        # A whole block and then its columns: a fancy index on mapped rows alone is slower.
        block = np.array(rows, order="C") if kept else np.ascontiguousarray(rows[:, columns])
        mapped = getattr(traces, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
        return block

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["session_id"] == self.session_id).to_numpy(bool)].reset_index(drop=True)
