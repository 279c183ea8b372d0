"""What the writer takes: anything shaped like the recordings that sources yield."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.intervals import Intervals


class Signal(Protocol):
    """A behavioural signal with its own clock."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Samples, shape (sample,), float64."""

    @property
    def time_s(self) -> npt.NDArray[np.float64]:
        """Timestamps, shape (sample,), float64, seconds on the recording's clock."""

    @property
    def unit(self) -> str:
        """Unit of the values."""


class Frames(Protocol):
    """Frames of a stimulus: an array, or what reads the frames that it is sliced for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(frame, height, width)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the frames: uint8."""

    def __getitem__(self, frames: slice, /) -> npt.NDArray[Any]:
        """Some of the frames."""


class Record(Protocol):
    """One recording: tables in memory, traces block by block. ``poyodata.sources.record.SessionRecord`` is one."""

    @property
    def metadata(self) -> Any:
        """Object with the attributes `poyodata.store.tables.METADATA_COLUMNS`."""

    @property
    def neurons(self) -> pd.DataFrame:
        """One row a trace column."""

    @property
    def time_s(self) -> npt.NDArray[np.float64]:
        """True timestamps, shape (time,), float64, seconds."""

    @property
    def segments(self) -> Intervals:
        """Stretches without a gap, shape (segment, 2), int64, frames."""

    @property
    def presentations(self) -> pd.DataFrame:
        """One row for each trial, sweep or movie frame shown."""

    @property
    def source_digest(self) -> str:
        """Digest of what this was read from."""

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Behavioural signals by name."""

    @property
    def templates(self) -> Mapping[str, Callable[[], Frames]]:
        """Stimulus templates by stimulus name, each opened when called: (frame, height, width), uint8."""

    @property
    def further(self) -> Mapping[str, Callable[[int, int], npt.NDArray[np.float32]]]:
        """Traces beside dF/F by name, read as ``(start_frame, stop_frame)``."""

    @property
    def masks(self) -> Sequence[npt.NDArray[np.int16]] | None:
        """Pixels of every region of interest, x and y: (pixel, 2), int16."""

    @property
    def max_projection(self) -> npt.NDArray[np.uint8] | None:
        """Maximum projection of the imaging plane, (y, x)."""

    def blocks(self, rows: int, name: str) -> Iterator[npt.NDArray[np.float32]]:
        """Traces in order, `rows` frames at a time: (time, neuron), float32."""

    def check(self) -> Any:
        """Raise when the recording is not coherent."""
