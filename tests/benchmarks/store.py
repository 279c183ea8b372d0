"""The store beside plain NumPy, h5py and a peer: ``python -m tests.benchmarks.store [section ...]``."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from poyodata.digests import array_digest
from poyodata.ingest import ingest
from poyodata.simulation import load_world, simulate
from poyodata.store import open_store
from poyodata.store.shard import write_shard
from tests.benchmarks.made_nwb import PIPELINE, write_made_nwb
from tests.benchmarks.many_recordings import write_many
from tests.benchmarks.own_process import ROOT, in_own_process
from tests.benchmarks.row import row, side_by_side, skipped

N_FRAMES, N_NEURONS, BLOCK_FRAMES, READ_FRAMES = 115_000, 200, 1024, 5_000

MANY, OPEN_FILES = 1_333, 256
FLAT = "sessions,neurons,epochs,segments"
OPEN_BUDGET_S, OPEN_BUDGET_MB, OPEN_BUDGET_FILES = 0.5, 100.0, 15

PEER_PYTHON = "POYODATA_PEER_PYTHON"
PEER_SCRIPTS = ROOT.parent / "shared" / "bench"

GROWTH, GROWTH_FRAMES, GROWTH_NEURONS, GROWTH_BAR = (10, 40, 160), 1_500, 30, 1.3
ROUNDS = 5

DFF = f"{PIPELINE}/DfOverF/imaging_plane_1"


def writing(folder: Path) -> None:
    """One array as the store writes it."""
    traces = np.random.default_rng(0).standard_normal((N_FRAMES, N_NEURONS), dtype=np.float32)
    shard, plain = folder / "dff", folder / "dff.npy"

    def write_store() -> None:
        shutil.rmtree(shard, ignore_errors=True)
        pieces = (traces[start : start + BLOCK_FRAMES] for start in range(0, N_FRAMES, BLOCK_FRAMES))
        write_shard(shard, pieces, traces.shape, block_rows=BLOCK_FRAMES, dimension_names=("time", "neuron"))

    def write_numpy() -> None:
        plain.unlink(missing_ok=True)
        np.save(plain, traces)

    def write_numpy_with_digests() -> None:
        write_numpy()
        for start in range(0, N_FRAMES, BLOCK_FRAMES):
            array_digest(traces[start : start + BLOCK_FRAMES])

    # Our one pass also digests every block and the file; the second row says what of the first is the digests.
    for name, reference in (("np.save", write_numpy), ("np.save, then block digests", write_numpy_with_digests)):
        (ours, _), (theirs, _) = side_by_side(write_store, reference)
        row("store", "write", ours, "s", reference=name, reference_value=theirs, n=5)


def reading(folder: Path) -> None:
    """A block of all neurons, and all frames of one neuron; both sides map the same bytes, in the page cache."""
    source = write_made_nwb(folder / "one.nwb", N_FRAMES, N_NEURONS)
    ingest([source], folder / "one.zarr")
    (session_id,) = open_store(folder / "one.zarr").session_ids
    store = open_store(folder / "one.zarr")
    np.save(folder / "plain.npy", store.traces(session_id))
    plain = np.load(folder / "plain.npy", mmap_mode="r")
    middle = slice(N_FRAMES // 2, N_FRAMES // 2 + READ_FRAMES)
    megabytes = plain[middle].nbytes / 1e6

    def rates(fraction_mb: float, *works: Callable[[], object]) -> list[float]:
        return [fraction_mb / seconds for seconds, _ in side_by_side(*works, n=25)]

    ours, theirs = rates(megabytes, lambda: np.array(store.traces(session_id)[middle]), lambda: np.array(plain[middle]))
    row(
        "store", f"read {READ_FRAMES:,} frames of {N_NEURONS} neurons", ours, "MB/s", reference="np.memmap",
        reference_value=theirs, n=25, bar=0.8, higher_is_better=True,
    )  # fmt: skip
    with h5py.File(source) as file:
        across = file[f"{DFF}/data"]
        whole = plain[:, 0].nbytes / 1e6
        ours, theirs, hdf5 = rates(
            whole,
            lambda: np.array(store.traces(session_id)[:, 7]),
            lambda: np.array(plain[:, 7]),
            lambda: across[7],
        )
    case = f"read {N_FRAMES:,} frames of one of {N_NEURONS} neurons"
    for name, reference in (("np.memmap", theirs), ("h5py, where each neuron lies apart", hdf5)):
        row("store", case, ours, "MB/s", reference=name, reference_value=reference, n=25, higher_is_better=True)


def ingesting(folder: Path) -> None:
    """NWB 1.0 into a store, beside reading the same datasets with h5py and writing them with NumPy."""
    (source,) = simulate(folder / "raw", load_world("cux2").replace(sessions=1, neurons=N_NEURONS))
    out, plain = folder / "store.zarr", folder / "plain"

    def through_poyodata() -> None:
        shutil.rmtree(out, ignore_errors=True)
        ingest([source], out)

    with h5py.File(source) as file:
        names = _ingested(file)
        megabytes = sum(file[name].nbytes for name in names) / 1e6

    def with_numpy(write: Callable[[Path, h5py.Dataset], None], is_synced: bool) -> None:
        shutil.rmtree(plain, ignore_errors=True)
        plain.mkdir()
        with h5py.File(source) as file:
            for number, name in enumerate(names):
                write(plain / f"{number}.npy", file[name])
        for path in plain.iterdir() if is_synced else ():
            _sync(path)

    case = f"ingest of NWB 1.0, {megabytes:,.0f} MB: dF/F, templates, masks, clocks, signals, stimulus tables"
    references = {"whole, h5py and np.save": _save_whole, "16 MB at a time, h5py and ndarray.tofile": _save_in_pieces}
    for is_synced, how in ((True, "fsync on both sides"), (False, "fsync on neither side")):
        with _fsync(is_synced):
            ours, *others = side_by_side(
                through_poyodata, *(partial(with_numpy, write, is_synced) for write in references.values())
            )
        for reference, other in zip(references, others, strict=True):
            for unit, own_s, other_s in zip(("MB/s", "MB/CPU s"), ours, other, strict=True):
                row(
                    "store", f"{case}; {how}", megabytes / own_s, unit, reference=f"the same datasets {reference}",
                    reference_value=megabytes / other_s, n=5, bar=0.7, higher_is_better=True,
                )  # fmt: skip


def _save_whole(path: Path, dataset: h5py.Dataset) -> None:
    values = dataset[()]
    np.save(path, np.ascontiguousarray(values.T) if dataset.name.endswith(f"{DFF}/data") else values)


def _save_in_pieces(path: Path, dataset: h5py.Dataset) -> None:
    """What memory allows where recordings are long; dF/F is turned around, as a store has it."""
    is_across = dataset.name.endswith(f"{DFF}/data")
    count = dataset.shape[1] if is_across else dataset.shape[0]
    rows = max(1, count * 2**24 // max(1, dataset.nbytes))
    with path.open("wb") as file:
        for start in range(0, count, rows):
            part = np.s_[start : start + rows]
            piece = dataset[:, part].T if is_across else dataset[part]
            np.ascontiguousarray(piece).tofile(file)


def _ingested(file: h5py.File) -> list[str]:
    """Datasets whose values a store takes from a simulated NWB 1.0 file, each once."""
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        beside = name.startswith(f"{PIPELINE}/Fluorescence") or name.endswith(("pix_mask", "pix_mask_weight"))
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.ndim and not beside:
            names.append(name)

    file.visititems(visit)
    return names


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _fsync(is_done: bool) -> Iterator[None]:
    real = os.fsync
    if not is_done:
        os.fsync = lambda handle: None
    try:
        yield
    finally:
        os.fsync = real


_OPEN = """
import pandas, pyarrow.parquet
from poyodata.store import open_store

imported_mb, most = peak_mb(), [0]
if sys.argv[3] == "count":
    sys.addaudithook(lambda event, _: event == "open" and most.append(open_files() + 1))
begun, cpu = time.perf_counter(), time.process_time()
store = open_store(sys.argv[1])
rows = {name: len(getattr(store, name)) for name in sys.argv[2].split(",")}
seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
say(s=seconds, cpu_s=cpu_seconds, rows=rows, open_files=max(most),
    over_bare=peak_mb() - bare_mb, over_imported=peak_mb() - imported_mb)
"""


def opening(folder: Path) -> None:
    """Very many recordings, each time in a new process that may have 256 files open."""
    path = folder / "many.zarr"
    holds = write_many(path, MANY)
    for tables in (FLAT, f"{FLAT},presentations"):
        runs = [in_own_process(_OPEN, path, tables, "measure", open_files=OPEN_FILES) for _ in range(6)][1:]
        counted = in_own_process(_OPEN, path, tables, "count", open_files=OPEN_FILES)
        case = f"open {holds}; read {tables.replace(',', ', ')} ({sum(counted['rows'].values()):,} rows)"
        for key, unit, budget, what in (
            ("s", "s", OPEN_BUDGET_S, ""),
            ("cpu_s", "CPU s", OPEN_BUDGET_S, ""),
            ("over_imported", "MB", OPEN_BUDGET_MB, ", peak over an interpreter that imported poyodata.store"),
            ("over_bare", "MB", OPEN_BUDGET_MB, ", peak over a bare interpreter, imports included"),
        ):
            value = statistics.median(run[key] for run in runs)
            row("store", case + what, value, unit, reference="budget", reference_value=budget, n=5, bar=1.0)
        row(
            "store", f"{case}, files open at once, of {OPEN_FILES} allowed", counted["open_files"], "files",
            reference="budget", reference_value=OPEN_BUDGET_FILES, n=1, bar=1.0,
        )  # fmt: skip
    _peer(folder, min(run["s"] for run in runs))


def _peer(folder: Path, ours_s: float) -> None:
    """The same number of recordings in torch_brain's format, opened by torch_brain in its own environment."""
    python = os.environ.get(PEER_PYTHON)
    case = f"open {MANY:,} recordings with torch_brain, keeping their files open or not"
    if not python or not PEER_SCRIPTS.is_dir():
        skipped(
            "store",
            case,
            f"set {PEER_PYTHON} to a Python that has torch_brain and psutil, with shared/bench beside here",
        )
        return
    # Short recordings, all the same, in files of their own: all in the peer's favour.
    make = ["generate", "--data-dir", folder / "peer", "--sessions", "1", "--neurons", "130", "--timesteps", "900"]
    subprocess.run([python, PEER_SCRIPTS / "peer_torch_brain.py", *make], check=True, stdout=subprocess.DEVNULL)
    (one,) = (folder / "peer" / "allen").glob("*.h5")
    for number in range(1, MANY):
        shutil.copyfile(one, one.with_name(f"{int(one.stem) + number}.h5"))
    limited = ["bash", "-c", f'ulimit -n {OPEN_FILES} && exec "$0" "$@"', python]
    done = subprocess.run(
        [*limited, PEER_SCRIPTS / "peer_many_files.py", one.parent], check=True, capture_output=True, text=True
    )
    for line in done.stdout.splitlines()[1:]:
        said = re.search(r"(?:wall s|wall) ([\d.]+)", line)
        if said is None:
            skipped("store", case, f"torch_brain: {line.strip()}")
            continue
        name = f"{case}: {line.strip()}"
        row("store", name, float(said.group(1)), "s", reference="poyodata", reference_value=ours_s, n=1)


_INGEST = """
from pathlib import Path
from poyodata.ingest import ingest

begun, cpu = time.perf_counter(), time.process_time()
ingest([Path(sys.argv[1])], Path(sys.argv[2]), workers=1)
say(s=time.perf_counter() - begun, cpu_s=time.process_time() - cpu, peak=peak_mb())
"""


def growing(folder: Path) -> None:
    """Time and memory of ingest a recording, for few recordings and for many."""
    for number in range(max(GROWTH)):
        part = folder / "few" / str(next(count for count in GROWTH if number < count))
        part.mkdir(parents=True, exist_ok=True)
        write_made_nwb(part / f"{number}.nwb", GROWTH_FRAMES, GROWTH_NEURONS, number)
    sources = {}
    for count in GROWTH:
        sources[count] = folder / f"first_{count}"
        sources[count].mkdir()
        for path in (folder / "few").glob("*/*.nwb"):
            if int(path.stem) < count:
                os.link(path, sources[count] / path.name)
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in GROWTH}
    for _ in range(ROUNDS):
        for count in GROWTH:
            out = folder / f"{count}.zarr"
            shutil.rmtree(out, ignore_errors=True)
            runs[count].append(in_own_process(_INGEST, sources[count], out))
    size = f"{GROWTH_FRAMES:,} frames of {GROWTH_NEURONS} neurons"
    for key, unit, what in (
        ("s", "s", "a recording"),
        ("cpu_s", "CPU s", "a recording"),
        ("peak", "MB", "at its peak"),
    ):
        each = {
            count: statistics.median(run[key] / (1 if key == "peak" else count) for run in runs[count])
            for count in GROWTH
        }
        for count in GROWTH:
            row(
                "store", f"ingest of {count} recordings ({size}), {what}", each[count], unit,
                reference=f"of {GROWTH[0]}", reference_value=each[GROWTH[0]], n=ROUNDS, bar=GROWTH_BAR,
            )  # fmt: skip


def remembering(folder: Path) -> None:
    """Peak memory of the whole process that ingests one recording, and one ten times as long."""
    for n_frames, budget_mb in ((N_FRAMES, 400.0), (10 * N_FRAMES, 600.0)):
        source, out = write_made_nwb(folder / f"{n_frames}.nwb", n_frames, N_NEURONS), folder / f"{n_frames}.zarr"
        peak = in_own_process(_INGEST, source, out)["peak"]
        case = f"memory of ingest, {n_frames * N_NEURONS * 4 / 1e6:,.0f} MB of dF/F, peak of the whole process"
        row("store", case, peak, "MB", reference="budget", reference_value=budget_mb, n=1, bar=1.0)
        shutil.rmtree(out)
        source.unlink()


SECTIONS: dict[str, Callable[[Path], None]] = {
    work.__name__: work for work in (writing, reading, ingesting, opening, growing, remembering)
}


def main(names: list[str]) -> None:
    """Print one line a case, of the sections named or of all."""
    for name in names or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
