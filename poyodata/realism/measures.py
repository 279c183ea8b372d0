"""What the comparison of real and simulated recordings looks at, each measure as its field defines it.

* Skewness and excess kurtosis: biased, by poyodata's own kernel, over grating time.
* Noise level: 1.4826 x median absolute deviation of successive differences / sqrt(2), so that events do not count.
* Autocorrelation: of dF/F at lags in seconds, never across a gap.
* Reliability: mean pairwise correlation between the time courses (2 s) of the trials of the preferred condition.
* Variance ratio: largest over smallest of the eight directions' variances of the trial response, at the preferred
  temporal frequency.
* gOSI: ``|sum R exp(2i theta)| / sum R`` over directions at the preferred temporal frequency, negative means taken as 0
  (de Vries et al. 2020).
* Responsive: at least a quarter of the trials of the preferred condition above the 95th percentile of 2-s means in the
  spontaneous epoch (de Vries et al. 2020, Nature Neuroscience 23: 138-151; here over all 2-s windows, not a sample).
* Noise correlation: between two neurons' trial responses less the mean of their condition. Frame correlation: between
  their dF/F at every 15th frame.
* Decoding: direction by `poyodata.models.RidgeDecoder` from all neurons' trial responses, every fifth trial held out in
  turn, and each recorded block held out in turn.

A trial's response is the mean dF/F over the 2 s of the sweep. The preferred condition has the largest mean response of
all 40 (8 directions x 5 temporal frequencies).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import StatisticError
from poyodata.models import RidgeDecoder
from poyodata.realism.recording import GratingTime
from poyodata.statistics import MomentState
from poyodata.vocabulary import DIRECTIONS_DEG

FloatArray = npt.NDArray[np.float64]

LAGS_S = (1 / 30, 0.1, 0.2, 1 / 3, 0.5, 1.0, 2.0, 3.0, 5.0)
RESPONSIVE_SHARE, NULL_PERCENTILE = 0.25, 95.0
_FRAME_STEP = 15
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Everything measured on one recording.

    Attributes
    ----------
    neurons : DataFrame, one row a neuron
        ``skewness``, ``kurtosis`` (excess), ``std``, ``noise`` (dF/F), ``reliability``, ``variance_ratio``, ``gosi``,
        ``preferred_direction_deg``, ``preferred_temporal_frequency_hz`` and, where the recording has a spontaneous
        epoch, ``responsive``.
    autocorrelation : ndarray, shape (lag, neuron), float64
        At `LAGS_S`.
    noise_correlation, frame_correlation : ndarray, shape (pair,), float64
    tuning : ndarray, shape (neuron, direction, frequency, 2), float64, dF/F
        Mean and standard error of the trial response.
    ridge_trials, ridge_blocks : float
        Share of held-out trials whose direction was named, every fifth trial or each block held out; NaN with fewer
        than two blocks.
    """

    neurons: pd.DataFrame
    autocorrelation: FloatArray
    noise_correlation: FloatArray
    frame_correlation: FloatArray
    tuning: FloatArray
    ridge_trials: float
    ridge_blocks: float

    def quartiles(self) -> dict[str, tuple[float, ...]]:
        """Summarise by measure: quartiles over neurons or pairs, or the one number of the recording."""
        found: dict[str, tuple[float, ...]] = {}
        for name in ("skewness", "kurtosis", "std", "noise", "reliability", "variance_ratio", "gosi"):
            found[name] = _quartiles(self.neurons[name].to_numpy(np.float64))
        for lag_s, values in zip(LAGS_S, self.autocorrelation, strict=True):
            found[f"autocorrelation_{lag_s:.2g}_s"] = _quartiles(values)
        found["noise_correlation"] = _quartiles(self.noise_correlation)
        found["frame_correlation"] = _quartiles(self.frame_correlation)
        found["ridge_trials"], found["ridge_blocks"] = (self.ridge_trials,), (self.ridge_blocks,)
        if "responsive" in self.neurons:
            found["responsive"] = (float(self.neurons["responsive"].mean()),)
        return found


def measure(recording: GratingTime) -> Measures:
    """Measure a recording.

    Parameters
    ----------
    recording : GratingTime

    Returns
    -------
    Measures

    Raises
    ------
    StatisticError
        When a direction or temporal frequency lacks trials.

    Examples
    --------
    >>> from poyodata.realism.simulated import simulate_gratings
    >>> found = measure(simulate_gratings("tiny", neurons=3))
    >>> found.autocorrelation.shape, found.tuning.shape
    ((9, 3), (3, 8, 2, 2))
    """
    sweeps = Sweeps(recording)
    x, direction, block = sweeps.shown()
    return Measures(
        neurons=measure_neurons(recording, sweeps),
        autocorrelation=autocorrelation(recording),
        noise_correlation=_pairs(sweeps.residuals()),
        frame_correlation=_pairs(recording.dff[::_FRAME_STEP].astype(np.float64)),
        tuning=sweeps.tuning(),
        ridge_trials=decoding(x, direction, np.arange(len(x)) % _FOLDS),
        ridge_blocks=decoding(x, direction, block),
    )


def measure_neurons(recording: GratingTime, sweeps: Sweeps | None = None) -> pd.DataFrame:
    """Measure what is a matter of single neurons.

    Parameters
    ----------
    recording : GratingTime
    sweeps : Sweeps, optional
        Of the recording, when they are at hand.

    Returns
    -------
    DataFrame, one row a neuron
        See `Measures`.
    """
    sweeps = sweeps or Sweeps(recording)
    moments = MomentState.of(recording.dff).finalize()
    direction, frequency = sweeps.preferred
    columns: dict[str, npt.NDArray[np.generic]] = {
        "skewness": moments["skewness"],
        "kurtosis": moments["kurtosis"],
        "std": moments["std"],
        "noise": noise_level(recording),
        "reliability": sweeps.reliability(),
        "variance_ratio": sweeps.variance_ratio(),
        "gosi": sweeps.gosi(),
        "preferred_direction_deg": np.array(DIRECTIONS_DEG)[direction],
        "preferred_temporal_frequency_hz": sweeps.frequencies_hz[frequency],
    }
    if recording.grey is not None:
        columns["responsive"] = sweeps.responsive(recording.grey)
    return pd.DataFrame(columns)


def noise_level(recording: GratingTime) -> FloatArray:
    """Noise of each frame, dF/F, shape (neuron,), from successive differences within segments."""
    steps = np.concatenate([np.diff(recording.dff[a:b], axis=0) for a, b in recording.segments.tolist()])
    return np.asarray(1.4826 * np.median(np.abs(steps - np.median(steps, axis=0)), axis=0) / np.sqrt(2.0), np.float64)


def autocorrelation(recording: GratingTime, lags_s: tuple[float, ...] = LAGS_S) -> FloatArray:
    """Autocorrelation of dF/F, shape (lag, neuron), over pairs of frames within a segment."""
    x = recording.dff - recording.dff.mean(axis=0, dtype=np.float64)
    variance = np.einsum("tn,tn->n", x, x) / len(x)
    found = np.full((len(lags_s), recording.n_neurons), np.nan)
    for at, lag_s in enumerate(lags_s):
        lag = max(1, round(lag_s * recording.rate_hz))
        pieces = [x[a:b] for a, b in recording.segments.tolist() if b - a > lag]
        pairs = sum(len(piece) - lag for piece in pieces)
        if pairs:
            found[at] = sum(np.einsum("tn,tn->n", piece[lag:], piece[:-lag]) for piece in pieces) / pairs / variance
    return found


def decoding(x: FloatArray, direction: npt.NDArray[np.int64], fold: npt.NDArray[np.int64]) -> float:
    """Share of trials whose direction a ridge decoder names when their fold is held out; NaN for fewer than two folds.

    Parameters
    ----------
    x : ndarray, shape (trial, neuron), float64, dF/F
    direction, fold : ndarray, shape (trial,), int64
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        return float("nan")
    right = np.zeros(len(x), bool)
    for held in folds.tolist():
        test = fold == held
        right[test] = RidgeDecoder().fit(x[~test], direction[~test]).predict(x[test]) == direction[test]
    return float(right.mean())


class Sweeps:
    """Responses of a recording's neurons to every sweep, and what follows from them.

    Parameters
    ----------
    recording : GratingTime

    Attributes
    ----------
    courses : ndarray, shape (trial, frame, neuron), float32
    response : ndarray, shape (trial, neuron), float64
    frequencies_hz : ndarray, shape (frequency,), float64
        Temporal frequencies shown.
    condition : ndarray, shape (trial,), int64
        ``direction x frequencies + frequency``; -1 for blanks.
    """

    def __init__(self, recording: GratingTime) -> None:
        trials = recording.trials
        start = trials["start_frame"].to_numpy(np.int64)
        self.courses = recording.dff[start[:, None] + np.arange(recording.sweep_frames)]
        self.response: FloatArray = self.courses.mean(axis=1, dtype=np.float64)
        shown = ~trials["blank"].to_numpy(bool)
        frequency_hz = trials["temporal_frequency_hz"].to_numpy(np.float64)
        self.frequencies_hz = np.unique(frequency_hz[shown])
        direction = np.rint(np.nan_to_num(trials["direction_deg"].to_numpy(np.float64)) / 45.0).astype(np.int64) % 8
        frequency = np.searchsorted(self.frequencies_hz, np.nan_to_num(frequency_hz))
        self.condition = np.where(shown, direction * len(self.frequencies_hz) + frequency, -1)
        self.block = trials["block"].to_numpy(np.int64)
        count = np.bincount(self.condition[shown], minlength=8 * len(self.frequencies_hz))
        if count.min(initial=2) < 2:
            raise StatisticError(
                f"recording {recording.name} shows a grating less than twice; tuning needs two trials of each of the "
                f"{len(count)} directions and temporal frequencies."
            )

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and variance of the response by (condition, neuron), and trials by (condition,)."""
        conditions = range(8 * len(self.frequencies_hz))
        groups = [self.response[self.condition == k] for k in conditions]
        mean = np.stack([group.mean(axis=0) for group in groups])
        variance = np.stack([group.var(axis=0, ddof=1) for group in groups])
        return mean, variance, np.array([len(group) for group in groups], np.float64)

    @cached_property
    def best(self) -> npt.NDArray[np.int64]:
        """Preferred condition, shape (neuron,)."""
        return np.asarray(self.moments[0].argmax(axis=0), np.int64)

    @property
    def preferred(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Preferred direction and temporal frequency, as indices, each of shape (neuron,)."""
        direction, frequency = np.divmod(self.best, len(self.frequencies_hz))
        return direction, frequency

    def shown(self) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Responses, directions and blocks of the trials that were not blank."""
        trial = self.condition >= 0
        return self.response[trial], self.condition[trial] // len(self.frequencies_hz), self.block[trial]

    def reliability(self) -> FloatArray:
        """Mean pairwise correlation of the trials' time courses at the preferred condition, shape (neuron,)."""
        found = np.full(self.response.shape[1], np.nan)
        for condition in np.unique(self.best).tolist():
            neurons = np.flatnonzero(self.best == condition)
            z = self.courses[self.condition == condition][:, :, neurons].astype(np.float64)
            z -= z.mean(axis=1, keepdims=True)
            z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
            trials = len(z)
            # The squared length of a sum of unit vectors is their number plus all pairwise correlations.
            found[neurons] = ((z.sum(axis=0) ** 2).sum(axis=0) - trials) / (trials * (trials - 1))
        return found

    def variance_ratio(self) -> FloatArray:
        """Largest over smallest variance among the directions at the preferred temporal frequency, shape (neuron,)."""
        variance = self._at_preferred_frequency(self.moments[1])
        return np.asarray(variance.max(axis=0) / variance.min(axis=0))

    def gosi(self) -> FloatArray:
        """Global orientation selectivity, shape (neuron,)."""
        response = np.clip(self._at_preferred_frequency(self.moments[0]), 0.0, None)
        turn = np.exp(2j * np.deg2rad(DIRECTIONS_DEG))[:, None]
        total = response.sum(axis=0)
        # A neuron whose every mean response is negative has no tuning to speak of.
        return np.asarray(np.abs((response * turn).sum(axis=0)) / np.where(total > 0, total, np.nan))

    def tuning(self) -> FloatArray:
        """Mean and standard error, shape (neuron, direction, frequency, 2)."""
        mean, variance, count = self.moments
        both = np.stack([mean, np.sqrt(variance / count[:, None])], axis=2)
        return both.reshape(8, len(self.frequencies_hz), -1, 2).transpose(2, 0, 1, 3)

    def residuals(self) -> FloatArray:
        """Responses less the mean of their condition, without blanks, shape (trial, neuron)."""
        trial = self.condition >= 0
        return np.asarray(self.response[trial] - self.moments[0][self.condition[trial]])

    def responsive(self, grey: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Allen's criterion against a spontaneous epoch of shape (time, neuron); returns shape (neuron,)."""
        frames = self.courses.shape[1]
        if len(grey) < 2 * frames:
            raise StatisticError(
                f"the spontaneous epoch has {len(grey)} frames; responsiveness needs at least {2 * frames}."
            )
        total = np.cumsum(np.pad(grey.astype(np.float64), ((1, 0), (0, 0))), axis=0)
        threshold = np.percentile((total[frames:] - total[:-frames]) / frames, NULL_PERCENTILE, axis=0)
        above = self.response > threshold
        share = np.stack([above[self.condition == k].mean(axis=0) for k in range(8 * len(self.frequencies_hz))])
        return np.asarray(share[self.best, np.arange(len(self.best))] >= RESPONSIVE_SHARE)

    def _at_preferred_frequency(self, values: FloatArray) -> FloatArray:
        by_frequency = values.reshape(8, len(self.frequencies_hz), -1)
        return np.take_along_axis(by_frequency, self.preferred[1][None, None, :].repeat(8, axis=0), axis=1)[:, 0]


def _pairs(values: FloatArray) -> FloatArray:
    """Correlations of all pairs of columns."""
    correlation = np.corrcoef(values, rowvar=False)
    return np.asarray(np.atleast_2d(correlation)[np.triu_indices(values.shape[1], 1)])


def _quartiles(values: FloatArray) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    return tuple(np.percentile(known, (25, 50, 75)).tolist()) if len(known) else (float("nan"),) * 3
