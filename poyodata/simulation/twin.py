"""A small synthetic twin of the real recording: the same layout, read by the same mapping, free to share."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from poyodata.errors import UsageError
from poyodata.replacing import replacing
from poyodata.simulation.behaviour import draw_latents
from poyodata.simulation.drive import visual_drive
from poyodata.simulation.lines import LINES
from poyodata.simulation.population import draw_population
from poyodata.simulation.streams import random_stream
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.world import World

_LINE = "Cux2-CreERT2"
_BEFORE_FRAMES, _AFTER_FRAMES = 8, 84


def write_array_twin(path: str | Path, seed: int, neurons: int = 24, trials: int = 90) -> Path:
    """Write an HDF5 file laid out as ``dff_dg_continuous.h5``, with simulated traces.

    Three blocks of a third of the trials each, and a hiccup in the middle of every block: six segments, as in the real
    file, whose mapping therefore reads the twin. dF/F is float16, (neuron, time), compressed with one chunk a neuron.

    Parameters
    ----------
    path : str or Path
    seed : int
    neurons : int
    trials : int
        At least 6.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        For fewer than 1 neuron or 6 trials.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_array_twin(Path(folder) / "dff_dg_continuous.h5", seed=0, neurons=2, trials=6).name
    'dff_dg_continuous.h5'
    """
    if neurons < 1 or trials < 6:
        raise UsageError(f"a twin needs at least 1 neuron and 6 trials, got {neurons} and {trials}.")
    third = trials // 3
    blocks = (third, third, trials - 2 * third)
    rate_hz = 30.1
    world = World(
        name="twin",
        seed=seed,
        neurons=neurons,
        # As responsive as the recording it stands for, which is more so than its line.
        driven_by_line={_LINE: 0.72},
        trials_per_block=blocks,
        movie_repeats=0,
        spontaneous_s=0.0,
        lead_s=1.0,
        pause_s=5.0,
        frame_rate_hz=(rate_hz, rate_hz),
    )
    rng = np.random.default_rng(random_stream(seed, "twin"))
    timeline = session_timeline(world, "three_session_A", rng)
    population = draw_population(_LINE, world, rng, neurons)
    latents = draw_latents(timeline.n_frames, rate_hz, world.artefacts_per_hour, rng)
    dff = simulate_activity(population, visual_drive(population, timeline, {}), latents, rate_hz, rng).dff

    table = timeline.tables["drifting_gratings"]
    starts = table["start"].to_numpy(np.int64)
    edges = np.r_[0, np.cumsum(blocks)]
    # Cut in the middle and at the end of every block.
    cuts = sorted({*edges.tolist(), *((a + b) // 2 for a, b in pairwise(edges.tolist()))})
    first_trial, last_trial = np.array(cuts[:-1], np.int64), np.array(cuts[1:], np.int64)
    pieces = [
        (int(starts[a]) - _BEFORE_FRAMES, int(starts[b - 1]) + _AFTER_FRAMES)
        for a, b in zip(first_trial, last_trial, strict=True)
    ]
    lengths = np.array([stop - start for start, stop in pieces])
    stop = np.cumsum(lengths)
    start = stop - lengths
    segment_of_trial = np.repeat(np.arange(len(pieces)), last_trial - first_trial)
    shift = np.array([begin for begin, _ in pieces]) - start
    trial_start = starts - shift[segment_of_trial]
    joined = np.concatenate([dff[:, a:b] for a, b in pieces], axis=1).astype(np.float16)

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, h5py.File(partial, "w") as file:
        file.create_dataset("dff", data=joined, chunks=(1, joined.shape[1]), compression="gzip", compression_opts=1)
        file["cell_specimen_id"] = np.arange(neurons, dtype=np.int64) + 900_000_000
        for name, values in {
            "segment": np.arange(len(pieces)),
            "first_trial": first_trial,
            "last_trial_excl": last_trial,
            "start": start,
            "stop": stop,
        }.items():
            file[f"segments/{name}"] = values.astype(np.int64)
        file["stimulus_table/trial"] = np.arange(trials, dtype=np.int64)
        file["stimulus_table/segment"] = segment_of_trial.astype(np.int64)
        file["stimulus_table/start"] = trial_start
        file["stimulus_table/end"] = trial_start + 60
        for name in ("orientation", "temporal_frequency", "blank_sweep"):
            file[f"stimulus_table/{name}"] = table[name].to_numpy(np.float32)
        file.attrs.update(
            {
                "ophys_experiment_id": np.int64(900_900_000 + seed),
                "container_id": np.int64(910_900_000 + seed),
                "donor": str(790_000 + seed),
                "cre_line": _LINE,
                "full_genotype": LINES[_LINE].genotype,
                "imaging_depth": np.int64(275),
                "targeted_structure": "VISp",
                "session_type": "three_session_A",
                "sampling_rate_hz_nominal": rate_hz,
            }
        )
    return path
