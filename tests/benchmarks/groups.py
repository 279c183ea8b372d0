"""How often intervals clustered by donor cover, and the knee over line means: ``python -m tests.benchmarks.groups``.

With the path of a store, such as one of the simulated world ``demo`` with three mice a line, also the knee over the
means of its lines and what becomes of it without each line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from poyodata.statistics.groups import clustered_intervals, drawn_medians
from poyodata.statistics.statistic import Resampling
from tests.benchmarks.row import row

FloatVector = npt.NDArray[np.float64]
Group = tuple[FloatVector, npt.NDArray[np.intp]]

DONORS = (3, 4, 6, 10, 20)
REPEATS = 1000
RESAMPLING = Resampling(draws=400)


def draw_group(law: str, n_donors: int, rng: np.random.Generator) -> Group:
    """Draw values of the neurons of some donors, and whose they are.

    The laws: ``gaussian``, a third of the variance between donors; ``skewed``, log-normal as kurtosis is; ``large
    donors``, where donors with more neurons have higher values; ``few neurons``, eight a donor; ``no donor effect``.
    """
    z = rng.normal(0.0, 1.0, n_donors)
    sizes = np.maximum(5, np.round(60 * np.exp(0.6 * z))).astype(int)
    if law == "few neurons":
        sizes = 1 + rng.poisson(7, n_donors)
    donor = np.repeat(np.arange(n_donors), sizes)
    own = rng.normal(0.0, 1.0, len(donor))
    between = rng.normal(0.0, 1.0, n_donors)
    if law == "gaussian":
        return np.sqrt(0.3) * between[donor] + np.sqrt(0.7) * own, donor
    if law == "skewed":
        return np.exp(0.45 * between[donor] + 0.9 * own), donor
    if law == "large donors":
        return 0.4 * (z + between)[donor] + 0.8 * own, donor
    if law == "few neurons":
        return np.exp(0.3 * between[donor] + 0.9 * own), donor
    return own, donor


LAWS = ("gaussian", "skewed", "large donors", "few neurons", "no donor effect")


def true_values(law: str, rng: np.random.Generator) -> dict[str, float]:
    """Median and mean over the neurons of endlessly many donors."""
    values, _ = draw_group(law, 20_000, rng)
    return {"median": float(np.median(values)), "mean": float(values.mean())}


def percentile_intervals(group: Group, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The usual cluster bootstrap: percentiles of medians and means of donors drawn again."""
    values, donor = group
    sizes = np.bincount(donor).astype(np.float64)
    weights = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLING.draws).astype(np.float64)
    means = weights @ np.bincount(donor, values) / (weights @ sizes)
    drawn = {"median": drawn_medians(values, donor, weights), "mean": means}
    return {name: tuple(np.quantile(of, [0.025, 0.975]).tolist()) for name, of in drawn.items()}


def donor_mean_interval(group: Group) -> tuple[float, float]:
    """Student's interval of the means of the donors, each counted once."""
    values, donor = group
    means = np.bincount(donor, values) / np.bincount(donor)
    reach = t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return means.mean() - reach, means.mean() + reach


def coverage(law: str, n_donors: int, repeats: int, seed: int, rivals: bool = True) -> dict[str, float]:
    """Share of intervals of nominal 95 % that hold the true value."""
    rng = np.random.default_rng([seed, LAWS.index(law), n_donors])
    true = true_values(law, rng)
    hits: dict[str, list[bool]] = {}
    for repeat in range(repeats):
        group = draw_group(law, n_donors, rng)
        found = dict(clustered_intervals(*group, Resampling(draws=RESAMPLING.draws, seed=repeat)))
        if rivals:
            found |= {f"{name}, percentiles": of for name, of in percentile_intervals(group, rng).items()}
            found["mean, donor means"] = donor_mean_interval(group)
        for name, (low, high) in found.items():
            hits.setdefault(name, []).append(low <= true[name.partition(",")[0]] <= high)
    return {name: float(np.mean(of)) for name, of in hits.items()}


def main() -> None:
    """Print one line a law, number of donors and method; then the knee over the lines of a store, if one is named."""
    for law in LAWS:
        for n_donors in DONORS:
            for method, covered in coverage(law, n_donors, REPEATS, seed=0).items():
                row(
                    "groups",
                    f"{law}, {n_donors} donors: {method}",
                    covered,
                    "share",
                    reference="nominal",
                    reference_value=0.95,
                    n=REPEATS,
                )
    for path in map(Path, sys.argv[1:]):
        if path.is_dir():
            _knees(path)


def _knees(path: Path) -> None:
    from poyodata.statistics import compute_statistics
    from poyodata.statistics.knee import knee_over_lines
    from poyodata.store import open_store

    store = open_store(path)
    table = compute_statistics(store, "moments", window="all")
    for column in ("skewness", "kurtosis"):
        knee = knee_over_lines(table, store, column)
        for line, mean in zip(knee.lines, knee.means, strict=True):
            without = knee.without[line]
            found = "none" if without is None else f"{without:.3f}"
            sys.stdout.write(f"{column:<10} {line:<20} {mean:8.3f}  {found}\n")
        sys.stdout.write(knee.text + "\n")


if __name__ == "__main__":
    main()
