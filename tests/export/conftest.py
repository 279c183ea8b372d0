"""Stores whose every exported value is known, and a selection of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poyodata.curation import load_diet
from poyodata.splits import resolve_split
from poyodata.store import StoreWriter, open_store
from tests.store.conftest import make_record


def jittered(record):
    """One segment, in which no frame is further than half a frame from a regular grid."""
    return replace(record, segments=np.array([[0, record.n_frames]]))


def gapped(record):
    """A pause of three seconds in the middle, no masks and no image; a shown stimulus stops at the pause."""
    half = record.n_frames // 2
    time_s = record.time_s.copy()
    time_s[half:] += 3.0
    shown = record.presentations.copy()
    shown["stop_frame"] = shown["stop_frame"].where(shown["start_frame"] >= half, shown["stop_frame"].clip(upper=half))
    shown["start_s"] = time_s[shown["start_frame"]]
    shown["stop_s"] = time_s[shown["stop_frame"] - 1]
    return replace(
        record,
        time_s=time_s,
        segments=np.array([[0, half], [half, record.n_frames]]),
        presentations=shown,
        masks=None,
        max_projection=None,
        signals={},
    )


@pytest.fixture(scope="session")
def made_store_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "made.zarr"
    with StoreWriter(path) as writer:
        writer.add(jittered(make_record("regular", n_frames=1500)))
        writer.add(gapped(make_record("gapped", n_frames=1500, n_neurons=5, donor_id="m2", templates=False)))
    return path


@pytest.fixture
def store(made_store_path):
    """Two recordings: ``regular`` of seven neurons, ``gapped`` of five; shared, so nobody may write to it."""
    return open_store(made_store_path)


@pytest.fixture(scope="session")
def tiny_manifest(tiny_store_path):
    """Every neuron of the world `tiny`, with roles."""
    store = open_store(tiny_store_path)
    return load_diet("all").resolve(store, split=resolve_split(store, "blocks-5fold"))


@pytest.fixture
def files_of():
    """Every file under a folder with its bytes: what must not change."""

    def contents(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return contents
