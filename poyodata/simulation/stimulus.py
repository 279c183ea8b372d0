"""What a simulated mouse sees: the timeline of session A, and a movie with the statistics of natural scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.world import World
from poyodata.vocabulary import DIRECTIONS_DEG

ON_S = 2.0
OFF_S = 1.0
MOVIE_RATE_HZ = 30.0
_TRIALS_PER_BLANK = 21


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Frames of one recording and what was shown in them. All frame ranges are half-open.

    Attributes
    ----------
    time_s : ndarray, shape (time,), float64, seconds
    gratings : DataFrame
        ``start, end`` (frames), ``orientation`` (degrees, NaN when blank), ``temporal_frequency`` (Hz, NaN when blank),
        ``blank_sweep`` (0 or 1), one row a sweep.
    movie : DataFrame
        ``start, end, frame``, one row for each movie frame shown; ``end`` may equal ``start``, as in real files.
    spontaneous : DataFrame
        ``start, end``.
    """

    time_s: npt.NDArray[np.float64]
    gratings: pd.DataFrame
    movie: pd.DataFrame
    spontaneous: pd.DataFrame

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return float(1.0 / np.median(np.diff(self.time_s)))


def session_a(world: World, rng: np.random.Generator) -> Timeline:
    """Lay out one recording of session type A: gratings, movie, gratings, grey, gratings, with pauses between.

    Parameters
    ----------
    world : World
    rng : numpy.random.Generator

    Returns
    -------
    Timeline

    Examples
    --------
    >>> from poyodata.simulation.world import load_world
    >>> timeline = session_a(load_world("tiny"), np.random.default_rng(0))
    >>> len(timeline.gratings), len(timeline.movie), len(timeline.spontaneous)
    (51, 40, 1)
    """
    low, high = world.frame_rate_hz
    rate_hz = float(rng.uniform(low, high)) if high > low else low
    conditions = _conditions(world, rng)
    clock = world.lead_s
    sweeps: list[tuple[float, float]] = []
    movie: list[tuple[float, float, int]] = []
    grey: list[tuple[float, float]] = []
    for block, trials in enumerate(world.trials_per_block):
        for _ in range(trials):
            sweeps.append((clock, clock + ON_S))
            clock += ON_S + OFF_S
        clock += world.pause_s
        if block == 0 and world.movie_repeats:
            shown = np.arange(world.movie_frames * world.movie_repeats)
            starts = clock + shown / MOVIE_RATE_HZ
            movie = [
                (s, s + 1 / MOVIE_RATE_HZ, int(i % world.movie_frames)) for s, i in zip(starts, shown, strict=True)
            ]
            clock = movie[-1][1] + world.pause_s
        if block == min(1, len(world.trials_per_block) - 1) and world.spontaneous_s:
            grey = [(clock, clock + world.spontaneous_s)]
            clock += world.spontaneous_s + world.pause_s
    n_frames = int(np.ceil(clock * rate_hz))
    # The scanner's clock jitters by microseconds; the first frame does not fall on zero.
    time_s = rng.uniform(5.0, 15.0) + np.arange(n_frames) / rate_hz + rng.normal(0.0, 2e-5, n_frames)

    def frame(seconds: float) -> int:
        return int(seconds * rate_hz)

    gratings = pd.DataFrame({"start": [frame(a) for a, _ in sweeps], "end": [frame(b) for _, b in sweeps]})
    return Timeline(
        time_s=time_s,
        gratings=pd.concat([gratings, conditions], axis=1),
        movie=pd.DataFrame(
            [(frame(a), frame(b), index) for a, b, index in movie], columns=["start", "end", "frame"], dtype=np.int64
        ),
        spontaneous=pd.DataFrame([(frame(a), frame(b)) for a, b in grey], columns=["start", "end"], dtype=np.int64),
    )


def _conditions(world: World, rng: np.random.Generator) -> pd.DataFrame:
    """Directions and temporal frequencies in shuffled rounds of all pairs, every 21st sweep or so blank."""
    count = sum(world.trials_per_block)
    grid = np.array([(d, f) for d in DIRECTIONS_DEG for f in world.temporal_frequencies_hz])
    rounds = [grid[rng.permutation(len(grid))] for _ in range(-(-count // len(grid)))]
    shown = np.concatenate(rounds)[:count].copy()
    blank = np.zeros(count, bool)
    blank[rng.choice(count, count // _TRIALS_PER_BLANK, replace=False)] = True
    # Blanks are put between the sweeps of a round, not in place of them, so that conditions stay balanced.
    shown[~blank] = np.concatenate(rounds)[: int((~blank).sum())]
    shown[blank] = np.nan
    return pd.DataFrame(
        {"orientation": shown[:, 0], "temporal_frequency": shown[:, 1], "blank_sweep": blank.astype(np.float64)}
    )


def movie_template(frames: int, height_px: int, width_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Generate a movie whose amplitude spectrum falls as 1/f in space and which drifts and changes smoothly in time.

    Parameters
    ----------
    frames, height_px, width_px : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (frame, height, width), uint8

    Examples
    --------
    >>> movie = movie_template(3, 32, 64, np.random.default_rng(0))
    >>> movie.shape, movie.dtype
    ((3, 32, 64), dtype('uint8'))
    """
    fy = np.fft.fftfreq(height_px)[:, None] * height_px
    fx = np.fft.rfftfreq(width_px)[None, :] * width_px
    radius = np.hypot(fy * 2.0, fx)
    amplitude = np.where(radius > 0, 1.0 / np.maximum(radius, 1.0), 0.0)
    shape = amplitude.shape

    def draw() -> npt.NDArray[np.complex128]:
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    # Each spatial frequency is an autoregression of its own: coarse structure lives longer than fine.
    keep = np.exp(-np.maximum(radius, 1.0) / 300.0)
    state = draw()
    movie = np.empty((frames, height_px, width_px), np.uint8)
    for index in range(frames):
        image = np.fft.irfft2(state * amplitude, s=(height_px, width_px))
        image *= 45.0 / image.std()
        movie[index] = np.clip(np.rint(image + 117.0), 0, 255).astype(np.uint8)
        state = keep * state + np.sqrt(1 - keep**2) * draw()
    return movie


def movie_drive(movie: npt.NDArray[np.uint8], grid: int = 8) -> npt.NDArray[np.float64]:
    """Local contrast of every movie frame in a grid of patches: what a neuron's place in the visual field sees.

    Parameters
    ----------
    movie : ndarray, shape (frame, height, width), uint8
    grid : int
        Patches along each side.

    Returns
    -------
    ndarray, shape (frame, grid * grid), float64
        Between 0 and 1 over the movie for each patch; 0 throughout where the contrast never changes.

    Examples
    --------
    >>> movie_drive(np.zeros((2, 16, 16), np.uint8)).max()
    np.float64(0.0)
    """
    rows = np.array_split(np.arange(movie.shape[1]), grid)
    columns = np.array_split(np.arange(movie.shape[2]), grid)
    contrast = np.stack(
        [
            movie[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].std(axis=(1, 2), dtype=np.float64)
            for r in rows
            for c in columns
        ],
        axis=1,
    )
    contrast -= contrast.min(axis=0)
    peak = contrast.max(axis=0)
    return np.asarray(contrast / np.where(peak > 0, peak, 1.0))
