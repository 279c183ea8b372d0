"""Frames of a stimulus template at another resolution: made once, shared by all who ask for them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from poyodata.digests import array_digest, json_digest
from poyodata.errors import LoaderError
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from poyodata.store import Store

FloatFrames = npt.NDArray[np.float32]

VERSION = 1
"""Of the resampling: another one is another file."""

FOLDER = "resampled"
_BLOCK_FRAMES = 32
_SEAL_BYTES = 16
_log = logging.getLogger(__name__)
_kept: WeakValueDictionary[str, FloatFrames] = WeakValueDictionary()


def resampled_frames(store: Store, stimulus: str, height: int, width: int, cache: Path | None = None) -> FloatFrames:
    """Frames of a template at a resolution, by the mean over areas.

    They are kept in memory as long as anybody holds them, once for a template and resolution whoever asks. Where there
    is a `cache`, they are kept there too, in ``resampled/<digest>.npy``, and mapped: the digest is that of template,
    resolution and method, so a file is never stale, and may be removed at any time.

    Parameters
    ----------
    store : Store
    stimulus : str
        One that has a template.
    height, width : int, pixels
    cache : Path, optional
        A folder; by default the one that a store at a URL keeps (``store.cache_folder``), and none for other stores.

    Returns
    -------
    ndarray, shape (frame, height, width), float32
        0 for black to 1 for white; read-only.

    Raises
    ------
    LoaderError
        When there is no template, or a side is less than 1.
    """
    if stimulus not in store.stimuli:
        raise LoaderError(
            f"the store has no template of {stimulus!r}; templates there are: {', '.join(sorted(store.stimuli))}."
        )
    if min(height, width) < 1:
        raise LoaderError(f"frames of {height} x {width} pixels cannot be made; give at least 1 x 1.")
    known = {"template": store.stimuli[stimulus], "height": height, "width": width, "method": "area", "v": VERSION}
    digest = json_digest(known)
    frames = _kept.get(digest)
    if frames is None:
        folder = cache or store.cache_folder
        path = None if folder is None else Path(folder) / FOLDER / f"{digest}.npy"
        template = store.movie(stimulus)
        frames = None if path is None else _read(path, (len(template), height, width))
        if frames is None:
            frames = area_resampled(template, height, width)
            if path is not None and _write(path, frames):
                mapped = _read(path, frames.shape)
                frames = frames if mapped is None else mapped
        frames.flags.writeable = False
        _kept[digest] = frames
    return frames


def area_resampled(template: npt.NDArray[np.uint8], height: int, width: int) -> FloatFrames:
    """Resample frames: each new pixel is the mean of the area that it covers, parts of pixels by their share.

    Parameters
    ----------
    template : ndarray, shape (frame, height, width), uint8
        Read a few frames at a time.
    height, width : int, pixels
        Of the result; more pixels than before repeat those that there are.

    Returns
    -------
    ndarray, shape (frame, height, width), float32
        In [0, 1].

    Examples
    --------
    >>> area_resampled(np.array([[[0, 255, 255, 0], [0, 255, 255, 255]]], np.uint8), 1, 2).tolist()
    [[[0.5, 0.75]]]
    """
    n, tall, wide = template.shape
    down, across = area_weights(tall, height), area_weights(wide, width).T
    frames = np.empty((n, height, width), np.float32)
    for start in range(0, n, _BLOCK_FRAMES):
        block = np.asarray(template[start : start + _BLOCK_FRAMES], np.float32)
        frames[start : start + _BLOCK_FRAMES] = (down @ block) @ across
    # Rounding of the weights may leave white a bit whiter than white.
    np.divide(frames, np.float32(255), out=frames)
    return np.clip(frames, 0.0, 1.0, out=frames)


def area_weights(n_old: int, n_new: int) -> npt.NDArray[np.float32]:
    """Share of each old pixel in each new one along one side, shape (new, old), float32; each row sums to 1.

    Examples
    --------
    >>> area_weights(3, 2) * 3
    array([[2., 1., 0.],
           [0., 1., 2.]], dtype=float32)
    """
    edge = np.arange(n_new + 1) * (n_old / n_new)
    pixel = np.arange(n_old)
    overlap = np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)
    share: npt.NDArray[np.float32] = (np.clip(overlap, 0.0, None) * (n_new / n_old)).astype(np.float32)
    return share


def _write(path: Path, frames: FloatFrames) -> bool:
    """Keep frames in a file with a digest of them behind; one that cannot be written costs only the keeping."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, frames)
            file.write(array_digest(frames).encode())
    except OSError as error:
        _log.warning("resampled frames are not kept: %s cannot be written (%s)", path, error.strerror)
        return False
    return True


def _read(path: Path, shape: tuple[int, ...]) -> FloatFrames | None:
    """Map frames that were kept; None where there are none, or where they are not what was written."""
    try:
        with path.open("rb") as file:
            file.seek(-_SEAL_BYTES, 2)
            seal = file.read().decode("ascii", "replace")
        frames: FloatFrames = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _log.warning("kept frames %s are damaged (%s); made again", path.name, type(error).__name__)
        return None
    if frames.dtype != np.float32 or frames.shape != shape or array_digest(frames) != seal:
        _log.warning("kept frames %s are not what was written; made again", path.name)
        return None
    return frames
