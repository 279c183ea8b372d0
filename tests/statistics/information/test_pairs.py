"""Estimates of squared difference over variance, against integrals worked out by hand and against many draws."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

from poyodata.statistics.information.pairs import MIN_DOF, MIN_JOINT_DOF, joint_distance, squared_distance

N = 40_000


def full(*values):
    return tuple(np.full(N, float(value)) for value in values)


def known(*values):
    return tuple(np.array([float(value)]) for value in values)


def check_mean(estimate, truth):
    error = estimate.std() / np.sqrt(len(estimate))
    assert abs(estimate.mean() - truth) < 3.5 * error
    assert error < 0.03 * max(truth, 1.0)


@pytest.mark.parametrize(
    ("n", "sd"),
    [
        pytest.param((5, 5), (1.0, 1.0), id="five-trials-equal"),
        pytest.param((6, 6), (1.0, 3.0), id="unequal-noise"),
        pytest.param((15, 5), (2.0, 1.0), id="unequal-trials"),
        pytest.param((8, 40), (0.0, 1.0), id="one-never-varies"),
        pytest.param((60, 60), (1.0, 0.5), id="many-trials"),
    ],
)
@pytest.mark.parametrize("delta", [0.0, 1.5], ids=["no-difference", "difference"])
def test_independent_samples_are_unbiased(n, sd, delta):
    rng = np.random.default_rng([*n, int(delta)])
    first, second = (rng.normal(size=(count, N)) * spread for count, spread in zip(n, sd, strict=True))
    squares = first.var(axis=0) * n[0], second.var(axis=0) * n[1]
    estimate = squared_distance(
        second.mean(axis=0) - first.mean(axis=0) + delta, squares, full(n[0] - 1, n[1] - 1), full(*n)
    )
    check_mean(estimate, delta**2 / ((sd[0] ** 2 + sd[1] ** 2) / 2))


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.9, 1.0])
@pytest.mark.parametrize(("n", "sd"), [(6, (1.0, 1.0)), (8, (1.0, 3.0)), (30, (2.0, 1.0))])
def test_samples_taken_together_are_unbiased(n, sd, correlation):
    rng = np.random.default_rng(n)
    first, other = rng.normal(size=(2, n, N))
    second = correlation * first + np.sqrt(1 - correlation**2) * other
    first, second = sd[0] * first, sd[1] * second + 1.0
    mean = first.mean(axis=0), second.mean(axis=0)
    first, second = first - mean[0], second - mean[1]
    estimate = joint_distance(
        mean[1] - mean[0],
        ((first**2).sum(axis=0), (second**2).sum(axis=0)),
        (first * second).sum(axis=0),
        *full(n - 1, n),
    )
    check_mean(estimate, 1.0 / ((sd[0] ** 2 + sd[1] ** 2) / 2))


def test_equal_variances_of_many_trials_give_kanitscheiders_correction():
    trials, delta = 400, 0.7
    estimate = squared_distance(*known(delta), known(399, 399), known(399, 399), known(400, 400))
    expected = delta**2 * (2 * trials - 4) / (2 * trials - 2) - 2 / trials
    assert estimate == pytest.approx(expected, rel=1e-4)


def test_one_variance_alone_gives_the_inverse_of_its_own():
    """With sigma_1 = 0 what is left is the textbook's E[1 / s^2] = dof / (dof - 2) / sigma^2."""
    estimate = squared_distance(*known(2.0), known(0, 9), known(9, 9), known(10, 10))
    assert estimate == pytest.approx(2 * (4.0 * 7 / 9 - 1 / 10))


@pytest.mark.parametrize("dof", [4, 5, 14, 99, 199, 398, 799], ids=str)
def test_both_are_the_integrals_they_come_from(dof):
    a, low, high = dof / 2, 2.0, 2.1
    whole = quad(lambda u: ((1 - u / low) * (1 - u / high)) ** (a - 2), 0, low, epsabs=0)[0]
    inverse = squared_distance(*known(1), known(2 * low, 2 * high), known(dof, dof), known(np.inf, np.inf))[0]
    assert inverse == pytest.approx(2 * (a - 1) ** 2 / (low * high) * whole, rel=1e-8)
    whole = quad(lambda u: ((1 - u / low) * (1 - u / high)) ** (a - 2.5), 0, low, epsabs=0, limit=500)[0]
    inverse = joint_distance(*known(1), known(2 * low, 2 * high), *known(0, dof, np.inf))[0]
    assert inverse == pytest.approx(2 * (a - 1) * (a - 1.5) / (low * high) * whole, rel=1e-5)


@pytest.mark.parametrize("dof", [3, 19, 20, 199, 400, 2000])
def test_many_degrees_of_freedom_keep_their_digits(dof):
    rho = np.array([0.0, 0.3, 0.93, 1.0])
    n = np.full(4, np.inf)
    found = squared_distance(np.ones(4), (2 * rho, np.full(4, 2.0)), (np.full(4, float(dof)),) * 2, (n, n))
    with np.errstate(invalid="ignore"):
        expected = [2 * (dof / 2 - 1) * float(mpmath.hyp2f1(1, 2 - dof / 2, dof / 2, r)) for r in rho[:3]]
    assert found[:3] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("squares", "dof"),
    [
        pytest.param((0, 0), (9, 9), id="never-varies"),
        pytest.param((1, 2), (MIN_DOF - 1, 9), id="too-few"),
        pytest.param((1, np.nan), (9, 9), id="unknown"),
    ],
)
def test_what_cannot_be_known_is_nan(squares, dof):
    assert np.isnan(squared_distance(*known(1), known(*squares), known(*dof), known(10, 10)))
    joint_dof = MIN_JOINT_DOF - 1 if min(dof) < MIN_DOF else 9
    assert np.isnan(joint_distance(*known(1), known(*squares), *known(0, joint_dof, 10)))
