"""A manifest of the world `tiny`, its datasheet, and a browser where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.datasheet import write_datasheet
from poyodata.store import Store, open_store
from tests.datasheet.browser import Browser, find_chromium

NARROW = Diet.where("skewness <= 1 and kurtosis <= 2", name="narrow")


@pytest.fixture(scope="module")
def opened(tiny_store_path: Path) -> Store:
    return open_store(tiny_store_path)


@pytest.fixture(scope="module")
def predictable(opened: Store) -> Manifest:
    """Thresholds that cut the tiny world in all three regions."""
    return load_diet("predictable").with_parameters(max_skewness=1.2, max_kurtosis=4.0).resolve(opened)


@pytest.fixture(scope="module")
def sheet(opened: Store, predictable: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_datasheet(
        predictable, opened, tmp_path_factory.mktemp("sheet") / "predictable.html", others=[NARROW, predictable]
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium on the path: pages are looked at where there is one")
    return Browser(program, tmp_path_factory.mktemp("browser"))
