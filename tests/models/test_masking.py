"""What is hidden from a model: counted, drawn from the given generator alone, and never everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.masking import (
    MaskMode,
    causal_mask,
    channel_mask,
    drop_neurons,
    latent_mask,
    random_mask,
    replace_latents,
)

SHAPE: dict[str, int] = {"n_steps": 4, "latents_per_step": 3, "dim": 10, "n_windows": 5}

# -- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_steps", "rate", "masked"),
    [(16, 0.5, 8), (4, 0.5, 2), (4, 0.01, 1), (4, 0.99, 3), (2, 0.9, 1)],
)
def test_causal_mask_counts_steps(n_steps: int, rate: float, masked: int) -> None:
    mask = causal_mask(n_steps, 3, rate)
    assert mask.tolist() == [False] * (3 * (n_steps - masked)) + [True] * (3 * masked)


def test_one_step_cannot_be_masked() -> None:
    with pytest.raises(ModelError, match="longer window"):
        causal_mask(1, 16, 0.5)


@pytest.mark.parametrize(("n", "rate", "masked"), [(12, 0.5, 6), (12, 0.01, 1), (12, 0.99, 11), (2, 0.5, 1)])
def test_random_masks_have_one_size_and_other_places(n: int, rate: float, masked: int) -> None:
    mask = random_mask(400, n, rate, np.random.default_rng(0))
    assert (mask.sum(dim=1) == masked).all()
    # Every place is masked about as often as any other: 400 draws, five standard deviations.
    share = masked / n
    assert mask.float().mean(dim=0).sub(share).abs().max() < 5 * (share * (1 - share) / 400) ** 0.5


def test_random_masks_are_of_their_generator_alone() -> None:
    torch.manual_seed(0)
    first = random_mask(3, 20, 0.5, np.random.default_rng(7))
    torch.manual_seed(1)
    assert torch.equal(first, random_mask(3, 20, 0.5, np.random.default_rng(7)))
    assert not torch.equal(first, random_mask(3, 20, 0.5, np.random.default_rng(8)))


def test_the_released_codes_one_channel() -> None:
    for dim, channel in ((64, 32), (1024, 512), (7, 4)):
        assert channel_mask(dim, 0.5).nonzero().tolist() == [[channel]]
    with pytest.raises(ModelError, match="names none"):
        channel_mask(8, 0.01)


@pytest.mark.parametrize(
    ("mode", "shape", "masked"),
    [
        ("causal", (1, 12, 1), 6),
        ("random_tokens", (5, 12, 1), 5 * 6),
        ("channels", (5, 1, 10), 5 * 5),
        ("one_channel", (1, 1, 10), 1),
    ],
)
def test_modes_mask_what_they_say(mode: MaskMode, shape: tuple[int, ...], masked: int) -> None:
    mask = latent_mask(mode, 0.5, **SHAPE, rng=np.random.default_rng(0))
    assert mask.dtype == torch.bool
    assert tuple(mask.shape) == shape
    assert int(mask.sum()) == masked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mode": "causl"}, "'causal'"),
        ({"mode": "random_tokens"}, "pass rng"),
        ({"mode": "channels"}, "pass rng"),
    ],
)
def test_masks_that_make_no_sense_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        latent_mask(rate=0.5, **SHAPE, **arguments)
    with pytest.raises(ModelError, match="more latents"):
        random_mask(3, 1, 0.5, np.random.default_rng(0))


def test_replaced_latents() -> None:
    z, token = torch.randn(5, 12, 10), torch.randn(12, 10)
    for mode in ("causal", "random_tokens", "channels"):
        mask = latent_mask(mode, 0.5, **SHAPE, rng=np.random.default_rng(0)).expand(5, 12, 10)  # type: ignore[arg-type]
        for replacement in (token, 0.0):
            found = replace_latents(z, mask, replacement)
            assert torch.equal(found[~mask], z[~mask])
            assert torch.equal(found[mask], torch.as_tensor(replacement).expand(5, 12, 10)[mask])


# -- neurons left out ------------------------------------------------------------------------------------------------


def test_dropped_neurons_keep_values_with_their_index(batch: dict[str, Tensor]) -> None:
    batch["values"] = batch["neuron_index"][:, :, None] * torch.ones(6, 5, 24)
    batch["neuron_depth_um"] = batch["neuron_index"].float()
    batch["hidden"] = batch["neuron_index"][:, :, None] * torch.ones(6, 5, 24)
    batch["neuron_mask"][:2, 3:] = False
    kept = drop_neurons(batch, 0.6, np.random.default_rng(1))
    assert kept["values"].shape[1] < 5
    for name in ("values", "hidden"):
        assert torch.equal(kept[name][:, :, 0], kept["neuron_index"].float())
    assert torch.equal(kept["neuron_depth_um"], kept["neuron_index"].float())
    assert kept["direction"] is batch["direction"]
    assert kept["neuron_mask"].any(dim=1).all()
    real = kept["neuron_index"][:2][kept["neuron_mask"][:2]]
    assert int(real.max()) <= 3  # padding never becomes a neuron
    assert len({tuple(row) for row in kept["neuron_index"][2:].tolist()}) > 1  # other neurons for every window


def test_share_left_out_is_uniform_up_to_the_largest() -> None:
    batch = {
        "values": torch.zeros(1, 200, 1),
        "neuron_index": torch.arange(1, 201)[None],
        "neuron_mask": torch.ones(1, 200, dtype=torch.bool),
    }
    rng = np.random.default_rng(0)
    kept = [drop_neurons(batch, 0.5, rng) for _ in range(300)]
    assert all(bool(each["neuron_mask"].all()) for each in kept)  # as wide as what is left: no padding is made
    left = np.array([each["values"].shape[1] for each in kept]) / 200
    assert left.min() >= 0.5
    assert left.max() > 0.98
    assert left.min() < 0.52
    assert left.mean() == pytest.approx(0.75, abs=0.03)


def test_the_share_is_of_a_windows_own_neurons() -> None:
    size = torch.tensor([100, 20])
    batch = {
        "values": torch.zeros(2, 100, 1),
        "neuron_index": torch.arange(1, 101).repeat(2, 1),
        "neuron_mask": torch.arange(100) < size[:, None],
    }
    left = drop_neurons(batch, 0.9, np.random.default_rng(3))["neuron_mask"].sum(dim=1)
    assert left[0] < 100
    assert left[1] == pytest.approx(left[0] / 5, abs=1)


def test_a_window_keeps_its_last_neuron() -> None:
    batch = {
        "values": torch.zeros(2, 9, 1),
        "neuron_index": torch.arange(1, 10).repeat(2, 1),
        "neuron_mask": torch.arange(9) < torch.tensor([9, 1])[:, None],
    }
    for seed in range(20):
        kept = drop_neurons(batch, 0.99, np.random.default_rng(seed))
        assert kept["neuron_mask"].any(dim=1).all()
        assert kept["neuron_index"][1][kept["neuron_mask"][1]].tolist() == [1]


def test_a_batch_without_padding_needs_no_mask(batch: dict[str, Tensor]) -> None:
    without = {name: value for name, value in batch.items() if name != "neuron_mask"}
    found, expected = (drop_neurons(one, 0.9, np.random.default_rng(0)) for one in (without, batch))
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_nothing_is_left_out_at_zero(batch: dict[str, Tensor]) -> None:
    kept = drop_neurons(batch, 0.0, np.random.default_rng(0))
    assert all(kept[name] is batch[name] for name in batch)
