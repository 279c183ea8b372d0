"""How far apart two stimuli are for a neuron: squared difference of means over mean variance, without bias.

Wanted is delta^2 / V with delta = mu_2 - mu_1 and V = (sigma_1^2 + sigma_2^2) / 2. With sample values put in, it is too
large twice: sampling noise of the means adds to delta^2, and 1 / V is convex. Kanitscheider et al. 2015 correct both
for equal variances. Here variances may differ, so may numbers of trials, and the two may be correlated; the estimates
are exactly unbiased for Gaussian noise all the same, down to four trials (five for samples taken together). They come
from inverting a Laplace transform: the density of sums of squares is one, and 1 / (sigma_1^2 + sigma_2^2) is an
integral of exponentials of the precisions.

With w the halves of the sums of squares, a the halves of their degrees of freedom (index m: of the smaller w, M: of the
larger), rho = w_m / w_M and F the Gauss hypergeometric function:

* independent samples: 1 / (sigma_1^2 + sigma_2^2) is estimated by (a_M - 1) / w_M F(1, 2 - a_M; a_m; rho), the share
  sigma_m^2 / (sigma_1^2 + sigma_2^2) by rho (a_M - 1) / a_m F(1, 2 - a_M; a_m + 1; rho);
* samples taken together, with w the eigenvalues of half the matrix of sums of squares and products, and p half the sum
  of products: 1 / (sigma_1^2 + sigma_2^2) is estimated by (a - 1) / w_M F(1, 5/2 - a; a - 1/2; rho), and the variance
  of the difference over it by 1 - 2 p / w_M F(1, 5/2 - a; a - 1/2; rho).

For equal variances and trials this is Kanitscheider's correction, (2T - 4) / (2T - 2) times the naive value less 2 / T.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import hyp2f1

FloatArray = npt.NDArray[np.float64]

MIN_DOF = 3
"""Fewest degrees of freedom of each variance: with two, 1 / V has no mean."""
MIN_JOINT_DOF = 4
"""As `MIN_DOF`, for samples taken together."""

_FEW, _TERMS = 8.0, 24


def squared_distance(
    delta: FloatArray,
    squares: tuple[FloatArray, FloatArray],
    dof: tuple[FloatArray, FloatArray],
    n: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Estimate squared difference of means over mean variance, of two independent samples.

    Parameters
    ----------
    delta : ndarray, float64
        Difference of the two sample means.
    squares, dof : pair of ndarray, float64
        Sums of squared deviations and their degrees of freedom, at least `MIN_DOF`.
    n : pair of ndarray, float64
        Trials behind each of the two means.

    Returns
    -------
    ndarray, float64
        Exactly unbiased for Gaussian noise; may be negative. NaN where something is missing or both variances are zero.

    Examples
    --------
    >>> nine, ten = np.full(1, 9.0), np.full(1, 10.0)
    >>> kanitscheider = 4.0 * (2 * 10 - 4) / (2 * 10 - 2) - 2 / 10
    >>> value = squared_distance(np.full(1, 2.0), (nine, nine), (nine, nine), (ten, ten))
    >>> abs(float(value[0]) - kanitscheider) < 0.1
    True
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        first = squares[0] <= squares[1]
        low, high = np.minimum(*squares) / 2, np.maximum(*squares) / 2
        a_low, a_high = np.where(first, *dof) / 2, np.where(first, dof[1], dof[0]) / 2
        known = (high > 0) & (np.minimum(a_low, a_high) >= MIN_DOF / 2)
        high, a_low, a_high = np.where(known, high, np.nan), np.where(known, a_low, 2.0), np.where(known, a_high, 2.0)
        rho = low / high
        inverse = (a_high - 1) / high * _gauss(2 - a_high, a_low, rho)
        share = rho * (a_high - 1) / a_low * _gauss(2 - a_high, a_low + 1, rho)
        n_low, n_high = np.where(first, *n), np.where(first, n[1], n[0])
        return np.asarray(2 * (inverse * delta**2 - share / n_low - (1 - share) / n_high))


def joint_distance(
    delta: FloatArray, squares: tuple[FloatArray, FloatArray], products: FloatArray, dof: FloatArray, n: FloatArray
) -> FloatArray:
    """Estimate squared difference of means over mean variance, of two samples taken together, trial by trial.

    Parameters
    ----------
    delta, squares, n
        As for `squared_distance`; `n` trials behind both means.
    products : ndarray, float64
        Sum of products of the two deviations.
    dof : ndarray, float64
        Degrees of freedom of all three sums, at least `MIN_JOINT_DOF`.

    Returns
    -------
    ndarray, float64
        Exactly unbiased for Gaussian noise with any correlation; may be negative. NaN where something is missing or
        both variances are zero.

    Examples
    --------
    >>> one, five = np.ones(1), np.full(1, 5.0)
    >>> joint_distance(2 * one, (five, five), 0 * one, five, five + 1).round(3)
    array([4.467])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        known = dof >= MIN_JOINT_DOF
        a = np.where(known, dof, 6.0) / 2
        trace = (squares[0] + squares[1]) / 2
        root = np.hypot((squares[0] - squares[1]) / 2, products)
        high = (trace + root) / 2
        high = np.where(known & (high > 0), high, np.nan)
        low = np.clip(trace - high, 0.0, high)
        whole = _gauss(2.5 - a, a - 0.5, low / high)
        inverse = (a - 1) / high * whole
        share = 1 - products / high * whole
        return np.asarray(2 * (inverse * delta**2 - share / n))


def _gauss(b: FloatArray, c: FloatArray, z: FloatArray) -> FloatArray:
    """F(1, b; c; z), for z from 0 to 1."""
    # scipy gives NaN for some hundreds of degrees of freedom; Gauss's continued fraction needs few terms there.
    many = b < -_FEW
    value = hyp2f1(1.0, np.where(many, 0.0, b), c, z)
    if not many.any():
        return np.asarray(value)
    fraction = np.ones_like(z)
    for term in range(_TERMS, 0, -1):
        half = term // 2
        if term % 2:
            step = (b + half) * (c - 1 + half) / ((c + 2 * half - 1) * (c + 2 * half))
        else:
            step = half * (c - 1 - b + half) / ((c + 2 * half - 2) * (c + 2 * half - 1))
        fraction = 1 - step * z / fraction
    return np.where(many, 1 / fraction, value)
