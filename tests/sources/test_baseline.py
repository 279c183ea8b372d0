from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter1d, minimum_filter1d

from poyodata.sources import baseline as module
from poyodata.sources.baseline import Baseline, BaselineDff, CorrectedFluorescence
from poyodata.sources.recording_mapping import DffMapping

RATE_HZ = 30.0


@pytest.fixture(scope="module")
def fluorescence() -> tuple[np.ndarray, np.ndarray]:
    """Fluorescence and neuropil, (time, neuron), longer than the filters reach."""
    rng = np.random.default_rng(1)
    drift = np.linspace(0.0, 20.0, 9000)[:, None]
    cells = (rng.gamma(2.0, 10.0, (9000, 5)) + 60.0 + drift).astype(np.float32)
    return cells, (rng.gamma(2.0, 4.0, (9000, 5)) + 10.0).astype(np.float32)


def whole(cells: np.ndarray, around: np.ndarray, baseline: Baseline) -> np.ndarray:
    """dF/F of whole traces at once, written down as suite2p's preprocessing is: (neuron, time)."""
    corrected = (cells - np.float32(baseline.neucoeff) * around).T
    window = int(baseline.win_baseline_s * RATE_HZ)
    floor: Any
    if baseline.baseline == "maximin":
        floor = gaussian_filter(corrected, [0.0, baseline.sig_baseline_frames])
        floor = maximum_filter1d(minimum_filter1d(floor, window), window)
    elif baseline.baseline == "prctile":
        floor = np.percentile(corrected, baseline.prctile_baseline, axis=1)[:, None].astype(np.float32)
    else:
        floor = gaussian_filter(corrected, [0.0, baseline.sig_baseline_frames]).min(axis=1)[:, None]
    return ((corrected - floor) / floor).T


@pytest.mark.parametrize("kind", ["maximin", "prctile", "constant"])
@pytest.mark.parametrize("stretch_bytes", [60_000, 48_000_000])
def test_blocks_are_those_of_whole_traces(
    kind: Any, stretch_bytes: int, fluorescence: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BYTES", stretch_bytes)
    cells, around = fluorescence
    baseline = Baseline(baseline=kind, win_baseline_s=20.0)
    expected = whole(cells, around, baseline)
    corrected = CorrectedFluorescence(lambda a, b: cells[a:b], lambda a, b: around[a:b], baseline.neucoeff)
    dff = BaselineDff(corrected, cells.shape, RATE_HZ, baseline)
    blocks = [dff(start, min(start + 1024, 9000)) for start in range(0, 9000, 1024)]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    np.testing.assert_array_equal(dff(4000, 4003), expected[4000:4003])
    np.testing.assert_array_equal(dff(10, 12), expected[10:12])
    assert blocks[0].dtype == np.float32


def test_no_more_is_read_than_the_filters_need(
    fluorescence: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BYTES", 60_000)
    cells, _ = fluorescence
    longest = 0

    def read(start: int, stop: int) -> np.ndarray:
        nonlocal longest
        longest = max(longest, stop - start)
        return cells[start:stop]

    dff = BaselineDff(read, cells.shape, RATE_HZ, Baseline(win_baseline_s=10.0))
    for start in range(0, 9000, 500):
        dff(start, start + 500)
    assert longest * 5 * 4 <= 60_000


def test_nothing_below_the_baseline_is_divided() -> None:
    cells = np.array([[1.0, -1.0]] * 50, np.float32)
    dff = BaselineDff(lambda a, b: cells[a:b], (50, 2), RATE_HZ, Baseline(baseline="prctile"))(0, 50)
    assert (dff[:, 0] == 0.0).all()
    assert np.isnan(dff[:, 1]).all()


def test_mapping_goes_before_what_is_usual() -> None:
    changed = Baseline().replaced(DffMapping(neucoeff=0.5, baseline="prctile"))
    assert changed == Baseline(neucoeff=0.5, baseline="prctile", prctile_baseline=8.0)
