"""Reading HDF5 the same way everywhere: clear errors at the door, traces block by block."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError, nearest

_CACHE_LIMIT_BYTES = 256 * 2**20


def open_hdf5(path: Path, cache_bytes: int = 2**20) -> h5py.File:
    """Open an HDF5 file for reading, or say in one sentence why it cannot be.

    Parameters
    ----------
    path : Path
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
    if not path.exists():
        raise SourceError(f"{path} does not exist; give the path of a recording file.")
    if path.is_dir():
        raise SourceError(f"{path} is a folder; an HDF5 file was expected.")
    try:
        return h5py.File(path, "r", rdcc_nbytes=cache_bytes, rdcc_nslots=100_003)
    except OSError as error:
        with path.open("rb") as start:
            is_hdf5 = start.read(8) == b"\x89HDF\r\n\x1a\n"
        if is_hdf5:
            raise SourceError(
                f"{path} is a truncated or damaged HDF5 file of {path.stat().st_size:,} bytes ({_short(error)}); "
                "copy or download it again."
            ) from error
        raise SourceError(f"{path} is not an HDF5 file; an .h5 or .nwb recording was expected.") from error


def file_digest(path: Path) -> str:
    """Blake2b of a file's bytes as 32 hexadecimal digits: which file a recording was read from."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


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


def texts_of(dataset: h5py.Dataset) -> list[str]:
    """Texts of a string dataset of any kind and shape."""
    return [text_of(value) for value in np.asarray(dataset[()]).reshape(-1)]


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


class Hdf5Traces:
    """Blocks of frames out of an HDF5 dataset, whichever way round it lies.

    A block costs its own size in memory plus, for a chunked dataset, one row of chunks in the cache: the file may be
    compressed with one chunk a neuron, as many are, and every chunk is then still decompressed only once.

    Parameters
    ----------
    path : Path
    name : str
        The dataset's path inside the file.
    time_axis : int
        0 when the dataset is (time, neuron), 1 when it is (neuron, time).
    """

    def __init__(self, path: Path, name: str, time_axis: int) -> None:
        self.path = path
        self.name = name
        self.time_axis = time_axis
        # HDF5 keeps decompressed chunks for as long as the dataset, not the file, is open: both are held.
        self._file: h5py.File | None = None
        self._dataset: h5py.Dataset | None = None

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        return np.ascontiguousarray(self.stored(start_frame, stop_frame), dtype=np.float32)

    def stored(self, start_frame: int, stop_frame: int) -> npt.NDArray[Any]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), in the dtype of the file."""
        try:
            dataset = self._opened()
            if self.time_axis == 0:
                block = np.asarray(dataset[start_frame:stop_frame, :])
            else:
                block = np.asarray(dataset[:, start_frame:stop_frame]).T
            if stop_frame >= dataset.shape[self.time_axis]:
                self.close()  # a recording has several traces, and each would keep its cache
            return block
        except (OSError, KeyError) as error:
            raise SourceError(
                f"{self.path}: frames {start_frame} to {stop_frame} of {self.name!r} cannot be read "
                f"({_short(error)}); the file is damaged or changed, copy or download it again."
            ) from error

    def _opened(self) -> h5py.Dataset:
        if self._dataset is None:
            with open_hdf5(self.path) as file:
                dataset = file[self.name]
                cache_bytes = 2**20
                if dataset.chunks is not None:
                    chunk_bytes = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
                    across = -(-dataset.shape[1 - self.time_axis] // dataset.chunks[1 - self.time_axis])
                    cache_bytes = min(2 * chunk_bytes * across, _CACHE_LIMIT_BYTES)
            self._file = open_hdf5(self.path, max(cache_bytes, 2**20))
            self._dataset = self._file[self.name]
        return self._dataset

    def close(self) -> None:
        """Close the file; the next block opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = self._dataset = None

    def __getstate__(self) -> dict[str, Any]:
        # An open handle does not travel to another process; the copy opens the file itself.
        return self.__dict__ | {"_file": None, "_dataset": None}


class Hdf5Frames:
    """Frames of a stimulus in an HDF5 dataset, read from the file when they are sliced.

    A feature-length movie does not fit into memory beside everything else; ``np.asarray`` reads all of one.

    Parameters
    ----------
    path : Path
    name : str
        The dataset's path inside the file.

    Attributes
    ----------
    shape : tuple of int
        (frame, height, width).
    dtype : dtype
        uint8.

    Raises
    ------
    SourceError
        When the dataset is not three-dimensional, or, on slicing, when a value is no whole number from 0 to 255.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        with open_hdf5(path) as file:
            self.shape = tuple(file[name].shape)
        if len(self.shape) != 3:
            raise SourceError(f"{path}: {name!r} has shape {self.shape}; (frame, height, width) was expected.")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, frames: slice) -> npt.NDArray[np.uint8]:
        """Read some frames, whole."""
        try:
            with open_hdf5(self.path) as file:
                stored = np.asarray(file[self.name][frames])
        except (OSError, KeyError) as error:
            raise SourceError(
                f"{self.path}: {self.name!r} cannot be read ({_short(error)}); the file is damaged or changed, copy or "
                "download it again."
            ) from error
        return as_uint8(stored, f"{self.path}: {self.name!r}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:160]
