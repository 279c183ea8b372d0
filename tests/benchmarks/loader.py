"""Windows gathered from mapped recordings beside NumPy's own indexing: ``python -m tests.benchmarks.loader``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from poyodata.loaders.gather import gather
from tests.benchmarks.row import median_seconds, row

N_RECORDINGS, N_FRAMES, N_NEURONS, WINDOW_FRAMES, BATCH = 5, 100_000, 200, 57, 128


def main() -> None:
    """Print one line a case: the same random windows from the same mapped bytes on both sides."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        recordings = []
        for number in range(N_RECORDINGS):
            path = Path(folder) / f"{number}.npy"
            np.save(path, rng.standard_normal((N_FRAMES, N_NEURONS), dtype=np.float32))
            recordings.append(np.load(path, mmap_mode="r"))
        which = rng.integers(0, N_RECORDINGS, 20 * BATCH)
        start = rng.integers(0, N_FRAMES - WINDOW_FRAMES, 20 * BATCH)
        for kept in (64, N_NEURONS):
            columns = np.sort(rng.permutation(N_NEURONS)[:kept])
            unsigned = columns.astype(np.uint64)
            shift, scale = np.zeros(kept, np.float32), np.ones(kept, np.float32)

            def ours(unsigned=unsigned, shift=shift, scale=scale, kept=kept) -> None:  # type: ignore[no-untyped-def]
                for first in range(0, len(which), BATCH):
                    out = np.empty((BATCH, kept, WINDOW_FRAMES), np.float32)
                    for at in range(BATCH):
                        gather(recordings[which[first + at]], int(start[first + at]), unsigned, shift, scale, out[at])

            def numpy(columns=columns, kept=kept) -> None:  # type: ignore[no-untyped-def]
                for first in range(0, len(which), BATCH):
                    out = np.empty((BATCH, kept, WINDOW_FRAMES), np.float32)
                    for at in range(BATCH):
                        begin = start[first + at]
                        out[at] = recordings[which[first + at]][begin : begin + WINDOW_FRAMES][:, columns].T

            rates = [len(which) / median_seconds(side) for side in (ours, numpy)]
            case = f"{kept} of {N_NEURONS} neurons, {WINDOW_FRAMES} frames"
            row(
                "loader", case, rates[0], "windows/s", reference="numpy on np.memmap", reference_value=rates[1], n=5,
                higher_is_better=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
