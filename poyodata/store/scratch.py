"""Arrays of other writers, decoded once into files that can be mapped."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import StoreError
from poyodata.store.layout import TEMPORARY

_DECODE_BYTES = 64 << 20


def scratch_folder() -> Path:
    """Folder of decoded arrays: ``$POYODATA_SCRATCH``, else one of this user's own under the system's temporary folder.

    Raises
    ------
    StoreError
        When the folder belongs to another user.
    """
    named = os.environ.get("POYODATA_SCRATCH")
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"poyodata-scratch-{owner}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A shared temporary folder lets anyone prepare this name: what another user put there is not our data.
    if not named and hasattr(os, "getuid") and folder.stat().st_uid != owner:
        raise StoreError(
            f"the scratch folder {folder} belongs to another user; set POYODATA_SCRATCH to a folder of yours."
        )
    return folder


def decode_once(folder: Path, reason: str) -> npt.NDArray[Any]:
    """Map a decoded copy of a Zarr array, made now if there is none of exactly these files yet.

    Parameters
    ----------
    folder : Path
        Of the Zarr array.
    reason : str
        Why it cannot be mapped in place, for the warning.

    Returns
    -------
    memmap, shape and dtype of the array, read-only

    Raises
    ------
    StoreError
        When zarr cannot read the array.
    """
    target = scratch_folder() / f"{_key(folder)}.npy"
    if not target.exists():
        warnings.warn(
            f"{folder} cannot be mapped in place ({reason}); it is decoded once into {target}. Ingest the "
            "recording with poyodata to spare this.",
            stacklevel=2,
        )
        _decode(folder, target)
    decoded: npt.NDArray[Any] = np.load(target, mmap_mode="r")
    return decoded


def _key(folder: Path) -> str:
    """Name of the decoded copy: changes with the place, size and time of any file of the array."""
    state = hashlib.sha256(str(folder.resolve()).encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            state.update(f"\0{path.relative_to(folder).as_posix()}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    return state.hexdigest()[:32]


def _decode(folder: Path, target: Path) -> None:
    import zarr

    temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
    try:
        array = zarr.open_array(str(folder), mode="r", zarr_format=3)
        copy = np.lib.format.open_memmap(temporary, mode="w+", dtype=array.dtype, shape=array.shape)
        row_bytes = max(1, int(np.prod(array.shape[1:])) * array.dtype.itemsize)
        # In steps of whole chunks, so that none is decoded twice.
        rows = max(1, _DECODE_BYTES // row_bytes // array.chunks[0]) * array.chunks[0]
        for start in range(0, array.shape[0], rows):
            copy[start : start + rows] = np.asarray(array[start : start + rows])
        copy.flush()
        del copy
        os.replace(temporary, target)  # noqa: PTH105 - as everywhere in the store
    except Exception as error:  # zarr's codecs raise a different class for every kind of damage
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"the array {folder} cannot be decoded ({type(error).__name__}: {error}); restore it from a copy, or "
            "ingest the recording again into a new store."
        ) from error
