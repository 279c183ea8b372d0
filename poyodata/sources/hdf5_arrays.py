"""Traces and stimulus frames in HDF5 datasets, read a block at a time whichever way they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.float_traces import as_float32
from poyodata.sources.hdf5 import CACHE_BYTES, as_uint8, dataset_of, open_hdf5, short
from poyodata.sources.remote import Place

_CACHE_LIMIT_BYTES = 2**28
_AHEAD_BYTES = 2**24
_ODD_FRAMES = 16


class _HeldDataset:
    """A dataset of a file that is opened on first use, and held: HDF5 keeps decompressed chunks only that long."""

    def __init__(self, path: Place, name: str) -> None:
        self.path = path
        self.name = name
        self._file: h5py.File | None = None
        self._dataset: h5py.Dataset | None = None

    def _opened(self) -> h5py.Dataset:
        if self._dataset is None:
            self._file = open_hdf5(self.path, self._cache_bytes())
            self._dataset = self._file[self.name]
        return self._dataset

    def _cache_bytes(self) -> int:
        """Chunk cache that reading in order needs."""
        return CACHE_BYTES

    def close(self) -> None:
        """Close the file; the next block opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = self._dataset = None

    def __getstate__(self) -> dict[str, Any]:
        # An open handle does not travel to another process; the copy opens the file itself.
        return self.__dict__ | {"_file": None, "_dataset": None}


class Hdf5Traces(_HeldDataset):
    """Blocks of frames out of an HDF5 dataset, whichever way round it lies.

    A block costs its own size in memory plus, for a chunked dataset, one row of chunks in the cache: the file may be
    compressed with one chunk a neuron, as many are, and every chunk is then still decompressed only once. Where every
    neuron lies apart, blocks taken in order are cut from one longer read of at most 16 MB.

    Parameters
    ----------
    path : Path or RemoteFile
    name : str
        The dataset's path inside the file.
    time_axis : int
        0 when the dataset is (time, neuron), 1 when it is (neuron, time).
    """

    def __init__(self, path: Place, name: str, time_axis: int) -> None:
        super().__init__(path, name)
        self.time_axis = time_axis
        self._ahead: _Ahead | None = None
        self._next_frame = 0

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        return as_float32(self.stored(start_frame, stop_frame))

    def stored(self, start_frame: int, stop_frame: int) -> npt.NDArray[Any]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), in the dtype of the file."""
        try:
            dataset = self._opened()
            if self.time_axis == 0:
                block = np.asarray(dataset[start_frame:stop_frame, :])
            else:
                block = self._across(dataset, start_frame, stop_frame).T
            if stop_frame >= dataset.shape[self.time_axis]:
                self.close()  # a recording has several traces, and each would keep its cache
            return block
        except (OSError, KeyError, RuntimeError, MemoryError) as error:
            raise SourceError(
                f"{self.path}: frames {start_frame} to {stop_frame} of {self.name!r} cannot be read "
                f"({short(error)}); the file is damaged or changed, copy or download it again."
            ) from error

    def _across(self, dataset: h5py.Dataset, start: int, stop: int) -> npt.NDArray[Any]:
        """Frames of a (neuron, time) dataset, as it lies."""
        in_order, self._next_frame = start == self._next_frame, stop
        if self._ahead is None or not self._ahead.start <= start < stop <= self._ahead.stop:
            self._ahead = None  # its memory is given back before more is taken
            if not (in_order and start < stop):
                return np.asarray(dataset[:, start:stop])
            self._ahead = _Ahead.read(dataset, start, stop)
        return self._ahead.values[:, start - self._ahead.start : stop - self._ahead.start]

    def _cache_bytes(self) -> int:
        with open_hdf5(self.path) as file:
            dataset = dataset_of(file, self.name)
            if dataset.dtype.kind not in "fiub":
                raise SourceError(f"{self.path}: {self.name!r} holds {dataset.dtype} values; traces are numbers.")
            if dataset.chunks is None:
                return CACHE_BYTES
            chunk_bytes = int(np.prod(dataset.chunks) * dataset.dtype.itemsize)
            across = -(-int(dataset.shape[1 - self.time_axis]) // int(dataset.chunks[1 - self.time_axis]))
            return max(min(2 * chunk_bytes * across, _CACHE_LIMIT_BYTES), CACHE_BYTES)

    def close(self) -> None:
        """Close the file; the next block opens it again."""
        super().close()
        self._ahead, self._next_frame = None, 0

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_ahead": None, "_next_frame": 0}


@dataclass(frozen=True)
class _Ahead:
    """Frames ``[start, stop)`` of a (neuron, time) dataset, read before they are asked for."""

    start: int
    stop: int
    values: npt.NDArray[Any]

    @classmethod
    def read(cls, dataset: h5py.Dataset, start: int, stop: int) -> _Ahead:
        n_neurons, n_frames = dataset.shape
        frame_bytes = max(1, n_neurons * dataset.dtype.itemsize)
        count = min(max(stop - start, _AHEAD_BYTES // frame_bytes), n_frames - start)
        # Rows a power of two apart share the cache's few places for such, and turning them around takes five times as
        # long: a few unused frames at the end of each keep them apart.
        rows = np.empty((n_neurons, count + _ODD_FRAMES), dataset.dtype)
        dataset.read_direct(rows, np.s_[:, start : start + count], np.s_[:, :count])
        return cls(start, start + count, rows[:, :count])


class Hdf5Frames(_HeldDataset):
    """Frames of a stimulus in an HDF5 dataset, read from the file when they are sliced.

    A feature-length movie does not fit into memory beside everything else; ``np.asarray`` reads all of one.

    Parameters
    ----------
    path : Path or RemoteFile
    name : str
        The dataset's path inside the file.

    Attributes
    ----------
    shape : tuple of int
        (frame, height, width).
    dtype : dtype
        uint8.

    Raises
    ------
    SourceError
        When the dataset is not three-dimensional, or, on slicing, when a value is no whole number from 0 to 255.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Place, name: str) -> None:
        super().__init__(path, name)
        with open_hdf5(path) as file:
            self.shape: tuple[int, ...] = tuple(dataset_of(file, name).shape or ())
        if len(self.shape) != 3:
            raise SourceError(f"{path}: {name!r} has shape {self.shape}; (frame, height, width) was expected.")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, frames: slice) -> npt.NDArray[np.uint8]:
        """Read some frames, whole."""
        try:
            stored = np.asarray(self._opened()[frames])
        except (OSError, KeyError, RuntimeError, MemoryError) as error:
            raise SourceError(
                f"{self.path}: {self.name!r} cannot be read ({short(error)}); the file is damaged or changed, copy or "
                "download it again."
            ) from error
        if frames.stop is None or frames.stop >= len(self):
            self.close()  # the last frames: whoever reads in order is done
        return as_uint8(stored, f"{self.path}: {self.name!r}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)
