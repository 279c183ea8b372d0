"""What the code released with the paper has beside, or in the place of, what the paper says: ``layout="legacy"``.

It is here to make that code's parameter counts and to compare with its numbers; nothing else needs it.

* Tokens: before a neuron's values come one of type 1 at 0 s and one of type 2 at 1 s, whatever the window's length,
  both with a value of 0. A type is a row of a table of 4, added to the unit embedding. The time of a patch is the mean
  of its frames' times, and the first frame is at 0 s (``capoyo.py:303-341, 535-652``).
* Latents lie over the first second only (``capoyo.py:537``): half of the frames of a window of 1.9 s come after them.
* Queries have a table of 32 rows, one for each number that a readout might have; 14 are used.
* All 14 readouts are made, 4,654 outputs, whichever is trained (``taxonomy/multitask_readout.py``); of a movie, none of
  them but the image decoder.
* An embedding of 5 depth classes is made and not used, unless the depth is embedded (``capoyo.py:118``).
* There is no mask token: masked latents are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from poyodata.errors import ModelError, nearest
from poyodata.models.tasks import Task

LEGACY_WINDOW_S = 1.0
N_TOKEN_TYPES = 4
N_QUERIES = 32


class LegacyReadout(NamedTuple):
    """A readout of the released code: its number, which is its row among the queries, and its outputs."""

    number: int
    n_outputs: int


LEGACY_READOUTS: Mapping[str, LegacyReadout] = MappingProxyType(
    {
        "arm_velocity": LegacyReadout(1, 2),
        "cursor_velocity": LegacyReadout(9, 2),
        "cursor_position": LegacyReadout(2, 2),
        "direction": LegacyReadout(13, 8),
        "static_grating": LegacyReadout(17, 6),
        "gabor_orientation": LegacyReadout(21, 4),
        "temporal_frequency": LegacyReadout(23, 5),
        "running": LegacyReadout(24, 1),
        "pupil": LegacyReadout(25, 2),
        "gaze": LegacyReadout(26, 2),
        "gabor_position": LegacyReadout(27, 2),
        "scene": LegacyReadout(28, 118),
        "movie_frame": LegacyReadout(30, 900),
        "movie_three_frame": LegacyReadout(31, 3600),
    }
)
"""By the name that a task has here, or would have."""


def legacy_number(task: str) -> int:
    """Row of a task among the 32 queries; the pixels of a movie are asked for as its frames are.

    Examples
    --------
    >>> legacy_number("direction"), legacy_number("movie_pixels")
    (13, 30)
    """
    return LEGACY_READOUTS["movie_frame" if task == "movie_pixels" else task].number


def legacy_tasks(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Tasks with as many outputs as the released code's readouts of the same name.

    Raises
    ------
    ModelError
        If there is no such readout, or pictures are asked for beside anything else.
    """
    pixels = [task for task in tasks if task.kind == "image"]
    if pixels and len(tasks) > 1:
        raise ModelError("layout='legacy' has either readouts or the image decoder; give 'movie_pixels' alone")
    for task in tasks:
        if task.kind != "image" and task.name not in LEGACY_READOUTS:
            raise ModelError(f"layout='legacy' has no readout {task.name!r}; {nearest(task.name, LEGACY_READOUTS)}")
    return tuple(
        task if task.kind == "image" else replace(task, n_outputs=LEGACY_READOUTS[task.name].n_outputs)
        for task in tasks
    )
