"""The compiled gather of a batch against NumPy's indexing."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from poyodata.loaders.gather import gather, gather_batch, number_neurons

WIDTHS = (5, 40, 17)


@pytest.mark.parametrize(
    ("start", "columns", "extra_rows"),
    [
        pytest.param(0, [0, 1, 2, 3, 4], 0, id="all"),
        pytest.param(7, [4, 0, 3], 0, id="some-unordered"),
        pytest.param(93, [2], 2, id="last-frames-with-padding"),
        pytest.param(5, [], 1, id="no-neuron"),
    ],
)
def test_equals_numpy(start: int, columns: list[int], extra_rows: int) -> None:
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((100, 5)).astype(np.float32)
    shift = rng.standard_normal(len(columns)).astype(np.float32)
    scale = rng.standard_normal(len(columns)).astype(np.float32)
    out = np.full((len(columns) + extra_rows, 7), 9.0, np.float32)
    gather(traces, start, np.array(columns, np.uint64), shift, scale, out)
    expected = (traces[start : start + 7][:, columns] - shift) * scale
    np.testing.assert_allclose(out[: len(columns)], expected.T, rtol=1e-6)
    assert (out[len(columns) :] == 9.0).all()


class Made:
    """Three recordings of 100 frames, of which `kept` neurons each are selected."""

    def __init__(self, kept: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.kept = np.array(kept, np.int64)
        self.traces = [rng.standard_normal((100, width)).astype(np.float32) for width in WIDTHS]
        picked = [np.sort(rng.permutation(w)[:k]) for w, k in zip(WIDTHS, kept, strict=True)]
        self.columns = np.concatenate(picked).astype(np.uint64)
        self.first = np.cumsum(self.kept) - self.kept
        self.shift, self.scale = rng.standard_normal((2, len(self.columns))).astype(np.float32)
        self.address = np.array([own.ctypes.data for own in self.traces], np.uint64)
        self.width = np.array(WIDTHS, np.uint64)

    def gather(self, windows: list[tuple[int, int, int]], out: np.ndarray, **options: Any) -> None:
        session, start, length = np.array(windows, np.int64).reshape(-1, 3).T.copy()
        axis = {"neuron": 1, "time": 2}[options["layout"]]
        rows = self.kept[session] if out.ndim == 2 else np.full(len(windows), out.shape[axis])
        every = np.arange(len(self.columns), dtype=np.uint64)
        which = self.first[session], self.kept[session]
        places = self.address, self.width, session, start, length
        gather_batch(*places, *which, every, self.columns, out, rows, **options)

    def expected(self, window: tuple[int, int, int], scaled: bool) -> np.ndarray:
        """(time, neuron)."""
        session, start, length = window
        own = slice(self.first[session], self.first[session] + self.kept[session])
        values = self.traces[session][start : start + length][:, self.columns[own].astype(int)]
        return (values - self.shift[own]) * self.scale[own] if scaled else values


WINDOWS = [(1, 0, 33), (0, 67, 33), (2, 3, 33), (1, 50, 33), (1, 67, 33)]
ONE_FRAME = [(1, 99, 1), (0, 0, 1)]
UNEQUAL = [(2, 0, 100), (0, 99, 1), (1, 40, 0), (1, 7, 57)]
CASES = [
    pytest.param(windows, kept, id=f"{name}-{what}")
    for name, windows in (
        ("equal", WINDOWS),
        ("unequal", UNEQUAL),
        ("one-frame", [(1, 99, 1), (0, 0, 1)]),
        ("none", []),
    )
    for what, kept in (("all", WIDTHS), ("some", (2, 30, 16)), ("one-recording-empty", (0, 40, 1)))
]


@pytest.mark.parametrize("scaled", [False, True], ids=["as-is", "scaled"])
@pytest.mark.parametrize("layout", ["neuron", "time"])
@pytest.mark.parametrize(("windows", "kept"), CASES)
def test_batch_equals_numpy(
    windows: list[tuple[int, int, int]], kept: tuple[int, ...], layout: str, scaled: bool
) -> None:
    made = Made(kept)
    options: dict[str, Any] = {"shift": made.shift, "scale": made.scale} if scaled else {}
    whole = made.kept == made.width.astype(np.int64)
    n_time, width = 101, max(kept) + 1  # one more than needed: what is not filled is 0
    out = np.full((len(windows), width, n_time) if layout == "neuron" else (len(windows), n_time, width), 9, np.float32)
    made.gather(windows, out, layout=layout, whole=whole, **options)
    for number, window in enumerate(windows):
        wanted = np.zeros((n_time, width), np.float32)
        wanted[: window[2], : kept[window[0]]] = made.expected(window, scaled)
        own = out[number].T if layout == "neuron" else out[number]
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-6)


def test_plain_copies_fill_a_batch_of_their_own_width() -> None:
    made = Made(WIDTHS)
    windows = [(1, 0, 20), (1, 80, 20)]
    out = np.full((2, 20, WIDTHS[1]), 9, np.float32)
    made.gather(windows, out, layout="time", whole=np.ones(3, bool))
    np.testing.assert_array_equal(out, np.stack([made.traces[1][:20], made.traces[1][80:]]))


@pytest.mark.parametrize("kept", [WIDTHS, (2, 30, 16)], ids=["all", "some"])
def test_jagged_rows_follow_each_other(kept: tuple[int, ...]) -> None:
    made = Made(kept)
    out = np.full((sum(kept[s] for s, _, _ in WINDOWS), 33), 9, np.float32)
    made.gather(WINDOWS, out, layout="neuron")
    np.testing.assert_array_equal(out, np.concatenate([made.expected(window, False).T for window in WINDOWS]))


@pytest.mark.parametrize("kept", [WIDTHS, (2, 30, 16)], ids=["all", "some"])
def test_tokens_are_frame_by_frame(kept: tuple[int, ...]) -> None:
    made = Made(kept)
    n_tokens = 33 * max(kept) + 7
    out = np.full((len(WINDOWS), n_tokens), 9, np.float32)
    made.gather(WINDOWS, out, layout="time", whole=made.kept == made.width.astype(np.int64))
    for number, window in enumerate(WINDOWS):
        values = made.expected(window, False).ravel()
        np.testing.assert_array_equal(out[number, : len(values)], values)
        assert (out[number, len(values) :] == 0).all()


def test_neurons_are_numbered_from_one() -> None:
    index, mask = np.full((3, 4), 9), np.ones((3, 4), bool)
    number = np.array([7, 3, 5, 0], np.uint64)
    number_neurons(np.array([0, 2, 0]), np.array([2, 2, 0]), number, index, mask)
    assert index.tolist() == [[8, 4, 0, 0], [6, 1, 0, 0], [0, 0, 0, 0]]
    assert mask.tolist() == (index > 0).tolist()


def test_the_interpreter_runs_on_while_a_batch_is_gathered() -> None:
    """A thread gets on during one call, though the thread of the call never gives its turn away."""
    made = Made(WIDTHS)
    session, start, length = np.array([(1, 0, 100)] * 5000, np.int64).T.copy()
    out = np.empty((len(session), WIDTHS[1], 100), np.float32)
    every = np.arange(len(made.columns), dtype=np.uint64)
    arguments = made.address, made.width, session, start, length, made.first[session], made.kept[session], every
    counted, begun, done = [0], threading.Event(), threading.Event()

    def count() -> None:
        begun.set()
        while not done.is_set():
            counted[0] += 1
            time.sleep(0)

    counter = threading.Thread(target=count)
    turn_s = sys.getswitchinterval()
    counter.start()
    try:
        begun.wait()
        sys.setswitchinterval(60)
        before = counted[0]
        gather_batch(*arguments, made.columns, out, np.full(len(session), WIDTHS[1]), layout="neuron")
        during = counted[0] - before
    finally:
        sys.setswitchinterval(turn_s)
        done.set()
        counter.join()
    assert during > 10
