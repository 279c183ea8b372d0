"""Simulated recordings to be judged: drifting gratings and grey screen alone, with as many trials as real ones."""

from __future__ import annotations

from pathlib import Path

from poyodata.realism.recording import GratingTime
from poyodata.simulation import World, load_world, simulate_session
from poyodata.vocabulary import CRE_LINES


def simulate_gratings(
    world: str | Path | World = "cux2",
    *,
    line: str | None = None,
    repeat: int = 0,
    neurons: int | None = None,
    seed: int | None = None,
) -> GratingTime:
    """Simulate the first recording of a world without its movies, and keep its grating time and spontaneous epoch.

    Parameters
    ----------
    world : str, Path or World
    line : str, optional
        A recording of this CRE line in place of the world's own, with the line's own share of driven neurons.
    repeat : int
        With `line`: which recording of the line, from 0. Recordings of lines and repeats share no random numbers.
    neurons : int, optional
        The world's when left out.
    seed : int, optional
        The world's when left out.

    Returns
    -------
    GratingTime

    Examples
    --------
    >>> simulate_gratings("tiny", neurons=2).trials["blank"].sum()
    np.int64(2)
    """
    number = 0
    changes: dict[str, object] = {"movie_repeats": 0, "movie_three_repeats": 0}
    if line is not None:
        number = CRE_LINES.index(line) + repeat * len(CRE_LINES)
        changes |= {"sessions": number + 1, "lines": CRE_LINES, "driven_by_line": {}}
    if neurons is not None:
        changes |= {"neurons": neurons, "neurons_by_line": {}}
    if seed is not None:
        changes["seed"] = seed
    session, _ = simulate_session(load_world(world).replace(**changes), number)
    return GratingTime.of_simulated(session)
