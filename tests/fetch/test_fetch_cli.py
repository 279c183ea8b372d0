"""``poyodata fetch allen``: what it prints where, how it ends, what it says to bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from poyodata.cli import main
from poyodata.fetch.web import Web
from tests.fetch.loopback import WITHOUT_FILE, Failure, Loopback

Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run ``poyodata fetch allen`` against the loopback warehouse; returns exit status, output, standard error."""
    monkeypatch.setenv("POYODATA_ALLEN_WAREHOUSE", loopback.url)
    monkeypatch.setenv("COLUMNS", "200")
    made = Web.__init__

    def without_pauses(self: Web, **options: object) -> None:
        made(self, **{**options, "sleep": lambda _s: None})

    monkeypatch.setattr(Web, "__init__", without_pauses)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["poyodata", "fetch", "allen", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def test_help(program: Program) -> None:
    status, out, _ = program("--help")
    assert status == 0
    assert "Example: poyodata fetch allen --out raw" in out
    for option in ("--lines", "--dry-run", "--via", "POYODATA_ALLEN_WAREHOUSE"):
        assert option in out


def test_the_road(program: Program, loopback: Loopback, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    chosen = ("--out", raw, "--lines", "Sst", "--areas", "VISp")
    status, out, err = program(*chosen, "--list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.strip().startswith("100")] == ["1001", "1002", "1003"]
    assert "recordings 3, containers 1, mice 1; with an NWB file 3" in out
    assert not raw.exists()

    status, out, err = program(*chosen, "--dry-run")
    assert status == 0
    assert "3 recordings chosen, 0 of them here: 3 to fetch (124.2 kB; " in out
    assert "Terms of Use" in err
    assert not raw.exists()

    status, out, err = program(*chosen)
    assert status == 0
    assert "3 of 3 recordings are in" in out
    assert f"Next: poyodata ingest {raw} --out {tmp_path / 'raw.zarr'}" in out
    assert err.count("doi:10.1038/s41593-019-0550-9") == 1
    assert "1001.nwb  downloaded  41.4 kB" in err

    status, out, err = program(*chosen, "--json")
    assert (status, json.loads(out)["complete"]) == (0, True)
    assert {row["status"] for row in json.loads(out)["files"]} == {"already here"}

    status, out, err = program(*chosen, "--list", "--json")
    assert [row["file"] for row in json.loads(out)] == ["complete"] * 3
    status, out, err = program(*chosen, "--dry-run", "--json")
    assert (json.loads(out)["to_fetch"], json.loads(out)["bytes"]) == (0, 0)


def test_the_list_needs_no_folder(program: Program) -> None:
    status, out, _ = program("--list", "--donors", "202", "--json")
    assert status == 0
    assert [row["file"] for row in json.loads(out)] == ["", "", "no file"]


def test_what_is_missing_is_listed_with_the_command(program: Program, loopback: Loopback, tmp_path: Path) -> None:
    loopback.fail(1002, *[Failure("status", code=500)] * 6)
    status, out, err = program("--out", tmp_path / "my raw", "--lines", "Sst", "--areas", "VISp")
    assert status == 1
    assert "2 of 3 recordings are in" in out
    assert "Next:" not in out
    assert "poyodata: 1002.nwb: failed, the server answers 500" in err
    assert f"poyodata fetch allen --out '{tmp_path}/my raw' --lines Sst --areas VISp" in err
    assert "1002.nwb: the server answers 500 Internal Server Error (out of order); again in 1 s (1 of 5)" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["--lines", "Sst"], 2, "--out is missing", id="no-out"),
        pytest.param(["--list", "--lines", "Sts"], 2, "unknown CRE line 'Sts'", id="line"),
        pytest.param(
            ["--list", "--lines", "Vip", "--areas", "VISl"], 2, "--areas VISl leaves no recording", id="empty"
        ),
        pytest.param(["--list", "--depths", "x"], 2, "--depths holds 'x'", id="depth"),
        pytest.param(["--list", "--warehouse", "brain-map"], 2, "the warehouse is given as 'brain-map'", id="address"),
        pytest.param(
            ["--list", "--warehouse", "http://127.0.0.1:9"], 1, "gives no list of OphysExperiment", id="nobody"
        ),
        pytest.param(["--list", "--warehouse", "http://[bad"], 2, "is given as 'http://[bad'; give an", id="bracket"),
        pytest.param(["--list", "--timeout", "inf"], 2, "(--timeout) is given as inf s", id="timeout-inf"),
        pytest.param(["--list", "--timeout", "nan"], 2, "(--timeout) is given as nan s", id="timeout-nan"),
        pytest.param(["--list", "--timeout", "-1"], 2, "(--timeout) is given as -1 s", id="timeout-negative"),
        pytest.param(["--list", "--all", "--lines", "Sst"], 2, "--all means every recording", id="all-and-filter"),
        pytest.param(["--list", "--all", "--limit", "2"], 2, "--all means every recording", id="all-and-limit"),
        pytest.param(["--list", "--limit", "0"], 2, "--limit", id="limit"),
        pytest.param(["--list", "--via", "ftp"], 2, "--via", id="via"),
    ],
)
def test_bad_input(arguments: list[str], status: int, message: str, program: Program) -> None:
    found, out, err = program(*arguments)
    assert found == status
    assert message in " ".join(err.split())
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "option",
    [
        "--lines",
        "--areas",
        "--depths",
        "--stimulus",
        "--donors",
        "--containers",
        "--sessions",
        "--session-types",
    ],
)
def test_an_empty_filter_fetches_nothing(option: str, program: Program, loopback: Loopback, tmp_path: Path) -> None:
    status, _, err = program("--out", tmp_path / "raw", "--all", option, "")
    assert status == 2
    assert f"{option} is given but empty ('')" in err
    assert loopback.log == []
    assert not (tmp_path / "raw").exists()


def test_everything_has_to_be_asked_for(program: Program, loopback: Loopback, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    status, _, err = program("--out", raw)
    assert status == 2
    said = " ".join(err.split())
    meant = [n for box in (1000, 2000, 3000, 4000) for n in range(box + 1, box + 4) if n != WITHOUT_FILE]
    size_kb = sum(len(loopback.content(number)) for number in meant) / 1000
    assert "without a filter every recording is meant: 12 recordings chosen, 0 of them here: 11 to fetch (" in said
    assert f"11 to fetch ({size_kb:.1f} kB; " in said
    assert "Give --all" in said
    assert not raw.exists()
    assert loopback.asked("well_known_file_download", "GET") == []

    status, out, _ = program("--out", raw, "--dry-run")
    assert (status, raw.exists()) == (0, False)
    assert "11 to fetch" in out
    assert program("--out", raw, "--list")[0] == program("--list")[0] == 0

    status, out, _ = program("--out", raw, "--all")
    assert status == 0
    assert "11 of 12 recordings are in" in out
    assert "The warehouse has no NWB file of 3003." in out
    assert "Next: poyodata ingest" in out


@pytest.mark.parametrize("listed", [True, False], ids=["files-listed", "files-asked-for"])
def test_a_recording_that_cannot_be_had(listed: bool, program: Program, loopback: Loopback, tmp_path: Path) -> None:
    if not listed:
        for row in loopback.tables["OphysExperiment"]:
            del row["well_known_files"]
    status, out, err = program("--out", tmp_path, "--sessions", "3003")
    assert status == 1
    assert "nothing of this can be had: the warehouse has no NWB file of 3003." in err
    assert "Next:" not in out
    assert "Try again" not in err
    status, out, _ = program("--out", tmp_path, "--sessions", "3003", "--json")
    assert (status, json.loads(out)["complete"]) == (1, False)
    status, out, _ = program("--out", tmp_path, "--sessions", "3002,3003")
    assert status == 0
    assert "The warehouse has no NWB file of 3003." in out
    assert "Next: poyodata ingest" in out


def test_a_folder_that_is_another_cache(program: Program, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"manifest": []}')
    status, _, err = program("--out", tmp_path)
    assert status == 2
    assert "is not a manifest of AllenSDK's BrainObservatoryCache" in err


def test_what_is_fetched_can_be_found_by_ingest(program: Program, tmp_path: Path) -> None:
    from poyodata.sources import find_sources

    assert program("--out", tmp_path, "--sessions", "1001")[0] == 0
    assert [file.path.name for file in find_sources(tmp_path, "auto", None)] == ["1001.nwb"]


def test_the_package_is_light() -> None:
    code = "import poyodata.fetch, sys; print(sorted(set(sys.modules) & {'pandas', 'numpy', 'h5py', 'rich', 'xarray'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
