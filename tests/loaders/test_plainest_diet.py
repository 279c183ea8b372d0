"""The plainest diet, all neurons during one stimulus, where some recordings show nothing of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poyodata.curation import load_diet
from poyodata.errors import LoaderError
from poyodata.ingest import ingest
from poyodata.loaders import Recipe, make_loader
from poyodata.simulation import load_world, simulate
from poyodata.store import Store, open_store


@pytest.fixture(scope="module")
def sessions_a_and_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a session A, which shows drifting gratings, and of a session B, which does not."""
    folder = tmp_path_factory.mktemp("a-and-b")
    simulate(folder / "raw", load_world("tiny").replace(sessions=2, neurons=6, session_types=("A", "B")))
    ingest([folder / "raw"], folder / "store.zarr")
    return folder / "store.zarr"


@pytest.fixture
def store(sessions_a_and_b: Path) -> Store:
    return open_store(sessions_a_and_b)


def test_it_is_loaded_and_normalised(store: Store) -> None:
    manifest = load_diet("all").during("stimulus == 'drifting_gratings'").resolve(store, split="blocks-5fold")
    shown = set(manifest.windows["session_id"])
    assert len(shown) == 1 < len(set(manifest.neurons["session_id"])), "one of two recordings shows gratings"
    loaders = [make_loader(store, manifest, role, window_s=1.0) for role in ("train", "valid", "test")]
    for loader in loaders:
        for batch in loader.arrays():
            assert {loader.session_ids[at] for at in batch["session_index"]} == shown
    other = next(key for key in loaders[0].view.session_ids if key not in shown)
    normalisation = loaders[0].normalisation
    assert (normalisation.scale[other] == 1).all() and (normalisation.scale[next(iter(shown))] != 1).all()
    reused = make_loader(store, manifest, "valid", window_s=1.0, normalise=normalisation)
    np.testing.assert_array_equal(reused.batch(0, 0)["values"], loaders[1].batch(0, 0)["values"])


def test_masks_ask_nothing_of_recordings_that_are_not_read(store: Store) -> None:
    manifest = load_diet("all").during("stimulus == 'drifting_gratings'").resolve(store, split="blocks-5fold")
    recipe = Recipe.from_yaml(
        "recipe: 1\nwindows: {window_s: 1.0}\nmasks: [{scheme: neuron}]\non_single_group: error\n"
    )
    assert len(make_loader(store, manifest, recipe=recipe))


def test_a_normalisation_that_knows_nothing_of_what_is_read_is_refused(store: Store) -> None:
    gratings = load_diet("all").during("stimulus == 'drifting_gratings'").resolve(store, split="blocks-5fold")
    everything = load_diet("all").resolve(store, split="blocks-5fold")
    known = make_loader(store, gratings, window_s=1.0).normalisation
    with pytest.raises(LoaderError, match="has no train-role window to fit the normalisation on, as 1 of 2"):
        make_loader(store, everything, mode="fixed", window_s=1.0, normalise=known)
