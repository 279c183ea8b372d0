"""L-moments, quantiles, noise and events against independent formulas, in any cutting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from poyodata.statistics.robust import MAD_TO_STD, QUANTILES, ROBUST, count_events, l_moments, noise_std
from poyodata.statistics.statistic import Stretch

RATE_HZ = 30.0


def results(*pieces: np.ndarray) -> dict[str, np.ndarray]:
    states = [
        ROBUST.chunk(Stretch(traces=piece.astype(np.float32), trials=pd.DataFrame(), rate_hz=RATE_HZ), ROBUST.params)
        for piece in pieces
    ]
    state = states[0]
    for further in states[1:]:
        state = ROBUST.combine(state, further)
    return dict(ROBUST.finalize(state, ROBUST.params))


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda rng: rng.normal(size=501), id="gaussian"),
        pytest.param(lambda rng: rng.exponential(size=500), id="skewed"),
        pytest.param(lambda rng: rng.standard_t(2, size=37) + 500, id="heavy-tails-far-from-zero"),
        pytest.param(lambda rng: rng.integers(0, 3, size=40).astype(float), id="ties"),
        pytest.param(lambda rng: rng.normal(size=4), id="four-values"),
    ],
)
def test_l_moments_are_those_of_scipy(draw):
    values = np.sort(draw(np.random.default_rng(0)))
    l2, skewness, kurtosis = l_moments(values)
    expected = stats.lmoment(values, order=[2, 3, 4], standardize=False)
    np.testing.assert_allclose(l2, expected[0], rtol=1e-9)
    np.testing.assert_allclose([skewness, kurtosis], expected[1:] / expected[0], atol=1e-9)


@pytest.mark.parametrize(
    ("draw", "skewness", "kurtosis"),
    [
        pytest.param(lambda rng, n: rng.uniform(size=n), 0.0, 0.0, id="uniform"),
        pytest.param(lambda rng, n: rng.normal(size=n), 0.0, 30 / np.pi * np.arctan(np.sqrt(2)) - 9, id="gaussian"),
        pytest.param(lambda rng, n: rng.exponential(size=n), 1 / 3, 1 / 6, id="exponential"),
        pytest.param(lambda rng, n: rng.gumbel(size=n), 0.1699, 0.1504, id="gumbel"),
    ],
)
def test_l_moment_ratios_of_known_distributions(draw, skewness, kurtosis):
    trace = draw(np.random.default_rng(1), 200_000)[:, None]
    found = results(trace)
    np.testing.assert_allclose(found["l_skewness"], skewness, atol=0.01)
    np.testing.assert_allclose(found["l_kurtosis"], kurtosis, atol=0.01)


def test_quantiles_are_those_of_numpy():
    traces = np.random.default_rng(2).exponential(size=(997, 3)).astype(np.float32)
    found = results(traces)
    for q in QUANTILES:
        expected = np.quantile(traces.astype(np.float64), q, axis=0)
        np.testing.assert_allclose(found[f"dff_q{round(100 * q):02d}"], expected, rtol=1e-6)


@pytest.mark.parametrize("events", [0, 60], ids=["noise-alone", "with-transients"])
def test_noise_is_found_under_transients(events):
    rng = np.random.default_rng(3)
    trace = rng.normal(0, 0.05, 60_000)
    for start in rng.integers(0, 59_000, events):
        trace[start : start + 300] += 2 * np.exp(-np.arange(300) / 30)
    assert noise_std([trace.astype(np.float32)]) == pytest.approx(0.05, rel=0.06)


def test_differences_do_not_span_pieces():
    flat = [np.full(10, level, np.float32) for level in (0, 100, -100)]
    assert noise_std(flat) == 0.0
    steps = [np.array([0, 1], np.float32), np.array([100, 101], np.float32)]
    assert noise_std(steps) == pytest.approx(MAD_TO_STD / np.sqrt(2))


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_events_are_stays_above_the_threshold(above, frames):
    runs = [len(run) for run in "".join("x" if up else " " for up in above).split()]
    found = count_events(np.array(above, np.float32), 0.5, frames)
    assert found == sum(run >= frames for run in runs)


def test_event_rate_counts_planted_transients():
    rng = np.random.default_rng(4)
    trace = rng.normal(0, 0.02, 30_000)
    for start in range(500, 29_500, 1000):
        trace[start : start + 20] += 1.0
    rate = results(trace[:, None])["event_rate_hz"][0]
    assert rate == pytest.approx(29 / (30_000 / RATE_HZ), rel=0.05)


def test_cutting_changes_only_what_spans_the_cut():
    traces = np.random.default_rng(5).exponential(size=(4000, 20)).astype(np.float32)
    whole, cut = results(traces), results(traces[:1234], traces[1234:])
    for name in ROBUST.columns:
        if name in ("noise_std", "robust_snr", "event_rate_hz"):
            np.testing.assert_allclose(cut[name], whole[name], rtol=0.02)
        else:
            np.testing.assert_array_equal(cut[name], whole[name])


def test_missing_frames_are_left_out():
    traces = np.random.default_rng(6).normal(size=(3000, 3)).astype(np.float32)
    kept = traces[:, :1].copy()
    traces[100:200, 0], traces[:, 1], traces[:, 2] = np.nan, np.inf, 4.0
    found = results(traces)
    without = results(np.delete(kept, slice(100, 200), axis=0))
    for name in ("l_skewness", "l_kurtosis", "dff_q95"):
        assert found[name][0] == without[name][0]
    assert all(np.isnan(values[1]) for values in found.values())
    assert found["noise_std"][2] == 0.0
    assert found["event_rate_hz"][2] == 0.0
    assert np.isnan([found[name][2] for name in ("l_skewness", "l_kurtosis", "robust_snr")]).all()
