"""The bootstrap of blocks of time: blocks, precision and coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from poyodata.sources.arrays import read_arrays
from poyodata.statistics import MOMENTS, Resampling, compute_statistics
from poyodata.statistics.moments_interval import (
    attainable,
    bin_moments,
    block_numbers,
    correlation_bins,
    moments_interval,
)
from poyodata.store import open_store
from poyodata.store.writer import StoreWriter
from tests.benchmarks.coverage import (
    WORLDS,
    autoregression,
    bursts,
    coverage_over_time,
    gamma_autoregression,
    intervals_over_time,
    stretch_of,
    widths,
)


def test_bins_never_span_a_gap():
    traces = np.arange(200, dtype=np.float32)[:, None]
    states, number = bin_moments([stretch_of(traces[:50]), stretch_of(traces[50:50]), stretch_of(traces[50:])])
    assert number == [0, 0, 2, 2, 2, 2, 2]
    assert sum(state.n[0] for state in states) == 200
    assert states[1].mean[0] == 37  # frames 25 to 49


def test_blocks_end_with_a_stretch_unless_they_would_be_less_than_half():
    stretch = np.repeat([0, 1, 2], [5, 1, 4])
    blocks = block_numbers(np.full(10, 30), stretch, 120.0)
    assert blocks.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    dealt_out = block_numbers(np.full(40, 30), np.arange(40), 300.0)
    assert np.bincount(dealt_out).tolist() == [5] * 8  # each stretch ends a block that is half full


@pytest.mark.parametrize(("time_s", "least", "most"), [(0.5, 1.0, 2.2), (3.0, 4.5, 7.5), (6.0, 9.0, 15.0)])
def test_autocorrelation_time(time_s, least, most):
    traces = autoregression(120_000, 20, np.random.default_rng(0), time_s)
    states, number = bin_moments([stretch_of(traces[:60_000]), stretch_of(traces[60_000:])])
    times = correlation_bins(np.stack([state.mean for state in states]), np.array(number))
    assert least < np.median(times) < most  # 2 x time constant


def test_a_constant_offset_costs_no_digits():
    rng = np.random.default_rng(0)
    # Multiples of 2^-14: exact in float32 also at +500.
    traces = np.round(gamma_autoregression(12_000, 4, rng) * 2**14).astype(np.float32) / np.float32(2**14)
    plain = moments_interval([stretch_of(traces)], {}, Resampling())
    raised = moments_interval([stretch_of(traces + np.float32(500))], {}, Resampling())
    assert ((traces + np.float32(500)) - np.float32(500) == traces).all()
    for name, bounds in plain.items():
        shift = 500 if name == "mean" else 0
        np.testing.assert_allclose(np.asarray(raised[name]) - shift, bounds, rtol=1e-8, atol=1e-12, err_msg=name)


def test_of_independent_frames_the_interval_of_the_mean_is_students():
    traces = np.random.default_rng(0).standard_normal((36_000, 12)).astype(np.float32)
    low, high = moments_interval([stretch_of(traces)], {}, Resampling(draws=2000))["mean"]
    half = scipy.stats.sem(traces.astype(np.float64)) * scipy.stats.t.ppf(0.975, 60)
    assert np.median((high - low) / 2 / half) == pytest.approx(1.0, abs=0.07)


def test_missing_frames():
    traces = autoregression(18_000, 3, np.random.default_rng(0))
    whole = moments_interval([stretch_of(traces)], {}, Resampling())
    traces = traces.copy()
    traces[3000:3900, 0] = np.nan  # one gap of 30 s
    traces[:, 1] = np.nan
    found = moments_interval([stretch_of(traces)], {}, Resampling())
    low, high = found["missing_fraction"]
    assert low[0] == 0
    assert 0.05 < high[0] < 0.3
    assert (low[1], high[1], low[2], high[2]) == (1, 1, 0, 0)
    assert np.isnan([found[name][0][1] for name in ("mean", "std", "skewness", "kurtosis")]).all()
    np.testing.assert_array_equal(found["kurtosis"][0][2], whole["kurtosis"][0][2])


@pytest.mark.parametrize(
    "traces",
    [
        pytest.param(np.full((9000, 2), 3.0, np.float32), id="constant"),
        pytest.param(np.zeros((0, 2), np.float32), id="no-frames"),
        pytest.param(np.zeros((150, 2), np.float32), id="five-seconds"),
        pytest.param(np.eye(9000, 2, dtype=np.float32), id="one-spike"),
    ],
)
def test_hard_traces_give_nan_or_numbers_and_no_warning(traces):
    found = moments_interval([stretch_of(traces)], {}, Resampling(draws=200))
    assert set(found) == {name for name, column in MOMENTS.columns.items() if column.dtype == "float64"}
    for low, high in found.values():
        assert low.shape == high.shape == (2,)
        known = np.isfinite(low) & np.isfinite(high)
        assert (low[known] <= high[known]).all()


def test_seeds_and_levels():
    stretches = [stretch_of(gamma_autoregression(18_000, 2, np.random.default_rng(0)))]
    first, again, other = (moments_interval(stretches, {}, Resampling(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["skewness"], again["skewness"])
    assert (first["skewness"][0] != other["skewness"][0]).all()
    np.testing.assert_allclose(first["std"], other["std"], rtol=0.05)


def test_kurtosis_is_pearsons_less_three_and_positive_quantities_are_positive():
    found = moments_interval([stretch_of(gamma_autoregression(9000, 20, np.random.default_rng(0)))], {}, Resampling())
    np.testing.assert_allclose(np.asarray(found["kurtosis"]), np.asarray(found["kurtosis_pearson"]) - 3, rtol=1e-12)
    assert (found["std"][0] > 0).all()
    assert (found["kurtosis_pearson"][0] > 0).all()


NEAR = 1 + 1e-9
"""Room for rounding."""


@pytest.mark.parametrize(
    "traces",
    [
        pytest.param(bursts(18_000, 40, np.random.default_rng(3)), id="bursts"),
        pytest.param(bursts(9000, 40, np.random.default_rng(4), rate_hz=0.005), id="rare-bursts"),
        pytest.param(-bursts(18_000, 20, np.random.default_rng(5)), id="upside-down"),
        pytest.param(np.eye(9000, 2, dtype=np.float32), id="one-spike"),
        pytest.param(autoregression(18_000, 10, np.random.default_rng(6)), id="gaussian"),
        pytest.param(np.tile(np.float32([-1.0, 1.0]), 4500)[:, None], id="square-wave"),
    ],
)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_bounds_hold_the_value_and_moments_can_lie_there(traces, level):
    n = len(traces)
    stretch = stretch_of(traces)
    value = MOMENTS.finalize(MOMENTS.chunk(stretch, {}), {})
    found = moments_interval([stretch], {}, Resampling(level=level, draws=200))
    for name in ("skewness", "kurtosis_pearson", "std"):
        low, high = found[name]
        wrong = (low > value[name] + 1e-6 * abs(value[name])) | (high < value[name] - 1e-6 * abs(value[name]))
        assert not wrong.any(), name
    low, high = found["skewness"]
    least, most = found["kurtosis_pearson"]
    extreme = (n - 2) / np.sqrt(n - 1)
    assert not (np.maximum(-low, high) > extreme * NEAR).any()
    assert not (least < 1 / NEAR).any()
    assert not (most > (1 + extreme**2) * NEAR).any()
    assert not (np.maximum(low**2, high**2) + 1 > most * NEAR).any()
    assert not (np.clip(0, low, high) ** 2 + 1 > least * NEAR).any()


@pytest.mark.parametrize(
    ("skewness", "pearson", "expected"),
    [
        pytest.param((-1.0, 1.0), (2.5, 3.5), ((-1.0, 1.0), (2.5, 3.5)), id="nothing-to-cut"),
        pytest.param((2.0, 80.0), (3.0, 26.0), ((2.0, 5.0), (5.0, 26.0)), id="each-bounds-the-other"),
        pytest.param((-80.0, -2.0), (3.0, 26.0), ((-5.0, -2.0), (5.0, 26.0)), id="upside-down"),
        pytest.param((-99.0, 99.0), (0.1, 1e9), ((-9.8493, 9.8493), (1.0, 98.0101)), id="a-hundred-frames"),
        pytest.param((1.0, 2.0), (np.nan, np.nan), ((1.0, 2.0), (np.nan, np.nan)), id="kurtosis-not-known"),
        pytest.param((np.nan, np.nan), (2.5, 3.5), ((np.nan, np.nan), (2.5, 3.5)), id="skewness-not-known"),
    ],
)
def test_attainable(skewness, pearson, expected):
    np.testing.assert_allclose(attainable(np.array(skewness), np.array(pearson), 100), expected, rtol=1e-4)


@pytest.mark.slow
def test_intervals_of_bursts_do_not_run_away():
    bounds, truth = intervals_over_time(MOMENTS, bursts, 600.0, 120, seed=3)
    assert 10 < truth["skewness"] < 12
    assert widths(bounds)["skewness"] < 16
    assert widths(bounds, 0.95)["skewness"] < 40  # unbounded t: above 100
    assert widths(bounds, 0.95)["kurtosis"] < 4500  # unbounded t: what 18,000 frames can show at most


@pytest.mark.slow
def test_intervals_of_the_real_recording_do_not_run_away(real_recording, tmp_path):
    with StoreWriter(tmp_path / "real.zarr") as writer:
        writer.add(read_arrays(real_recording / "dff_dg_continuous.h5"))
    table = compute_statistics(open_store(tmp_path / "real.zarr"), "moments", "blocks-5fold", intervals=0.95)
    assert len(table) == 254
    assert table["skewness_high"].max() < 70  # the largest skewness is 13
    assert table["skewness_high"].quantile(0.95) < 40
    assert table["kurtosis_high"].max() < 5000
    assert ((table["skewness_low"] <= table["skewness"]) & (table["skewness"] <= table["skewness_high"])).all()
    room = NEAR * table["kurtosis_pearson_high"]
    assert (table["skewness_high"] ** 2 + 1 <= room).all()


# What an honest bound is differs: fourth powers of rare bursts are not known from ten minutes.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "least"),
    [
        pytest.param("Gaussian AR(1)", (0.91, 0.90, 0.90, 0.89), id="gaussian"),
        pytest.param("gamma AR(1)", (0.91, 0.89, 0.84, 0.79), id="gamma"),
        pytest.param("bursts at 0.2 Hz", (0.87, 0.82, 0.62, 0.57), id="bursts"),
    ],
)
def test_coverage_of_ten_minutes(world, least):
    shares = coverage_over_time(MOMENTS, WORLDS[world], 600.0, 240, seed=5)
    for name, bound in zip(("mean", "std", "skewness", "kurtosis"), least, strict=True):
        assert shares[name] >= bound, (name, shares[name])
    assert shares["kurtosis"] == shares["kurtosis_pearson"]
    assert max(shares["mean"], shares["std"]) <= 0.99


@pytest.mark.slow
def test_the_bootstrap_covers_more_than_the_jackknife_where_tails_are_heavy():
    world = WORLDS["bursts at 0.03 Hz"]
    own = coverage_over_time(MOMENTS, world, 600.0, 160, seed=2)
    jackknife = coverage_over_time(MOMENTS, world, 600.0, 160, seed=2, jackknife=True)
    for name in ("std", "skewness", "kurtosis"):
        assert own[name] > jackknife[name] + 0.03
