"""Jagged batches: no padding, for backends that take rows of different number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from poyodata.errors import LoaderError
from poyodata.loaders.batches.contracts import JaggedBatch
from poyodata.loaders.batches.room import make_room
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.gather import FloatArray, IntArray
from poyodata.loaders.sources import Kept, TraceSource

if TYPE_CHECKING:
    import torch

    from poyodata.loaders.windows.index import Located


def jagged(
    source: TraceSource,
    located: Located,
    *,
    kept: Kept | Sequence[IntArray] | None = None,
    shift: FloatArray | None = None,
    scale: FloatArray | None = None,
    buffers: Buffers | None = None,
    numbering: IntArray | None = None,
) -> JaggedBatch:
    """Make a jagged batch: the neurons of all windows as rows, one window after the other.

    Where recordings differ much in width, a dense batch is mostly padding, which a model then computes on.

    Parameters
    ----------
    source, located, kept, shift, scale, buffers, numbering
        As for `dense`.

    Returns
    -------
    JaggedBatch

    Raises
    ------
    LoaderError
        Windows differ in length.
    """
    memory, kept, extent, _ = make_room(source, located, kept, buffers, numbering)
    sessions = located.session_index
    n_time = extent.n_frames
    if extent.least_frames != n_time:
        raise LoaderError(
            f"jagged batches have neurons of any number and frames of one, and these windows have "
            f"{extent.least_frames} to {n_time}; read whole recordings as dense batches."
        )
    offsets = np.concatenate([[0], np.cumsum(kept.count)])
    values = memory.take("values", (int(offsets[-1]), n_time), np.float32)
    source.gather(located, values, kept=kept, shift=shift, scale=scale, extent=extent)
    at = np.arange(offsets[-1]) + np.repeat(kept.first - offsets[:-1], kept.count)
    index = kept.number[at].astype(np.int64) + 1
    return JaggedBatch(
        values=values,
        neuron_index=index if numbering is None else numbering[index],
        offsets=offsets,
        session_index=sessions,
        start_frame=located.start,
    )


def nested(batch: JaggedBatch | Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Give a jagged batch to torch: ``values`` and ``neuron_index`` as nested tensors of layout ``torch.jagged``.

    Nothing is copied; the nested tensors share their offsets, so that they can be combined.

    Parameters
    ----------
    batch : JaggedBatch

    Returns
    -------
    dict of str to Tensor
        ``values`` (batch, neuron of the window, time), ``neuron_index`` (batch, neuron of the window); all else as
        plain tensors.
    """
    import torch

    offsets = torch.from_numpy(batch["offsets"])
    widest = int(np.diff(batch["offsets"]).max(initial=0))
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}
    for name in ("values", "neuron_index"):
        tensors[name] = torch.nested.nested_tensor_from_jagged(tensors[name], offsets, min_seqlen=0, max_seqlen=widest)
    return tensors
