"""A movie that neurons answer to linearly, in noise: responses and pictures of some recordings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poyodata.models.evaluation.responses import Responses

N_FRAMES, HEIGHT, WIDTH = 60, 12, 16
STARTS = np.arange(0, N_FRAMES, 5)
"""Twelve segments of five frames."""


def movie(seed: int = 0) -> npt.NDArray[np.float32]:
    """Pictures of five mixed patterns: frames of one segment are alike."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((5, HEIGHT, WIDTH))
    mix = np.repeat(rng.dirichlet(np.ones(5), len(STARTS)), 5, axis=0) + 0.1 * rng.dirichlet(np.ones(5), N_FRAMES)
    pictures = np.einsum("fp,phw->fhw", mix, patterns)
    return (pictures / pictures.max()).astype(np.float32)


def responses(
    frame: npt.ArrayLike, *, sessions: tuple[str, ...] = ("r",), seed: int = 0, noise: float = 0.02
) -> dict[str, Responses]:
    """What 30 neurons of each recording do when the frames are shown, one window each."""
    shown = np.asarray(frame)
    rng = np.random.default_rng(seed)
    pictures = movie()
    found = {}
    for at, session in enumerate(sessions):
        weights = np.random.default_rng(100 + at).standard_normal((HEIGHT * WIDTH, 30)) / HEIGHT
        features = pictures[shown].reshape(len(shown), -1) @ weights + noise * rng.standard_normal((len(shown), 30))
        trial = np.arange(len(shown)) + 1000 * seed
        found[session] = Responses(
            "movie_pixels", "image", session, features, trial, 10 * trial, pictures[shown], shown.astype(np.int64)
        )
    return found
