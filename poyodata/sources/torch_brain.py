"""The `torch-brain` source: HDF5 files of torch_brain / brainsets in the layout of its Allen pipeline, through h5py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.intervals import segments_of_time
from poyodata.sources.exported import Exported, read_exported
from poyodata.sources.hdf5 import dataset_of, file_digest, holds, reading, text_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.metadata import complete_metadata
from poyodata.sources.presentations import presentation_table
from poyodata.sources.record import NEURON_COLUMNS, SessionRecord, Signal
from poyodata.sources.recording_mapping import TorchBrainMapping
from poyodata.sources.remote import Place, place_of
from poyodata.sources.stimulus_table import FLOAT_FEATURES, INTEGER_FEATURES, integers, numbers
from poyodata.sources.timing import Clock, timed_presentations
from poyodata.vocabulary import (
    DRIFTING_GRATINGS,
    LOCALLY_SPARSE_NOISE,
    LOCALLY_SPARSE_NOISE_4DEG,
    LOCALLY_SPARSE_NOISE_8DEG,
    NATURAL_MOVIES,
    NATURAL_SCENES,
    SPARSE_NOISE,
    SPONTANEOUS,
    STATIC_GRATINGS,
)

_TRACES = "calcium_traces"
_DFF = f"{_TRACES}/df_over_f"
# Its subject is the imaging container, which is not the mouse: a mouse may have several.
_SUBJECT_IS_CONTAINER = "allen_visual_coding_ophys_2016"
_PIXELS_DEG = {4.65: LOCALLY_SPARSE_NOISE_4DEG, 9.3: LOCALLY_SPARSE_NOISE_8DEG}
_SEXES = {"M": "male", "F": "female", "MALE": "male", "FEMALE": "female"}
_SIGNALS = (
    ("running", "running_speed", 0, "running_speed", "cm/s"),
    ("pupil", "location", 0, "pupil_x_cm", "cm"),
    ("pupil", "location", 1, "pupil_y_cm", "cm"),
    ("pupil", "size", 0, "pupil_area_px", "px"),
)


def read_torch_brain(path: str | Place, mapping: TorchBrainMapping | None = None) -> SessionRecord:
    """Read one file as torch_brain's ``Data.load`` reads it.

    Parameters
    ----------
    path : str, Path or RemoteFile
        A file or a URL.
    mapping : TorchBrainMapping, optional
        What the file does not say: the mouse of a file of torch_brain's Allen pipeline, whose ``subject.id`` is the
        imaging container; the container of others.

    Returns
    -------
    SessionRecord
        With dF/F in blocks, the regular clock that the file keeps (from ``domain`` and ``sampling_rate``), gratings,
        scenes, sparse noise and movies as they are there (blank sweeps are not), grey screen as far as
        ``spontaneous_domain`` tells it, running speed and pupil. There are no templates, masks or cell ids.

    Raises
    ------
    SourceError
        When the file is missing, truncated or of another layout, or does not say what a recording must have.

    Examples
    --------
    >>> read_torch_brain("nowhere.h5")
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.h5 does not exist; give the path of a recording file.
    """
    path = place_of(path)
    mapping = mapping or TorchBrainMapping(mapping=1, source="torch-brain")
    with reading(path) as file:
        return _assemble(file, path, mapping)


def is_torch_brain(file: h5py.File) -> bool:
    """Whether a file is a ``Data`` of torch_brain with calcium traces.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     is_torch_brain(file)
    False
    """
    return text_of(file.attrs.get("object", "")) == "Data" and holds(file, "calcium_traces")


def _assemble(file: h5py.File, path: Place, mapping: TorchBrainMapping) -> SessionRecord:
    if not is_torch_brain(file):
        raise SourceError("it is an HDF5 file but no `Data` of torch_brain with calcium_traces.")
    if not holds(file, _DFF):
        raise SourceError(f"it has no {_DFF}; the layout of torch_brain's Allen pipeline was expected.")
    traces = dataset_of(file, _DFF)
    if traces.ndim != 2 or traces.dtype.kind not in "fiu":
        raise SourceError(f"{_DFF} is {traces.dtype} {traces.shape}; (time, neuron) numbers were expected.")
    n_frames, n_neurons = traces.shape
    clock = _Clock(file, n_frames)
    found, hint = _found(file)
    exported = read_exported(_attribute(file, "brainset", "exported"))
    known = None if exported is None else exported.metadata
    metadata = complete_metadata(found, mapping, str(path), "torch-brain", hint, exported=known)
    return SessionRecord(
        metadata=metadata,
        neurons=_neurons(file, metadata.session_id, n_neurons, exported),
        time_s=clock.time_s,
        segments=segments_of_time(clock.time_s),
        presentations=_presentations(file, clock, mapping, {} if exported is None else exported.stimuli),
        read_traces=Hdf5Traces(path, _DFF, time_axis=0),
        source_digest=file_digest(path),
        signals=_signals(file, clock),
    ).check()


class _Clock:
    """The timestamps of the traces, and the way from the times that a file tells to them.

    A file has an even clock, or timestamps; our own exports have both, all their times being on the even one.
    """

    def __init__(self, file: h5py.File, n_frames: int) -> None:
        self._told: Clock | None = None
        if holds(file, f"{_TRACES}/timestamps"):
            self.time_s = self._stamps(file, "timestamps", n_frames)
            return
        even = _even_clock(file, n_frames)
        self.time_s = even
        if holds(file, f"{_TRACES}/true_timestamps"):
            self.time_s, self._told = self._stamps(file, "true_timestamps", n_frames), even

    def at(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Times on the clock of the traces."""
        if self._told is None or len(self._told) < 2:
            return seconds
        told, true = (np.append(clock, clock[-1] + np.median(np.diff(clock))) for clock in (self._told, self.time_s))
        inside: npt.NDArray[np.float64] = np.interp(seconds, told, true)
        inside += np.minimum(0.0, seconds - told[0]) + np.maximum(0.0, seconds - told[-1])
        return inside

    def _stamps(self, file: h5py.File, name: str, n_frames: int) -> Clock:
        time_s: Clock = values_of(file, f"{_TRACES}/{name}").astype(np.float64).reshape(-1)
        if len(time_s) != n_frames:
            raise SourceError(f"{_TRACES}/{name} has {len(time_s)} times for {n_frames} frames; one each was expected.")
        return time_s


def _even_clock(file: h5py.File, n_frames: int) -> Clock:
    said = _attribute(file, _TRACES, "sampling_rate")
    try:
        rate_hz = float(said)
    except ValueError as error:
        raise SourceError(f"{_TRACES} has the sampling_rate {said!r}; a number above 0 was expected.") from error
    if not 0 < rate_hz < np.inf:
        raise SourceError(f"{_TRACES} has the sampling_rate {rate_hz:g}; a number above 0 was expected.")
    place = f"{_TRACES}/domain/start"
    starts = values_of(file, place).astype(np.float64).reshape(-1) if holds(file, place) else np.zeros(1)
    if len(starts) != 1:
        raise SourceError(f"{_TRACES}/domain has {len(starts)} pieces; one was expected, as an even series has.")
    even: Clock = float(starts[0]) + np.arange(n_frames, dtype=np.float64) / rate_hz
    return even


def _attribute(file: h5py.File, group: str, name: str) -> str:
    return text_of(file[group].attrs.get(name, "")) if holds(file, group) else ""


def _found(file: h5py.File) -> tuple[dict[str, Any], str]:
    """What the file says, by the names of `SessionMetadata`, and a hint for what it does not."""
    subject, said_donor = _attribute(file, "subject", "id"), _attribute(file, "subject", "donor_id")
    said_container = _attribute(file, "session", "container_id") or _attribute(file, "subject", "container_id")
    is_allen = _attribute(file, "brainset", "id") == _SUBJECT_IS_CONTAINER and not said_donor
    line = _attribute(file, "subject", "cre_line")
    sex, age = _attribute(file, "subject", "sex"), _attribute(file, "subject", "age")
    found: dict[str, Any] = {
        "session_id": _attribute(file, "session", "id"),
        "donor_id": said_donor or ("" if is_allen else subject),
        "container_id": said_container or (subject if is_allen else ""),
        "cre_line": line,
        "area": _attribute(file, "device", "target_area"),
        "depth_um": _attribute(file, "device", "imaging_depth"),
        "session_type": _attribute(file, "session", "session_type"),
        "indicator": _attribute(file, "device", "indicator"),
        "genotype": _attribute(file, "subject", "genotype"),
        "sex": _SEXES.get(sex.upper(), sex),
        "age_days": "" if age in ("0.0", "0") else age,
        "specimen_name": _attribute(file, "subject", "specimen_name"),
        "start_time": _attribute(file, "session", "recording_date").replace(" ", "T"),
    }
    hint = ""
    if is_allen:
        hint = (
            f"Its subject.id, {subject}, is the imaging container, and a mouse may have several; a `metadata_table:` "
            "serves many recordings."
        )
    return found, hint


def _neurons(file: h5py.File, session_id: str, count: int, exported: Exported | None) -> pd.DataFrame:
    place = next((name for name in ("rois", "units") if holds(file, f"{name}/id")), None)
    texts = [str(number) for number in range(count)] if place is None else _texts(file, f"{place}/id")
    if len(texts) != count:
        raise SourceError(f"{place}/id has {len(texts)} ids for {count} traces; one for each was expected.")

    def column(name: str) -> npt.NDArray[Any] | None:
        if place is None or not holds(file, f"{place}/{name}"):
            return None
        values = values_of(file, f"{place}/{name}")
        if values.shape[:1] != (count,):
            raise SourceError(f"{place}/{name} has shape {values.shape}; one value for each of {count} was expected.")
        return values

    def ids(name: str) -> Any:
        values = column(name)
        whole = np.full(count, -1) if values is None else integers(values, f"{place}/{name}")
        found = pd.array(whole, dtype="Int64")
        found[whole < 0] = pd.NA
        return found

    def floats(name: str) -> npt.NDArray[np.float64]:
        values = column(name)
        return np.full(count, np.nan) if values is None else numbers(values, f"{place}/{name}")

    cells, rois = ids("cell_specimen_id"), ids("roi_id")
    # Theirs is the id of the region, alone or behind the session's.
    tails = [text.rsplit("_", 1)[-1] for text in texts]
    unnamed = column("cell_specimen_id") is None and column("roi_id") is None
    if unnamed and len(set(tails)) == count and all(re.fullmatch(r"\d{1,18}", tail) for tail in tails):
        rois = pd.array([int(tail) for tail in tails], dtype="Int64")
    rows = zip(cells, rois, texts, strict=True)
    names = [text if pd.isna(cell) and pd.isna(roi) else roi if pd.isna(cell) else cell for cell, roi, text in rows]
    if exported is not None and place is not None:
        neuron_ids = exported.neuron_ids(texts, session_id)
    else:
        # Some files have the session's id before it already.
        neuron_ids = [f"{session_id}_{str(name).removeprefix(f'{session_id}_')}" for name in names]
    valid = column("valid_roi")
    labels = [""] * count if column("exclusion_label") is None else _texts(file, f"{place}/exclusion_label")
    table = pd.DataFrame(
        {
            "neuron_id": neuron_ids,
            "cell_specimen_id": cells,
            "roi_id": rois,
            "x_um": floats("x_um"),
            "y_um": floats("y_um"),
            "valid_roi": [label == "" for label in labels] if valid is None else valid.astype(bool),
            "exclusion_label": pd.Series(labels, dtype="str"),
        },
        columns=list(NEURON_COLUMNS),
    )
    centres = column("imaging_plane_xy")
    if centres is not None and centres.ndim == 2 and centres.shape[1] == 2 and not np.isnan(centres).all():
        # Their x is the row of the mask, in pixels.
        table = table.assign(x_px=centres[:, 1].astype(np.float64), y_px=centres[:, 0].astype(np.float64))
    return table


def _texts(file: h5py.File, name: str) -> list[str]:
    return [text_of(value) for value in values_of(file, name).reshape(-1).tolist()]


def _presentations(
    file: h5py.File, clock: _Clock, mapping: TorchBrainMapping, stimuli: Mapping[str, str]
) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for name in file:
        # Domains tell where windows may be drawn, not what was shown.
        if _attribute(file, name, "object") == "Interval" and name != "domain" and not name.endswith("_domain"):
            parts += _stimulus(_Rows(file, name, clock, stimuli.get(name, name)), clock.time_s, mapping)
    grey = f"{SPONTANEOUS}_domain"
    if SPONTANEOUS not in file and holds(file, f"{grey}/start"):
        rows = _Rows(file, grey, clock, SPONTANEOUS)
        parts.append(timed_presentations(SPONTANEOUS, rows.start, rows.stop, clock.time_s, outside=mapping.outside))
    return presentation_table(parts)


class _Rows:
    """One ``Interval``: a column of each name, one value an interval."""

    def __init__(self, file: h5py.File, name: str, clock: _Clock, stimulus: str) -> None:
        self.file = file
        self.name = name
        self.stimulus = stimulus
        self.start = clock.at(numbers(values_of(file, f"{name}/start"), f"{name}/start"))
        self.stop = clock.at(numbers(self.column("end"), f"{name}/end"))

    def has(self, wanted: str) -> bool:
        return holds(self.file, f"{self.name}/{wanted}")

    def column(self, wanted: str) -> npt.NDArray[Any]:
        if not holds(self.file, f"{self.name}/{wanted}"):
            raise SourceError(f"{self.name} has no {wanted}; the layout of torch_brain's Allen pipeline was expected.")
        values = values_of(self.file, f"{self.name}/{wanted}")
        if values.shape != self.start.shape:
            raise SourceError(
                f"{self.name}/{wanted} has shape {values.shape} and start {self.start.shape}; one each was expected."
            )
        return values

    def floats(self, wanted: str) -> npt.NDArray[np.float64]:
        return numbers(self.column(wanted), f"{self.name}/{wanted}")

    def whole(self, wanted: str) -> npt.NDArray[np.int64]:
        return integers(self.column(wanted), f"{self.name}/{wanted}")


def _stimulus(rows: _Rows, time_s: Clock, mapping: TorchBrainMapping) -> list[pd.DataFrame]:
    columns: dict[str, Any] = {}
    if rows.stimulus == DRIFTING_GRATINGS:
        columns["direction_deg"] = rows.floats("orientation")
        columns["temporal_frequency_hz"] = rows.floats("temporal_frequency")
    elif rows.stimulus == STATIC_GRATINGS:
        columns["orientation_deg"] = rows.floats("orientation")
        columns["spatial_frequency_cpd"] = rows.floats("spatial_frequency")
        columns["phase"] = rows.floats("phase")
    elif rows.stimulus == NATURAL_SCENES:
        columns["image"] = rows.whole("frame") - 1  # theirs count from 1, and 0 is blank
        columns["blank"] = columns["image"] < 0
    elif rows.stimulus == LOCALLY_SPARSE_NOISE and rows.has("pixel_size"):
        return _noise(rows, time_s, mapping)
    elif rows.stimulus in SPARSE_NOISE:
        columns["image"] = rows.whole("frame")
    elif rows.stimulus in NATURAL_MOVIES:
        columns["movie_frame"] = rows.whole("frame")
        columns["repeat"] = rows.whole("repeat") if rows.has("repeat") else _repeats(columns["movie_frame"], rows.start)
    else:
        columns = {name: rows.floats(name) for name in FLOAT_FEATURES if rows.has(name)}
        columns |= {name: rows.whole(name) for name in INTEGER_FEATURES if rows.has(name)}
    if rows.has("blank"):
        columns["blank"] = rows.floats("blank") == 1
    return [timed_presentations(rows.stimulus, rows.start, rows.stop, time_s, outside=mapping.outside, **columns)]


def _repeats(frame: npt.NDArray[np.int64], start_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How often each frame was shown before."""
    order = np.argsort(start_s, kind="stable")
    repeat = np.empty(len(frame), np.int64)
    repeat[order] = pd.Series(frame[order]).groupby(frame[order]).cumcount().to_numpy()
    return repeat


def _noise(rows: _Rows, time_s: Clock, mapping: TorchBrainMapping) -> list[pd.DataFrame]:
    """Sparse noise of their pipeline, which joins the two sizes of session C2 in one table."""
    image, size = rows.whole("frame"), rows.floats("pixel_size")
    sizes = np.unique(size)
    parts = []
    for one in sizes:
        name = rows.stimulus
        if len(sizes) > 1:
            name = next((of for deg, of in _PIXELS_DEG.items() if np.isclose(one, deg)), "")
            if not name:
                raise SourceError(f"{rows.name}/pixel_size has {one:g} degrees; 4.65 and 9.3 were expected.")
        mine = size == one
        columns = {"image": image[mine], "blank": image[mine] < 0}
        start, stop = rows.start[mine], rows.stop[mine]
        parts.append(timed_presentations(name, start, stop, time_s, outside=mapping.outside, **columns))
    return parts


def _signals(file: h5py.File, clock: _Clock) -> dict[str, Signal]:
    wanted = [*_SIGNALS]
    # Our own exports have further signals, each under its own name.
    wanted += [(name, name, 0, name, _unit_of(name)) for name in file if holds(file, f"{name}/{name}")]
    signals: dict[str, Signal] = {}
    for group, name, column, signal, unit in wanted:
        if not holds(file, f"{group}/{name}") or not holds(file, f"{group}/timestamps"):
            continue
        time_s = clock.at(numbers(values_of(file, f"{group}/timestamps").reshape(-1), f"{group}/timestamps"))
        values = values_of(file, f"{group}/{name}")
        if values.shape[:1] != time_s.shape or values.dtype.kind not in "fiu":
            raise SourceError(f"{group}/{name} is {values.dtype} {values.shape} for {len(time_s)} timestamps.")
        flat = values.astype(np.float64).reshape(len(values), -1)
        if column < flat.shape[1]:
            signals[signal] = Signal(values=np.ascontiguousarray(flat[:, column]), time_s=time_s, unit=unit)
    return signals


def _unit_of(name: str) -> str:
    ending = name.rsplit("_", 1)[-1]
    return ending if ending in ("deg", "cm", "px", "um", "hz") else ""
