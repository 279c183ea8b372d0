"""Grating time of one recording, cut out: what real and simulated recordings are compared on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import StatisticError
from poyodata.sources.presentations import presentation_rows
from poyodata.sources.record import number_epochs
from poyodata.vocabulary import DRIFTING_GRATINGS, SPONTANEOUS

if TYPE_CHECKING:
    from poyodata.simulation.recording import SimulatedSession
    from poyodata.sources import SessionRecord

SWEEP_S = 2.0
# What the real recording kept of each block: a little before the first sweep, and until the last has died away.
_BEFORE_S, _AFTER_S = 0.26, 2.8
_TRIAL_COLUMNS = ("start_frame", "direction_deg", "temporal_frequency_hz", "blank")


@dataclass(frozen=True, kw_only=True)
class GratingTime:
    """The stretches of a recording in which drifting gratings were shown, joined.

    Attributes
    ----------
    name, cre_line : str
    rate_hz : float
    dff : ndarray, shape (time, neuron), float32, dF/F
    segments : ndarray, shape (segment, 2), int64, frames of `dff`
        Stretches without a gap, half-open; they cover every frame.
    trials : DataFrame, one row a sweep
        ``start_frame`` (of `dff`), ``direction_deg``, ``temporal_frequency_hz`` (NaN for blanks), ``blank``, ``block``
        (from 0).
    grey : ndarray, shape (time, neuron), float32, dF/F; or None
        The spontaneous epoch; None where the recording has none.
    """

    name: str
    cre_line: str
    rate_hz: float
    dff: npt.NDArray[np.float32]
    segments: npt.NDArray[np.int64]
    trials: pd.DataFrame
    grey: npt.NDArray[np.float32] | None = None

    @property
    def sweep_frames(self) -> int:
        """Frames of one sweep."""
        return round(SWEEP_S * self.rate_hz)

    @property
    def n_neurons(self) -> int:
        """Neurons."""
        return int(self.dff.shape[1])

    @classmethod
    def of_record(cls, record: SessionRecord) -> GratingTime:
        """Cut grating time out of a recording that one of our readers opened.

        Raises
        ------
        StatisticError
            When no drifting grating was shown.
        """
        traces = np.concatenate(list(record.blocks(8192)))
        return _cut(
            record.metadata.session_id,
            record.metadata.cre_line,
            record.rate_hz,
            traces,
            record.segments,
            record.presentations,
        )

    @classmethod
    def of_simulated(cls, session: SimulatedSession) -> GratingTime:
        """Cut grating time out of a simulated recording in memory.

        Raises
        ------
        StatisticError
            When no drifting grating was shown.
        """
        time_s, tables = session.timeline.time_s, session.timeline.tables
        if DRIFTING_GRATINGS not in tables:
            raise _no_gratings(session.metadata.session_id)
        gratings = tables[DRIFTING_GRATINGS]
        rows = [
            presentation_rows(
                DRIFTING_GRATINGS,
                gratings["start"],
                gratings["end"],
                time_s,
                direction_deg=gratings["orientation"],
                temporal_frequency_hz=gratings["temporal_frequency"],
                blank=gratings["blank_sweep"],
            )
        ]
        if SPONTANEOUS in tables:
            grey = tables[SPONTANEOUS]
            rows.append(presentation_rows(SPONTANEOUS, grey["start"], grey["end"], time_s))
        presentations = pd.concat(rows, ignore_index=True).sort_values("start_frame", ignore_index=True)
        presentations["epoch"] = number_epochs(presentations)
        return _cut(
            session.metadata.session_id,
            session.metadata.cre_line,
            session.timeline.rate_hz,
            session.dff.T,
            np.array([[0, len(time_s)]]),
            presentations,
        )


def _cut(
    name: str,
    cre_line: str,
    rate_hz: float,
    traces: npt.NDArray[np.float32],
    segments: npt.NDArray[np.int64],
    presentations: pd.DataFrame,
) -> GratingTime:
    trials = presentations[presentations["stimulus"] == DRIFTING_GRATINGS]
    if not len(trials):
        raise _no_gratings(name)
    pieces = _stretches(trials, segments, rate_hz)
    stop = np.cumsum(pieces[:, 1] - pieces[:, 0])
    start = stop - (pieces[:, 1] - pieces[:, 0])
    onset = trials["start_frame"].to_numpy(np.int64)
    piece = np.searchsorted(pieces[:, 0], onset, side="right") - 1
    # A sweep cut short by the end of a segment is left out.
    whole = onset + round(SWEEP_S * rate_hz) <= pieces[piece, 1]
    kept = trials[list(_TRIAL_COLUMNS)].assign(
        start_frame=onset - pieces[piece, 0] + start[piece], block=pd.factorize(trials["epoch"])[0]
    )
    grey = presentations[presentations["stimulus"] == SPONTANEOUS]
    return GratingTime(
        name=name,
        cre_line=cre_line,
        rate_hz=rate_hz,
        dff=np.ascontiguousarray(np.concatenate([traces[a:b] for a, b in pieces.tolist()])),
        segments=np.stack([start, stop], axis=1),
        trials=kept[whole].reset_index(drop=True),
        grey=_longest(traces, grey) if len(grey) else None,
    )


def _no_gratings(name: str) -> StatisticError:
    return StatisticError(f"recording {name} shows no drifting gratings; realism is measured on a session of type A.")


def _stretches(trials: pd.DataFrame, segments: npt.NDArray[np.int64], rate_hz: float) -> npt.NDArray[np.int64]:
    """Every block of gratings with a little before and after it, split where the recording has a gap."""
    before, after = round(_BEFORE_S * rate_hz), round(_AFTER_S * rate_hz)
    onsets = trials.groupby("epoch")["start_frame"].agg(["min", "max"]).to_numpy(np.int64)
    pieces = [
        (max(first, onset - before), min(stop, last + after))
        for onset, last in onsets.tolist()
        for first, stop in segments.tolist()
        if max(first, onset - before) < min(stop, last + after)
    ]
    return np.array(sorted(pieces), np.int64)


def _longest(traces: npt.NDArray[np.float32], epochs: pd.DataFrame) -> npt.NDArray[np.float32]:
    length = (epochs["stop_frame"] - epochs["start_frame"]).to_numpy(np.int64)
    epoch = epochs.iloc[int(length.argmax())]
    return np.ascontiguousarray(traces[int(epoch["start_frame"]) : int(epoch["stop_frame"])])
