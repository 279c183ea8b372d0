"""The baseline of image decoders: two hidden layers and a weighted sum of learned images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf, expit

from poyodata.errors import ModelError
from poyodata.models.mlp import MLPDecoder


def test_answers_are_those_of_the_formula() -> None:
    decoder = MLPDecoder(6, hidden=5, seed=1).double()
    latents = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = latents.numpy()
    matrices = [p.detach().numpy() for p in decoder.parameters()]
    for weight, bias in (matrices[:2], matrices[2:4]):
        x = x @ weight.T + bias
        x = x * 0.5 * (1 + erf(x / np.sqrt(2)))
    expected = expit(x @ matrices[4].T + matrices[5]).reshape(3, 64, 128)
    np.testing.assert_allclose(decoder(latents).detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("dim", "size", "count"),
    [
        pytest.param(64, (64, 128), 2_187_776, id="dim 64"),
        pytest.param(1024, (128, 256), 8_749_568, id="dim 1024: fewer than the UNet, not 53 billion"),
    ],
)
def test_size_is_sane(dim: int, size: tuple[int, int], count: int) -> None:
    with torch.device("meta"):
        decoder = MLPDecoder(dim, size)
    assert sum(p.numel() for p in decoder.parameters()) == count


def test_an_answer_depends_on_its_own_latent_alone() -> None:
    decoder = MLPDecoder(8, seed=0).double()
    latents = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decoder(latents)[:1], decoder(latents[:1]))
    assert decoder(latents[:0]).shape == (0, 64, 128)


def test_seed_decides_the_weights_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    one, same, other = (MLPDecoder(8, seed=seed).layers[0].weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_sizes_and_shapes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"image size \(64, 64\) arrived; .* 64x128 or 128x256"):
        MLPDecoder(8, (64, 64))
    with pytest.raises(ModelError, match=r"latents of shape \(2, 9\) arrived; .*\(batch, 8\)"):
        MLPDecoder(8)(torch.zeros(2, 9))
