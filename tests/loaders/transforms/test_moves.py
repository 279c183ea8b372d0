"""Jitter and crops move windows within what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.transforms import Crop, Jitter

SAMPLE = np.arange(4000)


def moved(transform: Any, start: Any, low: Any, high: Any, sample: Any = SAMPLE, **options: Any) -> Any:
    start, low, high = (np.broadcast_to(np.asarray(one, np.int64), np.shape(sample)) for one in (start, low, high))
    return transform.move(start, 30, low, high, np.asarray(sample), **{"seed": 0, "epoch": 0} | options)


@pytest.mark.parametrize(
    ("low", "high", "starts"),
    [
        pytest.param(0, 1000, range(97, 104), id="room"),
        pytest.param(99, 1000, range(99, 104), id="a border before"),
        pytest.param(0, 101, range(97, 102), id="a border after"),
        pytest.param(100, 100, [100], id="no room"),
    ],
)
def test_jitter_takes_every_start_that_is_allowed_equally_often(low: int, high: int, starts: Any) -> None:
    values, counts = np.unique(moved(Jitter(3), 100, low, high), return_counts=True)
    assert values.tolist() == list(starts)
    assert abs(counts / len(SAMPLE) - 1 / len(values)).max() < 0.03


def test_jitter_leaves_roles_alone_that_nothing_is_learned_from() -> None:
    assert (moved(Jitter(3), 100, 0, 1000, random=False) == 100).all()


def test_a_crop_lies_anywhere_in_its_window_or_in_the_middle() -> None:
    values, counts = np.unique(moved(Crop(26), 100, 100, 100), return_counts=True)
    assert values.tolist() == list(range(100, 105))
    assert abs(counts / len(SAMPLE) - 0.2).max() < 0.03
    assert (moved(Crop(26), 100, 100, 100, random=False) == 102).all()
    assert Crop(26).length(30) == 26
    assert (moved(Crop(30), 100, 100, 100) == 100).all()


@settings(max_examples=25, deadline=None)
@given(
    samples=st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    transform=st.sampled_from([Jitter(9), Crop(12)]),
)
def test_batches_and_their_order_change_nothing(samples: list[int], seed: int, epoch: int, transform: Any) -> None:
    start = np.array(samples) * 3
    key = {"seed": seed, "epoch": epoch}
    whole = moved(transform, start, start - 50, start + 5, samples, **key)
    alone = [
        int(moved(transform, [s], [s - 50], [s + 5], [at], **key)[0]) for s, at in zip(start, samples, strict=True)
    ]
    assert whole.tolist() == alone
    back = moved(transform, start[::-1], start[::-1] - 50, start[::-1] + 5, samples[::-1], **key)
    assert back[::-1].tolist() == alone


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: Jitter(0), "at least 1 frame", id="no jitter"),
        pytest.param(lambda: Crop(0), "at least 1 frame", id="no crop"),
        pytest.param(lambda: Jitter(1.5), "whole number", id="jitter by half a frame"),  # type: ignore[arg-type]
        pytest.param(lambda: Crop(10.5), "whole number", id="half a frame"),  # type: ignore[arg-type]
        pytest.param(lambda: Crop(31).length(30), "does not fit into windows of 30", id="crop longer than the window"),
    ],
)
def test_bad_moves_are_refused(make: Any, says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        make()
