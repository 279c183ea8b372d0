"""The main job: the whole road, its numbers and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from poyodata.demo.results import CHANCE, ResultRow, result_table
from poyodata.demo.simulated import run_simulated
from poyodata.errors import UsageError
from poyodata.simulation import write_array_twin


def demo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poyodata", "demo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def check_report(path: Path) -> str:
    """A self-contained page: nothing fetched, no script, one drawing of each kind."""
    page = path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "<script" not in page
    assert page.count("<svg") >= 4
    for heading in ("skewness-kurtosis plane", "The diets", "checked before training", "Training", "Held-out trials"):
        assert heading in page
    return page


def test_too_short_a_training_fails_the_check(tmp_path: Path) -> None:
    """Seven steps teach nothing: the road is walked to its end, and the status says so."""
    from poyodata.demo import simulated

    result = run_simulated(tmp_path / "d", steps=7, world="tiny")
    assert not result.passed
    assert "NOT above chance" in result.verdict
    assert [row.steps for row in result.rows] == [7, 7, 0]
    assert len({row.n_trials for row in result.rows}) == 1
    check_report(result.report)
    saved = json.loads((tmp_path / "d" / "results.json").read_text())
    assert saved["rows"] == json.loads(result.to_json())["rows"]
    assert {path.name for path in (tmp_path / "d" / "diets").iterdir()} == set(simulated.DIETS)
    with pytest.raises(UsageError, match="another seed or world"):
        run_simulated(tmp_path / "d", steps=7, world="tiny", seed=1)


def test_a_passing_result_is_only_above_chance_with_its_whole_interval() -> None:
    row = {"decoder": "a", "neurons": "b", "n_neurons": 1, "n_trials": 80, "accuracy": 0.3, "high": 0.5}
    assert ResultRow(**row, low=CHANCE + 1e-9).exceeds_chance
    assert not ResultRow(**row, low=CHANCE).exceeds_chance


def test_blocks_are_columns() -> None:
    row = {"decoder": "a", "neurons": "b", "n_neurons": 1, "n_trials": 80, "accuracy": 0.3, "low": 0.2, "high": 0.5}
    table = result_table([ResultRow(**row, blocks={"block 1": 0.25}), ResultRow(**row, seed=3)])
    assert table["block 1"].isna().tolist() == [False, True]
    assert table["seed"].isna().tolist() == [True, False]


@pytest.mark.slow
def test_demo_as_typed(tmp_path: Path) -> None:
    """`poyodata demo --json`, whole: passes its own check, with JSON alone on standard output."""
    done = demo("--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["passed"]
    main, scratch, ridge = result["rows"]
    assert main["low"] > CHANCE
    assert main["steps"] == scratch["steps"]
    assert main["windows_seen"] > 0
    assert ridge["parameters"] == 0
    assert all(row["seconds"] > 0 for row in (main, scratch))
    check_report(tmp_path / "demo" / "report.html")
    for stage in ("simulating", "reading", "statistics", "diets", "pretraining", "fine-tuning", "evaluating"):
        assert stage in done.stderr


def test_failing_demo_exits_1(tmp_path: Path) -> None:
    code = (
        "import sys; from poyodata.demo import simulated; from poyodata import demo, cli;"
        "whole = demo.run_simulated;"
        "demo.run_simulated = lambda out, steps, seed: whole(out, steps=steps, seed=seed, world='tiny');"
        "sys.argv = ['poyodata', 'demo', '--steps', '7', '--json']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False


@pytest.mark.slow
def test_demo_on_a_recording(tmp_path: Path) -> None:
    """The twin of the real recording walks the same road: three blocks, every decoder on the same trials."""
    write_array_twin(tmp_path / "recording" / "dff_dg_continuous.h5", seed=0)
    done = demo("--data", "recording", "--out", "out", "--steps", 12, "--seeds", 1, "--json", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    rows = pd.DataFrame(json.loads(done.stdout)["rows"])
    assert len(set(rows["n_trials"])) == 1
    assert all(set(blocks) == {"block 1", "block 2", "block 3"} for blocks in rows["blocks"])
    assert rows.loc[rows["decoder"] == "ridge", "neurons"].tolist() == ["all", "predictable", "unpredictable"]
    trained = rows[rows["steps"] > 0]
    assert trained["steps"].tolist() == [36, 36, 36]
    assert rows.loc[(rows["decoder"] == "ridge") & (rows["neurons"] == "all"), "accuracy"].iloc[0] > 2 * CHANCE
    check_report(tmp_path / "out" / "report.html")


def test_threads_stay_within_what_the_process_may_use(tmp_path: Path) -> None:
    """Pinned to one core, the program uses one thread in every library and waits passively."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from poyodata.runtime import limit_threads; limit_threads();"
        "import torch, numba;"
        "print(torch.get_num_threads(), numba.get_num_threads(), os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {key: value for key, value in os.environ.items() if "THREADS" not in key and key != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "PASSIVE"]
