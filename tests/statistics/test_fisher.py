import numpy as np
import pandas as pd
import pytest

from poyodata.statistics.fisher import D_THETA, MIN_TRIALS, TrialResponses, fisher_direction, trial_responses
from poyodata.statistics.statistic import Stretch
from poyodata.vocabulary import DIRECTIONS_DEG

GAIN = {1: (1.0,), 5: (0.4, 1.0, 0.3, 0.2, 0.1)}


def simulate(n_trials, n_frequencies, spread, n_neurons=2000, seed=0):
    """Gaussian neurons with von Mises tuning; returns responses and the information J at the best frequency."""
    rng = np.random.default_rng([seed, n_trials, n_frequencies])
    theta = np.deg2rad(DIRECTIONS_DEG)[:, None]
    mu = 0.02 + 0.3 * np.exp(2 * (np.cos(theta - rng.uniform(0, 2 * np.pi, n_neurons)) - 1))
    sd = spread(mu)
    after_mu, after_sd = np.roll(mu, -1, axis=0), np.roll(sd, -1, axis=0)
    information = ((after_mu - mu) ** 2 / ((after_sd**2 + sd**2) / 2)).mean(axis=0) / D_THETA**2
    rows = [(f, d) for _ in range(n_trials) for f in range(n_frequencies) for d in range(8)]
    noise = rng.normal(size=(len(rows), n_neurons))
    gain = np.array(GAIN[n_frequencies])
    frequency, direction = np.array(rows).T
    response = gain[frequency, None] * mu[direction] + sd[direction] * noise
    return TrialResponses(response, np.array(DIRECTIONS_DEG)[direction], frequency + 1.0), information


def equal(mu):
    return np.full_like(mu, 0.1)


def unequal(mu):
    return 0.04 + 0.3 * mu


@pytest.mark.parametrize("spread", [equal, unequal], ids=["equal-noise", "unequal-noise"])
@pytest.mark.parametrize(("n_trials", "n_frequencies"), [(5, 1), (15, 1), (50, 1), (200, 1), (15, 5), (50, 5)])
def test_unbiased(n_trials, n_frequencies, spread):
    responses, information = simulate(n_trials, n_frequencies, spread)
    error = fisher_direction(responses) - information
    standard_error = error.std() / np.sqrt(len(error))
    assert abs(error.mean()) < max(0.02 * information.mean(), 3 * standard_error)
    assert standard_error < 0.06 * information.mean()  # else the line above could not fail


def test_choosing_and_estimating_on_the_same_trials_would_inflate():
    """Without tuning the truth is zero: the cross-fitted estimate stays there, the highest of five does not."""
    rng = np.random.default_rng(0)
    rows = [(f, d) for _ in range(15) for f in range(5) for d in DIRECTIONS_DEG]
    frequency, direction = np.array(rows).T
    responses = TrialResponses(rng.normal(size=(len(rows), 1000)), direction, frequency)
    estimate = fisher_direction(responses)
    single = [
        fisher_direction(
            TrialResponses(responses.response[frequency == f], direction[frequency == f], frequency[frequency == f])
        )
        for f in range(5)
    ]
    standard_error = estimate.std() / np.sqrt(1000)
    assert abs(estimate.mean()) < 3 * standard_error
    assert np.max(single, axis=0).mean() > 10 * standard_error
    assert (estimate < 0).mean() > 0.3, "negative estimates stay negative"


@pytest.mark.parametrize("kept", [[15, 6], [6, 15]], ids=["even-directions-full", "odd-directions-full"])
def test_unequal_numbers_of_trials_are_unbiased(kept):
    responses, information = simulate(15, 1, unequal)
    turn = np.arange(len(responses.direction_deg)) // 8
    odd = (responses.direction_deg // 45 % 2).astype(int)
    use = turn < np.array(kept)[odd]
    part = TrialResponses(responses.response[use], responses.direction_deg[use], responses.temporal_frequency_hz[use])
    error = fisher_direction(part) - information
    assert abs(error.mean()) < max(0.02 * information.mean(), 3 * error.std() / np.sqrt(len(error)))


def test_too_few_trials_of_one_direction_give_nan():
    responses, _ = simulate(MIN_TRIALS, 1, equal, n_neurons=3)
    assert np.isfinite(fisher_direction(responses)).all()
    short = TrialResponses(responses.response[1:], responses.direction_deg[1:], responses.temporal_frequency_hz[1:])
    assert np.isnan(fisher_direction(short)).all()


def test_frequencies_with_too_few_trials_are_not_chosen():
    responses, _ = simulate(15, 5, equal, n_neurons=50)
    turn = np.arange(len(responses.direction_deg)) // 40
    use = (responses.temporal_frequency_hz != 2.0) | (turn < 2)  # the best frequency, twice each
    part = TrialResponses(responses.response[use], responses.direction_deg[use], responses.temporal_frequency_hz[use])
    without = responses.temporal_frequency_hz != 2.0
    rest = TrialResponses(
        responses.response[without], responses.direction_deg[without], responses.temporal_frequency_hz[without]
    )
    assert fisher_direction(part) == pytest.approx(fisher_direction(rest))


def test_missing_responses_concern_their_neuron_alone():
    responses, _ = simulate(15, 5, equal, n_neurons=6)
    expected = fisher_direction(responses)
    gaps = responses.response.copy()
    gaps[:, 2] = np.nan
    gaps[::40, 4] = np.nan
    estimate = fisher_direction(TrialResponses(gaps, responses.direction_deg, responses.temporal_frequency_hz))
    assert np.isnan(estimate[2])
    assert np.isfinite(estimate[4])
    assert (estimate[[0, 1, 3, 5]] == expected[[0, 1, 3, 5]]).all()


def test_scale_and_offset_of_a_trace_do_not_matter():
    responses, _ = simulate(15, 5, unequal, n_neurons=20)
    moved = TrialResponses(7 * responses.response + 3, responses.direction_deg, responses.temporal_frequency_hz)
    assert fisher_direction(moved) == pytest.approx(fisher_direction(responses), rel=1e-9)


def test_a_neuron_that_never_varies_has_none():
    responses, _ = simulate(15, 1, equal, n_neurons=2)
    responses.response[:, 1] = 0.25
    assert np.isnan(fisher_direction(responses)).tolist() == [False, True]


def test_no_trials_give_nan():
    nothing = TrialResponses(np.empty((0, 3)), np.empty(0), np.empty(0))
    assert np.isnan(fisher_direction(nothing)).all()


def test_responses_are_means_over_the_frames_of_sweeps_with_a_direction():
    traces = np.arange(40, dtype=np.float32).reshape(20, 2)
    traces[4, 1] = np.nan
    traces[12:15, 0] = np.nan
    trials = pd.DataFrame(
        {
            "stimulus": ["drifting_gratings", "drifting_gratings", "natural_movie_one", "drifting_gratings"],
            "blank": [False, True, False, False],
            "direction_deg": [45.0, np.nan, np.nan, 360.0],
            "temporal_frequency_hz": [2.0, np.nan, np.nan, 4.0],
            "start_frame": [3, 6, 9, 12],
            "stop_frame": [6, 9, 12, 15],
        }
    )
    responses = trial_responses(Stretch(traces=traces, trials=trials, rate_hz=30.0))
    assert responses.direction_deg.tolist() == [45.0, 360.0]
    assert responses.response[0].tolist() == [8.0, 9.0]
    assert np.isnan(responses.response[1, 0])
    assert responses.response[1, 1] == 27.0
