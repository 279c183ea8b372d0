"""Autocorrelation, predictability and spectra against processes with known answers, in any cutting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from poyodata.statistics.dynamics import DYNAMICS, LONGEST_LAG_S, ORDER, PIECE_S, lag_products
from poyodata.statistics.statistic import Stretch

RATE_HZ = 30.0
PIECE = round(PIECE_S * RATE_HZ)


def process(coefficients, n_frames, seed=0):
    noise = np.random.default_rng(seed).standard_normal(n_frames + 500)
    return lfilter([1.0], [1.0, *(-c for c in coefficients)], noise)[500:].astype(np.float32)[:, None]


def results(*pieces):
    states = [
        DYNAMICS.chunk(Stretch(traces=piece, trials=pd.DataFrame(), rate_hz=RATE_HZ), DYNAMICS.params)
        for piece in pieces
    ]
    state = states[0]
    for further in states[1:]:
        state = DYNAMICS.combine(state, further)
    return dict(DYNAMICS.finalize(state, DYNAMICS.params))


def test_products_are_those_of_the_loop():
    traces = np.random.default_rng(0).standard_normal((1700, 3)).astype(np.float32)
    found = lag_products(traces, RATE_HZ)
    centred = traces - traces.mean(axis=0)
    for lag in (0, 1, 7, round(LONGEST_LAG_S * RATE_HZ)):
        expected = (centred[lag:] * centred[: len(centred) - lag]).sum(axis=0)
        np.testing.assert_allclose(found.total[0, :, lag], expected, atol=2e-3)
        assert (found.pairs[0, :, lag] == len(traces) - lag).all()
    assert not found.total[1].any()


@pytest.mark.parametrize("phi", [0.8, 0.95, 0.98])
def test_first_order_process(phi):
    found = results(process([phi], 60 * PIECE))
    assert found["ar1"][0] == pytest.approx(phi, abs=0.01)
    assert found["autocorrelation_time_s"][0] == pytest.approx(-1 / np.log(phi) / RATE_HZ, rel=0.1)
    assert found["ar_r2"][0] == pytest.approx(phi**2, abs=0.02)


def test_second_order_process_is_predicted_by_its_own_coefficients():
    first, second = 1.3, -0.6
    variance = (1 - second) / ((1 + second) * ((1 - second) ** 2 - first**2))
    found = results(process([first, second], 60 * PIECE))
    assert found["ar_r2"][0] == pytest.approx(1 - 1 / variance, abs=0.01)


def test_white_noise_is_not_predictable():
    found = results(process([], 8 * PIECE))
    assert -0.01 < found["ar_r2"][0] < 0.001  # fitted on what it is judged by, it would come out positive
    assert found["spectral_entropy"][0] == pytest.approx(1.0, abs=0.005)
    assert found["autocorrelation_time_s"][0] < 1 / RATE_HZ


def test_entropy_falls_as_a_trace_gets_slower():
    entropy = [results(process([phi], 20 * PIECE))["spectral_entropy"][0] for phi in (0.0, 0.8, 0.97)]
    assert entropy[0] > entropy[1] > entropy[2] > 0


def test_stretches_add_up_in_any_grouping():
    traces = np.random.default_rng(1).standard_normal((5 * PIECE, 40)).astype(np.float32)
    a, b, c = (
        lag_products(piece, RATE_HZ) for piece in (traces[:PIECE], traces[PIECE : 3 * PIECE], traces[3 * PIECE :])
    )
    whole = lag_products(traces, RATE_HZ)
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c))):
        np.testing.assert_allclose(merged.total, whole.total, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(merged.pairs, whole.pairs)
        assert merged.n_pieces == whole.n_pieces == 5


def test_a_level_between_stretches_is_no_dynamics():
    quiet = process([], 2 * PIECE)
    found = results(quiet, quiet[::-1] + np.float32(100))
    assert abs(found["ar1"][0]) < 0.05


def test_short_stretches_missing_frames_and_constants():
    traces = np.random.default_rng(2).standard_normal((4 * PIECE, 4)).astype(np.float32)
    missing = traces.copy()
    missing[10, 0], missing[:, 1], missing[:, 2] = np.nan, np.nan, 0.1
    found = results(missing)
    without = results(traces[PIECE:])
    np.testing.assert_allclose(found["ar1"][0], without["ar1"][0], rtol=1e-5)
    for name, values in found.items():
        assert np.isnan(values[1:3]).all(), name
        assert np.isfinite(values[[0, 3]]).all(), name
    assert all(np.isnan(values).all() for values in results(traces[:400]).values())
    assert np.isnan(results(traces[:PIECE])["ar_r2"]).all()  # nothing to hold out
    assert DYNAMICS.params["order"] == ORDER
