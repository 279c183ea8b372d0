"""Memory of ingest is bounded by blocks: ten times the recording is not ten times the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.made_nwb import write_made_nwb
from tests.benchmarks.own_process import in_own_process

N_NEURONS = 200

INGEST = """
from pathlib import Path
from poyodata.ingest import ingest
from poyodata.store import open_store

ingest([Path(sys.argv[1])], Path(sys.argv[2]), workers=1)
peak = peak_mb()
store = open_store(sys.argv[2])
say(peak=peak, shape=store.traces(store.session_ids[0]).shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_frames", "most_mb"), [(115_000, 400), (1_150_000, 600)], ids=["92 MB", "ten times as long"]
)
def test_peak_of_the_whole_process(n_frames: int, most_mb: float, tmp_path: Path) -> None:
    source = write_made_nwb(tmp_path / "made.nwb", n_frames, N_NEURONS)
    answer = in_own_process(INGEST, source, tmp_path / "made.zarr")
    assert answer["shape"] == [n_frames, N_NEURONS]
    assert answer["peak"] < most_mb
