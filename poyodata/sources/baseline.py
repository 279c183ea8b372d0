"""dF/F from fluorescence, for sources that keep no dF/F: the same formulas for suite2p folders and NWB 2 files.

With ``F`` the fluorescence of a region and ``Fneu`` that of the neuropil around it, over time ``t`` in frames::

    Fc(t)  = F(t) - neucoeff * Fneu(t)
    dff(t) = (Fc(t) - F0(t)) / F0(t),   NaN where F0(t) <= 0

The baseline ``F0`` is, as suite2p's own preprocessing has it,

- ``maximin``: Gaussian filter of Fc (standard deviation ``sig_baseline_frames``), then a running minimum, then a
  running maximum, each over ``int(win_baseline_s * rate_hz)`` frames; edges are mirrored (SciPy's default);
- ``prctile``: the percentile ``prctile_baseline`` of Fc over the whole recording, one value a region;
- ``constant``: the minimum of the Gaussian-filtered Fc over the whole recording, one value a region.

suite2p stops at ``Fc - F0``; the division is ours. All is computed in float32, as suite2p does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from poyodata.sources.recording_mapping import DffMapping

FloatArray = npt.NDArray[np.float32]
Reader = Callable[[int, int], FloatArray]

# SciPy cuts a Gaussian filter off at this many standard deviations.
_TRUNCATE = 4.0
_BYTES = 48_000_000


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What dF/F is computed with; the values are suite2p's.

    Attributes
    ----------
    neucoeff : float
    baseline : {"maximin", "prctile", "constant"}
    win_baseline_s : float, seconds
    sig_baseline_frames : float, frames
    prctile_baseline : float, percent
    """

    neucoeff: float = 0.7
    baseline: Literal["maximin", "prctile", "constant"] = "maximin"
    win_baseline_s: float = 60.0
    sig_baseline_frames: float = 10.0
    prctile_baseline: float = 8.0

    def replaced(self, mapping: DffMapping) -> Baseline:
        """Return it with what a mapping says."""
        given = {key: value for key, value in mapping if key != "neuropil" and value is not None}
        return Baseline(**(self.__dict__ | given))


class CorrectedFluorescence:
    """``F - neucoeff * Fneu``, block by block.

    Parameters
    ----------
    cells : callable ``(start_frame, stop_frame) -> ndarray, shape (time, neuron), float32``
    neuropil : callable, optional
        The cells as they are when it is left out.
    neucoeff : float
    """

    def __init__(self, cells: Reader, neuropil: Reader | None, neucoeff: float) -> None:
        self.cells = cells
        self.neuropil = neuropil
        self.neucoeff = neucoeff

    def __call__(self, start_frame: int, stop_frame: int) -> FloatArray:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron)."""
        cells = self.cells(start_frame, stop_frame)
        if self.neuropil is None:
            return cells
        return cells - np.float32(self.neucoeff) * self.neuropil(start_frame, stop_frame)


class BaselineDff:
    """dF/F, block by block; the module's documentation has the formulas.

    A running baseline needs as many frames around a block as its filters reach, so that a longer stretch is computed at
    once and blocks are cut from it: the memory is that of the stretch, about 48 MB for each of a few arrays, however
    long the recording is. A baseline of the whole recording is found once, in one pass over few neurons at a time.

    Parameters
    ----------
    corrected : callable ``(start_frame, stop_frame) -> ndarray, shape (time, neuron), float32``
    shape : tuple of int
        (time, neuron).
    rate_hz : float
    baseline : Baseline
    of_neurons : callable ``(first, last) -> ndarray, shape (time, neuron), float32``, optional
        Whole traces of some neurons, for a baseline of the whole recording; blocks of all are joined without.

    Examples
    --------
    >>> cells = np.full((90, 1), 2.0, np.float32)
    >>> cells[50] = 5.0
    >>> dff = BaselineDff(lambda a, b: cells[a:b], cells.shape, 30.0, Baseline(baseline="prctile"))
    >>> dff(49, 52)[:, 0].tolist()
    [0.0, 1.5, 0.0]
    """

    def __init__(
        self,
        corrected: Reader,
        shape: tuple[int, int],
        rate_hz: float,
        baseline: Baseline,
        of_neurons: Reader | None = None,
    ) -> None:
        self.corrected = corrected
        self.shape = shape
        self.baseline = baseline
        self.window_frames = max(1, int(baseline.win_baseline_s * rate_hz))
        self.of_neurons = of_neurons
        self._level: FloatArray | None = None
        self._stretch: tuple[int, FloatArray] | None = None

    def __call__(self, start_frame: int, stop_frame: int) -> FloatArray:
        """Compute frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        if self.baseline.baseline != "maximin":
            if self._level is None:
                self._level = self._levels()
            return _over(self.corrected(start_frame, stop_frame), self._level)
        if self._stretch is None or not self._covers(start_frame, stop_frame):
            self._stretch = None  # its memory is given back before more is taken
            self._stretch = self._running(start_frame, stop_frame)
        first, values = self._stretch
        block = np.ascontiguousarray(values[start_frame - first : stop_frame - first])
        if stop_frame >= self.shape[0]:
            self._stretch = None
        return block

    def _covers(self, start: int, stop: int) -> bool:
        return self._stretch is not None and (
            self._stretch[0] <= start and stop <= self._stretch[0] + len(self._stretch[1])
        )

    def _running(self, start: int, stop: int) -> tuple[int, FloatArray]:
        """Compute a stretch from `start` on, at least to `stop`."""
        n_frames, n_neurons = self.shape
        reach = int(_TRUNCATE * self.baseline.sig_baseline_frames + 0.5) + self.window_frames + 2
        stop = min(n_frames, max(stop, start + _BYTES // (4 * n_neurons) - 2 * reach, start + reach))
        low, high = max(0, start - reach), min(n_frames, stop + reach)
        cells = self.corrected(low, high)
        dff = np.empty((stop - start, n_neurons), np.float32)
        step = max(1, _BYTES // (16 * len(cells)))
        for first in range(0, n_neurons, step):  # filters make several copies
            part = slice(first, first + step)
            floor = maximin(cells[:, part], self.window_frames, self.baseline.sig_baseline_frames)
            dff[:, part] = _over(cells[start - low : stop - low, part], floor[start - low : stop - low])
        return start, dff

    def _levels(self) -> FloatArray:
        n_frames, n_neurons = self.shape
        levels = np.empty(n_neurons, np.float32)
        step = max(1, _BYTES // (4 * n_frames))
        for first in range(0, n_neurons, step):
            last = min(first + step, n_neurons)
            traces = self._whole(first, last)
            if self.baseline.baseline == "prctile":
                levels[first:last] = np.percentile(traces, self.baseline.prctile_baseline, axis=0)
            else:
                levels[first:last] = _smooth(traces, self.baseline.sig_baseline_frames).min(axis=0)
        return levels

    def _whole(self, first: int, last: int) -> FloatArray:
        if self.of_neurons is not None:
            return self.of_neurons(first, last)
        n_frames, n_neurons = self.shape
        rows = max(1, _BYTES // (4 * n_neurons))
        traces = np.empty((n_frames, last - first), np.float32)
        for start in range(0, n_frames, rows):
            stop = min(start + rows, n_frames)
            traces[start:stop] = self.corrected(start, stop)[:, first:last]
        return traces

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stretch": None}


def maximin(traces: npt.NDArray[Any], window_frames: int, sigma_frames: float) -> npt.NDArray[Any]:
    """Find the running baseline: Gaussian filter, running minimum, running maximum.

    Parameters
    ----------
    traces : ndarray, shape (time, neuron)
    window_frames : int
    sigma_frames : float

    Returns
    -------
    ndarray, shape (time, neuron), in the dtype of the traces

    Examples
    --------
    >>> maximin(np.array([[1.0], [1.0], [9.0], [1.0], [1.0]]), 3, 0.1).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    low = minimum_filter1d(_smooth(traces, sigma_frames), window_frames, axis=0)
    return np.asarray(maximum_filter1d(low, window_frames, axis=0))


def _smooth(traces: npt.NDArray[Any], sigma_frames: float) -> npt.NDArray[Any]:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(traces, sigma_frames, axis=0, truncate=_TRUNCATE))


def _over(cells: FloatArray, floor: npt.NDArray[Any]) -> FloatArray:
    """Fluorescence over its baseline, less 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        dff = (cells - floor) / floor
    return np.where(floor > 0, dff, np.float32(np.nan)).astype(np.float32, copy=False)
