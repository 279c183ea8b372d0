"""How much room a world takes on disk, before it is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from poyodata.errors import UsageError
from poyodata.simulation.census import recording
from poyodata.simulation.lines import LINES
from poyodata.simulation.sparse_noise import SPARSE_NOISE
from poyodata.simulation.streams import random_stream
from poyodata.simulation.timeline import presentations, session_timeline
from poyodata.simulation.world import World

_ARRAYS = 4  # dF/F, raw, neuropil and demixed fluorescence, float32
_BYTES_A_MASK = 6_000
_LOOKED_AT = 1000


def expected_bytes(world: World) -> int:
    """Estimate the bytes of all files of a world.

    Parameters
    ----------
    world : World

    Returns
    -------
    int

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> round(expected_bytes(load_world("demo")) / 1e6, -2)
    200.0
    """
    frames: dict[str, int] = {}
    total, seen = 0, set()
    looked_at = min(world.sessions, _LOOKED_AT)
    for number in range(looked_at):
        entry = recording(world, number)
        kind = entry.metadata.session_type
        if kind not in frames:
            rng = np.random.default_rng(random_stream(world.seed, "size"))
            frames[kind] = session_timeline(world, kind, rng).n_frames
        neurons = LINES[entry.line].neurons if world.census == "allen" else world.n_neurons(entry.line)
        total += neurons * (frames[kind] * 4 * _ARRAYS + _BYTES_A_MASK) + frames[kind] * 8 * 10
        for stimulus, counts in presentations(world, kind).items():
            if world.templates == "inside" or stimulus not in seen:
                seen.add(stimulus)
                total += _template_bytes(world, stimulus, sum(counts))
    return round(total * (world.sessions / looked_at))


def refuse_too_large(world: World, folder: Path, missing: float = 1.0) -> None:
    """Raise when a world does not fit on the disk of a folder.

    Parameters
    ----------
    world : World
    folder : Path
        There already.
    missing : float
        Share of its recordings that are still to be written.

    Raises
    ------
    UsageError
    """
    needed, free = expected_bytes(world) * missing, shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"world {world.name!r} takes about {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free; choose "
            "another folder, or simulate fewer recordings (--sessions)."
        )


def _template_bytes(world: World, stimulus: str, shown: int) -> int:
    if stimulus in SPARSE_NOISE:
        return shown * SPARSE_NOISE[stimulus].rows * SPARSE_NOISE[stimulus].columns
    if stimulus == "natural_scenes":
        return world.scenes * world.scene_height_px * world.scene_width_px
    if not shown or "movie" not in stimulus:
        return 0
    frames = world.movie_three_frames if stimulus == "natural_movie_three" else world.movie_frames
    return frames * world.movie_height_px * world.movie_width_px
