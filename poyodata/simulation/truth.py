"""What a statistic should find: the true Fisher information of every simulated neuron, from the model itself.

``fisher_direction_true`` is the mean over the eight neighbouring pairs of directions of ``(mu_{k+1} - mu_k)^2 /
(dtheta^2 x mean of the two variances)``, ``dtheta = pi / 4``, in rad^-2; ``fisher_direction_derivative_true`` the mean
over the circle of ``(dmu / dtheta)^2 / variance``. ``mu`` and the variances are those of
`poyodata.simulation.sweep_model`. ``fisher_movie_true`` and ``fisher_movie_derivative_true`` are the same for the time
of natural movie one, in s^-2: from one second's mean dF/F to the next second's, and from the slope of the mean dF/F in
single frames. The movie is taken to follow itself, as its repeats do; the grey before the first one and the jitter of
its frames against the imaging frames are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.behaviour import GAIN_S
from poyodata.simulation.population import numbers
from poyodata.simulation.sweep_model import (
    FloatArray,
    SweepModel,
    jerk_variance,
    mean_variance,
    shared_variance,
    sweep_model,
    trial_moments,
)
from poyodata.simulation.traces import DRIFT_S, SLOW_S, TAIL_S, amplitude_moments, kernel
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

MOVIE_STEP_S = 1.0
_MOVIE_HZ = 30.0
_FINE_DIRECTIONS = 72


def fisher_direction_true(
    neurons: pd.DataFrame,
    rate_hz: float,
    frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ,
    artefacts_per_hour: float = 0.0,
    model: SweepModel | None = None,
) -> pd.DataFrame:
    """Compute the true Fisher information about direction, rad^-2, in six forms.

    Parameters
    ----------
    neurons, rate_hz, frequencies_hz, artefacts_per_hour, model
        As for `trial_moments`.

    Returns
    -------
    DataFrame, one row a neuron
        ``fisher_direction_true``: temporal frequency drawn anew in every trial, so that its spread counts as noise;
        ``fisher_direction_true_mean_tf``: the mean of the values at fixed temporal frequency;
        ``fisher_direction_true_preferred_tf``: the value at the frequency with the largest mean response; and
        ``fisher_direction_derivative_true`` with the same endings, from the slope of the tuning curve.

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.worlds import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> bool((fisher_direction_true(neurons, 30.0) > 0).all(axis=None))
    True
    """
    model = model or sweep_model(neurons, rate_hz, frequencies_hz, artefacts_per_hour)
    fine = np.arange(_FINE_DIRECTIONS) * 360.0 / _FINE_DIRECTIONS
    columns: dict[str, FloatArray] = {}
    for name, directions, inform in (
        ("fisher_direction_true", DIRECTIONS_DEG, _coarse),
        ("fisher_direction_derivative_true", fine, _slope),
    ):
        mean, variance = trial_moments(neurons, rate_hz, frequencies_hz, artefacts_per_hour, directions, model)
        each = np.stack([inform(mean[:, :, f], variance[:, :, f]) for f in range(mean.shape[2])], axis=1)
        preferred = mean.mean(axis=1).argmax(axis=1)
        columns[name] = inform(mean.mean(axis=2), variance.mean(axis=2) + mean.var(axis=2))
        columns[f"{name}_mean_tf"] = each.mean(axis=1)
        columns[f"{name}_preferred_tf"] = each[np.arange(len(each)), preferred]
    return pd.DataFrame(columns)


def fisher_movie_true(
    neurons: pd.DataFrame, movie_rate_hz: npt.NDArray[np.float32], rate_hz: float, artefacts_per_hour: float = 0.0
) -> pd.DataFrame:
    """Compute the true Fisher information about the time of a movie, s^-2, for one showing of it.

    Parameters
    ----------
    neurons : DataFrame
    movie_rate_hz : ndarray, shape (movie frame, neuron), float32, Hz
        As `poyodata.simulation.drive.movie_rates` gives it; 30 movie frames a second.
    rate_hz : float
    artefacts_per_hour : float

    Returns
    -------
    DataFrame, one row a neuron
        ``fisher_movie_true`` (means over `MOVIE_STEP_S`, neighbouring steps) and ``fisher_movie_derivative_true``
        (single frames); NaN for a movie shorter than two steps.
    """
    step = round(MOVIE_STEP_S * rate_hz)
    # Which movie frame is on the screen in each imaging frame.
    shown = np.arange(int(len(movie_rate_hz) * rate_hz / _MOVIE_HZ)) * _MOVIE_HZ / rate_hz
    movie_rate_hz = movie_rate_hz[shown.astype(np.int64)]
    coarse, slope = np.full(len(neurons), np.nan), np.full(len(neurons), np.nan)
    for index, neuron in enumerate(numbers(neurons)):
        rate = neuron["base_rate_hz"] + movie_rate_hz[:, index].astype(np.float64)
        if len(rate) >= 2 * step:
            mean, variance = _movie_moments(neuron, rate, step, rate_hz, artefacts_per_hour)
            mean, variance = mean[step - 1 :: step], variance[step - 1 :: step]
            coarse[index] = _ratio(np.diff(mean) ** 2, MOVIE_STEP_S**2 * (variance[1:] + variance[:-1]) / 2)
        if len(rate) >= 3:
            mean, variance = _movie_moments(neuron, rate, 1, rate_hz, artefacts_per_hour)
            slope[index] = _ratio(((np.roll(mean, -1) - np.roll(mean, 1)) * rate_hz / 2) ** 2, variance)
    return pd.DataFrame({"fisher_movie_true": coarse, "fisher_movie_derivative_true": slope})


def _movie_moments(
    neuron: dict[str, float], rate: FloatArray, n: int, rate_hz: float, artefacts_per_hour: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the mean dF/F over the `n` frames that end with each frame of a movie."""
    length = round(6.0 * (TAIL_S if neuron["tail_share"] else neuron["decay_s"]) * rate_hz) + n
    response = np.cumsum(kernel(neuron["rise_s"], neuron["decay_s"], rate_hz, length, neuron["tail_share"]))
    response[n:] -= response[:-n].copy()
    weight = response[::-1] / n
    # The end of the movie before its beginning, as when it is shown over and over.
    padded = np.r_[np.resize(rate[::-1], length - 1)[::-1], rate]
    window = np.lib.stride_tricks.sliding_window_view(padded, length) * weight
    first, second = amplitude_moments(neuron["amplitude"], neuron["burst_log_sd"])
    first_moment, second_moment = float(first) / rate_hz, float(second) / rate_hz
    lag = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    log_gain = neuron["arousal_gain"] ** 2 + neuron["shared_gain"] ** 2 + neuron["own_gain"] ** 2
    gain = log_gain * np.exp(-lag / (GAIN_S * rate_hz))
    variance = (
        second_moment * (window * weight).sum(axis=1)
        + first_moment**2 * ((window @ np.expm1(gain)) * window).sum(axis=1)
        + neuron["white_noise"] ** 2 / n
        + neuron["slow_noise"] ** 2 * mean_variance(n, SLOW_S * rate_hz)
        + neuron["drift_noise"] ** 2 * mean_variance(n, DRIFT_S * rate_hz)
        + neuron["shared_noise"] ** 2 * shared_variance(n, rate_hz)
        + neuron["artefact"] ** 2 * jerk_variance(n, rate_hz, artefacts_per_hour)
    )
    return first_moment * window.sum(axis=1), variance


def _coarse(mean: FloatArray, variance: FloatArray) -> FloatArray:
    step = 2 * np.pi / mean.shape[1]
    rise = (np.roll(mean, -1, axis=1) - mean) ** 2
    return _ratio(rise, step**2 * (np.roll(variance, -1, axis=1) + variance) / 2)


def _slope(mean: FloatArray, variance: FloatArray) -> FloatArray:
    step = 2 * np.pi / mean.shape[1]
    return _ratio(((np.roll(mean, -1, axis=1) - np.roll(mean, 1, axis=1)) / (2 * step)) ** 2, variance)


def _ratio(rise: FloatArray, noise: FloatArray) -> FloatArray:
    # A neuron that neither varies nor answers (noise and events switched off) carries no information.
    return np.asarray(np.divide(rise, noise, out=np.zeros_like(rise), where=noise > 0).mean(axis=-1))
