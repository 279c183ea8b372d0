"""One line of a benchmark, and the clock under it."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable


def median_seconds(fn: Callable[[], object], n: int = 5) -> float:
    """Median wall-clock time of `n` calls, after one that is not counted."""
    fn()
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        fn()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


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
) -> None:
    """Print one JSON object: what was measured, beside what it is compared with.

    ``ratio`` is `value` over `reference_value`. With a `bar`, ``ok`` says whether the ratio keeps it: at most the bar,
    or at least it where `higher_is_better`.
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
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
