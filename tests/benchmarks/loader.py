"""Batches beside torch_brain, a gather from memory and plain reads: ``python -m tests.benchmarks.loader``.

Rates are windows for each second on a core, of all processes that take part, medians of five; the sides of a row take
turns in one run. torch_brain makes the data and reads the same bytes (see `Peer` for where it is looked for).
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from poyodata.curation.view import View
from poyodata.loaders.gather import gather_batch
from poyodata.loaders.loader import Layout, Loader
from poyodata.loaders.sampling import Ranks, uniform
from poyodata.loaders.sources import TraceSource
from poyodata.loaders.transforms import identity_normalisation
from poyodata.loaders.windows.index import Located, WindowIndex
from tests.benchmarks.loader_data import Peer, every_window, noise_store, peer_store, view_of
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.row import forget, row, side_by_side, skipped

WINDOW_S, WINDOW_FRAMES, RATE_HZ, BATCH = 1.9, 57, 30.0, 128
MOVIE_FRAMES = (72_150, 81_150)  # natural movie one, 2405 to 2705 s, as the peer's script has it
N, PEER_WINDOWS = 5, 3200


class Loop:
    """A loader over all windows of an index, as a training loop reads it: torch tensors."""

    def __init__(
        self, view: View, index: WindowIndex, layout: Layout = "dense", batch_size: int = BATCH, **access: Any
    ) -> None:
        self.source, self.sampler = TraceSource(view, **access), uniform(index, batch_size, seed=0)
        self.loader = Loader(
            view, index, self.sampler, self.source, role="train", seed=0, batch_size=batch_size, ranks=Ranks(),
            rate_hz=RATE_HZ, normalisation=identity_normalisation(view), layout=layout,
        )  # fmt: skip

    def located(self, epoch: int) -> Iterator[Located]:
        for number in range(len(self.loader)):
            yield self.loader.plan(epoch, number).located

    def epoch(self, epoch: int = 0, batches: int | None = None) -> int:
        n = 0
        self.loader.set_epoch(epoch)
        for number, batch in enumerate(self.loader, 1):
            n += len(batch["sample"])
            if number == batches:
                break
        return n

    def fresh(self, epoch: int = 0, batches: int | None = None) -> int:
        """As `epoch`, every batch in memory of its own."""
        n = 0
        for number in range(min(len(self.loader), batches or len(self.loader))):
            n += len(self.loader.to_torch(self.loader.batch(epoch, number))["sample"])
        return n


class Memory:
    """The bound: the same windows through the same kernel, from arrays in memory into one array, all known before."""

    def __init__(self, loop: Loop, epoch: int = 0) -> None:
        source, self.layout = loop.source, "neuron" if loop.loader.layout == "dense" else "time"
        self.arrays = [np.array(source.traces(number)) for number in range(len(source.session_ids))]
        self.address = np.array([array.ctypes.data for array in self.arrays], np.uint64)
        self.batches = list(loop.located(epoch))
        self.kept = [source.keep(located.session_index) for located in self.batches]
        width, n_time = int(source.n_neurons.max()), int(self.batches[0].length[0])
        shape = (width, n_time) if self.layout == "neuron" else (n_time, width)
        self.out = np.empty((len(self.batches[0]), *shape), np.float32)
        self.rows = np.full(len(self.out), width)
        self.width, self.columns, self.whole = source._width, source._columns, source._whole

    def epoch(self) -> int:
        n = 0
        for located, kept in zip(self.batches, self.kept, strict=True):
            gather_batch(
                self.address, self.width, located.session_index, located.start, located.length, kept.first, kept.count,
                kept.number, self.columns, self.out[: len(located)], self.rows[: len(located)], layout=self.layout,  # type: ignore[arg-type]
                whole=self.whole,
            )  # fmt: skip
            n += len(located)
        return n


def beside_the_peer(store: Path, peer: Peer) -> None:
    """The same content as torch_brain makes, in turns with it."""
    view = view_of(store)
    windows, frames = every_window(view, WINDOW_FRAMES), every_window(view, 1, MOVIE_FRAMES)
    cases: list[tuple[str, str, float, float, WindowIndex, Layout, bool, int]] = [
        ("raw, 200 neurons, 57 frames", "raw", WINDOW_S, 40, windows, "dense", False, BATCH),
        ("raw, 200 neurons, 57 frames", "raw", WINDOW_S, 40, windows, "dense", False, 32),
        ("one frame, 200 neurons", "raw", 0.033, 200, frames, "dense", False, BATCH),
        ("one frame, 200 neurons", "raw", 0.033, 200, frames, "dense", False, 32),
        ("tokens, freshly allocated", "tokens", WINDOW_S, 8, windows, "tokens", True, BATCH),
        ("tokens, freshly allocated", "tokens", WINDOW_S, 8, windows, "tokens", True, 32),
        ("tokens, time and neuron as views", "tokens", WINDOW_S, 20, windows, "token-views", False, BATCH),
        ("tokens, time and neuron as views", "tokens", WINDOW_S, 20, windows, "token-views", False, 32),
    ]
    for case, mode, window_s, bar, index, layout, fresh, batch_size in cases:
        if peer.missing:
            skipped("loader", f"{case}, batches of {batch_size}", peer.missing)
            continue
        loop = Loop(view, index, layout, batch_size)
        read = loop.fresh if fresh else loop.epoch
        read(0, 50)
        ours, theirs = [], []
        for turn in range(N):
            before = time.process_time()
            n = read(turn, 20_000 // batch_size)
            ours.append(n / (time.process_time() - before))
            theirs.append(peer.windows_per_cpu_s(mode, window_s, batch_size, PEER_WINDOWS, turn))
        row(
            "loader", f"{case}, batches of {batch_size}", statistics.median(ours), "windows/CPU-s",
            reference="torch_brain 0.2.1", reference_value=statistics.median(theirs), n=N, bar=bar,
            higher_is_better=True,
        )  # fmt: skip


def beside_memory(store: Path) -> None:
    """All that a batch costs beside its gather: the same kernel over arrays in memory is the bound."""
    cases: list[tuple[int | None, Layout]] = [(None, "dense"), (64, "dense"), (None, "token-views")]
    for kept, layout in cases:
        view = view_of(store, kept)
        for batch_size in (BATCH, 32):
            loop = Loop(view, every_window(view, WINDOW_FRAMES), layout, batch_size)
            bound = Memory(loop)
            (_, ours), (_, theirs) = side_by_side(loop.epoch, bound.epoch, n=N)
            n = len(loop.loader.windows)
            row(
                "loader", f"{kept or 200} of 200 neurons, {layout}, batches of {batch_size}", n / ours,
                "windows/CPU-s", reference="the same kernel from memory", reference_value=n / theirs, n=N,
                bar=0.8 if batch_size == BATCH and layout == "dense" else None, higher_is_better=True,
            )  # fmt: skip


def beside_packed(store: Path, folder: Path) -> None:
    """What a packed copy gives where a third, or a tenth, of the neurons is kept."""
    for kept in (64, 20):
        view = view_of(store, kept)
        index = every_window(view, WINDOW_FRAMES)
        mapped = Loop(view, index)
        start = time.process_time()
        packed = Loop(view, index, access="packed", packed=folder / f"packed-{kept}")
        took_s = time.process_time() - start
        (_, ours), (_, theirs) = side_by_side(packed.epoch, mapped.epoch, n=N)
        case = f"{kept} of 200 neurons from a packed copy (made in {took_s:.1f} CPU-s)"
        row(
            "loader", case, len(index) / ours, "windows/CPU-s", reference="mapped", reference_value=len(index) / theirs,
            n=N, higher_is_better=True,
        )  # fmt: skip


_START = """
import numpy as np
from pathlib import Path
import tests.benchmarks.loader as bench
from tests.benchmarks.loader_data import every_window, view_of
import torch
imported_mb = peak_mb()
begin = time.perf_counter()
view = view_of(Path(sys.argv[1]))
resolved = time.perf_counter()
index = every_window(view, int(sys.argv[2]))
loop = bench.Loop(view, index, batch_size=32)
loop.epoch(0, 1)
first_s = time.perf_counter() - resolved
opened_mb = peak_mb()
loop.epoch(0, int(sys.argv[3]))
say(first_s=first_s, resolve_s=resolved - begin, peak_mb=peak_mb() - opened_mb, windows=len(index))
"""


def starting(stores: dict[str, Path]) -> None:
    """First batch and memory, each in a process of its own; imports do not count, and the kernel is compiled before."""
    for name, store in stores.items():
        for n_frames in (WINDOW_FRAMES, 1):
            said = [in_own_process(_START, store, str(n_frames), "100", open_files=1024) for _ in range(N)]
            first = statistics.median(answer["first_s"] for answer in said)
            case = f"first batch, {name}, {said[0]['windows']:,} windows of {n_frames} frames"
            row("loader", case, first, "s", reference="the promise", reference_value=0.3, n=N, bar=1.0)
            # What is mapped counts as memory once it is touched: beside it, a batch is all there is.
            peak = statistics.median(answer["peak_mb"] for answer in said)
            case = f"memory after the first batch, {name}, {said[0]['windows']:,} windows of {n_frames} frames"
            row(
                "loader", case, peak, "MB", reference="bytes touched", reference_value=_touched_mb(store, n_frames), n=N
            )


def _touched_mb(store: Path, n_frames: int) -> float:
    widest = int(view_of(store).store.sessions["n_neurons"].max())
    return 3200 * widest * n_frames * 4 / 1e6


def flat(few: Path, many: Path) -> None:
    """As many bytes in 433 recordings as in 5."""
    loops = []
    for store in (many, few):
        view = view_of(store)
        loops.append(Loop(view, every_window(view, WINDOW_FRAMES)))
    batches = min(len(loop.loader) for loop in loops)
    (_, ours), (_, theirs) = side_by_side(*(partial(loop.epoch, 0, batches) for loop in loops), n=N)
    row(
        "loader", "433 recordings", batches * BATCH / ours, "windows/CPU-s", reference="5 recordings, as many bytes",
        reference_value=batches * BATCH / theirs, n=N, bar=0.8, higher_is_better=True,
    )  # fmt: skip


def from_disk(store: Path) -> None:
    """Nothing in memory: windows beside plain reads of the same bytes, in wall-clock time."""
    view = view_of(store)
    index = every_window(view, WINDOW_FRAMES)
    files = [Path(view.store.traces(key).filename) for key in view.session_ids]  # type: ignore[attr-defined]
    n_batches = 25
    rates: dict[str, list[float]] = {"ours": [], "pread": []}
    for turn in range(N + 1):
        for side in ("ours", "pread") if turn % 2 else ("pread", "ours"):
            gc.collect()  # pages of a file that is still mapped would stay
            for file in files:
                forget(file)
            loop = Loop(view_of(store), index)
            located = [own for own, _ in zip(loop.located(turn), range(n_batches), strict=False)]
            start = time.perf_counter()
            if side == "ours":
                loop.epoch(turn, n_batches)
            else:
                _pread(files, located)
            rates[side].append(n_batches * BATCH / (time.perf_counter() - start))
            del loop
    ours, theirs = (statistics.median(rates[side][1:]) for side in ("ours", "pread"))
    row(
        "loader", "nothing in memory, 200 neurons, 57 frames", ours, "windows/s", reference="random pread",
        reference_value=theirs, n=N, bar=0.7, higher_is_better=True,
    )  # fmt: skip


def _pread(files: list[Path], batches: list[Located]) -> None:
    row_bytes = 200 * 4
    handles = [os.open(file, os.O_RDONLY) for file in files]
    try:
        for located in batches:
            for session, start in zip(located.session_index.tolist(), located.start.tolist(), strict=True):
                os.pread(handles[session], WINDOW_FRAMES * row_bytes, start * row_bytes)
    finally:
        for handle in handles:
            os.close(handle)


PARTS = ("peer", "memory", "packed", "start", "flat", "disk")


def main(parts: tuple[str, ...] = PARTS) -> None:
    """Print one line a case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer, store = Peer(folder / "peer"), folder / "peer.zarr"
        if peer.missing:
            noise_store(store, 5, 100_000, 200)
        else:
            peer_store(store, peer.generate())
        few, many = folder / "few.zarr", folder / "many.zarr"
        if {"start", "flat"} & set(parts):
            noise_store(few, 5, 523_000, 40)
            noise_store(many, 433, 6040, 40)  # blocks of a split need trials in each
        work: dict[str, Callable[[], None]] = {
            "peer": lambda: beside_the_peer(store, peer),
            "memory": lambda: beside_memory(store),
            "packed": lambda: beside_packed(store, folder),
            "start": lambda: starting({"5 recordings": few, "433 recordings": many}),
            "flat": lambda: flat(few, many),
            "disk": lambda: from_disk(store),
        }
        for part in parts:
            work[part]()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PARTS)
