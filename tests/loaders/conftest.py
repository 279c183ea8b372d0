"""Shared by the tests of loaders: manifests of the small store."""

from __future__ import annotations

import pytest

from poyodata.curation import Manifest, load_diet
from poyodata.store import Store


@pytest.fixture
def gratings(tiny_store: Store) -> Manifest:
    """All neurons during drifting gratings."""
    return load_diet("all").during("stimulus == 'drifting_gratings'").resolve(tiny_store, split="blocks-5fold")


@pytest.fixture
def whole_time(tiny_store: Store) -> Manifest:
    """All neurons, all time."""
    return load_diet("all").resolve(tiny_store, split="blocks-5fold")
