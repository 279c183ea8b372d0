"""A store of simulated recordings and a manifest of all their gratings, for runs of a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from poyodata.curation import Manifest, c, load_diet
from poyodata.splits import resolve_split
from poyodata.store import Store, open_store


@pytest.fixture(scope="module")
def store(tiny_store_path: Path) -> Store:
    return open_store(tiny_store_path)


@pytest.fixture(scope="module")
def manifest(store: Store) -> Manifest:
    eaten = load_diet("all").during(c.stimulus == "drifting_gratings")
    return eaten.resolve(store, split=resolve_split(store, "blocks-5fold"))
