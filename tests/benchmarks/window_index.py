"""Windows and samplers at the size of the published data, on one thread: ``python -m tests.benchmarks.window_index``.

Tables of as many recordings are made in memory; no trace is read. CPU seconds, the median of several calls after the
first, which compiles or loads what was compiled.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import typer

from poyodata.curation.view import View
from poyodata.loaders.sampling import Sampler, balanced, groups_by, same_recording, uniform, weighted
from poyodata.loaders.windows import WindowIndex, fixed_windows, frame_windows, trial_windows
from tests.loaders.plain_view import plain_view, window

FRAMES, RECORDINGS, BATCH, BATCHES, REPEATS = 115_000, (5, 50, 433), 128, 300, 7
STRETCHES, TRIALS = 30, 628
BUDGET_S = 0.2


def large_view(recordings: int, windows: int) -> View:
    """Recordings with one gap, of which nearly all is train time: `windows` stretches of each, a frame apart."""
    ids = [str(500_000_000 + number) for number in range(recordings)]
    edges = np.linspace(0, FRAMES, windows + 1).astype(int).tolist()
    rows = [
        window(key, "train", edges[at], edges[at + 1] - 1, trial=at, direction_deg=45.0 * (at % 8))
        for key in ids
        for at in range(windows)
    ]
    half = FRAMES // 2
    return plain_view(dict.fromkeys(ids, ((0, half), (half, FRAMES))), rows, guard=60)


def cpu_s(call: Callable[[], Any]) -> float:
    """CPU seconds of a call, the median of some after the first."""
    call()
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def _first_batch(view: View) -> WindowIndex:
    index = frame_windows(view, "train")
    index.locate(uniform(index, BATCH, 0).batch(0, 0).window)
    return index


def _some_batches(sampler: Sampler, index: WindowIndex) -> None:
    for number in range(BATCHES):
        index.locate(sampler.batch(1, number).window)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Print the table; 1 where the first batch of one-frame windows takes longer than the budget."""
    start_s = 0.0
    for recordings in RECORDINGS:
        view = large_view(recordings, STRETCHES)
        before = _peak_mb()
        start_s = cpu_s(partial(_first_batch, view))
        index = _first_batch(view)
        typer.echo(
            f"{recordings:4d} recordings, {len(index):>11,} one-frame windows in {index.n_rows:,} rows: "
            f"index and first batch {1e3 * start_s:.1f} ms, memory +{_peak_mb() - before:.1f} MB"
        )
    view = large_view(RECORDINGS[-1], TRIALS)
    trials = trial_windows(view, "train", 57, reach_frames=0)
    fixed = fixed_windows(view, "train", 57, random_phase=True)
    for name, call in (
        (f"fixed windows, {len(trials):,} rows", partial(fixed_windows, view, "train", 57, random_phase=True)),
        (f"trial windows, {len(trials):,} rows", partial(trial_windows, view, "train", 57, reach_frames=0)),
        ("phases of an epoch", partial(fixed.at_epoch, 0, 1)),
    ):
        typer.echo(f"{name}: {1e3 * cpu_s(call):.1f} ms")
    samplers: dict[str, Sampler] = {
        "uniform": uniform(index, BATCH, 0),
        "in order": uniform(index, BATCH, 0, shuffle=False),
        "weighted": weighted(index, np.ones(index.n_rows), BATCH, 0),
        "same recording": same_recording(index, BATCH, 0),
        "balanced": balanced(trials, groups_by(view, trials, "direction_deg"), BATCH, 0),
    }
    for name, sampler in samplers.items():
        seconds = cpu_s(partial(_some_batches, sampler, trials if name == "balanced" else index))
        typer.echo(f"{name}: {1e6 * seconds / BATCHES:.0f} us a batch of {BATCH}, located")
    return int(start_s > BUDGET_S)


if __name__ == "__main__":
    sys.exit(main())
