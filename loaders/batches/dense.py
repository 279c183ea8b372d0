"""Dense batches: windows in one array, padded to the widest recording of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from poyodata.loaders.batches.contracts import DenseBatch
from poyodata.loaders.batches.room import make_room
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.gather import FloatArray, IntArray, Layout
from poyodata.loaders.sources import Kept, TraceSource

if TYPE_CHECKING:
    from poyodata.loaders.windows.index import Located


def dense(
    source: TraceSource,
    located: Located,
    *,
    layout: Layout = "neuron",
    kept: Kept | Sequence[IntArray] | None = None,
    shift: FloatArray | None = None,
    scale: FloatArray | None = None,
    buffers: Buffers | None = None,
    numbering: IntArray | None = None,
) -> DenseBatch:
    """Make a dense batch.

    Parameters
    ----------
    source : TraceSource
    located : Located
        The windows; where they differ in length, the short ones are padded and ``time_mask`` says so.
    layout : {"neuron", "time"}
        (batch, neuron, time) or (batch, time, neuron).
    kept, shift, scale
        As for `TraceSource.gather`.
    buffers : Buffers, optional
        Where memory comes from; by default it is fresh.
    numbering : ndarray, shape (1 + neuron of the manifest,), int64, optional
        What ``neuron_index`` becomes, such as numbers of a vocabulary; entry 0 is that of padding, 0.

    Returns
    -------
    DenseBatch
    """
    room = make_room(source, located, kept, buffers, numbering)
    memory, kept, extent = room.memory, room.kept, room.extent
    sessions = located.session_index
    n, width, n_time = len(sessions), extent.n_neurons, extent.n_frames
    shape = (n, width, n_time) if layout == "neuron" else (n, n_time, width)
    values = memory.take("values", shape, np.float32)
    source.gather(located, values, layout=layout, kept=kept, shift=shift, scale=scale, extent=extent)
    index, mask = room.numbers(n)
    batch = DenseBatch(
        values=values,
        neuron_index=index,
        neuron_mask=mask,
        session_index=sessions,
        start_frame=located.start,
    )
    if extent.least_frames != n_time:
        batch["time_mask"] = np.arange(n_time) < located.length[:, None]
    return batch
