"""Dense batches against the store's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poyodata.loaders.batches import dense
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.sources import TraceSource
from poyodata.store import Store
from tests.loaders.some_windows import expected, half_view, windows

BATCH = windows([0, 2, 1, 2], [5, 0, 6000, 6200], 60)


@pytest.mark.parametrize("layout", ["neuron", "time"])
def test_values_are_of_the_neurons_that_the_index_names(tiny_store: Store, layout: Any) -> None:
    view = half_view(tiny_store)
    batch = dense(TraceSource(view), BATCH, layout=layout)
    widest = max(len(view.columns(key)) for key in view.session_ids)
    assert batch["neuron_index"].shape == (4, widest)
    assert (batch["neuron_mask"] == (batch["neuron_index"] > 0)).all()
    for number in range(4):
        own = batch["neuron_index"][number][batch["neuron_mask"][number]]
        rows = view.manifest.neurons.iloc[own - 1]
        assert (rows["session_id"] == view.session_ids[batch["session_index"][number]]).all()
        values = batch["values"][number] if layout == "time" else batch["values"][number].T
        np.testing.assert_array_equal(values[:, : len(own)], expected(view, BATCH, number))
        assert (values[:, len(own) :] == 0).all()
    assert batch["start_frame"].tolist() == BATCH.start.tolist()
    assert "time_mask" not in batch


def test_windows_of_unequal_length_are_padded_and_masked(tiny_store: Store) -> None:
    view = half_view(tiny_store)
    located = windows([0, 1], [100, 7], [30, 50])
    batch = dense(TraceSource(view), located)
    assert batch["time_mask"].sum(axis=1).tolist() == [30, 50]
    n = len(view.columns(view.session_ids[0]))
    np.testing.assert_array_equal(batch["values"][0, :n, :30], expected(view, located, 0).T)
    assert (batch["values"][0, :, 30:] == 0).all()


def test_an_empty_batch_is_empty(tiny_store: Store) -> None:
    batch = dense(TraceSource(half_view(tiny_store)), windows([], [], []))
    assert batch["values"].size == batch["neuron_index"].size == batch["neuron_mask"].size == 0
    assert len(batch["session_index"]) == len(batch["start_frame"]) == 0


def test_fifty_kept_batches_are_unchanged(tiny_store: Store) -> None:
    """Recycled memory never reaches a batch that somebody still has."""
    source, buffers = TraceSource(half_view(tiny_store)), Buffers()
    located = [windows([k % 3, 1], [17 * k, 100 + k], 60) for k in range(50)]
    kept = [dense(source, own, buffers=buffers) for own in located]
    for own in located:
        dense(source, own, buffers=buffers)
    for own, batch in zip(located, kept, strict=True):
        fresh = dense(source, own)
        for name in ("values", "neuron_index", "neuron_mask"):
            np.testing.assert_array_equal(batch[name], fresh[name])  # type: ignore[literal-required]
