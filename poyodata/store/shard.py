"""One array in one shard that is both a Zarr array and a plain matrix.

A shard without compressor and without checksums between its inner chunks, each of which spans whole rows, is byte for
byte the array in C order from offset 0, padded to a multiple of the block, followed by the shard index: 16 bytes a
chunk (offset and length, unsigned 64-bit little endian) and the index's crc32c. So every Zarr reader reads parts of it,
and we map it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from poyodata.digests import array_digest, byte_view
from poyodata.errors import StoreError
from poyodata.store.scratch import decode_once

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC32C = {"name": "crc32c"}
_CHECKSUM_BYTES = 4


def padded_blocks(
    pieces: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike, block_rows: int
) -> Iterator[npt.NDArray[Any]]:
    """Cut a stream of row blocks of any length into blocks of `block_rows`, the last one padded.

    Parameters
    ----------
    pieces : iterable of ndarray, shape (any, *shape[1:])
    shape : tuple of int
        Of the whole array.
    dtype : dtype
        Padding is NaN for floats and 0 for integers.
    block_rows : int

    Yields
    ------
    ndarray, shape (block_rows, *shape[1:])
        The caller's own piece where it is a whole block already, else one buffer every time: use it before asking for
        the next.

    Raises
    ------
    StoreError
        When the pieces do not add up to `shape`.

    Examples
    --------
    >>> blocks = padded_blocks([np.ones((3, 1))], (3, 1), "float32", 2)
    >>> [block[:, 0].tolist() for block in blocks]
    [[1.0, 1.0], [1.0, nan]]
    """
    little = np.dtype(dtype).newbyteorder("<")
    buffer = np.empty((block_rows, *shape[1:]), little)
    filled = seen = 0
    for piece in pieces:
        seen += len(piece)
        if piece.shape[1:] != shape[1:] or seen > shape[0]:
            break
        if len(piece) == block_rows and not filled and piece.dtype == little and piece.flags.c_contiguous:
            yield piece
            continue
        start = 0
        while start < len(piece):
            take = min(block_rows - filled, len(piece) - start)
            buffer[filled : filled + take] = piece[start : start + take]
            start, filled = start + take, filled + take
            if filled == block_rows:
                yield buffer
                filled = 0
    else:
        piece = buffer[:0]
    if piece.shape[1:] != shape[1:] or seen != shape[0]:
        raise StoreError(
            f"expected an array of shape {shape}, but its blocks add up to {(seen, *piece.shape[1:])}; "
            "the source is truncated or says a wrong number of frames."
        )
    if filled:
        buffer[filled:] = np.nan if buffer.dtype.kind == "f" else 0
        yield buffer


def block_digests(
    pieces: Iterable[npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    block_rows: int,
    digest: Callable[[npt.NDArray[Any]], str] = array_digest,
) -> list[str]:
    """Digest of every block as `write_shard` would store it, without writing: `digest` over the padded block."""
    return [digest(block) for block in padded_blocks(pieces, shape, dtype, block_rows)]


@dataclass(frozen=True)
class WrittenShard:
    """Digests of one array that was written.

    Attributes
    ----------
    blocks : list of str
        Of every block, the last one with its padding.
    file : str
        Of the whole file, with its index.
    complete : bool
        Whether whoever wrote it found no missing value; False where nobody looked.
    """

    blocks: list[str]
    file: str
    complete: bool = False


def shard_file(folder: Path, n_dimensions: int) -> Path:
    """File of an array that is one shard."""
    return folder.joinpath("c", *["0"] * n_dimensions)


def write_shard(
    folder: Path,
    pieces: Iterable[npt.NDArray[Any]],
    shape: tuple[int, ...],
    *,
    block_rows: int,
    dimension_names: Sequence[str],
    dtype: npt.DTypeLike = "float32",
    attributes: Mapping[str, Any] | None = None,
) -> WrittenShard:
    """Write an array as one mappable shard in a single pass; memory is one block and one piece.

    Parameters
    ----------
    folder : Path
        Of the Zarr array; made here.
    pieces : iterable of ndarray, shape (any, *shape[1:])
        The rows in order.
    shape : tuple of int
    block_rows : int
        Rows of an inner chunk.
    dimension_names : sequence of str
    dtype : dtype
    attributes : mapping, optional
        JSON values.

    Returns
    -------
    WrittenShard

    Raises
    ------
    StoreError
        When the pieces do not add up to `shape`.
    """
    dtype = np.dtype(dtype)
    n_blocks = -(-shape[0] // block_rows)
    shard = shard_file(folder, len(shape))
    shard.parent.mkdir(parents=True)
    digests: list[str] = []
    whole = xxhash.xxh3_64()
    with shard.open("wb") as file:
        for block in padded_blocks(pieces, shape, dtype, block_rows):
            view = byte_view(block)
            # Digested while the block is in the processor's cache.
            digests.append(xxhash.xxh3_64_hexdigest(view))
            whole.update(view)
            file.write(view)
        index = _index_bytes(n_blocks, block_rows * int(np.prod(shape[1:])) * dtype.itemsize)
        whole.update(index)
        file.write(index)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [n_blocks * block_rows, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if dtype.kind == "f" else 0,
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [block_rows, *shape[1:]],
                    "codecs": [plain_codec(dtype)],
                    "index_codecs": [_LITTLE, _CRC32C],
                    "index_location": "end",
                },
            }
        ],
        "attributes": dict(attributes or {}),
        "dimension_names": list(dimension_names),
        "storage_transformers": [],
    }
    (folder / "zarr.json").write_text(json.dumps(metadata, indent=2, allow_nan=False), encoding="utf-8")
    return WrittenShard(digests, whole.hexdigest())


def plain_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Codec of values that lie as they do in memory, little endian."""
    return _LITTLE if dtype.itemsize > 1 else {"name": "bytes"}


def map_shard(folder: Path, shape: tuple[int, ...] | None = None) -> npt.NDArray[Any]:
    """Map a Zarr array read-only, without copying; decode it once where its bytes are not the plain matrix.

    Parameters
    ----------
    folder : Path
        Of the Zarr array.
    shape : tuple of int, optional
        What is expected; other shapes are refused.

    Returns
    -------
    memmap, shape of the array
        Read-only. An array of another writer (compressed, or with its chunks in another order) is decoded into a
        scratch file first, with a warning that says where.

    Raises
    ------
    StoreError
        When the array is missing, truncated, damaged, or of another shape.
    """
    metadata = read_metadata(folder)
    stored = tuple(metadata["shape"])
    if shape is not None and stored != tuple(shape):
        raise StoreError(
            f"{folder} has shape {stored}, the tables of the store say {tuple(shape)}; ingest the recording again."
        )
    plain = plain_shard(metadata)
    if plain is None:
        return decode_once(folder, "it is compressed or not one shard")
    file = shard_file(folder, len(stored))
    if not file.exists():
        raise StoreError(f"{file} is missing; restore it from a copy, or ingest the recording again.")
    if not _is_linear(file, plain):
        return decode_once(folder, "its chunks lie in another order")
    return np.memmap(file, dtype=plain.dtype, mode="r", shape=stored)


@dataclass(frozen=True)
class PlainShard:
    """Geometry of an array in one shard whose inner chunks are uncompressed whole rows."""

    dtype: np.dtype[Any]
    n_chunks: int
    n_used: int  # chunks that hold rows of the array
    chunk_rows: int
    chunk_bytes: int

    @property
    def index_bytes(self) -> int:
        """Size of the index behind the chunks."""
        return index_size(self.n_chunks)

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        return self.n_chunks * self.chunk_bytes + self.index_bytes


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the ``zarr.json`` of an array.

    Raises
    ------
    StoreError
        When it is none.
    """
    try:
        metadata: dict[str, Any] = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        if metadata["node_type"] != "array" or metadata["zarr_format"] != 3:
            raise KeyError("node_type")
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{folder} is not a Zarr v3 array ({error}); restore it from a copy, or ingest the recording again."
        ) from error
    return metadata


def plain_shard(metadata: Mapping[str, Any]) -> PlainShard | None:
    """Geometry of the shard, or None when the codecs do not leave plain rows."""
    shape = metadata["shape"]
    grid = metadata["chunk_grid"].get("configuration", {}).get("chunk_shape", [])
    codecs = metadata["codecs"]
    if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return None
    sharding = codecs[0]["configuration"]
    chunk = sharding["chunk_shape"]
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    inner = sharding["codecs"]
    is_plain = (
        len(inner) == 1
        and inner[0]["name"] == "bytes"
        and (dtype.itemsize == 1 or inner[0].get("configuration", {}).get("endian") == "little")
        and sharding.get("index_location", "end") == "end"
        and [codec["name"] for codec in sharding["index_codecs"]] == ["bytes", "crc32c"]
        and metadata["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
        and chunk[1:] == grid[1:] == shape[1:]
        and grid[0] >= shape[0]
    )
    if not is_plain:
        return None
    chunk_bytes = int(np.prod(chunk)) * dtype.itemsize
    return PlainShard(
        dtype,
        n_chunks=grid[0] // chunk[0],
        n_used=-(-shape[0] // chunk[0]),
        chunk_rows=chunk[0],
        chunk_bytes=chunk_bytes,
    )


def _is_linear(file: Path, shard: PlainShard) -> bool:
    """Whether the chunks lie in order from offset 0; raises StoreError when the index is damaged."""
    import google_crc32c

    size = file.stat().st_size
    whole = shard.file_bytes
    with file.open("rb") as opened:
        opened.seek(max(0, size - shard.index_bytes))
        tail = opened.read()
    index = tail[:-_CHECKSUM_BYTES]
    if len(tail) != shard.index_bytes or google_crc32c.value(index) != int.from_bytes(
        tail[-_CHECKSUM_BYTES:], "little"
    ):
        wrong = (
            f"truncated: {size} bytes of {whole}" if size < whole else "damaged: its index does not match its checksum"
        )
        raise StoreError(f"{file} is {wrong}; restore it from a copy, or ingest the recording again into a new store.")
    entries = np.frombuffer(index, "<u8").reshape(-1, 2)[: shard.n_used]
    offsets = np.arange(shard.n_used, dtype=np.uint64) * np.uint64(shard.chunk_bytes)
    return bool(
        (entries[:, 0] == offsets).all()
        and (entries[:, 1] == shard.chunk_bytes).all()
        and shard.n_used * shard.chunk_bytes + shard.index_bytes <= size
    )


def array_shape(folder: Path) -> tuple[int, ...] | None:
    """Shape that an array's metadata says, or None where they cannot be read."""
    try:
        return tuple(int(length) for length in read_metadata(folder)["shape"])
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def index_size(n_chunks: int) -> int:
    """Bytes of the index at the end of a shard."""
    return 16 * n_chunks + _CHECKSUM_BYTES


def _index_bytes(n_chunks: int, chunk_bytes: int) -> bytes:
    import google_crc32c

    entries = np.empty((n_chunks, 2), "<u8")
    entries[:, 0] = np.arange(n_chunks, dtype=np.uint64) * np.uint64(chunk_bytes)
    entries[:, 1] = chunk_bytes
    index = entries.tobytes()
    return index + int(google_crc32c.value(index)).to_bytes(_CHECKSUM_BYTES, "little")
