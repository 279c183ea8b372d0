"""Moments beside scipy and beside reading the traces once: ``python -m tests.benchmarks.statistics``."""

from __future__ import annotations

import numpy as np
import scipy.stats

from poyodata.statistics import MomentState
from tests.benchmarks.row import median_seconds, row

N_FRAMES, N_NEURONS = 115_000, 200


def main() -> None:
    """Print one line a case; all of one thread, on the same traces in memory."""
    traces = np.random.default_rng(0).gamma(0.5, size=(N_FRAMES, N_NEURONS)).astype(np.float32)

    def with_scipy() -> None:
        double = traces.astype(np.float64)
        double.mean(axis=0)
        double.std(axis=0)
        scipy.stats.skew(double)
        scipy.stats.kurtosis(double)

    references = (
        ("scipy.stats, float64", with_scipy, 0.01),
        ("column sum, float32", lambda: traces.sum(axis=0), 2.5),
        ("column sum, float64", lambda: traces.sum(axis=0, dtype=np.float64), 2.5),
    )
    for name, reference, bar in references:
        seconds = median_seconds(lambda: MomentState.of(traces).finalize())
        reference_seconds = median_seconds(reference)
        row("statistics", "moments", seconds, "s", reference=name, reference_value=reference_seconds, n=5, bar=bar)


if __name__ == "__main__":
    main()
