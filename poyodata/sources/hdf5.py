"""Reading HDF5 the same way everywhere: clear errors at the door. Traces and movies are read by `hdf5_arrays`."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xxhash

from poyodata.errors import SourceError, nearest
from poyodata.sources.remote import Place, RemoteFile

CACHE_BYTES = 2**20
"""Chunk cache of a dataset that is not read in order."""

# Far above any clock, table or mask of a recording; traces and templates are read in blocks and have no limit.
_WHOLE_LIMIT_BYTES = 2**30


def open_hdf5(path: Place, cache_bytes: int = CACHE_BYTES) -> h5py.File:
    """Open an HDF5 file for reading, or say in one sentence why it cannot be.

    Parameters
    ----------
    path : Path or RemoteFile
    cache_bytes : int
        Chunk cache of each dataset opened through the handle.

    Returns
    -------
    h5py.File

    Raises
    ------
    SourceError
        When the file is missing, truncated or not HDF5.

    Examples
    --------
    >>> open_hdf5(Path("nowhere.nwb"))
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.nwb does not exist; give the path of a recording file.
    """
    if isinstance(path, RemoteFile):
        return path.open_hdf5(cache_bytes)
    if not path.exists():
        raise SourceError(f"{path} does not exist; give the path of a recording file.")
    if path.is_dir():
        raise SourceError(f"{path} is a folder; an HDF5 file was expected.")
    try:
        # Every dataset that is opened gets a table of so many slots: a large one is only for a large cache.
        slots = 100_003 if cache_bytes > CACHE_BYTES else 521
        return h5py.File(path, "r", rdcc_nbytes=cache_bytes, rdcc_nslots=slots)
    except OSError as error:
        with path.open("rb") as start:
            is_hdf5 = start.read(8) == b"\x89HDF\r\n\x1a\n"
        if is_hdf5:
            raise SourceError(
                f"{path} is a truncated or damaged HDF5 file of {path.stat().st_size:,} bytes ({short(error)}); "
                "copy or download it again."
            ) from error
        raise SourceError(f"{path} is not an HDF5 file; an .h5 or .nwb recording was expected.") from error


@contextmanager
def reading(path: Place) -> Iterator[h5py.File]:
    """Open an HDF5 file for a source; whatever reading it raises names the file, in one sentence.

    Raises
    ------
    SourceError
        What `open_hdf5` raises, and for damage that shows itself only when something in the file is read.

    Examples
    --------
    >>> with reading(Path("nowhere.nwb")):
    ...     pass
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.nwb does not exist; give the path of a recording file.
    """
    with open_hdf5(path) as file:
        try:
            yield file
        except SourceError as error:
            raise error if str(path) in str(error) else SourceError(f"{path}: {error}") from error
        except (OSError, KeyError, IndexError, TypeError, ValueError, RuntimeError, MemoryError) as error:
            raise SourceError(
                f"{path} cannot be read ({short(error)}); the file is damaged, copy or download it again."
            ) from error


def file_digest(path: Place) -> str:
    """XXH3 of a file's bytes, 128 bits as 32 hexadecimal digits: which file a recording was read from."""
    if isinstance(path, RemoteFile):
        return path.digest()
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def dataset_names(file: h5py.File) -> list[str]:
    """List the paths of every dataset in the file, in order."""
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    file.visititems(visit)
    return names


def holds(file: h5py.File, name: str) -> bool:
    """Tell whether the file has something under `name`, following links.

    Parameters
    ----------
    file : h5py.File
    name : str
        Path inside the file.

    Returns
    -------
    bool

    Raises
    ------
    SourceError
        When a link to another file stands there and cannot be followed: what is lost that way is not merely missing.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["stimulus/templates/movie"] = 1
    ...     holds(file, "stimulus/templates/movie"), holds(file, "stimulus/presentation")
    (True, False)
    """
    try:
        h5py.h5o.open(file.id, name.encode())
        return True
    except (KeyError, OSError, RuntimeError):
        return _holds_what_does_not_open(file, name)


def _holds_what_does_not_open(file: h5py.File, name: str) -> bool:
    """Walk along the links, to tell what is missing from what is damaged, and from a link that leads nowhere."""
    place = ""
    for part in name.split("/"):
        place = f"{place}/{part}" if place else part
        if place not in file:
            return False
        link = file.get(place, getlink=True)
        if isinstance(link, h5py.HardLink):
            continue
        try:
            file[place]  # h5py counts a link as there, wherever it points
        except (KeyError, OSError) as error:
            if isinstance(link, h5py.SoftLink):
                return False
            where = Path(file.filename).parent / link.filename
            fault = f"has no {link.path!r} to be read" if where.exists() else "is not there"
            raise SourceError(
                f"{place} lies in another file, {link.filename}, which {fault}; put {where} in its place."
            ) from error
    return True


def dataset_of(file: h5py.File, name: str) -> h5py.Dataset:
    """Look up a dataset that the file holds.

    Parameters
    ----------
    file : h5py.File
    name : str
        Path inside the file.

    Returns
    -------
    h5py.Dataset

    Raises
    ------
    SourceError
        When something else stands there, a group say, or nothing that can be opened.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["stimulus/templates/movie"] = [1, 2]
    ...     dataset_of(file, "stimulus/templates/movie").shape
    (2,)
    """
    try:
        item = file[name]
    except (OSError, KeyError, RuntimeError) as error:
        raise _damaged(file, name, error) from error
    if not isinstance(item, h5py.Dataset):
        raise SourceError(
            f"{file.filename}: {name} is a {type(item).__name__.lower()}, a dataset was expected; the file is damaged "
            "or of another layout."
        )
    return item


def group_of(file: h5py.File, name: str) -> h5py.Group:
    """Look up a group that the file holds; raises `SourceError` when something else stands there."""
    item = file[name]
    if not isinstance(item, h5py.Group):
        raise SourceError(
            f"{file.filename}: {name} is a {type(item).__name__.lower()}, a group was expected; the file is damaged or "
            "of another layout."
        )
    return item


def values_of(file: h5py.File, name: str) -> npt.NDArray[Any]:
    """Read all of a small dataset: a clock, a table, a text.

    Parameters
    ----------
    file : h5py.File
    name : str
        Path inside the file.

    Returns
    -------
    ndarray
        In the shape and dtype of the file.

    Raises
    ------
    SourceError
        When it is no dataset, cannot be read, or declares a size that nothing of the kind has.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["clock"] = [0.0, 0.5]
    ...     values_of(file, "clock")
    array([0. , 0.5])
    """
    dataset = dataset_of(file, name)
    size_bytes = dataset.size * dataset.dtype.itemsize if dataset.shape is not None else 0
    if size_bytes > _WHOLE_LIMIT_BYTES:
        raise SourceError(
            f"{file.filename}: {name} declares the shape {dataset.shape}, {size_bytes:,} bytes; "
            f"{_WHOLE_LIMIT_BYTES:,} at most were expected. The file is damaged, copy or download it again."
        )
    try:
        return np.asarray(dataset[()])
    except (OSError, KeyError, RuntimeError, MemoryError) as error:
        raise _damaged(file, name, error) from error


def text_of(value: Any) -> str:
    """Text of a string dataset, whatever its kind; of an array the first.

    Examples
    --------
    >>> text_of(np.bytes_(b"VISp")), text_of(np.array([b"a", b"b"]))
    ('VISp', 'a')
    """
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def texts_of(file: h5py.File, name: str) -> list[str]:
    """Texts of a string dataset of any kind and shape.

    Raises
    ------
    SourceError
        When it holds something else than texts.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["names"] = np.array([b"roi_0000", b"roi_0001"])
    ...     texts_of(file, "names")
    ['roi_0000', 'roi_0001']
    """
    values, dtype = values_of(file, name).reshape(-1), dataset_of(file, name).dtype
    if values.size and h5py.check_string_dtype(dtype) is None:
        raise SourceError(f"{file.filename}: {name} holds {dtype} values, {values[0]} first; texts were expected.")
    return [text_of(value) for value in values]


def as_int64(values: npt.NDArray[Any], name: str, *, truncate: bool = False) -> npt.NDArray[np.int64]:
    """Whole numbers, or texts of them, as int64.

    Parameters
    ----------
    values : ndarray
    name : str
        What the message calls them.
    truncate : bool
        Cut the part behind the point off, where there is one, instead of refusing it.

    Returns
    -------
    ndarray, int64, of the same shape

    Raises
    ------
    SourceError
        When a value is no such number: NaN, infinite, too large, or another text.

    Examples
    --------
    >>> as_int64(np.array([b"4", b"-1"]), "ids"), as_int64(np.array([3.0]), "ids")
    (array([ 4, -1]), array([3]))
    """
    wrong = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        wrong = ~(np.isfinite(values) & (np.abs(values) < 2.0**63))
        wrong |= (values != np.trunc(values)) & (not truncate)
    elif values.dtype.kind == "u":
        wrong = values > np.iinfo(np.int64).max
    if wrong.any():
        raise SourceError(f"{name} holds {values[wrong][0]}; whole numbers were expected.")
    try:
        return values.astype(np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"{name} holds {text_of(values)!r} and the like; integers were expected.") from error


def as_uint8(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Grey values as uint8, when that loses nothing.

    Raises
    ------
    SourceError
        When a value is no whole number from 0 to 255; `name` is what the message calls them.

    Examples
    --------
    >>> as_uint8(np.array([0.0, 255.0]), "image")
    array([  0, 255], dtype=uint8)
    """
    if values.dtype == np.uint8:
        return values
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.uint8)
    if not np.array_equal(whole, values):
        raise SourceError(
            f"{name} has {values.dtype} values from {values.min()} to {values.max()}; whole numbers from 0 to 255 were "
            "expected, as a screen shows them."
        )
    return whole


def closest_or_all(name: str, known: list[str]) -> str:
    """Say which known dataset is meant, compared by whole path and by last part; else list them."""
    tails = {known_name.rsplit("/", 1)[-1]: known_name for known_name in known}
    close = difflib.get_close_matches(name.rsplit("/", 1)[-1], tails, n=1, cutoff=0.6)
    return f"did you mean {tails[close[0]]!r}?" if close else nearest(name, known)


def short(error: Exception) -> str:
    """First line of an error's message, or its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _damaged(file: h5py.File, name: str, error: Exception) -> SourceError:
    return SourceError(
        f"{file.filename}: {name} cannot be read ({short(error)}); the file is damaged, copy or download it again."
    )
