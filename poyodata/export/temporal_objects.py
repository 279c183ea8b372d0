"""Objects of torch_brain's HDF5 files (``torch_brain.data``, formerly temporaldata), written with h5py alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    import h5py


def put_data(group: h5py.Group, **attributes: Any) -> None:
    """A ``Data`` of attributes; those that nobody knows are left out, as torch_brain leaves out None."""
    for name, value in attributes.items():
        if value is not None and value != "" and value == value:
            group.attrs[name] = value
    group.attrs["object"] = "Data"
    group.attrs["absolute_start"] = 0.0


def put_interval(
    group: h5py.Group,
    start_s: npt.NDArray[np.float64],
    stop_s: npt.NDArray[np.float64],
    columns: Mapping[str, Any] | None = None,
    timekeys: list[str] | None = None,
) -> None:
    """An ``Interval``."""
    put_arrays(group, {"start": start_s, "end": stop_s, **(columns or {})})
    group.attrs["timekeys"] = np.array(["start", "end", *(timekeys or [])], dtype="S")
    group.attrs["object"] = "Interval"


def put_irregular(
    group: h5py.Group,
    time_s: npt.NDArray[np.float64],
    columns: Mapping[str, Any],
    domain: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
) -> None:
    """An ``IrregularTimeSeries``; `timestamp_indices_1s` is where each second begins, by which it is read lazily."""
    if domain is None:
        ends = time_s[[0, -1]] if len(time_s) else np.zeros(2)
        domain = ends[:1], ends[1:]
    put_arrays(group, {"timestamps": time_s, **columns})
    seconds = np.arange(domain[0][0], domain[1][-1] + 1.0, 1.0, dtype=np.float64)
    group.create_dataset("timestamp_indices_1s", data=np.searchsorted(time_s, seconds))
    put_interval(group.create_group("domain"), *domain)
    group.attrs["timekeys"] = np.array(["timestamps"], dtype="S")
    group.attrs["object"] = "IrregularTimeSeries"


def put_arrays(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    """Datasets; HDF5 has no fixed-length unicode, so texts are ASCII and named in ``_unicode_keys``."""
    texts: list[str] = []
    for name, values in columns.items():
        array = _plain(values)
        if array.dtype.kind == "U":
            array = np.char.encode(array, "ascii", "backslashreplace")
            texts.append(name)
        group.create_dataset(name, data=array)
    group.attrs["_unicode_keys"] = np.array(texts, dtype="S")


def _plain(values: Any) -> npt.NDArray[Any]:
    """A column as an array that HDF5 has: a missing text is "", a missing whole number or truth value makes floats."""
    if not isinstance(values, pd.Series):
        return np.asarray(values)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_integer_dtype(values.dtype):
        if values.isna().any():
            return values.to_numpy(np.float64, na_value=np.nan)
        return values.to_numpy(bool if pd.api.types.is_bool_dtype(values.dtype) else np.int64)
    if pd.api.types.is_float_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    texts = ["" if missing else str(text) for missing, text in zip(values.isna(), values.tolist(), strict=True)]
    return np.array(texts, dtype="U")
