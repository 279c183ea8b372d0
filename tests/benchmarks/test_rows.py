"""Benchmark lines have the promised keys; the numbers themselves are never tested."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.row import row

KEYS = {"bench", "case", "value", "unit", "reference", "reference_value", "ratio", "n"}


@pytest.mark.parametrize(
    ("bar", "higher", "ok"),
    [(None, False, None), (2.0, False, True), (1.0, False, False), (1.0, True, True), (2.0, True, False)],
    ids=["no-bar", "below", "above", "at-least", "not-reached"],
)
def test_keys(capsys: pytest.CaptureFixture[str], bar: float | None, higher: bool, ok: bool | None) -> None:
    row("b", "c", 3.0, "s", reference="r", reference_value=2.0, n=5, bar=bar, higher_is_better=higher)
    line = json.loads(capsys.readouterr().out)
    assert set(line) == (KEYS if bar is None else KEYS | {"bar", "ok"})
    assert line["ratio"] == 1.5
    assert line.get("ok") is ok
