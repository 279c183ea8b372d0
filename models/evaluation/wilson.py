"""Wilson's interval of a share: never of no width, which draws of all right or all wrong answers would be."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from poyodata.errors import ModelError


def wilson_interval(correct: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: trials taken as independent.

    Parameters
    ----------
    correct, total : float
        Successes and trials; of trials that are alike, as many as they are worth, which need be no whole number.
    confidence : float
        Coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end, within [0, 1].

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if not (0 <= correct <= total and total > 0):
        raise ModelError(f"{correct} of {total} is no proportion; expected 0 <= correct <= total and a trial at least")
    z = NormalDist().inv_cdf(0.5 + coverage(confidence) / 2)
    share = correct / total
    centre = share + z**2 / (2 * total)
    half = z * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)))
    scale = 1 + z**2 / total
    low = 0.0 if correct == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if correct == total else min(1.0, (centre + half) / scale)
    return low, high


def widened(ends: tuple[float, float], share: float, worth: float, confidence: float) -> tuple[float, float]:
    """Widen an interval of a share to Wilson's of so many independent rows; one that is not known stays so.

    Examples
    --------
    >>> [round(end, 3) for end in widened((1.0, 1.0), 1.0, 40, 0.95)]
    [0.912, 1.0]
    """
    low, high = wilson_interval(min(max(share, 0.0), 1.0) * worth, worth, confidence)
    return (min(ends[0], low), max(ends[1], high)) if np.isfinite(ends).all() else ends


def coverage(confidence: float) -> float:
    """Give a confidence that is one.

    Raises
    ------
    ModelError
        If it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ModelError(f"confidence={confidence} is no coverage; expected a number between 0 and 1, such as 0.95")
    return confidence
