"""A thread that makes batches ahead changes neither order nor values, and is never left behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from poyodata.curation import Manifest
from poyodata.errors import LoaderError
from poyodata.loaders import make_loader
from poyodata.loaders.prefetch import prefetched
from poyodata.store import Store


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "poyodata-prefetch"]


def test_order_is_kept() -> None:
    assert list(prefetched(lambda number: number, 3, 50)) == list(range(3, 50))
    assert list(prefetched(lambda number: number, 3, 3)) == []
    assert threads() == []


def test_an_error_comes_where_its_item_would_have_come() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise LoaderError("the third is broken")
        return number

    made = prefetched(make, 0, 10)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LoaderError, match="the third is broken"):
        next(made)
    assert threads() == []


@pytest.mark.parametrize("taken", [0, 1, 5], ids=["before-the-first", "after-one", "after-some"])
def test_closing_early_leaves_no_thread(taken: int) -> None:
    made = prefetched(lambda number: number, 0, 10**6)
    for _ in range(taken):
        next(made)
    made.close()
    assert threads() == []


def test_no_more_than_the_depth_is_made_ahead() -> None:
    begun: list[int] = []
    made = prefetched(lambda number: begun.append(number) or number, 0, 100, depth=2)
    next(made)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert len(begun) <= 5
        time.sleep(0.01)
    made.close()


@pytest.mark.parametrize("layout", ["dense", "tokens", "token-views", "jagged"])
def test_batches_are_those_without_a_thread(tiny_store: Store, gratings: Manifest, layout: str) -> None:
    def arrays(prefetch: int) -> list[dict[str, np.ndarray]]:
        loader = make_loader(
            tiny_store,
            gratings,
            window_s=1.0,
            jitter_frames=3,
            layout=layout,  # type: ignore[arg-type]
            prefetch=prefetch,
        )
        return [{name: np.array(values) for name, values in batch.items()} for batch in loader.arrays()]

    for with_thread, without in zip(arrays(1), arrays(0), strict=True):
        assert with_thread.keys() == without.keys()
        for name, values in without.items():
            np.testing.assert_array_equal(with_thread[name], values)


def test_a_loop_that_is_left_leaves_no_thread(tiny_store: Store, gratings: Manifest) -> None:
    loader = make_loader(tiny_store, gratings, window_s=1.0, prefetch=1)
    for _ in loader:
        assert threads()
        break
    assert threads() == []


def test_more_threads_are_refused(tiny_store: Store, gratings: Manifest) -> None:
    with pytest.raises(LoaderError, match="0 or 1"):
        make_loader(tiny_store, gratings, window_s=1.0, prefetch=2)
