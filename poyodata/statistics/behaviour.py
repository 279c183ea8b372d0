"""Behaviour at the times of frames: what a statistic that declares signals sees of them."""

from __future__ import annotations

from poyodata.store.signals import LONGEST_STEP_S, FloatArray, at_frames

__all__ = ["LONGEST_STEP_S", "RUNNING_SPEED", "FloatArray", "at_frames"]

RUNNING_SPEED = "running_speed"
