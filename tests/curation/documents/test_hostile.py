from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poyodata.curation import Diet
from tests.curation.documents import hostile


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of every input, in a process that may take 200 MB more than it has at the start."""
    folder = tmp_path_factory.mktemp("hostile")
    run = subprocess.run(
        [sys.executable, "-m", "tests.curation.documents.hostile", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert run.returncode == 0, run.stderr
    assert not list(folder.glob("owned*"))
    found: dict[str, Any] = json.loads(run.stdout)
    return found


CASES = [(kind, name) for kind, (inputs, _) in hostile.READERS.items() for name in inputs]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}: {name}" for kind, name in CASES])
def test_a_hostile_input_is_a_diet_error_within_a_second(tried: dict[str, Any], kind: str, name: str) -> None:
    error, cpu_s = tried["tried"][kind][name]
    assert error == "DietError"
    assert cpu_s < hostile.CPU_S


def test_a_hostile_file_is_an_error_within_a_second(tried: dict[str, Any]) -> None:
    assert len(tried["files"]) > 20
    assert {name: error for name, (error, _) in tried["tried"]["file"].items()} == tried["files"]
    assert max(cpu_s for _, cpu_s in tried["tried"]["file"].values()) < hostile.CPU_S


def test_a_diet_that_is_dear_to_validate_is_validated_within_a_second(tried: dict[str, Any]) -> None:
    assert {error for error, _ in tried["tried"]["validated"].values()} == {"DietError"}
    assert {name: cpu_s for name, (_, cpu_s) in tried["tried"]["validated"].items() if cpu_s >= hostile.CPU_S} == {}


def test_all_of_them_together_take_less_than_200_mb(tried: dict[str, Any]) -> None:
    assert tried["memory"] < hostile.MEMORY


def test_there_are_far_more_than_fifty_and_nothing_was_run() -> None:
    assert len(CASES) > 150
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffdiet: 1\nneurons: all\n",
        "diet: 1\r\nneurons: all\r\n",
        "---\ndiet: 1\nneurons: all\n...\n",
        "{diet: 1, neurons: all}",
        '{"diet": 1, "neurons": "all"}',
    ],
    ids=["byte order mark", "carriage returns", "marked document", "flow", "JSON"],
)
def test_what_only_looks_odd_is_read(text: str) -> None:
    assert Diet.from_yaml(text).neurons == Diet.everyone().neurons
