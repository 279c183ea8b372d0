"""Stimulus templates of a store: one of each stimulus, however many recordings were shown it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.digests import json_digest
from poyodata.errors import StoreError
from poyodata.store.commit import replace_json
from poyodata.store.layout import MOVIE_BLOCK_FRAMES, group_json
from poyodata.store.protocol import Frames, Record
from poyodata.store.shard import block_digests, write_shard


def write_template(folder: Path, record: Record, name: str) -> str:
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
    str
        Digest of the template.

    Raises
    ------
    StoreError
        When it is no template.
    """
    frames = _open(record, name)
    blocks = write_shard(
        folder / "frames",
        _blocks(frames),
        frames.shape,
        block_rows=MOVIE_BLOCK_FRAMES,
        dimension_names=("frame", "height", "width"),
        dtype=frames.dtype,
    )
    digest = _digest(blocks, frames)
    replace_json(folder / "zarr.json", group_json({"digest": digest}))
    return digest


def require_same_template(record: Record, name: str, digest: str) -> None:
    """Raise when a record's template is another than the one of that digest.

    Raises
    ------
    StoreError
        When it is, or when it is no template.
    """
    frames = _open(record, name)
    if _digest(block_digests(_blocks(frames), frames.shape, frames.dtype, MOVIE_BLOCK_FRAMES), frames) != digest:
        raise StoreError(
            f"recording {record.metadata.session_id!r} brings another template for {name!r} than the store has; the "
            "store is as it was. Give one of the two stimuli another name, or ingest into a new store."
        )


def _open(record: Record, name: str) -> Frames:
    frames = record.templates[name]()
    if len(frames.shape) != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise StoreError(
            f"recording {record.metadata.session_id!r}: the template of {name!r} is {frames.dtype} {frames.shape}; "
            "expected uint8 of shape (frame, height, width). Correct the source."
        )
    return frames


def _digest(blocks: list[str], frames: Frames) -> str:
    return json_digest({"blocks": blocks, "shape": list(frames.shape)})


def _blocks(frames: Frames) -> Iterator[npt.NDArray[Any]]:
    return (frames[start : start + MOVIE_BLOCK_FRAMES] for start in range(0, frames.shape[0], MOVIE_BLOCK_FRAMES))
