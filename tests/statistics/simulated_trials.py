"""Trials of neurons whose information is known: Gaussian ones, and those of the simulator with its skewed noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from poyodata.simulation import load_world
from poyodata.simulation.behaviour import draw_latents
from poyodata.simulation.drive import movie_rates, visual_drive
from poyodata.simulation.population import draw_population
from poyodata.simulation.sweep_model import trial_moments
from poyodata.simulation.templates import Templates
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.truth import fisher_movie_true
from poyodata.statistics.information.crossfit import choose
from poyodata.statistics.information.direction import D_THETA
from poyodata.vocabulary import CRE_LINES, DIRECTIONS_DEG

GAIN = {1: (1.0,), 5: (0.4, 1.0, 0.3, 0.2, 0.1)}
FREQUENCIES_HZ = (1.0, 4.0)
_RATE_HZ, _SWEEP_FRAMES = 30.0, 60


def information(mean, variance):
    """J from means and variances of shape (..., direction, neuron)."""
    rise = (np.roll(mean, -1, axis=-2) - mean) ** 2
    return (2 * rise / (variance + np.roll(variance, -1, axis=-2))).mean(axis=-2) / D_THETA**2


def equal(mu):
    return np.full_like(mu, 0.1)


def unequal(mu):
    return 0.04 + 0.3 * mu


NOISE = {"equal": equal, "unequal": unequal}


def gaussian(n_trials, n_frequencies, noise, n_neurons, seed=0, strength=(0.01, 0.5)):
    """Neurons of all strengths; responses by condition, and J of shape (temporal frequency, neuron)."""
    values, mean, variance = gaussian_model(n_trials, n_frequencies, noise, n_neurons, seed, strength)
    return values, information(mean, variance)


def gaussian_model(n_trials, n_frequencies, noise, n_neurons, seed=0, strength=(0.01, 0.5)):
    """As `gaussian`; means and variances of shape (temporal frequency, direction, neuron) instead of J."""
    rng = np.random.default_rng([seed, n_trials, n_frequencies])
    theta = np.deg2rad(DIRECTIONS_DEG)[:, None] - rng.uniform(0, 2 * np.pi, n_neurons)
    height = np.exp(rng.uniform(*np.log(strength), n_neurons))
    mu = 0.02 + height * np.exp(rng.uniform(0.5, 5, n_neurons) * (np.cos(theta) - 1))
    mu = np.array(GAIN[n_frequencies])[:, None, None] * mu
    sd = NOISE[noise](mu)
    values = mu[:, :, None] + sd[:, :, None] * rng.normal(size=(*mu.shape[:2], n_trials, n_neurons))
    return values, mu, sd**2


def skewed(n_trials, seed, each=4):
    """Some cells of every line in one recording of the simulator; as `gaussian`, at two temporal frequencies."""
    rng = np.random.default_rng([seed, n_trials])
    # 21 sweeps of 22 show a direction; the conditions come equally often but for one.
    trials = int(n_trials * 8 * len(FREQUENCIES_HZ) * 22 / 21) + 40
    world = load_world("demo").replace(
        trials_per_block=(trials,), movie_repeats=0, spontaneous_s=0.0, frame_rate_hz=(30.06, 30.06)
    )
    neurons = _neurons(world, each, rng)
    timeline = session_timeline(world, "three_session_A", rng)
    latents = draw_latents(timeline.n_frames, _RATE_HZ, world.artefacts_per_hour, rng)
    dff = simulate_activity(neurons, visual_drive(neurons, timeline, {}), latents, _RATE_HZ, rng).dff
    table = timeline.tables["drifting_gratings"]
    values = np.empty((len(FREQUENCIES_HZ), 8, n_trials, len(neurons)))
    for f, frequency in enumerate(FREQUENCIES_HZ):
        for d, direction in enumerate(DIRECTIONS_DEG):
            shown = (table["orientation"] == direction) & (table["temporal_frequency"] == frequency)
            for turn, start in enumerate(table.loc[shown, "start"].to_numpy()[:n_trials].tolist()):
                values[f, d, turn] = dff[:, start : start + _SWEEP_FRAMES].mean(axis=1, dtype=np.float64)
    mean, variance = trial_moments(neurons, _RATE_HZ, FREQUENCIES_HZ, world.artefacts_per_hour)
    return values, information(mean.transpose(2, 1, 0), variance.transpose(2, 1, 0))


def at_chosen(values, truth):
    """The estimand of cross-fitting: mean of the truth at the temporal frequencies that the halves choose."""
    chosen = np.stack([choose(values, half).frequency for half in (0, 1)])
    return np.take_along_axis(truth, chosen, axis=0).mean(axis=0)


def at_chosen_pair(values, mean, variance):
    """The estimand of ``dprime2``: mean of the true d'^2 of the pairs that the halves choose."""
    found = []
    for half in (0, 1):
        choice = choose(values, half)
        pair = np.stack([choice.mean.argmax(axis=0), choice.mean.argmin(axis=0)])
        neuron = np.arange(values.shape[3])
        mu, var = mean[choice.frequency, pair, neuron], variance[choice.frequency, pair, neuron]
        found.append((mu[0] - mu[1]) ** 2 / var.mean(axis=0))
    return np.mean(found, axis=0)


def movie(n_repeats, seed, each=4, seconds=30):
    """Steps of shape (repeat, step, neuron) of one recording of the simulator, and the neurons' ``fisher_movie_true``.

    The first repeat, which follows nothing, is not among them.
    """
    rng = np.random.default_rng([seed, n_repeats])
    world = load_world("demo").replace(
        trials_per_block=(1,),
        movie_repeats=n_repeats + 1,
        movie_frames=seconds * 30,
        spontaneous_s=0.0,
        frame_rate_hz=(30.0, 30.0),
    )
    neurons = _neurons(world, each, rng)
    templates = Templates(world)
    shown = {name: templates[name] for name in ("natural_movie_one", "natural_movie_three")}
    timeline = session_timeline(world, "three_session_A", rng)
    latents = draw_latents(timeline.n_frames, _RATE_HZ, world.artefacts_per_hour, rng)
    dff = simulate_activity(neurons, visual_drive(neurons, timeline, shown), latents, _RATE_HZ, rng).dff
    table = timeline.tables["natural_movie_one"]
    starts = table.loc[table["frame"] == 0, "start"].to_numpy()[1:]
    frames = np.stack([dff[:, start : start + seconds * 30] for start in starts])
    steps = frames.reshape(len(starts), len(neurons), seconds, 30).mean(axis=3, dtype=np.float64).transpose(0, 2, 1)
    rates = movie_rates(neurons, shown["natural_movie_one"])
    truth = fisher_movie_true(neurons, rates, _RATE_HZ, world.artefacts_per_hour)
    return steps, truth["fisher_movie_true"].to_numpy()


def _neurons(world, each, rng):
    drawn = [draw_population(line, world, rng, each) for line in sorted(CRE_LINES)]
    return pd.concat(drawn, ignore_index=True)
