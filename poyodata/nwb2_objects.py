"""Objects of NWB 2 files that more than one writer makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 10_000_000
"""About how many bytes of traces are in memory at a time while they are written."""


def time_intervals(
    name: str,
    description: str,
    start_s: npt.NDArray[np.float64],
    stop_s: npt.NDArray[np.float64],
    columns: Mapping[str, tuple[str, Any]] | None = None,
) -> Any:
    """Make a table of intervals.

    Parameters
    ----------
    name, description : str
    start_s, stop_s : ndarray, shape (row,), float64, seconds
    columns : mapping of name to (description, values), optional

    Returns
    -------
    pynwb.epoch.TimeIntervals

    Examples
    --------
    >>> trials = time_intervals("trials", "Two.", np.array([0.0, 2.0]), np.array([1.0, 3.0]), {"hit": ("Hit.", [1, 0])})
    >>> trials.to_dataframe()["hit"].tolist()
    [1, 0]
    """
    from pynwb.core import VectorData
    from pynwb.epoch import TimeIntervals

    times = {"start_time": ("Start, in seconds.", start_s), "stop_time": ("End, in seconds.", stop_s)}
    data = [
        VectorData(name=column, description=what, data=np.asarray(values))
        for column, (what, values) in {**times, **(columns or {})}.items()
    ]
    return TimeIntervals(name=name, description=description, columns=data)


def streamed_traces(
    shape: tuple[int, int],
    read: Callable[[slice], npt.NDArray[np.float32]],
    block_bytes: int = BLOCK_BYTES,
) -> Any:
    """Make traces that are read block by block while they are written.

    Parameters
    ----------
    shape : tuple of int
        Frames and neurons.
    read : callable
        From a slice of frames to traces of shape (time, neuron), float32.
    block_bytes : int
        Size of a block, which is a chunk of the file.

    Returns
    -------
    hdmf.data_utils.GenericDataChunkIterator
    """
    from hdmf.data_utils import GenericDataChunkIterator  # type: ignore[import-untyped]

    class Traces(GenericDataChunkIterator):  # type: ignore[misc]
        def _get_data(self, selection: tuple[slice, slice]) -> npt.NDArray[np.float32]:
            return read(selection[0])[:, selection[1]]

        def _get_maxshape(self) -> tuple[int, int]:
            return shape

        def _get_dtype(self) -> np.dtype[np.float32]:
            return np.dtype(np.float32)

    block = (min(shape[0], max(1, block_bytes // (4 * shape[1]))), shape[1])
    return Traces(chunk_shape=block, buffer_shape=block)
