"""What image decoders are, and what they answer with: images of known sizes, from black (0) to white (1)."""

from __future__ import annotations

from typing import Self, cast

import torch
from torch import Tensor, nn

from poyodata.errors import ModelError

IMAGE_SIZES: tuple[tuple[int, int], ...] = ((64, 128), (128, 256))
_DARKEST = 0.02


class ImageDecoder(nn.Module):
    """What decoders have in common: a size, and the picture that they begin with.

    A decoder that begins with nothing spends its first thousands of steps on what all frames have in common, the mean
    picture. It is laid under every answer instead, as logits, and the rest is learnt; it is no parameter.

    Parameters
    ----------
    dim : int
        Width of the latent vector.
    size : tuple of int
        Height and width of the image in pixels.

    Attributes
    ----------
    picture : Tensor, shape (height, width), float32
        Logits under every answer; 0, middle grey, until `begin_with`.
    """

    picture: Tensor

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.dim, self.size = dim, require_size(size)
        self.register_buffer("picture", torch.zeros(self.size))

    @property
    def last(self) -> nn.Conv2d | nn.Linear:
        """The layer that gives pixels."""
        raise NotImplementedError

    @torch.no_grad()
    def begin_with(self, picture: Tensor) -> Self:
        """Answer with a picture to everything, before anything is learnt.

        Parameters
        ----------
        picture : Tensor, shape (height, width)
            0 for black to 1 for white, such as the mean of the training frames.

        Raises
        ------
        ModelError
            For another shape, or pixels outside of [0, 1].
        """
        if tuple(picture.shape) != self.size or not bool(((picture >= 0) & (picture <= 1)).all()):
            raise ModelError(
                f"a picture of shape {tuple(picture.shape)} with pixels from {float(picture.min()):g} to "
                f"{float(picture.max()):g} arrived; give one of shape {self.size} with pixels from 0 to 1"
            )
        # Black and white themselves are infinitely far from grey.
        self.picture.copy_(torch.logit(picture.clamp(_DARKEST, 1 - _DARKEST)))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))
        return self


def unit_range(logits: Tensor) -> Tensor:
    """Squash logits of any size into [0, 1]: one logistic sigmoid, whose gradient does not vanish by rounding.

    A sigmoid written as ``y`` has the gradient ``y * (1 - y)``, which is exactly 0 in single precision from a logit of
    17 on, where ``y`` rounds to 1: a pixel that is wrongly white stays white for ever. Here each half is computed from
    its own small tail, so that white pixels have the same gradient as black ones, about ``exp(-abs(logit))``, which
    single precision holds up to a logit of 87.

    The released code clamps a tanh instead (``multitask_readout.py:273-280``): every pixel whose logit is negative,
    more than half of them before training, gets no gradient at all.

    Parameters
    ----------
    logits : Tensor
        Any shape; half precision is widened to float32.

    Returns
    -------
    Tensor
        The same shape; float32, or float64 for float64.

    Examples
    --------
    >>> logits = torch.tensor([-30.0, 0.0, 30.0], requires_grad=True)
    >>> pixels = unit_range(logits)
    >>> pixels.tolist()[1:]
    [0.5, 1.0]
    >>> pixels.sum().backward()
    >>> bool((logits.grad > 0).all())
    True
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return torch.where(logits > 0, 1 - torch.sigmoid(-logits), torch.sigmoid(logits))


def require_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels, if decoders can make such images.

    Raises
    ------
    ModelError
        If they cannot.

    Examples
    --------
    >>> require_size((64, 128))
    (64, 128)
    """
    if tuple(size) not in IMAGE_SIZES:
        known = " or ".join(f"{height}x{width}" for height, width in IMAGE_SIZES)
        raise ModelError(f"image size {size!r} arrived; decoders make images of {known} pixels (height x width)")
    return (int(size[0]), int(size[1]))


def require_latents(latents: Tensor, dim: int) -> None:
    """Refuse latents of another shape than (batch, dim).

    Examples
    --------
    >>> require_latents(torch.zeros(3, 8), 8)
    """
    if latents.ndim != 2 or latents.shape[1] != dim:
        raise ModelError(
            f"latents of shape {tuple(latents.shape)} arrived; this decoder reads one vector per image, "
            f"(batch, {dim}); make it with dim={latents.shape[-1] if latents.ndim else 0} or hand over one latent each"
        )
