"""A split file that somebody else wrote is an error in words, or a split; it takes neither the machine nor the day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poyodata.errors import SplitError
from poyodata.splits import Blocks, SplitSpec
from tests.curation.documents.hostile import CPU_S, MEMORY
from tests.splits import hostile


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of every input, in a process that may take 200 MB more than it has at the start."""
    folder = tmp_path_factory.mktemp("hostile")
    run = subprocess.run(
        [sys.executable, "-m", "tests.splits.hostile", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert run.returncode == 0, run.stderr
    assert not list(folder.glob("owned*"))
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("name", hostile.TEXTS)
def test_a_hostile_split_is_an_error_in_words_within_a_second(tried: dict[str, Any], name: str) -> None:
    error, cpu_s, said = tried["texts"][name]
    assert error == "SplitError"
    assert hostile.TEXTS[name][1] in said and len(said) < 500
    assert cpu_s < CPU_S


def test_a_file_that_holds_no_split_is_an_error_within_a_second(tried: dict[str, Any]) -> None:
    assert len(tried["files"]) == 8
    for error, cpu_s, expected in tried["files"].values():
        assert error == expected and cpu_s < CPU_S
    assert tried["memory"] < MEMORY


def test_an_error_is_one_sentence_with_its_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nwithin:\n  kind: blocks\n  folds: 2\n  gaurd_s: 1\nacros: {}\n")
    with pytest.raises(SplitError) as caught:
        SplitSpec.from_yaml(path)
    assert str(caught.value).splitlines() == [
        f"{path}:4:3: within.folds: Input should be greater than or equal to 3 (got 2).",
        f"{path}:5:3: within.gaurd_s: unknown key: did you mean 'guard_s'?",
        f"{path}:6:1: acros: unknown key: did you mean 'across'?",
    ]
    with pytest.raises(SplitError) as caught:
        SplitSpec(name="x", within={"kind": "blocks", "folds": 2})
    assert str(caught.value) == (
        "a split is not well formed: within.folds: Input should be greater than or equal to 3 (got 2)."
    )


def test_a_name_like_a_number_comes_back() -> None:
    spec = SplitSpec(name="1e9", within=Blocks(folds=3))
    assert SplitSpec.from_yaml(spec.to_yaml()) == spec
