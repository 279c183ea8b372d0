"""`TraceSource`: the recordings of a view as one thing that windows are gathered from."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.first_touch import FirstTouch
from poyodata.loaders.gather import FloatArray, IntArray, Layout, UIntArray, gather_batch, survey
from poyodata.loaders.packed import choose_packed
from poyodata.loaders.readahead import Readahead

if TYPE_CHECKING:
    from poyodata.loaders.windows.index import Located
    from poyodata.store import Store

Access = Literal["auto", "mapped", "packed", "memory"]
_ACCESSES = ("auto", "mapped", "packed", "memory")


@dataclass(frozen=True, slots=True)
class Kept:
    """Neurons of each window of a batch.

    Attributes
    ----------
    first, count : ndarray, shape (window,), int64
        Where its neurons begin in `number`, and how many they are.
    number : ndarray, shape (any,), uint64
        Numbers of neurons: rows of ``view.manifest.neurons``.
    everything : bool
        Every window has all selected neurons of its recording.
    """

    first: IntArray
    count: IntArray
    number: UIntArray
    everything: bool


class Extent(NamedTuple):
    """How large a batch is: most neurons, frames and tokens of any window, neurons of all, and fewest frames."""

    n_neurons: int
    n_frames: int
    n_tokens: int
    neurons: int
    least_frames: int


class TraceSource:
    """Traces of the selected neurons of a view, gathered a batch at a time.

    A recording is opened when a window of it is first asked for; making a source opens none. What is opened stays.

    Parameters
    ----------
    view : View
    access : {"auto", "mapped", "packed", "memory"}
        ``mapped``: the store's files, mapped; those of a store at a URL are fetched whole at first touch. ``packed``:
        a packed copy of the diet in the folder `packed`, made now unless it is there. ``memory``: the selected neurons
        of a recording are copied into memory at its first touch. ``auto``: packed where a folder is given and a copy
        pays, else mapped; `explain` says why.
    packed : path, optional
        Folder for the packed copy.
    epochs : int
        How many are going to be read, for the choice.

    Attributes
    ----------
    session_ids : tuple of str
        Those of the view; ``session_index`` counts in them.
    n_neurons, n_frames : ndarray, shape (session,), int64
        Selected neurons, and frames, of each recording.
    first_neuron : ndarray, shape (session,), int64
        Number of the first neuron of each recording, a row of ``view.manifest.neurons``.
    access : str
        What was chosen: ``mapped``, ``packed`` or ``memory``.

    Raises
    ------
    UsageError
        The access is unknown, or ``packed`` without a folder.
    """

    def __init__(
        self, view: View, *, access: Access = "auto", packed: str | Path | None = None, epochs: int = 100
    ) -> None:
        if access not in _ACCESSES:
            raise UsageError(f"there is no access {access!r}: {nearest(access, _ACCESSES)}")
        if access == "packed" and packed is None:
            raise UsageError("access='packed' needs the folder of the packed copy; pass packed=<folder>.")
        self.view = view
        self.session_ids: tuple[str, ...] = view.session_ids
        neurons = view.manifest.neurons
        sessions = view.store.sessions.set_index("session_id").loc[list(self.session_ids)]
        # The manifest's neurons are sorted by (recording, column), and the view's recordings by name.
        edges = np.searchsorted(neurons["session_id"].to_numpy(str), [*self.session_ids])
        self.first_neuron: IntArray = edges.astype(np.int64)
        self.n_neurons: IntArray = np.diff(np.append(self.first_neuron, len(neurons)))
        self.n_frames: IntArray = sessions["n_frames"].to_numpy(np.int64)
        self._columns: UIntArray = neurons["column"].to_numpy(np.uint64)
        self._width: UIntArray = sessions["n_neurons"].to_numpy(np.uint64)
        self._every: UIntArray = np.arange(len(neurons), dtype=np.uint64)
        self._store: Store = view.store
        self._opening = FirstTouch()
        choice = choose_packed(view, access, None if packed is None else Path(packed), epochs)
        self.access = "memory" if access == "memory" else "mapped" if choice.store is None else "packed"
        self._why = choice.why
        if choice.store is not None:
            self._store = choice.store
        if self.access != "mapped":
            self._columns = self._every - np.repeat(self.first_neuron, self.n_neurons).astype(np.uint64)
            self._width = self.n_neurons.astype(np.uint64)
        self._whole: npt.NDArray[np.bool_] = self._width == self.n_neurons.astype(np.uint64)
        self._close()

    def _close(self) -> None:
        self._process = os.getpid()
        self._address: UIntArray = np.zeros(len(self.session_ids), np.uint64)
        self._traces: dict[int, FloatArray] = {}
        self._readahead = Readahead()

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_address", "_traces", "_readahead", "_process")
        return {name: value for name, value in vars(self).items() if name not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._close()

    # -- neurons -------------------------------------------------------------------------------------------------

    def keep(self, session_index: IntArray, positions: Sequence[IntArray] | None = None) -> Kept:
        """Say which neurons the windows of a batch take.

        Parameters
        ----------
        session_index : ndarray, shape (window,), int64
        positions : sequence of ndarray of int64, optional
            For each window, which of the selected neurons of its recording, 0 to ``n_neurons - 1``, in the order in
            which they are wanted; by default all. These are not trace columns.

        Raises
        ------
        LoaderError
            There is no such neuron, or not one array a window.
        """
        first = self.first_neuron[session_index]
        if positions is None:
            return Kept(first, self.n_neurons[session_index], self._every, True)
        count = np.fromiter(map(len, positions), np.int64, len(positions))
        if len(count) != len(session_index):
            raise LoaderError(f"{len(session_index)} windows came with neurons for {len(count)}; give one array each.")
        chosen = np.concatenate(positions) if len(positions) else np.empty(0, np.int64)
        if len(chosen) and (chosen.min() < 0 or (chosen >= np.repeat(self.n_neurons[session_index], count)).any()):
            raise LoaderError(
                "a window was to keep a neuron that its recording does not have; positions count the selected neurons "
                "of a recording from 0, and are no trace columns."
            )
        number = (chosen + np.repeat(first, count)).astype(np.uint64)
        return Kept(np.cumsum(count) - count, count, number, False)

    # -- windows -------------------------------------------------------------------------------------------------

    def gather(
        self,
        located: Located,
        out: FloatArray,
        *,
        layout: Layout = "neuron",
        kept: Kept | Sequence[IntArray] | None = None,
        shift: FloatArray | None = None,
        scale: FloatArray | None = None,
        extent: Extent | None = None,
    ) -> None:
        """Write the windows of a batch into an array: one compiled call, without the interpreter's lock.

        Parameters
        ----------
        located : Located
            ``session_index``, ``start`` and ``length`` of every window.
        out : ndarray, float32, C order
            Layout ``neuron``: shape (window, neuron, time), or jagged (all neurons of all windows, time). Layout
            ``time``: (window, time, neuron), or as tokens (window, time * neuron). Where it is larger than a window,
            the rest becomes 0.
        layout : {"neuron", "time"}
            With all columns of a recording kept, ``time`` is a plain copy.
        kept : Kept or sequence of ndarray, optional
            From `keep`, or the positions that it takes; by default all selected neurons.
        shift, scale : ndarray, shape (neuron of the manifest,), float32, optional
            Both or neither: ``(dff - shift) * scale`` is written.
        extent : Extent, optional
            What `extent` said of these windows and neurons; by default it is asked.

        Raises
        ------
        LoaderError
            A window is not within its recording, `out` is too small, a file was truncated, or a forked process asks
            for what only the process that made this can read.
        StoreError
            A file is missing or damaged.
        """
        session = located.session_index
        if not isinstance(kept, Kept):
            kept = self.keep(session, kept)
        self._require_room(extent or self.extent(located, kept), out, layout, len(session))
        self._require_scaling(shift, scale)
        self._readahead.announce(located, self._width)
        rows = kept.count if out.ndim == 2 else np.full(len(session), out.shape[1 if layout == "neuron" else 2])
        gather_batch(
            self._address,
            self._width,
            session,
            located.start,
            located.length,
            kept.first,
            kept.count,
            kept.number,
            self._columns,
            out,
            rows,
            layout=layout,
            shift=shift,
            scale=scale,
            whole=self._whole if kept.everything else None,
        )
        self._readahead.learn()

    def extent(self, located: Located, kept: Kept) -> Extent:
        """Say how large a batch is; every window is within its recording, and every recording open, when this returns.

        Parameters
        ----------
        located : Located
        kept : Kept

        Raises
        ------
        LoaderError, StoreError
            As for `gather`.
        """
        if os.getpid() != self._process:
            self._require_shared()
        session, start, length = located.session_index, located.start, located.length
        outside, closed, *most = survey(session, start, length, kept.count, self.n_frames, self._address)
        if outside >= 0:
            raise LoaderError(self._where(int(session[outside]), int(start[outside]), int(length[outside])))
        if closed >= 0:
            for number in np.unique(session).tolist():
                if self._address[number] == 0:
                    self._open(number)
        return Extent(*most)

    def _where(self, session: int, start: int, length: int) -> str:
        if not 0 <= session < len(self.session_ids):
            return f"a window of recording number {session} was asked for; there are {len(self.session_ids)}."
        return (
            f"a window of frames {start} to {start + length} was asked for of recording "
            f"{self.session_ids[session]!r}, which has frames 0 to {self.n_frames[session]}."
        )

    def _require_room(self, extent: Extent, out: FloatArray, layout: Layout, n_windows: int) -> None:
        if layout == "neuron":
            needed = (extent.neurons, extent.n_frames) if out.ndim == 2 else (n_windows, *extent[:2])
        else:
            needed = (n_windows, extent.n_tokens) if out.ndim == 2 else (n_windows, extent.n_frames, extent.n_neurons)
        fits = out.ndim == len(needed) and out.shape[0] == needed[0]
        if not fits or any(map(int.__lt__, out.shape, needed)) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise LoaderError(
                f"{n_windows} windows of up to {extent.n_neurons} neurons and {extent.n_frames} frames do not go into "
                f"an array of shape {out.shape} and dtype {out.dtype} in layout {layout!r}; float32 in C order is "
                f"needed, of shape {needed} or larger."
            )

    def _require_scaling(self, shift: FloatArray | None, scale: FloatArray | None) -> None:
        if (shift is None) != (scale is None):
            raise LoaderError("shift and scale come together: pass both or neither.")
        for name, values in (("shift", shift), ("scale", scale)):
            if values is not None and (values.shape != self._every.shape or values.dtype != np.float32):
                raise LoaderError(
                    f"{name} has shape {values.shape} and dtype {values.dtype}; one float32 for each of the "
                    f"{len(self._every)} neurons of the manifest is needed."
                )

    # -- recordings ----------------------------------------------------------------------------------------------

    def traces(self, session_index: int) -> FloatArray:
        """Traces of a recording as this source reads them, opened if it was not: (time, column), float32."""
        if os.getpid() != self._process:
            self._require_shared()
        if session_index not in self._traces:
            self._open(session_index)
        return self._traces[session_index]

    def _open(self, number: int) -> None:
        with self._opening:
            if number not in self._traces:
                self._open_alone(number)

    def _open_alone(self, number: int) -> None:
        session_id = self.session_ids[number]
        try:
            traces: FloatArray = np.asarray(self._store.traces(session_id))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise LoaderError(
                f"the {len(self._traces) + 1}th recording cannot be opened: this process may have no more open files, "
                "and a mapped recording is one. Raise the limit (`ulimit -n 4096`), or pass access='memory'."
            ) from error
        mapping = _mapping(traces)
        if mapping is not None and mapping.size() < traces.nbytes:
            raise LoaderError(
                f"the file of recording {session_id!r} was cut to {mapping.size()} bytes of {traces.nbytes} since it "
                "was opened; restore it from a copy and open the store again."
            )
        if self.access == "memory":
            first = self.first_neuron[number]
            columns = self.view.manifest.neurons["column"].to_numpy(np.int64)
            traces = np.take(traces, columns[first : first + self.n_neurons[number]], axis=1)
            mapping = None
        expected = (int(self.n_frames[number]), int(self._width[number]))
        if traces.shape != expected or traces.dtype != np.float32 or not traces.flags.c_contiguous:
            raise LoaderError(
                f"recording {session_id!r} has traces of shape {traces.shape} and dtype {traces.dtype}, the store's "
                f"tables say {expected} and float32; run `poyodata verify {self._store.path}`."
            )
        self._readahead.add(number, traces, mapping)
        self._traces[number] = traces
        self._address[number] = traces.ctypes.data  # last: other threads read as soon as it is there

    def _require_shared(self) -> None:
        """In a forked child, raise unless everything is mapped from files of this machine."""
        remote = self._store.cache_folder is not None
        if remote or self.access == "memory":
            what = "a store at a URL" if remote else "access='memory'"
            raise LoaderError(
                f"this process was forked from the one that made the loader, and {what} is not for forked processes: "
                "a fetch in progress or a lock would hang. Use num_workers=0 or multiprocessing_context='spawn', or a "
                "store on this machine with access='mapped'."
            )
        self._process = os.getpid()

    def explain(self) -> str:
        """Say how traces are read, and why."""
        how = {
            "mapped": f"mapped from {self._store.path}",
            "packed": f"mapped from the packed copy {self._store.path}",
            "memory": f"copied into memory from {self._store.path}",
        }
        opened = f"{len(self._traces):,} of {len(self.session_ids):,} recordings are open"
        return f"Traces are {how[self.access]}: {self._why} {opened}."


def _mapping(traces: npt.NDArray[Any]) -> mmap.mmap | None:
    """The map of a file that an array lies in, if it does."""
    base: Any = traces
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
