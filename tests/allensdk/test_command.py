"""`poyodata judge`, with a verdict made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poyodata.allensdk import judge as judging
from poyodata.allensdk.finding import Finding
from poyodata.allensdk.judge import Verdict
from poyodata.cli import app

GOOD = Finding("dff traces", "4 x 600 float32", "the same", "equal")
RAISES = Finding("pupil size", "NoEyeTrackingException: No eye.", "none either", "AllenSDK raises")
UNOPENED = Finding("metadata", "TypeError: an array\nand no text", "there all the same", "AllenSDK raises")
BAD = Finding("roi_ids", "4 int64", "differs in 1 of 4, AllenSDK / ours at 2: 7 / 8", "differs", "a note")


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Finding, ...]]:
    given = {
        "good.nwb": (GOOD, RAISES),
        "bad.nwb": (GOOD, BAD),
        "unopened.nwb": (RAISES, UNOPENED),
        "unopened-half.nwb": (GOOD, UNOPENED),
        "nothing.nwb": (RAISES,),
    }
    monkeypatch.setattr(judging, "judge", lambda path: Verdict(path, "2.16.2", given[Path(path).name]))
    return given


@pytest.mark.parametrize(
    ("files", "status"),
    [
        pytest.param(["good.nwb"], 0, id="agrees"),
        pytest.param(["bad.nwb"], 1, id="differs"),
        pytest.param(["bad.nwb", "good.nwb"], 1, id="one of two"),
    ],
)
@pytest.mark.usefixtures("verdicts")
def test_exit_status_and_table(files: list[str], status: int) -> None:
    done = CliRunner().invoke(app, ["judge", *files])
    assert done.exit_code == status
    for file in files:
        assert f"{file}: our reader {'agrees with' if file == 'good.nwb' else 'differs from'} AllenSDK" in done.stdout
    if status:
        assert "ours: differs in 1 of 4, AllenSDK / ours at 2: 7 / 8" in done.stdout
        assert "(a note)" in done.stdout


@pytest.mark.usefixtures("verdicts")
def test_json() -> None:
    done = CliRunner().invoke(app, ["judge", "bad.nwb", "--json"])
    assert done.exit_code == 1
    (said,) = json.loads(done.stdout)
    assert (said["file"], said["allensdk"], said["agrees"]) == ("bad.nwb", "2.16.2", False)
    assert said["findings"][1] == {
        "quantity": "roi_ids",
        "allensdk": "4 int64",
        "ours": BAD.ours,
        "state": "differs",
        "note": "a note",
    }


def test_the_table_has_a_row_for_each_quantity() -> None:
    verdict = Verdict(Path("a.nwb"), "2.16.2", (GOOD, RAISES, BAD))
    assert verdict.table()["state"].tolist() == ["equal", "AllenSDK raises", "differs"]
    assert not verdict.agrees
    assert "1 equal, 1 differ, 1 that AllenSDK raises on, 0 not kept" in verdict.summary()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("unopened.nwb", "AllenSDK 2.16.2 cannot open the file (TypeError: an array and no text), so that our reader"),
        ("unopened-half.nwb", "AllenSDK 2.16.2 cannot open the file (TypeError"),
        ("nothing.nwb", "AllenSDK 2.16.2 reads nothing that could be compared, so that our reader is not confirmed"),
    ],
)
@pytest.mark.usefixtures("verdicts")
def test_what_allensdk_does_not_read_confirms_nothing(file: str, said: str) -> None:
    done = CliRunner().invoke(app, ["judge", file])
    assert done.exit_code == 1
    assert f"{file}: {said}" in done.stdout
    (row,) = json.loads(CliRunner().invoke(app, ["judge", file, "--json"]).stdout)
    assert not row["agrees"]
    assert row["summary"].startswith(f"{file}: {said}")
