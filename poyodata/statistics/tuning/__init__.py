"""The tuning group: one declared statistic for each family of stimuli.

Locally sparse noise is left out: AllenSDK's receptive fields are found by shuffling 10,000 times, smoothing and fitting
Gaussians, and nothing of that would be a small statistic.
"""

from __future__ import annotations

from poyodata.statistics.statistic import Statistic
from poyodata.statistics.tuning.gratings import TUNING_DRIFTING_GRATINGS, TUNING_STATIC_GRATINGS
from poyodata.statistics.tuning.movies import (
    TUNING_NATURAL_MOVIE_ONE,
    TUNING_NATURAL_MOVIE_THREE,
    TUNING_NATURAL_MOVIE_TWO,
)
from poyodata.statistics.tuning.scenes import TUNING_NATURAL_SCENES

TUNING: tuple[Statistic, ...] = (
    TUNING_DRIFTING_GRATINGS,
    TUNING_STATIC_GRATINGS,
    TUNING_NATURAL_SCENES,
    TUNING_NATURAL_MOVIE_ONE,
    TUNING_NATURAL_MOVIE_TWO,
    TUNING_NATURAL_MOVIE_THREE,
)
