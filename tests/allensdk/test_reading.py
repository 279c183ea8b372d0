"""The script that runs in AllenSDK's environment, as far as it runs without AllenSDK."""

from __future__ import annotations

import ast
import datetime
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from poyodata.allensdk import reading
from poyodata.allensdk.answers import Answers


class NoEyeTrackingError(Exception):
    pass


class Recording:
    """A stand-in for AllenSDK's data set: answers a few questions and raises on all others."""

    def get_dff_traces(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([10.0, 10.1]), np.array([[1, 2], [3, 4]], np.float32)

    def get_pupil_size(self) -> None:
        raise NoEyeTrackingError("No pupil tracking for this experiment.")

    def get_metadata(self) -> dict[str, object]:
        return {"session_start_time": datetime.datetime(2017, 1, 2, 10), "age_days": np.int64(104), "sex": b"male"}

    def list_stimuli(self) -> list[str]:
        return ["natural_scenes", "spontaneous"]

    def get_stimulus_table(self, name: str) -> pd.DataFrame:
        table = pd.DataFrame({"start": [5, 3], "end": [9, 4]}, index=[1, 0])
        return table.assign(stimulus=np.array(["a", "bc"], dtype=object)) if name == "master" else table


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    monkeypatch.setitem(sys.modules, "allensdk", SimpleNamespace(__version__="2.16.2"))  # type: ignore[misc]
    notes = reading.Notes(tmp_path)
    reading.ask_everything(notes, Recording)
    notes.close()
    return Answers(tmp_path)


def test_what_is_answered(answers: Answers) -> None:
    assert answers.version == "2.16.2"
    assert answers.parts("get_dff_traces")["traces"].tolist() == [[1, 2], [3, 4]]
    assert answers.parts("get_dff_traces")["traces"].dtype == np.float32
    metadata = {"session_start_time": "2017-01-02T10:00:00", "age_days": 104, "sex": "male"}
    assert answers.value("get_metadata") == metadata
    assert answers.parts("get_stimulus_table(natural_scenes)")["start"].tolist() == [5, 3]
    assert answers.parts("get_stimulus_table(master)")["stimulus"].tolist() == ["a", "bc"]


def test_what_is_raised_is_an_answer(answers: Answers) -> None:
    assert answers.raised("get_pupil_size") == "NoEyeTrackingError: No pupil tracking for this experiment."
    assert answers.parts("get_pupil_size") == {}
    assert answers.raised("get_dff_traces") is None
    assert answers.raised("get_stimulus_template(natural_scenes)") is not None
    assert "get_stimulus_template(spontaneous)" not in answers.questions


def test_a_file_that_cannot_be_opened_is_the_answer_to_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("Could not parse age.")

    monkeypatch.setitem(sys.modules, "allensdk", SimpleNamespace(__version__="2.16.2"))  # type: ignore[misc]
    notes = reading.Notes(tmp_path)
    reading.ask_everything(notes, broken)
    notes.close()
    answers = Answers(tmp_path)
    assert len(answers.questions) > 15
    assert {answers.raised(question) for question in answers.questions} == {"OSError: Could not parse age."}


def test_objects_are_written_without_pickle(tmp_path: Path) -> None:
    table = pd.DataFrame({"mixed": np.array([1, None, 2.5], dtype=object), "text": ["a", "b", None]})
    parts = reading.columns(table)
    np.testing.assert_array_equal(parts["mixed"], [1.0, np.nan, 2.5])
    notes = reading.Notes(tmp_path)
    notes.ask("table", lambda: parts)
    assert all("object" not in str(np.load(file, allow_pickle=False).dtype) for file in tmp_path.glob("*.npy"))
    assert "raised" not in json.dumps(notes.answers)


def test_the_script_stands_alone() -> None:
    """It runs where there is nothing of ours, on a Python as old as 3.8."""
    source = Path(reading.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "allensdk"}
