"""What the mouse did and what the time was: columns that window conditions name, read from a store when they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from poyodata.curation.language.window_rule import SIGNALS
from poyodata.errors import UsageError
from poyodata.intervals import Intervals
from poyodata.store.signals import at_frames, mean_within

FloatArray = npt.NDArray[np.float64]


class HoldsSignals(Protocol):
    """What is asked of a store."""

    def time_s(self, session_id: str) -> FloatArray:
        """Timestamps of a recording's frames."""

    def signal(self, session_id: str, name: str) -> tuple[FloatArray, FloatArray]:
        """Values of a signal and their timestamps; `UsageError` where a recording has none."""


@dataclass(frozen=True)
class Behaviour:
    """Time and behaviour of the frames of recordings, each recording read when it is asked for.

    Attributes
    ----------
    store : HoldsSignals
    lacking : dict of str to set of str
        Recordings found without the signal behind a column, by column.
    """

    store: HoldsSignals
    lacking: dict[str, set[str]] = field(default_factory=dict)

    def of_frames(self, session_id: str, columns: Sequence[str]) -> dict[str, FloatArray]:
        """``time_s`` and columns of `SIGNALS` at every frame of a recording.

        Parameters
        ----------
        session_id : str
        columns : sequence of str

        Returns
        -------
        dict of str to ndarray, shape (frame,), float64
            NaN where nothing was measured within `poyodata.store.signals.LONGEST_STEP_S`, and throughout where a
            recording has no such signal.
        """
        time_s = self.store.time_s(session_id)
        return {name: time_s if name == "time_s" else self._signal(session_id, name, time_s) for name in columns}

    def of_windows(
        self, session_id: str, windows: Intervals, columns: Sequence[str], rate_hz: float
    ) -> dict[str, FloatArray]:
        """Times and means of signals of windows of a recording: columns of `TIMES` and `SIGNALS` of `WindowRule`.

        Parameters
        ----------
        session_id : str
        windows : ndarray, shape (window, 2), int64
            Frames; none of them empty.
        columns : sequence of str
        rate_hz : float
            A window ends one frame after the timestamp of its last frame.

        Returns
        -------
        dict of str to ndarray, shape (window,), float64
            The mean is over the frames at which the signal is known: NaN, unknown, where it is at none.
        """
        values = self.of_frames(session_id, ("time_s", *(name for name in columns if name in SIGNALS)))
        time_s = values.pop("time_s")
        start_s, stop_s = time_s[windows[:, 0]], time_s[windows[:, 1] - 1] + 1.0 / rate_hz
        times = {"start_s": start_s, "stop_s": stop_s, "duration_s": stop_s - start_s}
        return {name: times[name] if name in times else mean_within(values[name], windows) for name in columns}

    def warnings(self, n_recordings: int) -> list[str]:
        """One sentence for each column that some recordings do not have."""
        return [
            f"{column} is unknown in {len(found)} of {n_recordings} recordings: they have no signal {SIGNALS[column]!r}"
            for column, found in sorted(self.lacking.items())
            if found
        ]

    def _signal(self, session_id: str, column: str, time_s: FloatArray) -> FloatArray:
        try:
            values, sample_s = self.store.signal(session_id, SIGNALS[column])
        except UsageError:  # a recording without eye tracking, say
            self.lacking.setdefault(column, set()).add(session_id)
            return np.full(len(time_s), np.nan)
        return at_frames(values, sample_s, time_s)
