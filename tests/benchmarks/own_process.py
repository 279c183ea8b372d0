"""Work in a Python process of its own: what it takes of memory and of open files is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# `getrusage` would begin with the peak of the process that started this one; VmHWM begins anew, where there is one.
_PRELUDE = """
import json, os, resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))

def peak_mb():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6

def open_files():
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd")) - 1

def say(**answer):
    print(json.dumps(answer))

bare_mb = peak_mb()
"""


def in_own_process(
    code: str, *arguments: str | Path, open_files: int = 256, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run code that calls ``say(name=value, ...)`` once; ``peak_mb()``, ``bare_mb`` and ``open_files()`` are there.

    Parameters
    ----------
    code : str
    arguments : str or Path
        ``sys.argv[1:]`` of it.
    open_files : int
        How many it may have open at once, as by ``ulimit -n``.
    environment : mapping of str to str, optional
        Variables beside those of this process.

    Returns
    -------
    dict
        What it said.
    """
    prelude = _PRELUDE.replace("OPEN_FILES", str(open_files))
    done = subprocess.run(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
