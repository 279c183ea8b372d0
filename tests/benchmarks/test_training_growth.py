"""The rows of the benchmark of few recordings and many; its numbers are never tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import training_growth


@pytest.mark.slow
def test_a_row_for_each_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_growth, "GROWTH", (1, 2, 3))
    monkeypatch.setattr(training_growth, "ROUNDS", 1)
    training_growth.growing(tmp_path)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["case"].rsplit(": ")[-1].split(" and ")[0] for one in rows] == [
        "preparing", "5 steps", "the test", "memory at the peak",
    ]  # fmt: skip
    assert all(one["unit"] in ("CPU s", "MB") and one["bar"] == training_growth.BAR for one in rows)
