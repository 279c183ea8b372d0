from __future__ import annotations

import os
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


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """Folder of the real recording; skips where it is not to be had."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("POYODATA_REAL_DATA", default)) / "abo-dg-527745328"
    if os.environ.get("CI"):
        pytest.skip("the real recording is never read in CI")
    if not (folder / "dff_dg_continuous.h5").is_file():
        pytest.skip(f"no real recording in {folder}; set POYODATA_REAL_DATA")
    return folder
