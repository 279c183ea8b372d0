"""The GPU's benchmark runs unattended and writes its table; its numbers are never tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.benchmarks import models_gpu


@pytest.mark.slow
def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.md"
    models_gpu.main(["--smoke", "--out", str(table)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["unit"] for line in lines] == ["TFLOP/s", "share"]
    assert all(line["value"] > 0 for line in lines)
    (cells,) = [line.split("|")[1:-1] for line in table.read_text().splitlines() if line.startswith("| poyo-tiny")]
    assert len(cells) == models_gpu.HEADER.splitlines()[0].count("|") - 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_says_so_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.md"
    models_gpu.main(["--out", str(table)])
    assert "no GPU" in json.loads(capsys.readouterr().out)["skipped"]
    assert not table.exists()


def test_smoke_does_not_overwrite_the_table() -> None:
    with pytest.raises(SystemExit):
        models_gpu.main(["--smoke"])
