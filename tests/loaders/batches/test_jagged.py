"""Jagged batches: the windows without padding, and torch's nested tensors of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poyodata.errors import LoaderError
from poyodata.loaders.batches import dense, jagged, nested
from poyodata.loaders.sources import TraceSource
from poyodata.store import Store
from tests.loaders.some_windows import half_view, windows

BATCH = windows([0, 2, 1, 2], [5, 0, 6000, 6200], 57)
KEPT = [np.array([1, 0]), np.array([], np.int64), np.array([2]), np.array([0, 1, 2])]


@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "some"])
def test_rows_are_those_of_a_dense_batch_without_its_padding(tiny_store: Store, kept: list[np.ndarray] | None) -> None:
    source = TraceSource(half_view(tiny_store))
    padded, batch = dense(source, BATCH, kept=kept), jagged(source, BATCH, kept=kept)
    np.testing.assert_array_equal(batch["values"], padded["values"][padded["neuron_mask"]])
    np.testing.assert_array_equal(batch["neuron_index"], padded["neuron_index"][padded["neuron_mask"]])
    assert np.diff(batch["offsets"]).tolist() == padded["neuron_mask"].sum(axis=1).tolist()


def test_torch_gets_nested_tensors_that_share_memory(tiny_store: Store) -> None:
    source = TraceSource(half_view(tiny_store))
    batch = jagged(source, BATCH)
    tensors = nested(batch)
    assert tensors["values"].is_nested
    assert tensors["values"].layout == torch.jagged
    assert tensors["values"].values().data_ptr() == batch["values"].ctypes.data
    for number, rows in enumerate(tensors["values"].unbind()):
        own = slice(*batch["offsets"][number : number + 2])
        np.testing.assert_array_equal(rows.numpy(), batch["values"][own])
    # They can be combined: an embedding of the neurons is added to what is read from their traces.
    mixed = tensors["values"] @ torch.ones(57, 8) + torch.nn.functional.embedding(
        tensors["neuron_index"], torch.zeros(100, 8)
    )
    assert mixed.is_nested


def test_windows_of_unequal_length_are_refused(tiny_store: Store) -> None:
    with pytest.raises(LoaderError, match="20 to 30"):
        jagged(TraceSource(half_view(tiny_store)), windows([0, 1], [0, 0], [20, 30]))
