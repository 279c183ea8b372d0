"""The small arrays of a recording's Zarr group: clock, coordinates of the neurons, signals, masks, image."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import byte_view
from poyodata.store.disk import json_bytes
from poyodata.store.protocol import Signal
from poyodata.store.shard import plain_codec, shard_file

COORDINATES: Mapping[str, str] = {
    "neuron_id": "",
    "cell_specimen_id": "",
    "roi_id": "",
    "x_um": "um",
    "y_um": "um",
    "valid_roi": "",
    "exclusion_label": "",
}
"""Columns of the neurons that lie beside the traces, and their units."""

MASK_PX, MASK_NEURON = "mask_px", "mask_neuron"
MAX_PROJECTION = "max_projection"
_NO_ID = -1  # in the Zarr arrays, which have no missing integer; the tables have <NA>


def write_coordinates(folder: Path, time_s: npt.NDArray[np.float64], neurons: pd.DataFrame) -> None:
    """Write the clock and what is known of every neuron."""
    _write_array(folder / "time", time_s.astype("<f8"), "time", units="s")
    for name, unit in COORDINATES.items():
        values = neurons[name]
        attributes: dict[str, Any] = {"units": unit} if unit else {}
        if str(values.dtype) == "Int64":
            attributes["missing"] = _NO_ID
            values = values.fillna(_NO_ID).astype("int64")
        is_text = pd.api.types.is_string_dtype(values.dtype)
        array = np.asarray(values.tolist(), dtype=object) if is_text else values.to_numpy()
        _write_array(folder / name, array, "neuron", **attributes)


def write_signals(folder: Path, signals: Mapping[str, Signal]) -> None:
    """Write every signal and its clock."""
    for name, signal in signals.items():
        clock = f"{name}_time"
        _write_array(folder / name, np.asarray(signal.values, "<f8"), clock, units=signal.unit)
        _write_array(folder / clock, np.asarray(signal.time_s, "<f8"), clock, units="s")


def join_masks(masks: Sequence[npt.NDArray[np.int16]]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32]]:
    """Lay masks behind each other.

    Parameters
    ----------
    masks : sequence of ndarray, shape (pixel, 2), int16

    Returns
    -------
    pixels : ndarray, shape (pixel, 2), int16
    neuron : ndarray, shape (pixel,), int32
        Which mask each pixel is of.

    Examples
    --------
    >>> pixels, neuron = join_masks([np.array([[3, 4]], np.int16), np.array([[5, 6], [6, 6]], np.int16)])
    >>> neuron.tolist()
    [0, 1, 1]
    """
    neuron = np.repeat(np.arange(len(masks), dtype="<i4"), [len(mask) for mask in masks])
    pixels = np.concatenate([np.empty((0, 2), "<i2"), *(np.asarray(mask, "<i2").reshape(-1, 2) for mask in masks)])
    return pixels, neuron


def split_masks(
    pixels: npt.NDArray[np.int16], neuron: npt.NDArray[np.int32], count: int
) -> list[npt.NDArray[np.int16]]:
    """Undo `join_masks` for `count` masks."""
    return np.split(pixels, np.searchsorted(neuron, np.arange(1, count)))


def write_masks(folder: Path, masks: Sequence[npt.NDArray[np.int16]]) -> None:
    """Write the pixels of all masks behind each other, and the trace column of each."""
    pixels, neuron = join_masks(masks)
    _write_array(folder / MASK_PX, pixels, "mask_pixel", "xy", units="px")
    _write_array(folder / MASK_NEURON, neuron, "mask_pixel")


def write_max_projection(folder: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write the maximum projection of the imaging plane."""
    _write_array(folder / MAX_PROJECTION, image, "y", "x")


def _write_array(folder: Path, values: npt.NDArray[Any], *dimensions: str, **attributes: Any) -> None:
    """Write a small array as one uncompressed chunk: as every Zarr reader knows it, without Zarr's price of a write."""
    is_text = values.dtype == object
    little = values if is_text else np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    fill: Any = "" if is_text else {"b": False, "f": 0.0}.get(values.dtype.kind, 0)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(values.shape),
        # Texts are Zarr's `string` type: fixed-width texts have no specification in Zarr v3.
        "data_type": "string" if is_text else values.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [max(1, length) for length in values.shape]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "vlen-utf8"} if is_text else plain_codec(values.dtype)],
        "attributes": {name: value for name, value in attributes.items() if value != ""},
        "dimension_names": list(dimensions),
        "storage_transformers": [],
    }
    file = shard_file(folder, values.ndim)
    if values.size:  # an absent chunk is one of nothing but fill values, and here of nothing
        file.parent.mkdir(parents=True)
        file.write_bytes(_text_bytes(values.tolist()) if is_text else byte_view(little))
    else:
        folder.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(json_bytes(metadata))


def _text_bytes(texts: Sequence[str]) -> bytes:
    """Texts as Zarr's codec ``vlen-utf8`` lays them: how many, then the length and the UTF-8 bytes of each."""
    pieces = [struct.pack("<I", len(texts))]
    for text in texts:
        encoded = text.encode()
        pieces += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(pieces)
