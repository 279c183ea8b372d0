"""The main job: the whole road, its numbers and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import load_diet
from poyodata.demo.recording import run_recording
from poyodata.demo.results import ResultRow, require_same_trials, result_table
from poyodata.demo.simulated import run_simulated, score_row
from poyodata.errors import LoaderError, UsageError
from poyodata.plots.plane import MAX_KURTOSIS, MAX_SKEWNESS
from poyodata.simulation import write_array_twin
from poyodata.statistics import compute_statistics
from poyodata.store import Store, open_store


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


@pytest.mark.slow
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
    with pytest.raises(UsageError, match="another world or seed"):
        run_simulated(tmp_path / "d", steps=7, world="tiny", seed=1)


def test_a_passing_result_is_only_above_chance_with_its_whole_interval() -> None:
    row = {
        "decoder": "a",
        "neurons": "b",
        "n_neurons": 1,
        "n_trials": 80,
        "accuracy": 0.3,
        "high": 0.5,
        "chance": 0.158,
    }
    assert ResultRow(**row, low=0.158 + 1e-9).exceeds_chance
    assert not ResultRow(**row, low=0.158).exceeds_chance


def test_a_constant_answer_never_passes(tiny_store: Store) -> None:
    """Chance is the share of the commonest direction of each recording where that is more than one in eight."""
    target = np.array([3] * 9 + [0, 1, 2, 4, 5, 6, 7])
    sessions = np.repeat(tiny_store.sessions["session_id"].to_numpy()[:2], 8)
    answers = pd.DataFrame({"session_id": sessions, "trial": range(16), "target": target, "prediction": 3})
    manifest = load_diet("all").resolve(tiny_store, split="blocks-5fold")
    row = score_row("constant", tiny_store, manifest, answers, [], seed=None)
    assert row.chance == row.accuracy == 9 / 16
    assert not row.exceeds_chance


def test_decoders_of_different_trials_are_not_compared() -> None:
    one = pd.DataFrame({"session_id": ["a", "a"], "trial": [0, 1]})
    require_same_trials({"ridge": one, "poyo": one.iloc[::-1]})
    with pytest.raises(LoaderError, match="poyo answered 1 trials"):
        require_same_trials({"ridge": one, "poyo": one[:1]})


def test_blocks_are_columns() -> None:
    row = {"decoder": "a", "neurons": "b", "n_neurons": 1, "n_trials": 80, "accuracy": 0.3}
    row |= {"low": 0.2, "high": 0.5, "chance": 0.125}
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
    assert main["low"] > main["chance"] >= 1 / 8
    assert main["steps"] == scratch["steps"]
    assert main["windows_seen"] > 0
    assert ridge["parameters"] == 0
    assert all(row["seconds"] > 0 for row in (main, scratch))
    check_report(tmp_path / "demo" / "report.html")
    store = open_store(tmp_path / "demo" / "store.zarr")
    # The demo's short recordings leave six trials of each direction for some temporal frequency in half of the neurons.
    assert compute_statistics(store, "fisher_direction", split="blocks-5fold")["fisher_direction"].notna().mean() > 0.5
    picture = (Path(__file__).parents[2] / "docs" / "moments-plane.svg").read_text()
    drawn = (tmp_path / "demo" / "figures" / "moments-plane.svg").read_text()
    numbers = [
        re.findall(r"(?:neurons|predictable|high|neither)[: ]+\d+|\d+ neurons", text) for text in (picture, drawn)
    ]
    assert numbers[0] == numbers[1], "docs/moments-plane.svg is stale: copy demo/figures/moments-plane.svg over it"
    for stage in ("simulating", "reading", "statistics", "diets", "pretraining", "fine-tuning", "evaluating"):
        assert stage in done.stderr


@pytest.mark.slow
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
    assert rows.loc[(rows["decoder"] == "ridge") & (rows["neurons"] == "all"), "accuracy"].iloc[0] > 0.25
    check_report(tmp_path / "out" / "report.html")


@pytest.mark.slow
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


def test_the_drawn_thresholds_are_the_presets() -> None:
    assert f"skewness <= {MAX_SKEWNESS} and kurtosis <= {MAX_KURTOSIS}" in load_diet("predictable").bound().to_yaml()


def test_too_few_steps_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 7 steps"):
        run_simulated(tmp_path / "d", steps=6, world="tiny")
    with pytest.raises(UsageError, match="at least 2 steps"):
        run_recording(tmp_path / "nowhere", tmp_path / "d", steps=1)
    assert not (tmp_path / "d").exists()
