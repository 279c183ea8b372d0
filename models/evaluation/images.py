"""How alike two pictures are, frame by frame: SSIM and PSNR of pixels from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[Any]

HIGHEST_PSNR_DB = 100.0
_AT_ONCE = 64


def ssim(prediction: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Structural similarity of every frame, with a data range of 1.0 whatever the frames hold.

    That of `poyodata.models.ssim`, which the movie loss uses too: a Gaussian window of 11 x 11 pixels (standard
    deviation 1.5), constants 0.01 and 0.03, mirrored borders. The range is part of the formula: where it is taken from
    the data of a batch, as the released code does, numbers of two batches cannot be compared.

    Parameters
    ----------
    prediction, target : array-like, shape (frame, height, width)
        From 0 for black to 1 for white; at least 6 pixels on each side.

    Returns
    -------
    ndarray, shape (frame,), float64

    Raises
    ------
    ModelError
        If shapes differ, frames are too small, or pixels lie outside of [0, 1].

    Examples
    --------
    >>> frame = np.random.default_rng(0).random((1, 16, 16))
    >>> ssim(frame, frame).round(6).tolist(), bool(ssim(frame, 1 - frame)[0] < 0)
    ([1.0], True)
    """
    given, truth = _frames(prediction, target)
    found = [_ssim(given[at : at + _AT_ONCE], truth[at : at + _AT_ONCE]) for at in range(0, len(given), _AT_ONCE)]
    return np.concatenate(found) if found else np.empty(0)


def psnr(prediction: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Peak signal-to-noise ratio of every frame in dB, ``-10 log10(mean squared error)`` with a peak of 1.0.

    That of an exact copy would be infinite: 100 dB, an error of 1e-5 a pixel, is the most that is given.

    Parameters
    ----------
    prediction, target : array-like, shape (frame, height, width)
        From 0 for black to 1 for white.

    Returns
    -------
    ndarray, shape (frame,), float64, dB

    Examples
    --------
    >>> psnr(np.full((1, 2, 2), 0.6), np.full((1, 2, 2), 0.5)).round(6).tolist()
    [20.0]
    """
    error = squared_error(*_frames(prediction, target))
    return np.asarray(-10 * np.log10(np.maximum(error, 10 ** (-HIGHEST_PSNR_DB / 10))))


def squared_error(prediction: Pixels, target: Pixels) -> Floats:
    """Mean squared error of every frame, shape (frame,), float64."""
    error = np.empty(len(prediction))
    for at in range(0, len(prediction), _AT_ONCE):
        piece = slice(at, at + _AT_ONCE)
        error[piece] = ((prediction[piece].astype(np.float64) - target[piece]) ** 2).mean(axis=(1, 2))
    return error


def _frames(prediction: npt.ArrayLike, target: npt.ArrayLike) -> tuple[Pixels, Pixels]:
    given, truth = np.asarray(prediction), np.asarray(target)
    if given.shape != truth.shape or given.ndim != 3:
        raise ModelError(f"frames of shape {given.shape} and {truth.shape}; expected (frame, height, width) of both")
    for what, pixels in (("predicted", given), ("true", truth)):
        if pixels.size and not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
            raise ModelError(
                f"{what} pixels lie between {pixels.min():g} and {pixels.max():g}; expected 0 for black to 1 for white"
            )
    return given, truth


def _ssim(prediction: Pixels, target: Pixels) -> Floats:
    import torch

    from poyodata.models.ssim import ssim as of_tensors

    given, truth = (torch.from_numpy(np.array(x, np.float32)) for x in (prediction, target))
    return np.asarray(of_tensors(given, truth, data_range=1.0).numpy(), np.float64)
