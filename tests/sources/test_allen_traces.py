from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.simulation.recording import SimulatedSession
from poyodata.sources import SessionRecord, read_allen_nwb
from poyodata.sources.allen_traces import find_traces
from tests.sources.conftest import Change

FLUORESCENCE = "processing/brain_observatory_pipeline/Fluorescence"
RAW, DEMIXED = f"{FLUORESCENCE}/imaging_plane_1", f"{FLUORESCENCE}/imaging_plane_1_demixed_signal"
NEUROPIL = f"{FLUORESCENCE}/imaging_plane_1_neuropil_response"
ALL = ["raw", "neuropil", "demixed", "corrected"]


def whole(record: SessionRecord, name: str, rows: int = 97) -> np.ndarray:
    blocks = list(record.blocks(rows, name))
    assert all(block.dtype == np.float32 for block in blocks)
    return np.concatenate(blocks).T


def allensdk_corrected(file: h5py.File, cells: str, neuropil: str, r: str) -> np.ndarray:
    """As its get_corrected_fluorescence_traces computes it, on whole arrays in the dtypes of the file."""
    return file[cells][()] - file[neuropil][()] * file[r][()][:, np.newaxis]


def old_pipeline(version: bytes | None) -> Change:
    """Bring a file to what pipelines before 2.0 wrote."""

    def change(file: h5py.File) -> None:
        file.move(f"{NEUROPIL}/data", f"{RAW}/neuropil_traces")
        file.move(f"{NEUROPIL}/r", f"{RAW}/r")
        del file[NEUROPIL], file[DEMIXED], file["general/generated_by"]
        if version is not None:
            file["general/generated_by"] = np.array([b"pipeline", b"cam", b"version", version])

    return change


@pytest.mark.parametrize("session_type", ["A", "B", "C", "C2"])
def test_every_array_is_the_files(session_type: str, made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    session, path = made(session_type)
    record = read_allen_nwb(path)
    assert list(record.further) == ALL
    with h5py.File(path) as file:
        for name, group in (("raw", RAW), ("neuropil", NEUROPIL), ("demixed", DEMIXED)):
            np.testing.assert_array_equal(whole(record, name), file[f"{group}/data"][()])
        exact = allensdk_corrected(file, f"{DEMIXED}/data", f"{NEUROPIL}/data", f"{NEUROPIL}/r")
    assert exact.dtype == np.float64
    np.testing.assert_array_equal(whole(record, "corrected"), exact.astype(np.float32))
    np.testing.assert_array_equal(record.neurons["neuropil_r"], session.fluorescence.neuropil_r)


@pytest.mark.parametrize(
    ("cells", "neuropil", "r"),
    [
        ("float32", "float32", "float64"),
        ("float32", "float32", "float32"),
        ("float64", "float32", "float64"),
        ("uint16", "float32", "float64"),
        ("uint16", "uint16", "float32"),
        ("float32", "float64", "float32"),
    ],
)
def test_corrected_in_the_dtypes_of_the_file(cells: str, neuropil: str, r: str, edited: Callable[..., Path]) -> None:
    places = {f"{DEMIXED}/data": cells, f"{NEUROPIL}/data": neuropil, f"{NEUROPIL}/r": r}

    def cast(file: h5py.File) -> None:
        for name, dtype in places.items():
            values = file[name][()]
            del file[name]
            file[name] = values.astype(dtype)

    path = edited(cast)
    with h5py.File(path) as file:
        exact = allensdk_corrected(file, *places)
    np.testing.assert_array_equal(whole(read_allen_nwb(path), "corrected"), exact.astype(np.float32))


@pytest.mark.parametrize("version", [b"1.0", b"0.9", None])
def test_early_pipelines(version: bytes | None, edited: Callable[..., Path]) -> None:
    path = edited(old_pipeline(version))
    record = read_allen_nwb(path)
    assert list(record.further) == ["raw", "neuropil", "corrected"]
    with h5py.File(path) as file:
        exact = allensdk_corrected(file, f"{RAW}/data", f"{RAW}/neuropil_traces", f"{RAW}/r")
        np.testing.assert_array_equal(whole(record, "neuropil"), file[f"{RAW}/neuropil_traces"][()])
        np.testing.assert_array_equal(record.neurons["neuropil_r"], file[f"{RAW}/r"][()])
    np.testing.assert_array_equal(whole(record, "corrected"), exact.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "left"),
    [
        pytest.param(FLUORESCENCE, [], id="no_fluorescence"),
        pytest.param(DEMIXED, ["raw", "neuropil"], id="no_demixed"),
        pytest.param(NEUROPIL, ["raw", "demixed"], id="no_neuropil"),
        pytest.param(f"{NEUROPIL}/r", ["raw", "neuropil", "demixed"], id="no_ratio"),
        pytest.param(f"{RAW}/data", ["neuropil", "demixed", "corrected"], id="no_raw"),
    ],
)
def test_what_is_missing_is_left_out(name: str, left: list[str], edited: Callable[..., Path]) -> None:
    def remove(file: h5py.File) -> None:
        del file[name]

    record = read_allen_nwb(edited(remove))
    assert list(record.further) == left
    assert ("neuropil_r" in record.neurons) == (name not in (FLUORESCENCE, NEUROPIL, f"{NEUROPIL}/r"))
    assert record.read_traces(0, 5).shape == (5, 4)


def test_traces_of_another_shape_are_refused_when_they_are_read(edited: Callable[..., Path]) -> None:
    def cut(file: h5py.File) -> None:
        values = file[f"{DEMIXED}/data"][:, :-1]
        del file[f"{DEMIXED}/data"]
        file[f"{DEMIXED}/data"] = values

    record = read_allen_nwb(edited(cut))
    assert record.further["raw"](0, 5).shape == (5, 4)
    for name in ("demixed", "corrected"):
        with pytest.raises(
            SourceError, match=r"edited.nwb: .*demixed_signal/data has shape \(4, 599\) and dF/F \(4, 600\)"
        ):
            record.further[name](0, 5)


def test_traces_of_another_clock_are_refused_when_they_are_read(edited: Callable[..., Path]) -> None:
    def shift(file: h5py.File) -> None:
        file[f"{RAW}/timestamps"][...] += 0.01

    record = read_allen_nwb(edited(shift))
    for name in ALL:
        with pytest.raises(SourceError, match="differs from the timestamps of dF/F"):
            record.further[name](0, 5)


def test_readers_travel_to_another_process(made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    record = read_allen_nwb(made("A")[1])
    for name in ALL:
        first = record.further[name](0, 10)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(record)).further[name](0, 10), first)  # noqa: S301


def test_memory_stays_at_a_few_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, count, frames = tmp_path / "big.nwb", 50, 40_000
    monkeypatch.setattr("poyodata.sources.hdf5_arrays._AHEAD_BYTES", 2 * 1024 * count * 4)
    with h5py.File(path, "w") as file:
        for group in (RAW, DEMIXED, NEUROPIL, "processing/brain_observatory_pipeline/DfOverF/imaging_plane_1"):
            file.create_dataset(f"{group}/data", (count, frames), "f4", fillvalue=1)
        file[f"{NEUROPIL}/r"] = np.full(count, 0.5)
        file["general/generated_by"] = np.array([b"version", b"3.0"])
        read = find_traces(file, path, "processing/brain_observatory_pipeline")["corrected"]
    tracemalloc.start()
    try:
        for start in range(0, frames, 1024):
            block = read(start, min(start + 1024, frames))
            assert (block == 0.5).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 1024 * count * 4
