from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from poyodata.simulation import simulate, write_array_twin
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.simulation.recording import SimulatedSession
from tests.simulation.made_session import made_session

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="session")
def twin_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic recording in the layout of the real one."""
    return write_array_twin(tmp_path_factory.mktemp("twin") / "dff_dg_continuous.h5", seed=3)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world, as files."""
    folder = tmp_path_factory.mktemp("tiny")
    simulate(folder, "tiny", seed=7)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[SimulatedSession, Path]]:
    """A recording of a session type, in memory and as a file that nobody may change."""
    folder, known = tmp_path_factory.mktemp("made"), {}

    def make(session_type: str) -> tuple[SimulatedSession, Path]:
        if session_type not in known:
            session = made_session(session_type)
            known[session_type] = session, write_allen_nwb(folder / f"{session_type}.nwb", session)
        return known[session_type]

    return make


@pytest.fixture
def edited(made: Callable[[str], tuple[SimulatedSession, Path]], tmp_path: Path) -> Callable[..., Path]:
    """A file of a session type, changed."""

    def edit(change: Change, session_type: str = "A") -> Path:
        path = tmp_path / "edited.nwb"
        shutil.copy(made(session_type)[1], path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


@pytest.fixture(scope="session")
def nwb2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world of `tiny_folder`, as NWB 2 files."""
    folder = tmp_path_factory.mktemp("tiny_nwb2")
    simulate(folder, "tiny", seed=7, file_format="nwb2")
    return folder
