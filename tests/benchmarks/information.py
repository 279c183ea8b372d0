"""Bias and coverage of information about stimuli: ``python -m tests.benchmarks.information [section ...]``.

Bias is the mean over neurons of estimate over truth; ``reference_value`` is the mean truth, ``ratio`` their quotient.
Coverage is the share of neurons whose 95 % interval holds the truth. The truth is J at the temporal frequencies that
the two halves of the trials chose.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import ncfdtrinc

from poyodata.statistics.information.direction import D_THETA, direction_information
from poyodata.statistics.information.dprime import discriminability
from poyodata.statistics.information.movie import fisher_movie
from tests.benchmarks.row import row
from tests.statistics.simulated_trials import at_chosen, at_chosen_pair, gaussian, gaussian_model, movie, skewed

TRIALS = (15, 20, 30, 50, 100, 200)
FEW = (6, 7, 8, 10, 12)
REPEATS = (6, 8, 10, 20, 50)
N_NEURONS, RECORDINGS, MOVIES = 2000, 40, 20
LEVEL, DRAWS = 0.95, 99


def directions():
    """Bias and coverage of ``fisher_direction``."""
    values, truth = _skewed()
    for n_trials in TRIALS:
        for noise in ("equal", "unequal"):
            for n_frequencies in (1, 5):
                _direction(
                    f"{noise}, {n_frequencies} tf", n_trials, *gaussian(n_trials, n_frequencies, noise, N_NEURONS)
                )
        _direction("skewed, 2 tf", n_trials, values[:, :, :n_trials], truth)


def few():
    """Bias and coverage of ``fisher_direction`` with the trials that train time leaves, under skewed noise."""
    recordings = [skewed(max(FEW), seed) for seed in range(RECORDINGS)]
    values, truth = (np.concatenate(part, axis=-1) for part in zip(*recordings, strict=True))
    for n_trials in FEW:
        for n_frequencies in (1, 2):
            part, own = values[:n_frequencies, :, :n_trials], truth[:n_frequencies]
            _direction(f"skewed, {n_frequencies} tf", n_trials, part, own)


def pairs():
    """Bias and coverage of ``dprime2``, tuned and not."""
    for n_trials in TRIALS:
        for noise in ("equal", "unequal"):
            values, mean, variance = gaussian_model(n_trials, 5, noise, N_NEURONS)
            truth = at_chosen_pair(values, mean, variance)
            _rows(f"dprime2, {noise}, 5 tf", f"{n_trials} trials", discriminability(values), truth, "1")
        _no_tuning(n_trials)


def intervals():
    """Candidates for the interval of ``fisher_direction``; the calibrated one is fitted on trials of its own."""
    values, truth = _skewed()
    for n_trials in (15, 50):
        spare = skewed_scale(values[:, :, -n_trials:], truth)
        for noise in ("equal", "unequal"):
            _candidates(noise, n_trials, *gaussian(n_trials, 5, noise, 500), spare)
        _candidates("skewed", n_trials, values[..., :500][:, :, :n_trials], truth[:, :500], spare)


def movies():
    """Bias and coverage of ``fisher_movie``, from the first repeats of each recording."""
    made = [movie(max(REPEATS), seed) for seed in range(MOVIES)]
    steps, truth = (np.concatenate(part, axis=-1) for part in zip(*made, strict=True))
    for n_repeats in REPEATS:
        _rows("fisher_movie, skewed", f"{n_repeats} repeats", fisher_movie(steps[:n_repeats]), truth, "s^-2")


def _skewed():
    recordings = [skewed(max(TRIALS), seed) for seed in range(RECORDINGS)]
    return tuple(np.concatenate(part, axis=-1) for part in zip(*recordings, strict=True))


def _direction(noise, n_trials, values, truth):
    found, _ = direction_information(values)
    _rows(f"fisher_direction, {noise}", f"{n_trials} trials", found, at_chosen(values, truth), "rad^-2")


def _no_tuning(n_trials):
    """The best of 28 pairs of a neuron that is not tuned: zero, unless choosing inflates."""
    found = discriminability(np.random.default_rng(n_trials).normal(size=(5, 8, n_trials, N_NEURONS)))
    low, high = found.interval(LEVEL)
    row(
        "information",
        f"dprime2, no tuning, {n_trials} trials: mean",
        float(found.value.mean()),
        "1",
        reference="its standard error",
        reference_value=float(found.value.std() / N_NEURONS**0.5),
        n=N_NEURONS,
    )
    row(
        "information",
        f"dprime2, no tuning, {n_trials} trials: coverage",
        float(((low <= 0) & (high >= 0)).mean()),
        "1",
        reference="nominal",
        reference_value=LEVEL,
        n=N_NEURONS,
    )


def _rows(what, size, found, truth, unit):
    value, (low, high) = found.value, found.interval(LEVEL)
    for name, estimate in (("mean", value), ("mean without the jackknife", found.whole)):
        row(
            "information",
            f"{what}, {size}: {name}",
            float(estimate.mean()),
            unit,
            reference=f"truth, +- {(estimate - truth).std() / len(truth) ** 0.5:.2g}",
            reference_value=float(truth.mean()),
            n=len(truth),
        )
    strong = truth > np.quantile(truth, 0.7)
    inside = (low <= truth) & (truth <= high)
    for name, share in (("coverage", inside), ("coverage of the most informed 30 %", inside[strong])):
        row(
            "information",
            f"{what}, {size}: {name}",
            float(share.mean()),
            "1",
            reference="nominal",
            reference_value=LEVEL,
            n=len(share),
        )


def _candidates(noise, n_trials, values, truth, scale):
    """Coverage and mean width of the intervals that were tried."""
    truth = at_chosen(values, truth)
    found, _ = direction_information(values)
    wide = found.standard_error * scale
    for name, (low, high) in {
        "jackknife t": found.interval(LEVEL),
        "calibrated on skewed noise": (found.value - wide, found.value + wide),
        "noncentral F": noncentral_f(found.whole, n_trials),
        "studentised bootstrap": studentised(values, found),
    }.items():
        case = f"interval, {noise}, {n_trials} trials: {name}"
        inside = (low <= truth) & (truth <= high)
        row(
            "information",
            f"{case}, coverage",
            float(inside.mean()),
            "1",
            reference="nominal",
            reference_value=LEVEL,
            n=len(truth),
        )
        row(
            "information",
            f"{case}, median width",
            float(np.median(high - low)),
            "rad^-2",
            reference="median width of the jackknife t",
            reference_value=float(np.median(np.subtract(*found.interval(LEVEL)[::-1]))),
            n=len(truth),
        )


def skewed_scale(values, truth):
    """How many standard errors hold the truth of `LEVEL` of these neurons: other trials than those judged."""
    found, _ = direction_information(values)
    return float(np.quantile(np.abs(found.value - at_chosen(values, truth)) / found.standard_error, LEVEL))


def noncentral_f(estimate, n_trials):
    """Bounds if the sum over the ring of pairs was a noncentral F of matched degrees of freedom."""
    # Eigenvalues 2 - 2 cos of the ring of differences: (sum)^2 / sum of squares = 16/3, once for each half.
    numerator, denominator = 32 / 3, 8.0 * (n_trials - 2)
    to_f = D_THETA**2 * n_trials / 4
    f = np.maximum(estimate * to_f + 1, 1e-3)
    with np.errstate(all="ignore"):
        bounds = [ncfdtrinc(numerator, denominator, p, f) for p in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)]
    low, high = (np.nan_to_num(bound, nan=0.0, posinf=0.0) / numerator / to_f for bound in bounds)
    return low, high


def studentised(values, found):
    """Bounds from rounds drawn anew within each half, each draw with a standard error of its own."""
    rng = np.random.default_rng(0)
    rounds = np.arange(values.shape[2])
    ratios = np.empty((DRAWS, values.shape[3]))
    for draw in range(DRAWS):
        drawn = rounds.copy()
        for half in (0, 1):
            drawn[half::2] = rng.choice(rounds[half::2], len(rounds[half::2]))
        again, _ = direction_information(values[:, :, drawn])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[draw] = (again.value - found.value) / again.standard_error
    high, low = np.nanquantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return found.value - low * found.standard_error, found.value - high * found.standard_error


SECTIONS = {work.__name__: work for work in (directions, few, pairs, intervals, movies)}


def main(names):
    """Print one line a case, of the sections named or of all."""
    for name in names or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
