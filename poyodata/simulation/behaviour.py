"""Latents that all neurons of a recording share, and the mouse that shows one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from poyodata.simulation.recording import Behaviour, EyeTracking

GAIN_S = 6.0
# Time constants (s) of the signal that all neurons share, and their parts of its variance: as the covariances between
# the quiet neurons of a real recording fall with lag.
SHARED_PARTS = ((0.13, 0.64), (1.0, 0.22), (12.0, 0.14))
ARTEFACT_S = 0.25
_SCREEN_CM = 15.0  # from the eye to the screen


@dataclass(frozen=True)
class Latents:
    """What the neurons of a recording have in common.

    Attributes
    ----------
    arousal, gain : ndarray, shape (time,), float64
        Standard normal, time constant 6 s; act on the log rate of events. Arousal also makes the mouse run.
    shared : ndarray, shape (time,), float64
        Standard normal, of the time constants `SHARED_PARTS`; adds to dF/F.
    artefact : ndarray, shape (time,), float64
        Jerks of the brain: jumps of standard normal size that decay within 0.25 s; add to dF/F.
    """

    arousal: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    shared: npt.NDArray[np.float64]
    artefact: npt.NDArray[np.float64]


def autoregression(n_frames: int, time_constant_frames: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a stationary autoregression of order 1 with mean 0 and variance 1.

    Parameters
    ----------
    n_frames : int
    time_constant_frames : float
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (time,), float64

    Examples
    --------
    >>> autoregression(4, 30.0, np.random.default_rng(0)).shape
    (4,)
    """
    keep = np.exp(-1.0 / time_constant_frames)
    shocks = rng.normal(size=n_frames) * np.sqrt(1 - keep**2)
    shocks[0] /= np.sqrt(1 - keep**2)
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks))


def draw_latents(n_frames: int, rate_hz: float, artefacts_per_hour: float, rng: np.random.Generator) -> Latents:
    """Draw what the neurons of one recording share.

    Examples
    --------
    >>> draw_latents(10, 30.0, 0.0, np.random.default_rng(0)).artefact.any()
    np.False_
    """
    shared = sum(np.sqrt(part) * autoregression(n_frames, time_s * rate_hz, rng) for time_s, part in SHARED_PARTS)
    arousal, gain = (autoregression(n_frames, GAIN_S * rate_hz, rng) for _ in range(2))
    jerks = np.sqrt(rng.poisson(artefacts_per_hour / 3600.0 / rate_hz, n_frames)) * rng.normal(size=n_frames)
    return Latents(
        arousal=arousal,
        gain=gain,
        shared=np.asarray(shared),
        artefact=np.asarray(lfilter([1.0], [1.0, -np.exp(-1.0 / (ARTEFACT_S * rate_hz))], jerks)),
    )


def draw_behaviour(
    latents: Latents, time_s: npt.NDArray[np.float64], eye_tracked: bool, rng: np.random.Generator
) -> Behaviour:
    """Let the mouse run when aroused, widen its pupil with arousal, and move its eyes and brain.

    Parameters
    ----------
    latents : Latents
    time_s : ndarray, shape (time,), float64, seconds
    eye_tracked : bool
    rng : numpy.random.Generator

    Returns
    -------
    Behaviour

    Examples
    --------
    >>> rng, time_s = np.random.default_rng(0), np.arange(300) / 30.0
    >>> behaviour = draw_behaviour(draw_latents(300, 30.0, 0.0, rng), time_s, False, rng)
    >>> behaviour.eye is None, behaviour.motion_px.shape
    (True, (300, 2))
    """
    n = len(time_s)
    rate_hz = 1.0 / float(np.median(np.diff(time_s)))
    willing = rng.uniform(0.2, 1.2)
    # Real files hold the treadmill for all frames but a few at either end.
    first, last = int(rng.integers(0, 3)), n - int(rng.integers(0, 3))
    speed = np.maximum(0.0, 14.0 * (latents.arousal - willing)) * np.exp(0.2 * autoregression(n, 0.4 * rate_hz, rng))
    speed += 0.25 * rng.normal(size=n)
    drift = np.stack([autoregression(n, 20.0 * rate_hz, rng) for _ in range(2)], axis=1)
    motion = 1.2 * drift + 6.0 * latents.artefact[:, None] * rng.normal(size=2) + 0.2 * rng.normal(size=(n, 2))
    return Behaviour(
        running_speed=speed[first:last],
        running_time_s=time_s[first:last],
        eye=_eye(latents, time_s, rate_hz, rng) if eye_tracked else None,
        motion_px=motion,
    )


def _eye(latents: Latents, time_s: npt.NDArray[np.float64], rate_hz: float, rng: np.random.Generator) -> EyeTracking:
    n = len(time_s)
    # The eye rests, and jumps about ten times a minute, mostly sideways.
    jumps = (rng.random(n) < 1.0 / (6.0 * rate_hz))[:, None] * rng.normal(size=(n, 2)) * np.array([1.5, 5.0])
    back = np.exp(-1.0 / (8.0 * rate_hz))
    location = lfilter([1.0], [1.0, -back], jumps, axis=0) + 0.15 * rng.normal(size=(n, 2))
    area = 1500.0 * np.exp(0.25 * latents.arousal + 0.1 * autoregression(n, 2.0 * rate_hz, rng))
    blink = np.zeros(n, bool)
    for start in np.flatnonzero(rng.random(n) < 1.0 / (30.0 * rate_hz)).tolist():
        blink[start : start + int(rng.integers(3, 9))] = True
    location[blink], area[blink] = np.nan, np.nan
    on_screen = _SCREEN_CM * np.tan(np.deg2rad(location[:, ::-1]))
    return EyeTracking(time_s=time_s, location_deg=location, location_cm=on_screen, area_px=area)
