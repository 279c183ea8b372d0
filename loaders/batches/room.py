"""`Room`: what every kind of batch settles before it reads: whose memory, which neurons, and how much of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from poyodata.loaders.buffers import Buffers
from poyodata.loaders.gather import IntArray, number_neurons
from poyodata.loaders.sources import Extent, Kept, TraceSource

if TYPE_CHECKING:
    from poyodata.loaders.windows.index import Located

_FRESH = Buffers(recycle=False)


class Room(NamedTuple):
    """Memory, neurons and size of a batch.

    Attributes
    ----------
    memory : Buffers
    kept : Kept
    extent : Extent
    numbering : ndarray, shape (1 + neuron of the manifest,), int64, or None
        What ``neuron_index`` becomes; None where it stays.
    """

    memory: Buffers
    kept: Kept
    extent: Extent
    numbering: IntArray | None = None

    def numbers(self, n_windows: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Number of every neuron, 0 in padding, and where there is one: two arrays of shape (window, neuron)."""
        shape = n_windows, self.extent.n_neurons
        index, mask = (
            self.memory.take("neuron_index", shape, np.int64),
            self.memory.take("neuron_mask", shape, np.bool_),
        )
        number_neurons(self.kept.first, self.kept.count, self.kept.number, index, mask)
        if self.numbering is not None:
            index[...] = self.numbering[index]
        return index, mask


def make_room(
    source: TraceSource,
    located: Located,
    kept: Kept | Sequence[IntArray] | None,
    buffers: Buffers | None,
    numbering: IntArray | None = None,
) -> Room:
    """Settle which neurons the windows show, and how much room they need; the arguments are those of `dense`."""
    chosen = kept if isinstance(kept, Kept) else source.keep(located.session_index, kept)
    return Room(buffers or _FRESH, chosen, source.extent(located, chosen), numbering)
