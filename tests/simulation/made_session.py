"""A small recording put together by hand, with random numbers for traces, so that writers need no simulator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from poyodata.simulation.recording import (
    FOV_PX,
    TABLE_COLUMNS,
    Behaviour,
    EyeTracking,
    Fluorescence,
    Rois,
    SimulatedSession,
    Timeline,
)
from poyodata.sources.record import SessionMetadata

SESSION_STIMULI: Mapping[str, tuple[str, ...]] = {
    "A": ("drifting_gratings", "natural_movie_one", "natural_movie_three", "spontaneous"),
    "B": ("static_gratings", "natural_scenes", "natural_movie_one", "spontaneous"),
    "C": ("locally_sparse_noise", "natural_movie_one", "natural_movie_two", "spontaneous"),
    "C2": (
        "locally_sparse_noise_4deg",
        "locally_sparse_noise_8deg",
        "natural_movie_one",
        "natural_movie_two",
        "spontaneous",
    ),
}
TEMPLATE_SHAPES: Mapping[str, tuple[int, int, int]] = {
    "natural_movie_one": (12, 19, 38),
    "natural_movie_two": (12, 19, 38),
    "natural_movie_three": (16, 19, 38),
    "natural_scenes": (8, 9, 12),
    "locally_sparse_noise": (10, 16, 28),
    "locally_sparse_noise_4deg": (10, 16, 28),
    "locally_sparse_noise_8deg": (10, 8, 14),
}
_FRAMES_OF_A_TRIAL = {"drifting_gratings": 30, "static_gratings": 7, "natural_scenes": 7}


def made_session(
    session_type: str = "A", *, neurons: int = 4, frames: int = 600, eye: bool = True, seed: int = 0
) -> SimulatedSession:
    """A recording of every table and template of session `session_type` ("A", "B", "C" or "C2").

    One frame is dropped at a third of the way, running starts 5 frames late and ends 3 early, neuron 1 (where there is
    one) is excluded as a duplicate of neuron 0, and the first presentation of gratings and scenes is blank. Templates
    are small and depend on the seed only by way of their stimulus's name, so that recordings may share them.
    """
    rng = np.random.default_rng(seed)
    time_s = 10.0 + np.arange(frames) / 30.0
    time_s[frames // 3 :] += 1 / 30.0
    stimuli = SESSION_STIMULI[session_type]
    templates = {name: _template(name) for name in stimuli if name in TEMPLATE_SHAPES}
    cells = 500_000_000 + np.arange(neurons, dtype=np.int64) * 7
    return SimulatedSession(
        metadata=SessionMetadata(
            session_id=str(900_000_000 + seed),
            donor_id="222426",
            container_id="511510753",
            cre_line="Cux2-CreERT2",
            area="VISp",
            depth_um=275.0,
            session_type=f"three_session_{session_type}",
            indicator="GCaMP6f",
            genotype="Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)",
            sex="female",
            age_days=104.0,
        ),
        specimen_name="Cux2-CreERT2;Camk2a-tTA;Ai93-222426",
        timeline=Timeline(time_s=time_s, tables=_tables(stimuli, frames, rng)),
        dff=rng.normal(0.0, 0.1, (neurons, frames)).astype(np.float32),
        fluorescence=_fluorescence(neurons, frames, rng),
        rois=Rois(
            cell_specimen_id=cells,
            roi_id=cells + 1_000_000,
            pixels=[_pixels(rng) for _ in range(neurons)],
            exclusion_label=tuple("duplicate" if index == 1 else "" for index in range(neurons)),
        ),
        behaviour=Behaviour(
            running_speed=rng.normal(5.0, 2.0, frames - 8),
            running_time_s=time_s[5 : frames - 3].copy(),
            eye=_eye(time_s, rng) if eye else None,
            motion_px=rng.normal(0.0, 2.0, (frames, 2)),
        ),
        templates=templates,
    )


def _template(stimulus: str) -> np.ndarray:
    rng = np.random.default_rng(list(stimulus.encode()))
    shape = TEMPLATE_SHAPES[stimulus]
    if stimulus.startswith("locally"):
        return rng.choice(np.array([0, 127, 255], np.uint8), shape)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _tables(stimuli: tuple[str, ...], frames: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Every stimulus in an epoch of its own, with grey between."""
    tables = {}
    share = frames // len(stimuli)
    for index, stimulus in enumerate(stimuli):
        first, stop = index * share + 6, (index + 1) * share - 6
        if stimulus == "spontaneous":
            values: dict[str, object] = {"start": np.array([first]), "end": np.array([stop])}
        elif stimulus.startswith("natural_movie"):
            shown = TEMPLATE_SHAPES[stimulus][0]
            # Twice through; every fifth frame of the movie falls within one imaging frame.
            start = first + np.arange(2 * shown)
            values = {
                "frame": np.tile(np.arange(shown), 2),
                "start": start,
                "end": start + (np.arange(2 * shown) % 5 > 0),
            }
        else:
            length = _FRAMES_OF_A_TRIAL.get(stimulus, 7)
            start = np.arange(first, stop - length, length + 3)
            values = {"start": start, "end": start + length, **_conditions(stimulus, len(start), rng)}
        table = pd.DataFrame(values)[list(TABLE_COLUMNS[stimulus])]
        tables[stimulus] = table.astype({"start": np.int64, "end": np.int64})
    return tables


def _conditions(stimulus: str, trials: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if stimulus in TEMPLATE_SHAPES:
        frame = rng.integers(0, TEMPLATE_SHAPES[stimulus][0], trials)
        if stimulus == "natural_scenes":
            frame[0] = -1
        return {"frame": frame}
    blank = np.arange(trials) == 0
    if stimulus == "drifting_gratings":
        conditions = {
            "temporal_frequency": rng.choice([1.0, 2.0, 4.0, 8.0, 15.0], trials),
            "orientation": rng.choice(np.arange(8) * 45.0, trials),
        }
    else:
        conditions = {
            "orientation": rng.choice(np.arange(6) * 30.0, trials),
            "spatial_frequency": rng.choice([0.02, 0.04, 0.08, 0.16, 0.32], trials),
            "phase": rng.choice([0.0, 0.25, 0.5, 0.75], trials),
        }
    for values in conditions.values():
        values[blank] = np.nan
    return conditions | ({"blank_sweep": blank.astype(float)} if stimulus == "drifting_gratings" else {})


def _fluorescence(neurons: int, frames: int, rng: np.random.Generator) -> Fluorescence:
    raw = rng.uniform(300.0, 900.0, (neurons, 1)) + rng.normal(0.0, 20.0, (neurons, frames))
    return Fluorescence(
        raw=raw.astype(np.float32),
        neuropil=rng.normal(200.0, 10.0, (neurons, frames)).astype(np.float32),
        demixed=(raw + rng.normal(0.0, 1.0, (neurons, frames))).astype(np.float32),
        neuropil_r=rng.uniform(0.2, 0.9, neurons),
    )


def _pixels(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.integers(15, FOV_PX - 15, 2)
    rows, columns = np.nonzero(np.add.outer(np.arange(-6, 7) ** 2, 2 * np.arange(-6, 7) ** 2) <= 36)
    return np.stack([x - 6 + columns, y - 6 + rows], axis=1).astype(np.int16)


def _eye(time_s: np.ndarray, rng: np.random.Generator) -> EyeTracking:
    samples = len(time_s) - 10
    values = rng.normal(0.0, 3.0, (samples, 5))
    values[20:26] = np.nan  # a blink
    return EyeTracking(
        time_s=time_s[0] + np.arange(samples) / 30.0 + 0.004,
        location_deg=values[:, :2],
        location_cm=values[:, 2:4] / 4,
        area_px=400.0 + 10 * values[:, 4],
    )
