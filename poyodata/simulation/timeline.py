"""When each stimulus is shown: the timelines of sessions A, B, C and C2, in imaging frames of one recording."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import UsageError, nearest
from poyodata.simulation.recording import TABLE_COLUMNS, Timeline
from poyodata.simulation.world import World
from poyodata.vocabulary import DIRECTIONS_DEG, NATURAL_MOVIES
from poyodata.vocabulary import DRIFTING_GRATINGS as DG
from poyodata.vocabulary import LOCALLY_SPARSE_NOISE as LSN
from poyodata.vocabulary import LOCALLY_SPARSE_NOISE_4DEG as LSN4
from poyodata.vocabulary import LOCALLY_SPARSE_NOISE_8DEG as LSN8
from poyodata.vocabulary import NATURAL_MOVIE_ONE as NM1
from poyodata.vocabulary import NATURAL_MOVIE_THREE as NM3
from poyodata.vocabulary import NATURAL_MOVIE_TWO as NM2
from poyodata.vocabulary import NATURAL_SCENES as NS
from poyodata.vocabulary import SPONTANEOUS as GREY
from poyodata.vocabulary import STATIC_GRATINGS as SG

ORIENTATIONS_DEG = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)
SPATIAL_FREQUENCIES_CPD = (0.02, 0.04, 0.08, 0.16, 0.32)
PHASES = (0.0, 0.25, 0.5, 0.75)

LAYOUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "three_session_A": (DG, NM3, NM1, DG, GREY, NM3, DG),
        "three_session_B": (SG, NS, GREY, NS, SG, NM1, NS, SG),
        "three_session_C": (LSN, GREY, NM1, LSN, NM2, GREY, LSN),
        "three_session_C2": (LSN4, LSN8, GREY, NM1, LSN4, LSN8, NM2, GREY, LSN4, LSN8),
    }
)
"""Order of the epochs of each session type; the k-th time a stimulus stands there it shows its k-th block."""

_REFRESH_HZ = 60.0


class _Pace(NamedTuple):
    """Monitor refreshes between two presentations, and between a presentation's start and its noted end."""

    apart: int
    noted: int


_GRATING = _Pace(180, 119)
_MOVIE = _Pace(2, 2)
# Everything else stays for a quarter second. Real tables note the last refresh that still shows a grating, a scene or
# a noise frame as its end, so that ends lie half an imaging frame before the next start; movie frames end where the
# next begins.
_BRIEF = _Pace(15, 14)

_LONGEST_PAUSE_BEFORE_GREY_S = 5.0
# Blocks of one stimulus that follow each other stay apart by more than any gap within a block.
_SHORTEST_PAUSE_BETWEEN_LIKE_S = 1.0
_DRIFTING_GRATINGS_PER_BLANK = 22
_STATIC_GRATINGS_PER_BLANK = 30


def session_timeline(
    world: World, session_type: str, rng: np.random.Generator, *, dropped_frames_per_hour: float = 0.0
) -> Timeline:
    """Lay out one recording: which imaging frames there are, and what is shown in them.

    Epochs follow each other as in `LAYOUTS`. Blocks that a world has beyond those of the layout come at the end;
    AllenSDK separates at most three epochs of a stimulus. Grey of 5 s (``world.pause_s`` if that is shorter) stands
    before a spontaneous epoch and none after it. In session C2 each block of sparse noise is shown half in spots of
    4.65 degrees and half in spots of 9.3 degrees.

    Parameters
    ----------
    world : World
    session_type : str
        One of `LAYOUTS`.
    rng : numpy.random.Generator
    dropped_frames_per_hour : float
        Times an hour that the microscope loses one to four frames in a row. The frames that remain are numbered
        without gaps; only their times show what is missing. All else is as without drops.

    Returns
    -------
    Timeline

    Raises
    ------
    UsageError
        For an unknown session type or a negative rate of drops.

    Examples
    --------
    >>> world = World(name="small", trials_per_block=(17, 17, 17), movie_frames=10, movie_repeats=4)
    >>> timeline = session_timeline(world, "three_session_A", np.random.default_rng(0))
    >>> {name: len(table) for name, table in timeline.tables.items()}
    {'drifting_gratings': 51, 'natural_movie_one': 40, 'spontaneous': 1}
    """
    if session_type not in LAYOUTS:
        raise UsageError(f"unknown session type {session_type!r}: {nearest(session_type, LAYOUTS)}")
    if dropped_frames_per_hour < 0:
        raise UsageError(f"dropped_frames_per_hour must not be negative, got {dropped_frames_per_hour}.")
    rate_hz = float(rng.uniform(*world.frame_rate_hz))
    shown = _conditions(world, session_type, rng)
    epochs, n_refreshes = _epochs(world, session_type)

    # The monitor's clock runs a little slower than the microscope's: three of its seconds are 90.3 frames or so.
    refresh_s = (1.0 + rng.uniform(1e-3, 3e-3)) / _REFRESH_HZ
    # Noted times are late by a fraction of a millisecond, never early.
    refreshes_s = np.arange(n_refreshes) * refresh_s + np.abs(rng.normal(0.0, 3e-4, n_refreshes))
    time_s = frame_clock(n_refreshes * refresh_s, rate_hz, rng)
    first_s = time_s[0]
    time_s = _drop_frames(time_s, dropped_frames_per_hour, rng)

    def frame(refresh: npt.NDArray[np.int64] | int) -> npt.NDArray[np.int64]:
        return np.asarray(np.searchsorted(time_s, first_s + refreshes_s[refresh], side="right") - 1, np.int64)

    spans: dict[str, list[npt.NDArray[np.int64]]] = {}
    previous_end: int | None = None
    for epoch in epochs:
        onsets = epoch.first + epoch.pace.apart * np.arange(epoch.presentations)
        start, end = frame(onsets), frame(onsets + epoch.pace.noted)
        if epoch.stimulus == GREY:
            # Real tables count the grey before it in frames, and end it with the frame before the next stimulus.
            end = np.maximum(end - 1, start)
            if previous_end is not None:
                start = np.minimum(previous_end + int(_pause_before_grey_s(world) * rate_hz), end)
        previous_end = int(end[-1])
        spans.setdefault(epoch.stimulus, []).append(np.column_stack([start, end]))
    tables = {}
    for stimulus, parts in spans.items():
        table = pd.DataFrame(np.concatenate(parts), columns=["start", "end"])
        tables[stimulus] = pd.concat([shown.get(stimulus, pd.DataFrame()), table], axis=1)[[*TABLE_COLUMNS[stimulus]]]
    return Timeline(time_s=time_s, tables=tables)


def frame_clock(duration_s: float, rate_hz: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the times of a microscope's frames: the first some seconds after zero, each off by about 20 microseconds.

    Parameters
    ----------
    duration_s, rate_hz : float
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (time,), float64, seconds
        Increasing.

    Examples
    --------
    >>> len(frame_clock(10.0, 30.0, np.random.default_rng(0)))
    300
    """
    n_frames = int(np.ceil(duration_s * rate_hz))
    return np.asarray(rng.uniform(5.0, 12.0) + np.arange(n_frames) / rate_hz + rng.normal(0.0, 2e-5, n_frames))


def _drop_frames(time_s: npt.NDArray[np.float64], per_hour: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Lose one to four frames in a row, so often an hour, never the first."""
    count = rng.poisson(per_hour * np.ptp(time_s) / 3600.0)
    first = rng.integers(1, len(time_s), count)
    keep = np.ones(len(time_s), bool)
    for start, length in zip(first, rng.integers(1, 5, count), strict=True):
        keep[start : start + length] = False
    return time_s[keep]


class _Epoch(NamedTuple):
    """Presentations in a row: the monitor refresh of the first, their number and their pace."""

    stimulus: str
    first: int
    presentations: int
    pace: _Pace


def _epochs(world: World, session_type: str) -> tuple[list[_Epoch], int]:
    """Epochs in time order, and the monitor refreshes of the whole session."""
    clock = _refreshes(world.lead_s)
    epochs: list[_Epoch] = []
    for stimulus, count in _order(world, session_type):
        last = epochs[-1] if epochs else None
        if last is not None and last.stimulus == GREY:
            pass
        elif last is not None and stimulus == GREY:
            noted = last.first + (last.presentations - 1) * last.pace.apart + last.pace.noted
            clock = max(clock, noted + _refreshes(_pause_before_grey_s(world)))
        elif last is not None:
            shortest_s = _SHORTEST_PAUSE_BETWEEN_LIKE_S if stimulus == last.stimulus else 0.0
            clock += _refreshes(max(world.pause_s, shortest_s))
        epoch = _Epoch(stimulus, clock, count, _pace(stimulus, world))
        epochs.append(epoch)
        clock += epoch.presentations * epoch.pace.apart
    return epochs, clock + _refreshes(world.pause_s) + 1


def _order(world: World, session_type: str) -> list[tuple[str, int]]:
    """Stimuli in the order of their epochs, with the presentations of each."""
    blocks = {stimulus: list(counts) for stimulus, counts in presentations(world, session_type).items()}
    order: list[tuple[str, int]] = []
    for stimulus in LAYOUTS[session_type]:
        if stimulus == GREY:
            # Two grey epochs with nothing left between them are one.
            if world.spontaneous_s and order[-1:] != [(GREY, 1)]:
                order.append((stimulus, 1))
        elif blocks[stimulus]:
            order.append((stimulus, blocks[stimulus].pop(0)))
    return order + [(stimulus, count) for stimulus, counts in blocks.items() for count in counts]


def presentations(world: World, session_type: str) -> dict[str, list[int]]:
    """Count the presentations in each block of each stimulus of a session; no block where nothing is shown.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> presentations(load_world("tiny"), "three_session_A")["drifting_gratings"]
    [17, 17, 17]
    """
    noise = world.sparse_noise_per_block
    movie = [world.movie_frames * world.movie_repeats]
    counts: dict[str, list[int]] = {
        DG: list(world.trials_per_block),
        SG: list(world.static_gratings_per_block),
        NS: list(world.scenes_per_block),
        LSN: list(noise),
        LSN4: [count - count // 2 for count in noise],
        LSN8: [count // 2 for count in noise],
        NM1: movie,
        NM2: movie,
        NM3: [world.movie_three_frames * world.movie_three_repeats] * 2,
    }
    return {name: [n for n in counts[name] if n] for name in LAYOUTS[session_type] if name != GREY}


def _conditions(world: World, session_type: str, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """What each presentation of each stimulus shows, in time order."""
    shown = {}
    for stimulus, counts in presentations(world, session_type).items():
        count = sum(counts)
        if stimulus == DG:
            shown[stimulus] = _drifting_gratings(world, count, rng)
        elif stimulus == SG:
            shown[stimulus] = _static_gratings(count, rng)
        else:
            index = np.arange(count, dtype=np.int64)
            if stimulus == NS:
                index = np.arange(-1, world.scenes)[_rounds(world.scenes + 1, count, rng)]
            elif stimulus == NM3:
                index %= world.movie_three_frames
            elif stimulus in NATURAL_MOVIES:
                index %= world.movie_frames
            shown[stimulus] = pd.DataFrame({"frame": index})
    return shown


def _drifting_gratings(world: World, count: int, rng: np.random.Generator) -> pd.DataFrame:
    grid = np.array([(f, d) for f in world.temporal_frequencies_hz for d in DIRECTIONS_DEG])
    shown = _with_blanks(grid, count, _DRIFTING_GRATINGS_PER_BLANK, rng)
    table = pd.DataFrame(shown, columns=["temporal_frequency", "orientation"])
    return table.assign(blank_sweep=np.isnan(shown[:, 0]).astype(np.float64))


def _static_gratings(count: int, rng: np.random.Generator) -> pd.DataFrame:
    grid = np.array([(o, f, p) for o in ORIENTATIONS_DEG for f in SPATIAL_FREQUENCIES_CPD for p in PHASES])
    shown = _with_blanks(grid, count, _STATIC_GRATINGS_PER_BLANK, rng)
    return pd.DataFrame(shown, columns=["orientation", "spatial_frequency", "phase"])


def _with_blanks(
    grid: npt.NDArray[np.float64], count: int, per_blank: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Rounds of all conditions, with one blank (NaN) at a random place in every ``per_blank`` presentations."""
    blank = np.arange(count // per_blank) * per_blank
    blank += rng.integers(0, per_blank, len(blank))
    shown = np.full((count, grid.shape[1]), np.nan)
    # Blanks are put between the conditions of a round, not in place of them, so that conditions stay balanced.
    shown[np.setdiff1d(np.arange(count), blank)] = grid[_rounds(len(grid), count - len(blank), rng)]
    return shown


def _rounds(conditions: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Every condition once in shuffled order, again and again, cut off after ``count``."""
    return np.concatenate([rng.permutation(conditions) for _ in range(1 + count // conditions)])[:count]


def _pace(stimulus: str, world: World) -> _Pace:
    if stimulus == DG:
        return _GRATING
    if stimulus in NATURAL_MOVIES:
        return _MOVIE
    if stimulus == GREY:
        length = _refreshes(world.spontaneous_s)
        return _Pace(length, length)
    return _BRIEF


def _pause_before_grey_s(world: World) -> float:
    return min(_LONGEST_PAUSE_BEFORE_GREY_S, world.pause_s)


def _refreshes(seconds: float) -> int:
    return round(seconds * _REFRESH_HZ)
