"""What holds of every way in: a recording goes into a store, and no damaged file gives anything but one clear error."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from poyodata.errors import PoyodataError, SourceError
from poyodata.ingest import ingest
from poyodata.sources import SourceFile, find_sources
from poyodata.store import open_store
from tests.sources import test_matlab, test_nwb2, test_suite2p, test_torch_brain


def _nwb2(folder: Path) -> Path:
    test_nwb2.plain_nwb2(folder / "one.nwb")
    (folder / "mapping.yaml").write_text("{mapping: 1, source: nwb2, metadata: {container_id: c1}}")
    return folder / "one.nwb"


def _torch_brain(folder: Path) -> Path:
    (folder / "mapping.yaml").write_text("{mapping: 1, source: torch-brain, metadata: {donor_id: m1}}")
    return test_torch_brain.written(folder / "501.h5")[0]


def _suite2p(folder: Path) -> Path:
    test_suite2p.written(folder)
    (folder / "mapping.yaml").write_text(test_suite2p.YAML.split("um_per_px")[0])
    return folder


def _matlab_v5(folder: Path) -> Path:
    (folder / "mapping.yaml").write_text(test_matlab.MAPPING)
    return test_matlab.write_v5(folder / "one.mat", test_matlab.CONTENT)


def _matlab_v73(folder: Path) -> Path:
    (folder / "mapping.yaml").write_text(test_matlab.MAPPING)
    return test_matlab.write_v73(folder / "one.mat", test_matlab.CONTENT)


Write = Callable[[Path], Path]
WAYS_IN = [
    pytest.param(_nwb2, "nwb2", id="nwb2"),
    pytest.param(_torch_brain, "torch-brain", id="torch-brain"),
    pytest.param(_suite2p, "suite2p", id="suite2p"),
    pytest.param(_matlab_v5, "arrays", id="matlab-v5"),
    pytest.param(_matlab_v73, "arrays", id="matlab-v7.3"),
]


@pytest.mark.parametrize(("write", "kind"), WAYS_IN)
def test_recording_goes_into_a_store(write: Write, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    folder.mkdir()
    write(folder)
    (found,) = find_sources(folder)
    assert found.kind == kind
    table = ingest([folder], tmp_path / "store.zarr", traces=["all"])
    assert table["status"].tolist() == ["added"]
    record, store = found.open(), open_store(tmp_path / "store.zarr")
    session = store[record.metadata.session_id]
    np.testing.assert_array_equal(session["dff"].values, record.read_traces(0, record.n_frames))
    np.testing.assert_array_equal(session["time"].values, record.time_s)
    assert store.sessions["donor_id"].tolist() == [record.metadata.donor_id]
    for name, read in record.further.items():
        np.testing.assert_array_equal(session[name].values, read(0, record.n_frames))


@pytest.mark.parametrize(("write", "kind"), WAYS_IN)
def test_found_recording_travels_to_another_process(write: Write, kind: str, tmp_path: Path) -> None:
    write(tmp_path)
    (found,) = find_sources(tmp_path)
    copy: SourceFile = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert (copy.path, copy.kind, repr(copy.mapping)) == (found.path, found.kind, repr(found.mapping))
    record = copy.open()
    reader = pickle.loads(pickle.dumps(record.read_traces))  # noqa: S301 - our own
    np.testing.assert_array_equal(reader(5, 30), record.read_traces(5, 30))


def _read(found: SourceFile) -> None:
    """Read all that an ingest reads."""
    record = found.open()
    for start in range(0, record.n_frames, 256):
        record.read_traces(start, min(start + 256, record.n_frames))
    for read in record.further.values():
        read(0, record.n_frames)
    for frames in record.templates.values():
        np.asarray(frames())


@pytest.mark.parametrize(("write", "kind"), WAYS_IN)
def test_file_cut_short(write: Write, kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole)
    rng = np.random.default_rng(3)
    files = [file for file in sorted(whole.rglob("*")) if file.is_file() and file.name != "mapping.yaml"]
    for number in range(25):
        folder = tmp_path / f"cut{number}"
        shutil.copytree(whole, folder)
        victim = folder / files[number % len(files)].relative_to(whole)
        victim.write_bytes(victim.read_bytes()[: int(rng.integers(0, victim.stat().st_size))])
        place = folder if kind == "suite2p" else victim
        with pytest.raises(PoyodataError, match=re.escape(place.name if kind == "suite2p" else victim.name)):
            _read(find_sources(place, kind)[0])


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # numbers may have become larger than float32 has
@pytest.mark.parametrize(("write", "kind"), WAYS_IN)
def test_file_with_damaged_bytes(write: Write, kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole)
    rng = np.random.default_rng(4)
    files = [file for file in sorted(whole.rglob("*")) if file.is_file() and file.name != "mapping.yaml"]
    refused = 0
    for number in range(20):
        victim = files[number % len(files)]
        content = victim.read_bytes()
        damaged = bytearray(content)
        # Where files keep their structure: at their start, more than among the numbers.
        for place in rng.integers(0, min(len(content), 6000), 4):
            damaged[place] = rng.integers(0, 256)
        victim.write_bytes(damaged)
        try:
            _read(find_sources(whole if kind == "suite2p" else victim, kind)[0])
        except PoyodataError:
            refused += 1
        finally:
            victim.write_bytes(content)
    assert refused > 2


@pytest.mark.parametrize(
    ("write", "other"),
    [
        pytest.param(write, other, id=f"{write.__name__.strip('_')}-as-{other}")
        for write, kind in ((_nwb2, "nwb2"), (_torch_brain, "torch-brain"), (_matlab_v5, ""), (_matlab_v73, ""))
        for other in ("allen-nwb", "nwb2", "torch-brain")
        if other != kind
    ],
)
def test_file_read_as_another_kind(write: Write, other: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "mapping.yaml").unlink()
    with pytest.raises(SourceError, match=path.name):
        find_sources(path, other)[0].open()
