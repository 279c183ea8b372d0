"""All statistics of information: about the direction of gratings, about pairs of directions, about movie time."""

from __future__ import annotations

from poyodata.statistics.information.direction import FISHER_DIRECTION, fisher_direction
from poyodata.statistics.information.dprime import DPRIME2, dprime2
from poyodata.statistics.information.movie import FISHER_MOVIES, fisher_movie
from poyodata.statistics.information.trials import TrialResponses

INFORMATION = (FISHER_DIRECTION, DPRIME2, *FISHER_MOVIES)

__all__ = [
    "DPRIME2",
    "FISHER_DIRECTION",
    "FISHER_MOVIES",
    "INFORMATION",
    "TrialResponses",
    "dprime2",
    "fisher_direction",
    "fisher_movie",
]
