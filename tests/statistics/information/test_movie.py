"""Information about movie time: known answers, the simulator's truth, pieces, missing frames."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest

from poyodata.statistics.information.movie import FISHER_MOVIES, MIN_REPEATS, STEP_S, fisher_movie, movie_steps
from poyodata.statistics.statistic import Resampling, Stretch
from poyodata.statistics.tuning.movies import Repeats, cut_repeats
from tests.statistics.simulated_trials import movie

ONE = FISHER_MOVIES[0]


def gaussian_steps(n_repeats, n_neurons, correlation=0.6, seed=0):
    """Steps with unequal noise that is correlated from step to step, and J."""
    rng = np.random.default_rng([seed, n_repeats])
    mean, sd = 0.3 * rng.normal(size=(20, n_neurons)), rng.uniform(0.5, 1.5, (20, n_neurons))
    noise = rng.normal(size=(n_repeats, 20, n_neurons))
    for step in range(1, 20):
        noise[:, step] = correlation * noise[:, step - 1] + np.sqrt(1 - correlation**2) * noise[:, step]
    truth = (2 * np.diff(mean, axis=0) ** 2 / (sd[1:] ** 2 + sd[:-1] ** 2)).mean(axis=0)
    return mean + sd * noise, truth


@pytest.mark.parametrize("n_repeats", [MIN_REPEATS, MIN_REPEATS + 1, 8, 10, 50])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_mean_is_j_under_gaussian_noise(n_repeats, correlation):
    steps, truth = gaussian_steps(n_repeats, 2000, correlation)
    found = fisher_movie(steps)
    error = found.value - truth
    assert abs(error.mean()) < max(0.02 * truth.mean(), 3 * error.std() / np.sqrt(2000))
    assert error.std() / np.sqrt(2000) < 0.08 * truth.mean()
    low, high = found.interval(0.95)
    assert ((low <= truth) & (truth <= high)).mean() > 0.92


@pytest.mark.slow
def test_simulated_movie_has_the_truth_of_the_simulator():
    """Skewed noise at 20 repeats: the mean within a fifth of `fisher_movie_true`, intervals hold it."""
    parts = [movie(20, seed, each=3) for seed in range(3)]
    steps, truth = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    found = fisher_movie(steps)
    assert found.value.mean() == pytest.approx(truth.mean(), rel=0.2)
    low, high = found.interval(0.95)
    assert ((low <= truth) & (truth <= high)).mean() > 0.92
    assert np.corrcoef(found.value, truth)[0, 1] > 0.9


def test_length_of_a_step_scales_as_one_over_its_square():
    steps, _ = gaussian_steps(10, 5)
    assert fisher_movie(steps, 0.5).value == pytest.approx(4 * fisher_movie(steps).value)


def test_scale_and_offset_do_not_matter():
    steps, _ = gaussian_steps(10, 5)
    assert fisher_movie(7 * steps + 3).value == pytest.approx(fisher_movie(steps).value)


def test_a_neuron_that_sees_nothing_has_zero_on_the_mean_and_keeps_its_sign():
    found = fisher_movie(np.random.default_rng(0).normal(size=(8, 20, 2000))).value
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(2000)
    assert (found < 0).mean() > 0.3


def test_too_few_repeats_missing_ones_and_constant_neurons():
    steps, _ = gaussian_steps(8, 5)
    expected = fisher_movie(steps)
    steps[:4, 4, 1] = np.nan  # four are left
    steps[0, 7, 2] = np.nan
    steps[..., 3] = 1.0
    found = fisher_movie(steps)
    assert np.isnan(found.value).tolist() == [False, True, False, True, False]
    assert (found.value[[0, 4]] == expected.value[[0, 4]]).all()
    alone = fisher_movie(steps[1:, :, 2:3])
    assert found.value[2] == pytest.approx(alone.value[0])
    assert found.standard_error[2] == pytest.approx(alone.standard_error[0])
    assert np.isnan(fisher_movie(steps[: MIN_REPEATS - 1]).value).all()
    assert np.isnan(fisher_movie(steps[:, :1]).value).all()


def shown(n_repeats, n_neurons=3, n_frames=95, seed=0):
    rng = np.random.default_rng(seed)
    traces = (
        rng.normal(size=(n_repeats * n_frames, n_neurons)) + np.tile(np.repeat([0, 2, 0, 2, 0], 19), n_repeats)[:, None]
    )
    start = np.arange(n_repeats * n_frames)
    trials = pd.DataFrame(
        {"stimulus": "natural_movie_one", "repeat": start // n_frames, "movie_frame": start % n_frames}
    )
    trials = trials.assign(start_frame=start, stop_frame=start + 1)
    return Stretch(traces=traces.astype(np.float32), trials=trials, rate_hz=30.0)


def test_statistic_cuts_seconds_out_of_repeats():
    stretch = shown(8)
    steps, step_frames = movie_steps(cut_repeats(stretch, ONE.params))
    assert steps.shape == (8, 3, 3)
    assert step_frames == 30
    assert steps[1, 2, 0] == pytest.approx(stretch.traces[95 + 60 : 95 + 90, 0].mean(), rel=1e-5)
    found = ONE.finalize(cut_repeats(stretch, ONE.params), ONE.params)
    assert found.keys() == ONE.columns.keys()
    assert found["fisher_movie_nm1"] == pytest.approx(fisher_movie(steps, STEP_S).value)
    assert found["fisher_movie_per_frame_nm1"] == pytest.approx(found["fisher_movie_nm1"] / 30)
    bounds = ONE.interval([stretch], ONE.params, Resampling())
    assert bounds.keys() == {"fisher_movie_nm1", "fisher_movie_per_frame_nm1"}
    assert found["fisher_movie_repeats_nm1"].tolist() == [8] * 3
    assert not found["fisher_movie_reliable_nm1"].any()
    low, high = bounds["fisher_movie_nm1"]
    assert ((low < found["fisher_movie_nm1"]) & (found["fisher_movie_nm1"] < high)).all()


def test_pieces_give_what_the_whole_gives():
    whole, first, second = shown(8), shown(4, seed=1), shown(4, seed=2)
    both = Stretch(traces=np.concatenate([first.traces, second.traces]), trials=whole.trials, rate_hz=30.0)
    together = reduce(Repeats.merge, (cut_repeats(piece, ONE.params) for piece in (first, second)))
    found, expected = (ONE.finalize(state, ONE.params) for state in (together, cut_repeats(both, ONE.params)))
    np.testing.assert_allclose(found["fisher_movie_nm1"], expected["fisher_movie_nm1"])


def test_nothing_shown_gives_nan():
    nothing = Stretch(traces=np.zeros((10, 2), np.float32), trials=shown(1).trials.iloc[:0], rate_hz=30.0)
    for statistic in FISHER_MOVIES:
        found = statistic.finalize(cut_repeats(nothing, statistic.params), statistic.params)
        suffix = statistic.params["suffix"]
        assert np.isnan(found[f"fisher_movie_{suffix}"]).all()
        assert np.isnan(found[f"fisher_movie_per_frame_{suffix}"]).all()
        assert not found[f"fisher_movie_repeats_{suffix}"].any()
        bounds = statistic.interval([nothing], statistic.params, Resampling())
        assert all(np.isnan(low).all() and np.isnan(high).all() for low, high in bounds.values())
