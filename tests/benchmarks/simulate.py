"""One hour of 200 neurons, simulated and read back: ``python -m tests.benchmarks.simulate``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from poyodata.ingest import ingest
from poyodata.simulation import load_world, simulate, simulate_session
from poyodata.simulation.templates import Templates
from poyodata.sources import read_allen_nwb
from poyodata.store.layout import BLOCK_FRAMES, MOVIE_BLOCK_FRAMES
from tests.benchmarks.row import forget, median_seconds, row, wall_and_cpu

BUDGET_S = 20.0
DISK_GB_S = 1.5  # what an NVMe disk gives
_MEASURE = "--measure"


@contextmanager
def one_core() -> Iterator[None]:
    """Keep what this process starts on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Print one line a case, medians of five: making templates, simulating in memory and to disk, reading back."""
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with one_core():
        # A process of its own: threads that numpy has started in this one would keep their cores.
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.simulate", _MEASURE], env=os.environ | alone, check=True
        )


def _simulate_and_read() -> None:
    world = load_world("cux2").replace(sessions=1, neurons=200)
    hour = "60 minutes, 200 neurons, session A"

    def templates() -> Templates:
        made = Templates(world)
        for stimulus in ("natural_movie_one", "natural_movie_three"):
            made[stimulus]
        return made

    shown = templates()
    for case, work in (
        ("templates of session A", templates),
        (f"{hour}, in memory, templates at hand", lambda: simulate_session(world, 0, shown)),
        (f"{hour}, in memory", lambda: simulate_session(world, 0)),
    ):
        _budget(case, work)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def to_disk() -> None:
            # A folder that holds the recording already would be left as it is.
            shutil.rmtree(folder / "raw", ignore_errors=True)
            simulate(folder / "raw", world)

        _budget(f"{hour}, to disk", to_disk)
        file = folder / "raw" / "900000000.nwb"

        def through_reader() -> None:
            record = read_allen_nwb(file)
            for block in record.blocks(BLOCK_FRAMES):
                block[0, 0]
            for template in record.templates.values():
                frames = template()
                for start in range(0, frames.shape[0], MOVIE_BLOCK_FRAMES):
                    frames[start : start + MOVIE_BLOCK_FRAMES]

        def bytes_of_file() -> None:
            with file.open("rb") as opened:
                while opened.read(2**24):
                    pass

        case, gigabytes = "read through the reader, all of dF/F and templates", file.stat().st_size / 1e9
        wall, cpu = wall_and_cpu(through_reader)
        row(
            "simulate", case, wall, "s",
            reference="the bytes of the file", reference_value=median_seconds(bytes_of_file), n=5,
        )  # fmt: skip
        for unit, seconds in (("GB/s", wall), ("GB/CPU s", cpu)):
            row(
                "simulate", f"{case}, {gigabytes:.2f} GB", gigabytes / seconds, unit, reference="an NVMe disk",
                reference_value=DISK_GB_S, n=5, bar=1.0, higher_is_better=True,
            )  # fmt: skip
        if hasattr(os, "posix_fadvise"):
            # With the page cache emptied of the file before each call, the same on both sides.
            cold = [median_seconds(work, before=lambda: forget(file)) for work in (through_reader, bytes_of_file)]
            row(
                "simulate", f"{case}, from the disk of this machine", cold[0], "s",
                reference="the bytes of the file, from the disk", reference_value=cold[1], n=5,
            )  # fmt: skip

        def read() -> None:
            shutil.rmtree(folder / "store.zarr", ignore_errors=True)
            ingest([file], folder / "store.zarr")

        def plain() -> None:
            # The same bytes: dF/F and templates of the file, read whole, and written as plain arrays.
            with h5py.File(file) as opened:
                dff = opened["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1/data"][()]
                np.save(folder / "plain.npy", np.ascontiguousarray(dff.T))
                for template in opened["stimulus/templates"].values():
                    np.save(folder / "template.npy", template["data"][()])

        reference = "h5py and np.save of the same arrays"
        row(
            "simulate", "read into a store", median_seconds(read), "s",
            reference=reference, reference_value=median_seconds(plain), n=5,
        )  # fmt: skip


def _budget(case: str, work: Callable[[], object]) -> None:
    """Print wall-clock time, and the time of the core, which a busy machine does not stretch."""
    for unit, seconds in zip(("s", "CPU s"), wall_and_cpu(work), strict=True):
        row("simulate", case, seconds, unit, reference="budget", reference_value=BUDGET_S, n=5, bar=1.0)


if __name__ == "__main__":
    _simulate_and_read() if sys.argv[1:] == [_MEASURE] else main()
