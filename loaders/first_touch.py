"""`FirstTouch`: a lock around what is opened or read when it is first asked for, by whichever thread comes first."""

from __future__ import annotations

import os
import threading


class FirstTouch:
    """A lock that another process has anew: one that is pickled is open, and so is that of a forked process.

    What is touched is looked for again inside it, since another thread may have been there in the meantime. What other
    threads look at to see that it is there is set last.

    Examples
    --------
    >>> opening = FirstTouch()
    >>> with opening:
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            # The thread that held it, if any did, is not in this process.
            self._lock, self._process = threading.Lock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[FirstTouch], tuple[()]]:
        return FirstTouch, ()
