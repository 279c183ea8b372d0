"""The statistics engine, on one thread: ``python -m tests.benchmarks.statistics [section ...]``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path

import numpy as np
import scipy.stats

from poyodata.ingest import ingest
from poyodata.simulation import load_world, simulate
from poyodata.splits import default_split, resolve_split
from poyodata.statistics import STATISTICS, MomentState, compute_statistics, find_statistics
from poyodata.statistics.pieces import cut_pieces
from poyodata.statistics.seen import Seen
from poyodata.store import Store, open_store
from tests.benchmarks.made_nwb import write_made_nwb
from tests.benchmarks.row import row, side_by_side, wall_and_cpu

N_FRAMES, N_NEURONS = 115_000, 200
SESSION_BUDGET_S, MEMORY_BUDGET_MB, QUERY_BUDGET_S = 3.0, 20.0, 0.05
MANY, MANY_FRAMES, MANY_NEURONS = 40, 10_300, 47
QUERIED, QUERIED_FRAMES, QUERIED_NEURONS = 433, 600, 146


def moments(folder: Path) -> None:
    """Four moments of traces in memory, beside scipy and beside reading the traces once."""
    del folder
    traces = np.random.default_rng(0).gamma(0.5, size=(N_FRAMES, N_NEURONS)).astype(np.float32)

    def with_scipy() -> None:
        double = traces.astype(np.float64)
        double.mean(axis=0)
        double.std(axis=0)
        scipy.stats.skew(double)
        scipy.stats.kurtosis(double)

    references = (
        ("scipy.stats, float64", with_scipy, 0.01),
        ("column sum, float32", lambda: traces.sum(axis=0), 2.5),
        ("column sum, float64", lambda: traces.sum(axis=0, dtype=np.float64), 2.5),
    )
    for name, reference, bar in references:
        (ours, ours_cpu), (theirs, theirs_cpu) = side_by_side(lambda: MomentState.of(traces).finalize(), reference)
        for unit, own, other in (("s", ours, theirs), ("CPU s", ours_cpu, theirs_cpu)):
            row("statistics", "moments", own, unit, reference=name, reference_value=other, n=5, bar=bar)


def _session_a(folder: Path) -> Store:
    """One recording of session A as the Allen Brain Observatory has them: three stimuli, over an hour."""
    (source,) = simulate(folder / "raw", load_world("cux2").replace(sessions=1, neurons=N_NEURONS))
    ingest([source], folder / "one.zarr")
    return open_store(folder / "one.zarr")


def _forget(store: Store) -> None:
    shutil.rmtree(store.statistics_folder, ignore_errors=True)


def session(folder: Path) -> None:
    """All default statistics of one session A, then each; what was computed before is forgotten each time."""
    store = _session_a(folder)
    n_frames, n_neurons = store.sessions[["n_frames", "n_neurons"]].iloc[0]
    case = f"of one session A, {n_frames:,} frames of {n_neurons} neurons"

    def computed(names: list[str] | None) -> None:
        _forget(store)
        compute_statistics(store, names, workers=1)

    wall, cpu = wall_and_cpu(partial(computed, None))
    for unit, value in (("s", wall), ("CPU s", cpu)):
        row(
            "statistics", f"all {len(STATISTICS)} statistics {case}", value, unit, reference="budget",
            reference_value=SESSION_BUDGET_S, n=5, bar=1.0,
        )  # fmt: skip
    for name in STATISTICS:
        _, seconds = wall_and_cpu(partial(computed, [name]))
        row("statistics", f"{name} {case}", seconds, "CPU s", reference="all", reference_value=cpu, n=5)
    for names, what in ((["moments"], "moments"), (None, "all statistics")):
        _forget(store)
        tracemalloc.start()
        compute_statistics(store, names, workers=1)
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        row(
            "statistics", f"extra memory, {what} {case}", peak_mb, "MB", reference="budget",
            reference_value=MEMORY_BUDGET_MB, n=1, bar=1.0,
        )  # fmt: skip


def _made(folder: Path, count: int, n_frames: int, n_neurons: int) -> Store:
    """A store of recordings of noise under gratings."""
    raw = folder / f"raw_{count}_{n_frames}_{n_neurons}"
    raw.mkdir()
    for number in range(count):
        write_made_nwb(raw / f"{number}.nwb", n_frames, n_neurons, number)
    out = raw.with_suffix(".zarr")
    ingest([raw], out)
    shutil.rmtree(raw)
    return open_store(out)


def overhead(folder: Path) -> None:
    """What the engine adds to calling each statistic on each recording's train-role time."""
    store = _made(folder, MANY, MANY_FRAMES, MANY_NEURONS)
    split = resolve_split(store, default_split(store))

    def through_engine(names: list[str] | None) -> None:
        _forget(store)
        compute_statistics(store, names, split=split, workers=1)

    def by_hand(names: list[str] | None) -> None:
        chosen = find_statistics(names)
        for piece in cut_pieces(store, store.session_ids, split, chosen, bounds=False):
            seen = Seen(store, piece)
            for statistic in chosen:
                states = (statistic.chunk(stretch, statistic.params) for stretch in seen.stretches(statistic))
                statistic.finalize(reduce(statistic.combine, states), statistic.params)

    size = f"of {MANY} recordings, {MANY_FRAMES:,} frames of {MANY_NEURONS} neurons"
    for names, what in ((None, "all statistics"), (["moments"], "moments alone")):
        (ours, ours_cpu), (theirs, theirs_cpu) = side_by_side(partial(through_engine, names), partial(by_hand, names))
        for unit, own, other in (("s", ours, theirs), ("CPU s", ours_cpu, theirs_cpu)):
            row(
                "statistics", f"{what} {size}", own, unit, reference="the same functions in a loop",
                reference_value=other, n=5, bar=1.1,
            )  # fmt: skip


def growing(folder: Path) -> None:
    """CPU time a recording at 10, 20 and 40 recordings, and a neuron at 50, 100, 200 and 400 neurons."""

    def cpu_s(store: Store) -> float:
        def computed() -> None:
            _forget(store)
            compute_statistics(store, workers=1)

        return wall_and_cpu(computed)[1]

    recordings = {count: cpu_s(_made(folder, count, 3_000, 30)) / count for count in (10, 20, 40)}
    neurons = {count: cpu_s(_made(folder, 1, 20_000, count)) / count for count in (50, 100, 200, 400)}
    for what, each in (("recording", recordings), ("neuron", neurons)):
        first = min(each)
        for count, seconds in each.items():
            row(
                "statistics", f"all statistics of {count} {what}s, a {what}", seconds, "CPU s",
                reference=f"of {first}", reference_value=each[first], n=5, bar=1.3,
            )  # fmt: skip


def querying(folder: Path) -> None:
    """Statistics that are kept, asked for again in a store of the size of the published data set."""
    store = _made(folder, QUERIED, QUERIED_FRAMES, QUERIED_NEURONS)
    for names, what in ((["moments"], "moments"), (None, "all statistics")):
        compute_statistics(store, names)

        def query(names: list[str] | None = names) -> int:
            table = compute_statistics(store, names)
            return len(table[(table["skewness"] <= 3.51) & (table["kurtosis"] <= 22.62)])

        begun = time.perf_counter()
        compute_statistics(open_store(store.path), names)
        first = time.perf_counter() - begun
        size = f"{len(store.neurons):,} neurons of {QUERIED} recordings"
        case = f"query of {what} that are kept, {size}"
        wall, _ = wall_and_cpu(query, n=15)
        budget = {"reference": "budget", "reference_value": QUERY_BUDGET_S, "bar": 1.0}
        row("statistics", case, wall, "s", n=15, **budget)  # type: ignore[arg-type]
        row("statistics", f"{case}, store opened for it", first, "s", n=1, **budget)  # type: ignore[arg-type]


SECTIONS: dict[str, Callable[[Path], None]] = {
    work.__name__: work for work in (moments, session, overhead, growing, querying)
}


def main(names: list[str]) -> None:
    """Print one line a case, of the sections named or of all."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in names or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
