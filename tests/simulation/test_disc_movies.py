from __future__ import annotations

import numpy as np

from poyodata.simulation.disc_movies import GREY, disc_movie
from poyodata.simulation.movies import scene_cuts
from poyodata.simulation.templates import Templates
from poyodata.simulation.worlds import load_world


def test_scenes_are_cut_every_two_seconds() -> None:
    movie = disc_movie(300, 64, 128, np.random.default_rng(0))
    assert scene_cuts(movie).tolist() == [0, 60, 120, 180, 240]


def test_a_bright_and_a_dark_disc_stay_in_the_picture() -> None:
    movie = disc_movie(600, 32, 64, np.random.default_rng(1)).astype(int)
    assert ((movie > GREY + 50).any(axis=(1, 2)) | (movie < GREY - 50).any(axis=(1, 2))).all()
    assert (movie == GREY).mean() > 0.5
    # Nothing jumps within a scene: a disc goes by parts of a pixel in a frame.
    step = np.abs(np.diff(movie, axis=0)).mean(axis=(1, 2))
    assert np.delete(step, np.arange(59, 599, 60)).max() < 0.25 * step[59::60].min()


def test_a_world_chooses_its_movies() -> None:
    world = load_world("tiny").replace(movies="discs")
    movie = Templates(world)["natural_movie_one"]
    assert np.median(movie) == GREY
    assert (movie != Templates(load_world("tiny"))["natural_movie_one"]).any()
