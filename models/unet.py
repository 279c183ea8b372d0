"""The image decoder: a UNet whose encoder is replaced by projections of one latent vector at every scale."""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.errors import ModelError, nearest
from poyodata.models.mlp import MLPDecoder
from poyodata.models.pixels import ImageDecoder, require_latents, unit_range

ImageDecoderName = Literal["unet", "unet-small", "mlp"]
_CHANNELS = (128, 64, 32, 16)  # at 2x2, 4x4, 8x8 and 16x16 pixels
_WIDE = 32  # from 32x32 pixels on
_SLOPE = 0.2


class UNetDecoder(ImageDecoder):
    """Decode one latent vector into one image, from 2x2 pixels upwards.

    1. Four scales, of 2, 4, 8 and 16 pixels: enlarge, then lay beside it a projection of the latent vector to that
       scale (where a UNet has the skip connection from its encoder), and mix the two.
    2. Enlarge to 32x32.
    3. ``large``: two sub-pixel stages to 128x128, doubled in width, and a convolution. ``small``: enlarge once more to
       64x64, a convolution, and resize to the image.
    4. A linear head of one number a pixel, and one sigmoid.

    Latent vectors of different windows differ little beside what they have in common, and only that difference tells
    pictures apart: ``level`` brings every channel to mean 0 and variance 1 over the batch first (batch normalisation
    without parameters). Without it the first hundreds of steps are spent on what all windows share.

    The layout is that of the released code (its ``LargeUNetDecoderOnly``, used from dim 1024, and ``UNetDecoderOnly``),
    with the same numbers of parameters; its output (tanh, then a clamp that stops the gradient of half of the pixels)
    is not: see `poyodata.models.pixels.unit_range`. Images of 64x128 from the large one take one sub-pixel stage
    instead of two.

    Batch normalisation follows every 3x3 convolution but the head's. So, in training, an answer depends on the other
    windows of its batch. A batch of one window works: its pixels are what is averaged over, at the first scale four of
    them; the running averages then differ from what training saw, and answers in evaluation mode suffer. Give every
    device eight windows or more, or ``freeze_statistics`` when fine-tuning on less. An empty batch gives no image and
    leaves the averages alone. Under DDP every process normalises by its own windows, and the running averages that are
    saved are those of the first; Lightning's ``sync_batchnorm=True`` (GPUs only) averages over all of them.

    Parameters
    ----------
    dim : int
        Width of the latent vector.
    size : tuple of int
        Height and width of the image in pixels: (64, 128) or (128, 256).
    layout : {"large", "small"}
        Which of the two.
    level : bool
        Whether latent vectors are levelled first; the released code has nothing of the kind.
    seed : int
        Seed of the initial weights; the global random state is neither read nor changed.

    Raises
    ------
    ModelError
        If the size or the layout is unknown, or latents of another shape than (batch, dim) arrive.

    Examples
    --------
    >>> decoder = UNetDecoder(64)
    >>> decoder(torch.zeros(3, 64)).shape
    torch.Size([3, 64, 128])
    >>> sum(p.numel() for p in decoder.parameters())
    728481
    """

    _statistics_frozen = False

    def __init__(
        self,
        dim: int,
        size: tuple[int, int] = (64, 128),
        *,
        layout: Literal["large", "small"] = "small",
        level: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, size)
        if layout not in ("large", "small"):
            raise ModelError(f"there is no UNet layout {layout!r}; {nearest(str(layout), ('large', 'small'))}")
        self.layout = layout
        self.level = _Level(dim) if level else nn.Identity()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = (dim, *_CHANNELS)
            self.scales = nn.ModuleList(
                _Scale(dim, *pair, side=2 ** (i + 1)) for i, pair in enumerate(zip(widths, _CHANNELS, strict=False))
            )
            self.enlarge = _Convolution(_CHANNELS[-1], _WIDE)
            n_stages = self.size[0] // 64 if layout == "large" else 0
            self.sharpen = nn.Sequential(*(_SubPixel(_WIDE) for _ in range(n_stages)))
            self.refine = _Convolution(_WIDE, _WIDE)
            self.head = nn.Conv2d(_WIDE, 1, 3, padding=1)
            self.apply(_initialise)

    @property
    def last(self) -> nn.Conv2d:
        """The layer that gives pixels."""
        return self.head

    def logits(self, latents: Tensor) -> Tensor:
        """What the sigmoid is applied to: shape (batch, height, width) from latents of shape (batch, dim)."""
        require_latents(latents, self.dim)
        latents = self.level(latents)
        x = latents[:, :, None, None]
        for scale in self.scales:
            x = scale(x, latents)
        x = self.sharpen(self.enlarge(_doubled(x)))
        if self.layout == "large":
            x = self.refine(_resized(x, self.size))
        else:
            x = _resized(self.refine(_doubled(x)), self.size)
        return cast(Tensor, self.head(x))[:, 0] + self.picture

    def forward(self, latents: Tensor) -> Tensor:
        """Images of shape (batch, height, width) in [0, 1] from latents of shape (batch, dim)."""
        require_latents(latents, self.dim)
        if not len(latents):
            # Averages over no window are NaN, and would stay in the running ones.
            return unit_range(latents.new_zeros(0, *self.size))
        return unit_range(self.logits(latents))

    def freeze_statistics(self, frozen: bool = True) -> UNetDecoder:
        """Normalise by the running averages, and leave them as they are, also in training.

        For fine-tuning with few windows a batch: an answer then depends on its own window alone. Weights still train.

        Examples
        --------
        >>> decoder = UNetDecoder(8).freeze_statistics()
        >>> decoder.training, decoder.enlarge.normalise.training
        (True, False)
        """
        self._statistics_frozen = frozen
        return self.train(self.training)

    @property
    def statistics_frozen(self) -> bool:
        """Whether the running averages stay as they are."""
        return self._statistics_frozen

    def train(self, mode: bool = True) -> UNetDecoder:
        """Set training or evaluation mode; frozen statistics stay frozen."""
        super().train(mode)
        for module in self.modules():
            if self._statistics_frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


class _Level(nn.BatchNorm1d):
    """Every channel of mean 0 and variance 1 over the batch; a single window goes by the running averages."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, affine=False)

    def forward(self, latents: Tensor) -> Tensor:
        if self.training and len(latents) == 1:
            return functional.batch_norm(latents, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(latents)


class _Convolution(nn.Module):
    """A 3x3 convolution, batch normalisation, and a leaky rectifier."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.normalise = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.normalise(self.convolve(_channels_last(x))), _SLOPE)


class _Scale(nn.Module):
    """Twice the pixels, and the latent vector's own image at that scale mixed in."""

    def __init__(self, dim: int, c_in: int, c_out: int, side: int) -> None:
        super().__init__()
        self.shape = (c_out, side, side)
        self.enlarge = _Convolution(c_in, c_out)
        self.project = nn.Linear(dim, c_out * side * side)
        self.mix = nn.Conv2d(2 * c_out, c_out, 1)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        skip = self.project(latents).unflatten(1, self.shape)
        enlarged = self.enlarge(_doubled(x))
        return cast(Tensor, self.mix(torch.cat((enlarged, skip.to(enlarged.dtype)), dim=1)))


class _SubPixel(nn.Module):
    """Twice the pixels, from four times the channels: a convolution that has a kernel for each quarter of a pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.normalise = nn.BatchNorm2d(channels)
        self.refine = _Convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalise(functional.pixel_shuffle(self.convolve(_channels_last(x)), 2))
        return cast(Tensor, self.refine(functional.leaky_relu(x, _SLOPE)))


def _channels_last(x: Tensor) -> Tensor:
    """Channels beside one another in memory: a third less time in a step. Weights keep their usual order."""
    return x.contiguous(memory_format=torch.channels_last)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight)
        nn.init.zeros_(cast(Tensor, module.bias))


def make_decoder(
    image: ImageDecoderName, dim: int, size: tuple[int, int] = (64, 128), *, level: bool = True, seed: int = 0
) -> UNetDecoder | MLPDecoder:
    """Make an image decoder by name.

    Parameters
    ----------
    image : {"unet", "unet-small", "mlp"}
        ``unet``: the published layout, 9,299,937 parameters at dim 1024 and 128x256 pixels, of which 7.9 million
        project the latent vector. ``unet-small``: 728,481 at dim 64. ``mlp``: the baseline.
    dim : int
        Width of the latent vector.
    size : tuple of int
        Height and width of the image in pixels: (64, 128) or (128, 256).
    level : bool
        Of a UNet; see `UNetDecoder`.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    UNetDecoder or MLPDecoder
        From (batch, dim) to (batch, height, width) in [0, 1].

    Raises
    ------
    ModelError
        If the name or the size is unknown.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     decoder = make_decoder("unet", 1024, (128, 256))
    >>> sum(p.numel() for p in decoder.parameters())
    9299937
    """
    if image == "mlp":
        return MLPDecoder(dim, size, seed=seed)
    if image in ("unet", "unet-small"):
        return UNetDecoder(dim, size, layout="large" if image == "unet" else "small", level=level, seed=seed)
    raise ModelError(f"there is no image decoder {image!r}; {nearest(str(image), get_args(ImageDecoderName))}")
