"""From start and stop frames to the presentations table that every source yields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.sources.record import PRESENTATION_COLUMNS, number_epochs


def presentation_rows(
    stimulus: str,
    start_frame: npt.ArrayLike,
    stop_frame: npt.ArrayLike,
    time_s: npt.NDArray[np.float64],
    *,
    direction_deg: npt.ArrayLike | None = None,
    temporal_frequency_hz: npt.ArrayLike | None = None,
    orientation_deg: npt.ArrayLike | None = None,
    spatial_frequency_cpd: npt.ArrayLike | None = None,
    phase: npt.ArrayLike | None = None,
    image: npt.ArrayLike | None = None,
    movie_frame: npt.ArrayLike | None = None,
    repeat: npt.ArrayLike | None = None,
    blank: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Build the rows of one stimulus, sorted and numbered in time order, blanks counted.

    Parameters
    ----------
    stimulus : str
    start_frame, stop_frame : array_like, shape (presentation,), integer
        Half-open. A presentation shorter than a frame (stop equal to start) gets the one frame it began in.
    time_s : ndarray, shape (time,), float64, seconds
    direction_deg, temporal_frequency_hz, orientation_deg, spatial_frequency_cpd, phase : array_like, optional
        Shape (presentation,), as those below. NaN where left out, and for blanks.
    image, movie_frame, repeat : array_like of integer, optional
        -1 where left out; ``image`` also for blanks.
    blank : array_like of bool, optional
        False where left out.

    Returns
    -------
    DataFrame
        `PRESENTATION_COLUMNS`, ``epoch`` still 0.

    Raises
    ------
    SourceError
        When a row points outside the recording, or has a phase that is no share of a cycle.

    Examples
    --------
    >>> time_s = np.arange(100) / 30.0
    >>> rows = presentation_rows("gratings", [40, 10], [70, 40], time_s, direction_deg=[90, np.nan], blank=[0, 1])
    >>> rows[["trial", "start_frame", "direction_deg", "blank"]].values.tolist()
    [[0, 10, nan, True], [1, 40, 90.0, False]]
    """
    start = np.asarray(start_frame).astype(np.int64)
    stop = np.asarray(stop_frame).astype(np.int64)
    order = np.lexsort((stop, start))
    stop = np.where(stop == start, start + 1, stop)
    wrong = (start < 0) | (stop > len(time_s)) | (stop < start)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise SourceError(
            f"row {row} of {stimulus} spans frames {start[row]} to {stop[row]}, outside the {len(time_s)} frames of "
            "the traces; the file is truncated or its stimulus table belongs to another recording."
        )
    count = len(start)
    is_blank = np.zeros(count, bool) if blank is None else np.asarray(blank).astype(bool)
    step_s = float(np.median(np.diff(time_s)))
    shares = np.where(is_blank, np.nan, _or(phase, np.nan, count, np.float64))
    beyond = (shares < 0) | (shares >= 1)
    if beyond.any():
        raise SourceError(
            f"row {int(beyond.argmax())} of {stimulus} has the phase {shares[beyond][0]:g}; a share of a cycle, from 0 "
            "to below 1, was expected: divide degrees by 360, or give `stimuli` without `phase` in the mapping."
        )

    def feature(values: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
        return np.where(is_blank, np.nan, _or(values, np.nan, count, np.float64))

    table = pd.DataFrame(
        {
            "stimulus": [stimulus] * count,
            "epoch": np.zeros(count, np.int64),
            "trial": np.zeros(count, np.int64),
            "start_frame": start,
            "stop_frame": stop,
            "start_s": time_s[start],
            # The end of the last frame, not the start of the next one, which may lie behind a gap.
            "stop_s": time_s[stop - 1] + step_s,
            "blank": is_blank,
            "direction_deg": feature(direction_deg),
            "temporal_frequency_hz": feature(temporal_frequency_hz),
            "orientation_deg": feature(orientation_deg),
            "spatial_frequency_cpd": feature(spatial_frequency_cpd),
            "phase": shares,
            "image": np.where(is_blank, -1, _or(image, -1, count, np.int64)),
            "movie_frame": _or(movie_frame, -1, count, np.int64),
            "repeat": _or(repeat, -1, count, np.int64),
        },
        columns=list(PRESENTATION_COLUMNS),
    )
    table["stimulus"] = table["stimulus"].astype("str")
    # By the given stop: of two movie frames within one imaging frame, the one that ends in it came first.
    table = table.iloc[order].reset_index(drop=True)
    table["trial"] = np.arange(count, dtype=np.int64)
    return table


def presentation_table(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the rows of several stimuli in time order and number the epochs.

    Parameters
    ----------
    parts : sequence of DataFrame
        As `presentation_rows` builds them.

    Returns
    -------
    DataFrame
        `PRESENTATION_COLUMNS`, sorted by ``start_frame``; empty, with its columns, when there are no parts.

    Examples
    --------
    >>> presentation_table([]).columns[:2].tolist()
    ['stimulus', 'epoch']
    """
    kept = [part for part in parts if len(part)]
    if not kept:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in PRESENTATION_COLUMNS.items()})
    table = pd.concat(kept, ignore_index=True).sort_values("start_frame", kind="stable", ignore_index=True)
    table["epoch"] = number_epochs(table)
    return table


def _or(values: npt.ArrayLike | None, fill: float, count: int, dtype: Any) -> npt.NDArray[Any]:
    return np.full(count, fill, dtype) if values is None else np.asarray(values).astype(dtype)
