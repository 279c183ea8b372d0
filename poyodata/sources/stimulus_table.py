"""Presentations out of a table of which a mapping, or its columns' names, say what is what."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import as_int64, text_of
from poyodata.sources.presentations import presentation_rows
from poyodata.sources.recording_mapping import TableMapping
from poyodata.sources.timing import Clock, stops_of_starts, timed_presentations

Column = Callable[[str], npt.NDArray[Any]]

FLOAT_FEATURES = (
    "direction_deg",
    "temporal_frequency_hz",
    "orientation_deg",
    "spatial_frequency_cpd",
    "phase",
)
INTEGER_FEATURES = ("image", "movie_frame", "repeat")
_NAN_OF = re.compile(r"nan\((\w+)\)")


def mapped_presentations(mapping: TableMapping, column: Column, time_s: Clock) -> pd.DataFrame:
    """Read the rows of one stimulus as a mapping says.

    Parameters
    ----------
    mapping : TableMapping
    column : callable ``name -> ndarray, shape (row,)``
        Raises `SourceError` for a column that is not there.
    time_s : ndarray, shape (time,), float64, seconds

    Returns
    -------
    DataFrame
        As `poyodata.sources.presentations.presentation_rows` returns it.

    Raises
    ------
    SourceError
        When a column is missing or holds something else, no row is meant, or a presentation is outside.

    Examples
    --------
    >>> table = {"on": np.array([1.0, 3.0]), "kind": np.array(["grey", "dg"]), "angle": np.array([0.0, 90.0])}
    >>> mapping = TableMapping(stimulus="drifting_gratings", table="t.csv", where={"kind": "dg"}, start_s="on",
    ...                        duration_s=2.0, direction_deg="angle")
    >>> rows = mapped_presentations(mapping, table.__getitem__, np.arange(100) / 10)
    >>> rows[["start_frame", "stop_frame", "direction_deg"]].values.tolist()
    [[30.0, 50.0, 90.0]]
    """
    kept: npt.NDArray[np.bool_] | None = None
    for name, wanted in mapping.where.items():
        values = column(name)
        same = np.array([_is_same(value, wanted) for value in values.tolist()], bool)
        kept = same if kept is None else kept & same
    if kept is not None and not kept.any():
        raise SourceError(f"{mapping.table} has no row with {_shown(mapping.where)}; correct `where` in the mapping.")

    def rows(name: str) -> npt.NDArray[Any]:
        values = column(name)
        return values if kept is None else values[kept]

    features: dict[str, Any] = {}
    for feature in FLOAT_FEATURES:
        name = getattr(mapping, feature)
        if name is not None:
            features[feature] = numbers(rows(name), f"{mapping.table}: {name!r}")
    for feature in INTEGER_FEATURES:
        name = getattr(mapping, feature)
        if name is not None:
            features[feature] = integers(rows(name), f"{mapping.table}: {name!r}")
    if mapping.blank is not None:
        features["blank"] = _blank(mapping.blank, features, rows, mapping.table)
    if mapping.start_frame is not None:
        start = integers(rows(mapping.start_frame), f"{mapping.table}: {mapping.start_frame!r}")
        stop = (
            start + (mapping.duration_frames or 0)
            if mapping.stop_frame is None
            else integers(rows(mapping.stop_frame), f"{mapping.table}: {mapping.stop_frame!r}")
        )
        return presentation_rows(mapping.stimulus, start, stop, time_s, **features)
    start_s, stop_s = _seconds(mapping, rows)
    return timed_presentations(mapping.stimulus, start_s, stop_s, time_s, outside=mapping.outside, **features)


def numbers(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Numbers of a column; empty texts and missing values are NaN.

    Raises
    ------
    SourceError
        When one is another text.

    Examples
    --------
    >>> numbers(np.array(["1.5", ""]), "phase").tolist()
    [1.5, nan]
    """
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    texts = ["" if value is None else text_of(value).strip() for value in values.tolist()]
    try:
        return np.array([np.nan if text in ("", "null", "None") else float(text) for text in texts], np.float64)
    except ValueError as error:
        raise SourceError(f"{name} holds {texts[0]!r} and the like; numbers were expected.") from error


def integers(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.int64]:
    """Whole numbers of a column; missing values are -1.

    Raises
    ------
    SourceError
        When one is no whole number.
    """
    if values.dtype.kind in "iu":
        return as_int64(values, name)
    floats = numbers(values, name)
    return as_int64(np.where(np.isnan(floats), -1.0, floats), name)


def _seconds(mapping: TableMapping, rows: Column) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    start_name = mapping.start_s or "start_time"
    start_s = numbers(rows(start_name), f"{mapping.table}: {start_name!r}")
    if mapping.duration_s is not None:
        return start_s, start_s + mapping.duration_s
    if mapping.start_s is not None and mapping.stop_s is None:
        return start_s, stops_of_starts(start_s)
    stop_name = mapping.stop_s or "stop_time"
    return start_s, numbers(rows(stop_name), f"{mapping.table}: {stop_name!r}")


def _blank(said: str, features: dict[str, Any], rows: Column, table: str) -> npt.NDArray[np.bool_]:
    of = _NAN_OF.fullmatch(said)
    if of is None:
        return np.asarray(numbers(rows(said), f"{table}: {said!r}") != 0)
    if of.group(1) not in features:
        raise SourceError(f"{table}: blank: {said} needs {of.group(1)} in the mapping.")
    return np.isnan(np.asarray(features[of.group(1)], np.float64))


def _is_same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return text_of(value) == wanted
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return False


def _shown(where: dict[str, Any]) -> str:
    return " and ".join(f"{name} = {value!r}" for name, value in where.items())
