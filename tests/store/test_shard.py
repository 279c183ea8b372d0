from __future__ import annotations

import json
import tracemalloc
import warnings

import google_crc32c
import numpy as np
import pytest
import zarr

from poyodata.digests import array_digest
from poyodata.errors import StoreError
from poyodata.store.shard import block_digests, map_shard, padded_blocks, write_shard

DIMS = ("time", "neuron")


def pieces_of(array, rows):
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def write(folder, array, rows=1000, block_rows=1024):
    return write_shard(folder, pieces_of(array, rows), array.shape, block_rows=block_rows, dimension_names=DIMS)


@pytest.fixture
def traces():
    return np.random.default_rng(1).normal(size=(2500, 7)).astype("float32")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("POYODATA_SCRATCH", str(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("n_frames", "rows"),
    [
        pytest.param(1, 1, id="one-frame"),
        pytest.param(1023, 100, id="short-block"),
        pytest.param(1024, 1024, id="exactly-one-block"),
        pytest.param(1025, 2000, id="one-row-in-the-last-block"),
        pytest.param(2048, 3, id="whole-blocks-of-small-pieces"),
        pytest.param(5000, 4096, id="partial-last-block"),
    ],
)
def test_zarr_and_map_read_what_was_written(tmp_path, n_frames, rows):
    array = np.random.default_rng(0).normal(size=(n_frames, 5)).astype("float32")
    write(tmp_path / "dff", array, rows)
    plain = zarr.open_array(str(tmp_path / "dff"), mode="r")
    assert plain.chunks == (1024, 5)
    assert plain.metadata.dimension_names == DIMS
    np.testing.assert_array_equal(plain[:], array)
    np.testing.assert_array_equal(plain[n_frames // 2 : n_frames // 2 + 3], array[n_frames // 2 : n_frames // 2 + 3])
    mapped = map_shard(tmp_path / "dff", array.shape)
    assert isinstance(mapped, np.memmap)
    assert mapped.shape == array.shape
    assert mapped.tobytes() == array.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1


def test_shard_is_the_padded_matrix_then_its_index(tmp_path, traces):
    write(tmp_path / "dff", traces)
    raw = (tmp_path / "dff" / "c" / "0" / "0").read_bytes()
    padded = np.full((3072, 7), np.nan, "float32")
    padded[:2500] = traces
    assert raw[: padded.nbytes] == padded.tobytes()
    index = np.frombuffer(raw[padded.nbytes : -4], "<u8").reshape(3, 2)
    assert index.tolist() == [[i * 1024 * 7 * 4, 1024 * 7 * 4] for i in range(3)]
    assert int.from_bytes(raw[-4:], "little") == google_crc32c.value(raw[padded.nbytes : -4])


def test_digests_are_of_padded_blocks_and_do_not_depend_on_pieces(tmp_path, traces):
    digests = write(tmp_path / "dff", traces, rows=333).blocks
    padded = np.full((3072, 7), np.nan, "float32")
    padded[:2500] = traces
    assert digests == [array_digest(block) for block in np.split(padded, 3)]
    assert digests == block_digests(pieces_of(traces, 1), traces.shape, "float32", 1024)
    traces[2499, 6] += 1
    changed = block_digests([traces], traces.shape, "float32", 1024)
    assert [a == b for a, b in zip(digests, changed, strict=True)] == [True, True, False]


def test_block_of_nothing_but_nan_is_there(tmp_path, traces):
    traces[1024:2048] = np.nan
    write(tmp_path / "dff", traces)
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "dff"), mode="r")[:], traces)
    np.testing.assert_array_equal(map_shard(tmp_path / "dff"), traces)


def test_movie_of_bytes(tmp_path):
    movie = np.arange(20 * 4 * 5, dtype=np.uint8).reshape(20, 4, 5)
    names = ("frame", "height", "width")
    write_shard(tmp_path / "m", [movie], movie.shape, block_rows=16, dimension_names=names, dtype="uint8")
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "m"), mode="r")[:], movie)
    np.testing.assert_array_equal(map_shard(tmp_path / "m", movie.shape), movie)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([np.zeros((3, 2))], id="too-few-rows"),
        pytest.param([np.zeros((3, 2)), np.zeros((3, 2))], id="too-many-rows"),
        pytest.param([np.zeros((4, 3))], id="other-width"),
        pytest.param([], id="nothing"),
    ],
)
def test_pieces_that_do_not_add_up_are_refused(pieces):
    with pytest.raises(StoreError, match=r"expected an array of shape \(4, 2\)"):
        list(padded_blocks(pieces, (4, 2), "float32", 2))


def test_memory_is_bounded_by_a_few_blocks(tmp_path):
    block = np.zeros((1024, 200), "float32")
    n_blocks = 50
    blocks = (np.full_like(block, i) for i in range(n_blocks))
    tracemalloc.start()
    try:
        write_shard(tmp_path / "dff", blocks, (n_blocks * 1024, 200), block_rows=1024, dimension_names=DIMS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * block.nbytes
    assert map_shard(tmp_path / "dff")[-1, -1] == n_blocks - 1


def _zarr_sharded(folder, array, **options):
    written = zarr.create_array(str(folder), shape=array.shape, dtype=array.dtype, fill_value=np.nan, **options)
    written[:] = array


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"chunks": (512, 7), "shards": (2560, 7)}, id="compressed-shard"),
        pytest.param({"chunks": (512, 7)}, id="plain-chunks"),
        pytest.param({"chunks": (1024, 4), "compressors": None}, id="chunks-across-neurons"),
        pytest.param({"chunks": (512, 7), "shards": (2560, 7), "compressors": None}, id="nan-chunk-dropped"),
    ],
)
def test_other_writers_are_decoded_once_and_said_so(tmp_path, traces, options):
    traces[512:1024] = np.nan  # zarr-python drops a chunk of nothing but fill value: the shard is not linear
    _zarr_sharded(tmp_path / "dff", traces, **options)
    with pytest.warns(UserWarning, match="decoded once into"):
        mapped = map_shard(tmp_path / "dff", traces.shape)
    np.testing.assert_array_equal(mapped, traces)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(map_shard(tmp_path / "dff"), traces)  # the decoded copy is used again


def test_chunks_in_another_order_are_decoded(tmp_path, traces):
    write(tmp_path / "dff", traces)
    path, chunk = tmp_path / "dff" / "c" / "0" / "0", 1024 * 7 * 4
    raw = path.read_bytes()
    blocks = [raw[i * chunk : (i + 1) * chunk] for i in (1, 0, 2)]
    index = np.array([[chunk, chunk], [0, chunk], [2 * chunk, chunk]], "<u8").tobytes()
    path.write_bytes(b"".join(blocks) + index + google_crc32c.value(index).to_bytes(4, "little"))
    with pytest.warns(UserWarning, match="its chunks lie in another order"):
        np.testing.assert_array_equal(map_shard(tmp_path / "dff"), traces)


def test_changed_array_is_decoded_anew(tmp_path, traces):
    _zarr_sharded(tmp_path / "dff", traces, chunks=(512, 7))
    with pytest.warns(UserWarning, match="decoded once"):
        map_shard(tmp_path / "dff")
    zarr.open_array(str(tmp_path / "dff"), mode="r+")[0, 0] = 42
    with pytest.warns(UserWarning, match="decoded once"):
        assert map_shard(tmp_path / "dff")[0, 0] == 42


def test_linear_shard_of_zarr_python_is_mapped_in_place(tmp_path, traces):
    _zarr_sharded(
        tmp_path / "dff",
        traces,
        chunks=(512, 7),
        shards=(2560, 7),
        compressors=None,
        config={"write_empty_chunks": True},
    )
    mapped = map_shard(tmp_path / "dff")
    assert mapped.filename == tmp_path / "dff" / "c" / "0" / "0"
    np.testing.assert_array_equal(mapped, traces)


def _truncate(folder):
    with (folder / "c" / "0" / "0").open("r+b") as file:
        file.truncate(1024 * 7 * 4 + 11)


def _flip(position):
    def flip(folder):
        path = folder / "c" / "0" / "0"
        raw = bytearray(path.read_bytes())
        raw[position] ^= 1
        path.write_bytes(raw)

    return flip


def _set_shape(folder):
    metadata = json.loads((folder / "zarr.json").read_text())
    metadata["shape"] = [2501, 7]
    (folder / "zarr.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_truncate, "is truncated: 28683 bytes of 86068; restore it", id="truncated"),
        pytest.param(_flip(-30), "does not match its checksum", id="index-byte-flipped"),
        pytest.param(_flip(-1), "does not match its checksum", id="checksum-byte-flipped"),
        pytest.param(lambda folder: (folder / "c" / "0" / "0").unlink(), "is missing", id="shard-gone"),
        pytest.param(lambda folder: (folder / "zarr.json").unlink(), "not a Zarr v3 array", id="metadata-gone"),
        pytest.param(
            lambda folder: (folder / "zarr.json").write_text("{"), "not a Zarr v3 array", id="metadata-broken"
        ),
        pytest.param(_set_shape, r"has shape \(2501, 7\), the tables", id="other-shape"),
    ],
)
def test_damage_is_named_with_what_to_do(tmp_path, traces, damage, message):
    write(tmp_path / "dff", traces)
    damage(tmp_path / "dff")
    with pytest.raises(StoreError, match=message) as raised:
        map_shard(tmp_path / "dff", traces.shape)
    assert "ingest the recording again" in str(raised.value)


def test_truncated_compressed_shard_is_an_error(tmp_path, traces):
    _zarr_sharded(tmp_path / "dff", traces, chunks=(512, 7), shards=(2560, 7))
    _truncate(tmp_path / "dff")
    with pytest.warns(UserWarning, match="decoded once"), pytest.raises(StoreError, match="cannot be decoded"):
        map_shard(tmp_path / "dff")
    assert list((tmp_path / "scratch").iterdir()) == []
