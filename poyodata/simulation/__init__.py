"""A simulated Allen Brain Observatory: a data set without a download, and the ground truth for every statistic."""

from __future__ import annotations

from poyodata.simulation.census import session_ids
from poyodata.simulation.folder import simulate
from poyodata.simulation.sessions import Truth, simulate_session
from poyodata.simulation.twin import write_array_twin
from poyodata.simulation.world import World
from poyodata.simulation.worlds import WORLDS, load_world

__all__ = ["WORLDS", "Truth", "World", "load_world", "session_ids", "simulate", "simulate_session", "write_array_twin"]
