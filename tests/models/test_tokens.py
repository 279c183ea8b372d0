"""What the tokens of a neuron are made of, by formulas written out here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.tokens import Tokens

B, N, T, PATCH, DIM = 2, 3, 7, 3, 8


def config_of(**changes: object) -> PoyoConfig:
    return PoyoConfig(**{"window_frames": T, "patch_frames": PATCH, "dim": DIM, "rate_hz": 10.0, **changes})


@pytest.fixture
def values() -> Tensor:
    return torch.randn(B, N, T, generator=torch.Generator().manual_seed(0))


def units_of(config: PoyoConfig) -> Tensor:
    return torch.randn(B, N, config.unit_dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["paper", "gated", "patched"])
def test_formulas(kind: str, values: Tensor) -> None:
    config = config_of(tokens=kind)
    tokens, units = Tokens(config), units_of(config)
    found = tokens(values, units, {}).whole()
    assert found.shape == (B, 2, N, config.context_dim)
    assert config.context_dim == {"paper": 16, "gated": 8, "patched": 8}[kind]
    assert tokens.times_s.tolist() == pytest.approx([0.15, 0.45])
    for b, p, n in [(0, 0, 0), (1, 1, 2)]:
        patch, unit = values[b, n, p * PATCH : (p + 1) * PATCH], units[b, n]
        value = tokens.project.weight @ patch
        if kind == "gated":
            expected = unit * value + unit
        else:
            bias = 0 if tokens.project.bias is None else tokens.project.bias
            expected = torch.cat((unit, value + bias))
        torch.testing.assert_close(found[b, p, n], expected)
    # The seventh frame is in no whole patch.
    changed = values.clone()
    changed[..., 6] += 1
    assert torch.equal(tokens(changed, units, {}).whole(), found)


def features_of(n: int = N) -> dict[str, Tensor]:
    return {
        "neuron_cre_line": torch.tensor([[3, 0, -1][:n]] * B),
        "neuron_area": torch.tensor([[5, -1, 0][:n]] * B),
        "neuron_depth_um": torch.tensor([[250.0, 250.5, math.nan][:n]] * B),
        "neuron_x_um": torch.tensor([[0.0, 12.5, math.nan][:n]] * B),
        "neuron_y_um": torch.tensor([[100.0, math.nan, 3.0][:n]] * B),
    }


@pytest.mark.parametrize("kind", ["paper", "gated", "patched"])
@pytest.mark.parametrize("feature", ["cre_line", "area", "depth", "position"])
def test_features_stand_beside_the_paper_s_tokens_and_are_added_to_the_others(
    kind: str, feature: str, values: Tensor
) -> None:
    config = config_of(tokens=kind, features=(feature,))
    tokens, units, batch = Tokens(config), units_of(config), features_of()
    found = tokens(values, units, batch).whole()
    assert found.shape[-1] == {"paper": 24, "gated": 8, "patched": 8}[kind]
    for n in range(N):
        known = _expected(tokens, feature, batch, n, config.unit_dim)
        value = tokens.project(values[0, n, :PATCH])
        whose = units[0, n]
        expected = {
            "paper": torch.cat((whose, value, known)),
            "gated": (whose + known) * (1 + value),
            "patched": torch.cat((whose + known, value)) if kind == "patched" else None,
        }[kind]
        torch.testing.assert_close(found[0, 0, n], expected)


def _expected(tokens: Tokens, feature: str, batch: dict[str, Tensor], n: int, wide: int) -> Tensor:
    if feature == "position":
        parts: list[float] = []
        for axis in ("x", "y"):
            at = batch[f"neuron_{axis}_um"][0, n].item()
            for i in range(wide // 4):
                angle = at * 10_000 ** (-2 * i / (wide / 2))
                parts += [0.0, 0.0] if math.isnan(at) else [math.sin(angle), math.cos(angle)]
        return torch.tensor(parts)
    rows: dict[str, list[int | None]] = {"cre_line": [3, 0, None], "area": [5, None, 0], "depth": [0, 1, None]}
    row = rows[feature][n]
    return torch.zeros(wide) if row is None else tokens.features[feature][row]


@pytest.mark.parametrize(
    ("depth_um", "row"), [(100.0, 0), (250.0, 0), (251.0, 1), (350.0, 1), (500.0, 2), (600.0, 3), (601.0, 4)]
)
def test_depth_classes(depth_um: float, row: int, values: Tensor) -> None:
    config = config_of(tokens="paper", features=("depth",))
    tokens = Tokens(config)
    found = tokens(values, units_of(config), {"neuron_depth_um": torch.full((B, N), depth_um)}).whole()
    assert torch.equal(found[0, 0, 0, 2 * DIM :], tokens.features["depth"][row])


def test_a_lacking_column_is_named(values: Tensor) -> None:
    config = config_of(features=("cre_line",))
    with pytest.raises(ModelError, match=r"no 'neuron_cre_line'.*feature 'cre_line'"):
        Tokens(config)(values, units_of(config), {"neuron_area": torch.zeros(B, N)})


def test_legacy_has_start_and_end_tokens_before_the_values(values: Tensor) -> None:
    config = config_of(layout="legacy")
    tokens, units = Tokens(config), units_of(config)
    assert tokens.types is not None
    found = tokens(values, units, {}).whole()
    assert found.shape == (B, 4, N, 2 * DIM)
    assert tokens.times_s.tolist() == pytest.approx([0.0, 1.0, 0.1, 0.4])
    for moment, kind in enumerate([1, 2, 0, 0]):
        torch.testing.assert_close(found[:, moment, :, :DIM], units + tokens.types[kind])
    assert not found[:, :2, :, DIM:].any()
    torch.testing.assert_close(found[1, 3, 2, DIM:], tokens.project(values[1, 2, PATCH : 2 * PATCH]))
