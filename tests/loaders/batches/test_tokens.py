"""Tokens: the content and dtypes that models of the POYO family take."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.errors import LoaderError
from poyodata.loaders.batches import TokenBatch, dense, tokens
from poyodata.loaders.sources import TraceSource
from poyodata.store import Store
from tests.loaders.some_windows import half_view, windows

RATE_HZ = 30.0
BATCH = windows([0, 2, 1, 2], [5, 0, 6000, 6200], 57)
DTYPES = {
    "input_values": np.float32,
    "input_timestamps": np.float64,
    "input_unit_index": np.int64,
    "input_mask": np.bool_,
    "latent_index": np.int64,
    "latent_timestamps": np.float64,
    "session_index": np.int64,
    "start_frame": np.int64,
}


def made_one_by_one(store: Store) -> list[dict[str, np.ndarray]]:
    """Each window's tokens from a dense batch, by tiling and repeating."""
    batch = dense(TraceSource(half_view(store)), BATCH, layout="time")
    found = []
    for values, index, mask in zip(batch["values"], batch["neuron_index"], batch["neuron_mask"], strict=True):
        own = values[:, mask]
        n_time, n = own.shape
        found.append(
            {
                "input_values": own.reshape(-1, 1),
                "input_timestamps": np.repeat(np.arange(n_time) / RATE_HZ, n),
                "input_unit_index": np.tile(index[mask], n_time),
                "input_mask": np.ones(n_time * n, bool),
            }
        )
    return found


def test_flat_tokens_have_the_peers_content_and_dtypes(tiny_store: Store) -> None:
    batch = tokens(TraceSource(half_view(tiny_store)), BATCH, rate_hz=RATE_HZ)
    assert {name: array.dtype for name, array in batch.items()} == DTYPES
    assert set(batch) == set(TokenBatch.__annotations__)
    n_tokens = batch["input_mask"].shape[1]
    assert n_tokens % 8 == 0
    wanted = made_one_by_one(tiny_store)
    assert n_tokens - max(len(own["input_mask"]) for own in wanted) < 8
    for number, own in enumerate(wanted):
        for name, array in own.items():
            got = batch[name][number]  # type: ignore[literal-required]
            np.testing.assert_array_equal(got[: len(array)], array)
            assert not got[len(array) :].any()
            assert batch[name].flags.c_contiguous  # type: ignore[literal-required]


def test_latents_lie_in_the_middle_of_their_steps(tiny_store: Store) -> None:
    batch = tokens(TraceSource(half_view(tiny_store)), BATCH, rate_hz=RATE_HZ)
    assert batch["latent_index"].shape == (4, 19 * 8)
    np.testing.assert_array_equal(batch["latent_index"][3], np.tile(np.arange(8), 19))
    np.testing.assert_allclose(batch["latent_timestamps"][3], np.repeat(np.arange(0, 1.9, 0.1) + 0.05, 8))


def test_views_say_the_same_and_take_no_memory(tiny_store: Store) -> None:
    source = TraceSource(half_view(tiny_store))
    views = tokens(source, BATCH, rate_hz=RATE_HZ, as_views=True)
    assert {name: array.dtype for name, array in views.items()} == DTYPES
    for name in ("input_timestamps", "input_unit_index", "input_mask"):
        assert views[name].shape == views["input_values"].shape  # type: ignore[literal-required]
        assert 0 in views[name].strides  # type: ignore[literal-required]
    for number, own in enumerate(made_one_by_one(tiny_store)):
        mask = views["input_mask"][number]
        for name, array in own.items():
            got = views[name][number][mask]  # type: ignore[literal-required]
            np.testing.assert_array_equal(got, array.reshape(-1))
        assert (views["input_values"][number][~mask] == 0).all()


def test_whole_recordings_are_no_views(tiny_store: Store) -> None:
    source = TraceSource(half_view(tiny_store))
    unequal = windows([0, 1], [0, 0], [20, 30])
    with pytest.raises(LoaderError, match="as_views=False"):
        tokens(source, unequal, rate_hz=RATE_HZ, as_views=True)
    batch = tokens(source, unequal, rate_hz=RATE_HZ)
    assert batch["input_mask"].sum(axis=1).tolist() == [20 * source.n_neurons[0], 30 * source.n_neurons[1]]
