"""How well values are decoded: the coefficient of determination."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.intervals import Floats, Statistic


def r2(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """R^2: 1 minus the squared error over that of the mean of these very targets; the mean over several values.

    1 is perfect, 0 is the best constant answer, below 0 is worse than that. It is no squared correlation: an answer of
    the right shape and the wrong size is charged for its size.

    Parameters
    ----------
    prediction, target : array-like, shape (row,) or (row, value)

    Returns
    -------
    float
        NaN where a target does not vary.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    1.0
    >>> r2([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    0.0
    """
    return r2_of(prediction, target).value


def chance_r2(target: npt.ArrayLike, recording: npt.ArrayLike) -> float:
    """R^2 of the best constant answer in each recording, the mean of its own targets: 0 where there is one recording.

    A model knows which recording it is asked about, and animals differ in the size of what they do: one number for each
    may reach a large R^2 and says nothing of what a recording's neurons tell.

    Parameters
    ----------
    target : array-like, shape (row,) or (row, value)
    recording : array-like, shape (row,)

    Returns
    -------
    float
        NaN where a target does not vary over several recordings.

    Examples
    --------
    >>> chance_r2([1.0, 3.0, 7.0, 9.0], ["a", "a", "b", "b"]), chance_r2([1.0, 3.0], ["a", "a"])
    (0.9, 0.0)
    """
    truth = np.asarray(target, np.float64)
    names, session = np.unique(np.asarray(recording).astype(str), return_inverse=True)
    if len(names) == 1:
        return 0.0
    means = np.stack([truth[session == at].mean(axis=0) for at in range(len(names))])
    # Rounding may leave a bit less than 0.
    return max(r2(means[session], truth), 0.0)


def r2_of(prediction: npt.ArrayLike, target: npt.ArrayLike) -> Statistic:
    """R^2 as a statistic whose rows may be drawn again.

    Raises
    ------
    ModelError
        If shapes differ, or there is no row.
    """
    given, truth = (np.asarray(values, np.float64) for values in (prediction, target))
    if given.shape != truth.shape or given.ndim not in (1, 2) or not given.size:
        raise ModelError(f"{given.shape} predictions for {truth.shape} targets; expected one of each for every row")
    if given.ndim == 1:
        given, truth = given[:, None], truth[:, None]
    k = truth.shape[1]
    # Squares of numbers near 0 keep their digits.
    centred = truth - truth.mean(axis=0)
    parts = np.hstack([np.ones((len(truth), 1)), centred, centred**2, (truth - given) ** 2])

    def of(sums: Floats) -> Floats:
        n, total, squares, errors = (
            sums[..., :1],
            sums[..., 1 : k + 1],
            sums[..., k + 1 : 2 * k + 1],
            sums[..., 2 * k + 1 :],
        )
        spread = squares - total**2 / n
        # What is left of equal targets by rounding is no spread.
        known = spread > 1e-12 * squares
        ratio = np.divide(errors, spread, out=np.full_like(errors, np.nan), where=known)
        return np.asarray(1 - ratio.mean(axis=-1))

    return Statistic(parts, of, (-math.inf, 1.0))
