"""Unit identification: a new animal is learned by its embeddings alone, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus

N_NEURONS = 16


def trials(animal: int, n: int, model: PoyoPlus, *, seed: int) -> dict[str, Tensor]:
    """Trials of an animal whose neurons prefer directions in an order of its own."""
    order = np.random.default_rng([animal, 7]).permutation(N_NEURONS) % 8
    rng = np.random.default_rng([animal, seed])
    direction = rng.integers(0, 8, n)
    values = rng.standard_normal((n, N_NEURONS, 24)) + 2.0 * (order == direction[:, None])[:, :, None]
    neurons, sessions = model.rows_of([f"{animal}:{i}" for i in range(N_NEURONS)], [str(animal)])
    return {
        "values": torch.from_numpy(values.astype(np.float32)),
        "neuron_index": neurons[1:].repeat(n, 1),
        "session_index": sessions.repeat(n),
        "direction": torch.from_numpy(direction),
    }


def learn(model: PoyoPlus, weights: list[torch.nn.Parameter], animals: tuple[int, ...], steps: int, lr: float) -> None:
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    model.train()
    for step in range(steps):
        batch = trials(animals[step % len(animals)], 32, model, seed=step)
        optimizer.zero_grad()
        functional.cross_entropy(model(batch)["direction"], batch["direction"]).backward()
        optimizer.step()
    model.eval()


@torch.no_grad()
def accuracy(model: PoyoPlus, animal: int) -> float:
    held_out = trials(animal, 200, model, seed=10_000)
    return (model(held_out)["direction"].argmax(dim=1) == held_out["direction"]).float().mean().item()


@pytest.mark.slow
def test_a_new_animal_is_learned_by_embeddings_alone(config: PoyoConfig) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        neurons = [f"{animal}:{i}" for animal in (1, 2) for i in range(N_NEURONS)]
        model = PoyoPlus(config, neurons, ["1", "2"], seed=1)
        learn(model, list(model.parameters()), (1, 2), steps=300, lr=1e-2)
        assert min(accuracy(model, 1), accuracy(model, 2)) >= 0.9
        model.extend_vocabulary([f"3:{i}" for i in range(N_NEURONS)], ["3"])
        assert accuracy(model, 3) <= 0.4  # an eighth by chance; nothing is known of these neurons

        before = {name: value.clone() for name, value in model.state_dict().items()}
        tables = model.identify_only()
        assert {id(table) for table in tables} == {id(model.units), id(model.sessions)}
        learn(model, tables, (3,), steps=200, lr=3e-2)

    assert accuracy(model, 3) >= 0.9
    for name, value in model.state_dict().items():
        if name not in ("units", "sessions"):
            assert torch.equal(value, before[name]), name
    # Of the two tables, rows of the animals of before are as they were too, and theirs are answered as before.
    assert torch.equal(model.units[: 1 + len(neurons)], before["units"][: 1 + len(neurons)])
    assert torch.equal(model.sessions[:2], before["sessions"][:2])
    assert not torch.equal(model.units[1 + len(neurons) :], before["units"][1 + len(neurons) :])
    assert model.requires_grad_(True) is model
    assert all(weight.requires_grad for weight in model.parameters())


def test_an_image_decoder_s_running_averages_stay_too(config: PoyoConfig) -> None:
    model = PoyoPlus(PoyoConfig(**{**config.model_dump(), "tasks": ("movie_pixels",)}), ["1:0"], ["1"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.identify_only(), lr=1e-2, weight_decay=0.0)
    batch = {
        "values": torch.randn(8, 1, 24, generator=torch.Generator().manual_seed(0)),
        "neuron_index": torch.ones(8, 1, dtype=torch.int64),
        "session_index": torch.zeros(8, dtype=torch.int64),
    }
    model.train()(batch)["movie_pixels"].sum().backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"units", "sessions"}
