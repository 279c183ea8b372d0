"""Splits of a simulated recording, whose movies have scenes and whose store has their templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poyodata.ingest import ingest
from poyodata.simulation import load_world, simulate
from poyodata.splits import SPLITS, MovieSegments, SplitSpec, n_folds, resolve_split
from poyodata.store import Store, open_store
from poyodata.vocabulary import NATURAL_MOVIE_ONE


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two recordings of a movie of ten seconds, with gratings, on which every named spec can be resolved."""
    folder = tmp_path_factory.mktemp("twin")
    world = load_world("tiny").replace(sessions=2, neurons=3, movie_frames=300, movie_repeats=4, movie_three_repeats=0)
    simulate(folder / "raw", world)
    ingest([folder / "raw"], folder / "twin.zarr")
    return open_store(folder / "twin.zarr")


def test_segments_of_a_simulated_movie_are_unseen(twin: Store) -> None:
    spec = SplitSpec(name="segments", within=MovieSegments(folds=4, guard_s=0.5))
    for fold in range(n_folds(twin, spec)):
        split = resolve_split(twin, spec, fold)
        seen = {"train": set(), "valid": set(), "test": set()}
        for session in twin.session_ids:
            shown = twin.presentations_of(session, ["stimulus", "start_frame", "stop_frame", "movie_frame"])
            shown = shown[shown["stimulus"] == NATURAL_MOVIE_ONE]
            for role, frames in seen.items():
                for start, stop in split.intervals(session, role):
                    during = (shown["start_frame"] < stop) & (shown["stop_frame"] > start)
                    frames |= set(shown.loc[during, "movie_frame"])
        assert all(seen.values())
        assert not seen["test"] & (seen["train"] | seen["valid"])


@pytest.mark.parametrize("name", sorted(set(SPLITS) - {"donor-70-10-20", "movie-segments"}))
def test_named_specs_resolve(name: str, twin: Store) -> None:
    split = resolve_split(twin, name)
    assert {"train", "test"} <= set(split.windows["role"])
    trials = split.trials
    assert trials.groupby("session_id")["trial"].size().min() > 100
    assert np.isin(["train", "test"], trials["role"]).all()


def test_a_read_split_is_as_resolved_in_another_opening(twin: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPLITS["paper-trial"].to_yaml())
    again = resolve_split(open_store(twin.path), str(tmp_path / "mine.yaml"))
    assert again.digest == resolve_split(twin, "paper-trial").digest
