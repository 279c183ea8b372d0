"""Statistics, diets and batches of a store at a URL are, bit for bit, those of its copy on this machine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.store import open_store
from tests.web import Web


@pytest.fixture
def remote_store(tiny_store_path, tmp_path):
    web = Web(tiny_store_path.parent)
    yield open_store(f"{web.url}/{tiny_store_path.name}", cache=tmp_path)
    web.close()


def test_statistics(tiny_store, remote_store, tmp_path):
    from poyodata.statistics import compute_statistics

    names = ("moments", "fisher_direction")
    ours, theirs = (compute_statistics(store, names, split="blocks-5fold") for store in (remote_store, tiny_store))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert ours.attrs["digest"] == theirs.attrs["digest"]
    # Kept in the cache, not at the URL.
    assert list(remote_store.statistics_folder.glob("*.parquet"))
    assert tmp_path in remote_store.statistics_folder.parents


def test_diet_and_batch(tiny_store, remote_store):
    from poyodata.curation import load_diet

    pytest.importorskip("torch")
    from poyodata.loaders import make_loader

    manifests = [load_diet("predictable").resolve(store) for store in (remote_store, tiny_store)]
    assert manifests[0].digest == manifests[1].digest
    stores = (remote_store, tiny_store)
    batches = [
        next(iter(make_loader(store, manifest, split="train", window_s=1.0, batch_size=4, seed=0, mode="fixed")))
        for store, manifest in zip(stores, manifests, strict=True)
    ]
    ours, theirs = batches
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(np.asarray(ours[name]), np.asarray(theirs[name]), err_msg=name)


def test_dataset_of_a_view(tiny_store, remote_store):
    from poyodata.curation import load_diet

    manifest = load_diet("predictable").resolve(tiny_store)
    ours, theirs = (manifest.open(store) for store in (remote_store, tiny_store))
    session = ours.session_ids[0]
    part = ours.dataset(session).dff[100:200]
    np.testing.assert_array_equal(part.values, theirs.dataset(session).dff[100:200].values)
    assert remote_store.traces(session).fetched < 0.5
