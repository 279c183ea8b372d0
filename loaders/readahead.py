"""Reading ahead: where traces come from the disk, the windows of a batch are announced to the system together.

A page that is not in memory is read when it is touched, one request after the other. Announced together, the requests
of a whole batch are under way at once. Where everything is in memory already, announcing costs more than it gives, so
it is done only as long as batches are read from the disk.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from poyodata.loaders.gather import FloatArray, UIntArray

try:
    import resource
except ImportError:  # not on every system
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from poyodata.loaders.windows.index import Located

_ADVICE = getattr(mmap, "MADV_WILLNEED", None)
_WHO = getattr(resource, "RUSAGE_THREAD", getattr(resource, "RUSAGE_SELF", None))


class Readahead:
    """What is mapped, and whether the last batch came from the disk.

    Attributes
    ----------
    is_cold : bool
        The last batch was read from the disk, at least in part; the first is taken to be.
    """

    def __init__(self) -> None:
        self.is_cold = _ADVICE is not None
        self._maps: dict[int, tuple[mmap.mmap, int]] = {}
        self._before = _disk_reads()

    def add(self, number: int, traces: FloatArray, mapping: mmap.mmap | None) -> None:
        """Take note of a recording that was opened; one in memory has no mapping."""
        if mapping is not None:
            whole = np.frombuffer(mapping, np.uint8)
            self._maps[number] = mapping, traces.ctypes.data - whole.ctypes.data

    def announce(self, located: Located, width: UIntArray) -> None:
        """Tell the system which parts of files are going to be read, if that pays."""
        self._before = _disk_reads()
        if not self.is_cold or _ADVICE is None:
            return
        sessions = located.session_index
        row_bytes = width[sessions].astype(np.int64) * np.dtype(np.float32).itemsize
        begin, size = located.start * row_bytes, located.length * row_bytes
        for number, at, n_bytes in zip(sessions.tolist(), begin.tolist(), size.tolist(), strict=True):
            if number in self._maps and n_bytes:
                mapping, lead = self._maps[number]
                page = (lead + at) // mmap.PAGESIZE * mmap.PAGESIZE
                mapping.madvise(_ADVICE, page, lead + at + n_bytes - page)

    def learn(self) -> None:
        """Note whether the batch that was just read came from the disk."""
        self.is_cold = _ADVICE is not None and _disk_reads() != self._before


def _disk_reads() -> int:
    """Blocks that this thread had read for it, and pages that it waited for."""
    if _WHO is None:
        return 0
    usage = resource.getrusage(_WHO)
    return int(usage.ru_inblock + usage.ru_majflt)
