"""Regions of interest of an NWB 1.0 file of the Allen Brain Observatory: ids, masks, labels, and their plane."""

from __future__ import annotations

import re

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.sources.allen_traces import read_neuropil_r
from poyodata.sources.hdf5 import as_int64, as_uint8, holds, text_of, texts_of, values_of
from poyodata.sources.record import NEURON_COLUMNS

Mask = npt.NDArray[np.int16]
_FOV_UM_PER_PIXEL = 400.0 / 512.0
_MOST_PIXELS = 2**15


def read_masks(file: h5py.File, pipeline: str, count: int) -> list[Mask] | None:
    """Read the pixels of every region.

    Parameters
    ----------
    file : h5py.File
    pipeline : str
        Path of the pipeline's group.
    count : int
        Number of traces.

    Returns
    -------
    list of ndarray, shape (pixel, 2), int16, or None
        x (column) and y (row), row by row; empty for a region without a mask. None when the file has no masks.

    Raises
    ------
    SourceError
        When the list of regions holds no texts or names no region that is there, or a mask is no mask.
    """
    plane = f"{pipeline}/ImageSegmentation/imaging_plane_1"
    if not holds(file, f"{plane}/roi_list"):
        return None
    names = texts_of(file, f"{plane}/roi_list")[:count]
    if names and not any(holds(file, f"{plane}/{name}") for name in names):
        raise SourceError(
            f"{plane}/roi_list names {names[0]!r} and the like, but none of them is there; the file is damaged."
        )
    masks = [_mask(file, f"{plane}/{name}") for name in names]
    return masks + [np.empty((0, 2), np.int16)] * (count - len(masks))


def read_neurons(
    file: h5py.File, pipeline: str, session_id: str, cells: npt.NDArray[np.int64], masks: list[Mask] | None
) -> pd.DataFrame:
    """Make the table of neurons: ids, centres of the masks, exclusion labels, neuropil ratios.

    Parameters
    ----------
    file : h5py.File
    pipeline : str
        Path of the pipeline's group.
    session_id : str
    cells : ndarray, shape (neuron,), int64
        Cell specimen ids.
    masks : list of ndarray, optional

    Returns
    -------
    DataFrame
        `NEURON_COLUMNS`, and ``neuropil_r`` where the file has it.

    Raises
    ------
    SourceError
        When a column has not one value for each neuron.
    """
    count = len(cells)
    place = f"{pipeline}/ImageSegmentation"
    rois = integers_of(file, f"{place}/roi_ids") if holds(file, f"{place}/roi_ids") else None
    labels = texts_of(file, f"{place}/exclusion_labels") if holds(file, f"{place}/exclusion_labels") else [""] * count
    r = read_neuropil_r(file, pipeline)
    for what, values in (("roi_ids", rois), ("exclusion_labels", labels), ("neuropil r", r)):
        if values is not None and len(values) != count:
            raise SourceError(f"{count} cell specimen ids, but {len(values)} {what}; one for each was expected.")
    scale = _um_per_pixel(text_of(values_of(file, "general/fov")) if holds(file, "general/fov") else "")
    pixels = [mask.mean(axis=0) * scale if len(mask) else (np.nan, np.nan) for mask in masks or []]
    centres = np.array(pixels if masks else [(np.nan, np.nan)] * count, np.float64).reshape(count, 2)
    table = pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{cell}" for cell in cells.tolist()],
            "cell_specimen_id": pd.array(cells, dtype="Int64"),
            "roi_id": pd.array([pd.NA] * count if rois is None else rois, dtype="Int64"),
            "x_um": centres[:, 0],
            "y_um": centres[:, 1],
            "valid_roi": [label == "" for label in labels],
            "exclusion_label": pd.Series(labels, dtype="str"),
        },
        columns=list(NEURON_COLUMNS),
    )
    return table if r is None else table.assign(neuropil_r=r.astype(np.float64))


def read_max_projection(file: h5py.File, pipeline: str) -> npt.NDArray[np.uint8] | None:
    """Read the image of the imaging plane that the regions were found in.

    Parameters
    ----------
    file : h5py.File
    pipeline : str
        Path of the pipeline's group.

    Returns
    -------
    ndarray, shape (y, x), uint8, or None
        None when the file has no such image.

    Raises
    ------
    SourceError
        When a value is no whole number from 0 to 255.
    """
    images = f"{pipeline}/ImageSegmentation/imaging_plane_1/reference_images"
    name = f"{images}/maximum_intensity_projection_image/data"
    return as_uint8(values_of(file, name), name) if holds(file, name) else None


def integers_of(file: h5py.File, name: str) -> npt.NDArray[np.int64]:
    """Ids of a dataset of integers or, as the released files have them, of texts.

    Raises
    ------
    SourceError
        When one is no integer.
    """
    return as_int64(values_of(file, name).reshape(-1), name)


def _mask(file: h5py.File, name: str) -> Mask:
    image, listed = f"{name}/img_mask", f"{name}/pix_mask"
    if holds(file, image):  # what AllenSDK reads
        drawn = values_of(file, image)
        if drawn.ndim != 2 or max(drawn.shape) > _MOST_PIXELS:
            raise SourceError(f"{image} has shape {drawn.shape}; (row, column) was expected.")
        # Of numbers, or in two dimensions, the same search takes ten times as long.
        rows, columns = np.divmod(np.flatnonzero(drawn != 0), max(1, drawn.shape[1]))
        return np.column_stack([columns, rows]).astype(np.int16)
    stored = values_of(file, listed) if holds(file, listed) else np.empty((0, 2))
    stored = stored if stored.shape[-1:] in ((2,), (3,)) else stored.T
    if stored.ndim != 2 or stored.shape[1] not in (2, 3):
        raise SourceError(f"{listed} has shape {stored.shape}; (pixel, 2) was expected.")
    whole = as_int64(stored[:, :2], listed, truncate=True)  # a third column would be weights
    if whole.size and not (whole.min() >= 0 and whole.max() < _MOST_PIXELS):
        raise SourceError(f"{listed} has pixels from {whole.min()} to {whole.max()}; no image is as large.")
    pixels = whole.astype(np.int16)
    return pixels[np.lexsort((pixels[:, 0], pixels[:, 1]))]


def _um_per_pixel(fov: str) -> float:
    size = re.search(r"(\d+(?:\.\d+)?)\s*x\s*\d+(?:\.\d+)?\s*microns\s*\((\d+)\s*x", fov)
    return float(size.group(1)) / float(size.group(2)) if size else _FOV_UM_PER_PIXEL
