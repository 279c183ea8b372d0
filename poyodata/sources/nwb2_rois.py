"""Regions of interest of an NWB 2 file: ids, labels, masks and centres out of a ``PlaneSegmentation``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError, nearest
from poyodata.sources.hdf5 import as_int64, dataset_of, holds, text_of, values_of
from poyodata.sources.record import NEURON_COLUMNS
from poyodata.sources.recording_mapping import RoiColumns

Mask = npt.NDArray[np.int16]
_MOST_PIXELS = 2**15
_BLOCK_BYTES = 2**24
_MICROMETRES = {
    "micrometers": 1.0,
    "micrometer": 1.0,
    "microns": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "millimeters": 1e3,
    "mm": 1e3,
    "meters": 1e6,
    "meter": 1e6,
    "m": 1e6,
}


@dataclass(frozen=True)
class RoiTable:
    """The table of regions that a series refers to.

    Attributes
    ----------
    file : h5py.File
    name : str
        Path of the ``PlaneSegmentation``.
    rows : ndarray, shape (neuron,), int64
        Row of each trace.
    """

    file: h5py.File
    name: str
    rows: npt.NDArray[np.int64]

    @classmethod
    def of_series(cls, file: h5py.File, series: str) -> RoiTable:
        """Follow the reference of a series.

        Raises
        ------
        SourceError
            When it refers to no table, or to rows that the table has not.
        """
        regions = dataset_of(file, f"{series}/rois")
        try:
            reference = regions.attrs["table"]
            name = file[reference].name.strip("/")
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise SourceError(
                f"{series}/rois refers to no table of regions; a PlaneSegmentation was expected."
            ) from error
        rows = as_int64(values_of(file, f"{series}/rois").reshape(-1), f"{series}/rois")
        count = len(dataset_of(file, f"{name}/id")) if holds(file, f"{name}/id") else 0
        if len(rows) and not (rows.min() >= 0 and rows.max() < count):
            raise SourceError(f"{series}/rois has rows from {rows.min()} to {rows.max()}, but {name} has {count}.")
        return cls(file, name, rows)

    def columns(self) -> list[str]:
        """Names of its columns."""
        return sorted(str(child) for child in self.file[self.name])

    def column(self, name: str) -> npt.NDArray[Any]:
        """Values of a column, one for each trace.

        Raises
        ------
        SourceError
            When there is no such column, or it has not one value a row.
        """
        if not holds(self.file, f"{self.name}/{name}"):
            raise SourceError(
                f"{self.name} has no column {name!r}, which the mapping names; {nearest(name, self.columns())}"
            )
        values = values_of(self.file, f"{self.name}/{name}")
        if len(values) <= (int(self.rows.max()) if len(self.rows) else -1):
            raise SourceError(f"{self.name}/{name} has {len(values)} values; one for each region was expected.")
        return values[self.rows]

    def found(self, *names: str) -> npt.NDArray[Any] | None:
        """Values of the first column that is there."""
        return next((self.column(name) for name in names if holds(self.file, f"{self.name}/{name}")), None)

    def plane(self) -> h5py.Group | None:
        """Imaging plane of the table."""
        name = f"{self.name}/imaging_plane"
        return self.file[name] if holds(self.file, name) else None


def read_masks(table: RoiTable, x_is_row: bool) -> list[Mask] | None:
    """Read the pixels of every region: of ``pixel_mask``, ``voxel_mask`` (whose z is left out) or ``image_mask``.

    Parameters
    ----------
    table : RoiTable
    x_is_row : bool
        Whether the file's x is the row of an image, as some files have it, and not the column, as NWB says.

    Returns
    -------
    list of ndarray, shape (pixel, 2), int16, or None
        x (column) and y (row), row by row. None when the file has no masks.

    Raises
    ------
    SourceError
        When a mask is no mask.
    """
    for kind in ("pixel_mask", "voxel_mask"):
        if holds(table.file, f"{table.name}/{kind}") and holds(table.file, f"{table.name}/{kind}_index"):
            return _listed_masks(table, kind, x_is_row)
    if holds(table.file, f"{table.name}/image_mask"):
        return _drawn_masks(table, x_is_row)
    return None


def read_neurons(
    table: RoiTable, mapping: RoiColumns, session_id: str, masks: list[Mask] | None, *, ids_are_cells: bool
) -> pd.DataFrame:
    """Make the table of neurons.

    Parameters
    ----------
    table : RoiTable
    mapping : RoiColumns
        Goes before the known names of columns.
    session_id : str
    masks : list of ndarray, optional
    ids_are_cells : bool
        Whether the table's own ids are cell specimen ids and not ids of regions.

    Returns
    -------
    DataFrame
        `NEURON_COLUMNS`. Negative ids, and those that are missing, are <NA>.

    Raises
    ------
    SourceError
        When a column is missing or holds something else.
    """
    count = len(table.rows)
    cells = _of(
        table, mapping.cell_specimen_id, "cell_specimen_id", *(["global_roi_id", "id"] if ids_are_cells else [])
    )
    rois = _of(table, mapping.roi_id, "roi_id", "cell_roi_id")
    if rois is None and not ids_are_cells:
        rois = table.column("id")
    cell_ids = _integers(cells, f"{table.name}: cell_specimen_id", count)
    cell_ids[(cell_ids < 0).fillna(False).to_numpy(bool)] = pd.NA
    roi_ids = _integers(rois, f"{table.name}: roi_id", count)
    roi_ids[(roi_ids < 0).fillna(False).to_numpy(bool)] = pd.NA
    labels = _of(table, mapping.exclusion_label, "exclusion_label")
    texts = [""] * count if labels is None else [text_of(label) for label in labels]
    valid = _of(table, mapping.valid_roi, "valid_roi", "iscell")
    if valid is not None and valid.ndim == 2:
        valid = valid[:, 0]  # suite2p keeps a probability beside it
    is_valid = np.array([text == "" for text in texts]) & (True if valid is None else valid.astype(bool))
    centres = _centres(table, masks, count)
    rows = zip(cell_ids, roi_ids, table.rows.tolist(), strict=True)
    names = [row if pd.isna(cell) and pd.isna(roi) else roi if pd.isna(cell) else cell for cell, roi, row in rows]
    return pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{name}" for name in names],
            "cell_specimen_id": cell_ids,
            "roi_id": roi_ids,
            "x_um": centres[:, 0],
            "y_um": centres[:, 1],
            "valid_roi": is_valid,
            "exclusion_label": pd.Series(texts, dtype="str"),
        },
        columns=list(NEURON_COLUMNS),
    )


def _of(table: RoiTable, mapped: str | None, *known: str) -> npt.NDArray[Any] | None:
    return table.column(mapped) if mapped is not None else table.found(*known)


def _integers(values: npt.NDArray[Any] | None, name: str, count: int) -> Any:
    if values is None:
        return pd.array([pd.NA] * count, dtype="Int64")
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(count, bool)
    whole = pd.array(as_int64(np.where(missing, -1, values), name), dtype="Int64")
    whole[missing] = pd.NA
    return whole


def _listed_masks(table: RoiTable, kind: str, x_is_row: bool) -> list[Mask]:
    name = f"{table.name}/{kind}"
    pixels, stops = values_of(table.file, name), as_int64(values_of(table.file, f"{name}_index"), f"{name}_index")
    if pixels.dtype.names is None or not {"x", "y"} <= set(pixels.dtype.names):
        raise SourceError(f"{name} has {pixels.dtype} values; pixels with x and y were expected.")
    if len(stops) and ((np.diff(stops) < 0).any() or stops[-1] > len(pixels) or stops[0] < 0):
        raise SourceError(f"{name}_index does not fit the {len(pixels)} pixels of {name}.")
    masks = []
    for row in table.rows.tolist():
        if row >= len(stops):
            raise SourceError(f"{name} has {len(stops)} masks; one for each region was expected.")
        mine = pixels[stops[row - 1] if row else 0 : stops[row]]
        x, y = as_int64(mine["x"], name, truncate=True), as_int64(mine["y"], name, truncate=True)
        masks.append(_mask(y, x, name) if x_is_row else _mask(x, y, name))
    return masks


def _drawn_masks(table: RoiTable, x_is_row: bool) -> list[Mask]:
    name = f"{table.name}/image_mask"
    images = dataset_of(table.file, name)
    if images.ndim not in (3, 4) or len(images) <= (table.rows.max() if len(table.rows) else -1):
        raise SourceError(f"{name} has shape {images.shape}; (region, x, y) was expected.")
    masks = []
    for row in table.rows.tolist():  # one by one: together they are as large as a movie
        drawn = np.asarray(images[row])
        if max(drawn.shape) > _MOST_PIXELS:
            raise SourceError(f"{name} has shape {images.shape}; no image is as large.")
        first, second = np.nonzero(drawn if drawn.ndim == 2 else drawn.any(axis=-1))
        masks.append(_mask(second, first, name) if x_is_row else _mask(first, second, name))
    return masks


def _mask(x: npt.NDArray[Any], y: npt.NDArray[Any], name: str) -> Mask:
    pixels = np.column_stack([x, y])
    if pixels.size and not (pixels.min() >= 0 and pixels.max() < _MOST_PIXELS):
        raise SourceError(f"{name} has pixels from {pixels.min()} to {pixels.max()}; no image is as large.")
    return pixels[np.lexsort((pixels[:, 0], pixels[:, 1]))].astype(np.int16)


def _centres(table: RoiTable, masks: list[Mask] | None, count: int) -> npt.NDArray[np.float64]:
    """Centres of the masks in micrometres; NaN where the file does not say how large a pixel is."""
    centres = np.full((count, 2), np.nan)
    x_um, y_um = table.found("x_um"), table.found("y_um")
    if x_um is not None and y_um is not None:
        return np.column_stack([x_um, y_um]).astype(np.float64)
    plane = table.plane()
    if masks is None or plane is None or not holds(plane, "grid_spacing"):
        return centres
    spacing = np.asarray(plane["grid_spacing"][()], np.float64).reshape(-1)[:2]
    unit = text_of(plane["grid_spacing"].attrs.get("unit", "meters")).casefold()
    if len(spacing) < 2 or unit not in _MICROMETRES:
        return centres
    for number, mask in enumerate(masks):
        if len(mask):
            centres[number] = mask.mean(axis=0) * spacing * _MICROMETRES[unit]
    return centres
