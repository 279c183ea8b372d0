"""Stimulus templates of a store: one of each stimulus, however many recordings were shown it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.digests import json_digest
from poyodata.errors import StoreError
from poyodata.store.disk import json_bytes
from poyodata.store.layout import MOVIE_BLOCK_FRAMES, group_json
from poyodata.store.protocol import Frames, Record
from poyodata.store.shard import WrittenShard, block_digests, write_shard

FRAMES = "frames"
"""Name of a template's array in its group."""


def write_template(folder: Path, record: Record, name: str) -> tuple[str, WrittenShard]:
    """Write a record's template as a Zarr group, a few frames at a time.

    Parameters
    ----------
    folder : Path
        Made here.
    record : Record
    name : str
        Of the stimulus.

    Returns
    -------
    digest : str
        Of the template.
    written : WrittenShard
        Of its array.

    Raises
    ------
    StoreError
        When it is no template.
    """
    frames = _open(record, name)
    written = write_shard(
        folder / FRAMES,
        _blocks(frames),
        frames.shape,
        block_rows=MOVIE_BLOCK_FRAMES,
        dimension_names=("frame", "height", "width"),
        dtype=frames.dtype,
    )
    digest = template_digest(written.blocks, frames.shape)
    (folder / "zarr.json").write_bytes(json_bytes(group_json({"digest": digest})))
    return digest, written


def digest_template(record: Record, name: str) -> str:
    """Digest of a record's template, without writing it.

    Raises
    ------
    StoreError
        When it is no template.
    """
    frames = _open(record, name)
    return template_digest(block_digests(_blocks(frames), frames.shape, frames.dtype, MOVIE_BLOCK_FRAMES), frames.shape)


def template_digest(blocks: Sequence[str], shape: Sequence[int]) -> str:
    """Digest of a template from those of its blocks."""
    return json_digest({"blocks": list(blocks), "shape": list(shape)})


def _open(record: Record, name: str) -> Frames:
    frames = record.templates[name]()
    if len(frames.shape) != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise StoreError(
            f"recording {record.metadata.session_id!r}: the template of {name!r} is {frames.dtype} {frames.shape}; "
            "expected uint8 of shape (frame, height, width). Correct the source."
        )
    return frames


def _blocks(frames: Frames) -> Iterator[npt.NDArray[Any]]:
    return (frames[start : start + MOVIE_BLOCK_FRAMES] for start in range(0, frames.shape[0], MOVIE_BLOCK_FRAMES))
