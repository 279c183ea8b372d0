"""Frames to decode, and what their likeness is by definition: written from the formulas, in numpy and scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom

Frames = npt.NDArray[np.float64]


def some_frames(n: int, height: int = 64, width: int = 128, seed: int = 0) -> Frames:
    """Smooth frames from 0 to 1 with black and white patches, different from one another."""
    coarse = np.random.default_rng(seed).standard_normal((n, height // 8 + 1, width // 8 + 1))
    smooth = np.stack([zoom(frame, (height / frame.shape[0], width / frame.shape[1]), order=3) for frame in coarse])
    return np.clip(0.5 + 0.35 * smooth, 0, 1)


def noisy_frames(n: int, height: int, width: int, seed: int) -> Frames:
    """Unrelated pixels from 0 to 1."""
    return np.random.default_rng(seed).random((n, height, width))


def ssim_by_definition(prediction: Frames, target: Frames, data_range: float = 1.0) -> Frames:
    """Luminance x contrast x structure of Wang et al. 2004, one frame after the other."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    c3 = c2 / 2

    def mean(frame: Frames) -> Frames:
        return gaussian_filter(frame, sigma=1.5, truncate=3.5, mode="mirror")  # a radius of 5: 11x11 pixels

    def one(p: Frames, t: Frames) -> float:
        mu_p, mu_t = mean(p), mean(t)
        sd_p = np.sqrt(np.maximum(mean(p * p) - mu_p**2, 0))
        sd_t = np.sqrt(np.maximum(mean(t * t) - mu_t**2, 0))
        covariance = mean(p * t) - mu_p * mu_t
        luminance = (2 * mu_p * mu_t + c1) / (mu_p**2 + mu_t**2 + c1)
        contrast = (2 * sd_p * sd_t + c2) / (sd_p**2 + sd_t**2 + c2)
        structure = (covariance + c3) / (sd_p * sd_t + c3)
        return float((luminance * contrast * structure).mean())

    return np.array([one(p, t) for p, t in zip(prediction, target, strict=True)])
