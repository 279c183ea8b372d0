from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import Hdf5Frames, Hdf5Traces, holds, text_of, texts_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames/data"] = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/inner"] = 1
        file["soft"] = h5py.SoftLink("/group")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["far"] = h5py.ExternalLink("other.h5", "/frames")
        file["gone"] = h5py.ExternalLink("gone.h5", "/frames")
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/films")
    return tmp_path / "a.h5"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("group", True),
        ("group/inner", True),
        ("group/other", False),
        ("grou/inner", False),
        ("soft/inner", True),
        ("dangling", False),
        ("dangling/inner", False),
        ("far", True),
        ("far/data", True),
        ("far/other", False),
    ],
)
def test_holds(name: str, there: bool, path: Path) -> None:
    with h5py.File(path) as file:
        assert holds(file, name) is there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("gone", r"gone lies in another file, gone.h5, which is not there; put .*gone.h5", id="no_file"),
        pytest.param("gone/data", r"gone lies in another file, gone.h5", id="no_file_further_down"),
        pytest.param("elsewhere", r"other.h5, which has no '/films'", id="no_such_group"),
    ],
)
def test_a_broken_link_is_not_merely_missing(name: str, message: str, path: Path) -> None:
    with h5py.File(path) as file, pytest.raises(SourceError, match=message):
        holds(file, name)


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"a", "a"), ("a", "a"), (np.bytes_(b"a"), "a"), (np.array([b"a", b"b"]), "a"), (np.array([]), "")],
)
def test_text_of(value: object, text: str) -> None:
    assert text_of(value) == text


def test_texts_of_every_kind(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["fixed"] = np.array([b"a", b""])
        file["variable"] = ["a", ""]
        file["one"] = "a"
        assert texts_of(file["fixed"]) == texts_of(file["variable"]) == ["a", ""]
        assert texts_of(file["one"]) == ["a"]


def test_frames_are_read_as_they_are_sliced(path: Path) -> None:
    frames = pickle.loads(pickle.dumps(Hdf5Frames(path, "far/data")))  # noqa: S301 - our own
    whole = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert (len(frames), frames.shape, frames.dtype) == (2, (2, 3, 4), np.uint8)
    np.testing.assert_array_equal(frames[1:2], whole[1:])
    np.testing.assert_array_equal(np.asarray(frames), whole)
    (path.parent / "other.h5").unlink()
    with pytest.raises(SourceError, match="'far/data' cannot be read"):
        frames[0:1]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", ">i4"])
def test_frames_of_other_dtypes(dtype: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.array([[[0, 127], [128, 255]]], dtype)
    read = np.asarray(Hdf5Frames(tmp_path / "f.h5", "x"))
    assert read.dtype == np.uint8
    assert read.tolist() == [[[0, 127], [128, 255]]]


@pytest.mark.parametrize("value", [256, -1, 0.5, np.nan])
def test_frames_no_screen_shows(value: float, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.array([[[value]]])
    with pytest.raises(SourceError, match="whole numbers from 0 to 255 were expected"):
        Hdf5Frames(tmp_path / "f.h5", "x")[:]


def test_frames_have_three_axes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.zeros((2, 2), np.uint8)
    with pytest.raises(SourceError, match=r"has shape \(2, 2\); \(frame, height, width\) was expected"):
        Hdf5Frames(tmp_path / "f.h5", "x")


@pytest.mark.parametrize("time_axis", [0, 1])
def test_stored_traces_keep_their_dtype(time_axis: int, tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.uint16).reshape(10, 2)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = values if time_axis == 0 else values.T
    read = Hdf5Traces(tmp_path / "t.h5", "x", time_axis)
    assert read.stored(2, 5).dtype == np.uint16
    assert read(2, 5).dtype == np.float32
    np.testing.assert_array_equal(read.stored(2, 5), values[2:5])


def test_the_last_block_closes_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = np.arange(20.0).reshape(2, 10)
    read = Hdf5Traces(tmp_path / "t.h5", "x", 1)
    read(0, 5)
    assert read._file is not None
    read(5, 10)
    assert read._file is None
    assert read(0, 1).tolist() == [[0.0, 10.0]]
