"""How long a model waits for its loader: ``python -m tests.benchmarks.loader_wait``.

A step computes for 20 ms on one thread. The share is that of the wall time which passes between asking for a batch and
having it, over whole epochs after the first.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch

from poyodata.curation import load_diet
from poyodata.loaders import Loader, make_loader
from poyodata.store import open_store
from tests.benchmarks.loader_data import noise_store
from tests.benchmarks.row import row

STEP_S, EPOCHS, BAR = 0.02, 5, 0.05


def waited(loader: Loader) -> tuple[float, float]:
    """Seconds that a model of `STEP_S` a step waits in an epoch, and those of the epoch."""
    matrix, waiting, begun = torch.randn(300, 300), 0.0, time.perf_counter()
    batches = iter(loader)
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        had = time.perf_counter()
        waiting += had - asked
        if batch is None:
            return waiting, had - begun
        while time.perf_counter() < had + STEP_S:
            matrix = (matrix @ matrix).clamp(-1, 1)


def main() -> None:
    """Print one line a case."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "five.zarr"
        noise_store(path, 5, 40_000, 200)
        store = open_store(path)
        manifest = load_diet("all").resolve(store, split="blocks-5fold")
        for prefetch in (0, 1):
            loader = make_loader(
                store, manifest, mode="fixed", window_s=1.9, batch_size=32, targets=(), prefetch=prefetch
            )
            waited(loader)
            epochs = []
            for epoch in range(1, 1 + EPOCHS):
                loader.set_epoch(epoch)
                epochs.append(waited(loader))
            case = f"wait of a 20 ms step, 32 windows of 1.9 s and 200 neurons, {prefetch} threads ahead"
            wait_s, epoch_s = (statistics.median(seconds) for seconds in zip(*epochs, strict=True))
            row(
                "loader",
                case,
                wait_s,
                "s",
                reference="epoch",
                reference_value=epoch_s,
                n=EPOCHS,
                bar=BAR if prefetch else None,
            )


if __name__ == "__main__":
    main()
