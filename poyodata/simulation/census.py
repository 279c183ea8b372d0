"""Which recordings a world holds: donors, containers, sessions, and what stands in their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from poyodata.errors import UsageError
from poyodata.simulation.lines import LINES
from poyodata.simulation.streams import random_stream
from poyodata.simulation.world import World
from poyodata.sources.record import SessionMetadata
from poyodata.vocabulary import CRE_LINES

_FIRST_SESSION, _FIRST_CONTAINER, _FIRST_DONOR = 900_000_000, 910_000_000, 700_000
_FIRST_CELL, _FIRST_ROI, _CELLS = 10_000_000_000, 900_000_000_000, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One entry of the census.

    Attributes
    ----------
    number : int
        Running number of the recording, from 0.
    container : int
        Running number of its container.
    turn : int
        Running number within the container.
    metadata : SessionMetadata
    """

    number: int
    container: int
    turn: int
    metadata: SessionMetadata

    @property
    def line(self) -> str:
        """CRE line."""
        return self.metadata.cre_line

    @property
    def specimen_name(self) -> str:
        """Name of the mouse as in NWB files: its lines, and the donor's number at the end."""
        return f"{LINES[self.line].reporter}-{self.metadata.donor_id}"

    def cell_specimen_ids(self, cells: np.ndarray) -> np.ndarray:
        """Ids of cells by their number in the container: the same in every recording of it."""
        return _FIRST_CELL + self.container * _CELLS + np.asarray(cells, np.int64)

    def roi_ids(self, count: int) -> np.ndarray:
        """Ids of the regions of interest of this recording."""
        return _FIRST_ROI + self.number * _CELLS + np.arange(count, dtype=np.int64)


def session_ids(world: World) -> list[str]:
    """Ids of a world's recordings, in order.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> session_ids(load_world("tiny"))
    ['900000000', '900000001', '900000002']
    """
    return [str(_FIRST_SESSION + number) for number in range(world.sessions)]


def recording(world: World, number: int) -> Recording:
    """Look up one recording; it does not depend on how many there are.

    Parameters
    ----------
    world : World
    number : int
        From 0.

    Returns
    -------
    Recording

    Raises
    ------
    UsageError
        When the world has fewer.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> recording(load_world("demo"), 10).metadata.cre_line
    'Sst-IRES-Cre'
    """
    if not 0 <= number < world.sessions:
        raise UsageError(f"world {world.name!r} has {world.sessions} recordings; there is no number {number}.")
    container, turn = divmod(number, len(world.session_types))
    line, donor = _origin(world, container)
    place = np.random.default_rng(random_stream(world.seed, f"container:{container}"))
    mouse = np.random.default_rng(random_stream(world.seed, f"donor:{donor}"))
    law = LINES[line]
    sex, born = str(mouse.choice(["female", "male"])), float(mouse.integers(80, 140))
    area = world.areas[int(place.integers(len(world.areas)))]
    depth_um = law.depths_um[int(place.integers(len(law.depths_um)))]
    kind = world.session_types[turn]
    if kind == "C/C2":
        # The observatory went over from one to the other when it was half done.
        kind = str(place.choice(["C", "C2"]))
    return Recording(
        number=number,
        container=container,
        turn=turn,
        metadata=SessionMetadata(
            session_id=str(_FIRST_SESSION + number),
            donor_id=str(donor),
            container_id=str(_FIRST_CONTAINER + container),
            cre_line=line,
            area=area,
            depth_um=depth_um,
            session_type=f"three_session_{kind}",
            indicator="GCaMP6f",
            genotype=law.genotype,
            sex=sex,
            age_days=born + turn,
        ),
    )


def _origin(world: World, container: int) -> tuple[str, int]:
    """CRE line and donor's number of a container."""
    if world.census == "allen":
        line, turn = _allen_containers()[container]
        return line, _donor(line, turn % LINES[line].donors)
    round_, place = divmod(container, len(world.lines))
    line = world.lines[place]
    # Numbered within the line, so that a longer list of recordings renames no mouse; a line may stand there twice.
    turn = round_ * world.lines.count(line) + world.lines[:place].count(line)
    return line, _donor(line, turn // world.containers_per_donor)


def _donor(line: str, turn: int) -> int:
    return _FIRST_DONOR + CRE_LINES.index(line) * 1000 + turn


@cache
def _allen_containers() -> list[tuple[str, int]]:
    """Line and running number within the line of every container, in an order in which any prefix is a fair sample."""
    entries = [
        ((turn + 0.5) / law.containers, line, turn) for line, law in LINES.items() for turn in range(law.containers)
    ]
    return [(line, turn) for _, line, turn in sorted(entries)]


ALLEN_CONTAINERS = sum(law.containers for law in LINES.values())
"""Containers of the whole Allen Brain Observatory."""
