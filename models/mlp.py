"""The baseline of image decoders: two hidden layers, and one weighted sum of learned images."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from poyodata.models.pixels import ImageDecoder, require_latents, unit_range


class MLPDecoder(ImageDecoder):
    """Decode one latent vector into one image, without any idea of what is next to what.

    Its last layer is a weighted sum of `hidden` learned images, so that it can do what principal components of the
    frames can do and little more: a decoder with convolutions should beat it. It has no batch normalisation: an answer
    never depends on the other windows of its batch. The MLP of the released code has 53 billion parameters at
    dim 1024 and cannot be built.

    Parameters
    ----------
    dim : int
        Width of the latent vector.
    size : tuple of int
        Height and width of the image in pixels: (64, 128) or (128, 256).
    hidden : int
        Width of the hidden layers, and number of learned images.
    seed : int
        Seed of the initial weights; the global random state is neither read nor changed.

    Raises
    ------
    ModelError
        If the size is not one of the two, or latents of another shape than (batch, dim) arrive.

    Examples
    --------
    >>> decoder = MLPDecoder(64)
    >>> decoder(torch.zeros(3, 64)).shape
    torch.Size([3, 64, 128])
    >>> sum(p.numel() for p in decoder.parameters())
    2187776
    """

    def __init__(self, dim: int, size: tuple[int, int] = (64, 128), *, hidden: int = 256, seed: int = 0) -> None:
        super().__init__(dim, size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(dim, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Linear(hidden, self.size[0] * self.size[1]),
            )

    @property
    def last(self) -> nn.Linear:
        """The layer that gives pixels."""
        return cast(nn.Linear, self.layers[-1])

    def forward(self, latents: Tensor) -> Tensor:
        """Images of shape (batch, height, width) in [0, 1] from latents of shape (batch, dim)."""
        require_latents(latents, self.dim)
        return unit_range(torch.unflatten(self.layers(latents), 1, self.size) + self.picture)
