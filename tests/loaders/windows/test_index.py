"""`WindowIndex`: rows of windows, and where each window lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.windows import WindowIndex


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def make_index(*rows: tuple[int, int, int], n_frames: int = 10, hop: int = 10, random: bool = False) -> WindowIndex:
    """Rows are (recording, start, stop) of stretches."""
    session, start, stop = (ints(*column) for column in zip(*rows, strict=True))
    spare = stop - start - n_frames
    count = spare // hop + 1
    return WindowIndex(
        session_ids=("a", "b", "c"),
        session_index=session,
        first=start,
        count=count,
        length=np.full(len(rows), n_frames),
        low=start,
        high=start + spare,
        source=np.arange(len(rows)),
        hop_frames=hop,
        slack=np.where(count > 1, hop - 1, spare) if random else np.zeros_like(spare),
    )


def test_windows_are_numbered_through_the_rows() -> None:
    index = make_index((0, 100, 135), (0, 200, 210), (2, 0, 25))
    at = index.locate(np.arange(len(index)))
    assert len(index) == 6 and index.n_rows == 3 and index.n_frames == 10
    assert at.row.tolist() == [0, 0, 0, 1, 2, 2]
    assert at.session_index.tolist() == [0, 0, 0, 0, 2, 2]
    assert at.start.tolist() == [100, 110, 120, 200, 0, 10]
    assert at.length.tolist() == [10] * 6 and len(at) == 6


def test_any_order_and_repeats_are_located() -> None:
    index = make_index((0, 100, 135), (0, 200, 210), (2, 0, 25))
    assert index.locate(ints(5, 0, 5, 3)).start.tolist() == [10, 100, 10, 200]
    assert len(index.locate(ints())) == 0


@pytest.mark.parametrize("windows", [[-1], [6], [0, 99]])
def test_a_window_that_is_not_there_is_refused(windows: list[int]) -> None:
    with pytest.raises(LoaderError, match="numbered 0 to 5"):
        make_index((0, 100, 135), (0, 200, 210), (2, 0, 25)).locate(ints(*windows))


def test_windows_of_different_lengths_have_no_one_length() -> None:
    index = make_index((0, 0, 10), (1, 0, 10))
    object.__setattr__(index, "length", ints(10, 25))
    with pytest.raises(LoaderError, match=r"10 to 25 frames.*batch_size=1"):
        _ = index.n_frames


def test_rows_that_go_are_counted_by_their_windows_and_reason() -> None:
    index = make_index((0, 100, 135), (0, 200, 210), (2, 0, 25))
    kept = index.keep(np.array([False, True, True]), "too dark").keep(np.array([True, False]), "too dark")
    assert kept.dropped == {"too dark": 5} and len(kept) == 1
    assert kept.locate(ints(0)).start.tolist() == [200]
    assert index.keep(np.ones(3, bool), "too dark").dropped == {}


STRETCHES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(1, 90)), min_size=1, max_size=4)


@given(rows=STRETCHES, n_frames=st.integers(1, 20), hop=st.integers(1, 30), seed=st.integers(0, 99))
def test_phases_keep_every_window_within_its_stretch_and_apart(
    rows: list[tuple[int, int, int]], n_frames: int, hop: int, seed: int
) -> None:
    stretches = [(session, start, start + n_frames - 1 + more) for session, start, more in rows]
    index = make_index(*stretches, n_frames=n_frames, hop=hop, random=True)
    for epoch in range(3):
        moved = index.at_epoch(seed, epoch)
        assert len(moved) == len(index)
        at = moved.locate(np.arange(len(moved)))
        for row, (_, start, stop) in enumerate(stretches):
            starts = at.start[at.row == row]
            assert (starts >= start).all() and (starts + n_frames <= stop).all()
            step = np.diff(starts)
            assert (step > 0).all() and (step <= hop).all()
            # Nothing but a first or last window flush with the border comes closer than a hop.
            assert (step[1:-1] == hop).all() and (step < hop).sum() <= 1
            if len(step) and step[0] < hop and len(step) > 1:
                assert starts[0] == start
        assert moved.at_epoch(seed, epoch).locate(np.arange(len(moved))).start.tolist() == at.start.tolist()


@pytest.mark.parametrize("stop", [30, 34, 39], ids=["no-room-to-spare", "some", "nearly-another-window"])
def test_every_phase_is_as_likely_and_every_frame_is_read(stop: int) -> None:
    index = make_index(*[(0, 0, stop)] * 500, random=True)
    phases, seen = np.zeros(10, int), np.zeros(stop, int)
    for epoch in range(8):
        at = index.at_epoch(3, epoch).locate(np.arange(len(index)))
        starts = at.start.reshape(500, 3)
        # The window in the middle is never at a border.
        phases += np.bincount(starts[:, 1] % 10, minlength=10)
        for frame in range(10):
            seen += np.bincount(at.start + frame, minlength=stop)
    assert ((phases - 400) ** 2 / 400).sum() < 9 + 6 * np.sqrt(18)
    assert seen.min() > 0.1 * seen.max()
    assert abs(seen - seen[::-1]).max() < 0.1 * seen.max(), "no end of a stretch is read more often than the other"


def test_phases_change_with_seed_epoch_and_row() -> None:
    index = make_index(*[(0, 0, 39)] * 40, random=True)
    first = index.at_epoch(0, 0).first
    assert len(set(first.tolist())) > 5
    assert (index.at_epoch(0, 1).first != first).any() and (index.at_epoch(1, 0).first != first).any()


def test_known_phases() -> None:
    """Written down, as orders are."""
    index = make_index((0, 0, 39), (0, 100, 121), (1, 7, 19), (2, 0, 500), random=True)
    assert index.at_epoch(0, 0).first.tolist() == [8, 105, 7, 9]
    assert index.at_epoch(5, 12).first.tolist() == [9, 101, 7, 9]


def test_without_slack_epochs_are_the_same() -> None:
    index = make_index((0, 0, 39))
    assert index.at_epoch(0, 7) is index
