"""The law of unit dropout is the intended one, and what is kept depends on the sample alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from poyodata.errors import LoaderError
from poyodata.loaders.transforms import UnitDropout
from poyodata.loaders.transforms.transform import uniforms

PUBLISHED = UnitDropout(min_units=10, mode_units=50, max_units=300, tail_units=100, peak=50)
LAWS = [
    pytest.param(PUBLISHED, id="published"),
    pytest.param(UnitDropout(min_units=30, mode_units=60, tail_units=90, max_units=200, peak=4), id="low peak"),
    pytest.param(UnitDropout(min_units=5, mode_units=5, tail_units=20, max_units=20, peak=10), id="no rising flank"),
    pytest.param(UnitDropout(min_units=5, mode_units=20, tail_units=20, max_units=40, peak=10), id="no falling flank"),
    pytest.param(UnitDropout(law="uniform", min_units=4, max_units=9), id="uniform"),
    pytest.param(UnitDropout(min_units=7, mode_units=7, tail_units=7, max_units=7), id="one number"),
]


def density(dropout: UnitDropout, n: int) -> float:
    """The law in words: 1 at min, up to peak at mode, down to 1 at tail, 1 to max."""
    if dropout.law == "uniform" or n > dropout.tail_units:
        return 1.0
    if n < dropout.mode_units:
        share = (n - dropout.min_units) / (dropout.mode_units - dropout.min_units)
    elif n == dropout.mode_units:
        return dropout.peak
    else:
        share = (dropout.tail_units - n) / (dropout.tail_units - dropout.mode_units)
    return 1 + share * (dropout.peak - 1)


@pytest.mark.parametrize("dropout", LAWS)
def test_probabilities_are_the_law(dropout: UnitDropout) -> None:
    law = np.array([density(dropout, int(n)) for n in dropout.counts])
    np.testing.assert_allclose(dropout.probabilities, law / law.sum(), rtol=1e-12)


def test_the_published_numbers_have_the_intended_mean_and_median() -> None:
    # The continuous density: areas of two trapezia and a strip, and their first moments.
    x = np.linspace(10, 300, 290_001)
    y = np.interp(x, [10, 50, 100, 300], [1, 50, 1, 1])
    area = trapezoid(y, x)
    mean = trapezoid(x * y, x) / area
    assert area == pytest.approx(1020 + 1275 + 200)
    assert mean == pytest.approx(65.2, abs=0.1)
    assert float(PUBLISHED.mean) == pytest.approx(mean, abs=0.1)
    assert PUBLISHED.probabilities[PUBLISHED.counts <= 100].sum() == pytest.approx((1020 + 1275) / area, abs=0.001)
    # Rejection by a second random number has mean 86.5 and P(<= 100) = .78: this is not it.
    assert float(PUBLISHED.mean) < 70


@pytest.mark.parametrize("dropout", LAWS)
def test_numbers_drawn_follow_the_law(dropout: UnitDropout) -> None:
    columns = [np.arange(400)] * 6_000
    drawn = np.array([len(kept) for kept in dropout.choose(columns, np.arange(6_000), seed=3, epoch=1)])
    counts = np.bincount(drawn, minlength=dropout.max_units + 1)[dropout.min_units :]
    expected = 6_000 * dropout.probabilities
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert counts.sum() == 6_000
    assert chi2 < len(expected) + 4 * np.sqrt(2 * len(expected))


@pytest.mark.parametrize("dropout", LAWS)
def test_the_quantile_function_is_the_inverse_of_the_distribution(dropout: UnitDropout) -> None:
    below = np.cumsum(dropout.probabilities)
    inside = below - dropout.probabilities / 2
    assert (dropout.n_units(inside) == dropout.counts).all()
    assert dropout.n_units(np.array([0.0]))[0] == dropout.min_units
    assert dropout.n_units(uniforms(np.array([2**64 - 1], np.uint64)))[0] == dropout.max_units


def test_every_neuron_is_kept_equally_often_and_in_order() -> None:
    columns = np.sort(np.random.default_rng(0).permutation(500)[:60])
    dropout = UnitDropout(law="uniform", min_units=20, max_units=40)
    kept = dropout.choose([columns] * 3000, np.arange(3000), seed=0, epoch=0)
    assert all((np.diff(one) > 0).all() and np.isin(one, columns).all() for one in kept)
    share = np.bincount(np.concatenate(kept), minlength=500)[columns] / 3000
    assert abs(share - 0.5).max() < 0.04


@pytest.mark.parametrize(
    ("n", "least"),
    [pytest.param(0, 0, id="none"), pytest.param(9, 9, id="fewer than min"), pytest.param(10, 10, id="min")],
)
def test_few_neurons_are_all_kept(n: int, least: int) -> None:
    kept = PUBLISHED.choose([np.arange(n)] * 50, np.arange(50), seed=0, epoch=0)
    assert [len(one) for one in kept] == [least] * 50


def test_a_number_above_what_there_is_keeps_all() -> None:
    dropout = UnitDropout(law="uniform", min_units=5, max_units=300)
    kept = [len(one) for one in dropout.choose([np.arange(30)] * 400, np.arange(400), seed=0, epoch=0)]
    assert min(kept) < 15
    assert np.mean(np.array(kept) == 30) == pytest.approx(1 - 25 / 296, abs=0.05)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    cut=st.integers(1, 7),
)
def test_batches_and_their_order_change_nothing(samples: list[int], seed: int, epoch: int, cut: int) -> None:
    columns = [np.arange(20 + sample % 50) for sample in samples]
    whole = PUBLISHED.choose(columns, np.array(samples), seed, epoch)
    back = PUBLISHED.choose(columns[::-1], np.array(samples[::-1]), seed, epoch)[::-1]
    parts = [
        kept
        for at in range(0, len(samples), cut)
        for kept in PUBLISHED.choose(columns[at : at + cut], np.array(samples[at : at + cut]), seed, epoch)
    ]
    for one, other, third in zip(whole, back, parts, strict=True):
        assert one.tolist() == other.tolist() == third.tolist()


def test_seeds_epochs_samples_and_places_differ() -> None:
    def drawn(seed: int, epoch: int, sample: int, place: int) -> list[int]:
        return PUBLISHED.choose([np.arange(200)], np.array([sample]), seed, epoch, place)[0].tolist()

    seen = {tuple(drawn(*key)) for key in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))}
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"law": "triangle"}, "did you mean 'triangular'", id="law"),
        pytest.param({"min_units": 0}, "at least 1", id="no neuron"),
        pytest.param({"min_units": 10.5}, "min_units of unit dropout is 10.5", id="half a neuron"),
        pytest.param({"max_units": True}, "whole number", id="a truth value"),
        pytest.param({"min_units": 400}, "no smaller", id="max below min"),
        pytest.param({"mode_units": 120}, "min_units <= mode_units <= tail_units", id="mode beyond the tail"),
        pytest.param({"peak": 0.5}, "at least 1", id="a dip"),
        pytest.param({"peak": float("nan")}, "at least 1", id="nan"),
    ],
)
def test_bad_laws_are_refused(options: dict, says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        UnitDropout(**options)
