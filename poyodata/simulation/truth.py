"""What a statistic should find: the true Fisher information of every simulated neuron, from the model itself.

``fisher_direction_true`` is design section 4.1: the mean over the eight neighbouring pairs of directions of
``(mu_{k+1} - mu_k)^2 / (dtheta^2 x mean of the two variances)``, ``dtheta = pi / 4``, in rad^-2. ``mu_k`` and the
variances are those of one number a trial, the mean dF/F over the frames of the sweep.

Both moments are exact for the model of `poyodata.simulation.traces` (a filtered Poisson process with a log-normal gain:
Campbell's theorem), not sampled. Per trial of direction k and temporal frequency f, with ``h`` the calcium kernel
averaged over the sweep and ``r`` the mean rate (baseline, this sweep, and the three before it, every three seconds)::

    mean     = E[A] sum_s r_s h_s / F
    variance = E[A^2] sum_s r_s h_s^2 / F  +  E[A]^2 sum_ss' r_s r_s' (exp(gain_sd^2 rho_ss') - 1) h_s h_s' / F^2
               + spread of the mean over what the three earlier sweeps were  + white / n + slow + shared

What is left out: the ends of a block (a first sweep has no sweep before it), the movie and the grey (never within a
second of a sweep), and that a sweep may last 61 frames in place of 60.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.population import N_DIRECTIONS, grating_tuning
from poyodata.simulation.stimulus import OFF_S, ON_S
from poyodata.simulation.traces import GAIN_S, LATENCY_FRAMES, SHARED_S, SLOW_S, kernel
from poyodata.vocabulary import TEMPORAL_FREQUENCIES_HZ

_EARLIER = 3
_BLANK_SHARE = 1.0 / 21.0


def trial_moments(neurons: pd.DataFrame, rate_hz: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance of the mean dF/F over a sweep, for every neuron and grating.

    Parameters
    ----------
    neurons : DataFrame
        As `draw_population` gives it.
    rate_hz : float
        Frame rate.

    Returns
    -------
    mean, variance : ndarray, shape (neuron, 8, 5), float64
        dF/F and its square, for each direction and temporal frequency.

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.world import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> mean, variance = trial_moments(neurons, 30.0)
    >>> mean.shape, bool((variance > 0).all())
    ((12, 8, 5), True)
    """
    on, period = round(ON_S * rate_hz), round((ON_S + OFF_S) * rate_hz)
    past = _EARLIER * period
    shape = grating_tuning(neurons)
    mean, variance = np.empty_like(shape), np.empty_like(shape)
    lag = np.abs(np.subtract.outer(np.arange(past + on), np.arange(past + on)))
    rho = np.exp(-lag / (GAIN_S * rate_hz))
    # Rows: baseline, this sweep, the sweep before, the one before that, ...: 1 in the frames that each one drives.
    active = np.zeros((2 + _EARLIER, past + on))
    active[0] = 1.0
    for sweep in range(_EARLIER + 1):
        first = past - sweep * period + LATENCY_FRAMES
        active[1 + sweep, max(first, 0) : first + on] = 1.0
    steady = _mean_variance(on, SLOW_S * rate_hz), _mean_variance(on, SHARED_S * rate_hz)
    for index, neuron in enumerate(neurons.to_dict("records")):
        driven = float(neuron["driven_rate_hz"]) * shape[index]
        response = kernel(float(neuron["rise_s"]), float(neuron["decay_s"]), rate_hz, past + on)
        # Weight of an event in each frame in the mean over the sweep, by the cumulated kernel.
        cumulated = np.r_[0.0, np.cumsum(response)]
        frame = np.arange(past + on)
        weight = (cumulated[past + on - frame] - cumulated[np.maximum(past - frame, 0)]) / on
        amplitude, log_sd = float(neuron["amplitude"]), float(neuron["burst_log_sd"])
        first_moment = amplitude * np.exp(log_sd**2 / 2) / rate_hz
        second_moment = amplitude**2 * np.exp(2 * log_sd**2) / rate_hz
        single = active @ weight * first_moment
        square = active @ weight**2 * second_moment
        shared = np.exp(float(neuron["gain_sd"]) ** 2 * rho) - 1.0
        pair = (active * weight) @ shared @ (active * weight).T * first_moment**2
        # What an earlier sweep adds to the rate: nothing when it was blank, else any of the 40 gratings.
        earlier = (1 - _BLANK_SHARE) * driven.mean()
        earlier_variance = (1 - _BLANK_SHARE) * (driven**2).mean() - earlier**2
        rates = np.empty((2 + _EARLIER, *driven.shape))
        rates[0], rates[1], rates[2:] = float(neuron["base_rate_hz"]), driven, earlier
        mean[index] = np.tensordot(single, rates, 1)
        variance[index] = (
            np.tensordot(square, rates, 1)
            + np.einsum("ikf,ij,jkf->kf", rates, pair, rates)
            + earlier_variance * float(np.trace(pair[2:, 2:]) + (single[2:] ** 2).sum())
            + float(neuron["white_noise"]) ** 2 / on
            + float(neuron["slow_noise"]) ** 2 * steady[0]
            + float(neuron["shared_noise"]) ** 2 * steady[1]
        )
    return mean, variance


def fisher_direction_true(
    neurons: pd.DataFrame, rate_hz: float, frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ
) -> pd.DataFrame:
    """Compute the true coarse Fisher information about direction, rad^-2, in three forms.

    Parameters
    ----------
    neurons : DataFrame
        As `draw_population` gives it.
    rate_hz : float
    frequencies_hz : sequence of float
        Temporal frequencies that are shown.

    Returns
    -------
    DataFrame, one row a neuron
        ``fisher_direction_true``: temporal frequency drawn anew in every trial, so that its spread counts as noise;
        ``fisher_direction_true_mean_tf``: the mean of the values at fixed temporal frequency;
        ``fisher_direction_true_preferred_tf``: the value at the frequency with the largest mean response.

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.world import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> bool((fisher_direction_true(neurons, 30.0) > 0).all(axis=None))
    True
    """
    shown = [TEMPORAL_FREQUENCIES_HZ.index(frequency) for frequency in frequencies_hz]
    mean, variance = (moment[:, :, shown] for moment in trial_moments(neurons, rate_hz))
    pooled = _coarse(mean.mean(axis=2), variance.mean(axis=2) + mean.var(axis=2))
    each = np.stack([_coarse(mean[:, :, f], variance[:, :, f]) for f in range(mean.shape[2])], axis=1)
    preferred = mean.mean(axis=1).argmax(axis=1)
    return pd.DataFrame(
        {
            "fisher_direction_true": pooled,
            "fisher_direction_true_mean_tf": each.mean(axis=1),
            "fisher_direction_true_preferred_tf": each[np.arange(len(each)), preferred],
        }
    )


def _coarse(mean: npt.NDArray[np.float64], variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    step = 2 * np.pi / N_DIRECTIONS
    rise = (np.roll(mean, -1, axis=1) - mean) ** 2
    between = (np.roll(variance, -1, axis=1) + variance) / 2
    # A neuron that neither varies nor answers (noise and events switched off) carries no information.
    each = np.divide(rise, step**2 * between, out=np.zeros_like(rise), where=between > 0)
    return np.asarray(each.mean(axis=1))


def _mean_variance(frames: int, time_constant_frames: float) -> float:
    """Variance of the mean of `frames` values of a unit autoregression."""
    keep = np.exp(-1.0 / time_constant_frames)
    lag = np.arange(1, frames)
    return float((1 + 2 * ((1 - lag / frames) * keep**lag).sum()) / frames)
