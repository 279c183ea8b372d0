"""From event rates to dF/F: Poisson bursts, calcium kinetics, a shared gain, and noise.

The model of one neuron, frame by frame (``t`` in frames, ``F`` the frame rate)::

    rate(t)   = exp(gain_sd z(t) - gain_sd^2 / 2) (base + driven tuning(grating) + movie contrast(frame))
    events(t) ~ Poisson(rate(t) / F), each of amplitude LogNormal(log amplitude, burst_log_sd)
    dff(t)    = sum over events of amplitude k(t - t_event) + white + slow + shared

with ``z`` a standard autoregression common to the recording (time constant 5 s), ``k`` a difference of exponentials of
peak 1, ``slow`` and ``shared`` autoregressions of time constants 3 s and 1 s. A stimulus acts `LATENCY_FRAMES` after it
is shown. `poyodata.simulation.truth` uses these very formulas to compute the true Fisher information.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from poyodata.simulation.population import grating_tuning
from poyodata.simulation.stimulus import Timeline
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

LATENCY_FRAMES = 2
GAIN_S = 5.0
SLOW_S = 3.0
SHARED_S = 1.0


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


def kernel(rise_s: float, decay_s: float, rate_hz: float, n_frames: int) -> npt.NDArray[np.float64]:
    """Calcium response to one event of amplitude 1, from the frame of the event on.

    Parameters
    ----------
    rise_s, decay_s : float, seconds
    rate_hz : float
    n_frames : int

    Returns
    -------
    ndarray, shape (time,), float64
        Difference of exponentials, scaled so that its peak on a fine grid is 1.

    Examples
    --------
    >>> kernel(0.05, 0.5, 30.0, 3).round(2).tolist()
    [0.61, 0.88, 0.98]
    """
    lag = np.arange(1, n_frames + 1) / rate_hz
    return np.asarray((np.exp(-lag / decay_s) - np.exp(-lag / rise_s)) / _peak(rise_s, decay_s))


def event_rates(
    neurons: pd.DataFrame,
    timeline: Timeline,
    contrast: npt.NDArray[np.float64] | None,
    gain: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Events a second of every neuron in every frame.

    Parameters
    ----------
    neurons : DataFrame
        As `draw_population` gives it.
    timeline : Timeline
    contrast : ndarray, shape (movie frame, patch), float64, or None without a movie
    gain : ndarray, shape (time,), float64
        The shared latent, standard normal.

    Returns
    -------
    ndarray, shape (time, neuron), float64, Hz
    """
    n_frames = len(timeline.time_s)
    rate = np.tile(neurons["base_rate_hz"].to_numpy(np.float64), (n_frames, 1))
    tuned = grating_tuning(neurons) * neurons["driven_rate_hz"].to_numpy(np.float64)[:, None, None]
    columns = timeline.gratings[["start", "end", "orientation", "temporal_frequency"]].to_numpy(np.float64)
    for start, end, direction, frequency in columns[timeline.gratings["blank_sweep"].to_numpy() == 0].tolist():
        k, f = DIRECTIONS_DEG.index(direction), TEMPORAL_FREQUENCIES_HZ.index(frequency)
        rate[int(start) + LATENCY_FRAMES : int(end) + LATENCY_FRAMES] += tuned[:, k, f]
    if contrast is not None and len(timeline.movie):
        first = int(timeline.movie["start"].iloc[0])
        last = int(timeline.movie["end"].iloc[-1])
        # Which movie frame is on the screen in each imaging frame.
        shown = np.searchsorted(timeline.movie["start"].to_numpy(), np.arange(first, last), side="right") - 1
        seen = contrast[timeline.movie["frame"].to_numpy()[shown]][:, neurons["movie_patch"].to_numpy()]
        rate[first + LATENCY_FRAMES : last + LATENCY_FRAMES] += seen * neurons["movie_rate_hz"].to_numpy(np.float64)
    spread = neurons["gain_sd"].to_numpy(np.float64)
    rate *= np.exp(gain[:, None] * spread - spread**2 / 2)
    return rate


def simulate_dff(
    neurons: pd.DataFrame,
    timeline: Timeline,
    contrast: npt.NDArray[np.float64] | None,
    gain: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Draw dF/F of one recording from the model in this file's head.

    Parameters
    ----------
    neurons, timeline, contrast, gain
        As in `event_rates`.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (neuron, time), float32, dF/F

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.stimulus import session_a
    >>> from poyodata.simulation.world import load_world
    >>> world, rng = load_world("tiny"), np.random.default_rng(0)
    >>> timeline, neurons = session_a(world, rng), draw_population("Sst-IRES-Cre", world, rng)
    >>> gain = np.zeros(len(timeline.time_s))
    >>> simulate_dff(neurons, timeline, None, gain, rng).dtype
    dtype('float32')
    """
    n_frames, rate_hz = len(timeline.time_s), timeline.rate_hz
    counts = rng.poisson(event_rates(neurons, timeline, contrast, gain) / rate_hz)
    shared = autoregression(n_frames, SHARED_S * rate_hz, rng)
    dff = np.empty((len(neurons), n_frames), np.float32)
    columns = ["amplitude", "burst_log_sd", "rise_s", "decay_s", "white_noise", "slow_noise", "shared_noise"]
    for index, values in enumerate(neurons[columns].to_numpy(np.float64).tolist()):
        amplitude, burst_log_sd, rise_s, decay_s, white, slow, common = values
        frame = np.repeat(np.arange(n_frames), counts[:, index])
        size = amplitude * np.exp(burst_log_sd * rng.normal(size=len(frame)))
        calcium = _filter(np.bincount(frame, size, n_frames).astype(np.float64), rise_s, decay_s, rate_hz)
        calcium += white * rng.normal(size=n_frames)
        calcium += slow * autoregression(n_frames, SLOW_S * rate_hz, rng)
        calcium += common * shared
        dff[index] = calcium
    return dff


def _filter(events: npt.NDArray[np.float64], rise_s: float, decay_s: float, rate_hz: float) -> npt.NDArray[np.float64]:
    # The kernel as a recursion: two exponentials, so the cost does not grow with the decay.
    slow, fast = np.exp(-1 / (decay_s * rate_hz)), np.exp(-1 / (rise_s * rate_hz))
    calcium = lfilter([slow], [1.0, -slow], events) - lfilter([fast], [1.0, -fast], events)
    return np.asarray(calcium / _peak(rise_s, decay_s))


def _peak(rise_s: float, decay_s: float) -> float:
    at = np.log(decay_s / rise_s) / (1 / rise_s - 1 / decay_s)
    return float(np.exp(-at / decay_s) - np.exp(-at / rise_s))
