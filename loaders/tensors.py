"""From NumPy's arrays to torch's tensors over the same memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

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
    import torch

    if "offsets" in batch:
        return dict(nested(batch))
    made: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, np.ndarray):
            made[name] = torch.from_numpy(value) if value.flags.writeable else _tensor(value)
        else:
            made[name] = as_tensors(value) if isinstance(value, Mapping) else value
    return made


def _tensor(value: npt.NDArray[Any]) -> Any:
    import torch

    # A broadcast view: torch warns of what may not be written, and can hold the same strides over the same memory.
    owner = value.base
    if isinstance(owner, np.ndarray) and owner.flags.c_contiguous and owner.ctypes.data == value.ctypes.data:
        memory = owner.reshape(-1).view(np.uint8)
        items = memory[: len(memory) - len(memory) % value.itemsize].view(value.dtype)
        if items.flags.writeable:
            steps = tuple(step // value.itemsize for step in value.strides)
            return torch.from_numpy(items).as_strided(value.shape, steps)
    return torch.from_numpy(value.copy())
