"""The program: what it prints, how it ends, and what it says to bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.store import open_store
from tests.cli.conftest import Program


@pytest.fixture
def raw(tiny_raw: Path, tmp_path: Path) -> Path:
    """A copy of the tiny world's files that a test may damage."""
    return Path(shutil.copytree(tiny_raw, tmp_path / "raw"))


def test_both_names_are_one_program() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"poyodata": "poyodata.cli:main"}
    done = subprocess.run([sys.executable, "-m", "poyodata", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("poyodata 0.")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["simulate"],
        ["ingest"],
        ["info"],
        ["stats"],
        ["diet"],
        ["diet", "resolve"],
        ["train", "pretrain"],
        ["train", "finetune"],
        ["train", "evaluate"],
        ["worlds"],
        ["fetch", "allen"],
    ],
    ids=" ".join,
)
def test_help_has_an_example(program: Program, command: list[str]) -> None:
    status, out, _ = program(*command, "--help")
    assert status == 0
    assert "Usage: poyodata" in out
    if command and command != ["diet"]:
        assert f"Example: poyodata {' '.join(command)}" in " ".join(out.split())


def test_the_road_by_single_commands(program: Program, tmp_path: Path) -> None:
    raw, store = tmp_path / "raw", tmp_path / "tiny.zarr"
    assert program("simulate", raw, "--world", "tiny", "--sessions", 2)[0] == 0
    status, out, _ = program("ingest", raw, "--out", store, "--json")
    assert status == 0
    assert [row["status"] for row in json.loads(out)] == ["added", "added"]
    status, out, _ = program("ingest", raw, "--out", store, "--json")
    assert [row["status"] for row in json.loads(out)] == ["unchanged", "unchanged"]
    status, out, _ = program("info", store, "--json")
    facts = json.loads(out)
    assert (facts["recordings"], facts["neurons"]) == (2, 24)
    assert {row["cre_line"] for row in facts["by_cre_line"]} == {"Sst-IRES-Cre", "Cux2-CreERT2"}
    status, out, _ = program("stats", store, "--only", "moments", "--json")
    assert len(json.loads(out)) == 24
    assert program("stats", store, "--out", tmp_path / "s.csv")[0] == 0
    assert (tmp_path / "s.csv").read_text().startswith("neuron_id,mean")
    status, out, _ = program("diet", "resolve", "predictable", store, "--out", tmp_path / "m", "--json")
    assert status == 0
    from poyodata.curation import Manifest

    assert Manifest.load(tmp_path / "m").digest == json.loads(out)["digest"]
    assert "Next:" in program("info", store)[1]


def test_diets_are_listed_and_shown(program: Program) -> None:
    status, out, _ = program("diet", "list")
    assert status == 0
    for name in ("predictable", "unpredictable", "inhibitory", "mixed-30"):
        assert name in out
    assert "skewness <= param(max_skewness, 3.51)" in program("diet", "show", "predictable")[1]


def truncated(raw: Path) -> Path:
    file = sorted(raw.glob("*.nwb"))[1]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return raw


def wrong_line(raw: Path) -> Path:
    with h5py.File(sorted(raw.glob("*.nwb"))[1], "r+") as file:
        del file["general/subject/genotype"]
        file["general/subject/genotype"] = "Sst-IRES-Cree/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt"
    return raw


def with_nan(raw: Path) -> Path:
    with h5py.File(sorted(raw.glob("*.nwb"))[1], "r+") as file:
        file["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1/data"][3, 100:200] = np.nan
    return raw


def not_nwb(raw: Path) -> Path:
    sorted(raw.glob("*.nwb"))[1].write_text("this is no HDF5 file")
    return raw


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(truncated, ["900000001.nwb"], id="truncated"),
        pytest.param(not_nwb, ["900000001.nwb"], id="not-hdf5"),
        pytest.param(wrong_line, ["Sst-IRES-Cree", "did you mean 'Sst-IRES-Cre'"], id="unknown-line"),
        pytest.param(with_nan, ["keep", "drop", "NaN"], id="nan"),
    ],
)
def test_a_bad_recording_costs_nothing_else(
    program: Program, raw: Path, tmp_path: Path, damage: Callable[[Path], Path], words: list[str]
) -> None:
    store = tmp_path / "s.zarr"
    first = sorted(raw.glob("*.nwb"))[0]
    assert program("ingest", first, "--out", store)[0] == 0
    before = open_store(store).digest
    status, _, err = program("ingest", damage(raw), "--out", store)
    message = [line for line in err.splitlines() if line.startswith("poyodata: ")]
    assert status in (1, 2)
    assert len(message) == 1
    assert all(word in message[0] for word in words), message
    assert "Traceback" not in err
    assert open_store(store).digest == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(["ingest", "nowhere", "--out", "s.zarr"], 2, "nowhere does not exist", id="missing-source"),
        pytest.param(["info", "nowhere.zarr"], 2, "nowhere.zarr", id="missing-store"),
        pytest.param(["simulate", "x", "--world", "tinny"], 2, "did you mean 'tiny'", id="unknown-world"),
        pytest.param(["diet", "show", "predictabel"], 2, "did you mean 'predictable'", id="unknown-diet"),
        pytest.param(["demo", "--mapping", "m.yaml"], 2, "--data", id="mapping-without-data"),
        pytest.param(["demo", "--data", "nowhere"], 2, "nowhere does not exist", id="demo-missing-data"),
        pytest.param(["nonsense"], 2, "nonsense", id="unknown-command"),
        pytest.param(["demo", "--steps", "0"], 2, "steps", id="no-steps"),
    ],
)
def test_wrong_calls(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = program(*arguments)
    assert found == status
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        pytest.param(
            "diet: 1\nname: a\nneurons: {where: skewnes < 1}\n", "did you mean 'skewness'", id="unknown-column"
        ),
        pytest.param(
            "diet: 1\nname: a\nneurons: {where: skewness < -1000}\n", "keeps none of the 36 neurons", id="empty"
        ),
        pytest.param("diet: 1\nname: a\nneuron: {where: skewness < 1}\n", "did you mean 'neurons'", id="unknown-key"),
        pytest.param("diet: 1\nname: a\nneurons: {where: 'cre_line == \"SST\"'}\n", "Sst-IRES-Cre", id="unknown-line"),
        pytest.param("diet: [\n", "bad.yaml:2:1: not YAML", id="broken-yaml"),
    ],
)
def test_bad_diets(program: Program, tiny_store_path: Path, tmp_path: Path, yaml: str, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml)
    before = open_store(tiny_store_path).digest
    status, _, err = program("diet", "resolve", file, tiny_store_path)
    assert status in (1, 2)
    assert words in err
    assert "Traceback" not in err
    assert open_store(tiny_store_path).digest == before


def test_unknown_statistic_and_split(program: Program, tiny_store_path: Path) -> None:
    status, _, err = program("stats", tiny_store_path, "--only", "moment")
    assert status in (1, 2)
    assert "did you mean 'moments'" in err
    status, _, err = program("stats", tiny_store_path, "--splits", "block-5fold")
    assert status == 2
    assert "did you mean 'blocks-5fold'" in err


def test_store_of_another_format_version(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_store_path, tmp_path / "old.zarr"))
    root = json.loads((copy / "zarr.json").read_text())
    root["attributes"]["format_version"] = 99
    (copy / "zarr.json").write_text(json.dumps(root))
    status, _, err = program("info", copy)
    assert status == 1
    assert "99" in err
