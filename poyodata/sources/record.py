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
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_MOVIE_ONE, SPONTANEOUS

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
}
"""Columns every source gives for `SessionRecord.neurons`; a source may add more."""

STIMULI: tuple[str, ...] = (
    DRIFTING_GRATINGS,
    NATURAL_MOVIE_ONE,
    "natural_movie_two",
    "natural_movie_three",
    "natural_scenes",
    "static_gratings",
    "locally_sparse_noise",
    SPONTANEOUS,
)
"""Stimuli of the Allen Brain Observatory. Others are welcome, but not names that look like a slip in one of these."""


@dataclass(frozen=True, kw_only=True)
class SessionMetadata:
    """Who was recorded, where and how. Missing texts are ``""``, missing numbers NaN.

    ``donor_id`` is the mouse, ``container_id`` the imaging site, ``session_id`` the recording. All are texts.
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
    signals : mapping of name to Signal
    templates : mapping of stimulus name to callable returning ndarray, shape (frame, height, width), uint8
    source_digest : str
        Digest of the file or files this was read from.
    """

    metadata: SessionMetadata
    neurons: pd.DataFrame
    time_s: npt.NDArray[np.float64]
    segments: Intervals
    presentations: pd.DataFrame
    read_traces: Callable[[int, int], FloatArray]
    source_digest: str
    signals: Mapping[str, Signal] = field(default_factory=dict)
    templates: Mapping[str, Callable[[], npt.NDArray[np.uint8]]] = field(default_factory=dict)

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

    def blocks(self, rows: int) -> Iterator[FloatArray]:
        """Yield the traces in order, `rows` frames at a time (the last block may be shorter)."""
        for start in range(0, self.n_frames, rows):
            yield self.read_traces(start, min(start + rows, self.n_frames))

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
