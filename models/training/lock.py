"""One process at a time trains in a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from poyodata.errors import ModelError

LOCK = "training.lock"
"""File in the folder of a run whose lock is held while a process trains there; it stays, and holds nothing by itself.
"""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
_held: set[int] = set()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only process that trains in a folder; the system gives the right back when the process dies.

    Parameters
    ----------
    folder : Path
        Of the run; it is made where it is not there.

    Raises
    ------
    ModelError
        Another process trains there, or the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, alone_in(Path(folder)):
    ...     with alone_in(Path(folder)):
    ...         pass
    Traceback (most recent call last):
    ...
    poyodata.errors.ModelError: another process trains in this folder (process ...
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ModelError(f"cannot write to {folder} ({error.strerror}); make room, or choose another folder") from error
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(handle, 200, 0).decode(errors="replace").strip()
            said = f" ({owner}: {folder})" if owner else f" ({folder})"
            raise ModelError(
                f"another process trains in this folder{said}; wait until it has ended, or choose another folder"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:  # some cluster file systems have none: go on without
                raise
        _say(handle, f"process {os.getpid()} on {socket.gethostname()}\n")
        try:
            yield
        finally:
            _say(handle, "")
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _say(handle: int, owner: str) -> None:
    """Write who holds the lock; a full disk hinders nobody, since it is the system that keeps the lock."""
    with contextlib.suppress(OSError):
        if handle in _held:
            os.ftruncate(handle, 0)
            os.pwrite(handle, owner.encode(), 0)


def _forget() -> None:
    """Drop every lock without giving it back: a forked child must not keep its parent's alive after a crash."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
