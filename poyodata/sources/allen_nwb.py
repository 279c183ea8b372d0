"""The `allen-nwb` source: NWB 1.0 files of the Allen Brain Observatory, Visual Coding (two-photon), through h5py."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.intervals import segments_of_time
from poyodata.sources.hdf5 import Hdf5Traces, file_digest, open_hdf5
from poyodata.sources.presentations import presentation_rows, presentation_table
from poyodata.sources.record import NEURON_COLUMNS, SessionMetadata, SessionRecord, Signal
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIE_ONE, SPONTANEOUS, canonical_cre_line

PIPELINE = "processing/brain_observatory_pipeline"
DFF = f"{PIPELINE}/DfOverF/imaging_plane_1"
SEGMENTATION = f"{PIPELINE}/ImageSegmentation"
RUNNING = f"{PIPELINE}/BehavioralTimeSeries/running_speed"
PRESENTATION = "stimulus/presentation"

_REQUIRED = (
    f"{DFF}/data",
    f"{DFF}/timestamps",
    f"{SEGMENTATION}/cell_specimen_ids",
    "general/session_id",
    "general/experiment_container_id",
    "general/specimen_name",
    "general/subject/genotype",
    "general/optophysiology/imaging_plane_1/location",
    "general/optophysiology/imaging_plane_1/imaging depth",
)
_FOV_UM_PER_PIXEL = 400.0 / 512.0


def read_allen_nwb(path: str | Path) -> SessionRecord:
    """Read one NWB 1.0 file as AllenSDK's ``BrainObservatoryNwbDataSet`` reads it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    SessionRecord
        With dF/F in blocks, true timestamps, drifting gratings, natural movie one and spontaneous activity, ids,
        centres of the regions of interest, running speed (cm/s, on its own clock, not padded) and the movie's template.
        ``start`` and ``end`` of the stimulus tables are taken as half-open frames.

    Raises
    ------
    SourceError
        When the file is missing, truncated, of another format, or lacks what a recording must have.

    Examples
    --------
    >>> read_allen_nwb("nowhere.nwb")
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.nwb does not exist; give the path of a recording file.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        _require_allen(file, path)
        try:
            return _assemble(file, path)
        except SourceError as error:
            raise error if str(path) in str(error) else SourceError(f"{path}: {error}") from error
        except (OSError, KeyError, ValueError) as error:
            first = str(error).splitlines()[0][:160]
            raise SourceError(
                f"{path} cannot be read ({first}); the file is damaged, copy or download it again."
            ) from error


def _assemble(file: h5py.File, path: Path) -> SessionRecord:
    metadata = _metadata(file)
    data, time_s = file[f"{DFF}/data"], np.asarray(file[f"{DFF}/timestamps"][()], np.float64)
    cells = np.asarray(file[f"{SEGMENTATION}/cell_specimen_ids"][()], np.int64)
    if data.shape != (len(cells), len(time_s)):
        raise SourceError(
            f"dF/F has shape {data.shape}, but there are {len(cells)} cell specimen ids and {len(time_s)} timestamps; "
            "a (neuron, time) array was expected."
        )
    signals = {}
    if RUNNING in file:
        running = np.asarray(file[f"{RUNNING}/data"][()], np.float64)
        # Early files keep one column instead of a flat array.
        running = running[:, 0] if running.ndim == 2 else running
        clock = np.asarray(file[f"{RUNNING}/timestamps"][()], np.float64)
        signals["running_speed"] = Signal(values=running, time_s=clock, unit="cm/s")
    templates = {}
    if f"stimulus/templates/{NATURAL_MOVIE_ONE}_image_stack/data" in file:
        templates[NATURAL_MOVIE_ONE] = _Template(path, f"stimulus/templates/{NATURAL_MOVIE_ONE}_image_stack/data")
    return SessionRecord(
        metadata=metadata,
        neurons=_neurons(file, metadata.session_id, cells),
        time_s=time_s,
        segments=segments_of_time(time_s),
        presentations=presentation_table([table for read in _TABLES if (table := read(file, time_s)) is not None]),
        read_traces=Hdf5Traces(path, f"{DFF}/data", time_axis=1),
        signals=signals,
        templates=templates,
        source_digest=file_digest(path),
    ).check()


class _Template:
    """A movie, read when it is called; a class, so that a record can travel to another process."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    def __call__(self) -> npt.NDArray[np.uint8]:
        with open_hdf5(self.path) as file:
            return np.asarray(file[self.name][()], np.uint8)


def _require_allen(file: h5py.File, path: Path) -> None:
    version = _text(file["nwb_version"][()]) if "nwb_version" in file else _text(file.attrs.get("nwb_version", ""))
    if version.startswith(("2", "NWB-2")):
        raise SourceError(
            f"{path} is an NWB {version.removeprefix('NWB-')} file; this source reads the NWB 1.0 files of the Allen "
            "Brain Observatory (ophys_experiment_data/*.nwb of AllenSDK)."
        )
    missing = [name for name in _REQUIRED if name not in file]
    if missing:
        kind = "an NWB 1.0 file" if version.startswith("NWB-1") else "an HDF5 file"
        raise SourceError(
            f"{path} is {kind} but not one of the Allen Brain Observatory: it has no {', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            + ". For other files write a mapping and read them as `arrays`."
        )


def _metadata(file: h5py.File) -> SessionMetadata:
    plane = "general/optophysiology/imaging_plane_1"

    def text(name: str) -> str:
        return _text(file[name][()]) if name in file else ""

    genotype = text("general/subject/genotype")
    # AllenSDK itself gives no donor; the specimen's name ends in the mouse's number.
    donor = re.search(r"-(\d+)$", text("general/specimen_name").strip())
    if donor is None:
        raise SourceError(
            f"general/specimen_name is {text('general/specimen_name')!r}; it must end in the donor's number, as in "
            "'Sst-IRES-Cre;Ai148-345678'."
        )
    return SessionMetadata(
        session_id=text("general/session_id"),
        donor_id=donor.group(1),
        container_id=text("general/experiment_container_id"),
        cre_line=canonical_cre_line(genotype),
        area=text(f"{plane}/location"),
        depth_um=_leading_number(text(f"{plane}/imaging depth")),
        session_type=text("general/session_type"),
        indicator=text(f"{plane}/indicator"),
        genotype=genotype,
        sex=text("general/subject/sex"),
        age_days=_leading_number(text("general/subject/age").removeprefix("P")),
    )


def _neurons(file: h5py.File, session_id: str, cells: npt.NDArray[np.int64]) -> pd.DataFrame:
    count = len(cells)
    rois = file[f"{SEGMENTATION}/roi_ids"][()] if f"{SEGMENTATION}/roi_ids" in file else None
    roi_id = pd.array([pd.NA] * count if rois is None else np.asarray(rois, np.int64), dtype="Int64")
    x_um, y_um = _centres(file, count)
    return pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{cell}" for cell in cells.tolist()],
            "cell_specimen_id": pd.array(cells, dtype="Int64"),
            "roi_id": roi_id,
            "x_um": x_um,
            "y_um": y_um,
            "valid_roi": np.ones(count, bool),
        },
        columns=list(NEURON_COLUMNS),
    )


def _centres(file: h5py.File, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x_px, y_px = np.full(count, np.nan), np.full(count, np.nan)
    plane = f"{SEGMENTATION}/imaging_plane_1"
    if f"{plane}/roi_list" in file:
        names = file[f"{plane}/roi_list"][()]
        for index, name in enumerate(names[:count]):
            masks = file[f"{plane}/{_text(name)}"]
            if "pix_mask" in masks and min(masks["pix_mask"].shape, default=0) > 0:
                pixels = np.asarray(masks["pix_mask"][()], np.float64)
                pixels = pixels if pixels.shape[-1] == 2 else pixels.T
                x_px[index], y_px[index] = pixels.mean(axis=0)
            elif "img_mask" in masks:
                rows, columns = np.nonzero(masks["img_mask"][()])
                if len(rows):
                    x_px[index], y_px[index] = columns.mean(), rows.mean()
    scale = _um_per_pixel(_text(file["general/fov"][()]) if "general/fov" in file else "")
    return x_px * scale, y_px * scale


def _um_per_pixel(fov: str) -> float:
    size = re.search(r"(\d+(?:\.\d+)?)\s*x\s*\d+(?:\.\d+)?\s*microns\s*\((\d+)\s*x", fov)
    return float(size.group(1)) / float(size.group(2)) if size else _FOV_UM_PER_PIXEL


def _group(file: h5py.File, stimulus: str) -> h5py.Group | None:
    for name in (f"{PRESENTATION}/{stimulus}_stimulus", f"{PRESENTATION}/{stimulus}"):
        if name in file:
            group = file[name]
            lacking = [part for part in ("data", "frame_duration") if part not in group]
            if lacking:
                raise SourceError(f"{name} has no {' and no '.join(lacking)}; the stimulus table is incomplete.")
            return group
    return None


def _gratings(file: h5py.File, time_s: npt.NDArray[np.float64]) -> pd.DataFrame | None:
    group = _group(file, DRIFTING_GRATINGS)
    if group is None:
        return None
    features = [_text(name) for name in group["features"][()]] if "features" in group else []
    values = np.asarray(group["data"][()], np.float64)
    lacking = [name for name in ("orientation", "temporal_frequency", "blank_sweep") if name not in features]
    if lacking or values.shape[1] != len(features):
        raise SourceError(
            f"{group.name} has the features {', '.join(features) or 'none'} for {values.shape[1]} columns; "
            "orientation, temporal_frequency and blank_sweep were expected."
        )
    frames = _frames(group)
    return presentation_rows(
        DRIFTING_GRATINGS,
        frames[:, 0],
        frames[:, 1],
        time_s,
        direction_deg=values[:, features.index("orientation")],
        temporal_frequency_hz=values[:, features.index("temporal_frequency")],
        blank=values[:, features.index("blank_sweep")] == 1,
    )


def _movie(file: h5py.File, time_s: npt.NDArray[np.float64]) -> pd.DataFrame | None:
    group = _group(file, NATURAL_MOVIE_ONE)
    if group is None:
        return None
    frames = _frames(group)
    order = np.lexsort((frames[:, 1], frames[:, 0]))
    shown = np.asarray(group["data"][()]).astype(np.int64).reshape(-1)[order]
    repeat = pd.Series(shown).groupby(shown).cumcount().to_numpy()
    return presentation_rows(
        NATURAL_MOVIE_ONE, frames[order, 0], frames[order, 1], time_s, movie_frame=shown, repeat=repeat
    )


def _spontaneous(file: h5py.File, time_s: npt.NDArray[np.float64]) -> pd.DataFrame | None:
    group = _group(file, SPONTANEOUS)
    if group is None:
        return None
    edge = np.asarray(group["data"][()]).reshape(-1)
    frames = _frames(group)
    start, stop = frames[edge == 1, 0], frames[edge == -1, 0]
    if len(start) != len(stop):
        raise SourceError(f"{group.name} has {len(start)} starts and {len(stop)} ends; they must come in pairs.")
    return presentation_rows(SPONTANEOUS, start, stop, time_s)


_TABLES: tuple[Callable[[h5py.File, npt.NDArray[np.float64]], pd.DataFrame | None], ...] = (
    _gratings,
    _movie,
    _spontaneous,
)


def _frames(group: h5py.Group) -> npt.NDArray[np.int64]:
    # AllenSDK truncates towards zero; stored values are whole frames, sometimes as floats.
    return np.asarray(group["frame_duration"][()]).astype(np.int64)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _leading_number(text: str) -> float:
    number = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    return float(number.group(1)) if number else float("nan")
