"""The order of an epoch is a pure function of (seed, epoch)."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.order import Permutation, draws, draws_at, key_of, mix64, permuted

SEEDS = st.integers(0, 2**64 - 1)
EPOCHS = st.integers(0, 10_000)


@settings(deadline=None)  # the first call compiles
@given(n=st.integers(0, 3000), seed=SEEDS, epoch=EPOCHS, stream=st.integers(0, 9))
def test_a_permutation_has_everything_once(n: int, seed: int, epoch: int, stream: int) -> None:
    order = Permutation(n, seed, epoch, stream)
    assert sorted(order(np.arange(n)).tolist()) == list(range(n)) and len(order) == n


@given(n=st.integers(1, 2**62), seed=SEEDS, data=st.data())
def test_a_permutation_of_any_size_collides_nowhere(n: int, seed: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=50))
    found = Permutation(n, seed, 0)(np.array(positions, np.int64))
    assert len(set(found.tolist())) == len(positions)
    assert ((found >= 0) & (found < n)).all()


@given(n=st.integers(1, 500), seed=SEEDS, epoch=EPOCHS, data=st.data())
def test_a_part_is_what_it_is_in_the_whole(n: int, seed: int, epoch: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, n - 1))
    order = Permutation(n, seed, epoch)
    assert order(np.arange(start, n)).tolist() == order(np.arange(n))[start:].tolist()


@pytest.mark.parametrize("n", [1000, 100_003, 2**20, 50_000_000])
def test_a_permutation_is_not_visibly_ordered(n: int) -> None:
    """Neighbours are unrelated, and so are places and what stands there, epochs, and seeds: as in a fair shuffle."""
    at = np.arange(min(n, 100_000))
    order = Permutation(n, 0, 0)(at)
    bound = 5 / math.sqrt(len(at))
    pairs = [
        (at, order),
        (order[:-1], order[1:]),
        (order[:-2], order[2:]),
        (order, Permutation(n, 0, 1)(at)),
        (order, Permutation(n, 1, 0)(at)),
        (order, Permutation(n, 0, 0, stream=1)(at)),
    ]
    assert max(abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs) < bound
    assert (np.diff(order) == 1).mean() < 0.005
    # Every sixteenth of the epoch takes from every sixteenth of the windows.
    counts, _, _ = np.histogram2d(at, order, bins=16)
    expected = len(at) / 256 if n == len(at) else counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * math.sqrt(2 * 255)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_all_orders_of_a_few_are_equally_likely(n: int) -> None:
    seen = Counter(
        tuple(Permutation(n, seed, epoch)(np.arange(n)).tolist()) for seed in range(60) for epoch in range(80)
    )
    orders = math.factorial(n)
    expected = 4800 / orders
    assert len(seen) == orders
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < orders - 1 + 5 * math.sqrt(2 * orders)


@pytest.mark.parametrize(
    ("n", "seed", "epoch", "stream", "expected"),
    [
        (8, 0, 0, 0, [4, 6, 2, 7]),
        (8, 1, 3, 0, [7, 0, 2, 3]),
        (10, 0, 0, 5, [2, 1, 0, 9]),
        (1000, 7, 2, 0, [771, 999, 598, 429]),
        (49_795_000, 0, 0, 0, [16666365, 45381781, 10533169, 29755107]),
        (49_795_000, 2**63, 100, 1, [24541927, 23523831, 30838397, 17830071]),
        (2**62, 3, 4, 2, [3784631458361696952, 395019104335571244, 3314197182166330888, 1005594282226585422]),
    ],
)
def test_known_orders(n: int, seed: int, epoch: int, stream: int, expected: list[int]) -> None:
    """Written down: a machine, a NumPy or a change of ours that moves a published run fails here."""
    assert Permutation(n, seed, epoch, stream)(np.arange(min(n, 4))).tolist() == expected


def test_known_words() -> None:
    assert [hex(word) for word in draws(0, 0, 2).tolist()] == ["0xe16c5477e12953e9", "0x6abc152645791323"]
    known = [hex(word) for word in draws(2**64 - 1, 3, 2, stream=1).tolist()]
    assert known == [
        "0x8864bd0867de2f18",
        "0x9536efb84c8855a5",
    ]


@given(parts=st.lists(SEEDS, min_size=1, max_size=4))
def test_keys_of_numbers_and_of_arrays_are_the_same(parts: list[int]) -> None:
    key = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            key = mix64(key * np.uint64(0x9E3779B97F4A7C15) + np.uint64(part) + np.uint64(0x9E3779B97F4A7C15))
    assert key_of(*parts).tolist() == key.tolist()
    assert key_of(*parts[:-1], np.array(parts[-1:], np.uint64).view(np.int64)).tolist() == key.tolist()


@given(seed=SEEDS, epoch=EPOCHS, n=st.integers(1, 200))
def test_words_at_positions_are_those_of_the_row(seed: int, epoch: int, n: int) -> None:
    at = np.arange(n)[::-3]
    assert draws_at(key_of(seed, epoch, 4), at).tolist() == draws(seed, epoch, n, stream=4)[at].tolist()


def test_many_permutations_at_once_are_each_their_own() -> None:
    sizes = np.array([5, 5, 9, 9, 1])
    keys = np.concatenate([key_of(1, 0), key_of(2, 0), key_of(3, 0), key_of(3, 0), key_of(4, 0)])
    at = np.array([2, 2, 7, 8, 0])
    alone = [permuted(at[k : k + 1], sizes[k : k + 1], keys[k : k + 1])[0] for k in range(5)]
    assert permuted(at, sizes, keys).tolist() == alone


@pytest.mark.parametrize("positions", [[-1], [4], [0, 7]])
def test_a_position_outside_is_refused(positions: list[int]) -> None:
    with pytest.raises(LoaderError, match="0 to 3"):
        Permutation(4, 0, 0)(np.array(positions))


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(LoaderError, match="-1"):
        Permutation(-1, 0, 0)


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
