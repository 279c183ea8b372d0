"""Mean, variance and covariance of the neurons' answers to a grating, exactly, from the model of the traces.

The answer is one number a trial, the mean dF/F over the frames of the sweep. Its moments are exact for the model of
`poyodata.simulation.traces` (a filtered Poisson process with a log-normal gain: Campbell's theorem), not sampled. Per
trial of direction k and temporal frequency f, with ``h`` the calcium kernel averaged over the sweep, ``r`` the mean
rate (baseline, this sweep, and the three before it, every three seconds) and ``c`` the covariance of the log rate,
``(a^2 + g^2 + p^2) rho``::

    mean     = E[A] sum_s r_s h_s / F
    variance = E[A^2] sum_s r_s h_s^2 / F  +  E[A]^2 sum_ss' r_s r_s' (exp(c_ss') - 1) h_s h_s' / F^2
               + spread of the mean over what the three earlier sweeps were
               + white / n + slow + drift + shared + artefact

Two neurons have the second and third of these terms in common (with the products of their gains, rates and kernels),
and of the fourth ``shared`` and ``artefact``.

What is left out: the ends of a block (a first sweep has no sweep before it), the movie and the grey (never within a
second of a sweep), and that a sweep may last 59 or 61 frames in place of 60.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.behaviour import ARTEFACT_S, GAIN_S, SHARED_PARTS
from poyodata.simulation.drive import LATENCY_FRAMES
from poyodata.simulation.population import grating_tuning
from poyodata.simulation.traces import DRIFT_S, SLOW_S, amplitude_moments, kernel
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

FloatArray = npt.NDArray[np.float64]

ON_S, PERIOD_S = 2.0, 3.0
_EARLIER = 3
_BLANK_SHARE = 1.0 / 22.0


@dataclass(frozen=True)
class SweepModel:
    """Moments of a sweep's mean dF/F as polynomials of the rate ``d`` (Hz) that its grating drives.

    Attributes
    ----------
    mean : ndarray, shape (neuron, 2), float64
        ``mean = m0 + m1 d``, dF/F.
    variance : ndarray, shape (neuron, 3), float64
        ``variance = v0 + v1 d + v2 d^2``.
    white : ndarray, shape (neuron,), float64
        Part of the variance that is white noise: all that a copy of a neuron does not share with it.
    covariance : ndarray, shape (neuron, neuron, 3), float64
        Off the diagonal: ``c0 + c1 (pair) + c2 d_i d_j``, where ``c1[i, j]`` goes with ``d_i`` and ``c1[j, i]`` with
        ``d_j``. The diagonal holds what the neurons share, too, and is not the variance.
    """

    mean: FloatArray
    variance: FloatArray
    white: FloatArray
    covariance: FloatArray


def sweep_model(
    neurons: pd.DataFrame,
    rate_hz: float,
    frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ,
    artefacts_per_hour: float = 0.0,
) -> SweepModel:
    """Work out the moments of the mean dF/F over a sweep.

    Parameters
    ----------
    neurons : DataFrame
        As `poyodata.simulation.population.draw_population` gives it.
    rate_hz : float
        Frame rate.
    frequencies_hz : sequence of float
        Temporal frequencies that are shown: what the sweeps before this one were.
    artefacts_per_hour : float

    Returns
    -------
    SweepModel
    """
    on, period = round(ON_S * rate_hz), round(PERIOD_S * rate_hz)
    past = _EARLIER * period
    frame = np.arange(past + on)
    # Rows: baseline, this sweep, the one before, the one before that, ...: 1 in the frames that each one drives.
    active = np.zeros((2 + _EARLIER, past + on))
    active[0] = 1.0
    for sweep in range(_EARLIER + 1):
        first = past - sweep * period + LATENCY_FRAMES
        active[1 + sweep, max(first, 0) : first + on] = 1.0
    column = {name: neurons[name].to_numpy(np.float64) for name in neurons.columns if neurons[name].dtype.kind == "f"}
    # Weight of an event in each frame in the mean over the sweep, by the cumulated kernel.
    weight = np.empty((len(neurons), past + on))
    for index, shape in enumerate(zip(column["rise_s"], column["decay_s"], column["tail_share"], strict=True)):
        rise_s, decay_s, tail_share = map(float, shape)
        cumulated = np.r_[0.0, np.cumsum(kernel(rise_s, decay_s, rate_hz, past + on, tail_share))]
        weight[index] = (cumulated[past + on - frame] - cumulated[np.maximum(past - frame, 0)]) / on
    moments = amplitude_moments(column["amplitude"], column["burst_log_sd"])
    first_moment, second_moment = moments[0] / rate_hz, moments[1] / rate_hz
    single = weight @ active.T * first_moment[:, None]
    square = weight**2 @ active.T * second_moment[:, None]
    # What an earlier sweep adds to the rate: nothing when it was blank, else any of the gratings shown.
    shown = [TEMPORAL_FREQUENCIES_HZ.index(frequency) for frequency in frequencies_hz]
    driven = (grating_tuning(neurons)[:, :, shown] * column["driven_rate_hz"][:, None, None]).reshape(len(neurons), -1)
    earlier = (1 - _BLANK_SHARE) * driven.mean(axis=1)
    between = (1 - _BLANK_SHARE) * (driven @ driven.T) / driven.shape[1] - np.outer(earlier, earlier)
    # Rates of every row but this sweep's, and this sweep's at 1 Hz.
    known = np.repeat(earlier[:, None], 2 + _EARLIER, axis=1)
    known[:, 0], known[:, 1] = column["base_rate_hz"], 0.0

    gains = np.stack([column["arousal_gain"], column["shared_gain"]], axis=1)
    rho = np.exp(-np.abs(np.subtract.outer(frame, frame)) / (GAIN_S * rate_hz))
    rows = (weight[:, None, :] * active[None, :, :] * first_moment[:, None, None]).reshape(-1, past + on)
    pair = _shared_gain(rows, gains @ gains.T + np.diag(column["own_gain"] ** 2), rho).reshape(
        len(neurons), 2 + _EARLIER, len(neurons), 2 + _EARLIER
    )
    history = np.einsum("iaja->ij", pair[:, 2:, :, 2:]) + single[:, 2:] @ single[:, 2:].T
    noise = {
        "shared": (column["shared_noise"], shared_variance(on, rate_hz)),
        "artefact": (column["artefact"], jerk_variance(on, rate_hz, artefacts_per_hour)),
    }
    covariance = np.stack(
        [
            np.einsum("ia,iajb,jb->ij", known, pair, known)
            + between * history
            + sum(np.outer(size, size) * share for size, share in noise.values()),
            np.einsum("ijb,jb->ij", pair[:, 1], known),
            pair[:, 1, :, 1],
        ],
        axis=2,
    )
    own = np.einsum("iik->ik", covariance).copy()
    white = column["white_noise"] ** 2 / on
    own[:, 0] += (
        (square * known).sum(axis=1)
        + white
        + column["slow_noise"] ** 2 * mean_variance(on, SLOW_S * rate_hz)
        + column["drift_noise"] ** 2 * mean_variance(on, DRIFT_S * rate_hz)
    )
    own[:, 1] = 2 * own[:, 1] + square[:, 1]
    return SweepModel(np.stack([(single * known).sum(axis=1), single[:, 1]], axis=1), own, white, covariance)


def trial_moments(
    neurons: pd.DataFrame,
    rate_hz: float,
    frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ,
    artefacts_per_hour: float = 0.0,
    directions_deg: npt.ArrayLike = DIRECTIONS_DEG,
    model: SweepModel | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the mean dF/F over a sweep, for every neuron and grating.

    Parameters
    ----------
    neurons, rate_hz, frequencies_hz, artefacts_per_hour
        As for `sweep_model`.
    directions_deg : array_like, shape (direction,)
    model : SweepModel, optional
        When it is at hand.

    Returns
    -------
    mean, variance : ndarray, shape (neuron, direction, frequency), float64
        dF/F and its square.

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.worlds import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> mean, variance = trial_moments(neurons, 30.0)
    >>> mean.shape, bool((variance > 0).all())
    ((12, 8, 5), True)
    """
    model = model or sweep_model(neurons, rate_hz, frequencies_hz, artefacts_per_hour)
    driven = _driven(neurons, frequencies_hz, directions_deg)
    mean = model.mean[:, 0, None, None] + model.mean[:, 1, None, None] * driven
    v0, v1, v2 = (model.variance[:, k, None, None] for k in range(3))
    return mean, v0 + v1 * driven + v2 * driven**2


def noise_covariance(
    neurons: pd.DataFrame, model: SweepModel, frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ
) -> FloatArray:
    """Covariance of the neurons' mean dF/F over a sweep at a fixed grating, averaged over the gratings.

    Parameters
    ----------
    neurons : DataFrame
    model : SweepModel
    frequencies_hz : sequence of float

    Returns
    -------
    ndarray, shape (neuron, neuron), float64, squares of dF/F
    """
    driven = _driven(neurons, frequencies_hz, DIRECTIONS_DEG).reshape(len(neurons), -1)
    mean = driven.mean(axis=1)
    c0, c1, c2 = (model.covariance[:, :, k] for k in range(3))
    covariance = c0 + c1 * mean[:, None] + c1.T * mean[None, :] + c2 * (driven @ driven.T) / driven.shape[1]
    v0, v1, v2 = (model.variance[:, k] for k in range(3))
    covariance[np.diag_indices(len(neurons))] = v0 + v1 * mean + v2 * (driven**2).mean(axis=1)
    if "duplicate_of" in neurons:
        _share_with_copies(covariance, neurons, model.white)
    return np.asarray(covariance)


def _share_with_copies(covariance: FloatArray, neurons: pd.DataFrame, white: FloatArray) -> None:
    """Let copies vary with their source and with each other in all but the white noise."""
    source = neurons["duplicate_of"].to_numpy(np.int64)
    amplitude = neurons["amplitude"].to_numpy(np.float64)
    for origin in set(source[source >= 0].tolist()):
        family = np.r_[origin, np.flatnonzero(source == origin)]
        scale = np.divide(amplitude[family], amplitude[origin], out=np.ones(len(family)), where=amplitude[origin] > 0)
        shared = np.outer(scale, scale) * (covariance[origin, origin] - white[origin])
        own = covariance[family, family]
        covariance[np.ix_(family, family)] = shared
        covariance[family, family] = own


def mean_variance(frames: int, time_constant_frames: float) -> float:
    """Variance of the mean of `frames` values of a unit autoregression."""
    keep = np.exp(-1.0 / time_constant_frames)
    lag = np.arange(1, frames)
    return float((1 + 2 * ((1 - lag / frames) * keep**lag).sum()) / frames)


def shared_variance(frames: int, rate_hz: float) -> float:
    """Variance of the mean of `frames` values of the signal that all neurons share."""
    return sum(share * mean_variance(frames, time_s * rate_hz) for time_s, share in SHARED_PARTS)


def jerk_variance(frames: int, rate_hz: float, per_hour: float) -> float:
    """Variance of the mean of `frames` values of the jerks."""
    keep = np.exp(-1.0 / (ARTEFACT_S * rate_hz))
    # An autoregression, too, only driven by rare jumps.
    return float(per_hour / 3600.0 / rate_hz / (1 - keep**2)) * mean_variance(frames, ARTEFACT_S * rate_hz)


def _driven(neurons: pd.DataFrame, frequencies_hz: Sequence[float], directions_deg: npt.ArrayLike) -> FloatArray:
    shown = [TEMPORAL_FREQUENCIES_HZ.index(frequency) for frequency in frequencies_hz]
    rate = neurons["driven_rate_hz"].to_numpy(np.float64)[:, None, None]
    return np.asarray(grating_tuning(neurons, directions_deg)[:, :, shown] * rate)


def _shared_gain(rows: FloatArray, covariance: FloatArray, rho: FloatArray) -> FloatArray:
    """Sum over two times of weights times ``exp(covariance x rho) - 1``, for all pairs of rows, as a power series."""
    of = len(rows) // len(covariance)
    term = np.repeat(np.repeat(covariance, of, axis=0), of, axis=1)
    total, power, size, order = np.zeros((len(rows), len(rows))), np.ones_like(term), 1.0, 0
    largest = float(np.abs(covariance).max(initial=0.0))
    # Terms fall like largest^order / order!; the last one kept is below rounding.
    while size > 1e-12 and order < 60:
        order += 1
        power = power * term / order
        size = size * largest / order
        total += power * (rows @ rho**order @ rows.T)
    return total
