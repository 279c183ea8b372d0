"""Known facts of the real recording."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats

from poyodata.sources import SessionRecord, open_source


@pytest.fixture(scope="module")
def record(real_recording: Path) -> SessionRecord:
    return next(iter(open_source(real_recording)))


def test_shape_and_segments(record: SessionRecord) -> None:
    assert (record.n_neurons, record.n_frames, len(record.segments)) == (254, 56_848, 6)
    assert record.segments[:, 1].tolist() == [10501, 18106, 34942, 36210, 43181, 56848]
    assert record.rate_hz == pytest.approx(30.1)


def test_gaps_are_in_time(record: SessionRecord) -> None:
    jumps = record.time_s[record.segments[1:, 0]] - record.time_s[record.segments[:-1, 1] - 1] - 1 / 30.1
    assert jumps == pytest.approx([1.0, (48712 - 18810) / 30.1, 1.0, (94878 - 66786) / 30.1, 1.0])


def test_628_sweeps_in_three_epochs(record: SessionRecord) -> None:
    table = record.presentations
    assert table["trial"].tolist() == list(range(628))
    assert int(table["blank"].sum()) == 29
    assert table.groupby("epoch")["trial"].agg(["min", "max"]).to_numpy().tolist() == [[0, 199], [200, 399], [400, 627]]


def test_metadata(record: SessionRecord) -> None:
    meta = record.metadata
    assert (meta.session_id, meta.donor_id, meta.container_id) == ("527745328", "244896", "527550471")
    assert (meta.cre_line, meta.area, meta.depth_um) == ("Cux2-CreERT2", "VISp", 275.0)


def test_every_block_is_the_file_transposed(record: SessionRecord, real_recording: Path) -> None:
    with h5py.File(real_recording / "dff_dg_continuous.h5") as file:
        stored = file["dff"][()]
    start = 0
    for block in record.blocks(1024):
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, stored[:, start : start + len(block)].T.astype(np.float32))
        start += len(block)
    assert start == 56_848


def test_predictable_neurons(record: SessionRecord) -> None:
    dff = record.read_traces(0, record.n_frames).astype(np.float64)
    skewness, kurtosis = stats.skew(dff, axis=0), stats.kurtosis(dff, axis=0)
    low = (skewness <= 3.51) & (kurtosis <= 22.62)
    high = (skewness > 3.51) & (kurtosis > 22.62)
    assert (low.sum(), high.sum(), (~low & ~high).sum()) == (111, 105, 38)


def test_twin_has_the_layout_of_the_real_file(real_recording: Path, twin_path: Path) -> None:
    def layout(path: Path) -> tuple[dict[str, str], set[str]]:
        found: dict[str, str] = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({name: str(item.dtype)}) if isinstance(item, h5py.Dataset) else None
            )
            return found, set(file.attrs)

    assert layout(twin_path) == layout(real_recording / "dff_dg_continuous.h5")
