"""Shared fixtures: one small simulated store, and the real recording where it is at hand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from poyodata.ingest import ingest
from poyodata.simulation import simulate
from poyodata.store import Store, open_store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NWB files of the world `tiny`: Sst, Cux2 and Vip, twelve neurons and 51 grating sweeps each."""
    folder = tmp_path_factory.mktemp("tiny") / "raw"
    simulate(folder, "tiny")
    return folder


@pytest.fixture(scope="session")
def tiny_store_path(tiny_raw: Path) -> Path:
    path = tiny_raw.parent / "tiny.zarr"
    ingest([tiny_raw], path)
    return path


@pytest.fixture
def tiny_store(tiny_store_path: Path) -> Store:
    """The store of the world `tiny`; shared between tests, so nobody may write to it."""
    return open_store(tiny_store_path)


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Address of a dask cluster of two worker processes on loopback; a worker that dies is started again."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def _real(name: str, file: str) -> Path:
    folder = Path(os.environ.get("POYODATA_REAL_DATA", ROOT.parent / "shared" / "data")) / name
    if os.environ.get("CI"):
        pytest.skip("real data is not used in CI")
    if not (folder / file).exists():
        pytest.skip(f"no {file} in {folder}; set POYODATA_REAL_DATA to the folder that holds {name}")
    return folder


@pytest.fixture(scope="session")
def real_recording() -> Path:
    """Folder of the real recording; a test that asks for it is skipped where it is not, and in CI."""
    return _real("abo-dg-527745328", "dff_dg_continuous.h5")


@pytest.fixture(scope="session")
def real_metadata() -> Path:
    """Folder of the observatory's real metadata; skipped as `real_recording` is."""
    return _real("abo-metadata", "experiments_flat.csv")


@pytest.fixture(scope="session")
def real_cell_metrics() -> Path:
    """Folder of Allen's published tables of cell metrics; skipped as `real_recording` is."""
    return _real("abo-cell-metrics", "swdb_dg_table.csv.gz")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as at a terminal: a shell starts what it runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
