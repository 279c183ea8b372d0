"""Batches without torch: as NumPy arrays (`Loader.arrays`), and as labelled xarray Datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from poyodata.errors import LoaderError

if TYPE_CHECKING:
    import xarray as xr

    from poyodata.loaders.loader import Loader

_NEURONS = ("neuron_index", "neuron_mask")
_ENTRIES = ("values", "hidden", "target")


def to_xarray(loader: Loader, batch: Mapping[str, Any]) -> xr.Dataset:
    """Label a dense batch: dimensions window, neuron and time, with names of recordings and neurons as coordinates.

    Parameters
    ----------
    loader : Loader
        That the batch is from.
    batch : mapping of str to ndarray
        One of ``loader.arrays()``, or ``loader.batch(epoch, number)``.

    Returns
    -------
    Dataset
        Coordinates ``session_id`` (window), ``neuron_id`` (window, neuron; ``""`` in padding) and ``time`` (seconds
        from the start of the window). Arrays are not copied.

    Raises
    ------
    LoaderError
        The batch is not dense.
    """
    import xarray as xr

    if loader.layout != "dense" or "values" not in batch:
        raise LoaderError(
            "only dense batches have one array of windows, neurons and frames to label; make the loader with "
            "layout='dense', and of two views label each: to_xarray(loader, batch['a'])."
        )
    n_time = batch["values"].shape[2]
    shapes = {name: column.shape for target in loader.targets for name, column in target.columns.items()}
    variables: dict[str, Any] = {}
    for name, values in batch.items():
        if name in _ENTRIES:
            dims: tuple[str, ...] = ("window", "neuron", "time")
        elif name in _NEURONS or name.startswith("neuron_"):
            dims = ("window", "neuron")
        else:
            words = "(batch, time)" if name == "time_mask" else shapes.get(name, "(batch,)")
            dims = _dims(name, np.shape(values), words)
        variables[name] = (dims, values)
    names = np.array(["", *loader.neuron_ids], object)
    coordinates = {
        "session_id": ("window", np.array(loader.session_ids, object)[batch["session_index"]]),
        "neuron_id": (("window", "neuron"), names[batch["neuron_index"]]),
        "time": (
            "time",
            np.arange(n_time) / loader.rate_hz,
            {"units": "s", "long_name": "from the start of the window"},
        ),
    }
    values, units = variables["values"], "1" if loader.normalisation.fitted is None else "standard deviations"
    variables["values"] = (*values, {"units": units, "long_name": "dF/F"})
    return xr.Dataset(variables, coordinates, {"manifest_digest": loader.manifest_digest, "role": loader.role})


def datasets(loader: Loader) -> Iterator[xr.Dataset]:
    """One epoch of a loader as labelled Datasets, in its order."""
    for batch in loader.arrays():
        yield to_xarray(loader, batch)


def _dims(name: str, shape: tuple[int, ...], words: str) -> tuple[str, ...]:
    """Dimensions of an array that is declared as ``(batch, time, 32)``: windows, frames, and others of its own."""
    declared = [word.strip() for word in words.strip("()").split(",")]
    known = {"batch": "window", "time": "time"}
    return tuple(known.get(declared[at] if at < len(declared) else "", f"{name}_{at}") for at in range(len(shape)))
