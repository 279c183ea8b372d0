"""What AlexNet's first two convolutions see in an image: the features of the perceptual loss, from a file by path."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.errors import ModelError

# Channels of ImageNet's photographs, 0 to 1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_SHAPES = {
    "features.0.weight": (64, 3, 11, 11),
    "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5),
    "features.3.bias": (192,),
}
_NEEDED = "the weights of torchvision's AlexNet (alexnet-owt-7be5be79.pth, or a file with its two first convolutions)"


class AlexNetFeatures(nn.Module):
    """AlexNet up to its second convolution, frozen: 192 features of every patch of a grey image.

    The weights are those of torchvision's ``AlexNet_Weights.IMAGENET1K_V1``. They are not shipped and never
    downloaded: get the file once and give its path. Nothing in it is executed (``weights_only=True``); a name that
    ends in the first digits of a digest, as torchvision's do, is held against the file's. The features move with
    ``.to(device)`` and are no part of a state dict: a checkpoint does not grow, and says what was used by `digest`.

    The released code builds this network anew in every step, on the CPU, and standardises grey levels of 0..255 as if
    they were 0..1 (``multitask_readout.py:138``, ``loss.py``): ``white=255`` is that scale.

    Parameters
    ----------
    path : str or Path
        The file.
    white : float
        What images, 0 to 1, are multiplied by before they are standardised.

    Attributes
    ----------
    digest : str
        SHA-256 of the file.

    Raises
    ------
    ModelError
        If there is no such file, or it is damaged or another one.

    Examples
    --------
    >>> import tempfile
    >>> state = {name: torch.zeros(shape) for name, shape in _SHAPES.items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(state, folder + "/alexnet.pth")
    ...     features = AlexNetFeatures(folder + "/alexnet.pth")
    >>> features(torch.zeros(2, 64, 128)).shape
    torch.Size([2, 192, 7, 15])
    """

    def __init__(self, path: str | Path, *, white: float = 1.0) -> None:
        super().__init__()
        self.white = white
        self.digest, state = _read(Path(path))
        for name, value in state.items():
            self.register_buffer(_buffer(name), value, persistent=False)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Features of shape (n, 192, rows, columns) of grey frames of shape (n, height, width), 0 to 1."""
        if frames.ndim != 3 or min(frames.shape[1:]) < 31:
            raise ModelError(
                f"frames of shape {tuple(frames.shape)} arrived; AlexNet's features need (n, height, width) of "
                "at least 31x31 pixels"
            )
        weight1, bias1, weight2, bias2 = (self.get_buffer(_buffer(name)) for name in _SHAPES)
        x = (self.white * frames[:, None] - self.get_buffer("mean")) / self.get_buffer("std")
        x = functional.relu(functional.conv2d(x.to(weight1.dtype), weight1, bias1, stride=4, padding=2))
        x = functional.max_pool2d(x, kernel_size=3, stride=2)
        return functional.conv2d(x, weight2, bias2, padding=2)


def _buffer(name: str) -> str:
    return name.replace(".", "_")


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Digest of a file of weights, and the tensors that count."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}; the perceptual loss needs {_NEEDED}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    promised = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    if promised and not digest.startswith(promised[1]):
        raise ModelError(
            f"{path} is damaged: its name promises a digest of {promised[1]}..., it has {digest[:8]}...; "
            "download it again"
        )
    try:
        whole: Any = torch.load(path, map_location="cpu", weights_only=True)
    # torch.load has no error of its own: a broken archive may raise almost anything.
    except Exception as error:
        raise ModelError(f"{path} holds no weights ({type(error).__name__}); expected {_NEEDED}") from error
    if not isinstance(whole, dict):
        raise ModelError(f"{path} holds a {type(whole).__name__}, no weights by name; expected {_NEEDED}")
    return digest, {name: _tensor(whole, name, shape, path) for name, shape in _SHAPES.items()}


def _tensor(whole: dict[str, Any], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    if name not in whole:
        names = ", ".join(sorted(map(str, whole))[:3]) or "nothing"
        raise ModelError(f"{path} has no {name!r} (it has {names} ...); expected {_NEEDED}")
    value = whole[name]
    if not isinstance(value, Tensor) or tuple(value.shape) != shape or not value.is_floating_point():
        arrived = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ModelError(f"{path}: {name} is {arrived}, expected floating {shape}; expected {_NEEDED}")
    if not bool(value.isfinite().all()):
        raise ModelError(f"{path}: {name} holds NaN or infinity; download it again")
    return value.detach().float().clone()
