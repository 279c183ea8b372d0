"""Token batches: one token for each frame and neuron, as models of the POYO family take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.errors import LoaderError
from poyodata.loaders.batches.contracts import TokenBatch
from poyodata.loaders.batches.room import make_room
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.gather import FloatArray, IntArray
from poyodata.loaders.sources import Kept, TraceSource

if TYPE_CHECKING:
    from poyodata.loaders.windows.index import Located

PAD_TO = 8
"""Flat tokens are padded to a multiple of this, as attention kernels like it."""


@compiled()
def _label(index: Any, count: Any, length: Any, time: Any, out_index: Any, out_time: Any, out_mask: Any) -> None:
    n_tokens = np.uint64(out_index.shape[1])
    for b in range(np.uint64(len(count))):
        kept = np.uint64(count[b])
        at = np.uint64(0)
        for t in range(np.uint64(length[b])):
            now = time[t]
            for n in range(kept):
                out_index[b, at + n] = index[b, n]
            for n in range(kept):
                out_time[b, at + n] = now
            for n in range(kept):
                out_mask[b, at + n] = True
            at += kept
        for n in range(at, n_tokens):
            out_index[b, n] = 0
            out_time[b, n] = 0.0
            out_mask[b, n] = False


def tokens(
    source: TraceSource,
    located: Located,
    *,
    rate_hz: float,
    latent_step_s: float = 0.1,
    latents_per_step: int = 8,
    as_views: bool = False,
    kept: Kept | Sequence[IntArray] | None = None,
    shift: FloatArray | None = None,
    scale: FloatArray | None = None,
    buffers: Buffers | None = None,
    numbering: IntArray | None = None,
) -> TokenBatch:
    """Make a batch of tokens and latents.

    Parameters
    ----------
    source : TraceSource
    located : Located
    rate_hz : float
        Frames a second; a window's first frame is at 0 s.
    latent_step_s : float, seconds
    latents_per_step : int
        As many latents at the middle of every step.
    as_views : bool
        True gives (time, neuron) arrays, of which only the values are in memory: time, neuron and mask are broadcast
        views. A model that embeds neuron and time apart, and adds, needs no more, at a third of the cost. False gives
        flat tokens, every field in memory of its own, padded to a multiple of 8.
    kept, shift, scale, buffers, numbering
        As for `dense`.

    Returns
    -------
    TokenBatch

    Raises
    ------
    LoaderError
        As views, windows differ in length.
    """
    room = make_room(source, located, kept, buffers, numbering)
    memory, kept, extent = room.memory, room.kept, room.extent
    sessions = located.session_index
    n, width, n_time = len(sessions), extent.n_neurons, extent.n_frames
    index, mask = room.numbers(n)
    time_s = np.arange(n_time) / rate_hz
    latent, latent_s = _latents(n_time / rate_hz, latent_step_s, latents_per_step)
    if as_views:
        if extent.least_frames != n_time:
            raise LoaderError(
                f"tokens as views are windows of one length, and these have {extent.least_frames} to {n_time} frames; "
                "pass as_views=False."
            )
        shape = (n, n_time, width)
        values = memory.take("values", shape, np.float32)
        source.gather(located, values, layout="time", kept=kept, shift=shift, scale=scale, extent=extent)
        fields = (
            values,
            np.broadcast_to(time_s[:, None], shape),
            np.broadcast_to(index[:, None], shape),
            np.broadcast_to(mask[:, None], shape),
        )
    else:
        n_tokens = -(-extent.n_tokens // PAD_TO) * PAD_TO
        values = memory.take("values", (n, n_tokens, 1), np.float32)
        flat = values.reshape(n, n_tokens)
        source.gather(located, flat, layout="time", kept=kept, shift=shift, scale=scale, extent=extent)
        when, unit, is_token = (
            memory.take(name, flat.shape, dtype)
            for name, dtype in (("time", np.float64), ("unit", np.int64), ("token", np.bool_))
        )
        _label(index, kept.count, located.length, time_s, unit, when, is_token)
        fields = values, when, unit, is_token
    return TokenBatch(
        input_values=fields[0],
        input_timestamps=fields[1],
        input_unit_index=fields[2],
        input_mask=fields[3],
        latent_index=np.broadcast_to(latent, (n, len(latent))) if as_views else np.tile(latent, (n, 1)),
        latent_timestamps=np.broadcast_to(latent_s, (n, len(latent))) if as_views else np.tile(latent_s, (n, 1)),
        session_index=sessions,
        start_frame=located.start,
    )


def _latents(window_s: float, step_s: float, per_step: int) -> tuple[IntArray, npt.NDArray[np.float64]]:
    # A window of 57 frames at 30 Hz is 1.9 s give or take a rounding, which must not make another step.
    steps = np.arange(max(1, int(np.ceil(window_s / step_s - 1e-9)))) * step_s + step_s / 2
    return np.tile(np.arange(per_step, dtype=np.int64), len(steps)), np.repeat(steps, per_step)
