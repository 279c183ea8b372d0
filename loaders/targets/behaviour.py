"""What the mouse did: running speed, pupil and every other signal of a store, at the frames of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from numba import carray

from poyodata.compiling import compiled
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.first_touch import FirstTouch
from poyodata.loaders.gather import pointer_of
from poyodata.loaders.targets.target import IntArray, Places, TargetColumn, Windows, frame_numbers, require_checked
from poyodata.store.signals import at_frames

if TYPE_CHECKING:
    from poyodata.curation.view import View
    from poyodata.store import Store

Over = Literal["mean", "centre", "start", "all"]
Lacking = Literal["refuse", "nan"]

RUNNING_SPEED = "running_speed"
PUPIL_AREA = "pupil_area_px"
_UNITS: Mapping[str, str] = MappingProxyType({RUNNING_SPEED: "cm/s", PUPIL_AREA: "px^2"})


class BehaviourTarget:
    """A behavioural signal at the frames of windows.

    The signal has its own clock. It is brought to the timestamps of the imaging frames once for a recording, by linear
    interpolation between samples (`poyodata.store.signals.at_frames`): a sample at the very time of a frame is given as
    it is; a frame is NaN before the first sample and after the last, beside a missing sample (a blink), and where
    samples are more than 1 s apart. Frames are integers from then on.

    Column ``<name>`` float32. `over` ``mean``: the mean over those frames ``start`` to ``start + length - 1`` of the
    window at which the signal is known, NaN where it is at none. ``centre``: at frame ``start + length // 2``.
    ``start``: at the first frame. ``all``: at every frame, shape (batch, time).

    Of a recording, the signal is read when a window of it is first asked for; 4 bytes a frame are kept, 0.46 MB for
    64 minutes at 30 Hz.

    Parameters
    ----------
    view : View
    signal : str
        Name in the store.
    over : {"mean", "centre", "start", "all"}
    lacking : {"refuse", "nan"}
        What `check` does with recordings that have no such signal.
    name : str
        In the batch.

    Raises
    ------
    UsageError
        For an unknown `over` or `lacking`.
    """

    def __init__(
        self,
        view: View,
        *,
        signal: str = RUNNING_SPEED,
        over: Over = "mean",
        lacking: Lacking = "refuse",
        name: str = "running",
    ) -> None:
        for option, value, known in (("over", over, get_args(Over)), ("lacking", lacking, get_args(Lacking))):
            if value not in known:
                raise UsageError(f"{option}={value!r} of target {name!r}: {nearest(str(value), known)}")
        self.name = name
        self.signal = signal
        self._view = view
        self._over = over
        self._lacking = lacking
        self._session_ids: tuple[str, ...] | None = None
        self._without: frozenset[str] = frozenset()
        self._reading = FirstTouch()
        self._forget()

    def _forget(self) -> None:
        """Begin as if nothing was read yet."""
        count = len(self._session_ids or ())
        self._values: dict[str, npt.NDArray[np.float32]] = {}
        self._address = np.zeros(count, np.uint64)
        self._n_frames: IntArray = np.zeros(count, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        # Addresses are of this process alone; another one reads what it needs itself.
        return {**self.__dict__, "_values": {}, "_address": np.zeros_like(self._address)}

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        """Arrays that it adds to a batch."""
        shape = "(batch, time)" if self._over == "all" else "(batch,)"
        return {self.name: TargetColumn("float32", shape, _UNITS.get(self.signal, self.signal.rsplit("_", 1)[-1]))}

    def check(self, view: View, index: Windows) -> None:
        """Take the index; see `Target.check`.

        Raises
        ------
        LoaderError
            When a recording of the windows has no such signal (`lacking` ``refuse``), or none has.
        """
        met = np.unique(index.session_index)
        sessions = [index.session_ids[at] for at in met.tolist()]
        known = {session_id: signal_names(view.store, session_id) for session_id in sessions}
        without = [session_id for session_id in sessions if self.signal not in known[session_id]]
        if without and (self._lacking == "refuse" or len(without) == len(sessions)):
            windows = np.bincount(index.session_index, weights=index.count, minlength=len(index.session_ids))
            lost = int(sum(windows[index.session_ids.index(session_id)] for session_id in without))
            others = sorted({name for names in known.values() for name in names})
            advice = (
                f"Signals that there are: {', '.join(others) or 'none'}; leave the target out."
                if len(without) == len(sessions)
                else "Leave these recordings out of the diet, or give lacking='nan' for NaN in their windows."
            )
            raise LoaderError(
                f"target {self.name!r}: {len(without)} of {len(sessions)} recordings have no signal {self.signal!r} "
                f"({', '.join(without[:3])}{' ...' if len(without) > 3 else ''}), which is {lost:,} of "
                f"{int(index.count.sum()):,} windows. {advice}"
            )
        self._session_ids, self._without = tuple(index.session_ids), frozenset(without)
        self._forget()

    def of(self, located: Places) -> dict[str, npt.NDArray[Any]]:
        """Signal of windows; see `Target.of`."""
        require_checked(self._session_ids, self.name)
        start, length, sessions = located.start, located.length, located.session_index
        shape: tuple[int, ...] = (len(start),)
        if self._over == "all":
            shape = (len(start), len(frame_numbers(located, self.name)))
        found = np.empty(shape, np.float32)
        for at in np.unique(sessions[self._address[sessions] == 0]).tolist():
            values = self.of_frames((self._session_ids or ())[at])
            self._n_frames[at] = len(values)
            self._address[at] = values.ctypes.data  # last: other threads read as soon as it is there
        if ((start < 0) | (start + length > self._n_frames[sessions])).any():
            raise LoaderError(f"target {self.name!r} was asked for windows beyond the frames of a recording.")
        if self._over == "mean":
            _means(self._address, sessions, start, length, found)
        else:
            first = start + length // 2 if self._over == "centre" else start
            _values(self._address, sessions, first, found.reshape(len(start), -1))
        return {self.name: found}

    def of_frames(self, session_id: str) -> npt.NDArray[np.float32]:
        """The signal at every frame of a recording, shape (time,), float32; NaN throughout where it has none."""
        with self._reading:
            if session_id not in self._values:
                store = self._view.store
                time_s = store.time_s(session_id)
                if session_id in self._without:
                    values = np.full(len(time_s), np.nan)
                else:
                    values = at_frames(*store.signal(session_id, self.signal), time_s)
                self._values[session_id] = values.astype(np.float32)
            return self._values[session_id]


@compiled()
def _means(address: Any, session: Any, start: Any, length: Any, out: Any) -> None:
    for b in range(len(session)):
        stop = start[b] + length[b]
        values = carray(pointer_of(address[session[b]]), (stop,))
        total, count = 0.0, 0
        for frame in range(start[b], stop):
            if np.isfinite(values[frame]):
                total += values[frame]
                count += 1
        out[b] = total / count if count else np.nan


@compiled()
def _values(address: Any, session: Any, first: Any, out: Any) -> None:
    n_time = out.shape[1]
    for b in range(len(session)):
        values = carray(pointer_of(address[session[b]]), (first[b] + n_time,))
        for t in range(n_time):
            out[b, t] = values[first[b] + t]


def signal_names(store: Store, session_id: str) -> frozenset[str]:
    """Names of the signals that a recording has; about 1 ms, and no sample is read."""
    digests = store.digests_of(session_id)
    names = digests.loc[(digests["kind"] == "part").to_numpy(bool), "name"].tolist()
    return frozenset(name.removeprefix("signal:") for name in names if name.startswith("signal:"))


BEHAVIOUR: Mapping[str, Callable[..., BehaviourTarget]] = MappingProxyType(
    {
        "running": BehaviourTarget,
        "pupil": partial(BehaviourTarget, signal=PUPIL_AREA, name="pupil"),
        "signal": partial(BehaviourTarget, name="signal"),
    }
)
"""Targets of behaviour by name; ``signal`` is any other signal of the store."""
