"""How alike two images are: structural similarity and signal-to-noise ratio of every frame; loss and metric share them.

Structural similarity is that of Wang et al. 2004 as torchmetrics defines it (11x11 Gaussian of standard deviation 1.5,
mirrored borders, K1 = 0.01, K2 = 0.03), which the released code calls too; a test holds one against the other.
It is written again here for two reasons. Blurring by two small matrices takes a small part of the time of a
convolution with 121 weights, which costs more than the decoder it judges. And variances are differences of nearly
equal numbers: under autocast, or with the TensorFloat-32 that PyTorch allows in convolutions, they lose their digits;
here they do not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from poyodata.errors import ModelError

_SIGMA_PX = 1.5
_RADIUS_PX = 5
_K1, _K2 = 0.01, 0.03


def ssim(prediction: Tensor, target: Tensor, data_range: float | Tensor = 1.0) -> Tensor:
    """Structural similarity of every frame: 1 for equal frames, about 0 for unrelated ones.

    Parameters
    ----------
    prediction, target : Tensor, shape (n, height, width), floating
        Frames, at least 6x6 pixels.
    data_range : float or Tensor
        Distance from black to white. It is fixed: taken from the frames themselves, as the released code does
        (``data_range=None``), values of two batches could not be compared.

    Returns
    -------
    Tensor, shape (n,)
        Float32, or float64 for float64; differentiable.

    Raises
    ------
    ModelError
        If the two differ in shape, are no frames, are too small, or hold integers.

    Examples
    --------
    >>> frames = torch.linspace(0, 1, 64).reshape(1, 8, 8)
    >>> ssim(frames, frames).item()
    1.0
    >>> round(ssim(frames, 1 - frames).item(), 2)
    -0.67
    """
    prediction, target = _frames(prediction, target)
    if min(prediction.shape[1:]) <= _RADIUS_PX:
        raise ModelError(
            f"frames of {prediction.shape[1]}x{prediction.shape[2]} pixels arrived; structural similarity looks "
            f"{_RADIUS_PX} pixels around every pixel and needs {_RADIUS_PX + 1}x{_RADIUS_PX + 1} at least"
        )
    with torch.autocast(prediction.device.type, enabled=False):
        p, t, pp, tt, pt = _blurred(
            torch.stack((prediction, target, prediction * prediction, target * target, prediction * target))
        )
        c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
        luminance = (2 * p * t + c1) / (p * p + t * t + c1)
        # Variance is what is left of a mean of squares: the two structure terms of the definition in one.
        structure = (2 * (pt - p * t) + c2) / ((pp - p * p) + (tt - t * t) + c2)
        similarity: Tensor = (luminance * structure).mean(dim=(1, 2)).to(target.dtype)
    return similarity


def psnr(prediction: Tensor, target: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of every frame in decibels; infinite for equal frames.

    The mean over frames is that of decibels, not the decibels of the mean error.

    Parameters
    ----------
    prediction, target : Tensor, shape (n, height, width), floating
        Frames.
    data_range : float
        Distance from black to white.

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    ModelError
        If the two differ in shape, are no frames, or hold integers.

    Examples
    --------
    >>> psnr(torch.full((1, 4, 4), 0.6, dtype=torch.float64), torch.full((1, 4, 4), 0.5, dtype=torch.float64)).item()
    20.0
    """
    prediction, target = _frames(prediction, target)
    return -10 * torch.log10((prediction - target).square().mean(dim=(1, 2)) / data_range**2)


def _frames(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision that differences survive in."""
    if prediction.shape != target.shape or prediction.ndim != 3:
        raise ModelError(
            f"predicted frames have shape {tuple(prediction.shape)} and targets {tuple(target.shape)}; "
            "expected the same (n, height, width) twice"
        )
    if not (prediction.is_floating_point() and target.is_floating_point()):
        raise ModelError(
            f"frames of {prediction.dtype} and {target.dtype} arrived; divide grey levels by 255 to get 0 to 1"
        )
    wide = torch.float64 if torch.float64 in (prediction.dtype, target.dtype) else torch.float32
    return prediction.to(wide), target.to(wide)


def _blurred(frames: Tensor) -> Tensor:
    """Gaussian means around every pixel, of frames of shape (..., height, width)."""
    if frames.is_cuda and torch.get_float32_matmul_precision() != "highest":
        frames = frames.double()  # three digits, which that setting leaves, are too few for a variance
    rows, columns = (_blur(n, frames) for n in frames.shape[-2:])
    return rows.T @ (frames @ columns)


def _blur(n: int, like: Tensor) -> Tensor:
    """Weights of shape (from, to) of a Gaussian mean over `n` pixels in a row, mirrored at both ends."""
    distance = torch.arange(-_RADIUS_PX, _RADIUS_PX + 1, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * (distance / _SIGMA_PX) ** 2)
    single = torch.eye(n, dtype=like.dtype, device=like.device)
    mirrored = functional.pad(single[None], (_RADIUS_PX, _RADIUS_PX), mode="reflect")[0]
    around = mirrored.unfold(1, 2 * _RADIUS_PX + 1, 1)
    return (around * (weights / weights.sum())).sum(dim=-1)
