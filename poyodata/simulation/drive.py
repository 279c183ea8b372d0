"""What stimuli do to neurons: a number for what is on the screen in every frame, and a rate of events for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.population import grating_tuning
from poyodata.simulation.receptive_fields import SCREEN_DEG, static_grating_tuning, template_energy
from poyodata.simulation.recording import Timeline
from poyodata.simulation.sparse_noise import SPARSE_NOISE
from poyodata.simulation.timeline import ORIENTATIONS_DEG, PHASES, SPATIAL_FREQUENCIES_CPD
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

LATENCY_FRAMES = 2
# Energy of a receptive field below this share of its maximum leaves a cell silent: responses to movies are sparse.
_THRESHOLD = 0.35


@dataclass(frozen=True)
class Drive:
    """What every neuron answers to everything that was shown.

    Attributes
    ----------
    state : ndarray, shape (time,), int32
        Row of `rate_hz` in force in each frame, `LATENCY_FRAMES` after it was on the screen; 0 is grey.
    rate_hz : ndarray, shape (state, neuron), float32
        Events a second on top of the base rate.
    first_row : dict of str to int
        Where the rows of each stimulus begin.
    """

    state: npt.NDArray[np.int32]
    rate_hz: npt.NDArray[np.float32]
    first_row: dict[str, int]


def visual_drive(
    neurons: pd.DataFrame,
    timeline: Timeline,
    templates: Mapping[str, npt.NDArray[np.uint8]],
    movie_phase: float = 0.0,
) -> Drive:
    """Work out what every neuron answers to every presentation.

    Parameters
    ----------
    neurons : DataFrame
        As `poyodata.simulation.population.draw_population` gives it.
    timeline : Timeline
    templates : mapping of str to ndarray, shape (frame, height, width), uint8
        Of every stimulus with a ``frame`` column.
    movie_phase : float
        As `movie_rates` takes it.

    Returns
    -------
    Drive

    Examples
    --------
    >>> from poyodata.simulation.population import draw_population
    >>> from poyodata.simulation.timeline import session_timeline
    >>> from poyodata.simulation.worlds import load_world
    >>> world, rng = load_world("tiny").replace(movie_repeats=0), np.random.default_rng(0)
    >>> neurons = draw_population("Sst-IRES-Cre", world, rng)
    >>> visual_drive(neurons, session_timeline(world, "three_session_A", rng), {}).rate_hz.shape
    (41, 12)
    """
    rows: list[npt.NDArray[np.float32]] = [np.zeros((1, len(neurons)), np.float32)]
    first_row: dict[str, int] = {}
    state = np.zeros(timeline.n_frames, np.int32)
    for stimulus, table in timeline.tables.items():
        if stimulus == "spontaneous":
            continue
        first_row[stimulus] = sum(map(len, rows))
        if stimulus == "drifting_gratings":
            rows.append(_by_grating(grating_tuning(neurons), neurons["driven_rate_hz"]))
            shown = _grid_index(table, ("orientation", DIRECTIONS_DEG), ("temporal_frequency", TEMPORAL_FREQUENCIES_HZ))
        elif stimulus == "static_gratings":
            rows.append(_by_grating(static_grating_tuning(neurons), neurons["static_rate_hz"]))
            shown = _grid_index(
                table,
                ("orientation", ORIENTATIONS_DEG),
                ("spatial_frequency", SPATIAL_FREQUENCIES_CPD),
                ("phase", PHASES),
            )
        else:
            rows.append(movie_rates(neurons, templates[stimulus], stimulus, movie_phase))
            shown = table["frame"].to_numpy(np.int64)
        row = np.where(shown < 0, 0, shown + first_row[stimulus])
        _show(state, table, row)
    return Drive(state, np.concatenate(rows), first_row)


def movie_rates(
    neurons: pd.DataFrame,
    template: npt.NDArray[np.uint8],
    stimulus: str = "natural_movie_one",
    movie_phase: float = 0.0,
) -> npt.NDArray[np.float32]:
    """Events a second that each frame of a movie, a set of scenes or sparse noise adds.

    A neuron answers to what is in its receptive field, silent below a threshold, squared above it.

    Parameters
    ----------
    neurons : DataFrame
    template : ndarray, shape (frame, height, width), uint8
    stimulus : str
        Decides how large the template is on the screen.
    movie_phase : float
        Share of ``phase_selectivity`` that holds here; without it, only the energy in the receptive field counts.

    Returns
    -------
    ndarray, shape (frame, neuron), float32, Hz
    """
    grid = SPARSE_NOISE.get(stimulus)
    energy = template_energy(neurons, template, SCREEN_DEG if grid is None else grid.extent_deg, movie_phase)
    driven = np.maximum(energy - _THRESHOLD, 0.0) / (1.0 - _THRESHOLD)
    return np.asarray(driven**2 * neurons["movie_rate_hz"].to_numpy(np.float32), np.float32)


def _by_grating(tuning: npt.NDArray[np.float64], rate_hz: pd.Series[float]) -> npt.NDArray[np.float32]:
    flat = tuning.reshape(len(tuning), -1) * rate_hz.to_numpy(np.float64)[:, None]
    return np.asarray(flat.T, np.float32)


def _grid_index(table: pd.DataFrame, *axes: tuple[str, tuple[float, ...]]) -> npt.NDArray[np.int64]:
    """Running number of each row's condition, the last axis fastest; -1 for blanks."""
    index = np.zeros(len(table), np.int64)
    blank = np.zeros(len(table), bool)
    for name, values in axes:
        shown = table[name].to_numpy(np.float64)
        blank |= ~np.isfinite(shown)
        nearest = np.abs(np.nan_to_num(shown)[:, None] - np.array(values)).argmin(axis=1)
        index = index * len(values) + nearest
    return np.where(blank, -1, index)


def _show(state: npt.NDArray[np.int32], table: pd.DataFrame, row: npt.NDArray[np.int64]) -> None:
    """Write the rows of one stimulus into the frames in which they act."""
    start = table["start"].to_numpy(np.int64) + LATENCY_FRAMES
    length = table["end"].to_numpy(np.int64) + LATENCY_FRAMES - start
    begin = np.cumsum(length) - length
    frame = np.repeat(start - begin, length) + np.arange(int(length.sum()))
    inside = frame < len(state)
    state[frame[inside]] = np.repeat(row, length)[inside]
