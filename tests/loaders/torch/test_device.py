"""Batches on a device: equal to the loader's, here on the CPU, and on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from poyodata.curation import Manifest, load_diet
from poyodata.errors import LoaderError
from poyodata.loaders import Recipe, make_loader
from poyodata.loaders.torch import DeviceLoader, ResidentLoader, pinned, to_device
from poyodata.store import Store

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
]


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, value in b.items():
        assert a[name].dtype == value.dtype, name
        assert torch.equal(a[name].cpu(), value), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [DeviceLoader, ResidentLoader])
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("windows: {window_s: 1.0}\ntransforms: [normalise, {name: jitter, frames: 4}]", id="trials"),
        pytest.param(
            "windows: {window_s: 1.0}\ntransforms: [normalise, {name: unit_dropout, law: uniform, min_units: 2, "
            "max_units: 9}]\ntargets: [direction]",
            id="fewer-neurons",
        ),
        pytest.param("windows: {mode: fixed, window_s: 0.5}\nsampling: {how: same-recording}", id="fixed"),
        pytest.param("windows: {mode: frames}", id="frames"),
    ],
)
def test_batches_are_the_loaders(tiny_store: Store, device: str, kind: type[Any], recipe: str) -> None:
    diet = load_diet("predictable").during("stimulus == 'drifting_gratings'")
    manifest = diet.resolve(tiny_store, split="blocks-5fold")
    loader = make_loader(tiny_store, manifest, recipe=Recipe.from_yaml(f"recipe: 1\n{recipe}\n"), batch_size=64)
    on_device = kind(loader, device)
    assert len(on_device) == len(loader)
    for epoch in range(2):
        on_device.set_epoch(epoch)
        made = list(on_device)
        assert len(made) == len(loader)
        for batch, expected in zip(made, loader, strict=True):
            assert batch["values"].device.type == device
            same(batch, expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [DeviceLoader, ResidentLoader])
def test_the_state_counts_what_was_given(tiny_store: Store, gratings: Manifest, device: str, kind: type[Any]) -> None:
    loader = make_loader(tiny_store, gratings, window_s=1.0, batch_size=8)
    expected = list(loader)
    on_device = kind(loader, device)
    iterator = iter(on_device)
    for _ in range(3):
        next(iterator)
    state = on_device.state_dict()
    assert state["batches"] == 3
    again = kind(make_loader(tiny_store, gratings, window_s=1.0, batch_size=8), device)
    again.load_state_dict(state)
    for batch, wanted in zip(list(again), expected[3:], strict=True):
        same(batch, wanted)


def test_what_is_no_tensor_stays() -> None:
    batch = {"a": {"values": torch.ones(2)}, "name": "x"}
    moved = to_device(pinned(batch), "cpu")
    assert moved["name"] == "x"
    assert torch.equal(moved["a"]["values"], torch.ones(2))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"layout": "tokens", "window_s": 1.0}, id="tokens"),
        pytest.param({"mode": "whole"}, id="whole-recordings"),
        pytest.param(
            {"recipe": Recipe.from_yaml("recipe: 1\nwindows: {window_s: 1.0}\nmasks: [{scheme: neuron}]\n")}, id="masks"
        ),
    ],
)
def test_what_cannot_be_gathered_on_a_device_is_refused(
    tiny_store: Store, gratings: Manifest, arguments: dict[str, Any]
) -> None:
    with pytest.raises(LoaderError, match="DeviceLoader"):
        ResidentLoader(make_loader(tiny_store, gratings, **arguments), "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("kind", [DeviceLoader, ResidentLoader])
def test_without_a_gpu_it_says_what_to_do(tiny_store: Store, gratings: Manifest, kind: type[Any]) -> None:
    with pytest.raises(LoaderError, match=r"torch finds no GPU here.*give 'cpu'"):
        kind(make_loader(tiny_store, gratings, window_s=1.0), "cuda")
