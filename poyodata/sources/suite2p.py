"""The `suite2p` source: a folder of suite2p's results and a mapping become a `SessionRecord`, dF/F being computed.

``F.npy``, ``Fneu.npy`` and ``iscell.npy`` are mapped into memory; ``stat.npy`` and ``ops.npy``, which are pickled, are
read by `poyodata.sources.plain_pickle`, so that nothing in them is ever run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from poyodata.csv_tables import read_csv_table
from poyodata.digests import json_digest
from poyodata.errors import SourceError
from poyodata.intervals import segments_of_time
from poyodata.sources.baseline import Baseline, BaselineDff, CorrectedFluorescence
from poyodata.sources.float_traces import FilePlace
from poyodata.sources.hdf5 import as_uint8, file_digest, short
from poyodata.sources.metadata import complete_metadata
from poyodata.sources.plain_pickle import load_plain
from poyodata.sources.presentations import presentation_table
from poyodata.sources.record import NEURON_COLUMNS, SessionRecord
from poyodata.sources.recording_mapping import DffMapping, Suite2pMapping
from poyodata.sources.stimulus_table import mapped_presentations
from poyodata.sources.timing import Clock, rate_of
from poyodata.vocabulary import TRACES

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.int16]

_PLANE = re.compile(r"plane(\d+)")
_MOST_PIXELS = 2**15
# Where newer versions of suite2p keep the settings of older ones.
_NESTED = {"neucoeff": ("extraction", "neuropil_coefficient")} | {
    key: ("dcnv_preprocess", key) for key in ("baseline", "win_baseline", "sig_baseline", "prctile_baseline")
}


def planes_of(folder: Path) -> dict[int, Path]:
    """Folders of the planes: of a session, of its folder ``suite2p``, or of one plane.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of int to Path
        By the number of the plane; empty when there is none.
    """
    if (folder / "F.npy").is_file():
        number = _PLANE.fullmatch(folder.name)
        return {int(number.group(1)) if number else 0: folder}
    for place in (folder, folder / "suite2p"):
        found = {
            int(name.group(1)): child
            for child in (place.iterdir() if place.is_dir() else ())
            if (name := _PLANE.fullmatch(child.name)) and (child / "F.npy").is_file()
        }
        if found:
            return dict(sorted(found.items()))
    return {}


def read_suite2p(folder: str | Path, mapping: Suite2pMapping | None = None) -> SessionRecord:
    """Read one recording out of suite2p's results.

    Several planes are joined: their neurons stand side by side, with a column ``plane``, and all are taken to have the
    frames of the first (planes are scanned one after the other within one frame of the volume); a plane that is shorter
    by a frame cuts the others.

    Parameters
    ----------
    folder : str or Path
        That of a session, which holds ``suite2p``, or that of ``suite2p``, or that of one plane.
    mapping : Suite2pMapping
        Who was recorded, as suite2p does not know it; stimuli, and the clock where ``fs`` is not true.

    Returns
    -------
    SessionRecord
        dF/F as `poyodata.sources.baseline` tells, ``raw`` (F), ``neuropil`` (Fneu) and ``corrected`` traces. Regions
        that are no cells by ``iscell.npy`` are kept, with ``valid_roi`` False.

    Raises
    ------
    SourceError
        When a file is missing, damaged, of a wrong shape, or holds something that could be run; when the mapping does
        not say what a recording must have.
    """
    folder = Path(folder)
    mapping = mapping or Suite2pMapping(mapping=1, source="suite2p")
    planes = planes_of(folder)
    if not planes:
        raise SourceError(f"{folder} holds no results of suite2p; F.npy was expected in it, or in suite2p/plane0.")
    if mapping.plane is not None:
        if mapping.plane not in planes:
            raise SourceError(f"{folder} has no plane {mapping.plane}; it has {', '.join(map(str, planes))}.")
        planes = {mapping.plane: planes[mapping.plane]}
    try:
        return _assemble(folder, [_Plane.open(number, path) for number, path in planes.items()], mapping)
    except SourceError as error:
        raise error if str(folder) in str(error) else SourceError(f"{folder}: {error}") from error


def _assemble(folder: Path, planes: list[_Plane], mapping: Suite2pMapping) -> SessionRecord:
    metadata = complete_metadata({}, mapping, str(folder), "suite2p")
    lengths = [plane.cells.shape[1] for plane in planes]
    n_frames = min(lengths)
    if max(lengths) - n_frames > 1:
        raise SourceError(f"the planes have {', '.join(map(str, lengths))} frames; choose one with `plane:`.")
    ops = planes[0].ops
    time_s, rate_hz = _clock(mapping, ops, n_frames)
    baseline = _baseline(ops, mapping.dff)
    neurons = _neurons(planes, metadata.session_id, mapping.um_per_px)
    cells = JoinedTraces([plane.folder / "F.npy" for plane in planes], [plane.cells.shape for plane in planes])
    around = JoinedTraces([plane.folder / "Fneu.npy" for plane in planes], [plane.cells.shape for plane in planes])
    corrected = CorrectedFluorescence(cells, around, baseline.neucoeff)
    shape = (n_frames, len(neurons))
    further: dict[str, Any] = {"raw": cells, "neuropil": around, "corrected": corrected}
    if "events" in TRACES and all((plane.folder / "spks.npy").is_file() for plane in planes):
        events = [plane.folder / "spks.npy" for plane in planes]
        further["events"] = JoinedTraces(events, [plane.cells.shape for plane in planes])
    tables = [mapped_presentations(part, _csv(Path(part.table)), time_s) for part in mapping.stimuli]
    return SessionRecord(
        metadata=metadata,
        neurons=neurons,
        time_s=time_s,
        segments=segments_of_time(time_s) if n_frames > 1 else np.array([[0, n_frames]], np.int64),
        presentations=presentation_table(tables),
        read_traces=BaselineDff(corrected, shape, rate_hz, baseline, _WholeCorrected(cells, around, baseline.neucoeff)),
        source_digest=_digest(planes, mapping),
        further=further,
        masks=_masks(planes),
        max_projection=_max_projection(planes),
    ).check()


@dataclass(frozen=True)
class _Plane:
    """One plane's files: traces mapped, the rest read."""

    number: int
    folder: Path
    cells: npt.NDArray[Any]
    is_cell: npt.NDArray[Any]
    ops: dict[str, Any]
    stat: list[dict[str, Any]] | None

    @classmethod
    def open(cls, number: int, folder: Path) -> _Plane:
        cells = mapped(folder / "F.npy")
        if cells.ndim != 2 or 0 in cells.shape:
            raise SourceError(f"{folder / 'F.npy'} has shape {cells.shape}; (region, frame) was expected.")
        around = mapped(folder / "Fneu.npy")
        if around.shape != cells.shape:
            raise SourceError(f"{folder / 'Fneu.npy'} has shape {around.shape}, and F.npy {cells.shape}.")
        is_cell = np.ones((len(cells), 1))
        if (folder / "iscell.npy").is_file():
            is_cell = np.array(mapped(folder / "iscell.npy"))
            if is_cell.ndim != 2 or len(is_cell) != len(cells):
                raise SourceError(f"{folder / 'iscell.npy'} has shape {is_cell.shape} for {len(cells)} regions.")
            if not np.isfinite(is_cell).all():
                raise SourceError(
                    f"{folder / 'iscell.npy'} has values that are missing, so that it does not say which regions are "
                    "cells; save it again from suite2p, or take it away to keep all."
                )
        ops = load_plain(folder / "ops.npy") if (folder / "ops.npy").is_file() else {}
        if not isinstance(ops, dict):
            raise SourceError(f"{folder / 'ops.npy'} holds a {type(ops).__name__}; a dict was expected.")
        stat = load_plain(folder / "stat.npy") if (folder / "stat.npy").is_file() else None
        if stat is not None and (
            not isinstance(stat, list) or len(stat) != len(cells) or not all(isinstance(one, dict) for one in stat)
        ):
            raise SourceError(f"{folder / 'stat.npy'} does not hold one dict for each of {len(cells)} regions.")
        return cls(number, folder, cells, is_cell, ops, stat)


def mapped(path: Path) -> npt.NDArray[Any]:
    """Map an array of numbers of a ``.npy`` file into memory; nothing is unpickled.

    Raises
    ------
    SourceError
        When the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; suite2p writes it beside F.npy.")
    try:
        values: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header, which is Python text, raises nearly everything
        raise SourceError(f"{path} cannot be read ({short(error)}); the file is damaged, copy it again.") from error
    if values.dtype.kind not in "fiub":
        raise SourceError(f"{path} does not hold numbers; suite2p's arrays were expected.")
    return values


class JoinedTraces:
    """Blocks of frames of the traces of several planes, side by side.

    Parameters
    ----------
    paths : list of Path
        ``.npy`` files of (region, frame).
    shapes : list of tuple of int
        What they must have.
    """

    def __init__(self, paths: list[Path], shapes: list[tuple[int, ...]]) -> None:
        self.paths = paths
        self.shapes = shapes
        self._places: list[FilePlace] | None = None

    def __call__(self, start_frame: int, stop_frame: int) -> FloatArray:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        frames = slice(start_frame, stop_frame)
        return np.concatenate([place.read(1, frames) for place in self._opened()], axis=1)

    def of_neurons(self, first: int, last: int) -> FloatArray:
        """Read whole traces of neurons ``[first, last)`` as (neuron, time)."""
        rows, offset = [], 0
        n_frames = min(shape[1] for shape in self.shapes)
        for place, shape in zip(self._opened(), self.shapes, strict=True):
            mine = slice(max(0, first - offset), max(0, last - offset))
            rows.append(place.read(1, slice(n_frames), mine).T)
            offset += shape[0]
        return np.concatenate(rows)

    def _opened(self) -> list[FilePlace]:
        if self._places is None:
            places = []
            for path, shape in zip(self.paths, self.shapes, strict=True):
                array = mapped(path)
                place = FilePlace.of(path, array)
                if array.shape != shape or place is None:
                    raise SourceError(f"{path} has shape {array.shape}; {shape}, that of F.npy, was expected.")
                places.append(place)
            self._places = places
        return self._places

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_places": None}


class _WholeCorrected:
    """Whole corrected traces of some neurons, as (time, neuron)."""

    def __init__(self, cells: JoinedTraces, around: JoinedTraces, neucoeff: float) -> None:
        self.cells = cells
        self.around = around
        self.neucoeff = np.float32(neucoeff)

    def __call__(self, first: int, last: int) -> FloatArray:
        cells, around = self.cells.of_neurons(first, last), self.around.of_neurons(first, last)
        corrected: FloatArray = (cells - self.neucoeff * around).T
        return corrected


def _clock(mapping: Suite2pMapping, ops: dict[str, Any], n_frames: int) -> tuple[Clock, float]:
    """Timestamps, and the rate: the one that is told, as a clock made of it gives it back with an error."""
    if mapping.time is not None and mapping.time.timestamps is not None:
        time_s: Clock = np.array(mapped(Path(mapping.time.timestamps)), np.float64).reshape(-1)
        if len(time_s) != n_frames:
            raise SourceError(f"{mapping.time.timestamps} has {len(time_s)} times for {n_frames} frames.")
        return time_s, rate_of(time_s)
    rate_hz = mapping.time.rate_hz if mapping.time is not None else ops.get("fs")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float) or not 0 < rate_hz < np.inf:
        raise SourceError(
            "ops.npy does not say the frame rate (fs): give `time: {rate_hz: ...}` or `time: {timestamps: ...}` in a "
            "mapping.yaml with `source: suite2p`."
        )
    return np.arange(n_frames, dtype=np.float64) / float(rate_hz), float(rate_hz)


def _baseline(ops: dict[str, Any], mapping: DffMapping) -> Baseline:
    """What dF/F is computed with; of ``ops.npy`` only what the mapping leaves open, held to the same limits."""
    said: dict[str, Any] = {}
    for key, name in (
        ("neucoeff", "neucoeff"),
        ("baseline", "baseline"),
        ("win_baseline", "win_baseline_s"),
        ("sig_baseline", "sig_baseline_frames"),
        ("prctile_baseline", "prctile_baseline"),
    ):
        if getattr(mapping, name) is not None:
            continue
        outer, inner = _NESTED[key]
        nested = ops.get(outer)
        value = ops.get(key)
        if value is None and isinstance(nested, dict):
            value = nested.get(inner)
        if value is None:
            continue
        try:
            said[name] = getattr(DffMapping.model_validate({name: value}), name)
        except ValidationError as error:
            raise SourceError(
                f"ops.npy has {key} = {value!r}, of which no dF/F is made ({error.errors()[0]['msg']}); give "
                f"`dff: {{{name}: ...}}` in the mapping."
            ) from error
    return Baseline(**said).replaced(mapping)


def _neurons(planes: list[_Plane], session_id: str, um_per_px: float | None) -> pd.DataFrame:
    count = sum(len(plane.cells) for plane in planes)
    centres = np.full((count, 2), np.nan)
    offset = 0
    for plane in planes:
        for row, one in enumerate(plane.stat or []):
            middle = np.asarray(one.get("med", ()), np.float64).reshape(-1)
            if um_per_px is not None and len(middle) >= 2:
                centres[offset + row] = middle[1] * um_per_px, middle[0] * um_per_px  # suite2p has y first
        offset += len(plane.cells)
    is_cell = np.concatenate([plane.is_cell[:, 0] for plane in planes]).astype(bool)
    table = pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{row}" for row in range(count)],
            "cell_specimen_id": pd.array([pd.NA] * count, dtype="Int64"),
            "roi_id": pd.array(np.arange(count), dtype="Int64"),
            "x_um": centres[:, 0],
            "y_um": centres[:, 1],
            "valid_roi": is_cell,
            "exclusion_label": pd.Series(np.where(is_cell, "", "not_a_cell"), dtype="str"),
        },
        columns=list(NEURON_COLUMNS),
    )
    return table.assign(
        plane=np.concatenate([np.full(len(plane.cells), plane.number) for plane in planes]),
        plane_roi=np.concatenate([np.arange(len(plane.cells)) for plane in planes]),
    )


def _masks(planes: list[_Plane]) -> list[Mask] | None:
    if any(plane.stat is None for plane in planes):
        return None
    return [_mask(one, plane.folder) for plane in planes for one in plane.stat or []]


def _mask(one: dict[str, Any], folder: Path) -> Mask:
    x, y = (np.asarray(one.get(key, ())).reshape(-1) for key in ("xpix", "ypix"))
    if len(x) != len(y) or any(axis.size and axis.dtype.kind not in "iu" for axis in (x, y)):
        raise SourceError(f"{folder / 'stat.npy'} has xpix and ypix that are no pixels of one region.")
    pixels = np.column_stack([x, y]).astype(np.int64)
    if pixels.size and not (pixels.min() >= 0 and pixels.max() < _MOST_PIXELS):
        raise SourceError(f"{folder / 'stat.npy'} has pixels from {pixels.min()} to {pixels.max()}.")
    return pixels[np.lexsort((pixels[:, 0], pixels[:, 1]))].astype(np.int16)


def _max_projection(planes: list[_Plane]) -> npt.NDArray[np.uint8] | None:
    """The image of a single plane, where it has 8 bits; suite2p's are mostly floats of another range."""
    image = planes[0].ops.get("max_proj") if len(planes) == 1 else None
    if not isinstance(image, np.ndarray) or image.ndim != 2 or not image.size or image.dtype.kind not in "iuf":
        return None
    try:
        return as_uint8(image, "max_proj")
    except SourceError:
        return None


def _digest(planes: list[_Plane], mapping: Suite2pMapping) -> str:
    names = ("F.npy", "Fneu.npy", "iscell.npy", "stat.npy", "ops.npy")
    content: dict[str, Any] = {
        f"plane{plane.number}/{name}": file_digest(plane.folder / name)
        for plane in planes
        for name in names
        if (plane.folder / name).is_file()
    }
    content |= {f"stimuli/{index}": file_digest(Path(part.table)) for index, part in enumerate(mapping.stimuli)}
    if mapping.time is not None and mapping.time.timestamps is not None:
        content["timestamps"] = file_digest(Path(mapping.time.timestamps))
    return json_digest(content)[:32]


def _csv(path: Path) -> Any:
    """Columns of a CSV file, by name."""
    table = read_csv_table(path, "the table of presentations")

    def column(name: str) -> npt.NDArray[Any]:
        if name not in table.columns:
            raise SourceError(f"{path} has no column {name!r}; it has {', '.join(map(str, table.columns))}.")
        return table[name].to_numpy()

    return column
