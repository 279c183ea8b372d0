"""How a trace moves in time: autocorrelation, predictability from its own past, and spread over frequencies.

A recording is cut into pieces of about 60 s, never across a gap or the end of a stretch. Each is centred on its own
mean, so that slow drift between pieces does not count, and gives sums of products for every lag up to 8 s, through one
Fourier transform. Everything else follows from the sums, which add up stretch by stretch in little memory: one set for
even pieces, one for odd ones.

* Autocorrelation time: the lag at which the autocorrelation first falls below 1 / e, interpolated between frames.
* Autoregression of order 10: coefficients from the even pieces (Yule-Walker), judged on the odd ones, and the other way
  round. With c the autocovariances of the pieces held out and C their matrix, the share of variance predicted is
  R^2 = (2 a.c - a'Ca) / c_0: the average of the two, negative where the past misleads.
* Spectral entropy: of the mean spectrum of the pieces (their autocovariance through a Hann lag window), over the
  logarithm of the number of frequencies: 1 for white noise, towards 0 for a slow trace. The mean is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch
from poyodata.statistics.uncertainty import FEWEST_PIECES, jackknife_centre_and_error, student_interval

FloatArray = npt.NDArray[np.float64]

PIECE_S = 60.0
SHORTEST_S = 16.0  # twice the longest lag
LONGEST_LAG_S = 8.0
ORDER = 10
_COLUMNS_AT_A_TIME = 32


@dataclass(frozen=True)
class LagProducts:
    """Sums of products of a trace with its own past.

    Attributes
    ----------
    total : ndarray, shape (2, neuron, lag), float64, (dF/F)^2
        Sums over pairs of frames, for even pieces and for odd ones.
    pairs : ndarray, shape (2, neuron, lag), float64
        Pairs of frames behind each.
    n_pieces : int
    rate_hz : float
    """

    total: FloatArray
    pairs: FloatArray
    n_pieces: int
    rate_hz: float

    def merge(self, other: LagProducts) -> LagProducts:
        """Sums of both; the other's pieces come after this one's."""
        turn = slice(None, None, -1 if self.n_pieces % 2 else 1)
        return LagProducts(
            self.total + other.total[turn],
            self.pairs + other.pairs[turn],
            self.n_pieces + other.n_pieces,
            self.rate_hz,
        )

    def covariance(self) -> FloatArray:
        """Autocovariance of even and odd pieces, shape (2, neuron, lag); NaN where nothing was seen."""
        return np.asarray(self.total / np.where(self.pairs > 0, self.pairs, np.nan))


def _n_lags(rate_hz: float) -> int:
    return max(ORDER + 1, round(LONGEST_LAG_S * rate_hz)) + 1


def piece_spans(n_frames: int, rate_hz: float) -> list[tuple[int, int]]:
    """Cut a stretch into pieces; the last one is left out where it is too short.

    Examples
    --------
    >>> piece_spans(4000, 30.0)
    [(0, 1800), (1800, 3600)]
    """
    length, shortest = round(PIECE_S * rate_hz), max(2 * _n_lags(rate_hz) - 2, round(SHORTEST_S * rate_hz))
    spans = ((start, min(start + length, n_frames)) for start in range(0, n_frames, length))
    return [(start, stop) for start, stop in spans if stop - start >= shortest]


def lag_products(traces: npt.NDArray[np.float32], rate_hz: float) -> LagProducts:
    """Sum products over every lag.

    Parameters
    ----------
    traces : ndarray, shape (time, neuron), float32
        One stretch. A piece in which a neuron has a missing frame is left out for that neuron.
    rate_hz : float

    Returns
    -------
    LagProducts

    Examples
    --------
    >>> white = np.random.default_rng(0).standard_normal((6000, 1), dtype=np.float32)
    >>> covariance = lag_products(white, 30.0).covariance()[0, 0]
    >>> bool(abs(covariance[0] - 1) < 0.1), bool(abs(covariance[1:]).max() < 0.1)
    (True, True)
    """
    from scipy import fft

    lags, length = _n_lags(rate_hz), round(PIECE_S * rate_hz)
    n_neurons = traces.shape[1]
    total, pairs = np.zeros((2, n_neurons, lags)), np.zeros((2, n_neurons, lags))
    spans = piece_spans(len(traces), rate_hz)
    size = fft.next_fast_len(length + lags, real=True)
    for turn, (start, stop) in enumerate(spans):
        piece = traces[start:stop]
        count = len(piece) - np.arange(lags, dtype=np.float64)
        for first in range(0, n_neurons, _COLUMNS_AT_A_TIME):
            columns = slice(first, first + _COLUMNS_AT_A_TIME)
            own = np.ascontiguousarray(piece[:, columns].T)
            seen = np.asarray(np.isfinite(own).all(axis=1))
            own = np.where(seen[:, None], own, np.float32(0))
            own -= own.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
            spectrum = fft.rfft(own, size, axis=1)
            products = fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=1)[:, :lags]
            total[turn % 2, columns] += products
            pairs[turn % 2, columns] += seen[:, None] * count
    return LagProducts(total, pairs, len(spans), rate_hz)


def correlation_time_s(covariance: FloatArray, rate_hz: float) -> FloatArray:
    """Lag at which the autocorrelation first falls below 1 / e.

    Parameters
    ----------
    covariance : ndarray, shape (neuron, lag), float64
    rate_hz : float

    Returns
    -------
    ndarray, shape (neuron,), float64, seconds
        NaN where it does not within the lags, or the variance is zero or unknown.

    Examples
    --------
    >>> correlation_time_s(np.exp(-np.arange(90.0) / 15)[None], 30.0).round(2)
    array([0.5])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / covariance[:, :1]
        below = correlation < np.exp(-1.0)
        lag = below.argmax(axis=1)
        row = np.arange(len(lag))
        before, after = correlation[row, lag - 1], correlation[row, lag]
        crossing = lag - 1 + (before - np.exp(-1.0)) / (before - after)
    known = below.any(axis=1) & (covariance[:, 0] > 0)
    return np.where(known, crossing / rate_hz, np.nan)


def held_out_r2(covariance: FloatArray, order: int = ORDER) -> FloatArray:
    """Share of variance that a linear prediction from the last frames explains on pieces it was not fitted to.

    Parameters
    ----------
    covariance : ndarray, shape (2, neuron, lag), float64
        Of even and odd pieces.
    order : int

    Returns
    -------
    ndarray, shape (neuron,), float64
        Mean of both directions; NaN where one half was not seen or never varies.

    Examples
    --------
    >>> slow = 0.9 ** np.arange(30.0)
    >>> held_out_r2(np.stack([slow[None], slow[None]])).round(3)  # of an AR(1) process: 0.9 ** 2
    array([0.81])
    """
    lag = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    usable = np.isfinite(covariance[:, :, 0]).all(axis=0) & (covariance[:, :, 0] > 0).all(axis=0)
    result = np.full(covariance.shape[1], np.nan)
    matrix, past = covariance[:, usable][:, :, lag], covariance[:, usable, 1 : order + 1]
    # A ridge of rounding size: the matrix of a trace without noise is singular in float64.
    ridge = 1e-9 * covariance[:, usable, 0][..., None, None] * np.eye(order)
    weights = np.linalg.solve(matrix + ridge, past[..., None])[..., 0][::-1]
    explained = 2 * (weights * past).sum(axis=2) - np.einsum("hni,hnij,hnj->hn", weights, matrix, weights)
    result[usable] = (explained / covariance[:, usable, 0]).mean(axis=0)
    return result


def spectral_entropy(covariance: FloatArray) -> FloatArray:
    """Entropy of the spectrum over its largest possible value.

    Parameters
    ----------
    covariance : ndarray, shape (neuron, lag), float64

    Returns
    -------
    ndarray, shape (neuron,), float64, from 0 to 1
        NaN where the variance is zero or unknown.

    Examples
    --------
    >>> white = np.eye(1, 240)
    >>> spectral_entropy(white).round(3)
    array([1.])
    """
    lags = covariance.shape[1]
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(lags) / lags)
    two_sided = np.concatenate([covariance * window, (covariance * window)[:, :0:-1]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        power = np.clip(np.fft.rfft(two_sided, axis=1).real[:, 1:], 0.0, None)
        share = power / power.sum(axis=1, keepdims=True)
        terms = np.where(share > 0, -share * np.log(np.where(share > 0, share, 1.0)), 0.0)
    entropy = terms.sum(axis=1) / np.log(power.shape[1])
    return np.where(covariance[:, 0] > 0, entropy, np.nan)


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> LagProducts:  # noqa: ARG001 - the shape all statistics have
    return lag_products(stretch.traces, stretch.rate_hz)


def _finalize(state: LagProducts, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    pairs = state.pairs.sum(axis=0)
    whole = state.total.sum(axis=0) / np.where(pairs > 0, pairs, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ar1 = np.where(whole[:, 0] > 0, whole[:, 1] / whole[:, 0], np.nan)
    return {
        "autocorrelation_time_s": correlation_time_s(whole, state.rate_hz),
        # Over as many pairs as there are, a slow trace can exceed 1 by a fraction of a frame in a piece.
        "ar1": np.clip(ar1, -1.0, 1.0),
        "ar_r2": np.minimum(held_out_r2(state.covariance(), params["order"]), 1.0),
        "spectral_entropy": spectral_entropy(whole),
    }


def _interval(stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling) -> Interval:
    """Give the jackknife over the pieces that the sums are made of anyway; they stay even or odd as they are."""
    n_neurons = stretches[0].traces.shape[1]
    bounds = np.full((len(DYNAMICS.columns), 2, n_neurons), np.nan)
    for start in range(0, n_neurons, _COLUMNS_AT_A_TIME):
        columns = slice(start, start + _COLUMNS_AT_A_TIME)
        pieces = [
            lag_products(np.ascontiguousarray(stretch.traces[first:last, columns]), stretch.rate_hz)
            for stretch in stretches
            for first, last in piece_spans(len(stretch.traces), stretch.rate_hz)
        ]
        if len(pieces) < FEWEST_PIECES:
            break
        total, pairs = (
            np.stack([np.roll(getattr(piece, name), turn, axis=0) for turn, piece in enumerate(pieces)])
            for name in ("total", "pairs")
        )
        products = LagProducts(total.sum(axis=0), pairs.sum(axis=0), len(pieces), pieces[0].rate_hz)
        whole = _finalize(products, params)
        without = [
            _finalize(replace(products, total=products.total - a, pairs=products.pairs - b), params)
            for a, b in zip(total, pairs, strict=True)
        ]
        frames = np.array([piece.pairs[0, :, 0].max() for piece in pieces])
        for row, (name, column) in enumerate(DYNAMICS.columns.items()):
            _, error = jackknife_centre_and_error(whole[name], np.stack([rest[name] for rest in without]), frames)
            bounds[row, :, columns] = student_interval(whole[name], error, len(pieces), resampling.level, column)
    return {name: (low, high) for name, (low, high) in zip(DYNAMICS.columns, bounds, strict=True)}


DYNAMICS = Statistic(
    name="dynamics",
    version=2,
    group="dynamics",
    columns={
        "autocorrelation_time_s": Column(
            dtype="float64", unit="s", definition="Lag at which the autocorrelation first falls below 1 / e.", low=0.0
        ),
        "ar1": Column(
            dtype="float64", unit="1", definition="Autocorrelation from one frame to the next.", low=-1.0, high=1.0
        ),
        "ar_r2": Column(
            dtype="float64",
            unit="1",
            definition="Share of variance predicted one frame ahead from the last 10 frames, on pieces of train time "
            "that the coefficients were not fitted to; may be negative.",
            high=1.0,
        ),
        "spectral_entropy": Column(
            dtype="float64",
            unit="1",
            definition="Entropy of the spectrum over that of white noise, from 0 to 1.",
            low=0.0,
            high=1.0,
        ),
    },
    chunk=_chunk,
    combine=LagProducts.merge,
    finalize=_finalize,
    interval=_interval,
    nan_policy=f"Pieces of up to {PIECE_S:.0f} s count, stretches under {SHORTEST_S:.0f} s do not; a piece with a gap "
    "(NaN or infinite) is left out for that neuron. NaN without a piece (ar_r2: without two), and for a constant.",
    params={"order": ORDER},
)
