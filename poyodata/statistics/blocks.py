"""States of whole blocks of frames: the moments of any union of windows are a merge of them, and no reading.

A recording is cut at every multiple of `BLOCK_FRAMES`. Of a span of time, whole blocks come from their states, and only
what is left over at its two ends is read. The states of blocks know of no split, and those of test time lie beside the
others; none but those of blocks that lie wholly within a span enter a result. It is always done like this, whether
states were kept before or not, so that results are the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from poyodata.intervals import Intervals
from poyodata.statistics.seen import Seen
from poyodata.statistics.statistic import KeptBlocks, Statistic

BLOCK_FRAMES = 1024

BlockStates: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Arrays of shape (block, neuron) under the names that `KeptBlocks.pack` gives."""


def cut_at_blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut a span of frames into its whole blocks and what is left over at its ends, in order.

    Examples
    --------
    >>> list(cut_at_blocks(1000, 4000))
    [(1000, 1024), (1024, 2048), (2048, 3072), (3072, 4000)]
    >>> list(cut_at_blocks(10, 900))
    [(10, 900)]
    """
    edges = range(-(-start // BLOCK_FRAMES) * BLOCK_FRAMES, stop + 1, BLOCK_FRAMES)
    yield from ((a, b) for a, b in zip([start, *edges], [*edges, stop], strict=True) if b > a)


def block_states(statistic: Statistic, kept: KeptBlocks, seen: Seen) -> BlockStates:
    """Compute the state of every whole block of a recording."""
    whole = range(0, seen.traces.shape[0] - BLOCK_FRAMES + 1, BLOCK_FRAMES)
    packed = [kept.pack(statistic.chunk(seen.block(start, start + BLOCK_FRAMES), statistic.params)) for start in whole]
    return {name: np.stack([one[name] for one in packed]) for name in packed[0]}


def merged_state(
    statistic: Statistic, kept: KeptBlocks, seen: Seen, spans: Intervals, states: BlockStates | None
) -> tuple[Any, BlockStates | None]:
    """Merge the state of spans, from those of blocks where a block is whole.

    Parameters
    ----------
    statistic : Statistic
    kept : KeptBlocks
        Of the statistic.
    seen : Seen
    spans : ndarray, shape (span, 2), int64, frames
        At least one; it may be empty.
    states : BlockStates or None
        What was kept of the recording.

    Returns
    -------
    state
        Of all spans together.
    states : BlockStates or None
        As given, or computed now when they were needed.
    """
    parts = [part for start, stop in spans.tolist() for part in cut_at_blocks(start, stop)] or [(0, 0)]
    if states is None and any(_is_whole(*part) for part in parts):
        states = block_states(statistic, kept, seen)

    def state_of(start: int, stop: int) -> Any:
        if states is not None and _is_whole(start, stop):
            return kept.unpack({name: array[start // BLOCK_FRAMES] for name, array in states.items()})
        return statistic.chunk(seen.stretch(statistic, start, stop), statistic.params)

    return reduce(statistic.combine, (state_of(*part) for part in parts)), states


def _is_whole(start: int, stop: int) -> bool:
    return start % BLOCK_FRAMES == 0 and stop - start == BLOCK_FRAMES
