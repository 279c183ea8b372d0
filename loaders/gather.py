"""The window gather: one of the project's two hot loops, one compiled call a batch.

Why it is written like this: a recording is a C-order (time, neuron) matrix in the page cache. A call a window costs
more than the copying of a short one, so a call takes a batch: the recordings come as base addresses, which costs
nothing per recording, and whoever calls keeps their arrays alive. Indices are unsigned and flat: numba checks signed
ones for wrap-around in every access and is slower. One thread without the GIL: on busy cores ``prange`` is many times
slower, and a prefetch thread wants the GIL free. Going down a column of a large matrix, no processor guesses the next
line, so while one window is turned to (neuron, time), the lines of the next are asked for (1.2 to 1.7 times faster);
where rows are copied as they are, a line of each page is enough, which spares waiting for its address (1.1 times).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from poyodata.compiling import compiled

IntArray = npt.NDArray[np.int64]
UIntArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float32]
Layout = Literal["neuron", "time"]

_LINE_BYTES = np.uint64(64)
_PAGE_BYTES = np.uint64(4096)
_ITEM_BYTES = np.uint64(4)


def _as_pointer(_context: Any, _address: Any) -> Any:
    """An address as a pointer to float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.uint64), generate


def _ask_for(_context: Any, _address: Any) -> Any:
    """Ask for the cache line of an address; one that is not there is no fault."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        # To be read (0), to be kept (3), data (1).
        builder.call(fetch, [builder.inttoptr(arguments[0], pointer), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


pointer_of = intrinsic(_as_pointer)
prefetch = intrinsic(_ask_for)


@compiled()
def _by_neuron(
    address: Any,
    width: Any,
    session: Any,
    start: Any,
    length: Any,
    first: Any,
    count: Any,
    neuron: Any,
    columns: Any,
    shift: Any,
    scale: Any,
    out: Any,
    rows: Any,
    n_time: Any,
) -> None:
    n_windows = np.uint64(len(session))
    n_time = np.uint64(n_time)
    scaled = len(shift) > 0
    to = np.uint64(0)
    for b in range(n_windows):
        s = session[b]
        step = width[s]
        stop = np.uint64(length[b])
        begin = np.uint64(start[b]) * step
        flat = carray(pointer_of(address[s]), (begin + stop * step,))
        kept = np.uint64(count[b])
        at = np.uint64(first[b])
        following = min(b + np.uint64(1), n_windows - np.uint64(1))
        row_bytes = width[session[following]] * _ITEM_BYTES
        line = address[session[following]] + np.uint64(start[following]) * row_bytes
        last_line = line + np.uint64(length[following]) * row_bytes
        share = (last_line - line) // max(kept, np.uint64(1)) + np.uint64(1)
        asked = line
        for n in range(kept):
            asked = min(asked + share, last_line)
            while line < asked:
                prefetch(line)
                line += _LINE_BYTES
            k = neuron[at + n]
            base = begin + columns[k]
            if scaled:
                a = shift[k]
                c = scale[k]
                for t in range(stop):
                    out[to + t] = (flat[base + t * step] - a) * c
            else:
                for t in range(stop):
                    out[to + t] = flat[base + t * step]
            for t in range(stop, n_time):
                out[to + t] = np.float32(0)
            to += n_time
        end = to + (np.uint64(rows[b]) - kept) * n_time
        for i in range(to, end):
            out[i] = np.float32(0)
        to = end


@compiled()
def _by_time(
    address: Any,
    width: Any,
    session: Any,
    start: Any,
    length: Any,
    first: Any,
    count: Any,
    neuron: Any,
    columns: Any,
    shift: Any,
    scale: Any,
    out: Any,
    rows: Any,
    window: Any,
    whole: Any,
) -> None:
    n_windows = np.uint64(len(session))
    window = np.uint64(window)
    scaled = len(shift) > 0
    to = np.uint64(0)
    for b in range(n_windows):
        s = session[b]
        step = width[s]
        stop = np.uint64(length[b])
        begin = np.uint64(start[b]) * step
        flat = carray(pointer_of(address[s]), (begin + stop * step,))
        kept = np.uint64(count[b])
        at = np.uint64(first[b])
        row = np.uint64(rows[b])
        following = min(b + np.uint64(1), n_windows - np.uint64(1))
        row_bytes = width[session[following]] * _ITEM_BYTES
        page = address[session[following]] + np.uint64(start[following]) * row_bytes
        last_page = page + np.uint64(length[following]) * row_bytes
        while page < last_page:
            prefetch(page)
            page += _PAGE_BYTES
        if whole[s] and not scaled and kept == row:
            for i in range(stop * step):
                out[to + i] = flat[begin + i]
        else:
            for t in range(stop):
                base = begin + t * step
                line = to + t * row
                if scaled:
                    for n in range(kept):
                        k = neuron[at + n]
                        out[line + n] = (flat[base + columns[k]] - shift[k]) * scale[k]
                elif whole[s]:
                    for n in range(kept):
                        out[line + n] = flat[base + n]
                else:
                    for n in range(kept):
                        out[line + n] = flat[base + columns[neuron[at + n]]]
                for n in range(kept, row):
                    out[line + n] = np.float32(0)
        end = to + window
        for i in range(to + stop * row, end):
            out[i] = np.float32(0)
        to = end


@compiled()
def _number(first: Any, count: Any, neuron: Any, index: Any, mask: Any) -> None:
    width = np.uint64(index.shape[1])
    for b in range(np.uint64(len(first))):
        at = np.uint64(first[b])
        kept = np.uint64(count[b])
        for n in range(kept):
            index[b, n] = np.int64(neuron[at + n] + np.uint64(1))
            mask[b, n] = True
        for n in range(kept, width):
            index[b, n] = 0
            mask[b, n] = False


@compiled()
def survey(session: Any, start: Any, length: Any, count: Any, n_frames: Any, address: Any) -> Any:
    """Look a batch over: seven numbers.

    Parameters
    ----------
    session, start, length, count, address
        As for `gather_batch`; address 0 is a recording that is not open.
    n_frames : ndarray, shape (session,), int64

    Returns
    -------
    outside, closed : int
        First window that is not within its recording, and first of a recording that is not open; -1 for none.
    most_neurons, most_frames, most_tokens : int
        Of any window.
    neurons : int
        Of all windows.
    least_frames : int
        Of any window.

    Examples
    --------
    >>> one = np.array([1])
    >>> survey(np.array([0]), one, one * 5, one * 3, np.array([6]), np.zeros(1, np.uint64))
    (-1, 0, 3, 5, 15, 3, 5)
    """
    outside: Any = np.int64(-1)
    closed: Any = np.int64(-1)
    most_neurons = most_frames = most_tokens = neurons = np.int64(0)
    least_frames = length[0] if len(length) else np.int64(0)
    for b in range(len(session)):
        s = session[b]
        if s < 0 or s >= len(n_frames) or start[b] < 0 or length[b] < 0 or length[b] > n_frames[s] - start[b]:
            outside = b if outside < 0 else outside
        elif address[s] == 0:
            closed = b if closed < 0 else closed
        most_neurons = max(most_neurons, count[b])
        most_frames = max(most_frames, length[b])
        least_frames = min(least_frames, length[b])
        most_tokens = max(most_tokens, length[b] * count[b])
        neurons += count[b]
    return outside, closed, most_neurons, most_frames, most_tokens, neurons, least_frames


_NO_FLOATS: FloatArray = np.empty(0, np.float32)


def gather_batch(
    address: UIntArray,
    width: UIntArray,
    session: IntArray,
    start: IntArray,
    length: IntArray,
    first: IntArray,
    count: IntArray,
    neuron: UIntArray,
    columns: UIntArray,
    out: FloatArray,
    rows: IntArray,
    *,
    layout: Layout = "neuron",
    shift: FloatArray | None = None,
    scale: FloatArray | None = None,
    whole: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Write the windows of a batch into one array. Nothing is checked here: `TraceSource.gather` does it before.

    Parameters
    ----------
    address, width : ndarray, shape (session,), uint64
        Where each recording's (time, neuron) float32 matrix begins in memory, and how many columns it has. Only those
        of `session` are looked at.
    session, start, length : ndarray, shape (window,), int64
        Recording, first frame and frames of each window.
    first, count : ndarray, shape (window,), int64
        Which entries of `neuron` a window takes: from `first` on, `count` of them.
    neuron : ndarray, shape (any,), uint64
        Numbers of neurons: positions in `columns`, `shift` and `scale`.
    columns : ndarray, shape (neuron,), uint64
        Trace column of every neuron, in its own recording.
    out : ndarray, float32, C order
        Layout ``neuron``: (window, neuron, time), or jagged (all neurons of all windows, time). Layout ``time``:
        (window, time, neuron), or as tokens (window, time * neuron). What a window does not fill becomes 0.
    rows : ndarray, shape (window,), int64
        Neurons of each window in `out`, padding included.
    layout : {"neuron", "time"}
    shift, scale : ndarray, shape (neuron,), float32, optional
        Both or neither: ``(value - shift) * scale`` is written.
    whole : ndarray, shape (session,), bool, optional
        With layout ``time``: recordings whose windows here take all columns in order, which are plain copies.

    Examples
    --------
    >>> traces = np.arange(20, dtype=np.float32).reshape(10, 2)
    >>> one, none, two = np.array([0]), np.array([0]), np.array([2])
    >>> out = np.empty((1, 2, 3), np.float32)
    >>> both = np.array([0, 1], np.uint64)
    >>> where = np.array([traces.ctypes.data], np.uint64), np.array([2], np.uint64)
    >>> gather_batch(*where, one, np.array([4]), np.array([3]), none, two, both, both, out, two)
    >>> out[0].tolist()
    [[8.0, 10.0, 12.0], [9.0, 11.0, 13.0]]
    """
    a = _NO_FLOATS if shift is None else shift
    b = _NO_FLOATS if scale is None else scale
    flat = out.reshape(-1)
    if layout == "neuron":
        n_time = out.shape[-1]
        _by_neuron(address, width, session, start, length, first, count, neuron, columns, a, b, flat, rows, n_time)
    else:
        plain = np.zeros(len(width), np.bool_) if whole is None else whole
        window = len(flat) // max(len(out), 1)
        _by_time(address, width, session, start, length, first, count, neuron, columns, a, b, flat, rows, window, plain)


def number_neurons(
    first: IntArray, count: IntArray, neuron: UIntArray, index: IntArray, mask: npt.NDArray[np.bool_]
) -> None:
    """Write 1 + the number of every neuron of a batch into `index`, 0 in padding, and which are neurons into `mask`.

    Parameters
    ----------
    first, count, neuron
        As for `gather_batch`.
    index : ndarray, shape (window, neuron), int64
    mask : ndarray, shape (window, neuron), bool

    Examples
    --------
    >>> index, mask = np.empty((2, 2), np.int64), np.empty((2, 2), bool)
    >>> number_neurons(np.array([3, 0]), np.array([2, 1]), np.arange(9, dtype=np.uint64), index, mask)
    >>> index.tolist(), mask.tolist()
    ([[4, 5], [1, 0]], [[True, True], [True, False]])
    """
    _number(first, count, neuron, index, mask)


@compiled()
def _gather(flat: Any, width: Any, start: Any, columns: Any, shift: Any, scale: Any, out: Any) -> None:
    frames = np.uint64(out.shape[1])
    for n in range(np.uint64(columns.shape[0])):
        column = columns[n]
        a = shift[n]
        b = scale[n]
        base = start * width + column
        for t in range(frames):
            out[n, t] = (flat[base + t * width] - a) * b


def gather(
    traces: npt.NDArray[np.float32],
    start: int,
    columns: npt.NDArray[np.uint64],
    shift: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Write ``(traces[start : start + time, columns] - shift) * scale``, transposed, into `out`: one window.

    Parameters
    ----------
    traces : ndarray, shape (time, neuron), float32, C order
        A memory-mapped recording.
    start : int
        First frame; the caller has checked that ``start + out.shape[1]`` frames are there.
    columns : ndarray, shape (kept neuron,), uint64
    shift, scale : ndarray, shape (kept neuron,), float32
    out : ndarray, shape (kept neuron or more, window frames), float32
        Its first rows are overwritten.
    """
    _gather(traces.reshape(-1), np.uint64(traces.shape[1]), np.uint64(start), columns, shift, scale, out)
