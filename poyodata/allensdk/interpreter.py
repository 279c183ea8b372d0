"""Which Python AllenSDK can live in, and how to call it without leading it into this process's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from poyodata.errors import UsageError

OLDEST, NEWEST = (3, 8), (3, 11)
PYTHON_VARIABLE = "POYODATA_ALLENSDK_PYTHON"

_PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_PROBE_S = 30
# They would send pip elsewhere or change what it installs. Its index, proxy and certificates stay the user's.
_PIP_VARIABLES = ("TARGET", "PREFIX", "ROOT", "USER", "PYTHON", "CONSTRAINT", "REQUIREMENT", "NO_BINARY", "DRY_RUN")


def find_python() -> Path:
    """Find a Python that AllenSDK runs on.

    The one named by ``$POYODATA_ALLENSDK_PYTHON`` and no other, else the first that fits of: this one, ``python3.11``
    down to ``python3.8`` on the path, those of pyenv, the one that uv finds.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        When none fits, with the ways to get one.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    if named:
        version, why = _probe(named)
        if version is None or not OLDEST <= version <= NEWEST:
            raise UsageError(
                f"{PYTHON_VARIABLE} names {named}, {why}; AllenSDK runs on {_range()}, with venv and ensurepip."
            )
        return Path(named)
    almost = []
    for candidate in _candidates():
        version, why = _probe(candidate)
        if version is not None and OLDEST <= version <= NEWEST:
            return Path(candidate)
        if version is None and "ensurepip" in why:
            almost.append(f"{candidate} lacks ensurepip (on Debian and Ubuntu: apt install python3-venv). ")
    raise UsageError(
        f"AllenSDK runs on {_range()} (it needs numpy below 1.24), and none was found; this one is "
        f"{sys.version_info.major}.{sys.version_info.minor}. {''.join(almost)}Get one with `uv python install 3.11`, "
        "`pyenv install 3.11` or `conda create --prefix FOLDER python=3.11`, and, where it is not found by itself, "
        f"name it: {PYTHON_VARIABLE}=/path/to/python3.11."
    )


def clean_environ() -> dict[str, str]:
    """Environment variables of this process without those that would lead another Python into this one's packages.

    Examples
    --------
    >>> "PYTHONPATH" in clean_environ()
    False
    """
    away = {"VIRTUAL_ENV", "__PYVENV_LAUNCHER__", *(f"PIP_{name}" for name in _PIP_VARIABLES)}
    kept = {name: value for name, value in os.environ.items() if name not in away and not name.startswith("PYTHON")}
    # AllenSDK imports pyplot; a backend chosen for a notebook does not exist there.
    return kept | {"MPLBACKEND": "Agg"}


def last_lines(lines: Sequence[str], kept: int = 8) -> str:
    r"""The end of what a process said, without empty lines.

    Examples
    --------
    >>> last_lines(["one", "", "two", "three", ""], 2)
    'two\nthree'
    """
    return "\n".join([line for line in lines if line.strip()][-kept:])


def _candidates() -> Iterator[str]:
    if sys.executable and OLDEST <= sys.version_info[:2] <= NEWEST:
        yield sys.executable
    names = [f"{OLDEST[0]}.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    on_path = (shutil.which(f"python{name}") for name in names)
    yield from (found for found in on_path if found)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in names:
        yield from (str(found) for found in sorted(versions.glob(f"{name}.*/bin/python"), reverse=True))
    if shutil.which("uv"):
        done = subprocess.run(
            ["uv", "python", "find", "--no-project", f"{NEWEST[0]}.{NEWEST[1]}"],
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip():
            yield done.stdout.strip()


def _probe(python: str) -> tuple[tuple[int, int] | None, str]:
    """Version of a Python that can make environments, or None; and what to say of it."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _PROBE],
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"which cannot be run ({error})"
    words = done.stdout.split(".")
    if done.returncode != 0 or len(words) != 2:
        return None, f"which answers {last_lines(done.stderr.splitlines(), 1) or 'nothing'!r}"
    return (int(words[0]), int(words[1])), f"which is Python {done.stdout.strip()}"


def _range() -> str:
    return f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
