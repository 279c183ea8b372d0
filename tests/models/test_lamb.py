"""LAMB against the formula in numpy, and tables of which a batch meets few rows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.lamb import Lamb
from poyodata.models.parameter_groups import Decay, parameter_groups
from poyodata.models.poyo import PoyoPlus

Array = npt.NDArray[np.float64]


class NumpyLamb:
    """One tensor's LAMB, written from the formula."""

    def __init__(self, weight: Array, lr: float, wd: float, b1: float = 0.9, b2: float = 0.999) -> None:
        self.w, self.m, self.v = weight.copy(), np.zeros_like(weight), np.zeros_like(weight)
        self.lr, self.wd, self.b1, self.b2 = lr, wd, b1, b2

    def step(self, gradient: Array, rows: bool = False) -> None:
        met = np.any(gradient != 0, axis=1) if rows else slice(None)
        g = gradient[met]
        self.m[met] = self.b1 * self.m[met] + (1 - self.b1) * g
        self.v[met] = self.b2 * self.v[met] + (1 - self.b2) * g**2
        u = np.zeros_like(self.w)
        u[met] = self.m[met] / (np.sqrt(self.v[met]) + 1e-6) + self.wd * self.w[met]
        w_norm, u_norm = np.sqrt((self.w**2).sum()), np.sqrt((u**2).sum())
        ratio = min(w_norm, 10.0) / u_norm if w_norm > 0 and u_norm > 0 else 1.0
        self.w = self.w - self.lr * ratio * u


def draws(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0], ids=["small", "middling", "clamped"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_against_numpy(scale: float, weight_decay: float) -> None:
    starts = [scale * draws(5, 3, seed=0), scale * draws(7, seed=1), np.zeros((2, 2))]
    weights = [nn.Parameter(torch.from_numpy(start)) for start in starts]
    optimizer = Lamb(weights, lr=0.03, weight_decay=weight_decay)
    expected = [NumpyLamb(start, 0.03, weight_decay) for start in starts]
    for step in range(12):
        for number, (weight, reference) in enumerate(zip(weights, expected, strict=True)):
            # The last tensor starts at 0 and has no gradient at first: its ratio is 1.
            gradient = draws(*weight.shape, seed=10 * step + number) * (number < 2 or step > 3)
            weight.grad = torch.from_numpy(gradient)
            reference.step(gradient)
        optimizer.step()
        for weight, reference in zip(weights, expected, strict=True):
            np.testing.assert_allclose(weight.detach().numpy(), reference.w, rtol=1e-9, atol=1e-12)


def test_rows_that_rest_keep_weights_and_moments() -> None:
    start = draws(6, 4, seed=0)
    table = nn.Parameter(torch.from_numpy(start))
    optimizer = Lamb([{"params": [table], "sparse_rows": True}], lr=0.03, weight_decay=0.1)
    expected = NumpyLamb(start, 0.03, 0.1)
    for step, met in enumerate([[0, 1, 2], [0, 1], [4], [1, 2, 4], [0]]):
        gradient = np.zeros((6, 4))
        gradient[met] = draws(len(met), 4, seed=step)
        table.grad = torch.from_numpy(gradient)
        before, rest = table.detach().clone(), [row for row in range(6) if row not in met]
        moments = {name: value.clone() for name, value in optimizer.state[table].items()}
        optimizer.step()
        expected.step(gradient, rows=True)
        np.testing.assert_allclose(table.detach().numpy(), expected.w, rtol=1e-9)
        assert torch.equal(table.detach()[rest], before[rest])
        for name, value in moments.items():
            assert torch.equal(optimizer.state[table][name][rest], value[rest]), name
    assert optimizer.state[table]["exp_avg"][2].abs().min() > 0  # met, then rested: not forgotten
    assert torch.equal(table.detach()[[3, 5]], torch.from_numpy(start)[[3, 5]])  # never met


def test_all_rows_met_is_the_plain_step() -> None:
    plain, rows = (nn.Parameter(torch.from_numpy(draws(5, 3, seed=0))) for _ in range(2))
    optimizer = Lamb([{"params": [plain]}, {"params": [rows], "sparse_rows": True}], lr=0.1, weight_decay=0.01)
    for step in range(5):
        plain.grad = torch.from_numpy(draws(5, 3, seed=step))
        rows.grad = plain.grad.clone()
        optimizer.step()
        torch.testing.assert_close(plain, rows)


def test_state_goes_through_a_state_dict() -> None:
    def made() -> tuple[nn.Parameter, Lamb]:
        weight = nn.Parameter(torch.from_numpy(draws(4, 3, seed=0)))
        return weight, Lamb([weight], lr=0.1)

    (weight, optimizer), (later, resumed) = made(), made()
    for step in range(3):
        weight.grad = torch.from_numpy(draws(4, 3, seed=step))
        optimizer.step()
    with torch.no_grad():
        later.copy_(weight)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # a file holds a copy; torch loads without one
    weight.grad = later.grad = torch.from_numpy(draws(4, 3, seed=9))
    optimizer.step()
    resumed.step()
    assert torch.equal(weight, later)


def test_tensors_without_gradient_and_a_closure() -> None:
    idle, weight = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Lamb([idle, weight], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert torch.equal(idle, torch.ones(2))
    assert (weight < 1).all()


@pytest.mark.parametrize(
    "setting", [{"lr": -1.0}, {"betas": (1.0, 0.9)}, {"eps": -1e-6}, {"weight_decay": -0.1}, {"clamp": 0.0}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"Lamb: {next(iter(setting))}="):
        Lamb([nn.Parameter(torch.ones(2))], **setting)


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ModelError, match="sparse=False"):
        Lamb(table.parameters()).step()


# -- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", ["weights", "matrices", "all"])
def test_what_is_decayed(config: PoyoConfig, decay: Decay) -> None:
    model = PoyoPlus(config, ["s:0", "s:1"], ["s"])
    groups = parameter_groups(model, 0.3, decay=decay)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decayed = {names[id(w)] for group in groups if group["weight_decay"] == 0.3 for w in group["params"]}
    kept = {names[id(w)] for group in groups if group["weight_decay"] == 0.0 for w in group["params"]}
    assert decayed | kept == set(names.values())
    assert not decayed & kept
    embeddings = {"units", "sessions", "latents", "queries"}
    shapes = {name: weight.ndim for name, weight in model.named_parameters()}
    if decay == "all":
        assert not kept
    else:
        assert {name for name, ndim in shapes.items() if ndim < 2} <= kept  # norms and offsets
        assert embeddings <= (kept if decay == "weights" else decayed)
        assert {name for name, ndim in shapes.items() if ndim >= 2} - embeddings <= decayed


def test_tables_are_groups_of_their_own_and_frozen_parameters_of_none(config: PoyoConfig) -> None:
    model = PoyoPlus(config, ["s:0", "s:1"], ["s"])
    model.perceiver.requires_grad_(False)
    groups = parameter_groups(model, 0.3, tables=("units", "sessions"), sparse_rows=True)
    tables = [group for group in groups if group.get("sparse_rows")]
    assert [[id(w) for w in group["params"]] for group in tables] == [[id(model.units), id(model.sessions)]]
    everything = [id(w) for group in groups for w in group["params"]]
    assert len(set(everything)) == len(everything)
    assert not {id(w) for w in model.perceiver.parameters()} & set(everything)
    Lamb(groups, lr=0.1)  # takes them as they are


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"decay": "none"}, "way to decay"), ({"tables": ("unit",)}, "'units'")],
)
def test_groups_that_make_no_sense_are_refused(model: PoyoPlus, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parameter_groups(model, 0.1, **arguments)
    with pytest.raises(ModelError, match="nothing to train"):
        parameter_groups(model.requires_grad_(False), 0.1)
