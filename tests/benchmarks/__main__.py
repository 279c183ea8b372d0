"""Run every benchmark: ``python -m tests.benchmarks``, or ``make bench``. One JSON object a line."""

from __future__ import annotations

import runpy
from pathlib import Path

NOT_BENCHMARKS = {"__init__", "__main__", "loader_data", "made_nwb", "many_recordings", "own_process", "row"}

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in NOT_BENCHMARKS and not path.stem.startswith("test_"):
            runpy.run_module(f"tests.benchmarks.{path.stem}", run_name="__main__")
