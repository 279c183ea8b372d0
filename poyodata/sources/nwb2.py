"""The `nwb2` source: NWB 2 files with any RoiResponseSeries, through h5py, local or by URL."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.intervals import segments_of_time
from poyodata.sources.baseline import Baseline, BaselineDff, CorrectedFluorescence
from poyodata.sources.exported import read_exported
from poyodata.sources.hdf5 import dataset_of, file_digest, holds, reading, text_of, values_of
from poyodata.sources.metadata import complete_metadata
from poyodata.sources.nwb2_behaviour import read_signals
from poyodata.sources.nwb2_rois import RoiTable, read_masks, read_neurons
from poyodata.sources.nwb2_series import (
    NwbTraces,
    RoiSeries,
    chosen_series,
    clock_of,
    named_series,
    roi_series,
    time_axis_of,
)
from poyodata.sources.nwb2_stimuli import find_templates, read_presentations
from poyodata.sources.record import SessionRecord
from poyodata.sources.recording_mapping import Nwb2Mapping
from poyodata.sources.remote import Place, place_of
from poyodata.sources.timing import rate_of
from poyodata.vocabulary import DFF, TRACES

_log = logging.getLogger(__name__)

TraceReader = Callable[[int, int], npt.NDArray[np.float32]]

_AGE = re.compile(r"P(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?")
# Of the released files: "<experiment>-Stim<kind>". Other people's names may have a "-Stim" of their own.
_DANDI_SESSION = re.compile(r"(\d+)-Stim\w+")
_SEXES = {"M": "male", "F": "female", "U": "", "O": ""}
_DEPTH = re.compile(r"depth(?: of|:)?\s*(\d+(?:\.\d+)?)\s*(?:µm|μm|um|microns?|micrometers?)", re.IGNORECASE)


def read_nwb2(path: str | Place, mapping: Nwb2Mapping | None = None) -> SessionRecord:
    """Read one NWB 2 file.

    Parameters
    ----------
    path : str, Path or RemoteFile
        A file or a URL.
    mapping : Nwb2Mapping, optional
        What the file does not say, and which of several series or tables is meant.

    Returns
    -------
    SessionRecord
        With dF/F in blocks, true timestamps, the stimuli and templates that can be told, ids, masks and labels of the
        regions, the maximum projection where there is one, and the signals that can be told. Files in the layout of
        DANDI 000728 ("Visual Coding - 2p") need no mapping.

    Raises
    ------
    SourceError
        When the file is missing, truncated or of another format, or something that a recording must have is neither in
        it nor in the mapping.

    Examples
    --------
    >>> read_nwb2("nowhere.nwb")
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.nwb does not exist; give the path of a recording file.
    """
    path = place_of(path)
    mapping = mapping or Nwb2Mapping(mapping=1, source="nwb2")
    with reading(path) as file:
        _require_nwb2(file)
        return _assemble(file, path, mapping)


def _assemble(file: h5py.File, path: Place, mapping: Nwb2Mapping) -> SessionRecord:
    series = roi_series(file)
    chosen = chosen_series(series, mapping.traces)
    table = RoiTable.of_series(file, chosen.name)
    count = len(table.rows)
    time_axis, time_s = _clock(file, chosen, count)
    exported = read_exported(_text(file, "scratch/poyodata"))
    # Our own exports are in that layout too, and say so even where nobody knows the container.
    is_allen = exported is not None or _is_visual_coding(file)
    known = None if exported is None else exported.metadata
    metadata = complete_metadata(_found(file, table, is_allen), mapping, str(path), "nwb2", exported=known)
    x_is_row = is_allen if mapping.neurons.mask_x is None else mapping.neurons.mask_x == "row"
    masks = read_masks(table, x_is_row)
    neurons = read_neurons(table, mapping.neurons, metadata.session_id, masks, ids_are_cells=is_allen)
    named = table.found("neuron_id") if exported is not None else None
    if exported is not None and named is not None:
        names = exported.neuron_ids([text_of(name) for name in named], metadata.session_id)
        neurons = neurons.assign(neuron_id=pd.Series(names, dtype="str"))
    stimuli = {} if exported is None else exported.stimuli
    r = _neuropil_r(file, table) if is_allen else None
    traces: TraceReader = NwbTraces(path, file, chosen.name, time_axis, is_dff=mapping.traces.dff is None)
    if mapping.traces.dff is not None:
        traces = _computed(file, path, series, chosen, table, mapping, traces, time_s)
    return SessionRecord(
        metadata=metadata,
        neurons=neurons if r is None else neurons.assign(neuropil_r=r),
        time_s=time_s,
        segments=segments_of_time(time_s),
        presentations=read_presentations(file, time_s, mapping.stimuli, stimuli),
        read_traces=traces,
        source_digest=file_digest(path),
        signals=read_signals(file, mapping.signals),
        templates=find_templates(file, path, mapping.stimuli),
        further=_further(file, path, series, chosen, table, mapping, time_s),
        masks=masks,
        max_projection=_max_projection(file),
    ).check()


def _require_nwb2(file: h5py.File) -> None:
    version = nwb_version(file)
    if version.startswith("2"):
        return
    if version:
        raise SourceError(f"it is an NWB {version} file; NWB 2 was expected (NWB 1.0 is read as `allen-nwb`).")
    raise SourceError("it is an HDF5 file without nwb_version; an NWB 2 file was expected.")


def nwb_version(file: h5py.File) -> str:
    """Version that a file of either kind of NWB claims, such as ``2.7.0`` or ``1.0.6``; empty for other files.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["nwb_version"] = "NWB-1.0.6"
    ...     nwb_version(file)
    '1.0.6'
    """
    inside = isinstance(file.get("nwb_version"), h5py.Dataset)
    said = values_of(file, "nwb_version") if inside else file.attrs.get("nwb_version", "")
    return text_of(said).removeprefix("NWB-")


def _clock(file: h5py.File, chosen: RoiSeries, count: int) -> tuple[int, npt.NDArray[np.float64]]:
    stamps = f"{chosen.name}/timestamps"
    n_timestamps = len(dataset_of(file, stamps)) if holds(file, stamps) else None
    time_axis = time_axis_of(chosen.shape, count, chosen.name, n_timestamps)
    return time_axis, clock_of(file, chosen.name, chosen.shape[time_axis])


def _computed(
    file: h5py.File,
    path: Place,
    series: list[RoiSeries],
    chosen: RoiSeries,
    table: RoiTable,
    mapping: Nwb2Mapping,
    cells: TraceReader,
    time_s: npt.NDArray[np.float64],
) -> BaselineDff:
    """Compute dF/F of fluorescence as `poyodata.sources.baseline` tells."""
    said = mapping.traces.dff
    if said is None or said.baseline is None:
        raise SourceError("traces.dff of the mapping needs `baseline`: maximin, prctile or constant.")
    if said.neuropil is None and said.neucoeff:
        raise SourceError("traces.dff.neucoeff of the mapping needs `neuropil`, the series of it.")
    neuropil: TraceReader | None = None
    if said.neuropil is not None:
        around = named_series(series, said.neuropil)
        unlike = _unlike(file, around, chosen, table, time_s)
        if unlike:
            raise SourceError(f"{unlike}; name a series that goes with it as traces.dff.neuropil of the mapping.")
        neuropil = NwbTraces(path, file, around.name, _clock(file, around, len(table.rows))[0])
    baseline = Baseline().replaced(said)
    corrected = CorrectedFluorescence(cells, neuropil, baseline.neucoeff)
    return BaselineDff(corrected, (len(time_s), len(table.rows)), _rate_hz(file, chosen, time_s), baseline)


def _rate_hz(file: h5py.File, chosen: RoiSeries, time_s: npt.NDArray[np.float64]) -> float:
    """The rate that the file tells, to as many decimals as float32, which NWB asks for, has; else that of the clock."""
    if holds(file, f"{chosen.name}/timestamps"):
        return rate_of(time_s)
    return round(float(dataset_of(file, f"{chosen.name}/starting_time").attrs["rate"]), 6)


def _unlike(
    file: h5py.File, one: RoiSeries, chosen: RoiSeries, table: RoiTable, time_s: npt.NDArray[np.float64]
) -> str:
    """Say why a series does not go with the traces, region by region and frame by frame; empty when it does."""
    if one.shape != chosen.shape:
        return f"{one.name} has shape {one.shape}, and {chosen.name} {chosen.shape}"
    its = RoiTable.of_series(file, one.name)
    if its.name != table.name or not np.array_equal(its.rows, table.rows):
        return f"{one.name} is not of the same regions, in the same order, as {chosen.name}"
    clock = _clock(file, one, len(table.rows))[1]
    if not (np.abs(clock - time_s) < 0.5 / rate_of(time_s)).all():
        return f"{one.name} starts at {clock[0]:g} s and {chosen.name} at {time_s[0]:g} s, or their rates differ"
    return ""


def _further(
    file: h5py.File,
    path: Place,
    series: list[RoiSeries],
    chosen: RoiSeries,
    table: RoiTable,
    mapping: Nwb2Mapping,
    time_s: npt.NDArray[np.float64],
) -> dict[str, TraceReader]:
    """Traces beside dF/F: those that the mapping names, and those whose names are known, if regions and clock agree."""
    known = [name for name in TRACES if name != DFF]
    unknown = [name for name in mapping.further if name not in known]
    if unknown:
        raise SourceError(f"further.{unknown[0]} in the mapping: known traces are {', '.join(known)}.")
    wanted = {name: named_series(series, place) for name, place in mapping.further.items()}
    left_out: dict[str, str] = {}
    for name, one in wanted.items():
        if unlike := _unlike(file, one, chosen, table, time_s):
            raise SourceError(f"{unlike}; correct further.{name} in the mapping.")
    for one in series:
        name = one.name.rsplit("/", 1)[-1].casefold()
        if name in known and name not in wanted and one.shape == chosen.shape and one.name != chosen.name:
            unlike = _unlike(file, one, chosen, table, time_s)
            if unlike:
                left_out[name] = unlike
            else:
                wanted[name] = one
    for name, unlike in left_out.items():
        if name not in wanted:
            _log.warning("%s: %s; it is left out", path, unlike)
    return {
        name: NwbTraces(path, file, wanted[name].name, _clock(file, wanted[name], len(table.rows))[0])
        for name in known
        if name in wanted
    }


def _is_visual_coding(file: h5py.File) -> bool:
    """Whether the file is in the layout of DANDI 000728, whose notes tell container, mouse and session type."""
    return _note(file, "Container ID") != "" and _note(file, "Mouse ID.*") != ""


def _note(file: h5py.File, key: str) -> str:
    notes = _text(file, "general/notes")
    found = re.search(rf"^{key}:[ \t]*(.+)$", notes, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _found(file: h5py.File, table: RoiTable, is_allen: bool) -> dict[str, Any]:
    """What the file says of the recording, by the names of `SessionMetadata`."""
    subject, plane = "general/subject", table.plane()
    genotype = _text(file, f"{subject}/genotype")
    found: dict[str, Any] = {
        "session_id": _text(file, "general/session_id") or _text(file, "identifier"),
        "donor_id": _text(file, f"{subject}/subject_id"),
        "cre_line": genotype,
        "genotype": genotype,
        "area": _text(plane, "location"),
        "indicator": _text(plane, "indicator"),
        "sex": _SEXES.get(_text(file, f"{subject}/sex"), _text(file, f"{subject}/sex")),
        "age_days": _days(_text(file, f"{subject}/age")),
        "start_time": _text(file, "session_start_time"),
    }
    depth = _DEPTH.search(_text(plane, "description"))
    if depth is not None:
        found["depth_um"] = float(depth.group(1))
    if plane is not None and holds(plane, "excitation_lambda"):
        found["excitation_nm"] = float(plane["excitation_lambda"][()])
    if plane is not None and holds(plane, "device"):
        device = plane["device"]
        found["device"] = text_of(device.attrs.get("description", "")) or str(device.name).rsplit("/", 1)[-1]
    if is_allen:
        found |= {
            # The subject is the specimen there, the mouse stands in the notes.
            "session_id": _experiment_of(found["session_id"]),
            "donor_id": _note(file, "Mouse ID.*"),
            "container_id": _note(file, "Container ID"),
            "session_type": _note(file, "Session type"),
            "specimen_name": _text(file, f"{subject}/strain"),
        }
    return found


def _experiment_of(session_id: str) -> str:
    found = _DANDI_SESSION.fullmatch(session_id)
    return session_id if found is None else found.group(1)


def _text(group: h5py.Group | None, name: str) -> str:
    if group is None or not holds(group, name) or not isinstance(group[name], h5py.Dataset):
        return ""
    return text_of(group[name][()])


def _days(age: str) -> float:
    """Days of a duration in ISO 8601, of 365.25 days a year and 30.4375 a month."""
    found = _AGE.fullmatch(age.strip())
    if found is None or not any(found.groups()):
        return float("nan")
    years, months, weeks, days = (float(part or 0) for part in found.groups())
    return years * 365.25 + months * 30.4375 + weeks * 7 + days


def _neuropil_r(file: h5py.File, table: RoiTable) -> npt.NDArray[np.float64] | None:
    column = table.found("neuropil_r")
    if column is not None:
        return column.astype(np.float64)
    name = "processing/ophys/ContaminationRatios/ratios"
    if not holds(file, name):
        return None
    ratios = values_of(file, name).astype(np.float64).reshape(-1)
    return ratios[table.rows] if len(table.rows) and len(ratios) > table.rows.max() else None


def _max_projection(file: h5py.File) -> npt.NDArray[np.uint8] | None:
    """The image among the summary images whose name says maximum, where it is grey with 8 bits."""
    if not holds(file, "processing/ophys"):
        return None
    for group in file["processing/ophys"].values():
        if not isinstance(group, h5py.Group) or text_of(group.attrs.get("neurodata_type", "")) != "Images":
            continue
        for name, image in group.items():
            if "max" not in name.casefold() or not isinstance(image, h5py.Dataset):
                continue
            if image.dtype == np.uint8 and image.ndim == 2 and image.size:
                return np.asarray(image[()])
    return None
