"""Memory for batches, used again only when nobody holds it any more."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

_KEPT = 4
_HELD_BY_US = 3  # the list, the loop's variable and the argument of getrefcount


class Buffers:
    """Arrays for the parts of a batch; the memory of one is given out again when no reference to it is left.

    Fresh memory costs a page fault for every 4 KiB, which is as much as filling it. Yet a batch belongs to whoever got
    it. So memory is given out again only when its reference count says that nobody has it: not the array, no view of
    it, no tensor that shares it (``torch.from_numpy`` holds the array). What hides from the count, such as a bare
    address passed to C, is the one thing that must not outlive the batch. For one thread: whoever makes the batches.

    Parameters
    ----------
    recycle : bool
        False gives out fresh memory every time.

    Examples
    --------
    >>> buffers = Buffers()
    >>> kept = buffers.take("values", (2, 3), np.float32)
    >>> kept[:] = 1
    >>> other = buffers.take("values", (2, 3), np.float32)
    >>> np.shares_memory(kept, other)
    False
    >>> address = other.ctypes.data
    >>> del other
    >>> buffers.take("values", (3, 2), np.float32).ctypes.data == address
    True
    """

    def __init__(self, recycle: bool = True) -> None:
        # Without the interpreter's lock a count says nothing.
        self.recycle = recycle and getattr(sys, "_is_gil_enabled", lambda: True)()
        self._memory: dict[str, list[npt.NDArray[np.uint8]]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array to be filled: its content is anything.

        Parameters
        ----------
        name : str
            What it is for; memory goes from batch to batch under the same name.
        shape : tuple of int
        dtype : dtype
        """
        dtype = np.dtype(dtype)
        if not self.recycle:
            return np.empty(shape, dtype)
        n_bytes = dtype.itemsize
        for length in shape:
            n_bytes *= length
        pool = self._memory.setdefault(name, [])
        for memory in pool:
            if sys.getrefcount(memory) == _HELD_BY_US and memory.nbytes >= n_bytes:
                return memory[:n_bytes].view(dtype).reshape(shape)
        memory = np.empty(n_bytes, np.uint8)
        if len(pool) == _KEPT:
            # All are held, or too small: the oldest belongs to its holder alone from now on.
            pool.pop(0)
        pool.append(memory)
        return memory[:n_bytes].view(dtype).reshape(shape)
