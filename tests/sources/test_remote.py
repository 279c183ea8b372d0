from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.ingest import ingest
from poyodata.sources import RemoteFile, SourceFile, find_sources, open_source, read_nwb2
from poyodata.sources import remote as module
from poyodata.sources.remote import place_of
from tests.web import Web

pytest.importorskip("aiohttp")


@pytest.fixture(autouse=True)
def _no_shared_files() -> None:
    module._opened.cache_clear()


@pytest.fixture(scope="module")
def large(nwb2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an NWB 2 file whose traces are ten times as large as the blocks of metadata."""
    folder = tmp_path_factory.mktemp("large")
    path = folder / "900000000.nwb"
    shutil.copy(nwb2_folder / "900000000.nwb", path)
    with h5py.File(path, "r+") as file:
        # As large as raw imaging beside the traces, which nobody asked for.
        file["acquisition"].create_dataset("padding", data=np.zeros(30_000_000, np.uint8))
    return folder


@pytest.fixture
def served(large: Path) -> Iterator[Web]:
    with Web(large) as found:
        yield found


def test_recording_by_url_equals_the_local_one(served: Web, large: Path) -> None:
    (found,) = find_sources(f"{served.url}/900000000.nwb")
    assert (found.kind, found.path) == ("nwb2", RemoteFile(f"{served.url}/900000000.nwb"))
    record, local = found.open(), read_nwb2(large / "900000000.nwb")
    assert served.sent()[1] < 8_000_000 < (large / "900000000.nwb").stat().st_size / 3
    np.testing.assert_array_equal(record.time_s, local.time_s)
    np.testing.assert_array_equal(record.read_traces(0, record.n_frames), local.read_traces(0, local.n_frames))
    np.testing.assert_array_equal(
        np.asarray(record.templates["natural_movie_one"]()), np.asarray(local.templates["natural_movie_one"]())
    )
    assert record.presentations.equals(local.presentations)
    assert served.sent()[1] < 10_000_000


def test_url_goes_into_a_store(served: Web, tmp_path: Path) -> None:
    table = ingest([f"{served.url}/900000000.nwb"], tmp_path / "store.zarr")
    assert table[["session_id", "status"]].values.tolist() == [["900000000", "added"]]


def test_recording_travels_to_another_process(served: Web) -> None:
    (found,) = find_sources(f"{served.url}/900000000.nwb")
    copy: SourceFile = pickle.loads(pickle.dumps(found))  # noqa: S301
    record = pickle.loads(pickle.dumps(copy.open().read_traces))  # noqa: S301
    assert record(3, 7).shape == (4, 12)


def test_a_url_that_was_a_path(served: Web) -> None:
    (record,) = open_source(Path(f"{served.url}/900000000.nwb"))
    assert record.metadata.session_id == "900000000"


def test_nwb_1_by_url(tiny_folder: Path) -> None:
    with Web(tiny_folder) as served:
        (found,) = find_sources(f"{served.url}/900000001.nwb")
        assert found.kind == "allen-nwb"
        local = next(open_source(tiny_folder / "900000001.nwb"))
        np.testing.assert_array_equal(found.open().read_traces(5, 90), local.read_traces(5, 90))


def test_arrays_by_url(twin_path: Path) -> None:
    with Web(twin_path.parent) as served:
        (record,) = open_source(f"{served.url}/{twin_path.name}", mapping="abo-dg-527745328")
        assert record.n_neurons == 24
        with pytest.raises(SourceError, match="tells no ETag"):
            served.etags = served.dates = False
            module._opened.cache_clear()
            next(open_source(f"{served.url}/{twin_path.name}", mapping="abo-dg-527745328"))


def test_digest_tells_versions_apart_but_not_signatures(nwb2_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.nwb"
    shutil.copy(nwb2_folder / "900000000.nwb", path)
    with Web(tmp_path) as served:
        digests = [RemoteFile(f"{served.url}/one.nwb{tail}").digest() for tail in ("", "?signature=1")]
        assert digests[0] == digests[1]
        assert len(digests[0]) == 32
        with h5py.File(path, "r+") as file:
            file["processing/ophys/DfOverF/DfOverF/data"][0, 0] = 7.0
        module._opened.cache_clear()
        assert RemoteFile(f"{served.url}/one.nwb").digest() != digests[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("gone.nwb?signature=secret", "gone.nwb is not there, or cannot be reached", id="not_there"),
        pytest.param("text.nwb", "cannot be read as HDF5 .* an .h5 or .nwb recording was expected", id="no_hdf5"),
        pytest.param("cut.nwb", "are truncated or damaged", id="truncated"),
        pytest.param("", "names a folder", id="folder"),
    ],
)
def test_what_cannot_be_read(name: str, message: str, nwb2_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.nwb").write_text("not HDF5 " * 100)
    (tmp_path / "cut.nwb").write_bytes((nwb2_folder / "900000000.nwb").read_bytes()[:100_000])
    with Web(tmp_path) as served, pytest.raises(SourceError, match=message) as caught:
        next(open_source(f"{served.url}/{name}"))
    assert "secret" not in str(caught.value)


def test_server_without_ranges(served: Web) -> None:
    served.ranges = False  # and it does not say so
    with pytest.raises(SourceError, match=r"does not serve parts of files \(.*\); download it"):
        find_sources(f"{served.url}/900000000.nwb")


def test_a_server_that_breaks_off(served: Web) -> None:
    (record,) = open_source(f"{served.url}/900000000.nwb")
    module._opened.cache_clear()
    served.ranges = False
    with pytest.raises(SourceError, match=r"900000000\.nwb"):
        record.read_traces(0, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("https://a.org/b.nwb", "https://a.org/b.nwb", id="url"),
        pytest.param("https:/a.org/b.nwb", "https://a.org/b.nwb", id="one_slash_lost"),
        pytest.param("S3://bucket/b.nwb", "s3://bucket/b.nwb", id="capitals"),
        pytest.param("https://user:word@a.org/b.nwb?x=1", "https://a.org/b.nwb", id="nothing_secret_is_shown"),
        pytest.param("folder/b.nwb", "folder/b.nwb", id="path"),
        pytest.param("C:/b.nwb", "C:/b.nwb", id="drive"),
        pytest.param("file:///tmp/b.nwb", "/tmp/b.nwb", id="file_url"),
    ],
)
def test_urls_and_paths(text: str, expected: str) -> None:
    assert str(place_of(text)) == expected
    assert str(place_of(place_of(text))) == expected


@pytest.mark.slow
def test_s3(nwb2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    moto: Any = pytest.importorskip("moto.server")
    import fsspec

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}"}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    try:
        bucket = fsspec.filesystem("s3", **options)
        bucket.mkdir("recordings")
        bucket.put(str(nwb2_folder / "900000000.nwb"), "recordings/one.nwb")
        (record,) = open_source("s3://recordings/one.nwb")
        local = read_nwb2(nwb2_folder / "900000000.nwb")
        np.testing.assert_array_equal(record.read_traces(0, 99), local.read_traces(0, 99))
        assert len(record.source_digest) == 32
    finally:
        server.stop()
