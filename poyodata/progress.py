"""Progress bars: on a terminal a bar with the time left, elsewhere one line when a stage ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int], None]
"""Called with the number of steps just done."""


def console() -> Console:
    """Where progress and messages go: standard error, so that standard output holds results alone."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


@contextmanager
def stage(description: str, total: int, unit: str = "") -> Iterator[Advance]:
    """Show how far a stage has come.

    Parameters
    ----------
    description : str
    total : int
        Steps until the end.
    unit : str
        What a step is: ``"recordings"``, ``"steps"``.

    Yields
    ------
    callable
        To be called with the number of steps just done.

    Examples
    --------
    >>> with stage("counting", total=3) as advance:
    ...     advance(3)
    """
    out = console()
    begun = time.monotonic()
    if out.is_terminal:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<38}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=out, transient=True) as bar:
            task = bar.add_task(description, total=total)
            yield lambda steps: bar.advance(task, steps)
    else:
        yield lambda _steps: None
    took = time.monotonic() - begun
    out.print(f"  {description:<44} {took:7.1f} s", markup=False)
