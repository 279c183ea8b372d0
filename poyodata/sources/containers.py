"""Files of plain arrays behind one face: HDF5, NumPy, xarray and MATLAB.

A container lists its arrays, reads small ones whole and hands out traces block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from poyodata.digests import array_digest, json_digest
from poyodata.errors import SourceError
from poyodata.sources.float_traces import FilePlace, FileTraces, as_float32, require_floats
from poyodata.sources.hdf5 import dataset_names, file_digest, open_hdf5, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.matlab import open_matlab
from poyodata.sources.remote import Place, RemoteFile

TraceReader = Callable[[int, int], npt.NDArray[np.float32]]

_DIGEST_ROWS = 4096

ARRAY_SUFFIXES = (".h5", ".hdf5", ".mat", ".npz", ".npy", ".nc", ".zarr")


class ArrayContainer(Protocol):
    """What the arrays source asks of a file."""

    label: str

    def names(self) -> list[str]:
        """List the arrays."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, without reading it."""

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole array; meant for small ones."""

    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the file."""

    def traces(self, name: str, time_axis: int) -> TraceReader:
        """Reader of blocks of frames as (time, neuron), float32."""

    def digest(self) -> str:
        """Digest of the content."""


class Hdf5Container:
    """An HDF5 file, local or by URL; names are paths of datasets."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self.label = str(path)
        with open_hdf5(path) as file:
            self._names = dataset_names(file)
            self._shapes = {name: tuple(file[name].shape or ()) for name in self._names}
            self._dtypes = {name: file[name].dtype for name in self._names}
            self._attributes = {key: _plain(value) for key, value in file.attrs.items()}

    def names(self) -> list[str]:
        """List the datasets."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a dataset."""
        return self._shapes[name]

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole dataset."""
        with open_hdf5(self.path) as file:
            return values_of(file, name)

    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the root group."""
        return self._attributes

    def traces(self, name: str, time_axis: int) -> TraceReader:
        """Blocks straight from the file."""
        require_floats(self._dtypes[name], self.label, name)
        return Hdf5Traces(self.path, name, time_axis)

    def digest(self) -> str:
        """Digest of the file."""
        return file_digest(self.path)


class NumpyContainer:
    """An ``.npz`` file, or an ``.npy`` file with the other ``.npy`` files beside it. Never unpickles.

    Arrays of an ``.npy`` are memory-mapped; a member of an ``.npz`` is read whole when it is first asked for, since
    a zip file cannot be cut. NumPy files have no attributes.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise SourceError(f"{path} does not exist; give the path of an .npy or .npz file.")
        self.path = path
        self.label = str(path)
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        if path.suffix == ".npz":
            try:
                with np.load(path, allow_pickle=False) as archive:
                    self._names = list(archive.files)
            except Exception as error:  # a damaged header, which is Python text, raises nearly everything
                raise _unreadable(path, error) from error
        else:
            self._names = sorted(file.stem for file in path.parent.glob("*.npy"))

    def names(self) -> list[str]:
        """List the arrays."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        return tuple(self.read(name).shape)

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read or map an array."""
        if name not in self._arrays:
            try:
                if self.path.suffix == ".npz":
                    with np.load(self.path, allow_pickle=False) as archive:
                        self._arrays[name] = archive[name]
                else:
                    self._arrays[name] = np.load(self.path.parent / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except Exception as error:  # a damaged header, which is Python text, raises nearly everything
                raise _unreadable(self.path, error) from error
        return self._arrays[name]

    def attributes(self) -> Mapping[str, Any]:
        """Nothing: NumPy files have none."""
        return {}

    def traces(self, name: str, time_axis: int) -> TraceReader:
        """Blocks of the array."""
        require_floats(self.read(name).dtype, self.label, name)
        if self.path.suffix == ".npy":
            place = FilePlace.of(self.path.parent / f"{name}.npy", self.read(name))
            if place is not None:
                return FileTraces(place, time_axis)
        return _ArrayTraces(self.read(name), time_axis)

    def digest(self) -> str:
        """Digest of the file, or of all mapped files together."""
        if self.path.suffix == ".npz":
            return file_digest(self.path)
        return json_digest({name: file_digest(self.path.parent / f"{name}.npy") for name in self._arrays})[:32]


class XarrayContainer:
    """An xarray dataset in memory, or a netCDF or Zarr one on disk; names are variables and coordinates."""

    def __init__(self, dataset: xr.Dataset, label: str) -> None:
        self.dataset = dataset
        self.label = label

    @classmethod
    def open(cls, path: Path) -> XarrayContainer:
        """Open a netCDF file or a Zarr group, lazily."""
        if not path.exists():
            raise SourceError(f"{path} does not exist; give the path of a netCDF file or a Zarr group.")
        try:
            if path.suffix == ".zarr":
                return cls(xr.open_zarr(path, consolidated=False, chunks=None), str(path))
            return cls(xr.open_dataset(path), str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error

    def names(self) -> list[str]:
        """List the variables and coordinates."""
        return [str(name) for name in self.dataset.variables]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a variable."""
        return tuple(self.dataset[name].shape)

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole variable."""
        return np.asarray(self.dataset[name].values)

    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the dataset."""
        return {str(key): _plain(value) for key, value in self.dataset.attrs.items()}

    def traces(self, name: str, time_axis: int) -> TraceReader:
        """Blocks of the variable."""
        require_floats(self.dataset[name].dtype, self.label, name)
        return _ArrayTraces(self.dataset[name], time_axis)

    def digest(self) -> str:
        """Digest of every variable's values and of the attributes."""
        content = {name: self._variable_digest(name) for name in sorted(self.names())}
        return json_digest({"variables": content, "attributes": {k: str(v) for k, v in self.attributes().items()}})[:32]

    def _variable_digest(self, name: str) -> list[str]:
        # In pieces along the first axis: traces may be larger than memory.
        variable = self.dataset[name].variable
        starts = range(0, variable.shape[0], _DIGEST_ROWS) if variable.ndim else range(0)
        pieces = [variable[start : start + _DIGEST_ROWS] for start in starts] if variable.ndim else [variable]
        return [f"{variable.dtype}{variable.shape}", *(array_digest(_bytes(piece.values)) for piece in pieces)]


def open_container(source: Place | xr.Dataset | xr.DataArray) -> ArrayContainer:
    """Open a file of arrays by its suffix, or take an xarray object as it is.

    Raises
    ------
    SourceError
        For an unknown suffix or a file that cannot be read.

    Examples
    --------
    >>> open_container(xr.Dataset({"dff": (("time", "neuron"), np.zeros((4, 2)))})).shape("dff")
    (4, 2)
    """
    if isinstance(source, xr.DataArray):
        name = "traces" if source.name is None else str(source.name)
        # Attributes of a single array are all the metadata there is, so they count as the file's.
        return XarrayContainer(source.to_dataset(name=name).assign_attrs(source.attrs), f"DataArray {name!r}")
    if isinstance(source, xr.Dataset):
        return XarrayContainer(source, "xarray dataset")
    suffix = source.suffix.lower()
    if isinstance(source, Path) and suffix in (".npz", ".npy"):
        return NumpyContainer(source)
    if isinstance(source, Path) and suffix in (".nc", ".zarr"):
        return XarrayContainer.open(source)
    if suffix == ".mat" and isinstance(source, Path):
        return open_matlab(source)
    if isinstance(source, RemoteFile) or suffix in (".h5", ".hdf5", ".nwb"):
        return Hdf5Container(source)
    raise SourceError(f"{source} has the unknown suffix {suffix!r}; known are {', '.join(ARRAY_SUFFIXES)}.")


class _ArrayTraces:
    """Blocks out of anything that slices like an array."""

    def __init__(self, values: Any, time_axis: int) -> None:
        self.values = values
        self.time_axis = time_axis

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        if self.time_axis == 0:
            return as_float32(self.values[start_frame:stop_frame, :])
        return as_float32(np.asarray(self.values[:, start_frame:stop_frame]).T)


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([str(item) for item in values.reshape(-1)]) if values.dtype.hasobject else np.atleast_1d(values)


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _plain(value.reshape(-1)[0])
    return value.item() if isinstance(value, np.generic) else value


def _unreadable(path: Path, error: Exception) -> SourceError:
    first = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return SourceError(f"{path} cannot be read ({first}); the file is damaged or of another kind, copy it again.")
