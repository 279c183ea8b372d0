"""Memory is given out again only when nobody holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from poyodata.loaders.buffers import Buffers


def take(buffers: Buffers, fill: float) -> np.ndarray:
    array = buffers.take("values", (3, 4), np.float32)
    array[:] = fill
    return array


HOLDERS: dict[str, Callable[[np.ndarray], Any]] = {
    "itself": lambda array: array,
    "view": lambda array: array[1:, ::2],
    "reshaped": lambda array: array.reshape(-1),
    "broadcast": lambda array: np.broadcast_to(array, (5, 3, 4)),
    "tensor": torch.from_numpy,
    "view-of-tensor": lambda array: torch.from_numpy(array)[1:].T,
    "dlpack": torch.from_dlpack,
    "memoryview": memoryview,
    "in-a-dict": lambda array: {"values": {"deep": [array]}},
    "bytes-of-it": lambda array: array.view(np.uint8),
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_what_is_held_stays_as_it_was(hold: Callable[[np.ndarray], Any]) -> None:
    buffers = Buffers()
    given = take(buffers, 0)
    address = given.ctypes.data
    held = [hold(given)]
    del given
    for fill in range(1, 12):
        assert take(buffers, fill).ctypes.data != address
    held.clear()
    again = [take(buffers, 99) for _ in range(4)]
    assert address in [array.ctypes.data for array in again]


@pytest.mark.parametrize("as_tensor", [False, True], ids=["arrays", "tensors"])
def test_fifty_kept_arrays_are_unchanged(as_tensor: bool) -> None:
    buffers = Buffers()
    kept = [torch.from_numpy(take(buffers, fill)) if as_tensor else take(buffers, fill) for fill in range(50)]
    for _ in range(50):
        take(buffers, -1)
    assert [float(array.min()) for array in kept] == [float(array.max()) for array in kept] == list(range(50))


def test_memory_comes_back_once_it_is_free() -> None:
    buffers = Buffers()
    addresses = {take(buffers, fill).ctypes.data for fill in range(50)}
    assert len(addresses) <= 2


def test_little_is_kept_when_much_was_held() -> None:
    buffers = Buffers()
    held = [take(buffers, fill) for fill in range(50)]
    assert len(buffers._memory["values"]) <= 4
    del held


def test_larger_batches_get_larger_memory_and_smaller_ones_a_part() -> None:
    buffers = Buffers()
    first = buffers.take("values", (10,), np.float64)
    address = first.ctypes.data
    del first
    assert buffers.take("values", (20,), np.float64).shape == (20,)
    small = buffers.take("values", (2, 3), np.int32)
    assert (small.shape, small.dtype, small.ctypes.data) == ((2, 3), np.int32, address)
    assert small.flags.c_contiguous
    assert small.flags.writeable


def test_names_are_kept_apart_and_fresh_is_fresh() -> None:
    buffers = Buffers()
    a, b = buffers.take("a", (4,), bool), buffers.take("b", (4,), bool)
    assert not np.shares_memory(a, b)
    fresh = Buffers(recycle=False)
    assert fresh.take("a", (0, 3), np.int64).shape == (0, 3)
    assert not fresh._memory
