"""Movies of discs on grey: so few things to know that a decoder can learn to draw scenes that it was never shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GREY = 127
_FRAMES_PER_SCENE = 60
_CONTRAST = 110
_RADIUS = (0.14, 0.26)  # of the height
_SPEED = 0.15  # of the picture a second, standard deviation
_MARGIN = 0.1
_RATE_HZ = 30.0


def disc_movie(frames: int, height_px: int, width_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a movie of two-second scenes, each a bright and a dark disc that drift over grey and turn at the margin.

    Natural movies of some minutes show too few pictures to learn from them what pictures look like: of a scene that it
    was never shown, no decoder says more than the mean picture does. Scenes of discs are all of a kind.

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
    >>> movie.shape, int(movie.min()), int(np.median(movie)), int(movie.max())
    ((90, 32, 64), 17, 127, 237)
    """
    movie = np.empty((frames, height_px, width_px), np.uint8)
    row, column = np.ogrid[:height_px, :width_px]
    for first in range(0, frames, _FRAMES_PER_SCENE):
        scene = movie[first : first + _FRAMES_PER_SCENE]
        at = rng.uniform(_MARGIN, 1.0 - _MARGIN, (2, 2))
        speed = rng.normal(0.0, _SPEED, (2, 2)) / _RATE_HZ
        radius_px = rng.uniform(*_RADIUS, 2) * height_px
        for number, frame in enumerate(scene):
            level = np.full((height_px, width_px), float(GREY))
            for disc, sign in enumerate((1.0, -1.0)):
                y, x = _turned(at[disc] + number * speed[disc]) * (height_px, width_px)
                distance_px = np.hypot(row + 0.5 - y, column + 0.5 - x)
                level += sign * _CONTRAST * np.clip(radius_px[disc] - distance_px + 0.5, 0.0, 1.0)
            frame[:] = np.rint(level)
    return movie


def _turned(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A place that left the margins, folded back between them as if it had turned there."""
    wide = 1.0 - 2.0 * _MARGIN
    return np.asarray(_MARGIN + wide * np.abs(((place - _MARGIN) / wide + 1.0) % 2.0 - 1.0))
