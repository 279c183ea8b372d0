"""Behavioural signals at the times of imaging frames: every layer that looks at behaviour joins the two clocks here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poyodata.intervals import Intervals

FloatArray = npt.NDArray[np.float64]

LONGEST_STEP_S = 1.0
"""Samples further apart than this are not interpolated between."""


def at_frames(values: FloatArray, sample_s: FloatArray, frame_s: FloatArray) -> FloatArray:
    """Give a signal at the times of frames, by linear interpolation between samples.

    Parameters
    ----------
    values : ndarray, shape (sample,), float64
        NaN where nothing was measured.
    sample_s : ndarray, shape (sample,), float64, seconds, increasing
    frame_s : ndarray, shape (frame,), float64, seconds

    Returns
    -------
    ndarray, shape (frame,), float64
        A sample taken at the very time of a frame is given as it is. NaN before the first sample and after the last
        one, next to missing samples, and where samples are more than `LONGEST_STEP_S` apart.

    Examples
    --------
    >>> at_frames(np.array([1.0, 3.0, np.nan]), np.array([0.0, 0.5, 1.0]), np.array([-1.0, 0.25, 0.5, 0.75]))
    array([nan,  2.,  3., nan])
    """
    found = np.full(len(frame_s), np.nan)
    if len(sample_s) == 0:
        return found
    after = np.searchsorted(sample_s, frame_s, side="left")
    exact = sample_s[np.minimum(after, len(sample_s) - 1)] == frame_s
    found[exact] = values[after[exact]]
    between = np.flatnonzero(~exact & (after > 0) & (after < len(sample_s)))
    low, high = after[between] - 1, after[between]
    step = sample_s[high] - sample_s[low]
    share = (frame_s[between] - sample_s[low]) / step
    found[between] = np.where(step <= LONGEST_STEP_S, values[low] + share * (values[high] - values[low]), np.nan)
    return found


def mean_within(values: npt.NDArray[np.floating], windows: Intervals) -> FloatArray:
    """Mean of a signal over the frames of windows, of the frames at which it is known.

    Parameters
    ----------
    values : ndarray, shape (frame,), float
    windows : ndarray, shape (window, 2), int64
        Frames; none of them empty.

    Returns
    -------
    ndarray, shape (window,), float64
        NaN where no frame of a window is known.

    Examples
    --------
    >>> mean_within(np.array([1.0, 3.0, np.nan, np.nan]), np.array([[0, 2], [1, 4], [2, 4]]))
    array([ 2.,  3., nan])
    """
    if len(windows) == 0:
        return np.empty(0)
    known = np.isfinite(values)
    # Sums of each window by itself: differences of a running sum would make of rest a speed of 1e-9 cm/s.
    edges = np.minimum(windows, len(values)).reshape(-1)
    total = np.add.reduceat(np.r_[np.where(known, values, 0.0), 0.0], edges)[::2]
    count = np.add.reduceat(np.r_[known.astype(np.int64), 0], edges)[::2]
    means = np.full(len(windows), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
