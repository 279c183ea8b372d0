from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.curation.documents import hostile


def fuzzed(count: int, seed: int) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.curation.documents.fuzz", str(count), str(seed)],
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def check(count: int, seed: int) -> None:
    """Every input is read or a DietError, within a second and 200 MB; none of the two is rare."""
    found = fuzzed(count, seed)
    assert not found["wrong"]
    assert set(found["outcomes"]) == {"read", "DietError"}
    assert sum(found["outcomes"].values()) == count
    assert min(found["outcomes"].values()) > count / 50
    assert found["slowest"][0] < hostile.CPU_S, found["slowest"]
    assert found["memory"] < hostile.MEMORY


def test_a_thousand_random_inputs_are_read_or_diet_errors() -> None:
    check(1000, seed=0)


@pytest.mark.slow
def test_twenty_thousand_random_inputs_are_read_or_diet_errors() -> None:
    check(20_000, seed=1)
