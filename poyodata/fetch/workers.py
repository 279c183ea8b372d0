"""A few connections at a time, that stop when they are told to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def work_through(
    items: Iterable[Item], work: Callable[[Item], None], *, threads: int, stop: threading.Event
) -> list[Item]:
    """Call `work` on every item, on a few threads.

    Parameters
    ----------
    items : iterable
    work : callable
        Setting `stop` within it ends the work after the items that have begun.
    threads : int
    stop : threading.Event
        Set by the first error, and by Ctrl-C.

    Returns
    -------
    list
        Items that were not begun, because `stop` was set.

    Raises
    ------
    BaseException
        The first error that `work` raised, or KeyboardInterrupt.

    Examples
    --------
    >>> done = []
    >>> work_through([1, 2, 3], done.append, threads=2, stop=threading.Event()), sorted(done)
    ([], [1, 2, 3])
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    errors: list[BaseException] = []

    def run() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work(item)
            except BaseException as error:  # raised again in the calling thread
                errors.append(error)
                stop.set()

    # Daemons: a thread that waits in a silent connection must not hold back a program that was told to end.
    crew = [threading.Thread(target=run, daemon=True) for _ in range(min(threads, max(1, waiting.qsize())))]
    for thread in crew:
        thread.start()
    try:
        for thread in crew:
            while thread.is_alive():
                thread.join(0.1)
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]
    left = []
    while not waiting.empty():
        left.append(waiting.get_nowait())
    return left
