"""Diets on large stores, on one thread: ``python -m tests.benchmarks.curation [section ...]``."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from poyodata.curation import Diet, load_diet
from poyodata.curation.windows.choice import COLUMNS
from poyodata.digests import hash_order
from poyodata.splits import default_split, resolve_split
from poyodata.statistics import compute_statistics
from poyodata.store import Store, StoreWriter, open_store
from poyodata.store.tables import TABLES
from tests.benchmarks.many_recordings import one_recording
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.row import row, wall_and_cpu

RECORDINGS, NEURONS, FRAMES = 433, 146, 6_040
RESOLVE_BUDGET_S, PREVIEW_BUDGET_S = 0.3, 0.1
MILLIONS, MILLIONS_BUDGET_S, MILLIONS_BUDGET_MB = 10_000_000, 20.0, 4_000.0
LINEAR = (1_000_000, 4_000_000)
"""Both are hashed by the same code, as are samples of a part of them; smaller tables are hashed by another."""
LINEAR_BAR = 1.5
"""Of the time a neuron, at four times as many: sorting takes 1.1 of it, and caches that no longer hold the table the
rest. What is quadratic would be at 4."""
DIETS = {
    "predictable": load_diet("predictable"),
    "predictable, gratings alone": load_diet("predictable").during("stimulus == 'drifting_gratings' and not blank"),
    "mixed-30": load_diet("mixed-30"),
    "random-matched": load_diet("random-matched"),
    "quantile, top of each line": Diet.where("skewness <= quantile(skewness, 0.9)").top(
        100, by="kurtosis", within="cre_line"
    ),
}


def _large(path: Path) -> Store:
    """A store of the size of the published data set in neurons, recordings and presentations, of short recordings."""
    with StoreWriter(path) as writer:
        for number in range(RECORDINGS):
            session_id = str(500_000_000 + number)
            record = one_recording(NEURONS, FRAMES, session_id, seed=number)
            writer.add(record)
    store = open_store(path)
    compute_statistics(store, ["moments"], resolve_split(store, default_split(store)))
    return store


def _read_tables(path: Path, diet: Diet) -> None:
    """What resolving a diet must have read, whatever it does with it, opened anew: tables, kept moments, the split.

    Presentations are read for a condition on windows alone, and of these the columns that windows have.
    """
    store = open_store(path)
    split = resolve_split(store, default_split(store))
    compute_statistics(store, ["moments"], split)
    for table in ("neurons", "epochs", "segments"):
        len(getattr(store, table))
    if diet.windows.where is not None:
        shown = [name for name in COLUMNS if name in TABLES["presentations"]]
        store.presentations_of(store.session_ids, shown)


def resolving(folder: Path) -> None:
    """A diet resolved on a store that was opened for it, and again on the open store; then what a slider asks."""
    store = _large(folder / "large.zarr")
    size = f"{len(store.neurons):,} neurons of {RECORDINGS} recordings, {len(store.presentations):,} presentations"
    budget = {"reference": "budget", "reference_value": RESOLVE_BUDGET_S, "bar": 1.0, "n": 5}
    for name, diet in DIETS.items():
        beyond: list[tuple[float, float]] = []
        for turn in range(6):
            spent = []
            for work in (
                lambda diet=diet: _read_tables(store.path, diet),
                lambda diet=diet: diet.resolve(open_store(store.path)),
            ):
                gc.collect()
                wall, cpu = time.perf_counter(), time.process_time()
                work()
                spent.append((time.perf_counter() - wall, time.process_time() - cpu))
            if turn:
                beyond.append((spent[1][0] - spent[0][0], spent[1][1] - spent[0][1]))
        for place, unit in enumerate(("s", "CPU s")):
            value = statistics.median(pair[place] for pair in beyond)
            row("curation", f"{name}: resolved, beyond reading tables; {size}", value, unit, **budget)  # type: ignore[arg-type]
        wall, cpu = wall_and_cpu(lambda diet=diet: diet.resolve(store))  # type: ignore[misc]
        for unit, value in (("s", wall), ("CPU s", cpu)):
            free = {**budget, "bar": None}  # presentations are read again: no table of a recording is kept in memory
            given = free if diet.windows.where is not None else budget
            row("curation", f"{name}: resolved again, store open; {size}", value, unit, **given)  # type: ignore[arg-type]
    asked = [Diet.where(f"skewness <= {most} and kurtosis <= 22.62") for most in np.linspace(0, 5, 15)]
    asked[0].preview(store)
    seconds = []
    for diet in asked:
        begun = time.perf_counter()
        diet.preview(store)
        seconds.append(time.perf_counter() - begun)
    row(
        "curation", f"preview of a moved threshold; {size}", statistics.median(seconds), "s",
        reference="budget", reference_value=PREVIEW_BUDGET_S, n=len(seconds), bar=1.0,
    )  # fmt: skip


_MILLIONS = """
import numpy as np, pandas as pd
from poyodata.curation import Diet, load_diet
n = int(sys.argv[1])
rng = np.random.default_rng(0)
skewness = rng.gamma(2.0, 1.5, n).astype(np.float32)
lines = pd.Categorical.from_codes(rng.integers(0, 13, n), [f"line-{number}" for number in range(13)])
table = pd.DataFrame({
    "neuron_id": pd.array([f"{500_000_000 + i // 200}_{i % 200:03d}" for i in range(n)], dtype="str"),
    "session_id": pd.Categorical.from_codes(np.arange(n) // 200, [str(500_000_000 + s) for s in range(-(-n // 200))]),
    "cre_line": lines,
    "skewness": skewness,
    "kurtosis": (skewness ** 2 * rng.gamma(2.0, 1.0, n)).astype(np.float32),
})
del skewness, lines
made_mb = peak_mb()
diet = load_diet("mixed-30")
diet.select(table.head(1000))
begun, cpu = time.perf_counter(), time.process_time()
kept = int(diet.select(table).kept.sum())
say(s=time.perf_counter() - begun, cpu_s=time.process_time() - cpu, kept=kept, mb=peak_mb() - bare_mb, made_mb=made_mb)
"""


def millions(folder: Path) -> None:
    """The diet mixed-30 over ten million simulated neurons, in a process of its own."""
    del folder
    runs = [in_own_process(_MILLIONS, str(MILLIONS)) for _ in range(5)]
    case = f"mixed-30 over {MILLIONS:,} neurons in memory, {runs[0]['kept']:,} kept"
    for key, unit, budget, what in (
        ("s", "s", MILLIONS_BUDGET_S, ""),
        ("cpu_s", "CPU s", MILLIONS_BUDGET_S, ""),
        ("mb", "MB", MILLIONS_BUDGET_MB, ", peak over a bare interpreter, the table included"),
    ):
        value = statistics.median(run[key] for run in runs)
        row("curation", case + what, value, unit, reference="budget", reference_value=budget, n=5, bar=1.0)


def linear(folder: Path) -> None:
    """Hashing, sampling, balancing, ranking and matching, for each neuron of a small and of a large table."""
    del folder
    tables = {}
    for n in LINEAR:
        rng = np.random.default_rng(0)
        tables[n] = pd.DataFrame(
            {
                "neuron_id": pd.array([f"{500_000_000 + i // 200}_{i % 200:03d}" for i in range(n)], dtype="str"),
                "session_id": pd.Categorical((500_000_000 + np.arange(n) // 200).astype(str)),
                "cre_line": pd.Categorical.from_codes(rng.integers(0, 13, n), [f"line-{i}" for i in range(13)]),
                "skewness": rng.gamma(2.0, 1.5, n),
            }
        )
    low = Diet.where("skewness <= 2.0", name="low")
    works: dict[str, Callable[[pd.DataFrame], object]] = {
        "hashing": lambda table: hash_order(table["neuron_id"].tolist(), 0),
        "sampling": lambda table: low.sample(fraction=0.3).select(table),
        "balancing": lambda table: low.balance(["cre_line"]).select(table),
        "top of each recording": lambda table: low.top(10, by="skewness", within="session_id").select(table),
        "matching by recording": lambda table: low.matched(on=["session_id"]).select(table),
        "matching by line and distribution": lambda table: low.matched(on=["cre_line", "skewness"]).select(table),
    }
    few, many = LINEAR
    for name, work in works.items():
        small, large = (wall_and_cpu(lambda n=n, work=work: work(tables[n]))[1] for n in LINEAR)  # type: ignore[misc]
        row(
            "curation", f"{name}: a million neurons", large / many * 1e6, "CPU s",
            reference=f"of a table of {few:,}", reference_value=small / few * 1e6, n=5, bar=LINEAR_BAR,
        )  # fmt: skip


SECTIONS: dict[str, Callable[[Path], None]] = {work.__name__: work for work in (resolving, millions, linear)}


def main(names: list[str]) -> None:
    """Print one line a case, of the sections named or of all."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in names or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
