"""`SessionRecord`: one recording as every source yields it and as the store takes it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import SourceError
from poyodata.intervals import Intervals
from poyodata.sources.hdf5_arrays import Hdf5Frames
from poyodata.vocabulary import DFF, DRIFTING_GRATINGS, STIMULI

FloatArray = npt.NDArray[np.float32]

PRESENTATION_COLUMNS: Mapping[str, str] = {
    "stimulus": "str",
    "epoch": "int64",  # running number of the stimulus epoch within the recording
    "trial": "int64",  # running number within (recording, stimulus), in time order, blanks counted
    "start_frame": "int64",  # half-open
    "stop_frame": "int64",
    "start_s": "float64",
    "stop_s": "float64",
    "blank": "bool",
    "direction_deg": "float64",  # NaN where it has no meaning
    "temporal_frequency_hz": "float64",
    "orientation_deg": "float64",  # of static gratings; NaN where it has no meaning
    "spatial_frequency_cpd": "float64",
    "phase": "float64",  # part of a cycle
    "image": "int64",  # frame of natural scenes or sparse noise; -1 where it has no meaning
    "movie_frame": "int64",  # -1 where it has no meaning
    "repeat": "int64",  # -1 where it has no meaning
}
"""Columns of `SessionRecord.presentations` and their dtypes: one row for each trial, sweep or movie frame shown."""

NEURON_COLUMNS: Mapping[str, str] = {
    "neuron_id": "str",  # "<session_id>_<cell_specimen_id, or roi_id>": one trace of one recording
    "cell_specimen_id": "Int64",  # the same cell across recordings; <NA> where the source has none
    "roi_id": "Int64",
    "x_um": "float64",  # centre of the region of interest in the imaging plane; NaN where unknown
    "y_um": "float64",
    "valid_roi": "bool",
    "exclusion_label": "str",  # why a region should be left out; "" where it is valid or nobody says
}
"""Columns every source gives for `SessionRecord.neurons`; a source may add more."""


@dataclass(frozen=True, kw_only=True)
class SessionMetadata:
    """Who was recorded, where and how. Missing texts are ``""``, missing numbers NaN.

    ``donor_id`` is the mouse, ``container_id`` the imaging site, ``session_id`` the recording. All are texts.
    ``start_time`` is in ISO 8601 where the source's text can be understood, else that text as it stands. ``device`` and
    ``fov`` are the source's own words about the microscope and the field of view, ``excitation_nm`` is the wavelength
    of its laser, and ``pipeline_version`` names the software that made the traces.
    """

    session_id: str
    donor_id: str
    container_id: str
    cre_line: str
    area: str
    depth_um: float
    session_type: str = ""
    indicator: str = ""
    genotype: str = ""
    sex: str = ""
    age_days: float = float("nan")
    specimen_name: str = ""
    start_time: str = ""
    device: str = ""
    excitation_nm: float = float("nan")
    fov: str = ""
    pipeline_version: str = ""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A behavioural signal with its own clock.

    Attributes
    ----------
    values : ndarray, shape (sample,), float64
    time_s : ndarray, shape (sample,), float64, seconds on the recording's clock
    unit : str
    """

    values: npt.NDArray[np.float64]
    time_s: npt.NDArray[np.float64]
    unit: str


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """One recording, read lazily: tables are here, traces come block by block.

    Attributes
    ----------
    metadata : SessionMetadata
    neurons : DataFrame, one row for each trace column, columns `NEURON_COLUMNS`
    time_s : ndarray, shape (time,), float64, seconds
        True timestamps, strictly increasing.
    segments : ndarray, shape (segment, 2), int64, frames
        Stretches recorded without a gap; they cover every frame. No window ever crosses from one to the next.
    presentations : DataFrame, columns `PRESENTATION_COLUMNS`, sorted by ``start_frame``
    read_traces : callable ``(start_frame, stop_frame) -> ndarray, shape (time, neuron), float32, dF/F``
    source_digest : str
        Digest of the file or files this was read from.
    signals : mapping of name to Signal
    templates : mapping of stimulus name to callable returning frames, shape (frame, height, width), uint8
        An array, or an `Hdf5Frames` that reads the frames it is sliced for.
    further : mapping of name to callable ``(start_frame, stop_frame) -> ndarray, shape (time, neuron), float32``
        Fluorescence behind dF/F, in the file's counts, as far as the source has it: `poyodata.vocabulary.TRACES`.
    masks : list of ndarray, shape (pixel, 2), int16, one for each trace column; or None
        Pixels of every region of interest: x (column) and y (row), row by row.
    max_projection : ndarray, shape (y, x), uint8; or None
        Brightest value that each pixel of the imaging plane had in the recording.
    """

    metadata: SessionMetadata
    neurons: pd.DataFrame
    time_s: npt.NDArray[np.float64]
    segments: Intervals
    presentations: pd.DataFrame
    read_traces: Callable[[int, int], FloatArray]
    source_digest: str
    signals: Mapping[str, Signal] = field(default_factory=dict)
    templates: Mapping[str, Callable[[], npt.NDArray[np.uint8] | Hdf5Frames]] = field(default_factory=dict)
    further: Mapping[str, Callable[[int, int], FloatArray]] = field(default_factory=dict)
    masks: list[npt.NDArray[np.int16]] | None = None
    max_projection: npt.NDArray[np.uint8] | None = None

    @property
    def n_frames(self) -> int:
        """Frames in the recording."""
        return len(self.time_s)

    @property
    def n_neurons(self) -> int:
        """Trace columns in the recording."""
        return len(self.neurons)

    @property
    def rate_hz(self) -> float:
        """Frame rate from the median step between timestamps."""
        return float(1.0 / np.median(np.diff(self.time_s)))

    def blocks(self, rows: int, name: str = DFF) -> Iterator[FloatArray]:
        """Yield traces in order, `rows` frames at a time (the last block may be shorter)."""
        read = self.read_traces if name == DFF else self.further[name]
        for start in range(0, self.n_frames, rows):
            yield read(start, min(start + rows, self.n_frames))

    def check(self) -> SessionRecord:
        """Return self when it is coherent, else say in one sentence what is wrong.

        Raises
        ------
        SourceError
        """
        who = f"recording {self.metadata.session_id!r}"
        if self.n_neurons == 0:
            raise SourceError(f"{who} has no neurons; a recording needs at least one trace.")
        if self.n_frames < 2:
            raise SourceError(f"{who} has {self.n_frames} frames; a recording needs at least two.")
        wrong = ~np.isfinite(self.time_s)
        wrong[1:] |= ~(np.diff(self.time_s) > 0)
        if wrong.any():
            raise SourceError(
                f"{who}: timestamps must be finite and increase; they fail at frame {int(wrong.argmax())}. "
                "Repair the file's timestamps."
            )
        for name, columns, table in (
            ("neurons", NEURON_COLUMNS, self.neurons),
            ("presentations", PRESENTATION_COLUMNS, self.presentations),
        ):
            missing = [column for column in columns if column not in table.columns]
            if missing:
                raise SourceError(f"{who}: table {name} lacks the columns {', '.join(missing)}.")
        if self.neurons["neuron_id"].duplicated().any():
            twice = self.neurons.loc[self.neurons["neuron_id"].duplicated(), "neuron_id"].iloc[0]
            raise SourceError(f"{who}: neuron {twice} stands there twice; every trace needs its own cell or ROI id.")
        excluded = (self.neurons["exclusion_label"].fillna("") != "").to_numpy(bool)
        if (excluded & self.neurons["valid_roi"].to_numpy(bool)).any():
            raise SourceError(
                f"{who}: a region of interest is excluded and valid; valid_roi is False where a label is."
            )
        if self.masks is not None and len(self.masks) != self.n_neurons:
            raise SourceError(f"{who} has {len(self.masks)} masks for {self.n_neurons} traces; each needs its own.")
        image = self.max_projection
        if image is not None and (image.ndim != 2 or image.size == 0 or image.dtype != np.uint8):
            raise SourceError(f"{who}: the maximum projection is {image.shape} {image.dtype}; expected (y, x) uint8.")
        frames = self.presentations
        if len(frames) and (
            (frames["start_frame"] < 0).any()
            or (frames["stop_frame"] > self.n_frames).any()
            or (frames["stop_frame"] <= frames["start_frame"]).any()
        ):
            raise SourceError(
                f"{who}: a stimulus table points outside the {self.n_frames} frames of the traces; "
                "the file is truncated or its stimulus table belongs to another recording."
            )
        _check_stimulus_names(who, frames["stimulus"])
        _check_gratings(who, frames[frames["stimulus"] == DRIFTING_GRATINGS])
        return self


def _check_stimulus_names(who: str, stimulus: pd.Series[str]) -> None:
    """Raise for a name so like a known one that every selection of the known one would silently miss it."""
    for name in stimulus.drop_duplicates():
        close = difflib.get_close_matches(name.casefold(), STIMULI, n=1, cutoff=0.8)
        if close and name not in STIMULI:
            raise SourceError(
                f"{who}: unknown stimulus {name!r}: did you mean {close[0]!r}? A stimulus of another kind needs a name "
                "less like that one."
            )


def _check_gratings(who: str, gratings: pd.DataFrame) -> None:
    """Raise when directions or durations are those of a column mapped wrongly, in radians or in table rows, say."""
    shown = gratings.loc[~gratings["blank"].astype(bool), "direction_deg"].to_numpy(np.float64)
    eighths = np.where(np.isfinite(shown), shown / 45.0, 0.5)  # between two directions, as nothing finite fits
    wrong = np.abs(eighths - np.rint(eighths)) > 1e-6 * np.maximum(1.0, np.abs(eighths))
    if wrong.any():
        raise SourceError(
            f"{who}: {DRIFTING_GRATINGS} has the direction {shown[wrong.argmax()]:g}; directions are multiples of 45 "
            "degrees wherever something was shown: check the mapping's direction_deg (and blank)."
        )
    if len(gratings) and (gratings["stop_frame"] - gratings["start_frame"] == 1).all():
        raise SourceError(
            f"{who}: every presentation of {DRIFTING_GRATINGS} lasts one frame; check stop_frame / duration_frames."
        )


def number_epochs(presentations: pd.DataFrame, break_s: float = 10.0) -> npt.NDArray[np.int64]:
    """Number the stimulus epochs: runs of one stimulus with pauses no longer than `break_s` seconds.

    Parameters
    ----------
    presentations : DataFrame with ``stimulus``, ``start_s``, ``stop_s``, sorted by time
    break_s : float, seconds

    Returns
    -------
    ndarray, shape (presentation,), int64
    """
    if len(presentations) == 0:
        return np.empty(0, np.int64)
    stimulus = presentations["stimulus"].to_numpy()
    pause = presentations["start_s"].to_numpy()[1:] - presentations["stop_s"].to_numpy()[:-1]
    new = np.r_[False, (stimulus[1:] != stimulus[:-1]) | (pause > break_s)]
    return np.cumsum(new).astype(np.int64)
