from __future__ import annotations

import numpy as np

from poyodata.simulation.disc_movies import WHITE, disc_movie
from poyodata.simulation.templates import Templates
from poyodata.simulation.worlds import load_world


def test_a_disc_drifts_over_a_picture_and_jumps_every_two_seconds() -> None:
    movie = disc_movie(600, 64, 128, np.random.default_rng(1)).astype(int)
    disc = movie == WHITE
    assert disc.any(axis=(1, 2)).all()
    assert disc.mean(axis=(1, 2)).max() < 0.1
    # Nothing but the disc moves, and within a scene it goes by parts of a pixel in a frame.
    where = np.array([np.argwhere(frame).mean(axis=0) for frame in disc])
    step = np.hypot(*np.diff(where, axis=0).T)
    jumps = np.arange(59, 599, 60)
    assert np.delete(step, jumps).max() < 3
    assert np.median(step[jumps]) > 15
    assert (np.median(movie, axis=0) == movie.min(axis=0)).mean() > 0.8


def test_a_world_chooses_its_movies() -> None:
    world = load_world("tiny").replace(movies="discs")
    movie = Templates(world)["natural_movie_one"]
    assert movie.max() == WHITE
    assert (movie != Templates(load_world("tiny"))["natural_movie_one"]).any()
