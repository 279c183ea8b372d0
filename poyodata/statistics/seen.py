"""What statistics see of one recording: stretches of the time they may look at, with what they declare and no more."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import UsageError
from poyodata.statistics.behaviour import at_frames
from poyodata.statistics.pieces import Piece
from poyodata.statistics.statistic import Statistic, Stretch
from poyodata.store.tables import empty_table

if TYPE_CHECKING:
    from poyodata.store import Store

FloatArray = npt.NDArray[np.float64]


@cache
def _no_trials() -> pd.DataFrame:
    return empty_table("presentations")


class Seen:
    """One recording through the eyes of statistics: read once, however many of them look."""

    def __init__(self, store: Store, piece: Piece) -> None:
        self._store, self._piece = store, piece
        # Of this object alone: gone with it.
        self._traces_within = cache(self._slice)
        self._trials_within = cache(self._cut_trials)
        self._signal_within = cache(self._cut_signal)
        self._signal = cache(self._read_signal)

    @cached_property
    def traces(self) -> npt.NDArray[np.float32]:
        """Every trace, mapped: shape (time, neuron), float32, dF/F."""
        return self._store.traces(self._piece.session_id)

    def stretches(self, statistic: Statistic) -> list[Stretch]:
        """All that a statistic sees of the recording; an empty stretch where that is nothing."""
        return [self.stretch(statistic, start, stop) for start, stop in self._piece.spans_of(statistic).tolist()]

    def stretch(self, statistic: Statistic, start: int, stop: int) -> Stretch:
        """One contiguous piece of the recording, with labels and behaviour where the statistic declares them."""
        signals = {name: self._signal_within(name, start, stop) for name in statistic.signals}
        return Stretch(
            traces=self._traces_within(start, stop),
            trials=self._trials_within(start, stop) if statistic.uses_labels else _no_trials(),
            rate_hz=self._piece.rate_hz,
            start_frame=start,
            neurons=self._piece.neurons,
            signals={name: values for name, values in signals.items() if values is not None},
        )

    def block(self, start: int, stop: int) -> Stretch:
        """Traces alone, of any time: for the states of blocks, of which only those within a span are used."""
        return Stretch(
            traces=self.traces[start:stop],
            trials=_no_trials(),
            rate_hz=self._piece.rate_hz,
            start_frame=start,
            neurons=self._piece.neurons,
        )

    def _slice(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        return self.traces[start:stop]

    @cached_property
    def _trials(self) -> tuple[pd.DataFrame, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        trials = self._store.presentations_of(self._piece.session_id)
        return trials, trials["start_frame"].to_numpy(np.int64), trials["stop_frame"].to_numpy(np.int64)

    def _cut_trials(self, start: int, stop: int) -> pd.DataFrame:
        trials, starts, stops = self._trials
        inside = np.flatnonzero((starts >= start) & (stops <= stop))
        return trials.iloc[inside].assign(start_frame=starts[inside] - start, stop_frame=stops[inside] - start)

    @cached_property
    def _time_s(self) -> FloatArray:
        return self._store.time_s(self._piece.session_id)

    def _read_signal(self, name: str) -> tuple[FloatArray, FloatArray] | None:
        try:
            return self._store.signal(self._piece.session_id, name)
        except UsageError:
            return None  # a recording without eye tracking, say: statistics that want it give NaN

    def _cut_signal(self, name: str, start: int, stop: int) -> FloatArray | None:
        """Give a signal at the times of a stretch's frames, from samples taken within it: none of test time."""
        signal = self._signal(name)
        if signal is None:
            return None
        if start == stop:
            return np.empty(0)
        values, sample_s = signal
        frame_s = self._time_s[start:stop]
        own = (sample_s >= frame_s[0]) & (sample_s <= frame_s[-1])
        return at_frames(values[own], sample_s[own], frame_s)
