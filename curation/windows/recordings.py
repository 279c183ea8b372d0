"""The recordings whose time a diet eats: their tables on one common axis of frames, and the store behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.windows.behaviour import HoldsSignals
from poyodata.intervals import Intervals

STRIDE = 2**40
"""Frames set aside for each recording on the common axis, so that one interval operation serves all recordings."""


class HoldsPresentations(HoldsSignals, Protocol):
    """What is asked of a store."""

    def presentations_of(self, session_id: str | Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Presentations of one recording, or of some, of these columns alone."""


@dataclass(frozen=True)
class Recordings:
    """The recordings that hold a kept neuron: small tables of a store, and the store for the rest.

    Attributes
    ----------
    sessions : DataFrame with session_id, rate_hz
    epochs, segments : DataFrame
        As in the store; rows of other recordings are left out here.
    roles : DataFrame with session_id, start_frame, stop_frame, role
        Windows of the split.
    store : HoldsPresentations
        Presentations, timestamps and signals are read from it, of what a condition names and recording by recording.
    """

    sessions: pd.DataFrame
    epochs: pd.DataFrame
    segments: pd.DataFrame
    roles: pd.DataFrame
    store: HoldsPresentations

    def place(self, table: pd.DataFrame) -> tuple[pd.DataFrame, Intervals]:
        """Rows of the recordings at hand in order of time, and where they lie on the common axis."""
        rows = table[table["session_id"].isin(self.sessions["session_id"])]
        frames = self.frames_of(rows)
        order = np.argsort(frames[:, 0], kind="stable")
        return rows.iloc[order].reset_index(drop=True), frames[order]

    def frames_of(self, rows: pd.DataFrame) -> Intervals:
        """Where rows of the recordings at hand lie on the common axis, in the order they are in."""
        # Each name once: looking up those of all presentations costs more than reading them.
        of_row, names = pd.factorize(rows["session_id"])
        offset = pd.Index(self.sessions["session_id"]).get_indexer(names).astype(np.int64)[of_row] * STRIDE
        frames: Intervals = rows[["start_frame", "stop_frame"]].to_numpy(np.int64) + offset[:, None]
        return frames


def holder(spans: Intervals, pieces: Intervals) -> npt.NDArray[np.int64]:
    """Index of the span in which each piece begins."""
    return np.maximum(np.searchsorted(spans[:, 0], pieces[:, 0], side="right") - 1, 0).astype(np.int64)


def off_axis(pieces: Intervals) -> Intervals:
    """Frames of their recordings from the common axis."""
    start = pieces[:, 0] % STRIDE
    return np.column_stack([start, start + pieces[:, 1] - pieces[:, 0]])
