"""Traces on their way from a file: floats alone, as float32, a block of frames at a time."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError


def require_floats(dtype: npt.DTypeLike, label: str, name: str) -> None:
    """Raise unless the numbers of an array may be dF/F.

    Raises
    ------
    SourceError

    Examples
    --------
    >>> require_floats("float32", "one.mat", "dff")
    """
    if np.dtype(dtype).kind != "f":
        raise SourceError(
            f"{label}: {name!r} holds {np.dtype(dtype)} values; traces are float16, float32 or float64: name the dF/F "
            "in the mapping (traces.name), or save it as such."
        )


def as_float32(values: Any) -> npt.NDArray[np.float32]:
    """Numbers as float32, C order; those beyond its range become infinite, which counts as missing.

    Examples
    --------
    >>> as_float32(np.array([0.5, 1e300])).tolist()
    [0.5, inf]
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


@dataclass(frozen=True)
class FilePlace:
    """Where an array of two axes lies in a file, to be read block by block.

    Mapping it would do as well, but then every page that was read counts as memory of the process, and reading a block
    of frames of every neuron maps far more than the block.

    Attributes
    ----------
    path : Path
    offset_bytes : int
    dtype : dtype
    shape : tuple of int
        (row, column), rows one after the other.
    turned : bool
        Whether it is the transpose of the array that was asked for.
    """

    path: Path
    offset_bytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    turned: bool

    @classmethod
    def of(cls, path: Path, values: npt.NDArray[Any]) -> FilePlace | None:
        """Place of an array of a mapped file; None for one that is in memory, or has another number of axes."""
        owner: Any = values
        while isinstance(owner, np.ndarray | memoryview):
            owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
        if not isinstance(owner, mmap.mmap) or values.ndim != 2:
            return None
        # NumPy maps from a page before the array on, and says where the array begins; others map whole files.
        offset = (
            int(values.offset)
            if isinstance(values, np.memmap)
            else values.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
        )
        turned = not values.flags.c_contiguous
        return cls(path, offset, values.dtype, values.shape[::-1] if turned else values.shape, turned)

    def read(self, time_axis: int, frames: slice, neurons: slice = slice(None)) -> npt.NDArray[np.float32]:
        """Read a block as (time, neuron), float32, C order.

        Raises
        ------
        SourceError
            When the file cannot be read, or has become shorter.
        """
        time_last = (time_axis == 1) != self.turned
        rows, columns = (neurons, frames) if time_last else (frames, neurons)
        block = self._read(range(self.shape[0])[rows], range(self.shape[1])[columns])
        return as_float32(block.T if time_last else block)

    def _read(self, rows: range, columns: range) -> npt.NDArray[Any]:
        block = np.empty((len(rows), len(columns)), self.dtype)
        width = self.shape[1]
        parts = [(into, row * width + columns.start) for into, row in zip(block, rows, strict=True)]
        if len(columns) == width:  # whole rows follow each other
            parts = [(block.reshape(-1), rows.start * width)]
        try:
            with self.path.open("rb", buffering=0) as file:
                for into, first in parts:
                    file.seek(self.offset_bytes + first * self.dtype.itemsize)
                    if file.readinto(into.view(np.uint8)) != into.nbytes:
                        raise SourceError(f"{self.path} has become shorter since it was opened; copy it again.")
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read ({error}); copy it again.") from error
        return block


@dataclass(frozen=True)
class FileTraces:
    """Blocks of frames of an array that lies in a file."""

    place: FilePlace
    time_axis: int

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        return self.place.read(self.time_axis, slice(start_frame, stop_frame))
