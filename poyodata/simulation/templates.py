"""Movies, scenes and noise of a world: made once, the same in every recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from poyodata.simulation.disc_movies import disc_movie
from poyodata.simulation.movies import movie_template, scene_images
from poyodata.simulation.sparse_noise import SPARSE_NOISE, sparse_noise_template
from poyodata.simulation.streams import random_stream
from poyodata.simulation.timeline import presentations
from poyodata.simulation.world import World

Template = npt.NDArray[np.uint8]

_PICTURES = ("natural_movie_one", "natural_movie_two", "natural_movie_three", "natural_scenes")


class Templates:
    """Templates of one world, each made when it is first asked for, then kept.

    Parameters
    ----------
    world : World

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> Templates(load_world("tiny"))["natural_movie_one"].shape
    (10, 32, 64)
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._made: dict[str, Template] = {}

    def __getitem__(self, stimulus: str) -> Template:
        """Frames of a stimulus, shape (frame, height, width), uint8."""
        if stimulus not in self._made:
            rng = np.random.default_rng(random_stream(self.world.seed, stimulus))
            self._made[stimulus] = _make(stimulus, self.world, rng)
        return self._made[stimulus]

    def of(self, shown: Mapping[str, object]) -> dict[str, Template]:
        """Templates of those of the stimuli that have one."""
        return {name: self[name] for name in shown if name in _PICTURES or name in SPARSE_NOISE}


def _make(stimulus: str, world: World, rng: np.random.Generator) -> Template:
    if stimulus in SPARSE_NOISE:
        grid = SPARSE_NOISE[stimulus]
        session = "three_session_C" if stimulus == "locally_sparse_noise" else "three_session_C2"
        frames = sum(presentations(world, session)[stimulus])
        return sparse_noise_template(frames, grid.rows, grid.columns, rng, exclusion_px=grid.exclusion_px)
    if stimulus == "natural_scenes":
        return scene_images(world.scenes, world.scene_height_px, world.scene_width_px, rng)
    frames = world.movie_three_frames if stimulus == "natural_movie_three" else world.movie_frames
    draw = disc_movie if world.movies == "discs" else movie_template
    return draw(frames, world.movie_height_px, world.movie_width_px, rng)
