"""A container recorded in sessions A, B, C and C2, where one recording has no eye tracking; and its views."""

from __future__ import annotations

import pytest

from poyodata.curation import load_diet
from poyodata.curation.view import View
from poyodata.ingest import ingest
from poyodata.simulation import simulate
from poyodata.simulation.sessions import SimulatedSession, simulate_session
from poyodata.simulation.world import World
from poyodata.simulation.worlds import load_world
from poyodata.splits import SplitSpec
from poyodata.store import Store, open_store

THIN = SplitSpec.model_validate(
    {"name": "thin", "across": None, "within": {"kind": "blocks", "folds": 5, "guard_s": 0.0}}
)


@pytest.fixture(scope="session")
def container_world() -> World:
    """Seed 3 leaves the eye of one of the four recordings untracked."""
    return load_world("tiny-sessions").replace(eye_tracking_share=0.7, seed=3)


@pytest.fixture(scope="session")
def container_path(container_world: World, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("container")
    simulate(folder / "raw", container_world)
    ingest([folder / "raw"], folder / "container.zarr")
    return folder / "container.zarr"


@pytest.fixture
def store(container_path) -> Store:
    return open_store(container_path)


@pytest.fixture(scope="session")
def simulated(container_world: World) -> dict[str, SimulatedSession]:
    """The recordings as they were simulated, which no store has touched."""
    sessions = [simulate_session(container_world, number)[0] for number in range(4)]
    return {session.metadata.session_id: session for session in sessions}


def view_of(store: Store, *stimuli: str) -> View:
    """All neurons; presentations of some stimuli, or the whole of every role."""
    diet = load_diet("all")
    if stimuli:
        diet = diet.during(" or ".join(f"stimulus == '{name}'" for name in stimuli))
    return diet.resolve(store, split=THIN).open(store)
