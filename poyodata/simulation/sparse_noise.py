"""Locally sparse noise: few black and white spots on grey, no two of them close to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

BLACK, GREY, WHITE = 0, 127, 255
EXCLUSION_DEG = 23.25
# About 11 spots on the screen of 130 x 74 degrees.
_SPOTS_PER_EXCLUSION_AREA = 11 * 5.0**2 / (16 * 28)


@dataclass(frozen=True)
class SparseNoise:
    """Grid of one kind of sparse noise.

    Attributes
    ----------
    rows, columns : int
    pixel_deg : float
        Side of a spot.
    """

    rows: int
    columns: int
    pixel_deg: float

    @property
    def extent_deg(self) -> tuple[float, float]:
        """Width and height of the whole grid."""
        return self.columns * self.pixel_deg, self.rows * self.pixel_deg

    @property
    def exclusion_px(self) -> float:
        """Least distance between the centres of two spots, in spots."""
        return EXCLUSION_DEG / self.pixel_deg


SPARSE_NOISE: Mapping[str, SparseNoise] = MappingProxyType(
    {
        "locally_sparse_noise": SparseNoise(16, 28, 4.65),
        "locally_sparse_noise_4deg": SparseNoise(16, 28, 4.65),
        "locally_sparse_noise_8deg": SparseNoise(8, 14, 9.3),
    }
)
"""Kinds of sparse noise by stimulus name."""


def sparse_noise_template(
    frames: int, rows: int, columns: int, rng: np.random.Generator, *, exclusion_px: float = 5.0
) -> npt.NDArray[np.uint8]:
    """Draw frames of locally sparse noise.

    Spots are put down one after another, each on any pixel far enough from those that are there, until a frame has
    its number (11 give or take one, on Allen's grids) or has no room left. Each is black or white by a coin.

    Parameters
    ----------
    frames, rows, columns : int
    rng : numpy.random.Generator
    exclusion_px : float
        Least distance between the centres of two spots.

    Returns
    -------
    ndarray, shape (frame, row, column), uint8
        0 for black, 127 for grey, 255 for white.

    Examples
    --------
    >>> noise = sparse_noise_template(2, 16, 28, np.random.default_rng(0))
    >>> noise.shape, np.unique(noise).tolist()
    ((2, 16, 28), [0, 127, 255])
    """
    y, x = np.divmod(np.arange(rows * columns), columns)
    # Compared in squares, with room for rounding: spots exactly at the distance are allowed.
    far = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2 >= exclusion_px**2 - 1e-6
    np.fill_diagonal(far, False)
    usual = max(1, round(_SPOTS_PER_EXCLUSION_AREA * rows * columns / exclusion_px**2))
    template = np.full((frames, rows * columns), GREY, np.uint8)
    for start in range(0, frames, 1024):
        part = template[start : start + 1024]
        wanted = rng.integers(usual - 1, usual + 2, len(part))
        colour = rng.choice(np.array([BLACK, WHITE], np.uint8), (len(part), usual + 1))
        free = np.ones(part.shape, bool)
        for spot in range(usual + 1):
            room = free.sum(axis=1)
            rank = (rng.random(len(part)) * room).astype(np.int64)
            pixel = np.argmax(np.cumsum(free, axis=1, dtype=np.int32) > rank[:, None], axis=1)
            put = np.flatnonzero((room > 0) & (spot < wanted))
            part[put, pixel[put]] = colour[put, spot]
            free[put] &= far[pixel[put]]
    return template.reshape(frames, rows, columns)
