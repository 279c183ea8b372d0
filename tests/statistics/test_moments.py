import os
import subprocess
import sys
from functools import reduce
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from poyodata.errors import StatisticError
from poyodata.statistics import MomentState, moments

SHAPES = ("mean", "std", "skewness", "kurtosis", "kurtosis_pearson")


def exact(trace):
    """The five moments of a trace by mpmath, 50 digits."""
    with mpmath.workdps(50):
        values = [mpmath.mpf(float(v)) for v in trace]
        mean = mpmath.fsum(values) / len(values)
        m2, m3, m4 = (mpmath.fsum((v - mean) ** p for v in values) / len(values) for p in (2, 3, 4))
        pearson = m4 / m2**2
        return [mean, mpmath.sqrt(m2), m3 / m2 ** mpmath.mpf("1.5"), pearson - 3, pearson]


def relative_errors(trace):
    ours = MomentState.of(np.asarray(trace, np.float32)[:, None]).finalize()
    with mpmath.workdps(50):
        pairs = zip((ours[name][0] for name in SHAPES), exact(np.asarray(trace, np.float32)), strict=True)
        return [float(abs((mpmath.mpf(float(a)) - b) / b)) for a, b in pairs]


def spiked(n):
    trace = np.random.default_rng(0).gamma(0.5, 0.01, n)
    trace[n // 2] = 1e4
    return trace


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param(np.random.default_rng(1).gamma(1.0, size=4000), id="skewed"),
        pytest.param(500 + np.random.default_rng(1).gamma(1.0, 0.1, 4000), id="offset-500"),
        pytest.param(spiked(4000), id="one-spike"),
        pytest.param(np.r_[np.zeros(90), np.full(3000, 1e3)] + np.random.default_rng(2).gamma(1, size=3090), id="step"),
        pytest.param(np.r_[np.full(700, -1e3), np.random.default_rng(2).gamma(1, size=1700)], id="step-after-blocks"),
        pytest.param(1e-6 * np.random.default_rng(3).gamma(1.0, size=1000), id="tiny"),
        pytest.param([1.0, 2.0, 4.0], id="three-frames"),
        pytest.param(np.random.default_rng(4).gamma(0.2, size=257), id="one-past-a-block"),
    ],
)
def test_as_exact_as_float64_allows(trace):
    assert max(relative_errors(trace)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 500.0])
def test_a_million_frames(offset):
    trace = offset + np.random.default_rng(5).gamma(0.3, 0.2, 1_000_000)
    assert max(relative_errors(trace)) < 1e-12


def test_two_frames_have_no_skewness_but_zero():
    values = MomentState.of(np.array([[1.0], [2.0]], np.float32)).finalize()
    assert [float(values[name][0]) for name in SHAPES] == [1.5, 0.5, 0.0, -2.0, 1.0]


@pytest.mark.parametrize("level", [0.0, 0.1, 500.1, -3e7], ids=str)
def test_constant_traces_have_a_spread_of_zero_and_no_shape(level):
    values = MomentState.of(np.full((1000, 1), level, np.float32)).finalize()
    assert values["mean"][0] == np.float32(level)
    assert values["std"][0] == 0.0
    assert np.isnan([values["skewness"][0], values["kurtosis"][0], values["kurtosis_pearson"][0]]).all()
    assert values["n_frames"][0] == 1000


def test_missing_frames_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    traces = rng.gamma(1.0, size=(1500, 4)).astype(np.float32)
    traces[rng.random(1500) < 0.3, 0] = np.nan
    traces[:600, 1] = np.inf  # whole blocks without a frame
    traces[:, 2] = np.nan
    values = MomentState.of(traces).finalize()
    for neuron in (0, 1, 3):
        seen = traces[np.isfinite(traces[:, neuron]), neuron].astype(np.float64)
        assert values["n_frames"][neuron] == len(seen)
        assert values["missing_fraction"][neuron] == pytest.approx(1 - len(seen) / 1500, abs=1e-15)
        assert values["mean"][neuron] == pytest.approx(seen.mean(), rel=1e-13)
        assert values["skewness"][neuron] == pytest.approx(scipy.stats.skew(seen), rel=1e-12)
        assert values["kurtosis"][neuron] == pytest.approx(scipy.stats.kurtosis(seen), rel=1e-12)
    assert values["missing_fraction"][2] == 1.0
    assert np.isnan([values[name][2] for name in SHAPES]).all()


def test_no_frames_at_all():
    values = MomentState.of(np.empty((0, 2), np.float32)).finalize()
    assert values["n_frames"].tolist() == [0, 0]
    assert np.isnan([values[name] for name in (*SHAPES, "missing_fraction")]).all()


@settings(max_examples=60, deadline=None)
@given(
    traces=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 600), st.integers(1, 3)),
        elements=st.one_of(st.floats(-100, 100, width=32), st.just(np.float32(np.nan))),
        fill=st.floats(-5, 5, width=32),
    ),
    cuts=st.lists(st.integers(0, 600), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_any_chunks_in_any_order_agree(traces, cuts, order):
    edges = [0, *sorted(min(cut, len(traces)) for cut in cuts), len(traces)]
    parts = [MomentState.of(traces[a:b]) for a, b in pairwise(edges)]
    order.shuffle(parts)
    merged, whole = reduce(MomentState.merge, parts), MomentState.of(traces)
    assert (merged.n == whole.n).all()
    assert (merged.n_missing == whole.n_missing).all()
    # Sums of powers are compared on the scale of their own terms: skewness near zero has no digits of its own.
    scale = np.sqrt(whole.m2 / np.maximum(whole.n, 1)) + 1e-7 * (1 + np.abs(np.nan_to_num(traces)).max())
    for name, power in (("mean", 1), ("m2", 2), ("m3", 3), ("m4", 4)):
        terms = np.maximum(whole.n, 1) * scale**power
        # One far frame among n equal ones dominates the sum of fourth powers by a factor of n.
        terms = terms * np.maximum(whole.n, 1) ** max(power / 2 - 1, 0)
        assert np.abs(getattr(merged, name) - getattr(whole, name)).max() <= 1e-11 * terms.max(), name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 900), shape=st.floats(0.05, 5), offset=st.floats(-500, 500))
def test_equals_scipy(seed, n, shape, offset):
    traces = (offset + np.random.default_rng(seed).gamma(shape, size=(n, 3))).astype(np.float32)
    values = MomentState.of(traces).finalize()
    double = traces.astype(np.float64)
    assert values["mean"] == pytest.approx(double.mean(axis=0), rel=1e-12)
    assert values["std"] == pytest.approx(double.std(axis=0), rel=1e-9)
    ordinary = double.std(axis=0) > 1e-4 * (1 + abs(offset))
    double = double[:, ordinary]  # scipy itself warns of the others
    assert values["skewness"][ordinary] == pytest.approx(scipy.stats.skew(double), rel=1e-8, abs=1e-8)
    assert values["kurtosis"][ordinary] == pytest.approx(scipy.stats.kurtosis(double), rel=1e-8, abs=1e-8)


def test_mapped_strided_and_double_traces_give_the_same_bits(tmp_path):
    traces = np.random.default_rng(0).normal(size=(700, 6)).astype(np.float32)
    np.save(tmp_path / "traces.npy", traces)
    mapped = np.load(tmp_path / "traces.npy", mmap_mode="r")
    expected = MomentState.of(traces)
    for same in (mapped, np.asfortranarray(traces), np.repeat(traces, 2, axis=1)[:, ::2], traces.astype(np.float64)):
        assert (MomentState.of(same).m4 == expected.m4).all()


@pytest.mark.parametrize("bad", [np.zeros(3, np.float32), np.zeros((2, 2, 2), np.float32)], ids=["1d", "3d"])
def test_the_shape_is_checked(bad):
    with pytest.raises(StatisticError, match="shape"):
        MomentState.of(bad)


def test_states_of_different_populations_do_not_merge():
    with pytest.raises(StatisticError, match="2 and of 3 neurons"):
        MomentState.of(np.zeros((4, 2), np.float32)).merge(MomentState.of(np.zeros((4, 3), np.float32)))


@pytest.mark.slow
def test_compiled_code_is_kept_between_processes(tmp_path):
    code = (
        "import numpy as np; from poyodata.statistics import moments as m; m.MomentState.of(np.zeros((9, 2), 'f4'));"
        "import sys; stats = m._accumulate.stats; sys.stdout.write(f'{sum(stats.cache_hits.values())}')"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(moments.__file__).parents[2])}
    hits = [
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert hits == ["0", "1"]


def test_real_recording_has_the_known_classes(real_recording):
    import h5py

    with h5py.File(real_recording / "dff_dg_continuous.h5") as file:
        traces = np.ascontiguousarray(file["dff"][:].T.astype(np.float32))
    values = MomentState.of(traces).finalize()
    low = (values["skewness"] <= 3.51, values["kurtosis"] <= 22.62)
    predictable, both_high = low[0] & low[1], ~low[0] & ~low[1]
    assert (int(predictable.sum()), int(both_high.sum()), int((~predictable & ~both_high).sum())) == (111, 105, 38)
    assert values["n_frames"].tolist() == [56_848] * 254
