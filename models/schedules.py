"""Learning rates over a run: pure functions of the step, as shares of the peak rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from poyodata.errors import ModelError, nearest

Schedule = Literal["cosine", "paper", "released", "constant"]

FINAL_SHARE = 1e-4
"""Where the schedules of the paper end, as a share of the peak."""


def rate(step: int, schedule: Schedule, n_steps: int, *, warmup: float = 0.05) -> float:
    """Learning rate of a step as a share of the peak.

    ============  ====================================================================================
    cosine        a straight rise over the first `warmup` of the steps, then half a cosine down to 0
    paper         as written: 50 % warm-up, a straight rise, then half a cosine down to 1/10,000
    released      as the released code does: the peak over the first half, then the same half cosine
    constant      the peak throughout
    ============  ====================================================================================

    Parameters
    ----------
    step : int
        From 0. Steps beyond the last have the rate of the last.
    schedule : {"cosine", "paper", "released", "constant"}
        Which.
    n_steps : int
        Optimiser steps of the whole run, on all devices together.
    warmup : float
        Share of the steps over which ``cosine`` rises; the others do not ask.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ModelError
        For an unknown schedule, a step below 0, no steps, or a warm-up outside [0, 1).

    Notes
    -----
    Released code: ``OneCycleLR(div_factor=1, pct_start=0.5, final_div_factor=1e4)`` in ``train.py``. A division by 1
    is no warm-up, although its README writes of 50 %. It also counts the steps before they are divided among the
    devices, so that with several the rate hardly falls: not reproduced here. ``paper`` starts its rise at zero, since
    no starting point is given.

    Examples
    --------
    >>> [round(rate(step, "cosine", 100, warmup=0.1), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> [round(rate(step, "released", 100), 4) for step in (0, 49, 74, 99)]
    [1.0, 1.0, 0.5, 0.0001]
    """
    if schedule not in _SHARES:
        raise ModelError(f"there is no schedule {schedule!r}; {nearest(str(schedule), _SHARES)}")
    if step < 0 or n_steps < 1 or not 0 <= warmup < 1:
        raise ModelError(
            f"step {step} of {n_steps} with a warm-up of {warmup} makes no sense; steps count from 0, a run has at "
            "least one, and the warm-up is a share in [0, 1)"
        )
    return _SHARES[schedule](min(step, n_steps - 1), n_steps, warmup)


def released_beta1(step: int, n_steps: int) -> float:
    """First beta of the optimiser at a step of the released code: 0.95, down to 0.85 at half the run, and up again.

    Released code: ``OneCycleLR`` is left at ``cycle_momentum=True``, which overrides the optimiser's own 0.9.

    Parameters
    ----------
    step, n_steps : int
        As for :func:`rate`.

    Examples
    --------
    >>> [round(released_beta1(step, 100), 3) for step in (0, 49, 99)]
    [0.95, 0.85, 0.95]
    """
    highest, lowest = 0.95, 0.85
    peak, last = n_steps / 2 - 1, n_steps - 1
    if step <= peak:
        return _half_cosine(highest, lowest, step / peak) if peak > 0 else lowest
    return _half_cosine(lowest, highest, min(1.0, (step - peak) / (last - peak)))


def _cosine(step: int, n_steps: int, warmup: float) -> float:
    rise = warmup * n_steps
    if step < rise:
        return min(1.0, (step + 1) / rise)
    return _half_cosine(1.0, 0.0, min(1.0, (step - rise) / max(1.0, n_steps - rise)))


def _paper(step: int, n_steps: int, _warmup: float) -> float:
    return min((step + 1) / (n_steps / 2), 1.0, _released(step, n_steps, 0.0))


def _released(step: int, n_steps: int, _warmup: float) -> float:
    peak, last = n_steps / 2 - 1, n_steps - 1
    if step <= max(peak, 0):  # of a single step, the first is the last: it has the peak
        return 1.0
    return _half_cosine(1.0, FINAL_SHARE, min(1.0, (step - peak) / (last - peak)))


def _constant(_step: int, _n_steps: int, _warmup: float) -> float:
    return 1.0


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


_SHARES: Mapping[str, Callable[[int, int, float], float]] = MappingProxyType(
    {"cosine": _cosine, "paper": _paper, "released": _released, "constant": _constant}
)

SCHEDULES: tuple[str, ...] = tuple(_SHARES)
