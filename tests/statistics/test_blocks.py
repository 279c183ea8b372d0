"""Moments of any union of windows are a merge of states of whole blocks, and of their edges alone a reading."""

import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from poyodata.intervals import n_frames
from poyodata.splits import resolve_split
from poyodata.statistics import MOMENTS, STATISTICS, compute_statistics
from poyodata.statistics.blocks import BLOCK_FRAMES, cut_at_blocks
from tests.fake_store import GRATINGS, GREY, MOVIE, make_store

LONG = ((GRATINGS, 60), (GREY, 12_000), (MOVIE, 9_000), (GRATINGS, 60))
"""Train-role time of every fold then has whole blocks."""


class Counted:
    """Traces that count the frames that are read of them."""

    def __init__(self, array):
        self.array, self.shape, self.read = array, array.shape, []

    def __getitem__(self, frames):
        self.read.append((frames.start, frames.stop))
        return self.array[frames]


@pytest.fixture
def long(tmp_path):
    return make_store(tmp_path, n_sessions=2, layout=LONG)


@pytest.fixture
def counted(long, monkeypatch):
    traces = {session: Counted(array) for session, array in long.arrays.items()}
    monkeypatch.setattr(long, "traces", lambda session, name="dff": traces[session])
    return traces


@given(st.integers(0, 9000), st.integers(0, 9000))
def test_a_span_is_cut_without_loss(start, length):
    parts = list(cut_at_blocks(start, start + length))
    assert [a for a, _ in parts[1:]] == [b for _, b in parts[:-1]]
    assert not parts or (parts[0][0], parts[-1][1]) == (start, start + length)
    assert sum(b - a for a, b in parts) == length
    assert all(a % BLOCK_FRAMES == 0 for a, _ in parts[1:])
    assert sum(b - a == BLOCK_FRAMES and a % BLOCK_FRAMES == 0 for a, b in parts) == max(
        0, (start + length) // BLOCK_FRAMES - -(-start // BLOCK_FRAMES)
    )


@pytest.mark.parametrize("other", [("blocks-5fold", 1), ("blocks-5fold", 4), ("epoch-out", 0), ("all", 0)])
def test_after_one_split_another_reads_its_edges_alone(long, counted, other):
    name, fold = other
    compute_statistics(long, "moments", resolve_split(long, "blocks-5fold", 0))
    for traces in counted.values():
        assert sum(b - a for a, b in traces.read) <= len(traces.array) + 2 * BLOCK_FRAMES * 20
        traces.read.clear()
    split = None if name == "all" else resolve_split(long, name, fold)
    table = compute_statistics(long, "moments", split, "all" if split is None else "train").set_index("neuron_id")
    for session, traces in counted.items():
        spans = [(0, len(traces.array))] if split is None else split.train_time(session).tolist()
        edges = [part for span in spans for part in cut_at_blocks(*span) if part[1] - part[0] < BLOCK_FRAMES]
        whole = [part for span in spans for part in cut_at_blocks(*span) if part[1] - part[0] == BLOCK_FRAMES]
        assert len(whole) > 5, "else nothing is shown"
        assert sorted(traces.read) == sorted(edges)
        assert n_frames(np.array(edges)) < 2 * BLOCK_FRAMES * len(spans)
        time = np.concatenate([traces.array[a:b] for a, b in spans]).astype(np.float64)
        rows = table.loc[[f"{session}_{i}" for i in range(traces.shape[1])]]
        assert rows["skewness"].to_numpy() == pytest.approx(scipy.stats.skew(time), rel=1e-12)
        assert (rows["n_frames"] == len(time)).all()


def test_a_restriction_uses_the_blocks_of_the_whole(long, counted):
    compute_statistics(long, "moments")
    for traces in counted.values():
        traces.read.clear()
    compute_statistics(long, "moments@spontaneous")
    for traces in counted.values():
        assert traces.read
        assert all(b - a < BLOCK_FRAMES for a, b in traces.read)


def test_results_are_the_same_bits_whether_blocks_were_kept_or_not(long):
    fresh = []
    for fold in range(3):
        shutil.rmtree(long.statistics_folder, ignore_errors=True)
        fresh.append(compute_statistics(long, "moments", resolve_split(long, "blocks-5fold", fold)))
    for fold in range(3):
        kept = compute_statistics(long, "moments", resolve_split(long, "blocks-5fold", fold))
        pd.testing.assert_frame_equal(kept, fresh[fold], check_exact=True)


@pytest.mark.parametrize("fold", [0, 3])
def test_states_of_test_time_enter_nothing(long, fold):
    """The states of every block are kept; those that are not wholly in train-role time must not move a bit."""
    split = resolve_split(long, "blocks-5fold", fold)
    before = compute_statistics(long, "moments", split)
    for session, traces in long.arrays.items():
        hidden = np.ones(len(traces), bool)
        for start, stop in split.train_time(session):
            hidden[start:stop] = False
        traces[hidden] = np.where(np.arange(hidden.sum())[:, None] % 3, np.float32(1e6), np.nan)
    shutil.rmtree(long.statistics_folder)
    pd.testing.assert_frame_equal(compute_statistics(long, "moments", split), before, check_exact=True)
    assert list(long.statistics_folder.glob("recordings/*/moments.blocks.parquet"))


def test_a_changed_statistic_does_not_use_the_blocks_of_before(long, monkeypatch):
    before = compute_statistics(long, "moments")

    def chunk(stretch, params):
        return MOMENTS.chunk(replace(stretch, traces=stretch.traces * 2), params)

    monkeypatch.setitem(STATISTICS, "moments", replace(MOMENTS, version=99, chunk=chunk))
    after = compute_statistics(long, "moments")
    assert after["mean"].to_numpy() == pytest.approx(2 * before["mean"].to_numpy())


def test_moments_take_little_memory(tmp_path):
    """Of Python and numpy, which tracemalloc sees: in proportion, 20 MB for 115,000 frames of 200 neurons."""
    store = make_store(tmp_path, layout=((GREY, 28_750),), n_neurons=200)
    split = resolve_split(store, "blocks-5fold")
    compute_statistics(store, "moments", split, sessions=["s000"])
    shutil.rmtree(store.statistics_folder)
    tracemalloc.start()
    compute_statistics(store, "moments", split)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6 / 4
