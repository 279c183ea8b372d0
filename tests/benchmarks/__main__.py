"""Run every benchmark of time: ``python -m tests.benchmarks``, or ``make bench``. One JSON object a line.

``tests.benchmarks.learning`` trains for an hour or more and is run by itself.
"""

from __future__ import annotations

import runpy
from pathlib import Path

NOT_BENCHMARKS = {
    *(
        "__init__",
        "__main__",
        "learning",
        "loader_data",
        "made_nwb",
        "many_recordings",
        "own_process",
        "plain_poyo",
        "row",
    ),
}

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in NOT_BENCHMARKS and not path.stem.startswith("test_"):
            runpy.run_module(f"tests.benchmarks.{path.stem}", run_name="__main__")
