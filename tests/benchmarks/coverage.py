"""How often intervals of 95 % cover what is true: ``python -m tests.benchmarks.coverage [moments robust ...]``.

Worlds are made so that the truth is known. ``value`` is the share of intervals that cover it, the reference the nominal
level; there is no bar where tails are heavy, and the shortfall stands there to be read. For moments also how wide the
intervals are, beside those of the generic jackknife.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from poyodata.statistics import DYNAMICS, MOMENTS, ROBUST, MomentState, Resampling, Statistic, Stretch
from poyodata.statistics.tuning.gratings import TUNING_DRIFTING_GRATINGS
from poyodata.statistics.tuning.scenes import TUNING_NATURAL_SCENES
from poyodata.statistics.uncertainty import jackknife_interval
from poyodata.vocabulary import DIRECTIONS_DEG, DRIFTING_GRATINGS, NATURAL_SCENES, TEMPORAL_FREQUENCIES_HZ
from tests.benchmarks.row import row

RATE_HZ = 30.0
Traces = npt.NDArray[np.float32]
World = Callable[[int, int, np.random.Generator], Traces]
Truth = Mapping[str, npt.NDArray[np.float64]]
Bounds = Mapping[str, npt.NDArray[np.float64]]
"""Lower and upper bounds, shape (2, trace), by column."""


def autoregression(n_frames: int, n: int, rng: np.random.Generator, time_s: float = 0.5) -> Traces:
    """Gaussian AR(1) of variance 1."""
    step = np.exp(-1 / (time_s * RATE_HZ))
    noise = rng.standard_normal((n_frames + 3000, n))
    return np.asarray(lfilter([np.sqrt(1 - step**2)], [1, -step], noise, axis=0)[3000:], np.float32)


def gamma_autoregression(n_frames: int, n: int, rng: np.random.Generator) -> Traces:
    """AR(1) with a time constant of 0.5 s that gamma variables of shape 0.05 drive: skewness 2.2, excess kurtosis 8."""
    step = np.exp(-1 / (0.5 * RATE_HZ))
    drive = rng.gamma(0.05, size=(n_frames + 3000, n))
    return np.asarray(lfilter([1 - step], [1, -step], drive, axis=0)[3000:], np.float32)


def bursts(n_frames: int, n: int, rng: np.random.Generator, rate_hz: float = 0.03) -> Traces:
    """Poisson bursts whose rate drifts (log-normal, 6 s), of log-normal size, with a decay of 0.6 s, and white noise.

    As the simulator's neurons, at rest: skewness 11, excess kurtosis 250 at a rate of 0.03 Hz; 5 and 50 at 0.2 Hz.
    """
    total = n_frames + 9000
    slow = autoregression(total, n, rng, time_s=6.0).astype(np.float64)
    count = rng.poisson(rate_hz / RATE_HZ * np.exp(slow - 0.5))
    size = np.zeros((total, n))
    active = count > 0
    size[active] = 0.5 * count[active] * np.exp(0.8 * np.clip(rng.standard_normal(active.sum()), -3, 3))
    calcium = lfilter([1], [1, -np.exp(-1 / (0.6 * RATE_HZ))], size, axis=0)
    return np.asarray(calcium + 0.05 * rng.standard_normal((total, n)), np.float32)[9000:]


def frequent_bursts(n_frames: int, n: int, rng: np.random.Generator) -> Traces:
    """`bursts` at 0.2 Hz."""
    return bursts(n_frames, n, rng, rate_hz=0.2)


def slow_autoregression(n_frames: int, n: int, rng: np.random.Generator) -> Traces:
    """`autoregression` with a time constant of 20 s."""
    return autoregression(n_frames, n, rng, time_s=20.0)


WORLDS: dict[str, World] = {
    "Gaussian AR(1)": autoregression,
    "Gaussian AR(1) of 20 s": slow_autoregression,
    "gamma AR(1)": gamma_autoregression,
    "bursts at 0.2 Hz": frequent_bursts,
    "bursts at 0.03 Hz": bursts,
}


def stretch_of(traces: Traces) -> Stretch:
    """One stretch without presentations."""
    return Stretch(traces=traces, trials=pd.DataFrame(), rate_hz=RATE_HZ)


def intervals_over_time(
    statistic: Statistic,
    world: World,
    seconds: float,
    n: int,
    seed: int = 0,
    truth: Mapping[str, float] | None = None,
    jackknife: bool = False,
) -> tuple[Bounds, Mapping[str, float]]:
    """Intervals of `n` traces, and what is true, by column.

    Parameters
    ----------
    statistic : Statistic
    world : World
    seconds : float
        Train time, in four stretches of one length with gaps between them.
    n, seed : int
    truth : mapping of column name to float, optional
        By default what all traces together give, whose own error is small beside that of one.
    jackknife : bool
        Whether to take the generic jackknife in place of the statistic's own interval.
    """
    rng = np.random.default_rng(seed)
    bounds, values = [], []
    for start in range(0, n, 40):
        m = min(40, n - start)
        length = round(seconds * RATE_HZ / 4)
        stretches = [stretch_of(world(length, m, rng)) for _ in range(4)]
        if jackknife or statistic.interval is None:
            bounds.append(jackknife_interval(statistic, stretches, statistic.params, Resampling(seed=seed)))
        else:
            bounds.append(statistic.interval(stretches, statistic.params, Resampling(seed=seed)))
        if truth is None:
            values.append([stretch.traces for stretch in stretches])
    if truth is None:
        truth = _pooled(statistic, values)
    together = {name: np.concatenate([found[name] for found in bounds], axis=1) for name in bounds[0] if name in truth}
    return together, truth


def coverage(bounds: Bounds, truth: Mapping[str, float]) -> dict[str, float]:
    """Share of intervals that hold what is true, by column."""
    return {name: float(((low <= truth[name]) & (truth[name] <= high)).mean()) for name, (low, high) in bounds.items()}


def coverage_over_time(*args: Any, **kwargs: Any) -> dict[str, float]:
    """Share of traces whose intervals cover, by column: takes what `intervals_over_time` takes."""
    return coverage(*intervals_over_time(*args, **kwargs))


def widths(bounds: Bounds, quantile: float = 0.5) -> dict[str, float]:
    """Quantile of the widths of intervals, by column."""
    return {name: float(np.quantile(high - low, quantile)) for name, (low, high) in bounds.items()}


def _pooled(statistic: Statistic, groups: list[list[Traces]]) -> dict[str, float]:
    """One value of all traces: their columns strung together as stretches of one."""
    if statistic is MOMENTS:
        state = None
        for group in groups:
            for traces in group:
                own = MomentState.of(traces)
                parts = [
                    MomentState(*(np.array([part]) for part in parts))
                    for parts in zip(*vars(own).values(), strict=True)
                ]
                merged = reduce(MomentState.merge, parts)
                state = merged if state is None else state.merge(merged)
        assert state is not None
        return {name: float(column[0]) for name, column in state.finalize().items()}
    stretches = [
        stretch_of(np.ascontiguousarray(traces[:, [column]]))
        for group in groups
        for traces in group
        for column in range(traces.shape[1])
    ]
    state = reduce(statistic.combine, (statistic.chunk(stretch, statistic.params) for stretch in stretches))
    return {name: float(column[0]) for name, column in statistic.finalize(state, statistic.params).items()}


def tuned_neurons(n: int, peak_dff: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Mean responses to the 40 drifting gratings, shape (direction, frequency, neuron): von Mises by log-Gaussian."""
    direction = np.deg2rad(np.asarray(DIRECTIONS_DEG))[:, None]
    preferred, width = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 4.0, n)
    tuning = np.exp(width * (np.cos(direction - preferred) - 1))
    tuning += rng.uniform(0, 1, n) * np.exp(width * (np.cos(direction - preferred - np.pi) - 1))
    octave = np.log2(np.asarray(TEMPORAL_FREQUENCIES_HZ))[:, None] - rng.uniform(0, 4, n)
    return np.asarray(peak_dff * tuning[:, None] * np.exp(-(octave**2) / 2)[None])


def gratings(mean: npt.NDArray[np.float64], repeats: int, rng: np.random.Generator) -> Stretch:
    """Show 40 gratings and two blanks `repeats` times to these neurons; single responses have skewed noise.

    Every response is multiplied by a gamma variable of mean 1 and variance 1/2, and by 1.3 while the animal runs; it
    rises and decays within the sweep; every frame has noise of 0.1.
    """
    n_directions, n_frequencies, n = mean.shape
    condition = np.concatenate([rng.permutation(n_directions * n_frequencies + 2) for _ in range(repeats)])
    blank = condition >= n_directions * n_frequencies
    which = np.where(blank, 0, condition)
    size = np.where(blank[:, None], 0.0, mean.reshape(-1, n)[which]) * rng.gamma(2.0, 0.5, (len(which), n))
    runs = rng.random(len(which)) < 0.5
    size *= np.where(runs, 1.3, 1.0)[:, None]
    course = np.r_[np.zeros(30), np.sin(np.linspace(0, np.pi, 60))]
    course /= course[30:].mean()
    traces = (size[:, None] * course[None, :, None]).astype(np.float32).reshape(-1, n)
    traces += np.float32(0.1) * rng.standard_normal(traces.shape, dtype=np.float32)
    start = 30 + 90 * np.arange(len(which))
    trials = pd.DataFrame(
        {
            "stimulus": DRIFTING_GRATINGS,
            "start_frame": start,
            "stop_frame": start + 60,
            "blank": blank,
            "direction_deg": np.where(blank, np.nan, np.asarray(DIRECTIONS_DEG)[which // n_frequencies]),
            "temporal_frequency_hz": np.where(
                blank, np.nan, np.asarray(TEMPORAL_FREQUENCIES_HZ)[which % n_frequencies]
            ),
        }
    )
    speed = np.where(np.repeat(runs, 90), 5.0, 0.0)
    return Stretch(traces=traces, trials=trials, rate_hz=RATE_HZ, signals={"running_speed": speed})


def scenes(mean: npt.NDArray[np.float64], repeats: int, rng: np.random.Generator) -> Stretch:
    """Show images, and a blank, `repeats` times to neurons of these mean responses, shape (image, neuron).

    As `gratings`; there is time for a baseline and for the response to end, which rises for 0.2 s.
    """
    n_images, n = mean.shape
    shown = np.concatenate([rng.permutation(n_images + 1) for _ in range(repeats)])
    blank = shown == n_images
    size = np.where(blank[:, None], 0.0, mean[np.where(blank, 0, shown)]) * rng.gamma(2.0, 0.5, (len(shown), n))
    time_s = np.arange(42) / RATE_HZ
    course = np.r_[np.zeros(28), (1 - np.exp(-time_s / 0.2)) * np.exp(-time_s / 0.4)]
    course /= course[28:42].mean()
    traces = (size[:, None] * course[None, :, None]).astype(np.float32).reshape(-1, n)
    traces += np.float32(0.1) * rng.standard_normal(traces.shape, dtype=np.float32)
    start = 28 + 70 * np.arange(len(shown))
    columns = {"stimulus": NATURAL_SCENES, "start_frame": start, "stop_frame": start + 7, "blank": blank}
    trials = pd.DataFrame({**columns, "image": np.where(blank, -1, shown)})
    speed = np.where(np.repeat(rng.random(len(shown)) < 0.5, 70), 5.0, 0.0)
    return Stretch(traces=traces, trials=trials, rate_hz=RATE_HZ, signals={"running_speed": speed})


def image_neurons(n: int, peak_dff: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Mean responses to 40 images: gamma of shape 0.3."""
    return np.asarray(peak_dff * rng.gamma(0.3, size=(40, n)))


def tuning_coverage(
    show: Callable[[npt.NDArray[np.float64], int, np.random.Generator], Stretch],
    repeats: int,
    peak_dff: float,
    n: int,
    recordings: int,
    seed: int = 0,
) -> dict[str, float]:
    """Share of neurons whose intervals of tuning cover, by column.

    Parameters
    ----------
    show : callable
        `gratings` or `scenes`.
    repeats : int
    peak_dff : float
    n, recordings : int
        Neurons of each recording.
    seed : int

    Returns
    -------
    dict
        The truth is what 150 repeats give to the same neurons.
    """
    statistic = TUNING_DRIFTING_GRATINGS if show is gratings else TUNING_NATURAL_SCENES
    neurons = tuned_neurons if show is gratings else image_neurons
    assert statistic.interval is not None
    rng = np.random.default_rng(seed)
    hits: dict[str, list[npt.NDArray[np.float64]]] = {}
    for recording in range(recordings):
        mean = neurons(n, peak_dff, rng)
        long = show(mean, 150, rng)
        truth = statistic.finalize(statistic.chunk(long, statistic.params), statistic.params)
        shown = show(mean, repeats, rng)
        found = statistic.interval([shown], statistic.params, Resampling(seed=recording))
        for name, (low, high) in found.items():
            known = np.isfinite(low) & np.isfinite(truth[name])
            hits.setdefault(name, []).append(((low <= truth[name]) & (truth[name] <= high))[known].astype(np.float64))
    shares = {name: np.concatenate(all_hits) for name, all_hits in hits.items()}
    return {name: float(share.mean()) for name, share in shares.items() if len(share)}


def main(chosen: Sequence[str] = ()) -> None:
    """Print one line a statistic, world and column; of the statistics chosen alone, or of all."""

    def report(case: str, shares: Mapping[str, float], n: int) -> None:
        for name, share in shares.items():
            row("coverage", f"{case}: {name}", share, "1", reference="nominal level", reference_value=0.95, n=n)

    def report_widths(case: str, bounds: Bounds, plain: Bounds, n: int) -> None:
        for quantile, words in ((0.5, "median width"), (0.95, "95th percentile of width")):
            of_jackknife = widths(plain, quantile)
            for name, width in widths(bounds, quantile).items():
                if name in ("mean", "std", "skewness", "kurtosis"):
                    line, reference_value = f"{case}: {words} of {name}", of_jackknife[name]
                    row("coverage", line, width, "1", reference="the jackknife", reference_value=reference_value, n=n)

    for statistic, n in ((MOMENTS, 400), (ROBUST, 200), (DYNAMICS, 200)):
        for name, world in WORLDS.items() if not chosen or statistic.name in chosen else ():
            for seconds in (2160.0, 600.0):
                case = f"{statistic.name}, {name}, {seconds:g} s"
                bounds, truth = intervals_over_time(statistic, world, seconds, n)
                report(case, coverage(bounds, truth), n)
                if statistic is MOMENTS:
                    plain, _ = intervals_over_time(statistic, world, seconds, n, jackknife=True)
                    report_widths(case, bounds, plain, n)
    for show in (gratings, scenes) if not chosen or "tuning" in chosen else ():
        for repeats, peak_dff in ((15, 0.3), (9, 0.3), (15, 0.1), (15, 0.03)):
            shares = tuning_coverage(show, repeats, peak_dff, 60, 4)
            report(f"{show.__name__}, {repeats} repeats, peak {peak_dff:g} dF/F", shares, 240)


if __name__ == "__main__":
    main(sys.argv[1:])
