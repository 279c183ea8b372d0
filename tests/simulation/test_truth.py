"""The truth beside a simulation must be true: against many trials, and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.simulation import load_world, simulate_session
from poyodata.simulation.behaviour import draw_latents
from poyodata.simulation.drive import Drive, movie_rates, visual_drive
from poyodata.simulation.population import draw_population
from poyodata.simulation.sweep_model import noise_covariance, sweep_model, trial_moments
from poyodata.simulation.templates import Templates
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.truth import fisher_direction_true, fisher_movie_true
from poyodata.vocabulary import TEMPORAL_FREQUENCIES_HZ

LINES = ("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")


def population(rng: np.random.Generator, each: int = 5) -> pd.DataFrame:
    world = load_world("demo")
    return pd.concat([draw_population(line, world, rng, each) for line in LINES], ignore_index=True)


@pytest.fixture(scope="module")
def many_trials() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Neurons, and 8,000 trials: responses (trial, neuron), direction and temporal frequency of each."""
    world = load_world("demo").replace(
        trials_per_block=(8400,), movie_repeats=0, spontaneous_s=0.0, frame_rate_hz=(30.06, 30.06)
    )
    rng = np.random.default_rng(3)
    timeline = session_timeline(world, "three_session_A", rng)
    neurons = population(rng)
    latents = draw_latents(timeline.n_frames, 30.0, world.artefacts_per_hour, rng)
    dff = simulate_activity(neurons, visual_drive(neurons, timeline, {}), latents, 30.0, rng).dff
    table = timeline.tables["drifting_gratings"]
    shown = table[table["blank_sweep"] == 0]
    response = np.stack([dff[:, start : start + 60].mean(axis=1, dtype=np.float64) for start in shown["start"]])
    direction = (shown["orientation"] / 45).to_numpy().astype(int)
    frequency = np.array([TEMPORAL_FREQUENCIES_HZ.index(hz) for hz in shown["temporal_frequency"]])
    return neurons, response, direction, frequency


SHOWN_HZ = load_world("demo").temporal_frequencies_hz
JERKS = load_world("demo").artefacts_per_hour


def test_moments_are_what_many_trials_give(
    many_trials: tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    neurons, response, direction, frequency = many_trials
    mean, variance = trial_moments(neurons, 30.0, SHOWN_HZ, JERKS)
    ratio, error = [], []
    for k in range(8):
        for f, index in enumerate(TEMPORAL_FREQUENCIES_HZ.index(hz) for hz in SHOWN_HZ):
            part = response[(direction == k) & (frequency == index)]
            ratio.append(part.var(axis=0, ddof=1) / variance[:, k, f])
            error.append((part.mean(axis=0) - mean[:, k, f]) / np.sqrt(variance[:, k, f] / len(part)))
    # Trials share slow gains and drift, hence more than the four standard errors of independent ones.
    assert np.abs(np.stack(error)).max() < 8
    # The variance of a bursty neuron hangs on a few giant events, even in 500 trials of each grating.
    assert np.median(np.stack(ratio), axis=0) == pytest.approx(1.0, abs=0.35)
    assert np.median(np.stack(ratio)) == pytest.approx(1.0, abs=0.05)


def test_noise_covariance_is_what_many_trials_give(
    many_trials: tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    neurons, response, direction, frequency = many_trials
    truth = noise_covariance(neurons, sweep_model(neurons, 30.0, SHOWN_HZ, JERKS), SHOWN_HZ)
    rest = response.copy()
    for k in range(8):
        for index in set(frequency.tolist()):
            same = (direction == k) & (frequency == index)
            rest[same] -= rest[same].mean(axis=0)
    found = np.cov(rest.T)
    assert truth == pytest.approx(truth.T)
    size = np.sqrt(np.diag(truth))
    assert np.diag(found) / np.diag(truth) == pytest.approx(1.0, abs=0.2)
    off = ~np.eye(len(size), dtype=bool)
    # Correlations, so that loud neurons do not hide quiet ones; 8,000 trials leave an error of about 0.02.
    difference = (found - truth) / np.outer(size, size)
    assert np.abs(difference[off]).max() < 0.08
    assert np.corrcoef((found / np.outer(size, size))[off], (truth / np.outer(size, size))[off])[0, 1] > 0.97


def test_copies_vary_together() -> None:
    """Noise covariance of a source, two copies and a bystander, against 2,500 trials."""
    world = load_world("demo").replace(
        trials_per_block=(2600,), movie_repeats=0, spontaneous_s=0.0, frame_rate_hz=(30.06, 30.06)
    )
    rng = np.random.default_rng(5)
    neurons = draw_population("Sst-IRES-Cre", world, rng, 4).assign(duplicate_of=[-1, 0, 0, -1])
    for row, scale in ((1, 1.1), (2, 0.9)):
        neurons.loc[row, neurons.columns != "duplicate_of"] = neurons.loc[0, neurons.columns != "duplicate_of"]
        neurons.loc[row, ["amplitude", "slow_noise", "shared_noise", "drift_noise", "artefact"]] *= scale
    neurons = neurons.infer_objects()
    timeline = session_timeline(world, "three_session_A", rng)
    latents = draw_latents(timeline.n_frames, 30.0, world.artefacts_per_hour, rng)
    dff = simulate_activity(neurons, visual_drive(neurons, timeline, {}), latents, 30.0, rng).dff
    table = timeline.tables["drifting_gratings"]
    shown = table[table["blank_sweep"] == 0]
    response = np.stack([dff[:, start : start + 60].mean(axis=1, dtype=np.float64) for start in shown["start"]])
    rest = (
        response
        - pd.DataFrame(response)
        .groupby([shown["orientation"].to_numpy(), shown["temporal_frequency"].to_numpy()])
        .transform("mean")
        .to_numpy()
    )
    truth = noise_covariance(neurons, sweep_model(neurons, 30.0, SHOWN_HZ, JERKS), SHOWN_HZ)
    size = np.sqrt(np.diag(truth))
    found = np.cov(rest.T) / np.outer(size, size)
    assert found == pytest.approx(truth / np.outer(size, size), abs=0.12)
    assert (truth / np.outer(size, size))[:3, :3].min() > 0.9


def test_diagonal_of_the_noise_covariance_is_the_mean_variance() -> None:
    neurons = population(np.random.default_rng(0))
    truth = noise_covariance(neurons, sweep_model(neurons, 30.0, artefacts_per_hour=30.0))
    variance = trial_moments(neurons, 30.0, artefacts_per_hour=30.0)[1]
    assert np.diag(truth) == pytest.approx(variance.mean(axis=(1, 2)))


def test_fisher_direction_is_what_many_trials_give(
    many_trials: tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    neurons, response, direction, _ = many_trials
    mean = np.stack([response[direction == k].mean(axis=0) for k in range(8)], axis=1)
    variance = np.stack([response[direction == k].var(axis=0, ddof=1) for k in range(8)], axis=1)
    noise = variance / np.bincount(direction)
    rise = (np.roll(mean, -1, axis=1) - mean) ** 2 - noise - np.roll(noise, -1, axis=1)
    found = (rise / ((np.pi / 4) ** 2 * (variance + np.roll(variance, -1, axis=1)) / 2)).mean(axis=1)
    truth = fisher_direction_true(neurons, 30.0, SHOWN_HZ, JERKS)["fisher_direction_true"].to_numpy()
    strong = truth > 0.08
    assert strong.sum() >= 5
    assert found[strong] / truth[strong] == pytest.approx(1.0, abs=0.25)


def one_neuron(**changes: float) -> pd.DataFrame:
    """A neuron without noise, gains or carry-over, whose moments have closed forms."""
    neuron = {
        "preferred_direction_deg": 0.0,
        "tuning_concentration": 0.0,
        "opposite_response": 0.0,
        "preferred_temporal_frequency_hz": 4.0,
        "temporal_frequency_width_octaves": 1e6,
        "base_rate_hz": 1.0,
        "driven_rate_hz": 2.0,
        "amplitude": 0.5,
        "burst_log_sd": 0.0,
        "rise_s": 1e-4,
        "decay_s": 1e-3,
        "tail_share": 0.0,
        "arousal_gain": 0.0,
        "shared_gain": 0.0,
        "own_gain": 0.0,
        "white_noise": 0.0,
        "slow_noise": 0.0,
        "shared_noise": 0.0,
        "drift_noise": 0.0,
        "artefact": 0.0,
    }
    return pd.DataFrame([neuron | changes])


def test_untuned_neuron_tells_nothing() -> None:
    mean, variance = trial_moments(one_neuron(), 30.0)
    assert fisher_direction_true(one_neuron(), 30.0).to_numpy() == pytest.approx(0.0, abs=1e-12)
    # Its variance over its mean is that of a filtered Poisson count.
    weight = variance / mean
    assert weight == pytest.approx(np.full((1, 8, 5), weight[0, 0, 0]))
    assert (mean > 0).all()


@pytest.mark.parametrize(
    ("kappa", "share"), [pytest.param(1.0, 0.92, id="broad"), pytest.param(16.0, 0.41, id="sharp")]
)
def test_steps_see_a_known_share_of_the_slope(kappa: float, share: float) -> None:
    """The coarse information is 0.92 (kappa 1) to 0.41 (kappa 16) of the derivative's for additive noise."""
    neuron = one_neuron(tuning_concentration=kappa, base_rate_hz=1e-9, white_noise=1e3)
    shifts = [neuron.assign(preferred_direction_deg=float(shift)) for shift in range(0, 45, 5)]
    fisher = pd.concat([fisher_direction_true(shifted, 30.0) for shifted in shifts])
    ratio = fisher["fisher_direction_true"].mean() / fisher["fisher_direction_derivative_true"].mean()
    assert ratio == pytest.approx(share, abs=0.03)


def test_movie_information_needs_a_movie_that_is_seen() -> None:
    world = load_world("tiny").replace(movie_frames=120, movie_repeats=1)
    template = Templates(world)["natural_movie_one"]
    rng = np.random.default_rng(0)
    neurons = draw_population("Sst-IRES-Cre", world, rng, 30)
    rates = movie_rates(neurons, template)
    truth = fisher_movie_true(neurons, rates, 30.0, 30.0)
    blind = ~neurons["carries_movie"].to_numpy()
    assert 0 < blind.sum() < 30
    assert truth.to_numpy()[blind] == pytest.approx(0.0, abs=1e-12)
    seeing = rates.max(axis=0) > 0
    assert (truth.to_numpy()[seeing] > 0).all()
    assert seeing.sum() >= 10


@pytest.mark.parametrize("rate_hz", [20.0, 30.0, 60.0])
def test_movie_information_is_what_many_showings_give(rate_hz: float) -> None:
    """Fifteen hundred showings of a four-second movie, one after the other, to one neuron."""
    neuron = one_neuron(rise_s=0.05, decay_s=0.3, white_noise=0.05, base_rate_hz=0.5, arousal_gain=0.3)
    neuron = neuron.assign(tail_share=0.3, own_gain=0.3)
    rate = np.repeat([0.5, 1.0, 8.0, 3.0], 30).astype(np.float32)
    truth = fisher_movie_true(neuron, rate[:, None], rate_hz).iloc[0]
    per_second, repeats = round(rate_hz), 1500
    frames = 4 * per_second
    shown = (np.arange(frames) * 30.0 / rate_hz).astype(np.int32)
    drive = Drive(np.tile(shown + 1, repeats), np.r_[0.0, rate].astype(np.float32)[:, None], {})
    latents = draw_latents(frames * repeats, rate_hz, 0.0, np.random.default_rng(1))
    dff = simulate_activity(neuron, drive, latents, rate_hz, np.random.default_rng(2)).dff[0].reshape(repeats, frames)
    second = dff.reshape(repeats, 4, per_second).mean(axis=2)
    mean, variance = second.mean(axis=0), second.var(axis=0)
    found = (np.diff(mean) ** 2 / ((variance[1:] + variance[:-1]) / 2)).mean()
    assert found == pytest.approx(truth["fisher_movie_true"], rel=0.1)
    mean, variance = dff.mean(axis=0), dff.var(axis=0)
    slope = (np.roll(mean, -1) - np.roll(mean, 1)) * rate_hz / 2
    # Neighbouring frames share their calcium, so the noise of 1,500 showings hardly adds to the slope.
    assert (slope**2 / variance).mean() == pytest.approx(truth["fisher_movie_derivative_true"], rel=0.1)


def test_silenced_world_knows_nothing() -> None:
    world = load_world("tiny").replace(event_rate_scale=0.0, noise_scale=0.0)
    session, truth = simulate_session(world, 1)
    assert np.abs(session.dff).max() == 0.0
    assert truth.neurons["base_rate_hz"].max() == 0.0
    assert truth.neurons["fisher_direction_true"].max() == 0.0
    assert len(truth.events) == 0
    assert np.abs(truth.noise_covariance).max() == 0.0
