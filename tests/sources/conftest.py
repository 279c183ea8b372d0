from __future__ import annotations

from pathlib import Path

import pytest

from poyodata.simulation import simulate, write_array_twin


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
