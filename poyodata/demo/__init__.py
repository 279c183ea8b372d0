"""The whole road in one command, on simulated recordings or on a real one."""

from __future__ import annotations

from poyodata.demo.recording import run_recording
from poyodata.demo.results import DemoResult, ResultRow
from poyodata.demo.simulated import run_simulated

__all__ = ["DemoResult", "ResultRow", "run_recording", "run_simulated"]
