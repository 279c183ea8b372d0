"""From event rates to dF/F: Poisson bursts, calcium kinetics, shared gains, noise and drift.

The model of one neuron, frame by frame (``t`` in frames, ``F`` the frame rate)::

    rate(t)   = exp(a z1(t) + g z2(t) + p z3(t) - (a^2 + g^2 + p^2) / 2) (base + drive(what was on the screen))
    events(t) ~ Poisson(rate(t) / F), each of amplitude LogNormal(log amplitude, burst_log_sd), cut at 3 sd
    dff(t)    = sum over events of amplitude k(t - t_event) + white + slow + drift + shared + artefact

with ``z1`` (arousal) and ``z2`` standard autoregressions common to the recording, ``z3`` one of the neuron's own (time
constant 6 s, all three), ``k`` the calcium kernel, ``slow`` and ``drift`` autoregressions of time constants 3 s and
60 s, ``shared`` a sum of three common to the recording, ``artefact`` the recording's jerks. `poyodata.simulation.truth`
uses these very formulas to compute the true Fisher information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from poyodata.simulation.behaviour import GAIN_S, Latents, autoregression
from poyodata.simulation.drive import Drive
from poyodata.simulation.population import numbers

SLOW_S = 3.0
DRIFT_S = 60.0
# The slow part of a transient: calcium that the cell is slow to clear, and spikes that follow the first ones.
TAIL_S = 0.9
# Event amplitudes beyond are cut: no indicator grows brighter for ever.
_BURST_LIMIT = 3.0


@dataclass(frozen=True)
class Activity:
    """What one recording's neurons did.

    Attributes
    ----------
    dff : ndarray, shape (neuron, time), float32, dF/F
    events : DataFrame
        ``neuron`` (row of `dff`), ``frame``, ``amplitude`` (peak dF/F), one row an event, in order.
    """

    dff: npt.NDArray[np.float32]
    events: pd.DataFrame


def kernel(
    rise_s: float, decay_s: float, rate_hz: float, n_frames: int, tail_share: float = 0.0
) -> npt.NDArray[np.float64]:
    """Calcium response to one event of amplitude 1, from the frame of the event on.

    Parameters
    ----------
    rise_s, decay_s : float, seconds
    rate_hz : float
    n_frames : int
    tail_share : float
        Share of the response that decays within `TAIL_S` rather than `decay_s`.

    Returns
    -------
    ndarray, shape (time,), float64
        Two differences of exponentials, each of peak 1 on a fine grid, weighted by `tail_share`.

    Examples
    --------
    >>> kernel(0.05, 0.5, 30.0, 3).round(2).tolist()
    [0.61, 0.88, 0.98]
    """
    lag = np.arange(1, n_frames + 1) / rate_hz
    rise = np.exp(-lag / rise_s)
    return np.asarray(
        sum(
            share / _peak(rise_s, time_s) * (np.exp(-lag / time_s) - rise)
            for time_s, share in ((decay_s, 1.0 - tail_share), (TAIL_S, tail_share))
        )
    )


def simulate_activity(
    neurons: pd.DataFrame, drive: Drive, latents: Latents, rate_hz: float, rng: np.random.Generator
) -> Activity:
    """Draw events and dF/F of one recording from the model in this file's head.

    Parameters
    ----------
    neurons : DataFrame
        As `poyodata.simulation.population.draw_population` gives it. A neuron with a column ``duplicate_of`` that is
        not negative repeats the calcium of that row, with noise of its own.
    drive : Drive
    latents : Latents
    rate_hz : float
        Frame rate.
    rng : numpy.random.Generator

    Returns
    -------
    Activity

    Examples
    --------
    >>> from poyodata.simulation.behaviour import draw_latents
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.worlds import load_world
    >>> rng = np.random.default_rng(0)
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), rng)
    >>> grey = Drive(np.zeros(300, np.int32), np.zeros((1, len(neurons)), np.float32), {})
    >>> simulate_activity(neurons, grey, draw_latents(300, 30.0, 0.0, rng), 30.0, rng).dff.dtype
    dtype('float32')
    """
    n_frames = len(drive.state)
    twin = neurons["duplicate_of"].to_numpy(np.int64) if "duplicate_of" in neurons else np.full(len(neurons), -1)
    sources = set(twin[twin >= 0].tolist())
    dff = np.empty((len(neurons), n_frames), np.float32)
    quiet: dict[int, npt.NDArray[np.float64]] = {}
    events: list[pd.DataFrame] = []
    # float32 halves what the gains cost; their rounding is far below that of a Poisson draw.
    gains = np.stack([latents.arousal, latents.gain]).astype(np.float32)
    each = numbers(neurons)
    # Sources come before their duplicates.
    for index in np.argsort(twin >= 0, kind="stable").tolist():
        neuron = each[index]
        if twin[index] >= 0:
            source = int(twin[index])
            calcium = quiet[source] * (neuron["amplitude"] / each[source]["amplitude"])
        else:
            frame, size = _draw_events(neuron, drive, gains, index, rate_hz, rng)
            events.append(pd.DataFrame({"neuron": np.int32(index), "frame": frame.astype(np.int32), "amplitude": size}))
            calcium = _filter(np.bincount(frame, size, n_frames).astype(np.float64), neuron, rate_hz)
            calcium += neuron["slow_noise"] * autoregression(n_frames, SLOW_S * rate_hz, rng)
            calcium += neuron["drift_noise"] * autoregression(n_frames, DRIFT_S * rate_hz, rng)
            calcium += neuron["shared_noise"] * latents.shared + neuron["artefact"] * latents.artefact
            if index in sources:
                quiet[index] = calcium
        dff[index] = calcium
        dff[index] += np.float32(neuron["white_noise"]) * rng.standard_normal(n_frames, dtype=np.float32)
    none = pd.DataFrame({"neuron": np.empty(0, np.int32), "frame": np.empty(0, np.int32), "amplitude": np.empty(0)})
    table = pd.concat(events, ignore_index=True) if events else none
    return Activity(dff, table.sort_values(["neuron", "frame"], kind="stable", ignore_index=True))


def _draw_events(
    neuron: dict[str, float],
    drive: Drive,
    gains: npt.NDArray[np.float32],
    index: int,
    rate_hz: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Frames and amplitudes of one neuron's events."""
    weights = np.array([neuron["arousal_gain"], neuron["shared_gain"]], np.float32)
    own = np.float32(neuron["own_gain"])
    own_latent = autoregression(gains.shape[1], GAIN_S * rate_hz, rng).astype(np.float32)
    expected = np.exp(weights @ gains + own * own_latent - np.float32(0.5) * ((weights**2).sum() + own**2))
    expected *= (np.float32(neuron["base_rate_hz"]) + drive.rate_hz[:, index])[drive.state] / np.float32(rate_hz)
    count = rng.poisson(expected)
    active = np.flatnonzero(count)
    frame = np.repeat(active, count[active])
    least = ndtr(-_BURST_LIMIT)
    deviation = ndtri(least + (1.0 - 2.0 * least) * rng.random(len(frame)))
    return frame, neuron["amplitude"] * np.exp(neuron["burst_log_sd"] * deviation)


def amplitude_moments(
    amplitude: npt.ArrayLike, burst_log_sd: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """First and second moment of the amplitude of one event.

    Parameters
    ----------
    amplitude, burst_log_sd : array_like, shape (neuron,)

    Returns
    -------
    first, second : ndarray, shape (neuron,), float64, dF/F and its square

    Examples
    --------
    >>> first, second = amplitude_moments([2.0], [0.0])
    >>> first, second
    (array([2.]), array([4.]))
    """
    median, log_sd = np.asarray(amplitude, np.float64), np.asarray(burst_log_sd, np.float64)
    inside = 1.0 - 2.0 * ndtr(-_BURST_LIMIT)

    def moment(order: int) -> npt.NDArray[np.float64]:
        shift = order * log_sd
        kept = ndtr(_BURST_LIMIT - shift) - ndtr(-_BURST_LIMIT - shift)
        return np.asarray(median**order * np.exp(shift**2 / 2) * kept / inside)

    return moment(1), moment(2)


def _filter(events: npt.NDArray[np.float64], neuron: dict[str, float], rate_hz: float) -> npt.NDArray[np.float64]:
    # The kernel as a recursion: three exponentials, so the cost does not grow with the decay.
    def decayed(time_s: float) -> npt.NDArray[np.float64]:
        keep = np.exp(-1 / (time_s * rate_hz))
        return np.asarray(lfilter([keep], [1.0, -keep], events))

    rise_s, decay_s = neuron["rise_s"], neuron["decay_s"]
    short = (1.0 - neuron["tail_share"]) / _peak(rise_s, decay_s)
    tail = neuron["tail_share"] / _peak(rise_s, TAIL_S)
    return np.asarray(short * decayed(decay_s) + tail * decayed(TAIL_S) - (short + tail) * decayed(rise_s))


def _peak(rise_s: float, decay_s: float) -> float:
    at = np.log(decay_s / rise_s) / (1 / rise_s - 1 / decay_s)
    return float(np.exp(-at / decay_s) - np.exp(-at / rise_s))
