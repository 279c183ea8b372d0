from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poyodata.fetch import HttpRoad, Warehouse
from tests.fetch.loopback import Loopback, QuickWeb, serve


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked directly, whatever proxies this machine has."""
    for name in list(os.environ):
        if name.casefold().endswith("_proxy") or name == "POYODATA_ALLEN_WAREHOUSE":
            monkeypatch.delenv(name)


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with serve(Loopback()) as server:
        yield server


@pytest.fixture
def web() -> QuickWeb:
    return QuickWeb()


@pytest.fixture
def road(loopback: Loopback, web: QuickWeb) -> HttpRoad:
    return HttpRoad(Warehouse(web, loopback.url))


@pytest.fixture
def real_lists() -> Path:
    """Folder of the real answers of the warehouse; a test that asks for it is skipped where it is not."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("POYODATA_REAL_DATA", root.parent / "shared" / "data")) / "abo-metadata"
    if not (folder / "experiment_containers.json.gz").exists():
        pytest.skip(f"no real lists at {folder}; set POYODATA_REAL_DATA to the folder that holds them")
    return folder
