"""What image decoders minimise: a weighted sum of five terms, each a mean over pixels of one frame in [0, 1].

The published combination is 50 focal + 50 L1 + 50 FFT + 1 perceptual + 0.1 SSIM. How the published terms are scaled is
not said; here every term is of images from 0 to 1 and does not grow with their size. What the released code computes
under the same names is another sum: see `ImageLossWeights.legacy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.ssim import ssim

Features = Callable[[Tensor], Tensor]

FFT_EMPHASIS = 3.0
_GREY_LEVELS = 255.0


class ImageLoss(NamedTuple):
    """A loss to go down, and the mean of every term before its weight (detached, by name)."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class ImageLossWeights:
    """Weights of the terms of an image loss. The default is the published combination, without its perceptual term.

    Attributes
    ----------
    focal, l1, fft, ssim : float
        Of `focal_term`, `l1_term`, `fft_term` and 1 - SSIM.
    perceptual : float
        Of the mean squared difference of AlexNet's features; published with 1. It needs a file of weights
        (`poyodata.models.perceptual.AlexNetFeatures`) and is off without.
    gradient, reach : float
        Of `gradient_term` and `reach_term`, which only the released code has.
    formula : {"paper", "released"}
        ``released``: the FFT term and the range of SSIM as the released code computes them.

    Raises
    ------
    ModelError
        If a weight is negative or not finite, or none is above 0.

    Examples
    --------
    >>> ImageLossWeights().active
    {'focal': 50.0, 'l1': 50.0, 'fft': 50.0, 'ssim': 0.1}
    """

    focal: float = 50.0
    l1: float = 50.0
    fft: float = 50.0
    perceptual: float = 0.0
    ssim: float = 0.1
    gradient: float = 0.0
    reach: float = 0.0
    formula: Literal["paper", "released"] = "paper"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "formula" and not (math.isfinite(value) and value >= 0):
                raise ModelError(f"the weight {field.name}={value!r} of an image loss must be a number of 0 or more")
        if self.formula not in ("paper", "released"):
            raise ModelError(f"formula={self.formula!r} of an image loss must be 'paper' or 'released'")
        if not self.active:
            raise ModelError("every weight of the image loss is 0; give one of them a weight above 0")

    @property
    def active(self) -> dict[str, float]:
        """The weights above 0 by the name of their term."""
        weights = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "formula"}
        return {name: float(weight) for name, weight in weights.items() if weight > 0}

    @classmethod
    def legacy(cls, *, perceptual: bool = False) -> ImageLossWeights:
        """Give the weights with which this loss equals the released code's, computed there on grey levels of 0..255.

        Its configuration names the published weights, but divides by ``255 * 128`` in some lines and, by precedence,
        divides by 255 and multiplies by 128 in others (``multitask_readout.py:299-303``); its focal term calls SSIM
        (``:299``). What is left is 94 L1 + 20 (1 - SSIM), on a scale of 0 to 1, and little else:

        ============ =========================== ======================================================
        term         released, on 0..255         here, on 0..1
        ============ =========================== ======================================================
        L1           20000 * .6 / (255 * 128)    x 255 = 93.75
        "focal"      128 / 255 * 100 * .4        20.0784, a second 1 - SSIM
        SSIM         128 / 255 * .1              0.0502
        FFT          40000 * .005 / (255 * 128)  x .01 x 255 = 0.015625, of transforms that are not normalised
        gradient     128 / 255 * .001            x 255 = 0.128
        range        .01                         x 255 = 2.55, here `reach`
        perceptual   1 / (255 * 128 * 1000)      3.06e-8, of features made with ``white=255``
        ============ =========================== ======================================================

        The range of SSIM and of `reach` are taken over the batch, and the emphasis of the FFT term lies on low
        frequencies, as there (``loss.py:94-117``).

        Parameters
        ----------
        perceptual : bool
            Whether to count the perceptual term, which needs ``AlexNetFeatures(path, white=255)``.

        Examples
        --------
        >>> round(ImageLossWeights.legacy().ssim, 3)
        20.129
        """
        return cls(
            focal=0.0,
            l1=20000 * 0.6 / (255 * 128) * _GREY_LEVELS,
            fft=40000 * 0.005 / (255 * 128) * 0.01 * _GREY_LEVELS,
            perceptual=1 / (255 * 128 * 1000) if perceptual else 0.0,
            ssim=128 / 255 * 100 * 0.4 + 128 / 255 * 0.1,
            gradient=128 / 255 * 0.001 * _GREY_LEVELS,
            reach=0.01 * _GREY_LEVELS,
            formula="released",
        )


def image_loss(
    prediction: Tensor, target: Tensor, weights: ImageLossWeights | None = None, perceptual: Features | None = None
) -> ImageLoss:
    """Mean over frames of the weighted terms; frames whose target is NaN (nothing was shown) do not count.

    With the published formula a frame's share does not depend on the other frames. Nothing is read back from the
    device, and everything is computed in float32 or wider, also under autocast.

    Parameters
    ----------
    prediction, target : Tensor, shape (n, height, width)
        Frames from 0 (black) to 1 (white).
    weights : ImageLossWeights, optional
        The published ones by default.
    perceptual : callable, optional
        From frames to features: `poyodata.models.perceptual.AlexNetFeatures`.

    Returns
    -------
    ImageLoss
        Both 0 where no frame counts.

    Raises
    ------
    ModelError
        If shapes differ, or features are missing for a perceptual weight, or there for none.

    Examples
    --------
    >>> frames = torch.linspace(0, 1, 64).reshape(1, 8, 8)
    >>> loss = image_loss(frames.clamp(min=0.1), frames)
    >>> sorted(loss.terms), bool(loss.total > 0)
    (['fft', 'focal', 'l1', 'ssim'], True)
    """
    weights = weights or ImageLossWeights()
    known = ~target.isnan()
    counted = known.flatten(1).all(dim=1)
    terms = frame_terms(prediction, torch.where(known, target, 0.0), weights, perceptual)
    n_counted = counted.sum().clamp(min=1)
    # where, not a product: whatever an uncounted frame gives is not to reach the sum.
    means = {name: torch.where(counted, term, 0.0).sum() / n_counted for name, term in terms.items()}
    total = torch.stack([weights.active[name] * mean for name, mean in means.items()]).sum()
    return ImageLoss(total, {name: mean.detach() for name, mean in means.items()})


def frame_terms(
    prediction: Tensor, target: Tensor, weights: ImageLossWeights, perceptual: Features | None = None
) -> dict[str, Tensor]:
    """Every term that has a weight, of every frame and before its weight: tensors of shape (n,) by name.

    Parameters and errors are those of `image_loss`; targets must be known everywhere.
    """
    if prediction.shape != target.shape or prediction.ndim != 3:
        raise ModelError(
            f"predicted frames have shape {tuple(prediction.shape)} and targets {tuple(target.shape)}; "
            "expected the same (n, height, width) twice"
        )
    active = weights.active
    if ("perceptual" in active) != (perceptual is not None):
        raise ModelError(
            "the perceptual term needs both a weight and features: set ImageLossWeights(perceptual=1) and hand over "
            f"AlexNetFeatures(path); here the weight is {weights.perceptual:g} and features are "
            f"{'missing' if perceptual is None else 'given'}"
        )
    wide = torch.float64 if torch.float64 in (prediction.dtype, target.dtype) else torch.float32
    p, t = prediction.to(wide), target.to(wide)
    if not len(p):
        return dict.fromkeys(active, p.sum(dim=(1, 2)))
    released = weights.formula == "released"
    with torch.autocast(p.device.type, enabled=False):
        made: dict[str, Callable[[], Tensor]] = {
            "focal": lambda: focal_term(p, t),
            "l1": lambda: l1_term(p, t),
            "fft": lambda: fft_term(p, t, formula=weights.formula),
            "perceptual": lambda: perceptual_term(p, t, perceptual) if perceptual else p.new_zeros(len(p)),
            "ssim": lambda: 1 - ssim(p, t, _batch_range(p, t) if released else 1.0),
            "gradient": lambda: gradient_term(p, t),
            "reach": lambda: reach_term(p),
        }
        return {name: made[name]() for name in active}


def l1_term(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of every frame.

    Examples
    --------
    >>> l1_term(torch.zeros(1, 2, 2), torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])).tolist()
    [0.25]
    """
    return (prediction - target).abs().mean(dim=(1, 2))


def focal_term(prediction: Tensor, target: Tensor, gamma: float = 1.0) -> Tensor:
    """Mean absolute error of every frame in which a pixel counts by how wrong it is beside the frame's worst pixel.

    A pixel's error `e` has the weight ``(e / (max e + 1e-8)) ** gamma``. Two things differ from the released
    ``FocalLoss``, which is written there but never called. The largest error is that of the frame, not of the batch: a
    frame's loss would else change with the frames that happen to be beside it, and with the batch's size. And it is
    held constant in the gradient: it is the scale of the weights, and a gradient through it would reward making the
    worst pixel worse.

    Examples
    --------
    >>> errors = torch.tensor([[[0.0, 0.1], [0.2, 0.4]]], dtype=torch.float64)
    >>> round(focal_term(errors, torch.zeros_like(errors)).item(), 6)
    0.13125
    """
    error = (prediction - target).abs()
    worst = error.detach().amax(dim=(1, 2), keepdim=True)
    return ((error / (worst + 1e-8)) ** gamma * error).mean(dim=(1, 2))


def fft_term(prediction: Tensor, target: Tensor, *, formula: Literal["paper", "released"] = "paper") -> Tensor:
    """Mean absolute difference of the amplitude spectra of every frame, high frequencies emphasised.

    A frequency has weight 1 at 0 cycles per pixel and rises in proportion to 3 at the largest there is (Nyquist in both
    directions, 0.71 cycles per pixel). Transforms are unitary (``norm="ortho"``): by Parseval the term without
    its emphasis is never above the root mean squared error of the frame, whatever its size.

    The released code lays the same emphasis out with frequency 0 in the middle, over a spectrum that has it in the
    corner: weight 3 at 0 and 1 at Nyquist (``loss.py:94-117``). And its transform is not normalised: differences of
    unrelated pixels grow with the root of their number. ``formula="released"`` is that.

    Examples
    --------
    >>> flat = torch.zeros(1, 4, 4)
    >>> [round(fft_term(flat, flat + 1, formula=formula).item(), 3) for formula in ("paper", "released")]
    [0.25, 3.0]
    """
    height, width = prediction.shape[1:]
    if formula == "released":
        amplitudes = [torch.fft.fft2(frames).abs() for frames in (prediction, target)]
        weight = _released_emphasis(height, width, prediction)
    else:
        amplitudes = [torch.fft.rfft2(frames, norm="ortho").abs() for frames in (prediction, target)]
        weight = _emphasis(height, width, prediction)
    difference: Tensor = (amplitudes[0] - amplitudes[1]).abs() * weight
    return difference.sum(dim=(1, 2)) / (height * width)


def _emphasis(height: int, width: int, like: Tensor) -> Tensor:
    """Weights over the half spectrum of real frames, whose inner columns stand for two frequencies each."""
    rows = torch.fft.fftfreq(height, dtype=like.dtype, device=like.device)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=like.dtype, device=like.device)
    stands_for = torch.full_like(columns, 2.0)
    stands_for[:: width // 2 if width % 2 == 0 else len(columns)] = 1.0
    return stands_for * (1 + (FFT_EMPHASIS - 1) * torch.hypot(rows, columns) / math.hypot(0.5, 0.5))


def _released_emphasis(height: int, width: int, like: Tensor) -> Tensor:
    """Weights that rise from the middle of the array, where the largest frequencies lie, to its corners."""
    rows = torch.arange(height, dtype=like.dtype, device=like.device)[:, None] - height // 2
    columns = torch.arange(width, dtype=like.dtype, device=like.device) - width // 2
    return 1 + (FFT_EMPHASIS - 1) * torch.hypot(rows, columns) / math.hypot(height // 2, width // 2)


def perceptual_term(prediction: Tensor, target: Tensor, features: Features) -> Tensor:
    """Mean squared difference of the features of every frame; no gradient reaches the target.

    Examples
    --------
    >>> perceptual_term(torch.zeros(1, 4, 4), torch.ones(1, 4, 4), lambda frames: frames[:, None]).tolist()
    [1.0]
    """
    with torch.no_grad():
        wanted = features(target)
    return (features(prediction) - wanted).to(prediction.dtype).square().flatten(1).mean(dim=1)


def gradient_term(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the differences of neighbouring pixels, downwards plus sideways, of every frame.

    Active in the released code, absent from the paper.

    Examples
    --------
    >>> gradient_term(torch.zeros(1, 2, 2), torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).tolist()
    [1.0]
    """
    error = prediction - target
    return error.diff(dim=1).abs().mean(dim=(1, 2)) + error.diff(dim=2).abs().mean(dim=(1, 2))


def reach_term(prediction: Tensor) -> Tensor:
    """How far the darkest pixel of a batch is from black plus the brightest from white, the same for every frame.

    Active in the released code, absent from the paper, and not a property of a frame.

    Examples
    --------
    >>> reach_term(torch.tensor([[[0.25, 0.5]], [[0.5, 0.5]]])).tolist()
    [0.75, 0.75]
    """
    return (prediction.min().relu() + (1 - prediction.max()).relu()).expand(len(prediction))


def _batch_range(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance from black to white as the released code takes it: the larger range of the two batches."""
    return torch.maximum(prediction.max() - prediction.min(), target.max() - target.min())
