"""A store in memory with known content: what splits and statistics need of one, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from poyodata.digests import array_digest, json_digest
from poyodata.errors import UsageError
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

GRATINGS, MOVIE, GREY = "drifting_gratings", "natural_movie_one", "spontaneous"


class FakeStore:
    """Tables and arrays under the names of `poyodata.store.Store`; counts the frames that were read."""

    lineage = None

    def __init__(self, folder, sessions, neurons, presentations, epochs, segments, arrays):
        self.statistics_folder = folder / "statistics"
        self.sessions, self.neurons = sessions, neurons
        self.presentations, self.epochs, self.segments = presentations, epochs, segments
        self.arrays, self.signals, self.movies = arrays, {}, {}

    @property
    def digest(self):
        return json_digest(sorted(self.sessions["digest"]))

    def traces(self, session_id, name="dff"):
        traces = self.arrays[session_id].view()
        traces.flags.writeable = False
        return traces

    def time_s(self, session_id):
        rate_hz = self.sessions.set_index("session_id").loc[session_id, "rate_hz"]
        return np.arange(len(self.arrays[session_id])) / rate_hz

    def signal(self, session_id, name):
        if (session_id, name) not in self.signals:
            raise UsageError(f"recording {session_id!r} has no signal {name!r}")
        return self.signals[session_id, name]

    def movie(self, stimulus):
        if stimulus not in self.movies:
            raise UsageError(f"the store has no template of stimulus {stimulus!r}")
        return self.movies[stimulus]

    def presentations_of(self, session_id, columns=None):
        wanted = [session_id] if isinstance(session_id, str) else list(session_id)
        if not set(wanted) <= set(self.arrays):
            raise UsageError(session_id)
        shown = self.presentations[self.presentations["session_id"].isin(wanted)].reset_index(drop=True)
        return shown if columns is None else shown[list(columns)]


def make_store(
    folder,
    *,
    n_sessions=1,
    n_donors=None,
    layout=((GRATINGS, 60), (MOVIE, 300), (GRATINGS, 60), (GREY, 400), (GRATINGS, 60)),
    cuts=(),
    trial_frames=20,
    rest_frames=10,
    pause_frames=100,
    n_neurons=4,
    rate_hz=30.0,
    seed=0,
):
    """Make a store; every recording has the epochs of `layout` in turn, cut into segments at the frames `cuts`."""
    rng = np.random.default_rng(seed)
    shown, epochs, frame, next_trial = [], [], pause_frames, {}
    for epoch, (stimulus, n) in enumerate(layout):
        first = frame
        conditions = rng.permutation(np.arange(n) % 41)
        for i in range(n if stimulus != GREY else 1):
            length = {GRATINGS: trial_frames, MOVIE: 1, GREY: n}[stimulus]
            grating = stimulus == GRATINGS and conditions[i] < 40
            shown.append(
                {
                    "stimulus": stimulus,
                    "epoch": epoch,
                    "trial": next_trial.get(stimulus, 0),
                    "start_frame": frame,
                    "stop_frame": frame + length,
                    "blank": stimulus == GRATINGS and not grating,
                    "direction_deg": DIRECTIONS_DEG[conditions[i] % 8] if grating else np.nan,
                    "temporal_frequency_hz": TEMPORAL_FREQUENCIES_HZ[conditions[i] // 8] if grating else np.nan,
                    "movie_frame": i % 30 if stimulus == MOVIE else -1,
                    "repeat": i // 30 if stimulus == MOVIE else -1,
                }
            )
            next_trial[stimulus] = next_trial.get(stimulus, 0) + 1
            frame += length + (rest_frames if stimulus == GRATINGS else 0)
        last = shown[-1]["stop_frame"] if n else first
        epochs.append({"epoch": epoch, "stimulus": stimulus, "start_frame": first, "stop_frame": last})
        frame += pause_frames
    n_frames = frame
    edges = [0, *cuts, n_frames]
    segments = [{"segment": i, "start_frame": a, "stop_frame": b} for i, (a, b) in enumerate(pairwise(edges))]
    ids = [f"s{i:03d}" for i in range(n_sessions)]
    arrays = {name: rng.gamma(0.5, size=(n_frames, n_neurons)).astype(np.float32) for name in ids}
    for name in ids:
        for row in shown:
            if not np.isnan(row["direction_deg"]):
                tuning = 2 * np.exp(np.cos(np.deg2rad(row["direction_deg"]) - np.arange(n_neurons)) - 1)
                arrays[name][row["start_frame"] : row["stop_frame"]] += tuning.astype(np.float32)
    donors = [f"m{i % (n_donors or n_sessions)}" for i in range(n_sessions)]
    sessions = pd.DataFrame(
        {
            "session_id": ids,
            "donor_id": donors,
            "container_id": [f"c{i // 2}" for i in range(n_sessions)],
            "cre_line": [("Sst-IRES-Cre", "Cux2-CreERT2")[int(donor[1:]) % 2] for donor in donors],
            "area": "VISp",
            "rate_hz": rate_hz,
            "n_frames": n_frames,
            "n_neurons": n_neurons,
            "digest": [array_digest(arrays[name]) for name in ids],
        }
    )
    neurons = pd.DataFrame(
        {
            "neuron_id": [f"{name}_{i}" for name in ids for i in range(n_neurons)],
            "session_id": np.repeat(ids, n_neurons),
            "column": np.tile(np.arange(n_neurons), n_sessions),
        }
    )

    def everywhere(rows, columns):
        table = pd.DataFrame(rows, columns=columns)
        return pd.concat([table.assign(session_id=name) for name in ids], ignore_index=True)

    columns = ["stimulus", "epoch", "trial", "start_frame", "stop_frame", "blank", "direction_deg"]
    columns += ["temporal_frequency_hz", "movie_frame", "repeat"]
    return FakeStore(
        folder,
        sessions,
        neurons,
        everywhere(shown, columns),
        everywhere(epochs, ["epoch", "stimulus", "start_frame", "stop_frame"]),
        everywhere(segments, ["segment", "start_frame", "stop_frame"]),
        arrays,
    )
