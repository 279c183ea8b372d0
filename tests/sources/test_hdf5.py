from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import (
    as_int64,
    file_digest,
    holds,
    text_of,
    texts_of,
    values_of,
)
from poyodata.sources.hdf5_arrays import Hdf5Frames, Hdf5Traces


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
        assert texts_of(file, "fixed") == texts_of(file, "variable") == ["a", ""]
        assert texts_of(file, "one") == ["a"]


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


@pytest.mark.parametrize("chunks", [None, 7, 40], ids=["contiguous", "small_chunks", "chunk_a_neuron"])
@pytest.mark.parametrize("n_neurons", [1, 3])
@pytest.mark.parametrize("ahead_frames", [1, 10, 1000], ids=["no_more_than_asked", "some_blocks", "all"])
def test_reading_ahead_changes_no_value(
    chunks: int | None,
    n_neurons: int,
    ahead_frames: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("poyodata.sources.hdf5_arrays._AHEAD_BYTES", 4 * n_neurons * ahead_frames)
    values = np.arange(40 * n_neurons, dtype=np.float32).reshape(n_neurons, 40)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=None if chunks is None else (1, chunks))
    read = Hdf5Traces(tmp_path / "t.h5", "x", 1)
    # In order, back, over what was read ahead, nothing, beyond the end, and in order again.
    asked = [(0, 4), (4, 8), (8, 16), (2, 6), (6, 6), (6, 30), (29, 31), (33, 60), (0, 10), (10, 40)]
    blocks = [read(*frames) for frames in asked]
    for (start, stop), block in zip(asked, blocks, strict=True):
        np.testing.assert_array_equal(block, values.T[start:stop])
        assert block.flags.c_contiguous


def test_what_was_read_ahead_is_no_more_than_a_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = np.zeros((2, 100))
    read = Hdf5Traces(tmp_path / "t.h5", "x", 1)
    read(0, 5)
    size = len(pickle.dumps(read))
    assert size < 500
    read.close()
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        file["x"][:] = 1.0
    assert read(5, 6).tolist() == [[1.0, 1.0]]


def test_the_last_frames_close_the_file(path: Path) -> None:
    frames = Hdf5Frames(path, "far/data")
    frames[0:1]
    assert frames._file is not None
    frames[1:2]
    assert frames._file is None
    np.testing.assert_array_equal(frames[0:1].reshape(-1), np.arange(12))


def test_file_digest(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(2**20 + 3)
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == xxhash.xxh3_128_hexdigest(content)


@pytest.mark.parametrize("name", ["group", "huge", "boundless"])
def test_what_is_no_small_dataset_is_not_read_whole(name: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("group")
        file.create_dataset("huge", (2**28,), "f8")
        file.create_dataset("boundless", (2**50,), "S1")
        with pytest.raises(SourceError, match=f"d.h5: {name} (is a group|declares the shape)"):
            values_of(file, name)


def test_traces_and_frames_of_no_dataset_or_no_numbers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("group")
        file["texts"] = np.array([[b"a", b"b"]])
    with pytest.raises(SourceError, match="group is a group, a dataset was expected"):
        Hdf5Traces(tmp_path / "d.h5", "group", 1)(0, 1)
    with pytest.raises(SourceError, match="group is a group, a dataset was expected"):
        Hdf5Frames(tmp_path / "d.h5", "group")
    with pytest.raises(SourceError, match=r"'texts' holds .* values; traces are numbers"):
        Hdf5Traces(tmp_path / "d.h5", "texts", 1)(0, 1)


def test_blocks_that_do_not_fit_into_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("traces", (2**40, 2**10), "f8")
        file.create_dataset("frames", (2**20, 2**20, 2**10), "u1")
    with pytest.raises(SourceError, match="frames 0 to 1024 of 'traces' cannot be read"):
        Hdf5Traces(tmp_path / "d.h5", "traces", 1)(0, 1024)
    with pytest.raises(SourceError, match="'frames' cannot be read"):
        Hdf5Frames(tmp_path / "d.h5", "frames")[:]


@pytest.mark.parametrize("values", [np.array([1.0, np.nan]), np.array([1, 2])], ids=["nan", "integers"])
def test_numbers_are_no_texts(values: object, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = values
        with pytest.raises(SourceError, match=r"t.h5: x holds .*64 values, 1.* first; texts were expected"):
            texts_of(file, "x")


@pytest.mark.parametrize(
    ("values", "truncate", "said"),
    [
        (np.array([1.0, np.nan]), False, "nan"),
        (np.array([1.0, np.nan]), True, "nan"),
        (np.array([np.inf]), True, "inf"),
        (np.array([1e300]), True, "1e\\+300"),
        (np.array([0.5]), False, "0.5"),
        (np.array([2**63], np.uint64), False, "9223372036854775808"),
        (np.array([b"9" * 30]), False, "'9+' and the like"),
        (np.array([b"x"]), False, "'x' and the like"),
    ],
)
def test_what_is_no_whole_number(values: np.ndarray, truncate: bool, said: str) -> None:
    with pytest.raises(SourceError, match=f"ids holds {said}.* were expected"):
        as_int64(values, "ids", truncate=truncate)


def test_whole_numbers_of_every_kind() -> None:
    for values in (np.array([3, -1]), np.array([3.0, -1.0], np.float32), np.array([b"3", b"-1"])):
        assert as_int64(values, "ids").tolist() == [3, -1]
    assert as_int64(np.array([3.7, -1.7]), "frames", truncate=True).tolist() == [3, -1]
