"""One line of a benchmark, and the clock under it."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def median_seconds(fn: Callable[[], object], n: int = 5, before: Callable[[], object] | None = None) -> float:
    """Median wall-clock time of `n` calls, after one that is not counted; what is done `before` each never counts."""
    seconds = []
    for _ in range(n + 1):
        if before is not None:
            before()
        start = time.perf_counter()
        fn()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def side_by_side(*works: Callable[[], object], n: int = 5) -> list[tuple[float, float]]:
    """Medians of `wall_and_cpu` of each, after a round that is not counted.

    One after the other in every round: what else the machine does, all of them suffer. Each round begins with another
    of them: whoever follows one that gave back much memory finds it at hand, and was up to twice as fast for it.
    """
    seconds: list[list[tuple[float, float]]] = [[] for _ in works]
    for turn in range(n + 1):
        for place in range(len(works)):
            which = (turn + place) % len(works)
            start, cpu = time.perf_counter(), time.process_time()
            works[which]()
            seconds[which].append((time.perf_counter() - start, time.process_time() - cpu))
    return [
        (statistics.median(wall for wall, _ in own[1:]), statistics.median(cpu for _, cpu in own[1:]))
        for own in seconds
    ]


def wall_and_cpu(fn: Callable[[], object], n: int = 5) -> tuple[float, float]:
    """Medians of wall-clock seconds and of this process's seconds on a core, which a busy machine does not stretch."""
    return side_by_side(fn, n=n)[0]


def forget(path: Path) -> None:
    """Take a file out of the page cache, where the system can, so that it is next read from the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)  # what is not on the disk yet would stay
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def row(
    bench: str,
    case: str,
    value: float,
    unit: str,
    *,
    reference: str,
    reference_value: float,
    n: int,
    bar: float | None = None,
    higher_is_better: bool = False,
    more: Mapping[str, object] | None = None,
) -> None:
    """Print one JSON object: what was measured, beside what it is compared with.

    ``ratio`` is `value` over `reference_value`. With a `bar`, ``ok`` says whether the ratio keeps it: at most the bar,
    or at least it where `higher_is_better`. What there is `more` to say, such as an interval, stands at the end.
    """
    ratio = value / reference_value
    line: dict[str, object] = {
        "bench": bench,
        "case": case,
        "value": value,
        "unit": unit,
        "reference": reference,
        "reference_value": reference_value,
        "ratio": ratio,
        "n": n,
    }
    if bar is not None:
        line |= {"bar": bar, "ok": ratio >= bar if higher_is_better else ratio <= bar}
    _print({**line, **(more or {})})


def skipped(bench: str, case: str, reason: str) -> None:
    """Print one JSON object for a case that was not measured, and why."""
    _print({"bench": bench, "case": case, "skipped": reason})


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
