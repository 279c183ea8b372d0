"""Whether processes that a test knows of are still there."""

from __future__ import annotations

import time
from pathlib import Path


def gone(pids: list[int], within_s: float = 10.0) -> bool:
    """Whether these processes end soon."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in _status(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
