"""Natural movies and scenes that nobody filmed: pictures whose amplitude falls as 1/f, with drift, objects and cuts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

_FRAMES_PER_SCENE = 120
_LUMINANCE_SWING = 8
_CUT_FACTOR = 2.0
_LEAST_CUT = 5.0
_BESIDE = 4
_REFERENCE_WIDTH_PX = 608


def movie_template(frames: int, height_px: int, width_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Generate a movie of several scenes, each a drifting picture with moving objects under slowly changing light.

    Scenes last four seconds on average at 30 frames a second. Movies of fewer than 60 frames are one scene.

    Parameters
    ----------
    frames, height_px, width_px : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (frame, height, width), uint8

    Examples
    --------
    >>> movie = movie_template(3, 32, 64, np.random.default_rng(0))
    >>> movie.shape, movie.dtype
    ((3, 32, 64), dtype('uint8'))
    """
    movie = np.empty((frames, height_px, width_px), np.uint8)
    bounds = _scene_bounds(frames, rng)
    for first, last in pairwise(bounds):
        _fill_scene(movie[first:last], rng)
    wave = np.sin(2.0 * np.pi * (np.arange(frames) / rng.uniform(120.0, 300.0) + rng.random()))
    light = np.rint(_LUMINANCE_SWING * (1.0 + wave)).astype(np.uint8)
    for index in range(frames):
        movie[index] += light[index]
    return movie


def scene_images(count: int, height_px: int, width_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Generate still pictures whose amplitude falls as 1/f.

    Parameters
    ----------
    count, height_px, width_px : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (image, height, width), uint8

    Examples
    --------
    >>> scene_images(2, 32, 48, np.random.default_rng(0)).shape
    (2, 32, 48)
    """
    images = np.empty((count, height_px, width_px), np.uint8)
    for image in images:
        spectrum, shape = _spectrum(height_px, width_px, rng)
        picture = scipy.fft.irfft2(spectrum, s=shape)[:height_px, :width_px]
        image[:] = _grey(picture, *_exposure(picture, rng), white=255)
    return images


def scene_cuts(template: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Find where the scenes of a movie begin: where the picture changes far more than just before and just after.

    Scenes of fewer than five frames are not told apart.

    Parameters
    ----------
    template : ndarray, shape (frame, height, width), uint8

    Returns
    -------
    ndarray, shape (scene,), int64
        First frame of every scene, 0 included.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scenes = [movie_template(20, 32, 64, rng) for _ in range(3)]
    >>> scene_cuts(np.concatenate(scenes))
    array([ 0, 20, 40])
    """
    frames, height, width = template.shape
    if frames < 2:
        return np.zeros(frames, np.int64)
    coarse = block_means(template, max(1, height // 24), max(1, width // 24))
    change = np.abs(np.diff(coarse, axis=0)).mean(axis=(1, 2))
    around = sliding_window_view(np.pad(change, _BESIDE), 2 * _BESIDE + 1, axis=0)
    beside = np.delete(around, _BESIDE, axis=1).max(axis=1)
    cut = (change > _CUT_FACTOR * beside) & (change > _LEAST_CUT)
    return np.concatenate([[0], 1 + np.flatnonzero(cut)]).astype(np.int64)


def block_means(template: npt.NDArray[np.uint8], rows_px: int, columns_px: int) -> npt.NDArray[np.float32]:
    """Shrink every frame by the mean over blocks of pixels.

    Parameters
    ----------
    template : ndarray, shape (frame, height, width), uint8
    rows_px, columns_px : int
        Size of a block. Pixels at the margins that fill no block are left out, as many on either side.

    Returns
    -------
    ndarray, shape (frame, height // rows_px, width // columns_px), float32

    Examples
    --------
    >>> block_means(np.array([[[1, 3, 5, 7], [1, 3, 5, 7]]], np.uint8), 2, 2)
    array([[[2., 6.]]], dtype=float32)
    """
    frames, height, width = template.shape
    rows, columns = height // rows_px, width // columns_px
    top, left = (height - rows * rows_px) // 2, (width - columns * columns_px) // 2
    inside = template[:, top : top + rows * rows_px, left : left + columns * columns_px]
    means = np.empty((frames, rows, columns), np.float32)
    # Sums of whole strided slices in small integers, some frames at a time: quicker than a mean over two axes.
    for start in range(0, frames, 16):
        part = inside[start : start + 16]
        lines = np.zeros((len(part), rows, columns * columns_px), np.uint32 if rows_px > 256 else np.uint16)
        for row in range(rows_px):
            lines += part[:, row::rows_px]
        sums = np.zeros((len(part), rows, columns), np.uint32)
        for column in range(columns_px):
            sums += lines[:, :, column::columns_px]
        means[start : start + 16] = sums
    means /= rows_px * columns_px
    return means


def _scene_bounds(frames: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """First frames of the scenes, and the movie's length."""
    scenes = max(1 if frames < 60 else 2, round(frames / _FRAMES_PER_SCENE))
    cuts = (np.arange(1, scenes) + rng.uniform(-0.35, 0.35, scenes - 1)) * frames / scenes
    return np.concatenate([[0], np.rint(cuts), [frames]]).astype(np.int64)


def _fill_scene(scene: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draw one scene, without the change of light."""
    frames, height, width = scene.shape
    scale = width / _REFERENCE_WIDTH_PX
    steps = np.arange(frames)
    heading = rng.uniform(0.0, 2.0 * np.pi)
    drift = rng.uniform(0.2, 0.8) * scale * np.array([np.sin(heading), np.cos(heading)])
    # Small frames drift by small parts of a pixel; half pixels do for large ones.
    parts = min(8, max(2, 1024 // width))
    offset = np.rint(parts * drift * steps[:, None]).astype(np.int64)
    offset -= offset.min(axis=0)
    pixels, rest = offset // parts, offset % parts
    margin = pixels.max(axis=0) + 1
    canvas = (height + int(margin[0]), width + int(margin[1]))
    spectrum, shape = _spectrum(*canvas, rng)
    level: tuple[float, float] | None = None
    shifted: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}
    white = 255 - 2 * _LUMINANCE_SWING
    for index in range(frames):
        part = (int(rest[index, 0]), int(rest[index, 1]))
        if part not in shifted:
            picture = scipy.fft.irfft2(spectrum * _shift(shape, part, parts), s=shape)[: canvas[0], : canvas[1]]
            level = level or _exposure(picture, rng)
            shifted[part] = _grey(picture, *level, white=white)
        y, x = pixels[index]
        scene[index] = shifted[part][y : y + height, x : x + width]
    for _ in range(rng.integers(1, 3)):
        _draw_object(scene, rng)


def _draw_object(scene: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Let a textured ellipse cross the scene in a straight line."""
    frames, height, width = scene.shape
    radius = np.maximum(2, np.rint(height * rng.uniform(0.06, 0.14, 2))).astype(np.int64)
    size = 2 * radius + 1
    spectrum, shape = _spectrum(int(size[0]), int(size[1]), rng)
    picture = scipy.fft.irfft2(spectrum, s=shape)[: size[0], : size[1]]
    texture = _grey(picture, rng.uniform(50.0, 200.0), 30.0 / float(picture.std()), white=255 - 2 * _LUMINANCE_SWING)
    y, x = np.ogrid[-radius[0] : radius[0] + 1, -radius[1] : radius[1] + 1]
    inside = (y / radius[0]) ** 2 + (x / radius[1]) ** 2 <= 1.0
    heading = rng.uniform(0.0, 2.0 * np.pi)
    speed = rng.uniform(0.5, 2.5) * width / _REFERENCE_WIDTH_PX
    middle = rng.uniform(0.2, 0.8, 2) * (height, width)
    way = speed * (np.arange(frames) - frames / 2)[:, None] * np.array([np.sin(heading), np.cos(heading)])
    corner = np.rint(middle + way).astype(np.int64) - radius
    low = np.clip(corner, 0, (height, width))
    high = np.clip(corner + size, 0, (height, width))
    for index in range(frames):
        (top, left), (bottom, right) = low[index], high[index]
        own = (
            slice(top - corner[index, 0], bottom - corner[index, 0]),
            slice(left - corner[index, 1], right - corner[index, 1]),
        )
        np.copyto(scene[index, top:bottom, left:right], texture[own], where=inside[own])


def _spectrum(
    height_px: int, width_px: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.complex64], tuple[int, int]]:
    """Half spectrum of a picture at least that large, and the picture's shape. Amplitude falls as 1/f."""
    shape = (scipy.fft.next_fast_len(height_px, real=True), scipy.fft.next_fast_len(width_px, real=True))
    fy = scipy.fft.fftfreq(shape[0]).astype(np.float32)
    fx = scipy.fft.rfftfreq(shape[1]).astype(np.float32)
    radius = np.hypot(fy[:, None], fx[None, :])
    radius[0, 0] = np.inf
    noise = rng.standard_normal((*radius.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    noise /= radius
    return noise, shape


def _shift(shape: tuple[int, int], part: tuple[int, int], parts: int) -> npt.NDArray[np.complex64]:
    """Factor that moves a picture by parts of a pixel."""
    fy = np.exp(2j * np.pi * scipy.fft.fftfreq(shape[0]) * part[0] / parts).astype(np.complex64)
    fx = np.exp(2j * np.pi * scipy.fft.rfftfreq(shape[1]) * part[1] / parts).astype(np.complex64)
    return np.asarray(fy[:, None] * fx[None, :])


def _exposure(picture: npt.NDArray[np.float32], rng: np.random.Generator) -> tuple[float, float]:
    """Mean grey level of a picture, and grey levels a unit of it."""
    return float(rng.uniform(95.0, 140.0)), float(rng.uniform(40.0, 55.0)) / float(picture.std())


def _grey(picture: npt.NDArray[np.float32], mean: float, gain: float, white: int) -> npt.NDArray[np.uint8]:
    grey = picture * np.float32(gain)
    grey += np.float32(mean - gain * float(picture.mean()))
    np.clip(grey, 0, white, out=grey)
    np.rint(grey, out=grey)
    return grey.astype(np.uint8)
