"""Samplers: every promise for any index, any batch size and any number of ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.sampling import (
    Drawn,
    Ranks,
    Sampler,
    balanced,
    same_recording,
    term_weights,
    uniform,
    weighted,
)
from poyodata.loaders.windows import WindowIndex
from tests.loaders.plain_view import plain_view, window

Make = Callable[..., Sampler]


def make_index(*rows: tuple[int, int]) -> WindowIndex:
    """Rows are (recording, windows), recordings in order."""
    session, count = (np.array(column, np.int64) for column in zip(*sorted(rows), strict=True))
    first = np.arange(len(rows)) * 1000
    ones = np.ones_like(count)
    return WindowIndex(
        session_ids=tuple("abcd"),
        session_index=session,
        first=first,
        count=count,
        length=ones,
        low=first,
        high=first + count - 1,
        source=np.arange(len(rows)),
        hop_frames=1,
        slack=0 * ones,
    )


def epoch_of(sampler: Sampler, epoch: int = 0, start: int = 0) -> list[Drawn]:
    return [sampler.batch(epoch, number) for number in range(start, len(sampler))]


def drawn(batches: list[Drawn], what: str = "window") -> list[int]:
    return [number for batch in batches for number in getattr(batch, what).tolist()]


def in_turn(index: WindowIndex) -> np.ndarray:
    """Two groups, and some rows in none."""
    return np.arange(index.n_rows) % 3 - 1 if index.n_rows > 1 else np.zeros(1, np.int64)


MAKERS: dict[str, Make] = {
    "uniform": uniform,
    "in-order": lambda *given, **named: uniform(*given, shuffle=False, **named),
    "weighted": lambda index, *given, **named: weighted(index, 1.0 + np.arange(index.n_rows), *given, **named),
    "balanced": lambda index, *given, **named: balanced(index, in_turn(index), *given, **named),
    "same-recording": same_recording,
    "same-recording-in-order": lambda *given, **named: same_recording(*given, shuffle=False, **named),
}
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=6)
SEEDS = st.integers(0, 2**40)


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 9), seed=SEEDS, epoch=st.integers(0, 99), world=st.integers(1, 5))
def test_ranks_share_an_epoch_exactly(
    name: str, rows: list[tuple[int, int]], batch_size: int, seed: int, epoch: int, world: int
) -> None:
    index = make_index(*rows)
    alone = MAKERS[name](index, batch_size, seed)
    expected = Counter(zip(drawn(epoch_of(alone, epoch), "sample"), drawn(epoch_of(alone, epoch)), strict=True))
    together: Counter[tuple[int, int]] = Counter()
    sizes, batches = [], []
    for rank in range(world):
        sampler = MAKERS[name](index, batch_size, seed, Ranks(rank, world))
        mine = epoch_of(sampler, epoch)
        together.update(zip(drawn(mine, "sample"), drawn(mine), strict=True))
        sizes.append(len(drawn(mine)))
        batches.append(len(mine))
        assert sampler.n_windows == alone.n_windows
    assert together == expected and max(expected.values()) == 1
    assert sum(expected.values()) == alone.n_windows
    if not name.startswith("same"):
        assert max(sizes) - min(sizes) <= 1
    assert max(batches) - min(batches) <= 1
    assert sampler.most_batches == batches[0] == max(batches)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("world", [2, 9, 20])
@pytest.mark.parametrize("tail", ["keep", "drop"])
def test_all_ranks_are_refused_or_none(name: str, world: int, tail: Any) -> None:
    index = make_index((0, 5), (1, 3))
    sizes = []
    for rank in range(world):
        try:
            sizes.append(len(epoch_of(MAKERS[name](index, 2, 0, Ranks(rank, world, tail)))))
        except LoaderError:
            sizes.append(-1)
    assert (-1 in sizes) == (set(sizes) == {-1}) == (tail == "drop" and world > 2)


@pytest.mark.parametrize("name", ["uniform", "in-order"])
def test_which_windows_a_dropped_tail_leaves_out(name: str) -> None:
    """Others every epoch where they are shuffled; in order, always the last."""
    index = make_index((0, 40), (1, 10))
    samplers = [MAKERS[name](index, 4, 0, Ranks(rank, 4, "drop")) for rank in range(4)]
    left = [set(range(50)) - {n for one in samplers for n in drawn(epoch_of(one, epoch))} for epoch in range(6)]
    assert {len(one) for one in left} == {2}
    if name == "in-order":
        assert left == [{48, 49}] * 6
    else:
        assert len(set.union(*left)) > 6


@pytest.mark.parametrize("name", ["uniform", "in-order", "weighted", "balanced"])
@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 5), seed=SEEDS, world=st.integers(2, 5))
def test_with_the_tail_dropped_ranks_have_the_same_number(
    name: str, rows: list[tuple[int, int]], batch_size: int, seed: int, world: int
) -> None:
    index = make_index(*rows)
    n = MAKERS[name](index, batch_size, seed).n_windows
    if n < world:
        return
    samplers = [MAKERS[name](index, batch_size, seed, Ranks(rank, world, "drop")) for rank in range(world)]
    found = [drawn(epoch_of(sampler, 3), "sample") for sampler in samplers]
    assert {len(mine) for mine in found} == {n // world}
    assert sorted(chain(*found)) == list(range(n - n % world))
    assert {sampler.n_windows for sampler in samplers} == {n - n % world}


@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 5), seed=SEEDS, world=st.integers(2, 4))
def test_same_recording_with_the_tail_dropped_has_the_same_number_of_batches(
    rows: list[tuple[int, int]], batch_size: int, seed: int, world: int
) -> None:
    index = make_index(*rows)
    n = len(same_recording(index, batch_size, seed))
    if n < world:
        return
    samplers = [same_recording(index, batch_size, seed, Ranks(rank, world, "drop")) for rank in range(world)]
    found = [epoch_of(sampler, 3) for sampler in samplers]
    assert {len(mine) for mine in found} == {n // world}
    windows = list(chain(*(drawn(mine) for mine in found)))
    assert len(set(windows)) == len(windows) >= samplers[0].n_windows


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 9), seed=SEEDS, data=st.data())
def test_an_epoch_goes_on_from_any_batch(
    name: str, rows: list[tuple[int, int]], batch_size: int, seed: int, data: st.DataObject
) -> None:
    index = make_index(*rows)
    sampler = MAKERS[name](index, batch_size, seed)
    start = data.draw(st.integers(0, len(sampler) - 1))
    undisturbed = epoch_of(sampler, 7)
    resumed = epoch_of(MAKERS[name](index, batch_size, seed), 7, start)
    assert drawn(undisturbed[:start]) + drawn(resumed) == drawn(undisturbed)
    assert drawn(undisturbed[:start], "sample") + drawn(resumed, "sample") == drawn(undisturbed, "sample")


@pytest.mark.parametrize("name", ["uniform", "in-order", "same-recording", "same-recording-in-order"])
@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 9), seed=SEEDS, epoch=st.integers(0, 99))
def test_every_window_once(name: str, rows: list[tuple[int, int]], batch_size: int, seed: int, epoch: int) -> None:
    index = make_index(*rows)
    batches = epoch_of(MAKERS[name](index, batch_size, seed), epoch)
    assert sorted(drawn(batches)) == list(range(len(index)))
    if name.endswith("in-order"):
        assert drawn(batches) == list(range(len(index)))


@pytest.mark.parametrize("name", MAKERS)
def test_order_depends_on_seed_and_epoch_alone(name: str) -> None:
    index = make_index((0, 40), (1, 30), (2, 30))
    first = drawn(epoch_of(MAKERS[name](index, 8, 0), 4))
    assert drawn(epoch_of(MAKERS[name](index, 8, 0), 4)) == first
    others = [drawn(epoch_of(MAKERS[name](index, 8, seed), epoch)) for seed, epoch in ((0, 5), (1, 4))]
    assert all((other == first) == name.endswith("in-order") for other in others)


@pytest.mark.parametrize("name", ["uniform", "weighted", "balanced"])
def test_a_batch_of_all_ranks_is_one_large_batch(name: str) -> None:
    """So gradients do not depend on how many processes share the work."""
    index = make_index((0, 40), (1, 24), (2, 32))
    alone = MAKERS[name](index, 12, 0)
    shared = [MAKERS[name](index, 4, 0, Ranks(rank, 3)) for rank in range(3)]
    for number in range(5):
        large = set(zip(drawn([alone.batch(1, number)], "sample"), drawn([alone.batch(1, number)]), strict=True))
        small = [sampler.batch(1, number) for sampler in shared]
        assert set(zip(drawn(small, "sample"), drawn(small), strict=True)) == large


@settings(deadline=None)
@given(rows=ROWS, batch_size=st.integers(1, 9), seed=SEEDS, world=st.integers(1, 3), drop_last=st.booleans())
def test_batches_of_one_recording(
    rows: list[tuple[int, int]], batch_size: int, seed: int, world: int, drop_last: bool
) -> None:
    index = make_index(*rows)
    own = Counter(index.session_index[index.locate(np.arange(len(index))).row].tolist())
    seen: list[int] = []
    for rank in range(world):
        try:
            sampler = same_recording(index, batch_size, seed, Ranks(rank, world), drop_last=drop_last)
        except LoaderError:
            continue
        for batch in epoch_of(sampler, 2):
            recordings = set(index.locate(batch.window).session_index.tolist())
            assert len(recordings) == 1
            assert 1 <= len(batch) <= batch_size and (len(batch) == batch_size or not drop_last)
            seen += batch.window.tolist()
    assert len(set(seen)) == len(seen)
    full = sum(count // batch_size * batch_size for count in own.values())
    assert len(seen) == (full if drop_last else len(index))


def test_batches_of_recordings_are_mixed() -> None:
    index = make_index((0, 400), (1, 400), (2, 400))
    batches = epoch_of(same_recording(index, 8, 0), 0)
    order = [int(index.locate(batch.window).session_index[0]) for batch in batches]
    changes = (np.diff(order) != 0).mean()
    assert 0.5 < changes < 0.8
    assert (np.diff(batches[0].window) == 1).mean() < 0.5


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    n_windows=st.integers(1, 90),
    seed=SEEDS,
    epoch=st.integers(0, 99),
    cut=st.tuples(st.integers(0, 90), st.integers(0, 90)),
)
def test_groups_are_balanced_exactly(
    sizes: list[int], n_windows: int, seed: int, epoch: int, cut: tuple[int, int]
) -> None:
    """Rows of groups lie apart; one row is in no group."""
    rows = [(0, size) for size in sizes] + [(0, 3)] + [(0, 2) for _ in sizes]
    index = make_index(*rows)
    # Sorting moved the rows: groups go by place, each group has two rows or so.
    groups = np.arange(index.n_rows) % (len(sizes) + 1) - 1
    batches = epoch_of(balanced(index, groups, 7, seed, n_windows=n_windows), epoch)
    windows = np.array(drawn(batches))
    assert len(windows) == n_windows
    of = groups[index.locate(windows).row]
    n_groups = len(sizes)
    counts = np.bincount(of, minlength=n_groups)
    assert (of >= 0).all() and counts.max() - counts.min() <= 1
    part = np.bincount(of[min(cut) : max(cut)], minlength=n_groups)
    assert part.max() - part.min() <= 2
    for group in range(n_groups):
        mine = windows[of == group]
        size = int(index.count[groups == group].sum())
        for start in range(0, len(mine), size):
            again = mine[start : start + size]
            assert len(set(again.tolist())) == len(again), "no window again before all of its group came"


def test_by_default_a_balanced_epoch_is_as_long_as_the_groups() -> None:
    index = make_index((0, 40), (1, 7), (2, 5))
    assert balanced(index, np.array([0, 1, -1]), 8, 0).n_windows == 47


def test_weights_are_chances() -> None:
    index = make_index((0, 10), (1, 40), (2, 50), (3, 5))
    weights = np.array([3.0, 1.0, 0.0, 2.0])
    windows = np.array(drawn(epoch_of(weighted(index, weights, 100, 0, n_windows=40_000), 1)))
    share = np.bincount(index.locate(windows).row, minlength=4) / 40_000
    np.testing.assert_allclose(share, [30 / 80, 40 / 80, 0, 10 / 80], atol=0.01)
    within = np.bincount(windows[windows < 10], minlength=10)
    np.testing.assert_allclose(within / within.sum(), 0.1, atol=0.02)


def test_weights_of_recordings_are_those_of_their_windows() -> None:
    index = make_index((0, 3), (0, 9), (2, 5))
    by_row = weighted(index, np.array([2.0, 2.0, 5.0]), 8, 3)
    by_name = weighted(index, {"a": 2, "c": 5}, 8, 3)
    assert drawn(epoch_of(by_row)) == drawn(epoch_of(by_name))


def test_terms_weigh_recordings_by_their_neurons() -> None:
    view = plain_view(
        {"a": [(0, 9)], "b": [(0, 9)]},
        [window("a", "train", 0, 9)],
        neurons={"a": ["odd", "odd", "even", "odd"], "b": ["even"]},
    )
    assert term_weights(view, {"odd": 2.0, "even": 1.0}) == {"a": 1.75, "b": 1.0}
    with pytest.raises(UsageError, match="term 'evn': did you mean 'even'"):
        term_weights(view, {"odd": 2.0, "evn": 1.0})
    with pytest.raises(UsageError, match="term 'even' of the diet has no weight; give one for each of even, odd"):
        term_weights(view, {"odd": 2.0})


KNOWN: dict[str, list[int]] = {
    "uniform": [79, 19, 17, 11, 10, 85],
    "in-order": [25, 27, 29, 31, 33, 35],
    "weighted": [87, 99, 57, 88, 69, 5],
    "balanced": [51],
    "same-recording": [96, 78, 85, 97, 83, 90],
    "same-recording-in-order": [30, 31, 32, 33, 34, 35],
}


@pytest.mark.parametrize("name", MAKERS)
def test_known_batches(name: str) -> None:
    """Written down: a machine, a NumPy or a change of ours that moves a published run fails here."""
    index = make_index((0, 40), (1, 7), (1, 20), (2, 33))
    sampler = MAKERS[name](index, 6, 11, Ranks(1, 2))
    assert drawn([sampler.batch(3, 2)]) == KNOWN[name]


INDEX = make_index((0, 5), (1, 3))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: uniform(INDEX, 0, 0), "batch_size is 0", id="batch-size"),
        pytest.param(lambda: same_recording(INDEX, 0, 0), "batch_size is 0", id="batch-size-same-recording"),
        pytest.param(lambda: uniform(INDEX, 9, 0, drop_last=True), "make no batch of 9 for any", id="no-full-batch"),
        pytest.param(lambda: uniform(INDEX, 1, 0, Ranks(0, 9, "drop")), "shared by 9 ranks", id="too-many-ranks"),
        pytest.param(
            lambda: same_recording(INDEX, 6, 0, drop_last=True),
            "2 recordings with at most 5 windows make 0 batches of 6",
            id="no-full-batch-of-one-recording",
        ),
        pytest.param(lambda: Ranks(2, 2), "rank 2 of 2", id="rank"),
        pytest.param(lambda: weighted(INDEX, np.ones(3), 2, 0), r"shape \(3,\), .* has 2 rows", id="weights"),
        pytest.param(lambda: weighted(INDEX, np.array([1, -1]), 2, 0), "not negative", id="negative-weight"),
        pytest.param(lambda: weighted(INDEX, np.array([1, np.nan]), 2, 0), "finite", id="nan-weight"),
        pytest.param(lambda: weighted(INDEX, np.zeros(2), 2, 0), "not all 0", id="no-weight"),
        pytest.param(lambda: weighted(INDEX, {"a": 1.0}, 2, 0), "1 of 2 .* first is 'b'", id="unnamed"),
        pytest.param(lambda: weighted(INDEX, np.ones(2), 2, 0, n_windows=0), "n_windows is 0", id="n-windows"),
        pytest.param(lambda: balanced(INDEX, np.zeros(3, int), 2, 0), r"shape \(3,\)", id="groups"),
        pytest.param(lambda: balanced(INDEX, np.zeros(2), 2, 0), "float64", id="groups-are-no-numbers"),
        pytest.param(lambda: balanced(INDEX, np.array([-1, -1]), 2, 0), "no window is in a group", id="no-group"),
        pytest.param(lambda: uniform(INDEX, 4, 0).batch(0, 2), "batches 0 to 1, and 2", id="batch-beyond"),
        pytest.param(lambda: same_recording(INDEX, 4, 0).batch(0, -1), "batches 0 to 2, and -1", id="batch-before"),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(LoaderError, match=match):
        make()


def test_an_unknown_tail_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'drop'"):
        Ranks(0, 1, "drp")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "world", "tail"),
    [("train", 1, "keep"), ("train", 2, "drop"), ("identify", 3, "drop"), ("test", 2, "keep")],
)
def test_roles_to_learn_from_drop_the_tail(role: str, world: int, tail: str) -> None:
    assert Ranks.for_role(role, 0, world).tail == tail
