"""A small store in memory, whose every answer can be counted by hand, and splits made for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.digests import json_digest, table_digest
from poyodata.errors import UsageError
from poyodata.splits.role_digests import role_digests

LINES = ("Sst-IRES-Cre", "Vip-IRES-Cre", "Cux2-CreERT2", "Emx1-IRES-Cre")
PER_SESSION = 12
TRIALS = 40
TRIAL_FRAMES = 60
GAP_FRAMES = 30
RATE_HZ = 30.0
GUARD_FRAMES = 15


@dataclass(eq=False)  # hashed by identity, as a Store is
class TinyStore:
    """What curation uses of a store, built from frames."""

    sessions: pd.DataFrame
    neurons: pd.DataFrame
    presentations: pd.DataFrame
    epochs: pd.DataFrame
    segments: pd.DataFrame
    path: Path = Path("tiny.zarr")
    statistics_folder: Path = Path("tiny.zarr/statistics")
    extra: str = ""
    moments: pd.DataFrame = field(default_factory=pd.DataFrame)
    annotations: dict = field(default_factory=dict)
    signals: dict = field(default_factory=dict)
    lineage: dict | None = None

    @property
    def digest(self) -> str:
        ordered = self.sessions.sort_values("session_id", ignore_index=True)
        return json_digest([table_digest(ordered), self.extra])

    def time_s(self, session_id: str) -> np.ndarray:
        return np.arange(self.sessions.set_index("session_id").loc[session_id, "n_frames"]) / RATE_HZ

    def signal(self, session_id: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        if (session_id, name) not in self.signals:
            raise UsageError(f"recording {session_id!r} has no signal {name!r}")
        return self.signals[session_id, name]

    def presentations_of(self, session_id: str | Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        wanted = [session_id] if isinstance(session_id, str) else list(session_id)
        shown = self.presentations[self.presentations["session_id"].isin(wanted)].reset_index(drop=True)
        return shown if columns is None else shown[list(columns)]


def build_store(n_sessions: int = 8) -> TinyStore:
    """Build `n_sessions` recordings of two per donor: spontaneous time, then 40 gratings with a gap after the 20th."""
    sessions, neurons, shown, segments, epochs = [], [], [], [], []
    for number in range(n_sessions):
        session_id = f"s{number:02d}"
        donor = f"d{number // 2}"
        line = LINES[(number // 2) % len(LINES)]
        first = 600
        n_frames = first + TRIALS * (TRIAL_FRAMES + GAP_FRAMES)
        cut = first + (TRIALS // 2) * (TRIAL_FRAMES + GAP_FRAMES)
        sessions.append(
            {
                "session_id": session_id,
                "donor_id": donor,
                "container_id": f"c{number // 2}",
                "cre_line": line,
                "area": "VISp",
                "sex": "F" if number % 2 else "M",
                "rate_hz": RATE_HZ,
                "n_frames": n_frames,
                "n_neurons": PER_SESSION,
                "digest": f"content of {session_id}",
            }
        )
        for column in range(PER_SESSION):
            neurons.append(
                {
                    "neuron_id": f"{session_id}_{column:03d}",
                    "session_id": session_id,
                    "column": column,
                    "cell_specimen_id": 100 * (number // 2) + column if column < 10 else pd.NA,
                    "valid_roi": True,
                    "donor_id": donor,
                    "container_id": f"c{number // 2}",
                    "cre_line": line,
                    "area": "VISp",
                    "depth_um": 175.0,
                }
            )
        segments += [(session_id, 0, 0, cut), (session_id, 1, cut, n_frames)]
        epochs += [(session_id, 0, "spontaneous", 0, first), (session_id, 1, "drifting_gratings", first, n_frames)]
        shown.append((session_id, "spontaneous", 0, 0, 0, first, False, np.nan, np.nan, -1, -1))
        for trial in range(TRIALS):
            start = first + trial * (TRIAL_FRAMES + GAP_FRAMES)
            blank = trial % 10 == 9
            direction = np.nan if blank else 45.0 * (trial % 8)
            shown.append(
                (session_id, "drifting_gratings", 1, trial, start, start + TRIAL_FRAMES, blank, direction, 2.0, -1, -1)
            )
    names = ["session_id", "stimulus", "epoch", "trial", "start_frame", "stop_frame"]
    names += ["blank", "direction_deg", "temporal_frequency_hz", "movie_frame", "repeat"]
    table = pd.DataFrame(neurons).astype({"cell_specimen_id": "Int64"})
    return TinyStore(
        sessions=pd.DataFrame(sessions),
        neurons=table,
        presentations=pd.DataFrame(shown, columns=names),
        epochs=pd.DataFrame(epochs, columns=["session_id", "epoch", "stimulus", "start_frame", "stop_frame"]),
        segments=pd.DataFrame(segments, columns=["session_id", "segment", "start_frame", "stop_frame"]),
        moments=moments_of(table),
    )


def moments_of(neurons: pd.DataFrame) -> pd.DataFrame:
    """Moments by column: 0-4 predictable, 5-8 high in both, 9-10 high in one, 11 missing."""
    column = neurons["column"].to_numpy()
    skewness = np.select([column <= 4, column <= 8, column == 9, column == 10], [1.0 + column, 5.0, 5.0, 1.0], np.nan)
    skewness = np.where(column <= 4, 1.0 + 0.5 * column, skewness)
    kurtosis = np.select([column <= 4, column <= 8, column == 9, column == 10], [10.0, 40.0, 10.0, 40.0], np.nan)
    return pd.DataFrame({"neuron_id": neurons["neuron_id"], "skewness": skewness, "kurtosis": kurtosis})


@pytest.fixture
def store() -> TinyStore:
    return build_store()


@pytest.fixture
def make_store() -> Callable[[int], TinyStore]:
    return build_store


@pytest.fixture
def make_split() -> Callable[..., SimpleNamespace]:
    return build_split


@pytest.fixture
def population(store: TinyStore) -> pd.DataFrame:
    """Neurons with their moments: 8 x (5 predictable, 4 high in both, 2 high in one, 1 unknown)."""
    return store.neurons.merge(store.moments, on="neuron_id")


def build_split(store: TinyStore, *, across: bool = False, fold: int = 0, name: str = "halves") -> SimpleNamespace:
    """Trials 0-19 train, 20-29 valid, 30-39 test (fold 1: the other way round); the last donor held out if `across`."""
    rows, roles = [], []
    last = sorted(store.sessions["donor_id"].unique())[-1]
    step = TRIAL_FRAMES + GAP_FRAMES
    parts = [("train", 0, 600 + 20 * step), ("valid", 600 + 20 * step, 600 + 30 * step)]
    parts += [("test", 600 + 30 * step, 600 + 40 * step)]
    if fold:
        parts = [("test", 0, 600 + 20 * step), ("valid", 600 + 20 * step, 600 + 30 * step)]
        parts += [("train", 600 + 30 * step, 600 + 40 * step)]
    for session_id, donor in zip(store.sessions["session_id"], store.sessions["donor_id"], strict=True):
        held = across and donor == last
        roles.append((session_id, donor, "test" if held else "train", GUARD_FRAMES))
        for role, start, stop in parts:
            shown = role
            if held:
                shown = "identify" if role == "train" else "test"
            elif across and role == "test":
                shown = "valid"
            rows.append((session_id, start, stop, shown))
    sessions = pd.DataFrame(roles, columns=["session_id", "donor_id", "role", "guard_frames"])
    windows = pd.DataFrame(rows, columns=["session_id", "start_frame", "stop_frame", "role"])
    spec = SimpleNamespace(
        name=name,
        across=SimpleNamespace(by="donor") if across else None,
        model_dump=lambda mode: {"name": name, "across": "donor" if across else None},
    )
    digest = json_digest([name, fold, across, table_digest(windows.sort_values(["session_id", "start_frame"]))])
    split = SimpleNamespace(
        spec=spec,
        fold=fold,
        digest=digest,
        sessions=sessions,
        windows=windows,
        warnings=(),
        role_digests=role_digests(windows),
    )
    split.on = lambda _store: split
    return split


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Manifest]:
    """Resolve on a `TinyStore`, with the moments that the store was made with."""
    from poyodata.curation import evidence
    from poyodata.curation import resolve as module

    def compute(store: TinyStore, names: Sequence[str], **options: object) -> pd.DataFrame:
        assert tuple(names) == ("moments",)
        table = store.moments.copy()
        table.attrs["digest"] = json_digest([store.digest, options["window"]])
        return table

    monkeypatch.setattr(evidence, "compute_statistics", compute)

    def run(diet: Diet | str, store: TinyStore, split: object, labels: bool = False) -> Manifest:
        moments = SimpleNamespace(name="moments", version=1, uses_labels=labels)
        monkeypatch.setattr(evidence, "find_statistics", lambda name: (moments,))
        monkeypatch.setattr(module, "Split", type(split))
        return load_diet(diet).resolve(store, split=split)

    return run
