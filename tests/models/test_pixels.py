from __future__ import annotations

import pytest
import torch

from poyodata.errors import ModelError
from poyodata.models.unet import make_decoder

PICTURE = torch.linspace(0, 1, 64 * 128).reshape(64, 128)
LATENTS = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("image", ["unet", "unet-small", "mlp"])
def test_a_decoder_begins_with_a_picture_and_learns_from_there(image: str) -> None:
    decoder = make_decoder(image, 8)
    n_parameters = sum(one.numel() for one in decoder.parameters())
    decoder.begin_with(PICTURE)
    assert sum(one.numel() for one in decoder.parameters()) == n_parameters
    expected = PICTURE.clamp(0.02, 0.98).expand(3, -1, -1)
    torch.testing.assert_close(decoder(LATENTS), expected)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=1e-2)
    for _ in range(2):  # what lies before the last layer learns from the second step on
        optimizer.zero_grad()
        (decoder(LATENTS) ** 2).mean().backward()
        optimizer.step()
    assert all(bool((one.grad != 0).any()) for name, one in decoder.named_parameters() if name.endswith("weight"))
    assert decoder(LATENTS).mean() < expected.mean()  # black was what was asked for
    again = make_decoder(image, 8, seed=1)
    again.load_state_dict(decoder.state_dict())
    torch.testing.assert_close(again.eval()(LATENTS), decoder.eval()(LATENTS))


@pytest.mark.parametrize("picture", [PICTURE[:32], 2 * PICTURE, PICTURE - 0.1], ids=["size", "bright", "dark"])
def test_what_is_no_picture_is_refused(picture: torch.Tensor) -> None:
    with pytest.raises(ModelError, match="pixels from 0 to 1"):
        make_decoder("mlp", 8).begin_with(picture)
