"""The benchmark of learning goes its whole road in a few steps; its numbers are never tested."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import learning


@pytest.mark.slow
def test_twin(capsys: pytest.CaptureFixture[str]) -> None:
    learning.main(["twin", "--steps", "2", "--pretrain-steps", "1", "--seeds", "1", "--set", "model.dim=16"])
    (line,) = capsys.readouterr().out.strip().splitlines()
    found = json.loads(line)
    assert found["case"] == "twin, direction, epoch-out"
    assert found["reference"] == "linear"
    assert found["n"] > 60
    assert found["difference_low"] <= found["difference"] <= found["difference_high"]
    assert found["value"] - found["reference_value"] == pytest.approx(found["difference"])


def test_a_wrong_case_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        learning.main(["twins"])
    assert "there is no case 'twins'" in capsys.readouterr().err
