"""Tables of text that fit the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_MOST_ROWS = 60
_GAP = 2
_FOLDED = 30
"""Least width in which text that fits nowhere is wrapped."""
_NO_TERMINAL = 100_000
"""Width where nobody looks: a pipe or a file takes every column in one line."""


def print_aligned(table: pd.DataFrame, keys: int = 1) -> None:
    """Print a table on standard output, in as many parts as the terminal's width asks for.

    Parameters
    ----------
    table : DataFrame
    keys : int
        How many of the first columns say what a row is: every part begins with them.
    """
    import pandas as pd
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console = _console()
    if len(table) > _MOST_ROWS:
        table = pd.concat([table.head(_MOST_ROWS // 2), table.tail(_MOST_ROWS // 2)])
        cut = _MOST_ROWS // 2
    else:
        cut = -1
    columns = [[cell_text(value) for value in table[name]] for name in table.columns]
    numbers = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    widths = [
        max([Text(str(name)).cell_len, *(Text(cell).cell_len for cell in cells)])
        for name, cells in zip(table.columns, columns, strict=True)
    ]
    for number, part in enumerate(parts_that_fit(widths, console.width, keys)):
        if number:
            console.print()
        shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
        for i in part:
            shown.add_column(Text(str(table.columns[i])), justify="right" if numbers[i] else "left", overflow="fold")
        for row in range(len(table)):
            if row == cut:
                shown.add_row(*("..." for _ in part))
            shown.add_row(*(Text(columns[i][row]) for i in part))
        _print_trimmed(console, shown)


def _print_trimmed(console: Console, shown: Table) -> None:
    """Print a table; into a pipe or a file without the spaces that fill its last column."""
    if sys.stdout.isatty():
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_wrapped(text: str, loud: bool = False) -> None:
    """Print a sentence on standard output, wrapped at words on a terminal."""
    from rich.text import Text

    _console().print(Text(text, style="bold red" if loud else ""))


def cell_text(value: Any, digits: int = 4) -> str:
    """Show one value: a few digits of a number that is not whole, a dash for what is missing.

    Examples
    --------
    >>> [cell_text(value) for value in (1.23456, 0.5, 52340.2, float("nan"), 7, "VISp")]
    ['1.235', '0.5000', '52340', '-', '7', 'VISp']
    """
    import pandas as pd

    if not isinstance(value, str) and pd.api.types.is_scalar(value) and pd.isna(value):
        return "-"
    if isinstance(value, float):
        return f"{value:#.{digits}g}".rstrip(".") if abs(value) < 10**digits - 0.5 else f"{value:.0f}"
    return str(value)


def parts_that_fit(widths: Sequence[int], most: int, keys: int = 1) -> list[list[int]]:
    """Part columns into tables that fit, each of which begins with the first columns, the keys.

    A column that fits nowhere is wrapped where it stands, if there is room enough for that.

    Examples
    --------
    >>> parts_that_fit([10, 10, 10, 10], 40), parts_that_fit([10, 10, 10, 10], 60)
    ([[0, 1, 2], [0, 3]], [[0, 1, 2, 3]])
    """
    first = list(range(min(keys, len(widths))))
    begun = sum(widths[i] + _GAP for i in first)
    parts, used = [list(first)], begun
    for i in range(len(first), len(widths)):
        wrapped = begun + widths[i] > most and most - used >= _FOLDED
        if used + widths[i] > most and len(parts[-1]) > len(first) and not wrapped:
            parts.append(list(first))
            used = begun
        parts[-1].append(i)
        used += widths[i] + _GAP
    return parts


def _console() -> Console:
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, markup=False, width=None if terminal else _NO_TERMINAL)
