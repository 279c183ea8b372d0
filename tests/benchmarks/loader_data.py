"""Data of the loader's benchmark, and torch_brain measured on it in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from poyodata.curation import Diet, load_diet
from poyodata.curation.view import View
from poyodata.loaders.windows.index import WindowIndex
from poyodata.store import StoreWriter, open_store
from tests.benchmarks.many_recordings import one_recording

ROOT = Path(__file__).resolve().parents[2]
N_RECORDINGS, N_FRAMES, N_NEURONS = 5, 100_000, 200
Read = Callable[[int, int], np.ndarray]


class Peer:
    """torch_brain in its own environment: it makes the data, and its loader is measured on it.

    ``$POYODATA_PEER_PYTHON`` is the Python that has torch_brain 0.2.1; ``$POYODATA_PEER_BENCH`` the folder of
    ``peer_torch_brain.py``, by default ``../shared/bench``.
    """

    def __init__(self, folder: Path) -> None:
        self.python = os.environ.get("POYODATA_PEER_PYTHON", "")
        bench = Path(os.environ.get("POYODATA_PEER_BENCH", ROOT.parent / "shared" / "bench"))
        self.script, self.folder = bench / "peer_torch_brain.py", folder

    @property
    def missing(self) -> str:
        """Why it cannot be measured; empty where it can."""
        if not self.python or not Path(self.python).exists():
            return "POYODATA_PEER_PYTHON names no Python with torch_brain 0.2.1"
        return "" if self.script.exists() else f"no {self.script.name} in {self.script.parent}; set POYODATA_PEER_BENCH"

    def generate(self) -> list[Path]:
        """Make the recordings; HDF5 files in order."""
        self._run("generate", "--sessions", N_RECORDINGS, "--neurons", N_NEURONS, "--timesteps", N_FRAMES,
                  "--layouts", "allen")  # fmt: skip
        return sorted((self.folder / "allen").glob("*.h5"))

    def windows_per_cpu_s(self, mode: str, window_s: float, batch_size: int, n: int, seed: int) -> float:
        """One run in a fresh process: windows for each second of the whole process tree on a core."""
        said = self._run("one", "--mode", mode, "--window", window_s, "--batch-size", batch_size, "--n", n,
                         "--seed", seed, "--workers", 0)  # fmt: skip
        line = next(line for line in said.splitlines() if line.startswith("RESULT "))
        return float(json.loads(line.removeprefix("RESULT "))["windows_per_cpu_s"])

    def _run(self, command: str, *arguments: object) -> str:
        done = subprocess.run(
            [self.python, str(self.script), command, "--data-dir", str(self.folder), *map(str, arguments)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
        return done.stdout


def write_store(path: Path, reads: dict[str, Read], n_frames: int, n_neurons: int) -> None:
    """Write recordings of 30 Hz whose traces are what `reads` gives for frames start to stop."""
    with StoreWriter(path) as writer:
        for number, (session_id, read) in enumerate(reads.items()):
            made = one_recording(n_neurons, n_frames, session_id)
            metadata = replace(made.metadata, donor_id=f"{300_000 + number}", container_id=f"{400_000 + number}")
            cells = 517_000_000 + number * n_neurons + np.arange(n_neurons)
            neurons = made.neurons.assign(cell_specimen_id=cells, valid_roi=True, exclusion_label="")
            writer.add(replace(made, metadata=metadata, neurons=neurons, read_traces=read))


def peer_store(path: Path, files: list[Path]) -> None:
    """Write the store of the peer's recordings: the same numbers."""
    with _opened(files) as arrays:
        reads: dict[str, Read] = {
            file.stem: partial(lambda array, start, stop: array[start:stop], array)
            for file, array in zip(files, arrays, strict=True)
        }
        write_store(path, reads, N_FRAMES, N_NEURONS)


def noise_store(path: Path, n_recordings: int, n_frames: int, n_neurons: int) -> None:
    """Write a store of noise, made block by block."""

    def read(number: int, start: int, stop: int) -> np.ndarray:
        rng = np.random.default_rng((number, start))
        return rng.standard_normal((stop - start, n_neurons), dtype=np.float32)

    ids = [str(500_000_000 + number) for number in range(n_recordings)]
    write_store(path, {key: partial(read, number) for number, key in enumerate(ids)}, n_frames, n_neurons)


@contextmanager
def _opened(files: list[Path]) -> Iterator[list[Any]]:
    opened = [h5py.File(file, "r") for file in files]
    try:
        yield [file["calcium_traces/df_over_f"] for file in opened]
    finally:
        for file in opened:
            file.close()


def view_of(store_path: Path, kept: int | None = None) -> View:
    """All neurons of each recording, or every so many that `kept` of them are left, spread over the columns."""
    store = open_store(store_path)
    diet = load_diet("all")
    if kept is not None:
        neurons = store.neurons
        column = neurons["column"].to_numpy()
        width = neurons.groupby("session_id")["column"].transform("size").to_numpy()
        spread = (column * kept) // width != ((column + 1) * kept) // width
        diet = Diet.ids(neurons.loc[spread, "neuron_id"].tolist(), name="some")
    return diet.resolve(store, split="blocks-5fold").open(store)


def every_window(view: View, n_frames: int, span: tuple[int, int] | None = None) -> WindowIndex:
    """Windows back to back through whole recordings, or through some frames of each; random phase but for one frame."""
    n = len(view.session_ids)
    sessions = view.store.sessions.set_index("session_id").loc[list(view.session_ids)]
    stop = sessions["n_frames"].to_numpy(np.int64) if span is None else np.full(n, span[1])
    first = np.full(n, 0 if span is None else span[0], np.int64)
    count = (stop - first - n_frames) // n_frames + 1
    every = np.full(n, n_frames, np.int64)
    slack = np.minimum(stop - first - n_frames, n_frames - 1)
    return WindowIndex(
        view.session_ids, np.arange(n), first, count, every, first, stop - n_frames, np.full(n, -1), n_frames, slack
    )
