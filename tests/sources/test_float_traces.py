"""Traces out of plain files: the right numbers whichever way they lie, floats alone, and little memory."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.io import savemat

from poyodata.errors import SourceError
from poyodata.sources.containers import open_container
from poyodata.sources.float_traces import FilePlace
from poyodata.sources.suite2p import JoinedTraces

same = np.testing.assert_array_equal

N_NEURONS, N_FRAMES = 48, 60_000
DFF = np.random.default_rng(0).standard_normal((N_NEURONS, N_FRAMES), dtype=np.float32)


def resident_bytes(path: Path) -> int:
    """What of a file is mapped and counts as memory of this process."""
    found, name = 0, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.split(maxsplit=5)[-1]
        elif line.startswith("Rss:") and name == str(path):
            found += int(line.split()[1]) * 1024
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc for the memory of a mapped file")
@pytest.mark.parametrize("time_axis", [1, 0], ids=["neuron-time", "time-neuron"])
@pytest.mark.parametrize("kind", ["npy", "mat", "suite2p"])
def test_reading_a_long_recording_keeps_no_pages_of_it(kind: str, time_axis: int, tmp_path: Path) -> None:
    path = tmp_path / ("dff.mat" if kind == "mat" else "dff.npy")
    values = DFF if time_axis == 1 else DFF.T
    if kind == "mat":
        savemat(path, {"dff": values})
        traces = open_container(path).traces("dff", time_axis)
    else:
        np.save(path, np.ascontiguousarray(values) if kind == "npy" else DFF)
        traces = (
            JoinedTraces([path], [DFF.shape]) if kind == "suite2p" else open_container(path).traces("dff", time_axis)
        )
    for start in range(0, N_FRAMES, 4096):
        same(traces(start, min(start + 4096, N_FRAMES)), DFF[:, start : start + 4096].T)
        assert resident_bytes(path) < path.stat().st_size / 5
    if isinstance(traces, JoinedTraces):
        same(traces.of_neurons(5, 40), DFF[5:40])
        assert resident_bytes(path) < path.stat().st_size / 5


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("time_axis", [0, 1])
def test_any_order_and_dtype(dtype: str, order: str, time_axis: int, tmp_path: Path) -> None:
    values = np.array(np.random.default_rng(1).normal(size=(5, 30)), dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "dff.npy", values)
    traces = open_container(tmp_path / "dff.npy").traces("dff", time_axis)
    expected = (values.T if time_axis else values).astype(np.float32)
    for start, stop in ((0, 1), (2, 5), (0, len(expected)), (3, 3)):
        block = traces(start, stop)
        same(block, expected[start:stop])
        assert (block.dtype, block.flags.c_contiguous) == (np.float32, True)
    same(pickle.loads(pickle.dumps(traces))(1, 4), expected[1:4])  # noqa: S301 - our own


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    np.save(tmp_path / "dff.npy", DFF[:, :50])
    place = FilePlace.of(tmp_path / "dff.npy", np.load(tmp_path / "dff.npy", mmap_mode="r"))
    assert place is not None
    np.save(tmp_path / "dff.npy", DFF[:3, :50])
    with pytest.raises(SourceError, match="has become shorter"):
        place.read(1, slice(0, 10))


@pytest.mark.parametrize("values", [DFF[:, :9].astype("i2"), DFF[:, :9] > 0], ids=["int16", "bool"])
@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "h5", "xarray"])
def test_whole_numbers_are_no_traces(kind: str, values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"dff.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        np.savez(path, dff=values)
    elif kind == "mat":
        savemat(path, {"dff": values})
    elif kind == "h5":
        import h5py

        with h5py.File(path, "w") as file:
            file["dff"] = values
    container = open_container(xr.DataArray(values, name="dff") if kind == "xarray" else path)
    with pytest.raises(SourceError, match=r"'dff' holds u?(int|bool)\d* values; traces are float16, float32"):
        container.traces("dff", 1)


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "plain"])
def test_numbers_beyond_float32_are_infinite(compressed: bool, tmp_path: Path) -> None:
    savemat(tmp_path / "one.mat", {"dff": np.array([[1.0, 1e300], [2.0, -1e300]])}, do_compression=compressed)
    same(open_container(tmp_path / "one.mat").traces("dff", 1)(0, 2), [[1.0, 2.0], [np.inf, -np.inf]])
