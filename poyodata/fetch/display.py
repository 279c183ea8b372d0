"""What a user sees while files arrive: one bar in bytes on a terminal, else one line a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from poyodata.progress import console

if TYPE_CHECKING:
    from rich.progress import Progress


def human_bytes(count: int) -> str:
    """Decimal units, as download pages use them.

    Examples
    --------
    >>> human_bytes(999), human_bytes(270_100_000), human_bytes(356_000_000_000)
    ('999 B', '270.1 MB', '356.0 GB')
    """
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.95 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


class Display:
    """A bar over all files; used as a context, from any number of threads.

    Parameters
    ----------
    files : int
        Files to be fetched.
    size : int
        Their bytes, as far as they are known.
    """

    def __init__(self, files: int, size: int) -> None:
        self._console = console()
        self._files, self._size = files, size
        self._held: dict[str, int] = {}
        self._done = 0
        self._guard = threading.Lock()
        self._bar: Progress | None = None

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title(), total=self._size or None)
            self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def held(self, name: str, count: int) -> None:
        """Say how many bytes of one file are there; may fall when a file starts again."""
        with self._guard:
            self._held[name] = count
            if self._bar is not None:
                self._bar.update(self._task, completed=sum(self._held.values()))

    def finished(self, sentence: str) -> None:
        """Say that one file is done with, whichever way."""
        with self._guard:
            self._done += 1
            if self._bar is not None:
                self._bar.update(self._task, description=self._title())
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Print one line above the bar."""
        self._console.print(f"  {sentence}", markup=False, soft_wrap=True)

    def _title(self) -> str:
        return f"{self._done} of {self._files} files"


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal that something is waited for."""
    out = console()
    if out.is_terminal:
        with out.status(what):
            yield
    else:
        yield
