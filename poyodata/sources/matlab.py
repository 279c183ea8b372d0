"""MATLAB files as containers of arrays: version 5 (to 7.2) and version 7.3, which is HDF5.

Shapes are those that MATLAB shows. Fields of structs are named with dots, ``session.dff``; a slash does as well. Single
numbers and texts count as the file's attributes (``"@session.mouse"`` in a mapping).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.float_traces import FilePlace, FileTraces, as_float32, require_floats
from poyodata.sources.hdf5 import dataset_of, file_digest, open_hdf5, short, text_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.matlab_v5 import Cells, Opaque, read_matlab_v5

_HDF5_AFTER_BYTES = 512  # MATLAB writes a text before the HDF5 file
_NUMERIC = {
    "double",
    "single",
    "logical",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_MOST_TEXT = 10_000


def open_matlab(path: Path) -> MatlabContainer:
    """Open a MATLAB file of either version.

    Parameters
    ----------
    path : Path

    Returns
    -------
    MatlabContainer

    Raises
    ------
    SourceError
        When the file is missing, damaged, of version 4, or no MATLAB file.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; give the path of a .mat file.")
    with path.open("rb") as file:
        start = file.read(_HDF5_AFTER_BYTES + 8)
    if start[_HDF5_AFTER_BYTES:] == b"\x89HDF\r\n\x1a\n" or start[:8] == b"\x89HDF\r\n\x1a\n":
        return MatlabHdf5(path)
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return MatlabV5(path)
    if len(start) >= 20 and int.from_bytes(start[:4], "little") in (*range(5), *range(10, 55), 1000):
        raise SourceError(f"{path} seems to be of MATLAB version 4; load it in MATLAB and save it with '-v7.3'.")
    raise SourceError(f"{path} is no MATLAB file, or a truncated one; copy it again, or save it with '-v7.3'.")


class MatlabContainer:
    """What both versions have in common.

    Attributes
    ----------
    label : str
        What messages call the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._attributes: dict[str, Any] = {}
        self._faults: dict[str, str] = {}

    def names(self) -> list[str]:
        """List the arrays, fields of structs with dots."""
        return [*self._shapes, *self._faults]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, as MATLAB shows it."""
        name = self.known(name)
        if name in self._faults:
            raise SourceError(f"{self.label}: {name} {self._faults[name]}; save plain arrays.")
        return self._shapes[name]

    def attributes(self) -> Mapping[str, Any]:
        """Single numbers and texts."""
        return self._attributes

    def digest(self) -> str:
        """Digest of the file."""
        return file_digest(self.path)

    def known(self, name: str) -> str:
        """Bring a name with slashes to one with dots."""
        return name if name in self._shapes or name in self._faults else name.strip("/").replace("/", ".")

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole array."""
        raise NotImplementedError

    def traces(self, name: str, time_axis: int) -> Any:
        """Blocks of the array."""
        raise NotImplementedError


class MatlabV5(MatlabContainer):
    """A file of version 5, 6 or 7. What is compressed is in memory, a variable at a time whole; the rest is mapped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._values: dict[str, npt.NDArray[Any]] = {}
        for name, value in read_matlab_v5(path).items():
            self._list(name, value)

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read an array."""
        self.shape(name)
        return self._values[self.known(name)]

    def traces(self, name: str, time_axis: int) -> Any:
        """Blocks of the array."""
        values = self.read(name)
        require_floats(values.dtype, self.label, name)
        place = FilePlace.of(self.path, values)
        if place is not None:
            return FileTraces(place, time_axis)
        return _MatlabTraces(self.path, self.known(name), time_axis)

    def _list(self, name: str, value: Any) -> None:
        if isinstance(value, Opaque):
            self._faults[name] = value.fault
        elif isinstance(value, dict):
            for field, inner in value.items():
                self._list(f"{name}.{field}", inner)
        elif isinstance(value, Cells):
            if all(isinstance(cell, list) or (isinstance(cell, np.ndarray) and not cell.size) for cell in value.items):
                self._keep(name, np.array([cell[0] if isinstance(cell, list) else "" for cell in value.items], str))
            else:
                self._faults[name] = "is a cell array of something else than texts"
        elif isinstance(value, list):
            self._keep(name, np.array(value, str))
            if len(value) == 1:
                self._attributes[name] = value[0]
        else:
            self._keep(name, value)

    def _keep(self, name: str, value: npt.NDArray[Any]) -> None:
        self._values[name] = value
        self._shapes[name] = value.shape
        if value.size == 1 and value.dtype.kind in "fiub":
            self._attributes[name] = value.reshape(-1)[0].item()


class MatlabHdf5(MatlabContainer):
    """A file of version 7.3, which is HDF5: axes lie the other way round, texts are numbers, cells are references."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._places: dict[str, str] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        with open_hdf5(path) as file:
            try:
                for place in _datasets(file, ""):
                    self._list(file, place)
            except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
                raise SourceError(
                    f"{path} cannot be read ({short(error)}); the file is damaged, copy it again."
                ) from error

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole array, its axes as MATLAB has them."""
        self.shape(name)
        place = self._places[self.known(name)]
        with open_hdf5(self.path) as file:
            dataset = dataset_of(file, place)
            kind = text_of(dataset.attrs.get("MATLAB_class", ""))
            if kind == "char":
                return np.array([_char_text(dataset)])
            if kind == "cell":
                return np.array([_char_text(file[cell]) for cell in values_of(file, place).reshape(-1)])
            values = values_of(file, place).T
            return values.astype(bool) if kind == "logical" else values

    def traces(self, name: str, time_axis: int) -> Any:
        """Blocks straight from the file."""
        self.shape(name)
        require_floats(self._dtypes[self.known(name)], self.label, name)
        return Hdf5Traces(self.path, self._places[self.known(name)], 1 - time_axis)

    def _list(self, file: h5py.File, place: str) -> None:
        name, item = place.replace("/", "."), file[place]
        kind = text_of(item.attrs.get("MATLAB_class", ""))
        if "MATLAB_sparse" in item.attrs:
            self._faults[name] = "is sparse"
        elif "MATLAB_object_decode" in item.attrs or kind in ("string", "table", "function_handle"):
            self._faults[name] = "is a MATLAB object (a table, string, class or function)"
        elif not isinstance(item, h5py.Dataset):
            self._faults[name] = "is no array"
        elif "MATLAB_empty" in item.attrs:
            self._faults[name] = "is empty"
        elif kind == "char":
            self._keep(name, place, (1,))
            if item.size <= _MOST_TEXT:
                self._attributes[name] = _char_text(item)
        elif kind == "cell":
            if all(text_of(file[cell].attrs.get("MATLAB_class", "")) == "char" for cell in item[()].reshape(-1)):
                self._keep(name, place, (int(item.size),))
            else:
                self._faults[name] = "is a cell array of something else than texts"
        elif kind in _NUMERIC or (kind == "" and item.dtype.kind in "fiu"):
            self._keep(name, place, tuple(reversed(item.shape)))
            self._dtypes[name] = np.dtype(bool) if kind == "logical" else item.dtype
            if item.size == 1:
                self._attributes[name] = np.asarray(item[()]).reshape(-1)[0].item()
        elif h5py.check_ref_dtype(item.dtype) is not None:
            self._faults[name] = f"is one field of a struct array of {item.size} elements"
        else:
            self._faults[name] = f"is of MATLAB's class {kind or item.dtype}"

    def _keep(self, name: str, place: str, shape: tuple[int, ...]) -> None:
        self._places[name] = place
        self._shapes[name] = shape


class _MatlabTraces:
    """Blocks of an array that is compressed or stored in narrower numbers; another process opens the file again."""

    def __init__(self, path: Path, name: str, time_axis: int) -> None:
        self.path = path
        self.name = name
        self.time_axis = time_axis
        self._values: npt.NDArray[Any] | None = None

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        if self._values is None:
            self._values = MatlabV5(self.path).read(self.name)
        values = self._values if self.time_axis == 0 else self._values.T
        return as_float32(values[start_frame:stop_frame])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_values": None}


def _datasets(group: h5py.Group, place: str) -> Iterator[str]:
    for name in group:
        if name.startswith("#"):  # what references point to
            continue
        inner = f"{place}/{name}" if place else str(name)
        if isinstance(group[name], h5py.Group) and not {"MATLAB_object_decode", "MATLAB_sparse"} & {*group[name].attrs}:
            yield from _datasets(group[name], inner)
        else:
            yield inner


def _char_text(dataset: h5py.Dataset) -> str:
    if "MATLAB_empty" in dataset.attrs:
        return ""
    codes = np.asarray(dataset[()]).reshape(-1)
    return codes.astype("<u2").tobytes().decode("utf-16-le", "replace")
