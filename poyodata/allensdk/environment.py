"""The Python environment that AllenSDK lives in: made once, on demand, in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from poyodata.allensdk.interpreter import clean_environ, find_python, last_lines
from poyodata.errors import JudgeError, UsageError
from poyodata.progress import Advance, console, stage

CACHE_VARIABLE = "POYODATA_CACHE"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MARKER = "complete.json"

_IMPORTS = "import allensdk.core.brain_observatory_cache, allensdk.brain_observatory.drifting_gratings"
_COST = "0.2 GB to download, 0.75 GB on disk, one to two minutes"


def ensure_environment() -> Path:
    """Make the environment of AllenSDK unless it is there, and say where its interpreter is.

    Size and time are said on standard error before anything is made. Of two processes that ask at once the second
    waits for the first. What an interrupted attempt left behind is cleared away by the next.

    Returns
    -------
    Path
        The interpreter. Call it with ``-I`` and `clean_environ`, so that nothing of this process leaks in.

    Raises
    ------
    UsageError
        When there is no Python from 3.8 to 3.11 to make it with.
    JudgeError
        When pip fails, or AllenSDK does not import in what pip installed.
    """
    folder = environment_folder()
    if not _complete(folder):
        with _locked(folder.with_suffix(".lock")) as lock:
            if not _complete(folder):
                _make(folder, lock)
    return _interpreter(folder)


def environment_folder() -> Path:
    """Where the environment of exactly these requirements belongs: other pins, another folder.

    Examples
    --------
    >>> environment_folder().parent.name
    'allensdk'
    """
    return cache_folder() / "allensdk" / f"environment-{requirements_key(REQUIREMENTS.read_text(encoding='utf-8'))}"


def cache_folder() -> Path:
    """The user's cache of poyodata: ``$POYODATA_CACHE``, else where the system keeps caches."""
    import platformdirs

    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("poyodata")


def requirements_key(text: str) -> str:
    r"""Twelve hexadecimal digits that change with the pins, and not with comments or order.

    Examples
    --------
    >>> requirements_key("a==1\nb==2\n") == requirements_key("# why\nb==2\na==1")
    True
    >>> requirements_key("a==1") == requirements_key("a==2")
    False
    """
    pins = sorted(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]


def run_script(python: Path, script: Path, arguments: Sequence[str]) -> None:
    """Run a script that stands alone in AllenSDK's environment.

    Parameters
    ----------
    python : Path
        From `ensure_environment`.
    script : Path
    arguments : sequence of str

    Raises
    ------
    JudgeError
        When it ends with another status than 0: with the last lines of what it said.
    """
    command = [str(python), "-I", str(script), *arguments]
    done = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JudgeError(
            f"{script.name} ended with status {done.returncode} in AllenSDK's environment {python.parents[1]}:\n"
            f"{last_lines(done.stderr.splitlines())}\n"
            "If the environment is damaged, delete that folder: it is made again."
        )


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _complete(folder: Path) -> bool:
    # The interpreter is a link to the Python it was made with, which may have been removed since.
    return (folder / MARKER).is_file() and _interpreter(folder).exists()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(
            f"the cache {path.parent} cannot be written ({error.strerror}); set {CACHE_VARIABLE} to a folder of yours."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another process is making the AllenSDK environment; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _make(folder: Path, lock: int) -> None:
    """Build at the final place, since environments cannot be moved; the marker comes last and says that all is there.

    Only the holder of the lock comes here, so that whatever has no marker was left by an attempt that died.
    """
    python = find_python()
    if folder.exists():
        shutil.rmtree(folder)
    _say(f"Making an environment for AllenSDK with {python} in {folder}, once: {_COST}.")
    begun = time.monotonic()
    pins = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    total = sum(1 for line in pins if line.strip() and not line.startswith("#")) + 2
    try:
        with stage("environment for AllenSDK", total=total, unit="steps") as advance:
            _run([str(python), "-I", "-m", "venv", str(folder)], "venv", lock)
            advance(1)
            # No bytecode: only the modules that are used get theirs, when AllenSDK is first imported.
            pip = ["install", "--no-deps", "--only-binary", ":all:", "--no-compile", "--no-input"]
            inside = [str(_interpreter(folder)), "-I", "-u", "-m", "pip", "--disable-pip-version-check"]
            _run([*inside, *pip, "--progress-bar", "off", "--requirement", str(REQUIREMENTS)], "pip", lock, advance)
            _run([str(_interpreter(folder)), "-I", "-c", _IMPORTS], "importing AllenSDK", lock)
            advance(1)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    made = {"python": str(python), "requirements": folder.name, "seconds": round(time.monotonic() - begun, 1)}
    marker = folder / MARKER
    unfinished = marker.with_suffix(".partial")
    unfinished.write_text(json.dumps(made, indent=2), encoding="utf-8")
    unfinished.replace(marker)
    older = [path.name for path in sorted(folder.parent.glob("environment-*")) if path.is_dir() and path != folder]
    if older:
        _say(f"Environments of earlier versions may be deleted from {folder.parent}: {', '.join(older)}.")


def _run(command: list[str], what: str, lock: int, advance: Advance | None = None) -> None:
    """Run one step to its end; pip's lines about single packages move the bar."""
    said: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        command,
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=[lock],  # should this process be killed, pip goes on: it keeps the lock until it has ended
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                another_python = line.startswith("Ignoring ")  # a pin for it: a step, but nothing to tell
                if not another_python:
                    said.append(line.rstrip())
                if advance is not None and (another_python or line.startswith("Collecting ")):
                    advance(1)
        except BaseException:
            # With all it has started: else that would go on writing into a folder that is being cleared away.
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        status = process.wait()
    if status != 0:
        raise JudgeError(
            f"the environment for AllenSDK cannot be made: {what} ended with status {status}.\n"
            f"{last_lines(list(said))}\n"
            "Nothing is left of it. Packages come from where your pip takes them (its index and proxy settings apply): "
            "when that can be reached, and the disk has 1 GB free, run the same command again."
        )


def _say(text: str) -> None:
    console().print(text, markup=False, soft_wrap=True)
