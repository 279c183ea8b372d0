"""A store with the tables of very many recordings, made in seconds: what opening one is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from poyodata.sources.record import SessionMetadata, SessionRecord
from poyodata.store import StoreWriter, open_store
from poyodata.store.commit import Committed, read_committed, read_table, replace_committed, table_bytes
from poyodata.store.layout import Paths
from poyodata.store.tables import FLAT_TABLES
from poyodata.vocabulary import CRE_LINES, DRIFTING_GRATINGS, SPONTANEOUS

N_EPOCHS, GRATINGS_AN_EPOCH = 3, 200
N_FRAMES, STEP_FRAMES = 100_000, 90


def one_recording(
    n_neurons: int, n_frames: int = N_FRAMES, session_id: str = "500000000", seed: int | None = None
) -> SessionRecord:
    """A recording with as many rows in its tables as one of drifting gratings has.

    Its traces are zero; with a `seed` they are skewed noise, and donor, container and line follow from it.
    """
    rng = np.random.default_rng(seed or 0)
    noise = None if seed is None else _skewed(rng, n_frames, n_neurons)
    time_s = np.arange(n_frames) / 30.0
    cells = 517_000_000 + np.arange(n_neurons)
    neurons = pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{cell}" for cell in cells.tolist()],
            "cell_specimen_id": pd.array(cells, dtype="Int64"),
            "roi_id": pd.array(cells + 7, dtype="Int64"),
            "x_um": rng.uniform(0, 400, n_neurons),
            "y_um": rng.uniform(0, 400, n_neurons),
            "valid_roi": rng.random(n_neurons) < 0.9,
            "exclusion_label": "",
            "neuropil_r": rng.uniform(0, 1, n_neurons),
        }
    )
    neurons.loc[~neurons["valid_roi"], "exclusion_label"] = "duplicate"

    def traces(start: int, stop: int) -> np.ndarray:
        return np.zeros((stop - start, n_neurons), np.float32) if noise is None else noise[start:stop]

    place = seed or 0

    return SessionRecord(
        metadata=SessionMetadata(
            session_id=session_id,
            donor_id=f"{300_000 + place // 6}",
            container_id=f"{400_000 + place // 3}",
            cre_line="Cux2-CreERT2" if seed is None else CRE_LINES[place // 6 % len(CRE_LINES)],
            area="VISp",
            depth_um=275.0,
            session_type="three_session_A",
            indicator="GCaMP6f",
            genotype="Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)",
        ),
        neurons=neurons,
        time_s=time_s,
        segments=np.array([[0, n_frames]], np.int64),
        presentations=_presentations(time_s, rng),
        read_traces=traces,
        source_digest="0" * 32,
    )


def _skewed(rng: np.random.Generator, n_frames: int, n_neurons: int) -> np.ndarray:
    """Gamma noise of a shape of its own for every neuron: skewness from 1 to 8."""
    shape = 10.0 ** rng.uniform(-1.2, 0.6, n_neurons)
    return rng.gamma(shape, size=(n_frames, n_neurons)).astype(np.float32)


def _presentations(time_s: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Gratings with a stretch of grey after each epoch, one trial every three seconds."""
    stimulus = ([DRIFTING_GRATINGS] * GRATINGS_AN_EPOCH + [SPONTANEOUS]) * N_EPOCHS
    is_grating = np.array([name == DRIFTING_GRATINGS for name in stimulus])
    step = min(STEP_FRAMES, len(time_s) // (len(stimulus) + 1))
    start = np.arange(len(stimulus)) * step
    shown = pd.DataFrame({"stimulus": stimulus})
    return shown.assign(
        epoch=np.cumsum(np.r_[False, is_grating[1:] != is_grating[:-1]]),
        trial=shown.groupby("stimulus").cumcount(),
        start_frame=start,
        stop_frame=start + 2 * step // 3,
        start_s=time_s[start],
        stop_s=time_s[start + 2 * step // 3],
        blank=False,
        direction_deg=np.where(is_grating, 45.0 * rng.integers(0, 8, len(start)), np.nan),
        temporal_frequency_hz=np.where(is_grating, 2.0 ** rng.integers(0, 4, len(start)), np.nan),
        orientation_deg=np.nan,
        spatial_frequency_cpd=np.nan,
        phase=np.nan,
        image=-1,
        movie_frame=-1,
        repeat=-1,
    )


def write_many(path: Path, count: int, n_neurons: int = 130) -> str:
    """Write a store of `count` recordings: one written as ever, with traces, and the tables of the others after it.

    Returns
    -------
    str
        What it holds, in words.
    """
    with StoreWriter(path) as writer:
        writer.add(one_recording(n_neurons))
    own, paths = open_store(path), Paths(path)
    ids = [str(500_000_000 + number) for number in range(count)]
    for name in FLAT_TABLES:
        table = read_table(paths.table(name))[0]
        many = pd.concat([table] * count, ignore_index=True).assign(session_id=np.repeat(ids, len(table)))
        if name == "neurons":
            cells = 517_000_000 + np.arange(len(many))
            many = many.assign(neuron_id=many["session_id"] + "_" + cells.astype(str), cell_specimen_id=cells)
        paths.table(name).write_bytes(table_bytes(many))
    for session_id in ids[1:]:
        presented = own.presentations.assign(session_id=session_id)
        paths.presentations(session_id).write_bytes(table_bytes(presented))
    committed = read_committed(paths)
    sessions = pd.concat([committed.sessions] * count, ignore_index=True).assign(
        session_id=ids,
        donor_id=[f"{300_000 + number // 6}" for number in range(count)],
        container_id=[f"{400_000 + number // 3}" for number in range(count)],
        digest=[f"{number:064x}" for number in range(count)],
    )
    replace_committed(paths, Committed(sessions, committed.stimuli, committed.retired, committed.annotations))
    return f"{count:,} recordings, {n_neurons} neurons and {len(own.presentations)} presentations each"
