"""`prefetched`: the next batches are made in a thread while the model works on this one.

The gather holds no lock of the interpreter, so one thread is enough; order and values are those without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Batches that wait at most: one is being eaten while the next is ready."""


class _End:
    """Why the thread stopped: an error, or nothing more to make."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetched(make: Callable[[int], T], start: int, stop: int, depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield ``make(start), ..., make(stop - 1)``, made ahead in a thread.

    The thread begins with the first item asked for, and is gone when the iterator is exhausted, closed or collected.

    Parameters
    ----------
    make : callable
        Called in the thread, one number after the other.
    start, stop : int
    depth : int
        Items that wait at most.

    Raises
    ------
    Exception
        What `make` raised, where its item would have come.

    Examples
    --------
    >>> list(prefetched(lambda number: number**2, 2, 5))
    [4, 9, 16]
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=max(1, depth))
    closed = threading.Event()

    def put(item: Any) -> bool:
        while not closed.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for number in range(start, stop):
                if closed.is_set() or not put(make(number)):
                    return
            put(_End())
        except BaseException as error:
            put(_End(error))

    # A daemon: an iterator that nobody closes must not keep the interpreter from ending.
    thread = threading.Thread(target=work, name="poyodata-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item  # the buffers of a batch are free as soon as its reader lets go of it
    finally:
        closed.set()
        with suppress(queue.Empty):
            while True:
                ready.get_nowait()
        thread.join()
