"""How like a real recording a simulated one is: measured on both alike, tabled and drawn."""

from __future__ import annotations

from poyodata.realism.measures import Measures, measure
from poyodata.realism.recording import GratingTime
from poyodata.realism.simulated import simulate_gratings

__all__ = ["GratingTime", "Measures", "measure", "simulate_gratings"]
