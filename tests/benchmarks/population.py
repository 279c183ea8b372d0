"""Population information against exact values, and what quality costs: ``python -m tests.benchmarks.population``.

Prints the tables of the documentation as Markdown: bias, standard error and coverage for Gaussian responses, the ratio
to the simulator's value, and seconds and memory for one recording of 115,000 frames and 200 neurons.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from poyodata.simulation.population_truth import fisher_population_true
from poyodata.statistics.information.population import D_THETA, information_of_responses
from poyodata.statistics.information.population_subsets import draw_orders, information_of_sets
from poyodata.statistics.quality import QUALITY
from poyodata.statistics.statistic import Statistic, Stretch
from tests.statistics.information.test_population import KINDS, draw, exact, made_population, simulated_gratings

N_FRAMES, N_NEURONS = 115_000, 200


def _line(*cells: object) -> None:
    sys.stdout.write(
        "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |\n"
    )
    sys.stdout.flush()


def _head(*names: str) -> None:
    sys.stdout.write("\n")
    _line(*names)
    _line(*("---" for _ in names))


def gaussian(n_draws: int = 300) -> None:
    """Bias, error and coverage against exact values."""
    _head("noise", "T", "neurons", "true", "mean / true", "bias / its error", "stated / real error", "coverage")
    for kind in KINDS:
        for n_trials, sizes in ((15, (1, 5, 10, 20, 24)), (50, (1, 10, 40, 80)), (200, (1, 10, 60))):
            mean, covariance = made_population(kind, sizes[-1])
            rng = np.random.default_rng([n_trials, KINDS.index(kind)])
            orders = draw_orders(sizes[-1], sizes[-1], 4, rng)
            truth = exact(mean, covariance, orders, sizes)
            drawn = [
                information_of_sets(draw(mean, covariance, n_trials, rng), orders, sizes, D_THETA)
                for _ in range(n_draws)
            ]
            value = np.array([each.mean(axis=0) for each, _ in drawn])
            error = np.sqrt([variance for _, variance in drawn])
            spread, covered = value.std(axis=0, ddof=1), (np.abs(value - truth) < 1.96 * error).mean(axis=0)
            for k, size in enumerate(sizes):
                bias = float(value[:, k].mean() - truth[k])
                _line(
                    kind,
                    n_trials,
                    size,
                    float(truth[k]),
                    float(value[:, k].mean() / truth[k]),
                    bias / float(spread[k] / np.sqrt(n_draws)),
                    float(np.sqrt((error[:, k] ** 2).mean()) / spread[k]),
                    float(covered[k]),
                )


def simulated(sizes: Sequence[int] = (1, 5, 10, 20, 40), n_populations: int = 3) -> None:
    """Estimates from simulated recordings over the simulator's own value, mean over populations of 40."""
    _head("noise", "T", *(f"{size} neurons" for size in sizes))
    for name, jitter_deg in (("correlated", 0.0), ("limiting, 10 deg", 10.0)):
        for n_trials in (15, 50, 200, 800):
            found, truth = [], []
            for seed in range(n_populations if n_trials < 800 else 2):
                responses, cells = simulated_gratings(jitter_deg, n_trials, 40, seed)
                found.append(information_of_responses(responses, sizes, 20)["fisher_population"])
                sets = draw_orders(40, 40, 20, np.random.default_rng(0))
                true = [
                    fisher_population_true(cells, 30.0, [order[:n] for order in sets], (4.0,), 30.0, jitter_deg)
                    for n in sizes
                ]
                truth.append([each.mean() for each in true])
            ratio = np.mean(found, axis=0) / np.mean(truth, axis=0)
            _line(name, n_trials, *(float(each) if np.isfinite(each) else "refused" for each in ratio))


def _compute(statistic: Statistic, stretch: Stretch) -> None:
    statistic.finalize(statistic.chunk(stretch, statistic.params), statistic.params)


def quality() -> None:
    """Seconds on one core and extra memory of every statistic of quality."""
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((N_FRAMES, N_NEURONS), dtype=np.float32)
    neurons = pd.DataFrame({"x_um": rng.uniform(0, 400, N_NEURONS), "y_um": rng.uniform(0, 400, N_NEURONS)})
    stretch = Stretch(traces=traces, trials=pd.DataFrame(), rate_hz=30.0, neurons=neurons)
    _head("statistic", "s on one core", "extra memory, MB")
    for statistic in QUALITY:
        compute = partial(_compute, statistic, stretch)
        compute()
        start = time.process_time()
        compute()
        seconds = time.process_time() - start
        tracemalloc.start()
        compute()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        _line(statistic.name, seconds, peak / 1e6)


if __name__ == "__main__":
    gaussian()
    simulated()
    quality()
