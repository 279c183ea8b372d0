"""Intervals of tuning: groups of repeats, what has none, and coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from poyodata.statistics import Resampling
from poyodata.statistics.tuning import TUNING
from poyodata.statistics.tuning.gratings import TUNING_DRIFTING_GRATINGS, TUNING_STATIC_GRATINGS
from poyodata.statistics.tuning.interval import GROUPS, drawn_counts, repeat_groups, share_interval
from poyodata.statistics.tuning.movies import TUNING_NATURAL_MOVIE_ONE
from poyodata.statistics.tuning.scenes import TUNING_NATURAL_SCENES
from poyodata.vocabulary import NATURAL_MOVIE_ONE, STATIC_GRATINGS
from tests.benchmarks.coverage import gratings, image_neurons, scenes, tuned_neurons, tuning_coverage
from tests.statistics.tuned import cut, make, results

JUMPS = {"preferred_direction_deg", "tuning_p", "responsive", "running_modulation_p"}


@pytest.fixture(scope="module")
def shown():
    rng = np.random.default_rng(0)
    return gratings(tuned_neurons(8, 0.3, rng), 8, rng)


@pytest.fixture(scope="module")
def found(shown):
    return TUNING_DRIFTING_GRATINGS.interval([shown], TUNING_DRIFTING_GRATINGS.params, Resampling(seed=4))


def test_every_condition_gives_to_every_group():
    rng = np.random.default_rng(0)
    condition = np.concatenate([rng.permutation(41) - 1 for _ in range(30)])
    group = repeat_groups(condition)
    for number in range(-1, 40):
        own = group[condition == number]
        assert np.bincount(own).tolist() == [2] * GROUPS
        assert (np.diff(own) >= 0).all()  # neighbouring repeats
    assert repeat_groups(condition[: 9 * 41]).max() == 8
    assert len(repeat_groups(condition[:0])) == 0


def test_columns(shown, found):
    value = results(TUNING_DRIFTING_GRATINGS, shown)
    columns = TUNING_DRIFTING_GRATINGS.columns
    assert set(found) == {name for name, column in columns.items() if column.dtype == "float64"}
    for name, (low, high) in found.items():
        if name in JUMPS:
            assert np.isnan([low, high]).all(), name
            continue
        known = np.isfinite(low)
        assert known.any(), name
        assert (low[known] <= high[known]).all(), name
        assert (low[known] >= columns[name].low).all(), name
        assert (high[known] <= columns[name].high).all(), name
        if name != "lifetime_sparseness":  # put around what is corrected for bias
            assert (low[known] <= value[name][known] + 1e-12).all(), name
            assert (high[known] >= value[name][known] - 1e-12).all(), name
    assert (found["lifetime_sparseness"][0] < value["lifetime_sparseness"]).all()


def test_the_same_seed_gives_the_same(shown, found):
    again = TUNING_DRIFTING_GRATINGS.interval([shown], TUNING_DRIFTING_GRATINGS.params, Resampling(seed=4))
    for name, bounds in found.items():
        np.testing.assert_array_equal(again[name], bounds)


def test_stretches_are_strung_together(shown, found):
    pieces = cut(shown, 90 * 100)
    cut_up = TUNING_DRIFTING_GRATINGS.interval(pieces, TUNING_DRIFTING_GRATINGS.params, Resampling(seed=4))
    whole = np.asarray(found["gosi"])
    np.testing.assert_allclose(cut_up["gosi"], whole, atol=0.1)  # one sweep loses its baseline


def test_peak_is_a_students_interval_of_the_preferred_condition():
    rng = np.random.default_rng(1)
    mean = np.zeros((8, 5, 1))
    mean[3, 2] = 3.0  # far above the rest, so that no other condition is ever preferred
    shown = gratings(mean, 12, rng)
    statistic = TUNING_DRIFTING_GRATINGS
    sweeps = statistic.chunk(shown, statistic.params)
    own = sweeps.response[(sweeps.features[:, 0] == 135) & (sweeps.features[:, 1] == 4)][:, 0]
    half = scipy.stats.sem(own) * scipy.stats.t.ppf(0.975, 11)
    low, high = statistic.interval([shown], statistic.params, Resampling())["peak_dff"]
    # Groups are weighted by all their sweeps, blanks among them.
    np.testing.assert_allclose([low[0], high[0]], [own.mean() - half, own.mean() + half], rtol=0.02)


@pytest.mark.parametrize("repeats", [0, 1, 4])
def test_too_few_repeats_give_nan(repeats):
    rng = np.random.default_rng(0)
    shown = gratings(tuned_neurons(3, 0.3, rng), max(repeats, 1), rng)
    shown = replace(shown, trials=shown.trials.iloc[: len(shown.trials) if repeats else 0])
    for low, high in TUNING_DRIFTING_GRATINGS.interval([shown], TUNING_DRIFTING_GRATINGS.params, Resampling()).values():
        assert np.isnan([low, high]).all()


def test_a_missing_neuron_is_missing_alone(shown, found):
    traces = shown.traces.copy()
    traces[:, 0] = np.nan
    hidden = replace(shown, traces=traces)
    bounds = TUNING_DRIFTING_GRATINGS.interval([hidden], TUNING_DRIFTING_GRATINGS.params, Resampling(seed=4))
    for name, both in bounds.items():
        assert np.isnan(np.asarray(both)[:, 0]).all(), name
        np.testing.assert_allclose(np.asarray(both)[:, 1:], np.asarray(found[name])[:, 1:], rtol=1e-9, err_msg=name)


def test_a_recording_without_the_stimulus_has_nan(shown):
    for statistic in TUNING:
        if statistic is not TUNING_DRIFTING_GRATINGS:
            bounds = statistic.interval([replace(shown, trials=shown.trials.iloc[:0])], statistic.params, Resampling())
            names = {name for name, column in statistic.columns.items() if column.dtype == "float64"}
            assert set(bounds) == names
            assert all(np.isnan(both).all() and np.shape(both) == (2, 8) for both in bounds.values())


def test_preferred_frequency():
    rng = np.random.default_rng(0)
    mean = np.zeros((8, 5, 2))
    mean[0, 1, 0] = 2.0  # prefers 2 Hz without doubt
    mean[0, 1:4, 1] = 2.0  # 2, 4 and 8 Hz alike
    low, high = TUNING_DRIFTING_GRATINGS.interval(
        [gratings(mean, 12, rng)], TUNING_DRIFTING_GRATINGS.params, Resampling()
    )["preferred_tf_hz"]
    assert (low[0], high[0]) == (2, 2)
    assert low[1] == 2
    assert high[1] == 8


def test_scenes_and_static_gratings_have_a_time_of_peak():
    rng = np.random.default_rng(0)
    seen = scenes(image_neurons(6, 0.3, rng)[:12], 12, rng)
    bounds = TUNING_NATURAL_SCENES.interval([seen], TUNING_NATURAL_SCENES.params, Resampling())
    low, high = bounds["time_to_peak_s_ns"]
    assert (low <= high).all()
    assert (np.median(low) <= 0.27) & (np.median(high) >= 0.2)
    assert np.isnan(bounds["preferred_image_ns"]).all()
    flashed = [
        {"orientation_deg": 30.0 * d, "spatial_frequency_cpd": f, "phase": 0.0} for d in range(6) for f in (0.04, 0.08)
    ]
    size = rng.gamma(2.0, 0.1, (len(flashed) * 10, 4))
    stretch = make(STATIC_GRATINGS, flashed * 10, size, sweep=7, rest=40, spread=0.1)
    bounds = TUNING_STATIC_GRATINGS.interval([stretch], TUNING_STATIC_GRATINGS.params, Resampling())
    assert np.isfinite(bounds["preferred_sf_cpd_sg"]).all()
    assert np.isfinite(bounds["time_to_peak_s_sg"]).all()
    assert np.isnan(bounds["preferred_orientation_deg_sg"]).all()
    assert np.isnan(bounds["preferred_phase_sg"]).all()


def movie(repeats, noise, rng, n=20, frames=60):
    rows = [{"movie_frame": i, "repeat": r} for r in range(repeats) for i in range(frames)]
    course = np.tile(np.sin(np.linspace(0, 6, frames)), repeats)[:, None] * np.ones(n)
    return make(NATURAL_MOVIE_ONE, rows, course, sweep=1, rest=0, spread=noise, seed=int(rng.integers(1 << 31)))


def test_movies():
    rng = np.random.default_rng(0)
    statistic, low, high = TUNING_NATURAL_MOVIE_ONE, [], []
    for _ in range(6):
        bounds = statistic.interval([movie(10, 0.7, rng)], statistic.params, Resampling())
        low.append(bounds["reliability_nm1"][0])
        high.append(bounds["reliability_nm1"][1])
    truth = results(statistic, movie(200, 0.7, rng))["reliability_nm1"].mean()
    covered = (np.concatenate(low) <= truth) & (truth <= np.concatenate(high))
    assert covered.mean() >= 0.88
    first, last = bounds["peak_time_s_nm1"]
    assert (first <= last).all()
    assert 0.2 < np.median(first) <= np.median(last) < 1.0  # the sine peaks after a quarter of its 2 s
    few = statistic.interval([movie(4, 0.7, rng)], statistic.params, Resampling())
    assert np.isnan(few["reliability_nm1"]).all()


def test_shares_of_few_trials_are_covered():
    rng = np.random.default_rng(0)
    share = rng.binomial(15, 0.9, 2000) / 15
    low, high = share_interval(share, np.full(2000, 15.0), 0.95)
    assert ((low <= 0.9) & (high >= 0.9)).mean() >= 0.93
    assert (low < 1).all()


def test_draws_keep_the_number_of_trials():
    counts = drawn_counts(9, Resampling(draws=50), 3)
    assert (counts.sum(axis=1) == 9).all()
    assert counts.shape == (50, 9)
    assert drawn_counts(0, Resampling(draws=50), 0).shape == (50, 0)


@pytest.mark.slow
def test_coverage_of_gratings():
    shares = tuning_coverage(gratings, 15, 0.3, 60, 2)
    for name in ("gosi", "gdsi", "osi", "dsi", "tf_selectivity", "reliability", "peak_dff", "responsive_sweeps"):
        assert shares[name] >= 0.86, (name, shares[name])
    assert shares["lifetime_sparseness"] >= 0.8
