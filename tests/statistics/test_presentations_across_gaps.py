"""A presentation that begins before a gap of the imaging and ends after it is stored, and no statistic sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poyodata.statistics.pieces import cut_pieces
from poyodata.statistics.registry import find_statistics
from poyodata.statistics.seen import Seen
from poyodata.store import StoreWriter, open_store
from tests.store.conftest import make_record


def test_it_comes_in_and_is_no_trial(tmp_path):
    record = make_record("a")
    middle = int(record.presentations[["start_frame", "stop_frame"]].iloc[2].mean())
    time_s = np.array(record.time_s)
    time_s[middle:] += 60.0
    segments = np.array([[0, middle], [middle, len(time_s)]], np.int64)
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(replace(record, segments=segments, time_s=time_s))
    store = open_store(tmp_path / "s.zarr")
    assert len(store.presentations) == 12
    (statistic,) = (one for one in find_statistics() if one.name == "fisher_direction")
    (piece,) = cut_pieces(store, ["a"], None, [statistic], bounds=False)
    trials = [one.trials for one in Seen(store, piece).stretches(statistic)]
    shown = [own.loc[own["stimulus"] == "drifting_gratings", "trial"].tolist() for own in trials]
    assert shown == [[0, 1], [3, 4, 5]]
