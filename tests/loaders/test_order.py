"""The order of an epoch is a pure function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poyodata.loaders.order import draws, epoch_order


@given(n=st.integers(0, 400), seed=st.integers(0, 2**63), epoch=st.integers(0, 10_000))
def test_every_window_once(n: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(n, seed, epoch).tolist()) == list(range(n))


def test_known_order() -> None:
    """Written down, so that no later change of NumPy or of ours moves a published run without a failing test."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == [3, 4, 7, 2, 6, 1, 5, 0]
    assert epoch_order(8, seed=1, epoch=3).tolist() == [1, 5, 7, 3, 2, 4, 0, 6]


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["seed", "epoch", "stream"])
def test_seed_epoch_and_stream_matter(other: tuple[int, int, int]) -> None:
    seed, epoch, stream = other
    assert (draws(0, 0, 64) != draws(seed, epoch, 64, stream)).all()


def test_draws_are_prefixes() -> None:
    assert draws(3, 4, 10).tolist() == draws(3, 4, 100)[:10].tolist()


def test_draws_are_uniform() -> None:
    high = draws(7, 0, 40_000) >> np.uint64(60)
    counts = np.bincount(high.astype(np.int64), minlength=16)
    assert abs(counts - 2500).max() < 5 * np.sqrt(2500)
