"""The work on each recording: what time of it may be seen, and what is to be computed of that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from poyodata.errors import StatisticError
from poyodata.intervals import Intervals, as_intervals, intersect
from poyodata.splits import Split
from poyodata.statistics.statistic import Statistic

if TYPE_CHECKING:
    from poyodata.store import Store


@dataclass(frozen=True, eq=False)
class Piece:
    """What a worker is told of one recording.

    Attributes
    ----------
    session_id : str
    digest : str
        Of its content.
    rate_hz : float
    spans : ndarray, shape (span, 2), int64, frames
        The time that statistics may see.
    epochs : mapping of stimulus to ndarray, shape (span, 2), int64, frames
        Of that time, what lies within the epochs of a stimulus; of stimuli that a statistic is restricted to.
    neurons : DataFrame
        Rows of the store's ``neurons``, in the order of the traces.
    points, bounds : tuple of str
        Statistics whose columns are to be computed, and those whose intervals are.
    """

    session_id: str
    digest: str
    rate_hz: float
    spans: Intervals
    epochs: Mapping[str, Intervals]
    neurons: pd.DataFrame
    points: tuple[str, ...]
    bounds: tuple[str, ...]

    def spans_of(self, statistic: Statistic) -> Intervals:
        """Time that this statistic sees; one empty span where that is nothing."""
        spans = self.spans if statistic.during is None else self.epochs[statistic.during]
        return spans if len(spans) else np.zeros((1, 2), np.int64)


def cut_pieces(
    store: Store, sessions: Sequence[str], split: Split | None, statistics: Collection[Statistic], *, bounds: bool
) -> list[Piece]:
    """Cut a store into the recordings to work on.

    Parameters
    ----------
    store : Store
    sessions : sequence of str
        Recordings of the store.
    split : Split or None
        Whose train-role time is seen; None for all time.
    statistics : collection of Statistic
    bounds : bool
        Whether intervals are computed too.

    Raises
    ------
    StatisticError
        When the split gives none of them any train-role time.
    """
    names = tuple(statistic.name for statistic in statistics)
    stimuli = {statistic.during for statistic in statistics if statistic.during is not None}
    of = store.sessions.set_index("session_id").loc[list(sessions), ["digest", "rate_hz"]].to_dict("index")
    # Slices of one sorted table: to pick rows for each of a thousand recordings takes longer than their moments.
    neurons = store.neurons.sort_values(["session_id", "column"], kind="stable", ignore_index=True)
    rows = neurons.groupby("session_id", sort=False).indices
    segments = {} if split is not None else _by_session(store.segments)
    shown = {stimulus: _by_session(store.epochs[store.epochs["stimulus"] == stimulus]) for stimulus in stimuli}
    nothing = np.empty((0, 2), np.int64)
    pieces = []
    for session in sessions:
        spans = segments.get(session, nothing) if split is None else split.train_time(session)
        epochs = {stimulus: as_intervals(known.get(session, nothing)) for stimulus, known in shown.items()}
        pieces.append(
            Piece(
                session,
                str(of[session]["digest"]),
                float(of[session]["rate_hz"]),
                spans,
                {stimulus: intersect(spans, own) for stimulus, own in epochs.items()},
                neurons.iloc[rows[session][0] : rows[session][-1] + 1].reset_index(drop=True),
                names,
                names if bounds else (),
            )
        )
    if split is not None and pieces and not any(len(piece.spans) for piece in pieces):
        raise StatisticError(
            f"split {split.spec.name!r} gives no train-role time to any of the {len(pieces)} recordings asked for, so "
            "there is nothing to look at; choose another split or fold, or other sessions."
        )
    return pieces


def _by_session(table: pd.DataFrame) -> Mapping[str, Intervals]:
    frames = table[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return {str(session): frames[own] for session, own in table.groupby("session_id", sort=False).indices.items()}
