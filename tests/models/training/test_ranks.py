"""Two processes: they learn what one would with both their batches, and none is left waiting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poyodata.errors import ModelError
from poyodata.models.training import TrainConfig, ranks_of
from poyodata.models.training.fit import _check_share


def two(mode: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("two_processes.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [*launch, str(script), mode, str(folder)], capture_output=True, text=True, timeout=560, check=False
    )


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    done = two("equal", tmp_path)
    assert done.returncode == 0, done.stderr
    alone = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("two_processes.py")), "alone", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    both, one = (json.loads((tmp_path / f"{mode}.json").read_text(encoding="utf-8")) for mode in ("equal", "alone"))
    np.testing.assert_allclose(both["losses"], one["losses"], rtol=1e-4)
    assert both["windows"] == one["windows"]
    # A group that is left to the end of the interpreter aborts some of its processes.
    assert [(tmp_path / f"equal-{rank}-in-group").read_text() for rank in (0, 1)] == ["False", "False"]
    assert (tmp_path / "equal" / "metrics.csv").read_text(encoding="utf-8").count("\n") == 1 + 4


@pytest.mark.slow
def test_unequal_ranks_end_together(tmp_path: Path) -> None:
    done = two("unequal", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "unequal.json").read_text(encoding="utf-8"))["losses"]) == 4


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_others(tmp_path: Path) -> None:
    done = two("failing", tmp_path)  # within the time limit
    assert done.returncode != 0
    assert "this rank has no more" in done.stderr


def test_the_number_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks_of(TrainConfig()) == (0, 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("NODE_RANK", "1")
    assert ranks_of(TrainConfig(devices=2, nodes=2)) == (3, 4)


def test_a_loader_of_one_process_is_refused_by_two() -> None:
    class Loader(list):  # type: ignore[type-arg]
        class ranks:  # noqa: N801
            world = 1

    with pytest.raises(ModelError, match="shares its windows among 1 processes, and 2 are training"):
        _check_share(Loader(), 2)
