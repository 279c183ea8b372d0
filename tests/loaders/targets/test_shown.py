"""Codes of frames and counts of windows, against painting and counting one by one."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.loaders.targets.shown import BLANK, NOTHING, FrameCodes, ShownFrames, windows_by_stimulus

PRESENTATIONS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 6), st.sampled_from([NOTHING, BLANK, 0, 1, 7])), max_size=12
)


def painted(rows: list[tuple[int, int, int]], n_frames: int) -> np.ndarray:
    codes = np.full(n_frames, NOTHING)
    for start, length, code in rows:
        if code != NOTHING:
            codes[start : start + length] = code
    return codes


def codes_of(rows: list[tuple[int, int, int]]) -> FrameCodes:
    start, length, code = np.array(rows, np.int64).reshape(-1, 3).T
    return FrameCodes.of_presentations(start, start + length, code.astype(np.int32))


@settings(max_examples=80, deadline=None)
@given(st.lists(PRESENTATIONS.map(lambda rows: sorted(rows, key=lambda row: row[0])), min_size=1, max_size=4))
def test_the_presentation_that_began_last_counts(recordings: list[list[tuple[int, int, int]]]) -> None:
    frames = np.arange(40)
    together = ShownFrames(len(recordings))
    order = np.random.default_rng(len(recordings)).permutation(len(recordings))
    for session in order:
        codes = codes_of(recordings[session])
        np.testing.assert_array_equal(codes.at(frames), painted(recordings[session], 40))
        assert (codes.start[1:] >= codes.stop[:-1]).all()
        assert together.missing(np.array([session, session])) == [session]
        together.add(int(session), codes)
        assert together.missing(np.array([session])) == []
    sessions = np.arange(len(recordings))
    found = together.at(sessions, np.broadcast_to(frames, (len(sessions), 40)))
    np.testing.assert_array_equal(found, [painted(rows, 40) for rows in recordings])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=5
    ),
    st.integers(1, 4),
    st.lists(st.integers(0, 40), min_size=2, max_size=8),
)
def test_windows_are_counted_by_the_epochs_they_reach_into(
    rows: list[tuple[int, int, int, int]], hop: int, cuts: list[int]
) -> None:
    edges = sorted(set(cuts))
    spans = [(f"{n % 3}", a, b) for n, (a, b) in enumerate(pairwise(edges)) if n % 4 != 3]
    table = [(key, *span) for key in ("x", "y", "elsewhere") for span in spans]
    epochs = pd.DataFrame(table, columns=["session_id", "stimulus", "start_frame", "stop_frame"])
    view = SimpleNamespace(store=SimpleNamespace(epochs=epochs))
    session, first, count, length = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    index = SimpleNamespace(
        session_ids=("x", "y"), session_index=session, first=first, count=count, length=length, hop_frames=hop
    )
    expected: dict[str, int] = {}
    for _, start, number, frames in rows:
        for k in range(number):
            low = start + k * hop
            for stimulus, a, b in spans:
                if low < b and a < low + frames:
                    expected[stimulus] = expected.get(stimulus, 0) + 1
    assert windows_by_stimulus(view, index) == expected


@pytest.mark.parametrize("n_presentations", [0, 9_000])
def test_the_memory_of_a_recording_is_twelve_bytes_a_presentation(n_presentations: int) -> None:
    start = np.arange(n_presentations, dtype=np.int64)
    codes = FrameCodes.of_presentations(start, start + 1, (start % 900).astype(np.int32))
    assert codes.start.nbytes + codes.stop.nbytes + codes.code.nbytes == 12 * n_presentations
