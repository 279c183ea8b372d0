"""From NumPy's arrays to torch's tensors over the same memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from poyodata.loaders.batches import nested


def as_tensors(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arrays of a batch to torch, without a copy; what is no array stays.

    Parameters
    ----------
    batch : mapping of str to ndarray, or to such a mapping

    Returns
    -------
    dict of str to Tensor
        A jagged batch becomes nested tensors.
    """
    if "offsets" in batch:
        return dict(nested(batch))
    return {name: as_tensors(value) if isinstance(value, Mapping) else _tensor(value) for name, value in batch.items()}


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    import torch

    if value.flags.writeable:
        return torch.from_numpy(value)
    # A broadcast view: torch warns of what may not be written, and can hold the same strides over the same memory.
    owner = value.base
    if isinstance(owner, np.ndarray) and owner.flags.c_contiguous and owner.ctypes.data == value.ctypes.data:
        memory = owner.reshape(-1).view(np.uint8)
        items = memory[: len(memory) - len(memory) % value.itemsize].view(value.dtype)
        if items.flags.writeable:
            steps = tuple(step // value.itemsize for step in value.strides)
            return torch.from_numpy(items).as_strided(value.shape, steps)
    return torch.from_numpy(value.copy())
