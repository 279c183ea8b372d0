"""The window gather: one of the project's two hot loops.

Why it is written like this: a recording is a C-order (time, neuron) matrix in the page cache, and a batch wants
(neuron, time). NumPy's fancy indexing builds an index array and a temporary for every sample and then copies again for
the transpose; a compiled loop reads each cache line of the file once and writes straight into the batch. Indices are
unsigned and flat: numba checks signed ones for wrap-around in every access and is slower. One thread
without the GIL: on busy cores ``prange`` is many times slower, and a prefetch thread wants the GIL free.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled


@compiled()
def _gather(flat: Any, width: Any, start: Any, columns: Any, shift: Any, scale: Any, out: Any) -> None:
    frames = np.uint64(out.shape[1])
    for n in range(np.uint64(columns.shape[0])):
        column = columns[n]
        a = shift[n]
        b = scale[n]
        base = start * width + column
        for t in range(frames):
            out[n, t] = (flat[base + t * width] - a) * b


def gather(
    traces: npt.NDArray[np.float32],
    start: int,
    columns: npt.NDArray[np.uint64],
    shift: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Write ``(traces[start : start + time, columns] - shift) * scale``, transposed, into `out`.

    Parameters
    ----------
    traces : ndarray, shape (time, neuron), float32, C order
        A memory-mapped recording.
    start : int
        First frame; the caller has checked that ``start + out.shape[1]`` frames are there.
    columns : ndarray, shape (kept neuron,), uint64
    shift, scale : ndarray, shape (kept neuron,), float32
    out : ndarray, shape (kept neuron or more, window frames), float32
        Its first rows are overwritten.
    """
    _gather(traces.reshape(-1), np.uint64(traces.shape[1]), np.uint64(start), columns, shift, scale, out)
