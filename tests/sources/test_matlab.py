from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from poyodata.errors import SourceError
from poyodata.sources import ArrayMapping, find_sources, open_source, read_arrays
from poyodata.sources.matlab import open_matlab

same = np.testing.assert_array_equal

DFF = np.random.default_rng(0).normal(size=(3, 90))
CONTENT: dict[str, Any] = {
    "dff": DFF,
    "session": {
        "time": np.arange(90.0)[:, None] / 30.0,
        "mouse": "m1",
        "depth": 175.0,
        "labels": np.array(["a", "b µ", ""], object),
        "cell": np.array([[11, 12, 13]], np.int32),
        "good": np.array([[True, False, True]]),
    },
    "shown": {"first": np.array([[10.0, 40.0]]), "angle": np.array([[45.0, np.nan]])},
}
MAPPING = """
mapping: 1
file: one.mat
traces: {name: dff, dims: [neuron, time]}
neurons: {cell_specimen_id: session.cell, valid_roi: session/good}
time: {timestamps: session.time}
stimuli:
  - {stimulus: drifting_gratings, start_frame: shown.first, duration_frames: 20, direction_deg: shown.angle,
     blank: nan(direction_deg)}
metadata: {session_id: s1, donor_id: "@session.mouse", container_id: c1, cre_line: Sst, area: VISp,
           depth_um: "@session.depth"}
"""


def write_v5(path: Path, content: dict[str, Any], **options: Any) -> Path:
    savemat(path, content, **options)
    return path


def write_v73(path: Path, content: dict[str, Any]) -> Path:
    """A file as MATLAB writes it with -v7.3: HDF5 behind a text of 512 bytes, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("#refs#")
        for name, value in content.items():
            _put(file, file, name, value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def _put(file: h5py.File, group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, one in value.items():
            _put(file, inner, key, one)
    elif isinstance(value, str):
        codes = np.array([list(value.encode("utf-16-le"))], np.uint8).view("<u2").T if value else np.zeros(2, np.uint64)
        group[name] = codes
        group[name].attrs["MATLAB_class"] = np.bytes_("char")
        if not value:
            group[name].attrs["MATLAB_empty"] = 1
    elif isinstance(value, np.ndarray) and value.dtype == object:
        places = []
        for one in value.reshape(-1).tolist():
            place = f"{len(file['#refs#'])}"
            _put(file, file["#refs#"], place, one)
            places.append(file["#refs#"][place].ref)
        group.create_dataset(name, data=np.array([places], h5py.ref_dtype).T, dtype=h5py.ref_dtype)
        group[name].attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        array = np.atleast_2d(value)
        kind = {"b": "logical", "f": "double", "i": f"int{array.itemsize * 8}"}[array.dtype.kind]
        group[name] = array.T.astype(np.uint8) if kind == "logical" else array.T
        group[name].attrs["MATLAB_class"] = np.bytes_(kind)


Write = Callable[..., Path]
VERSIONS = [pytest.param(write_v5, id="v5"), pytest.param(write_v73, id="v7.3")]


@pytest.mark.parametrize("write", VERSIONS)
def test_recording(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "one.mat", CONTENT)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    (found,) = find_sources(tmp_path)
    assert found.kind == "arrays"
    record = found.open()
    assert (record.metadata.donor_id, record.metadata.depth_um) == ("m1", 175.0)
    assert record.metadata.cre_line == "Sst-IRES-Cre"
    same(record.read_traces(0, 90), DFF.T.astype(np.float32))
    same(record.read_traces(7, 9), DFF.T[7:9].astype(np.float32))
    same(record.time_s, np.arange(90) / 30.0)
    assert record.neurons["cell_specimen_id"].tolist() == [11, 12, 13]
    assert record.neurons["valid_roi"].tolist() == [True, False, True]
    assert record.presentations[["start_frame", "stop_frame", "blank"]].values.tolist() == [
        [10, 30, False],
        [40, 60, True],
    ]
    copy = pickle.loads(pickle.dumps(record.read_traces))  # noqa: S301 - our own
    same(copy(7, 9), record.read_traces(7, 9))
    (alone,) = open_source(tmp_path / "one.mat")
    assert alone.source_digest == record.source_digest


@pytest.mark.parametrize("write", VERSIONS)
def test_arrays_are_as_matlab_shows_them(write: Write, tmp_path: Path) -> None:
    container = open_matlab(write(tmp_path / "one.mat", CONTENT))
    assert set(container.names()) == {
        "dff",
        *(f"session.{name}" for name in ("time", "mouse", "depth", "labels", "cell", "good")),
        *(f"shown.{name}" for name in ("first", "angle")),
    }
    assert container.shape("dff") == (3, 90)
    assert container.shape("session/time") == (90, 1)
    same(container.read("dff"), DFF)
    assert container.read("session.labels").tolist() == ["a", "b µ", ""]
    assert container.read("session.good").dtype in (bool, np.uint8)
    assert dict(container.attributes()) == {"session.mouse": "m1", "session.depth": 175.0}


@pytest.mark.parametrize("write", VERSIONS)
def test_one_neuron_and_time_first(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "one.mat", {"f": DFF[:1].T})
    mapping = ArrayMapping.from_yaml(
        "{mapping: 1, traces: {name: f, dims: [time, neuron]}, time: {rate_hz: 30}, metadata: {session_id: s1, "
        "donor_id: d, container_id: c, cre_line: Sst, area: VISp, depth_um: 1}}"
    )
    record = read_arrays(tmp_path / "one.mat", mapping)
    same(record.read_traces(0, 90), DFF[:1].T.astype(np.float32))


@pytest.mark.parametrize("write", VERSIONS)
def test_what_the_mapping_names_wrongly(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "one.mat", CONTENT)
    for wrong, message in (
        (MAPPING.replace("name: dff", "name: dfff"), "has no dataset 'dfff'; did you mean 'dff'"),
        (MAPPING.replace("shown.angle", "shown.angel"), "has no dataset 'shown.angel'; did you mean"),
        (MAPPING.replace("@session.mouse", "@session.mous"), "has no attribute 'session.mous'"),
        (MAPPING.replace("[neuron, time]", "[time, neuron]"), "'session.time' has shape .* expected"),
    ):
        with pytest.raises(SourceError, match=message):
            read_arrays(tmp_path / "one.mat", ArrayMapping.from_yaml(wrong))


def test_structs_and_cells_that_are_no_arrays(tmp_path: Path) -> None:
    several = np.array([(1.0,), (2.0,)], dtype=[("x", object)])
    mixed = np.array([np.zeros(2), "a"], object)
    container = open_matlab(write_v5(tmp_path / "one.mat", {"several": several, "mixed": mixed, "dff": DFF}))
    for name, message in (
        ("several", "several is a struct array of 2 elements; save plain arrays"),
        ("mixed", "mixed is a cell array of something else than texts; save plain arrays"),
    ):
        with pytest.raises(SourceError, match=message):
            container.read(name)
    same(container.read("dff"), DFF)


def test_matlab_objects_of_version_73(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "one.mat", {"dff": DFF})
    with h5py.File(path, "r+") as file:
        file["table"] = np.zeros((1, 6), np.uint32)
        file["table"].attrs["MATLAB_class"] = np.bytes_("table")
        file["table"].attrs["MATLAB_object_decode"] = 3
        file["nothing"] = np.zeros(2, np.uint64)
        file["nothing"].attrs["MATLAB_class"], file["nothing"].attrs["MATLAB_empty"] = np.bytes_("double"), 1
    container = open_matlab(path)
    with pytest.raises(
        SourceError, match=r"table is a MATLAB object \(a table, string, class or function\); save plain"
    ):
        container.shape("table")
    with pytest.raises(SourceError, match="nothing is empty"):
        container.read("nothing")
    same(container.read("dff"), DFF)


def test_sparse_and_whole_arrays_of_version_73(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "one.mat", {"dff": DFF, "good": DFF > 0, "counts": DFF.astype(np.int16)})
    with h5py.File(path, "r+") as file:
        sparse = file.create_group("thin")
        sparse.attrs["MATLAB_class"], sparse.attrs["MATLAB_sparse"] = np.bytes_("double"), np.uint64(3)
        sparse["data"], sparse["ir"], sparse["jc"] = np.ones(3), np.arange(3), np.arange(4)
    container = open_matlab(path)
    assert container.names() == ["counts", "dff", "good", "thin"]
    with pytest.raises(SourceError, match="thin is sparse; save plain arrays"):
        container.shape("thin")
    for name, kind in (("good", "bool"), ("counts", "int16")):
        with pytest.raises(SourceError, match=f"'{name}' holds {kind} values; traces are float16"):
            container.traces(name, 1)
    same(container.traces("dff", 1)(0, 5), DFF.T[:5].astype(np.float32))


def test_version_4(tmp_path: Path) -> None:
    path = write_v5(tmp_path / "one.mat", {"dff": DFF}, format="4")
    with pytest.raises(
        SourceError, match=r"seems to be of MATLAB version 4; load it in MATLAB and save it with '-v7\.3'"
    ):
        open_matlab(path)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("not a MATLAB file, but a text that is long enough to be one")
    with pytest.raises(SourceError, match="is no MATLAB file"):
        open_matlab(tmp_path / "text.mat")
    with pytest.raises(SourceError, match="does not exist"):
        open_matlab(tmp_path / "gone.mat")


def _by_hand(order: str) -> bytes:
    """One double array of 2 x 3 that MATLAB would keep in single bytes, in either byte order."""

    def element(kind: int, content: bytes) -> bytes:
        return np.array([kind, len(content)], f"{order}u4").tobytes() + content + bytes(-len(content) % 8)

    matrix = b"".join(
        (
            element(6, np.array([6, 0], f"{order}u4").tobytes()),
            element(5, np.array([2, 3], f"{order}i4").tobytes()),
            element(1, b"counts"),
            element(2, bytes([1, 2, 3, 4, 5, 6])),
        )
    )
    head = b"MATLAB 5.0 MAT-file, by hand".ljust(124) + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
    return head + element(14, matrix)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_narrow_numbers(order: str, tmp_path: Path) -> None:
    (tmp_path / "one.mat").write_bytes(_by_hand(order))
    counts = open_matlab(tmp_path / "one.mat").read("counts")
    same(counts, [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]])
    assert counts.dtype == np.float64


def test_sparse_and_complex_arrays(tmp_path: Path) -> None:
    from scipy.sparse import eye

    content = {"sparse": eye(3, format="csc"), "complex": np.array([1j, 2.0]), "dff": DFF}
    container = open_matlab(write_v5(tmp_path / "one.mat", content))
    for name in ("sparse", "complex"):
        with pytest.raises(SourceError, match=f"{name} is {name}; save plain arrays"):
            container.read(name)
    same(container.read("dff"), DFF)


@pytest.mark.parametrize("compressed", [True, False])
def test_compressed_or_not(compressed: bool, tmp_path: Path) -> None:
    path = write_v5(tmp_path / "one.mat", CONTENT, do_compression=compressed)
    same(open_matlab(path).read("dff"), DFF)
