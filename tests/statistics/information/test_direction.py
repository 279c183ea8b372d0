"""Information about direction: known answers, bias, intervals, cross-fitting, missing responses."""

import numpy as np
import pandas as pd
import pytest

from poyodata.statistics.information.crossfit import choose
from poyodata.statistics.information.direction import (
    FISHER_DIRECTION,
    RELIABLE_TRIALS,
    direction_information,
    fisher_direction,
)
from poyodata.statistics.information.dprime import DPRIME2, discriminability, dprime2
from poyodata.statistics.information.trials import MIN_TRIALS, TrialResponses, by_condition, trial_responses
from poyodata.statistics.statistic import Resampling, Stretch
from poyodata.vocabulary import DIRECTIONS_DEG
from tests.statistics.simulated_trials import at_chosen, gaussian, information, skewed
from tests.statistics.tuned import cut, make, results

TRIALS = (15, 20, 30, 50, 100, 200)


def responses_of(values):
    """Responses by condition, as they would be shown: round after round."""
    n_frequencies, n_directions, n_trials, _ = values.shape
    turn, f, d = (
        part.ravel() for part in np.meshgrid(range(n_trials), range(n_frequencies), range(n_directions), indexing="ij")
    )
    return TrialResponses(values[f, d, turn], np.array(DIRECTIONS_DEG)[d], f + 1.0, np.full(len(f), 60.0))


def within(estimate, truth, share=0.02, errors=3.0):
    error = estimate - truth
    standard_error = error.std() / np.sqrt(len(error))
    assert abs(error.mean()) < max(share * truth.mean(), errors * standard_error)
    return standard_error / truth.mean()


@pytest.mark.parametrize("noise", ["equal", "unequal"])
@pytest.mark.parametrize("n_frequencies", [1, 5], ids=["one-tf", "five-tf"])
@pytest.mark.parametrize("n_trials", [MIN_TRIALS, MIN_TRIALS + 1, 8, *TRIALS])
def test_mean_is_j_under_gaussian_noise(n_trials, n_frequencies, noise):
    n_neurons = 12_000 // max(n_trials, 20)
    values, truth = gaussian(n_trials, n_frequencies, noise, n_neurons, strength=(0.1, 0.5))
    found, _ = direction_information(values)
    precision = within(found.value, at_chosen(values, truth))
    assert precision < 0.25, "else the line above could not fail"


@pytest.mark.parametrize(("n_trials", "noise"), [(MIN_TRIALS, "equal"), (8, "unequal")])
def test_weakly_tuned_neurons_are_not_underestimated(n_trials, noise):
    """Strong noise, few trials: 12 to 17 % low were those that chose a wrong frequency, whose own J is lower."""
    values, truth = gaussian(n_trials, 5, noise, 3000, seed=1, strength=(0.05, 0.06))
    found, _ = direction_information(values)
    at = at_chosen(values, truth)
    within(found.value, at)
    assert at.mean() < truth.max(axis=0).mean()


def test_value_of_a_noiseless_rule():
    """A cosine tuning curve of known amplitude, 2,000 trials: J = A^2 (1 - cos 45) / (sd^2 dtheta^2)."""
    rng = np.random.default_rng(0)
    mu = 0.5 * np.cos(np.deg2rad(DIRECTIONS_DEG))[:, None]
    values = mu[None, :, None] + 0.5 * rng.normal(size=(1, 8, 2000, 4))
    exact = (1 - np.cos(np.pi / 4)) / (np.pi / 4) ** 2
    assert fisher_direction(responses_of(values)) == pytest.approx(exact, rel=0.1)
    assert information(mu, np.full_like(mu, 0.25)) == pytest.approx(exact)
    assert dprime2(responses_of(values)) == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("noise", ["equal", "unequal"])
@pytest.mark.parametrize(("n_trials", "least"), [(15, 0.93), (50, 0.93)])
def test_intervals_hold_j_under_gaussian_noise(n_trials, least, noise):
    values, truth = gaussian(n_trials, 5, noise, 1000 if n_trials == 15 else 500)
    found, _ = direction_information(values)
    low, high = found.interval(0.95)
    at = at_chosen(values, truth)
    inside = (low <= at) & (at <= high)
    assert least < inside.mean() < 0.995
    assert inside[at > np.quantile(at, 0.7)].mean() > 0.9
    narrow = found.interval(0.5)
    assert 0.45 < ((narrow[0] <= at) & (at <= narrow[1])).mean() < 0.8


@pytest.fixture(scope="module")
def long_recordings():
    parts = [skewed(50, seed, each=4) for seed in range(3)]
    return np.concatenate([part[0] for part in parts], axis=-1), np.concatenate([part[1] for part in parts], axis=-1)


@pytest.mark.parametrize(
    ("n_trials", "bias", "least"), [pytest.param(15, 0.35, 0.88, id="15"), pytest.param(50, 0.15, 0.92, id="50")]
)
def test_skewed_noise(long_recordings, n_trials, bias, least):
    """The table of the documentation in small: bias under 15 % from 50 trials on, coverage as promised."""
    values, truth = long_recordings
    values = values[:, :, :n_trials]
    found, _ = direction_information(values)
    at = at_chosen(values, truth)
    assert abs(found.value.mean() / at.mean() - 1) < bias
    low, high = found.interval(0.95)
    assert ((low <= at) & (at <= high)).mean() > least


def test_jackknife_mends_what_skewed_noise_does(long_recordings):
    values, truth = long_recordings
    for n_trials, low in ((15, 0.85), (30, 0.97)):
        part = values[:, :, :n_trials]
        found, _ = direction_information(part)
        at = at_chosen(part, truth).mean()
        assert found.whole.mean() < low * at
        assert abs(found.value.mean() - at) < abs(found.whole.mean() - at)


@pytest.mark.parametrize(
    ("n_trials", "reliable"), [(RELIABLE_TRIALS, True), (RELIABLE_TRIALS - 1, False), (MIN_TRIALS - 1, False)]
)
def test_few_trials_are_marked(n_trials, reliable):
    values, _ = gaussian(n_trials, 5, "equal", 3)
    found = FISHER_DIRECTION.finalize(responses_of(values), FISHER_DIRECTION.params)
    assert found["fisher_direction_reliable"].tolist() == [reliable] * 3
    enough = n_trials >= MIN_TRIALS
    assert found["fisher_direction_trials"].tolist() == [n_trials if enough else 0] * 3
    assert np.isfinite(found["fisher_direction"]).tolist() == [enough] * 3


def test_choosing_and_estimating_on_the_same_trials_would_inflate():
    """Without tuning the truth is zero: the cross-fitted estimates stay there, the highest of five does not."""
    values = np.random.default_rng(0).normal(size=(5, 8, 15, 500))
    for found in (direction_information(values)[0], discriminability(values)):
        standard_error = found.value.std() / np.sqrt(500)
        assert abs(found.value.mean()) < 3 * standard_error
        assert (found.value < 0).mean() > 0.3, "negative estimates stay negative"
    single = [direction_information(values[f : f + 1])[0].value for f in range(5)]
    assert np.max(single, axis=0).mean() > 5 * standard_error
    same = values.mean(axis=2)
    assert (same.max(axis=1) - same.min(axis=1)).mean() ** 2 > 0.3, "the best pair on the same trials is never zero"


def test_group_means_are_of_values_that_are_not_clipped():
    """A group of neurons that know nothing has a mean of zero; clipped at zero it would know something."""
    values, _ = gaussian(15, 5, "equal", 800, strength=(1e-6, 2e-6))
    found = fisher_direction(responses_of(values))
    error = found.std() / np.sqrt(800)
    assert abs(found.mean()) < 3 * error
    assert np.maximum(found, 0).mean() > 10 * error


def test_frequency_is_that_of_the_largest_mean_response():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 8, 10, 5)) + np.array([0.0, 4.0, 1.0])[:, None, None, None]
    assert choose(values, 0).frequency.tolist() == [1] * 5
    values[1, :, MIN_TRIALS - 1 :] = np.nan  # not enough trials
    assert choose(values, 0).frequency.tolist() == [2] * 5


@pytest.mark.parametrize("kept", [[15, 6], [6, 15]], ids=["even-directions-full", "odd-directions-full"])
@pytest.mark.parametrize("n_frequencies", [1, 5])
def test_unequal_numbers_of_trials_are_unbiased(kept, n_frequencies):
    values, truth = gaussian(15, n_frequencies, "unequal", 1500, strength=(0.2, 0.5))
    for odd, count in enumerate(kept):
        values[:, odd::2, count:] = np.nan
    found, fewest = direction_information(values)
    within(found.value, at_chosen(values, truth))
    assert set(fewest.tolist()) == {6}


def test_frequencies_with_too_few_trials_are_not_chosen():
    values, _ = gaussian(15, 5, "equal", 50)
    without = np.delete(values, 1, axis=0)
    values[1, 3, MIN_TRIALS - 1 :] = np.nan  # the best frequency, too few trials of one direction
    assert direction_information(values)[0].value == pytest.approx(direction_information(without)[0].value)


def test_missing_responses_concern_their_neuron_alone():
    values, _ = gaussian(15, 5, "equal", 6)
    whole = responses_of(values)
    expected = fisher_direction(whole), dprime2(whole)
    values[..., 2] = np.nan
    values[1, 0, ::3, 4] = np.inf
    part = responses_of(values)
    for estimate, before in zip((fisher_direction(part), dprime2(part)), expected, strict=True):
        assert np.isnan(estimate[2])
        assert np.isfinite(estimate[4])
        assert estimate[4] != before[4]
        assert (estimate[[0, 1, 3, 5]] == before[[0, 1, 3, 5]]).all()


def test_rounds_without_a_response_change_nothing():
    values, _ = gaussian(14, 5, "equal", 3)
    padded = np.concatenate([values, np.full((5, 8, 4, 3), np.nan)], axis=2)
    found, more = direction_information(values)[0], direction_information(padded)[0]
    assert more.value == pytest.approx(found.value)
    assert more.standard_error == pytest.approx(found.standard_error)
    assert more.n_rounds.tolist() == [14.0] * 3


@pytest.mark.parametrize("estimate", [fisher_direction, dprime2])
def test_scale_and_offset_of_a_trace_do_not_matter(estimate):
    values, _ = gaussian(15, 5, "unequal", 20)
    moved = estimate(responses_of(7 * values + 3))
    assert moved == pytest.approx(estimate(responses_of(values)), rel=1e-9)


def test_a_neuron_that_never_varies_has_none():
    values, _ = gaussian(15, 1, "equal", 2)
    values[..., 1] = 0.25
    assert np.isnan(fisher_direction(responses_of(values))).tolist() == [False, True]
    assert np.isnan(dprime2(responses_of(values))).tolist() == [False, True]


@pytest.mark.parametrize(("n_trials", "known"), [(MIN_TRIALS, True), (MIN_TRIALS - 1, False)])
def test_every_estimate_has_an_interval_and_one_estimator(n_trials, known):
    values, _ = gaussian(n_trials, 5, "equal", 4)
    for found in (direction_information(values)[0], discriminability(values)):
        assert (np.isfinite(found.value) == known).all()
        assert (np.isfinite(found.interval(0.95)) == known).all()


def test_no_trials_give_nan():
    nothing = TrialResponses(np.empty((0, 3)), np.empty(0), np.empty(0), np.empty(0))
    for statistic in (FISHER_DIRECTION, DPRIME2):
        found = statistic.finalize(nothing, statistic.params)
        assert np.isnan(found[statistic.name]).all()
        assert np.isnan(found[f"{statistic.name}_per_frame"]).all()
    assert found.keys() == DPRIME2.columns.keys()


def sweeps(n_trials=12, n_neurons=3):
    rng = np.random.default_rng(1)
    shown = [
        {"direction_deg": d, "temporal_frequency_hz": f}
        for _ in range(n_trials)
        for f in (1.0, 4.0)
        for d in DIRECTIONS_DEG
    ]
    shown.insert(7, {})
    response = (
        rng.normal(1.0, 0.2, size=(len(shown), n_neurons))
        + np.array([d.get("direction_deg", 0) > 90 for d in shown])[:, None]
    )
    return make("drifting_gratings", shown, response, sweep=20, rest=4)


@pytest.mark.parametrize("statistic", [FISHER_DIRECTION, DPRIME2], ids=lambda each: each.name)
def test_pieces_give_what_the_whole_gives(statistic):
    stretch = sweeps()
    whole, parts = results(statistic, stretch), results(statistic, *cut(stretch, 60, 60 + 24 * 30))
    for name in whole:
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-6)
    value = whole[statistic.name]
    assert whole[f"{statistic.name}_per_frame"] == pytest.approx(value / 20)
    assert (value > 0).all()
    for resampling in (Resampling(level=0.5), Resampling(level=0.95)):
        bounds = statistic.interval([stretch], statistic.params, resampling)
        assert bounds.keys() == {statistic.name, f"{statistic.name}_per_frame"}
        low, high = bounds[statistic.name]
        assert ((low < value) & (value < high)).all()
        assert bounds[f"{statistic.name}_per_frame"][1] == pytest.approx(high / 20)


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
            "stop_frame": [6, 9, 12, 16],
        }
    )
    stretch = Stretch(traces=traces, trials=trials, rate_hz=30.0)
    responses = trial_responses(stretch, FISHER_DIRECTION.params)
    assert responses.direction_deg.tolist() == [45.0, 360.0]
    assert responses.response[0].tolist() == [8.0, 9.0]
    assert responses.response[1].tolist() == [30.0, 28.0]
    assert responses.sweep_frames == 3.5
    arranged = by_condition(responses)
    assert arranged.shape == (2, 8, 1, 2)
    assert arranged[0, 1, 0].tolist() == [8.0, 9.0]
    assert arranged[1, 0, 0].tolist() == [30.0, 28.0], "360 degrees are 0"
    assert np.isfinite(arranged).sum() == 4
