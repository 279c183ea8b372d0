"""Writing and reading traces beside plain NumPy files: ``python -m tests.benchmarks.store``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from poyodata.digests import array_digest
from poyodata.store.shard import map_shard, write_shard
from tests.benchmarks.row import median_seconds, row

N_FRAMES, N_NEURONS, BLOCK_FRAMES, READ_FRAMES = 115_000, 200, 1024, 5_000


def main() -> None:
    """Print one line a case; both sides touch the same bytes, in the page cache."""
    traces = np.random.default_rng(0).standard_normal((N_FRAMES, N_NEURONS), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        shard, plain = Path(folder) / "dff", Path(folder) / "dff.npy"

        def write_store() -> None:
            shutil.rmtree(shard, ignore_errors=True)
            pieces = (traces[start : start + BLOCK_FRAMES] for start in range(0, N_FRAMES, BLOCK_FRAMES))
            names = ("time", "neuron")
            write_shard(shard, pieces, traces.shape, block_rows=BLOCK_FRAMES, dimension_names=names)

        def write_numpy() -> None:
            plain.unlink(missing_ok=True)
            np.save(plain, traces)

        def write_numpy_with_digests() -> None:
            write_numpy()
            for start in range(0, N_FRAMES, BLOCK_FRAMES):
                array_digest(traces[start : start + BLOCK_FRAMES])

        # Our one pass also digests every block; the second row says what of the first is the digest.
        seconds = median_seconds(write_store)
        for name, reference in (("np.save", write_numpy), ("np.save, then block digests", write_numpy_with_digests)):
            row("store", "write", seconds, "s", reference=name, reference_value=median_seconds(reference), n=5)

        raw = np.memmap(plain, np.float32, "r", offset=plain.stat().st_size - traces.nbytes, shape=traces.shape)
        mapped = map_shard(shard)
        middle = slice(N_FRAMES // 2, N_FRAMES // 2 + READ_FRAMES)
        seconds = median_seconds(lambda: np.array(mapped[middle]))
        plain_seconds = median_seconds(lambda: np.array(raw[middle]))
        row("store", "read_block", seconds, "s", reference="np.memmap", reference_value=plain_seconds, n=5)


if __name__ == "__main__":
    main()
