"""The progress bar of training: steps, windows per second, and the time that is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from poyodata.progress import console

AdvanceBar = Callable[[int, int], None]
"""Called with the steps just done and their windows."""


@contextlib.contextmanager
def training_bar(description: str, total: int, done: int = 0) -> Iterator[AdvanceBar]:
    """Show how far training has come; on anything but a terminal, one line when it ends.

    Parameters
    ----------
    description : str
        What is trained.
    total, done : int
        Steps in all, and those of an earlier process.

    Yields
    ------
    callable
        To be called with the number of steps just done and their windows.

    Examples
    --------
    >>> with training_bar("learning", total=2) as advance:
    ...     advance(1, 32)
    """
    out = console()
    begun = time.monotonic()
    seen = 0

    def count(windows: int) -> float:
        nonlocal seen
        seen += windows
        return seen / max(time.monotonic() - begun, 1e-9)

    if out.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<38}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps {task.fields[rate]:,.0f} samples/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=out, transient=True) as bar:
            task = bar.add_task(description, total=total, completed=done, rate=0.0)

            def advance(steps: int, windows: int) -> None:
                bar.update(task, advance=steps, rate=count(windows))

            yield advance
    else:
        yield lambda _steps, windows: (count(windows), None)[1]
    took = time.monotonic() - begun
    out.print(f"  {description:<44} {took:7.1f} s  {seen / max(took, 1e-9):,.0f} samples/s", markup=False)
