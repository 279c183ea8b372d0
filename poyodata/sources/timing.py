"""From seconds to frames, once and for all: presentations whose times a file keeps, not their frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.sources.presentations import presentation_rows

Clock = npt.NDArray[np.float64]


def nearest_frames(seconds: npt.ArrayLike, time_s: Clock) -> npt.NDArray[np.int64]:
    """Frame whose timestamp is nearest to each time; the number of frames for a time at the end of the last.

    Of two frames equally far the earlier one is taken, and a time in a gap belongs to the frame after it. Starts and
    stops go through the same rule, so that presentations that follow each other without a pause do so in frames.

    Parameters
    ----------
    seconds : array_like, shape (n,)
    time_s : ndarray, shape (time,), float64, seconds
        Timestamps of the frames, increasing.

    Returns
    -------
    ndarray, shape (n,), int64

    Examples
    --------
    >>> nearest_frames([0.0, 0.16, 0.29, 0.4, 2.5], np.array([0.0, 0.1, 0.2, 0.3, 5.0])).tolist()
    [0, 2, 3, 4, 4]
    """
    steps = np.diff(time_s)
    usual = np.median(steps)
    middles = time_s + np.append(np.minimum(steps, usual), usual) / 2
    return np.searchsorted(middles, np.asarray(seconds, np.float64), side="left").astype(np.int64)


def rate_of(time_s: Clock) -> float:
    """Frames a second by the usual step of a clock, to six decimals, as steps are known with the error of float64.

    Parameters
    ----------
    time_s : ndarray, shape (time,), float64, seconds

    Returns
    -------
    float, Hz
        1.0 for a clock of one frame.

    Examples
    --------
    >>> 1.0 / float(np.median(np.diff(np.arange(900) / 10.0))), rate_of(np.arange(900) / 10.0)
    (9.999999999999858, 10.0)
    """
    return round(1.0 / float(np.median(np.diff(time_s))), 6) if len(time_s) > 1 else 1.0


def timed_presentations(
    stimulus: str,
    start_s: npt.ArrayLike,
    stop_s: npt.ArrayLike,
    time_s: Clock,
    *,
    outside: Literal["error", "drop"] = "error",
    **columns: Any,
) -> pd.DataFrame:
    """Build the rows of one stimulus from times in seconds.

    Parameters
    ----------
    stimulus : str
    start_s, stop_s : array_like, shape (presentation,), seconds on the clock of `time_s`
    time_s : ndarray, shape (time,), float64, seconds
    outside : {"error", "drop"}
        What becomes of presentations that the imaging does not cover: those that start more than a frame away from
        every frame, or stop more than a frame after the last one, or after the last one before a gap and still in it.
    **columns : array_like, shape (presentation,), optional
        As `presentation_rows` takes them.

    Returns
    -------
    DataFrame
        As `presentation_rows` returns it.

    Raises
    ------
    SourceError
        When a time is no number, a stop lies before its start, or a presentation is outside and may not be.

    Examples
    --------
    >>> rows = timed_presentations("gratings", [1.0, 90.0], [2.0, 91.0], np.arange(100) / 10, outside="drop")
    >>> rows[["start_frame", "stop_frame"]].values.tolist()
    [[10, 20]]
    """
    start, stop = np.asarray(start_s, np.float64), np.asarray(stop_s, np.float64)
    wrong = ~np.isfinite(start) | ~np.isfinite(stop) | (stop < start)
    if wrong.any():
        row = int(wrong.argmax())
        raise SourceError(f"row {row} of {stimulus} lasts from {start[row]:g} to {stop[row]:g} s; times that increase.")
    step_s = float(np.median(np.diff(time_s)))
    first, last = nearest_frames(start, time_s), nearest_frames(stop, time_s)
    far = np.abs(time_s[np.minimum(first, len(time_s) - 1)] - start) > step_s
    after = np.searchsorted(time_s, stop, side="right")
    past, ahead = stop - time_s[np.maximum(after - 1, 0)], np.append(time_s, np.inf)[after] - stop
    covered = ~(far | (first >= len(time_s)) | ((past > 2 * step_s) & (ahead > step_s)))
    if not covered.all():
        row = int((~covered).argmax())
        if outside == "error":
            raise SourceError(
                f"row {row} of {stimulus} lasts from {start[row]:g} to {stop[row]:g} s, but the imaging from "
                f"{time_s[0]:g} to {time_s[-1]:g} s (or it pauses then); `outside: drop` in the mapping leaves such "
                "presentations out."
            )
        start, first, last = start[covered], first[covered], last[covered]
        columns = {name: values if values is None else np.asarray(values)[covered] for name, values in columns.items()}
    return presentation_rows(stimulus, first, np.maximum(first, last), time_s, **columns)


def stops_of_starts(start_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """End of presentations of which only the starts are known: the next start, or the usual time after a pause.

    Parameters
    ----------
    start_s : array_like, shape (presentation,), seconds, increasing

    Returns
    -------
    ndarray, shape (presentation,), float64
        A step longer than 1.5 times the median step is a pause.

    Examples
    --------
    >>> stops_of_starts([0.0, 1.0, 2.0, 9.0]).tolist()
    [1.0, 2.0, 3.0, 10.0]
    """
    start = np.asarray(start_s, np.float64)
    if len(start) < 2:
        return start.copy()
    steps = np.diff(start)
    usual = float(np.median(steps))
    stop: npt.NDArray[np.float64] = start + np.append(np.where(steps > 1.5 * usual, usual, steps), usual)
    return stop
