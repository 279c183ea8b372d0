"""The whole simulated demo beside its time budget: ``python -m tests.benchmarks.demo``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from poyodata.demo import run_simulated
from tests.benchmarks.row import row

BUDGET_S = 480.0


def main() -> None:
    """Print one line: seconds of one whole demo; one run, since it takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run_simulated(Path(folder) / "demo")
        seconds = time.perf_counter() - begun
    row("demo", "simulated", seconds, "s", reference="budget", reference_value=BUDGET_S, n=1, bar=1.0)


if __name__ == "__main__":
    main()
