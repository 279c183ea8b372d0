"""Movies of a disc on a picture: so little to know that a decoder can learn to draw scenes that it was never shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poyodata.simulation.movies import scene_images

GREY, WHITE = 110, 245
_FRAMES_PER_SCENE = 60
_TEXTURE = 12.0  # grey levels, standard deviation
_RADIUS = 0.22  # of the height
_SPEED = 0.25  # of the picture a second, standard deviation
_MARGIN = 0.1
_RATE_HZ = 30.0


def disc_movie(frames: int, height_px: int, width_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a movie of two-second scenes, each a bright disc that drifts over the same picture and turns at its margin.

    Natural movies of some minutes show too few pictures to learn from them what pictures look like: of a scene that it
    was never shown, no decoder says more than the mean picture does. Scenes of a disc are all of a kind.

    Parameters
    ----------
    frames, height_px, width_px : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (frame, height, width), uint8

    Examples
    --------
    >>> movie = disc_movie(90, 32, 64, np.random.default_rng(0))
    >>> movie.shape, int(movie.max())
    ((90, 32, 64), 245)
    """
    movie = np.empty((frames, height_px, width_px), np.uint8)
    picture = scene_images(1, height_px, width_px, rng)[0].astype(np.float64)
    ground = GREY + _TEXTURE * (picture - picture.mean()) / picture.std()
    row, column = np.ogrid[:height_px, :width_px]
    for first in range(0, frames, _FRAMES_PER_SCENE):
        at = rng.uniform(_MARGIN, 1.0 - _MARGIN, 2)
        speed = rng.normal(0.0, _SPEED, 2) / _RATE_HZ
        for number, frame in enumerate(movie[first : first + _FRAMES_PER_SCENE]):
            y, x = _turned(at + number * speed) * (height_px, width_px)
            distance_px = np.hypot(row + 0.5 - y, column + 0.5 - x)
            inside = np.clip(_RADIUS * height_px - distance_px + 0.5, 0.0, 1.0)
            frame[:] = np.clip(np.rint(ground + (WHITE - ground) * inside), 0, WHITE)
    return movie


def _turned(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A place that left the margins, folded back between them as if it had turned there."""
    wide = 1.0 - 2.0 * _MARGIN
    return np.asarray(_MARGIN + wide * np.abs(((place - _MARGIN) / wide + 1.0) % 2.0 - 1.0))
