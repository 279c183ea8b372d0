"""A plain PyTorch DataLoader around a loader."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from poyodata.curation import Manifest
from poyodata.errors import LoaderError
from poyodata.loaders import Loader, make_loader
from poyodata.loaders.torch import BatchOrder, WindowDataset, as_data_loader
from poyodata.store import Store


def small(store: Store, manifest: Manifest, **arguments: Any) -> Loader:
    return make_loader(store, manifest, **{"window_s": 1.0, "batch_size": 16, "jitter_frames": 3, **arguments})


def same(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name


def test_a_data_loader_gives_the_loaders_batches(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings)
    plain = DataLoader(
        WindowDataset(loader), batch_sampler=BatchOrder(loader), collate_fn=WindowDataset.collate, num_workers=0
    )
    made = as_data_loader(loader)
    for epoch in range(2):
        loader.set_epoch(epoch)
        made.set_epoch(epoch)
        plain.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        same(list(plain), list(loader))
        same(list(made), list(loader))
        assert len(made) == len(loader)


def test_torchs_own_samplers_read_every_window_once(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings)
    dataset = WindowDataset(loader)
    plain = DataLoader(
        dataset,
        batch_size=10,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        collate_fn=WindowDataset.collate,
    )
    found = torch.cat([batch["sample"] for batch in plain]).tolist()
    assert sorted(found) == list(range(len(dataset)))
    assert found != sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_workers_change_nothing(tiny_store: Store, gratings: Manifest, context: str) -> None:
    loader = small(tiny_store, gratings, normalise=True)
    expected = list(loader)  # recordings are open when workers are forked
    made = as_data_loader(loader, num_workers=2, multiprocessing_context=context)
    same(list(made), expected)


@pytest.mark.slow
def test_a_forked_worker_refuses_what_is_not_mapped(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings, access="memory")
    _ = loader.batch(0, 0)
    made = as_data_loader(loader, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(LoaderError, match="forked"):
        next(iter(made))


@pytest.mark.slow
def test_workers_that_read_ahead_lose_nothing(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings, batch_size=5)
    expected = list(loader)
    made = as_data_loader(loader, num_workers=2)
    iterator = iter(made)
    found = [next(iterator) for _ in range(3)]
    state = made.state_dict()
    del iterator
    again = as_data_loader(small(tiny_store, gratings, batch_size=5), num_workers=1)
    again.load_state_dict(state)
    same(found + list(again), expected)


def test_states_of_both_are_one(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings, batch_size=5)
    expected = list(loader)
    made = as_data_loader(loader)
    iterator = iter(made)
    found = [next(iterator) for _ in range(4)]
    other = small(tiny_store, gratings, batch_size=5)
    other.load_state_dict(made.state_dict())
    same(found + list(other), expected)


def test_a_finished_epoch_means_the_same_in_both(tiny_store: Store, gratings: Manifest) -> None:
    loader, other = (small(tiny_store, gratings, normalise=False) for _ in range(2))
    made = as_data_loader(loader)
    made.set_epoch(2)
    assert len(list(made)) == len(list(made)) == len(loader)
    state = made.state_dict()
    assert (state["epoch"], state["batches"]) == (2, len(loader))
    other.load_state_dict(state)
    assert list(other) == []
    assert other.state_dict() == state
    again = as_data_loader(other)
    again.load_state_dict(state)
    assert list(again) == []
    again.set_epoch(3)
    assert again.state_dict() == {**state, "epoch": 3, "batches": 0}
    assert len(list(again)) == len(loader)


@pytest.mark.parametrize("name", ["batch_size", "shuffle", "sampler", "drop_last"])
def test_the_loader_decides_what_a_batch_is(tiny_store: Store, gratings: Manifest, name: str) -> None:
    with pytest.raises(LoaderError, match=name):
        as_data_loader(small(tiny_store, gratings), **{name: 1})


@pytest.mark.parametrize("which", ["loader", "order"])
@pytest.mark.parametrize("how", ["by-hand", "as_data_loader"])
def test_the_epoch_is_that_of_the_loader(tiny_store: Store, gratings: Manifest, how: str, which: str) -> None:
    loader = small(tiny_store, gratings)
    if how == "by-hand":
        plain = DataLoader(WindowDataset(loader), batch_sampler=BatchOrder(loader), collate_fn=WindowDataset.collate)
    else:
        plain = as_data_loader(loader)
    epochs = []
    for epoch in (0, 1, 2):
        (loader if which == "loader" else plain.batch_sampler).set_epoch(epoch)  # type: ignore[union-attr]
        epochs.append([batch["start_frame"].tolist() for batch in plain])
        assert epochs[-1] == [loader.batch(epoch, number)["start_frame"].tolist() for number in range(len(loader))]
    assert epochs[0] != epochs[1] != epochs[2]


def test_another_epoch_begins_at_its_first_batch(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings)
    made = as_data_loader(loader)
    made.load_state_dict({**made.state_dict(), "epoch": 1, "batches": 2})
    assert made.state_dict()["batches"] == 2
    loader.set_epoch(2)
    assert made.state_dict()["batches"] == 0
    assert len(list(made)) == len(loader)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_workers_that_stay_hear_of_a_new_epoch(tiny_store: Store, gratings: Manifest, context: str) -> None:
    loader = small(tiny_store, gratings, mode="fixed", jitter_frames=None)
    plain = DataLoader(
        WindowDataset(loader),
        batch_size=16,
        collate_fn=WindowDataset.collate,
        num_workers=1,
        multiprocessing_context=context,
        persistent_workers=True,
    )
    for epoch in (0, 1, 5):
        loader.set_epoch(epoch)
        found = torch.cat([batch["start_frame"] for batch in plain])
        expected = loader.windows.at_epoch(loader.seed, epoch).locate(np.arange(len(loader.windows))).start
        assert found.tolist() == expected.tolist()


def test_windows_are_numbered_as_python_asks(tiny_store: Store, gratings: Manifest) -> None:
    dataset = WindowDataset(small(tiny_store, gratings))
    assert sum(1 for _ in dataset) == len(dataset)
    for number in (len(dataset), -1):
        with pytest.raises(IndexError, match=f"numbered 0 to {len(dataset) - 1}, and {number}"):
            dataset[number]


def test_an_epoch_that_is_chosen_reaches_copies(tiny_store: Store, gratings: Manifest) -> None:
    loader = small(tiny_store, gratings, mode="fixed", jitter_frames=None)
    dataset = copy.deepcopy(WindowDataset(loader))
    dataset.loader.set_epoch(3)
    loader.set_epoch(3)
    assert dataset[0]["start_frame"].tolist() == WindowDataset(loader)[0]["start_frame"].tolist()
