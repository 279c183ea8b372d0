"""Making AllenSDK's environment, with a stand-in for Python: no network, no pip."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.version import Version

from poyodata.allensdk import environment, interpreter
from poyodata.allensdk.environment import (
    MARKER,
    REQUIREMENTS,
    ensure_environment,
    environment_folder,
    requirements_key,
    run_script,
)
from poyodata.errors import JudgeError, UsageError

FAKE = """#!/bin/sh
# Answers as Python does to what making an environment asks of it, and writes down what it was asked.
state="$FAKE_STATE"
case "$*" in
*'%d.%d'*) echo "$(cat "$state/version")" ;;
*'-m venv'*)
    echo venv >> "$state/log"
    env > "$state/environ"
    for folder; do :; done
    mkdir -p "$folder/bin" && ln -s "$state/base-python" "$folder/bin/python" ;;
*'-m pip'*)
    echo pip >> "$state/log"
    echo "Collecting numpy==1.23.5"
    if [ -e "$state/pip-sleeps" ]; then echo $$ > "$state/pip-pid"; sleep "$(cat "$state/pip-sleeps")"; fi
    if [ -e "$state/pip-fails" ]; then echo "ERROR: Could not find a version"; exit 1; fi
    echo installed >> "$state/log" ;;
*'import allensdk'*)
    echo import >> "$state/log"
    if [ -e "$state/import-fails" ]; then echo "ModuleNotFoundError: No module named 'statsmodels'"; exit 1; fi ;;
*) echo "$*" >&2; exit 3 ;;
esac
"""


class FakePython:
    """A Python in a folder, whose behaviour is set by files beside it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder
        folder.mkdir(parents=True)
        self.path = folder / "base-python"
        self.path.write_text(FAKE)
        self.path.chmod(0o755)
        self.set("version", "3.11")

    def set(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def unset(self, name: str) -> None:
        (self.state / name).unlink()

    @property
    def log(self) -> list[str]:
        path = self.state / "log"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePython:
    fake = FakePython(tmp_path / "python")
    monkeypatch.setenv("FAKE_STATE", str(fake.state))
    monkeypatch.setenv(interpreter.PYTHON_VARIABLE, str(fake.path))
    monkeypatch.setenv(environment.CACHE_VARIABLE, str(tmp_path / "cache"))
    return fake


def started() -> subprocess.Popen[str]:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from poyodata.allensdk.environment import ensure_environment; print(ensure_environment())"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)


def test_it_is_made_once_and_says_so_before(python: FakePython, capsys: pytest.CaptureFixture[str]) -> None:
    made = ensure_environment()
    said = capsys.readouterr()
    assert made == environment_folder() / "bin" / "python"
    assert said.out == ""
    assert "0.2 GB to download, 0.75 GB on disk" in said.err
    assert said.err.index("GB") < said.err.index("environment for AllenSDK   ")
    assert (environment_folder() / MARKER).exists()
    assert ensure_environment() == made
    assert python.log == ["venv", "pip", "installed", "import"]
    assert capsys.readouterr().err == ""


def test_nothing_of_this_process_leaks_in(python: FakePython, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_CONSTRAINT"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_RETRIES", "7")
    ensure_environment()
    seen = (python.state / "environ").read_text()
    assert "/elsewhere" not in seen
    assert "PIP_RETRIES=7" in seen  # the user's own settings of pip apply
    assert "MPLBACKEND=Agg" in seen


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param("pip-fails", "pip ended with status 1.\nCollecting numpy==1.23.5\nERROR: Could not", id="pip"),
        pytest.param("import-fails", "No module named 'statsmodels'", id="import"),
    ],
)
def test_a_failure_leaves_nothing_and_can_be_repeated(python: FakePython, fault: str, said: str) -> None:
    python.set(fault)
    with pytest.raises(JudgeError) as caught:
        ensure_environment()
    assert said in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert not environment_folder().exists()
    python.unset(fault)
    assert ensure_environment().exists()


def test_what_an_attempt_that_died_left_is_cleared_away(python: FakePython) -> None:
    stale = environment_folder() / "lib" / "half.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    (environment_folder() / "bin").mkdir()
    (environment_folder() / "bin" / "python").symlink_to(python.path)
    ensure_environment()
    assert not stale.exists()
    assert python.log == ["venv", "pip", "installed", "import"]


def test_it_is_made_again_when_its_python_is_gone(python: FakePython, tmp_path: Path) -> None:
    made = ensure_environment()
    made.unlink()
    made.symlink_to(tmp_path / "python3.11-before-the-update")
    assert ensure_environment().exists()
    assert python.log.count("venv") == 2


def test_other_pins_make_another(
    python: FakePython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ensure_environment()
    changed = tmp_path / "requirements.txt"
    changed.write_text(REQUIREMENTS.read_text().replace("allensdk==2.16.2", "allensdk==2.16.3"))
    monkeypatch.setattr(environment, "REQUIREMENTS", changed)
    capsys.readouterr()
    assert ensure_environment() != first
    assert first.exists()
    assert f"may be deleted from {first.parents[2]}: {first.parents[1].name}." in capsys.readouterr().err


def test_of_two_at_once_the_second_waits(python: FakePython) -> None:
    python.set("pip-sleeps", "1")
    first = started()
    wait_for(python.state / "pip-pid")
    second = started()
    ends = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    assert "waiting for it" in ends[1][1]
    assert python.log == ["venv", "pip", "installed", "import"]


def test_an_interrupted_attempt_leaves_nothing(python: FakePython) -> None:
    python.set("pip-sleeps", "60")
    process = started()
    wait_for(python.state / "pip-pid")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert not environment_folder().exists()
    python.unset("pip-sleeps")
    assert ensure_environment().exists()


@pytest.mark.slow
def test_after_a_killed_attempt_its_pip_is_waited_for(python: FakePython) -> None:
    """Else the orphan would go on writing into the folder that the next attempt makes."""
    python.set("pip-sleeps", "2")
    process = started()
    wait_for(python.state / "pip-pid")
    process.kill()
    process.communicate(timeout=60)
    python.unset("pip-sleeps")
    assert ensure_environment().exists()
    assert python.log == ["venv", "pip", "installed", "venv", "pip", "installed", "import"]


def test_a_cache_that_cannot_be_written(python: FakePython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(environment.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match=r"cannot be written .*; set POYODATA_CACHE to a folder of yours"):
        ensure_environment()


def test_a_script_that_fails_says_its_last_lines(python: FakePython, tmp_path: Path) -> None:
    made = ensure_environment()
    with pytest.raises(JudgeError, match=r"other.py ended with status 3 .*\n-I .*other.py FILE\n.*delete that folder"):
        run_script(made, tmp_path / "other.py", ["FILE"])


class TestFindPython:
    """Which Python is taken: those that are there are stand-ins."""

    @pytest.fixture(autouse=True)
    def bare(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine on which this process runs a Python too new, and nothing else is installed."""

        class Running:
            executable = sys.executable
            version_info = type(
                "Version", (tuple,), {"major": property(lambda self: self[0]), "minor": property(lambda self: self[1])}
            )((3, 13, 0))

        monkeypatch.setattr(interpreter, "sys", Running)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
        monkeypatch.setenv("FAKE_STATE", str(tmp_path / "fake"))
        monkeypatch.delenv(interpreter.PYTHON_VARIABLE, raising=False)
        monkeypatch.setattr(interpreter, "shutil", type("Which", (), {"which": staticmethod(self.which)}))
        self.folder = tmp_path
        self.fake = FakePython(tmp_path / "fake")
        (tmp_path / "bin").mkdir()

    def which(self, name: str) -> str | None:
        path = self.folder / "bin" / name
        return str(path) if path.exists() else None

    def place(self, name: str, text: str | None = None) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or FAKE)
        path.chmod(0o755)
        return path

    def test_none(self) -> None:
        with pytest.raises(UsageError) as caught:
            interpreter.find_python()
        for said in ("3.8 to 3.11", "this one is 3.13", "uv python install 3.11", "pyenv", "conda", "ALLENSDK_PYTHON="):
            assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_this_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interpreter.sys, "version_info", (3, 11, 7))
        self.place("bin/python3.10")
        assert interpreter.find_python() == Path(sys.executable)

    def test_on_the_path_newest_first(self) -> None:
        self.place("bin/python3.9")
        newest = self.place("bin/python3.10")
        assert interpreter.find_python() == newest

    def test_one_that_does_not_run_is_passed_over(self) -> None:
        self.place("bin/python3.11", "#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n")
        found = self.place("pyenv/versions/3.10.13/bin/python")
        assert interpreter.find_python() == found

    def test_one_without_ensurepip_is_said(self) -> None:
        without = "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ensurepip'\" >&2\nexit 1\n"
        place = self.place("bin/python3.11", without)
        with pytest.raises(UsageError, match=f"{place} lacks ensurepip .*apt install python3-venv"):
            interpreter.find_python()

    def test_uvs(self) -> None:
        found = self.place("uv-pythons/python3.11")
        self.place("bin/uv", f'#!/bin/sh\n[ -z "$VIRTUAL_ENV" ] && echo {found}\n')
        assert interpreter.find_python() == found

    def test_the_named_one_and_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place("bin/python3.11")
        named = self.place("elsewhere/python")
        monkeypatch.setenv(interpreter.PYTHON_VARIABLE, str(named))
        assert interpreter.find_python() == named
        self.fake.set("version", "3.12")
        with pytest.raises(UsageError, match=r"ALLENSDK_PYTHON names .*, which is Python 3.12; AllenSDK runs on"):
            interpreter.find_python()
        monkeypatch.setenv(interpreter.PYTHON_VARIABLE, str(self.folder / "nowhere"))
        with pytest.raises(UsageError, match=r"nowhere, which cannot be run"):
            interpreter.find_python()


PINS = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]


def test_every_pin_is_exact() -> None:
    assert all(pin.partition(";")[0].count("==") == 1 for pin in PINS)
    assert len(PINS) > 50


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11"])
def test_pins_of_one_python(version: str) -> None:
    where = {"python_version": version, "python_full_version": f"{version}.9"}
    chosen = [pin for pin in PINS if ";" not in pin or Marker(pin.partition(";")[2].strip()).evaluate(where)]
    pins = dict(pin.partition(";")[0].strip().split("==") for pin in chosen)
    assert len(pins) == len(chosen), "a package is pinned twice"
    assert pins["allensdk"] == "2.16.2"
    below = {"numpy": "1.24", "scipy": "1.11", "statsmodels": "0.14.5", "marshmallow": "4", "setuptools": "81"}
    for name, limit in below.items():
        assert Version(pins[name]) < Version(limit)


def test_the_key_follows_the_pins_alone() -> None:
    text = REQUIREMENTS.read_text()
    assert requirements_key(text) == requirements_key("\n".join(reversed(PINS)))
    assert requirements_key(text) != requirements_key(text.replace("numpy==1.23.5", "numpy==1.23.4"))
