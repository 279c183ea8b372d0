"""Linear Fisher information about the time of a natural movie, neuron by neuron.

The estimand, in s^-2, is the mean over neighbouring steps of `STEP_S` of

    J = (mu_{k+1} - mu_k)^2 / (step^2 * (var_k + var_{k+1}) / 2),

with mu and var the mean and variance over repeats of the mean dF/F of a step: how well a step can be told from the next
by its mean. Two steps of one repeat share noise, which the difference of their means does not have;
`fisher_pairs.joint_distance` allows for it and is unbiased for Gaussian noise. A jackknife over repeats takes away what
skewed noise does to it and gives the interval, as for `fisher_direction`. All steps are used and nothing is chosen.
Negative estimates stay negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.information.jackknife import LeftOut
from poyodata.statistics.information.pairs import MIN_JOINT_DOF, FloatArray, joint_distance
from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.statistics.tuning.movies import Repeats, cut_repeats
from poyodata.vocabulary import NATURAL_MOVIE_ONE, NATURAL_MOVIE_THREE, NATURAL_MOVIE_TWO

STEP_S = 1.0
MIN_REPEATS = MIN_JOINT_DOF + 2
"""Fewest repeats, of which the jackknife leaves one out."""
RELIABLE_REPEATS = 50
"""Repeats from which on the noise of the simulator biases the mean by less than 15 %."""


def fisher_movie(steps: FloatArray, step_s: float = STEP_S) -> LeftOut:
    """Estimate J of every neuron.

    Parameters
    ----------
    steps : ndarray, shape (repeat, step, neuron), float64, dF/F
        Mean over the frames of a step. A repeat with a NaN is left out for that neuron.
    step_s : float
        Length of a step.

    Returns
    -------
    LeftOut
        In s^-2; NaN with fewer than `MIN_REPEATS` repeats or two steps.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> steps = rng.normal(size=(400, 30, 1)) + np.arange(30)[None, :, None] % 2
    >>> abs(float(fisher_movie(steps).value[0]) - 1.0) < 0.1
    True
    """
    known = np.asarray(np.isfinite(steps).all(axis=1))
    n = known.sum(axis=0).astype(np.float64)
    enough = (n >= MIN_REPEATS) & (steps.shape[1] > 1)
    n = np.where(enough, n, np.nan)
    kept = np.where(known[:, None], steps, 0.0)
    mean = kept.sum(axis=0) / n
    deviation = np.where(known[:, None], steps - mean, 0.0)
    squares, products = (deviation**2).sum(axis=0), (deviation[:, :-1] * deviation[:, 1:]).sum(axis=0)
    whole = _over_steps(mean, squares, products, n)
    without = np.empty((len(steps), steps.shape[2]))
    for left_out, own in enumerate(deviation):
        # Sums about the mean of the others, from those about the mean of all; nothing where the repeat is unknown.
        less, more = n - known[left_out], n / (n - 1)
        without[left_out] = _over_steps(
            mean - own / (n - 1),
            np.maximum(squares - more * own**2, 0.0),
            products - more * own[:-1] * own[1:],
            less,
        )
    return LeftOut(whole, without, n).scaled(1 / step_s**2)


def _over_steps(mean: FloatArray, squares: FloatArray, products: FloatArray, n: FloatArray) -> FloatArray:
    pairs = joint_distance(mean[1:] - mean[:-1], (squares[:-1], squares[1:]), products, n - 1, n)
    return np.asarray(pairs.sum(axis=0) / len(pairs)) if len(pairs) else np.full(mean.shape[1], np.nan)


def movie_steps(repeats: Repeats) -> tuple[FloatArray, int]:
    """Cut repeats into steps of `STEP_S`; what is left at the end is dropped.

    Returns
    -------
    steps : ndarray, shape (repeat, step, neuron), float64, dF/F
        Means over the frames of a step.
    step_frames : int
        Frames in a step.
    """
    step_frames = max(1, round(STEP_S * repeats.rate_hz))
    whole = repeats.whole()
    count = len(whole[0]) // step_frames if whole else 0
    steps = np.empty((len(whole), count, repeats.n_neurons))
    for index, frames in enumerate(whole):
        cut = frames[: count * step_frames].reshape(count, step_frames, repeats.n_neurons)
        steps[index] = cut.mean(axis=1, dtype=np.float64)
    steps[~np.isfinite(steps)] = np.nan
    return steps, step_frames


def _finalize(state: Repeats, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    steps, step_frames = movie_steps(state)
    found = fisher_movie(steps, step_frames / state.rate_hz)
    suffix, repeats = params["suffix"], np.nan_to_num(found.n_rounds).astype(np.int64)
    return {
        f"fisher_movie_{suffix}": found.value,
        f"fisher_movie_per_frame_{suffix}": found.value / step_frames,
        f"fisher_movie_repeats_{suffix}": repeats,
        f"fisher_movie_reliable_{suffix}": (repeats >= RELIABLE_REPEATS) & np.isfinite(found.value),
    }


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    state = reduce(Repeats.merge, (cut_repeats(stretch, params) for stretch in stretches))
    steps, step_frames = movie_steps(state)
    low, high = fisher_movie(steps, step_frames / state.rate_hz).interval(resampling.level)
    suffix = params["suffix"]
    return {
        f"fisher_movie_{suffix}": (low, high),
        f"fisher_movie_per_frame_{suffix}": (low / step_frames, high / step_frames),
    }


def _information_in(movie: str, suffix: str) -> Statistic:
    words = movie.replace("_", " ")
    return Statistic(
        name=f"fisher_{movie}",
        version=1,
        group="information",
        columns={
            f"fisher_movie_{suffix}": Column(
                dtype="float64",
                unit="s^-2",
                definition=f"Linear Fisher information about the time of {words}, per repeat: between the mean dF/F of "
                f"neighbouring steps of {STEP_S:g} s, mean over steps, bias-corrected; may be negative.",
            ),
            f"fisher_movie_per_frame_{suffix}": Column(
                dtype="float64",
                unit="s^-2",
                definition=f"fisher_movie_{suffix} over the number of frames of a step; may be negative.",
            ),
            f"fisher_movie_repeats_{suffix}": Column(
                dtype="int64",
                unit="repeats",
                definition=f"Whole repeats that fisher_movie_{suffix} comes from; 0 where they are too few.",
                low=0,
            ),
            f"fisher_movie_reliable_{suffix}": Column(
                dtype="bool",
                unit="1",
                definition=f"Whether fisher_movie_{suffix} rests on {RELIABLE_REPEATS} whole repeats: with fewer, "
                "skewed noise may bias it by more than 15 %.",
                low=0,
                high=1,
            ),
        },
        chunk=cut_repeats,
        combine=Repeats.merge,
        finalize=_finalize,
        interval=_interval,
        nan_policy=f"A repeat with a missing frame (NaN or infinite) is left out for that neuron; NaN with fewer than "
        f"{MIN_REPEATS} whole repeats, or where a neuron never varies between them.",
        uses_labels=True,
        stimulus=movie,
        params={"stimulus": movie, "suffix": suffix, "step_s": STEP_S},
    )


FISHER_MOVIES = (
    _information_in(NATURAL_MOVIE_ONE, "nm1"),
    _information_in(NATURAL_MOVIE_TWO, "nm2"),
    _information_in(NATURAL_MOVIE_THREE, "nm3"),
)
