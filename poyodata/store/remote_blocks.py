"""Traces and movies of a remote store: an array whose blocks are fetched when they are first read, and kept.

What arrives goes into one sparse local file: the blocks at their places in the shard, so that they can be mapped, and
behind them one byte a block that says whether it is there. That byte is set after the block was compared with the
store's digest of it and forced to disk: a process that is killed, or a second one that fetches the same, leaves no
wrong block. A block that lay here already is compared too, when a process first uses it: disks lose bits. A block of
another digest is fetched once more, and then refused.

The file may be removed at any time. What was mapped of it stays as it is; the next block that is missing is written to
a new file, which is then mapped in its place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from poyodata.errors import StoreError
from poyodata.store.remote import IN_FLIGHT, Missing, Remote
from poyodata.store.remote_cache import cache_errors, in_folder
from poyodata.store.shard import PlainShard

_REQUEST_BYTES = 4 << 20
"""Neighbouring blocks are joined into requests of up to this size."""

_OF_THIS_PROCESS = ("_lock", "_mapped")
"""Attributes that are not pickled."""


@dataclass(frozen=True)
class _Mapped:
    """The local file as it is mapped: one object, so that a thread never sees rows of one file and marks of another."""

    inode: tuple[int, int]
    rows: npt.NDArray[Any]
    stored: memoryview
    here: npt.NDArray[np.uint8]
    checked: npt.NDArray[np.bool_]


class RemoteArray:
    """An array at a URL, of which only the blocks that are read are fetched, each once.

    Slices, integers, index arrays and masks give NumPy arrays, read-only views of the mapped local file where NumPy
    gives views. ``np.asarray(array)`` fetches what is missing and gives the whole as a read-only memory map. Can be
    pickled.

    Parameters
    ----------
    remote : Remote
    name : str
        File of the shard below the store.
    shard : PlainShard
        Its geometry.
    shape : tuple of int
    digests : sequence of str
        Of every block, as the store's tables have them.
    file : Path
        Local file for the blocks; made when it is not there.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    ndim : int
    """

    def __init__(
        self,
        remote: Remote,
        name: str,
        shard: PlainShard,
        shape: tuple[int, ...],
        digests: Sequence[str],
        file: Path,
    ) -> None:
        if len(digests) != shard.n_used:
            raise StoreError(
                f"{remote.url}/{name} has {shard.n_used} blocks, the store's tables have digests of {len(digests)}; "
                "the store is damaged: restore it from a copy."
            )
        self.shape = tuple(shape)
        self.dtype = shard.dtype
        self._remote, self._name, self._shard, self._file = remote, name, shard, file
        self._digests = tuple(digests)
        self._block_rows = shard.chunk_rows
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    # -- as an array ---------------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes of all values, fetched or not."""
        return self.size * self.dtype.itemsize

    @property
    def fetched(self) -> float:
        """Fraction of the blocks that are here."""
        here = self._mapped.here
        return float(np.mean(here != 0)) if len(here) else 1.0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        return self._bring(self._blocks_of(key))[key]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self._bring(np.ones(self._shard.n_used, np.bool_)), dtype=dtype, copy=copy)

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return iter(np.asarray(self))

    def __repr__(self) -> str:
        where = f"{self._remote.url}/{self._name}"
        return f"<RemoteArray {self.shape} {self.dtype.name} of {where}, {self.fetched:.0%} fetched>"

    # -- blocks --------------------------------------------------------------------------------------------------

    def _blocks_of(self, key: Any) -> npt.NDArray[np.bool_]:
        """Which blocks hold the rows that an index asks for."""
        wanted = np.zeros(self._shard.n_used, np.bool_)
        first = key[0] if isinstance(key, tuple) and key else key
        if isinstance(first, slice):
            start, stop, step = first.indices(len(self))
            rows = np.arange(start, stop, step)
        elif first is None or first is Ellipsis or isinstance(first, tuple) or np.ndim(first) > 1:
            rows = np.arange(len(self))
        else:
            rows = np.atleast_1d(np.arange(len(self))[first])
        wanted[np.unique(rows // self._block_rows)] = True
        return wanted

    def _start(self) -> None:
        """Map the local file in this process."""
        self._lock = threading.Lock()
        with cache_errors(self._file):
            handle = self._made()
            try:
                self._mapped = self._map(handle)
            finally:
                os.close(handle)

    def _made(self) -> int:
        """Open the local file, made unless it is there."""
        size = self._shard.n_used * (self._shard.chunk_bytes + 1)
        return in_folder(self._file, lambda: _open_sparse(self._file, size))

    def _map(self, handle: int) -> _Mapped:
        os.utime(handle)  # used now: `trim_kept_stores` takes what was not used for longest
        # One map, so that an array costs one open file; of what was opened, since the name may be another's by now.
        with os.fdopen(os.dup(handle), "rb") as file:
            whole = np.memmap(file, dtype=np.uint8, mode="r")
        data = self._shard.n_used * self._shard.chunk_bytes
        return _Mapped(
            inode=_inode(handle),
            rows=whole[: self.nbytes].view(self.dtype).reshape(self.shape),
            stored=whole[:data].data,
            here=np.asarray(whole[data:]),
            checked=np.zeros(self._shard.n_used, np.bool_),
        )

    def _bring(self, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """Fetch the wanted blocks that are not here yet, or no longer what they were; gives rows that have them."""
        mapped = self._mapped
        if not (wanted & ~mapped.checked).any():
            return mapped.rows
        with self._lock:
            if self._missing(wanted).size:
                # To the end into this one, also where the cache is emptied meanwhile: it is what is mapped.
                handle = self._open()
                try:
                    while (missing := self._missing(wanted)).size:
                        self._fetch(handle, list(islice(self._runs(missing), IN_FLIGHT)))
                finally:
                    os.close(handle)
            return self._mapped.rows

    def _missing(self, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Wanted blocks that are not here whole; those that are here are compared with their digests, once."""
        size, mapped = self._shard.chunk_bytes, self._mapped
        for at in np.flatnonzero(wanted & ~mapped.checked & (mapped.here != 0)).tolist():
            block = mapped.stored[at * size : (at + 1) * size]
            mapped.checked[at] = xxhash.xxh3_64_hexdigest(block) == self._digests[at]
        return np.flatnonzero(wanted & ~mapped.checked)

    def _runs(self, blocks: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """First block, and block after the last, of every request."""
        most = max(1, _REQUEST_BYTES // self._shard.chunk_bytes)
        for run in np.split(blocks, np.flatnonzero(np.diff(blocks) > 1) + 1):
            for start in range(int(run[0]), int(run[-1]) + 1, most):
                yield start, min(start + most, int(run[-1]) + 1)

    def _fetch(self, handle: int, runs: Sequence[tuple[int, int]]) -> None:
        wanted = {block for start, stop in runs for block in range(start, stop)}
        wrong = self._keep(handle, self._read(runs)) & wanted
        if wrong:
            wrong = self._keep(handle, self._read([(block, block + 1) for block in sorted(wrong)])) & wanted
        if wrong:
            first, rows = min(wrong), self._block_rows
            raise StoreError(
                f"{self._remote.url}/{self._name}: block {first} (from frame {first * rows} on) came twice with "
                "another digest than the store's tables have; it is damaged there, or the store was changed since it "
                "was opened. Open it again, or restore the file from a copy."
            )

    def _read(self, runs: Sequence[tuple[int, int]]) -> list[tuple[int, memoryview]]:
        """Blocks by their numbers."""
        size, whole = self._shard.chunk_bytes, self._shard.file_bytes
        ranges = [(start * size, stop * size) for start, stop in runs]
        try:
            answers = self._remote.read_ranges(self._name, ranges, whole)
        except Missing as missing:
            raise StoreError(
                f"{self._remote.url}/{self._name} is no longer there; the store was changed since it was opened: open "
                "it again."
            ) from missing
        if len(answers[0]) == whole:
            runs = [(0, self._shard.n_used)]
        return [
            (block, memoryview(answer)[(block - start) * size : (block - start + 1) * size])
            for (start, stop), answer in zip(runs, answers, strict=True)
            for block in range(start, stop)
        ]

    def _keep(self, handle: int, blocks: Sequence[tuple[int, memoryview]]) -> set[int]:
        """Write the blocks that have their digest, then say that they are there; gives the numbers of the others."""
        good = [(at, block) for at, block in blocks if xxhash.xxh3_64_hexdigest(block) == self._digests[at]]
        size, behind = self._shard.chunk_bytes, self._shard.n_used * self._shard.chunk_bytes
        with cache_errors(self._file):
            for at, block in good:
                _write_all(handle, block, at * size)
            os.fsync(handle)
            for at, _ in good:
                _write_all(handle, memoryview(b"\1"), behind + at)
                self._mapped.checked[at] = True
        return {at for at, _ in blocks} - {at for at, _ in good}

    def _open(self) -> int:
        """Open the local file for writing; another is mapped anew: somebody has emptied the cache."""
        with cache_errors(self._file):
            handle = self._made()
            if _inode(handle) != self._mapped.inode:
                self._mapped = self._map(handle)
        return handle


def _open_sparse(file: Path, size: int) -> int:
    """Open a file of that size, made unless it is there. One of another size is not ours, and is made anew."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        status = os.fstat(handle)
        if status.st_size == 0:
            # The same for every process that does it: what another has written since stays.
            os.ftruncate(handle, size)
        if status.st_size in (0, size):
            return handle
        os.close(handle)
        file.unlink(missing_ok=True)


def _inode(handle: int) -> tuple[int, int]:
    status = os.fstat(handle)
    return status.st_dev, status.st_ino


def _write_all(handle: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written
