"""Tuning to gratings: neurons with known answers, any cutting, and what is missing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from poyodata.statistics.statistic import Stretch
from poyodata.statistics.tuning.gratings import TUNING_DRIFTING_GRATINGS, TUNING_STATIC_GRATINGS
from poyodata.statistics.tuning.sweeps import SweepWindow
from poyodata.vocabulary import DIRECTIONS_DEG
from tests.statistics.tuned import RATE_HZ, cut, make, results, same

FREQUENCIES_HZ = (1.0, 2.0, 4.0)
ORIENTATIONS_DEG = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)
SWEEP, REST = 60, 30


def drifting(tuning, *, repeats=4, jitter=0.0, running=None, spread=0.01, seed=0, blanks=6, wobble=None):
    """Gratings of every direction and frequency, in random order; `tuning` has shape (direction, frequency, neuron)."""
    rng = np.random.default_rng(seed)
    conditions = list(product(range(8), range(len(FREQUENCIES_HZ)))) * repeats + [None] * blanks
    order = rng.permutation(len(conditions))
    shown, response = [], []
    for at in order:
        condition = conditions[at]
        known = condition is not None
        shown.append(
            {"direction_deg": DIRECTIONS_DEG[condition[0]], "temporal_frequency_hz": FREQUENCIES_HZ[condition[1]]}
            if known
            else {}
        )
        response.append(tuning[condition] if known else np.zeros(tuning.shape[2]))
    response = np.array(response) + jitter * rng.standard_normal((len(order), tuning.shape[2]))
    speed = None if running is None else running(len(order), rng)
    return make(
        "drifting_gratings", shown, response, sweep=SWEEP, rest=REST, running=speed, spread=spread, wobble=wobble
    )


def neurons(*curves, best=1, rest=0.0):
    """Tuning of neurons with these curves over direction at one frequency, and `rest` times them at others."""
    gain = np.full(len(FREQUENCIES_HZ), rest)
    gain[best] = 1.0
    return np.stack([np.outer(curve, gain) for curve in curves], axis=2)


THETA = np.deg2rad(DIRECTIONS_DEG)
ONE_DIRECTION = np.where(np.arange(8) == 3, 0.5, 0.0)
ONE_AXIS = np.where(np.isin(DIRECTIONS_DEG, (90.0, 270.0)), [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.5], 0.0)
COSINE = 0.2 * (1 + np.cos(THETA - THETA[5]))
FLAT = np.full(8, 0.3)


def test_windows_are_those_of_allensdk():
    dg, sg = TUNING_DRIFTING_GRATINGS.params, TUNING_STATIC_GRATINGS.params
    for rate_hz in (29.6, 30.0, 30.4):
        assert SweepWindow.of(dg, rate_hz) == SweepWindow(30, 60, 60)
        assert SweepWindow.of(sg, rate_hz) == SweepWindow(28, 14, 35)
    assert SweepWindow.of(dg, 10.0) == SweepWindow(10, 20, 20)


def test_known_neurons():
    found = results(TUNING_DRIFTING_GRATINGS, drifting(neurons(ONE_DIRECTION, ONE_AXIS, COSINE), spread=0.0))
    assert found["preferred_direction_deg"].tolist() == [135.0, 90.0, 225.0]
    assert found["preferred_tf_hz"].tolist() == [2.0] * 3
    np.testing.assert_allclose(found["peak_dff"], [0.5, 0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found["gosi"], [1.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found["gdsi"], [1.0, 0.1 / 0.9, 0.5], rtol=1e-5)
    np.testing.assert_allclose(found["osi"], [1.0, 1.0, 1 / 3], rtol=1e-5)
    np.testing.assert_allclose(found["dsi"], [1.0, 1 / 9, 1.0], rtol=1e-5)
    squares = (COSINE**2).sum()
    sparseness = (1 - COSINE.sum() ** 2 / (24 * squares)) / (1 - 1 / 24)
    np.testing.assert_allclose(found["lifetime_sparseness"][[0, 2]], [1.0, sparseness], rtol=1e-5)
    assert found["n_sweeps"].tolist() == [24 * 4 + 6] * 3


def test_a_neuron_that_answers_everything_alike_is_untuned():
    tuning = neurons(FLAT, rest=1.0)
    found = results(TUNING_DRIFTING_GRATINGS, drifting(tuning, spread=0.0))
    for name in ("gosi", "gdsi", "osi", "dsi", "lifetime_sparseness"):
        np.testing.assert_allclose(found[name], 0.0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found["peak_dff"], 0.3, rtol=1e-5)


def test_negative_responses_count_as_none_for_the_mean_vector_alone():
    found = results(TUNING_DRIFTING_GRATINGS, drifting(neurons(ONE_DIRECTION - 0.1), spread=0.0))
    np.testing.assert_allclose(found["gosi"], 1.0, atol=1e-6)
    np.testing.assert_allclose(found["lifetime_sparseness"], (1 - 0.16 / (24 * 0.16)) / (23 / 24), rtol=1e-5)
    np.testing.assert_allclose(found["osi"], (0.4 + 0.1) / (0.4 - 0.1), rtol=1e-4)


def test_selectivity_for_frequency():
    """Range over it plus twice the spread of single responses: about their common mean, less one a frequency."""
    tuning = neurons(ONE_DIRECTION, best=2, rest=0.2)
    found = results(TUNING_DRIFTING_GRATINGS, drifting(tuning, spread=0.0, repeats=4))
    single = np.repeat([0.1, 0.1, 0.5], 4)
    spread = np.sqrt(((single - single.mean()) ** 2).sum() / (len(single) - 3))
    np.testing.assert_allclose(found["tf_selectivity"], 0.4 / (0.4 + 2 * spread), rtol=1e-5)
    of_static = np.zeros((6, 3, 2, 1))
    of_static[2, :, 1, 0] = [0.1, 0.1, 0.5]
    found = results(TUNING_STATIC_GRATINGS, static(of_static, repeats=4))
    np.testing.assert_allclose(found["sf_selectivity_sg"], 0.4 / (0.4 + 2 * spread), rtol=1e-5)


def test_noise_alone_is_not_responsive():
    """p of a neuron that does not respond is uniform, so that 5 % are below 0.05."""
    found = results(TUNING_DRIFTING_GRATINGS, drifting(np.zeros((8, 3, 2000)), jitter=0.05, repeats=3, spread=0.0))
    p = found["tuning_p"]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.03 < (p < 0.05).mean() < 0.07
    assert found["responsive"].mean() < 0.07
    strong = results(TUNING_DRIFTING_GRATINGS, drifting(neurons(ONE_DIRECTION), jitter=0.05))
    assert strong["responsive"].tolist() == [1.0]
    assert strong["tuning_p"][0] < 1e-10


def test_responsive_needs_a_peak_of_three_percent():
    found = results(TUNING_DRIFTING_GRATINGS, drifting(neurons(ONE_DIRECTION / 20, ONE_DIRECTION / 10), jitter=0.001))
    assert (found["tuning_p"] < 1e-6).all()
    assert found["responsive"].tolist() == [0.0, 1.0]


def test_single_sweeps_are_told_from_their_baseline():
    weak = 0.004 * ONE_DIRECTION / 0.5
    found = results(TUNING_DRIFTING_GRATINGS, drifting(neurons(ONE_DIRECTION, weak, 0 * weak), spread=0.02, repeats=15))
    share = found["responsive_sweeps"]
    assert share[0] == 1.0
    assert share[2] < 0.2


def test_p_is_that_of_scipy():
    stretch = drifting(neurons(COSINE, ONE_DIRECTION, rest=0.4), jitter=0.2, seed=3)
    state = TUNING_DRIFTING_GRATINGS.chunk(stretch, TUNING_DRIFTING_GRATINGS.params)
    found = TUNING_DRIFTING_GRATINGS.finalize(state, TUNING_DRIFTING_GRATINGS.params)
    key = np.where(np.isnan(state.features), -1.0, state.features)
    for neuron in range(2):
        groups = [state.response[(key == value).all(axis=1), neuron] for value in np.unique(key, axis=0)]
        assert found["tuning_p"][neuron] == pytest.approx(stats.f_oneway(*groups).pvalue, rel=1e-9)


def test_reliability_is_the_mean_correlation_of_pairs():
    time = np.arange(SWEEP)[:, None]
    wobble = np.hstack([0.1 * np.sin(time / 5), np.zeros((SWEEP, 1))])
    stretch = drifting(neurons(COSINE, COSINE), spread=0.05, wobble=wobble, repeats=8)
    found = results(TUNING_DRIFTING_GRATINGS, stretch)
    rows = stretch.trials[
        (stretch.trials["direction_deg"] == found["preferred_direction_deg"][0])
        & (stretch.trials["temporal_frequency_hz"] == found["preferred_tf_hz"][0])
    ]
    courses = np.stack([stretch.traces[start : start + SWEEP, 0] for start in rows["start_frame"]]).astype(float)
    expected = np.corrcoef(courses)[np.triu_indices(len(courses), 1)].mean()
    assert found["reliability"][0] == pytest.approx(expected, rel=1e-9)
    assert found["reliability"][0] > 0.5
    assert abs(found["reliability"][1]) < 0.1


def test_running_modulation():
    def half(n, rng):
        return np.where(np.arange(n) % 2 == 0, 10.0, 0.0)

    quiet = drifting(neurons(FLAT, rest=1.0), spread=0.0, repeats=20, running=half, jitter=0.01)
    traces = quiet.traces.copy()
    for start, speed in zip(quiet.trials["start_frame"], half(len(quiet.trials), None), strict=True):
        if speed:
            traces[start : start + SWEEP] *= 2  # twice the response while it runs
    runs = Stretch(traces=traces, trials=quiet.trials, rate_hz=RATE_HZ, signals=quiet.signals)
    assert results(TUNING_DRIFTING_GRATINGS, runs)["running_modulation"][0] == pytest.approx(0.5, abs=0.05)
    assert results(TUNING_DRIFTING_GRATINGS, runs)["running_modulation_p"][0] < 1e-6
    same_either_way = results(TUNING_DRIFTING_GRATINGS, quiet)
    assert abs(same_either_way["running_modulation"][0]) < 0.1
    unknown = Stretch(traces=traces, trials=quiet.trials, rate_hz=RATE_HZ)
    found = results(TUNING_DRIFTING_GRATINGS, unknown)
    assert np.isnan(found["running_modulation"][0])
    assert np.isnan(found["running_modulation_p"][0])
    assert np.isfinite(found["gosi"][0])


def test_speed_is_that_during_the_response():
    stretch = drifting(neurons(FLAT))
    start = stretch.trials["start_frame"].to_numpy()
    speed = np.full(len(stretch.traces), 50.0)
    for row, first in enumerate(start):
        speed[first : first + SWEEP] = row
    speed[start[3] + 10] = np.nan
    seen = Stretch(traces=stretch.traces, trials=stretch.trials, rate_hz=RATE_HZ, signals={"running_speed": speed})
    state = TUNING_DRIFTING_GRATINGS.chunk(seen, TUNING_DRIFTING_GRATINGS.params)
    expected = np.arange(len(start), dtype=float)
    expected[3] = np.nan
    np.testing.assert_array_equal(state.running_cm_s, expected)


def test_sweeps_can_be_resampled():
    stretch = drifting(neurons(COSINE, ONE_DIRECTION), jitter=0.05)
    params, finalize = TUNING_DRIFTING_GRATINGS.params, TUNING_DRIFTING_GRATINGS.finalize
    state = TUNING_DRIFTING_GRATINGS.chunk(stretch, params)
    rows = np.random.default_rng(0).permutation(len(state.response))
    same(finalize(state.take(rows), params), finalize(state, params), rtol=1e-9)
    twice = finalize(state.take(np.repeat(rows, 2)), params)
    np.testing.assert_allclose(twice["gosi"], finalize(state, params)["gosi"], rtol=1e-9)
    assert (twice["reliability"] > finalize(state, params)["reliability"]).all()


def test_offset_and_scale_of_fluorescence_cancel():
    """F of 3 units at rest is dF/F of 0 over a baseline of 3: what F0 was taken does not matter."""
    stretch = drifting(neurons(COSINE, ONE_DIRECTION), spread=0.02, jitter=0.05)
    other = Stretch(traces=(1 + stretch.traces) * 3 - 1, trials=stretch.trials, rate_hz=RATE_HZ)
    same(results(TUNING_DRIFTING_GRATINGS, stretch), results(TUNING_DRIFTING_GRATINGS, other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("edges", [(), (100,), (1000, 5000), (60, 61, 2000, 2010)], ids=str)
def test_any_cutting_counts_the_sweeps_that_lie_whole_with_their_baseline(edges):
    stretch = drifting(
        neurons(COSINE, ONE_DIRECTION), spread=0.02, jitter=0.05, running=lambda n, r: r.uniform(0, 2, n)
    )
    start = stretch.trials["start_frame"].to_numpy()
    whole = np.all([(start + SWEEP <= edge) | (start - REST >= edge) for edge in edges] or [start >= 0], axis=0)
    kept = Stretch(traces=stretch.traces, trials=stretch.trials[whole], rate_hz=RATE_HZ, signals=stretch.signals)
    found = results(TUNING_DRIFTING_GRATINGS, *cut(stretch, *edges))
    assert found["n_sweeps"].tolist() == [int(whole.sum())] * 2
    same(found, results(TUNING_DRIFTING_GRATINGS, kept), rtol=1e-12)


def test_grouping_of_states_does_not_matter():
    pieces = cut(drifting(neurons(COSINE), jitter=0.05), 1500, 4000)
    params, combine = TUNING_DRIFTING_GRATINGS.params, TUNING_DRIFTING_GRATINGS.combine
    a, b, c = (TUNING_DRIFTING_GRATINGS.chunk(piece, params) for piece in pieces)
    finalize = TUNING_DRIFTING_GRATINGS.finalize
    same(finalize(combine(combine(a, b), c), params), finalize(combine(a, combine(b, c)), params), rtol=0)


def test_time_outside_the_stretch_is_not_seen():
    stretch = drifting(neurons(COSINE), jitter=0.05)
    first, second = cut(stretch, 4000)
    before = results(TUNING_DRIFTING_GRATINGS, first)
    second.traces[:] = 100.0
    same(results(TUNING_DRIFTING_GRATINGS, first), before, rtol=0)


def test_missing_frames_concern_their_neuron_and_sweep_alone():
    stretch = drifting(neurons(COSINE, COSINE, COSINE, COSINE), spread=0.02, jitter=0.05)
    start = int(stretch.trials["start_frame"].iloc[5])
    traces = stretch.traces.copy()
    traces[start + 3, 0] = np.nan  # one frame of a response
    traces[start - 30 : start, 1] = np.inf  # a whole baseline
    traces[:, 2] = np.nan
    found = results(TUNING_DRIFTING_GRATINGS, Stretch(traces=traces, trials=stretch.trials, rate_hz=RATE_HZ))
    clean = results(TUNING_DRIFTING_GRATINGS, stretch)
    n = clean["n_sweeps"][0]
    assert found["n_sweeps"].tolist() == [n, n - 1, 0, n]
    for name, values in found.items():
        assert values[3] == clean[name][3] or np.isnan(clean[name][3]), name
        if name != "n_sweeps":
            assert np.isnan(values[2]), name
    assert abs(found["gosi"][0] - clean["gosi"][0]) < 0.01


def test_a_baseline_without_light_is_missing():
    stretch = drifting(neurons(COSINE), spread=0.0)
    start = int(stretch.trials["start_frame"].iloc[5])
    traces = stretch.traces.copy()
    traces[start - 30 : start] = -1.2
    found = results(TUNING_DRIFTING_GRATINGS, Stretch(traces=traces, trials=stretch.trials, rate_hz=RATE_HZ))
    assert found["n_sweeps"][0] == len(stretch.trials) - 1
    assert found["peak_dff"][0] == pytest.approx(0.4, rel=1e-5)


def test_a_direction_that_was_not_seen_leaves_no_selectivity():
    stretch = drifting(neurons(COSINE), spread=0.02)
    trials = stretch.trials[
        ~((stretch.trials["direction_deg"] == 0.0) & (stretch.trials["temporal_frequency_hz"] == 2))
    ]
    found = results(TUNING_DRIFTING_GRATINGS, Stretch(traces=stretch.traces, trials=trials, rate_hz=RATE_HZ))
    assert found["preferred_direction_deg"].tolist() == [225.0]
    assert np.isnan([found["gosi"][0], found["gdsi"][0]]).all()
    assert np.isfinite(found["dsi"][0])  # its opposite, 45 degrees, was seen


@pytest.mark.parametrize("statistic", [TUNING_DRIFTING_GRATINGS, TUNING_STATIC_GRATINGS], ids=lambda s: s.name)
@pytest.mark.parametrize("n_sweeps", [0, 1, 2], ids="{}-sweeps".format)
def test_too_few_trials_give_nan_not_errors(statistic, n_sweeps):
    features = dict.fromkeys(statistic.params["features"], 2.0)
    response = np.full((n_sweeps, 3), 0.2)
    if n_sweeps:
        stretch = make(statistic.stimulus, [features] * n_sweeps, response, sweep=60, rest=30, spread=0.01)
    else:
        traces = np.zeros((50, 3), np.float32)
        stretch = Stretch(traces=traces, trials=drifting(neurons(FLAT)).trials[:0], rate_hz=RATE_HZ)
    found = results(statistic, stretch)
    suffix = "_sg" if statistic is TUNING_STATIC_GRATINGS else ""
    assert found[f"n_sweeps{suffix}"].tolist() == [n_sweeps] * 3
    for name in ("gosi", "osi", "tuning_p", "responsive", "running_modulation", "lifetime_sparseness"):
        if name == "gosi" and n_sweeps:
            continue  # of the one angle shown: 1, by definition
        assert np.isnan(found[name + suffix]).all(), name
    if n_sweeps < 2:
        assert np.isnan(found[f"reliability{suffix}"]).all()


def test_blanks_alone_are_no_tuning():
    found = results(TUNING_DRIFTING_GRATINGS, make("drifting_gratings", [{}] * 5, np.zeros((5, 2)), sweep=60, rest=30))
    assert all(np.isnan(values).all() for name, values in found.items() if name != "n_sweeps")
    assert found["n_sweeps"].tolist() == [5, 5]


def static(tuning, repeats=3, seed=0, sweep=60, rest=60, **options):
    """Static gratings, `tuning` of shape (orientation, frequency, phase, neuron), well apart from each other."""
    rng = np.random.default_rng(seed)
    conditions = list(np.ndindex(tuning.shape[:3])) * repeats
    shown, response = [{}] * 3, [np.zeros(tuning.shape[3])] * 3
    for at in rng.permutation(len(conditions)):
        o, f, p = conditions[at]
        shown.append({"orientation_deg": ORIENTATIONS_DEG[o], "spatial_frequency_cpd": 0.02 * 2**f, "phase": p / 4})
        response.append(tuning[o, f, p])
    return make("static_gratings", shown, np.array(response), sweep=sweep, rest=rest, **options)


def test_known_neurons_of_static_gratings():
    tuning = np.zeros((6, 3, 2, 2))
    tuning[:, 1, 1, 0] = [0.1, 0.2, 0.4, 0.2, 0.15, 0.1]
    tuning[:, 2, 0, 1] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.3]
    found = results(TUNING_STATIC_GRATINGS, static(tuning))
    assert found["preferred_orientation_deg_sg"].tolist() == [60.0, 150.0]
    assert found["preferred_sf_cpd_sg"].tolist() == [0.04, 0.08]
    assert found["preferred_phase_sg"].tolist() == [0.25, 0.0]
    np.testing.assert_allclose(found["osi_sg"], [0.6, 1.0], rtol=1e-5)
    weights = tuning[:, 1, 1, 0] @ np.exp(2j * np.deg2rad(ORIENTATIONS_DEG))
    np.testing.assert_allclose(found["gosi_sg"], [abs(weights) / 1.15, 1.0], rtol=1e-5)
    assert found["time_to_peak_s_sg"].tolist() == [0.0, 0.0]  # the first of equal frames
    ramp = np.linspace(-0.01, 0.01, 60)[:, None].repeat(2, axis=1)
    ramped = results(TUNING_STATIC_GRATINGS, static(tuning, wobble=ramp))
    np.testing.assert_allclose(ramped["time_to_peak_s_sg"], 34 / RATE_HZ)  # the last that is looked at


def test_static_gratings_in_any_cutting():
    tuning = np.zeros((6, 3, 2, 2))
    tuning[2, 1, 1], tuning[:, 2, 0] = 0.4, 0.1
    stretch = static(tuning, spread=0.05, repeats=4)
    start = stretch.trials["start_frame"].to_numpy()
    edges = [int(start[40]) - 30, int(start[90]) - 28]
    same(
        results(TUNING_STATIC_GRATINGS, *cut(stretch, *edges)),
        results(TUNING_STATIC_GRATINGS, stretch),
        rtol=1e-12,
    )
