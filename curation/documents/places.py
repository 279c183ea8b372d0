"""Where the entries of a diet's file stand, and errors that say so in the form that editors jump to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from poyodata.errors import DietError, Problem

MAX_PROBLEMS = 100

Path: TypeAlias = tuple[str | int, ...]
"""Where an entry stands in a document: keys and positions."""

Position: TypeAlias = tuple[int, int] | tuple[None, None]
"""Line and column, both counted from 1."""


@dataclass(frozen=True)
class TextPlace:
    """A text in a file: where it begins (line, column, and offset in the file), where it ends, and its quotes."""

    line: int
    column: int
    start: int
    stop: int
    quotes: str


@dataclass(frozen=True)
class Places:
    """Places of the entries of one document.

    Attributes
    ----------
    name : str
        Of the file, for messages; empty where there is none.
    text : str
        Of the file.
    keys, values : dict of path to (line, column)
        Where the key of an entry begins, and where its value does.
    texts : dict of path to TextPlace
        Values that are texts.
    late : list of callable
        Finds the places when the first is asked for; most documents have no problems, and need none.
    """

    name: str = ""
    text: str = field(default="", repr=False)
    keys: dict[Path, Position] = field(default_factory=dict, repr=False)
    values: dict[Path, Position] = field(default_factory=dict, repr=False)
    texts: dict[Path, TextPlace] = field(default_factory=dict, repr=False)
    late: list[Callable[[], Places]] = field(default_factory=list, repr=False)

    def _find(self) -> None:
        while self.late:
            found = self.late.pop()()
            self.keys.update(found.keys)
            self.values.update(found.values)
            self.texts.update(found.texts)

    def key(self, path: Path) -> Position:
        """Where the key of an entry stands, else the nearest thing that holds it."""
        self._find()
        for cut in range(len(path), -1, -1):
            found = self.keys.get(path[:cut]) or self.values.get(path[:cut])
            if found:
                return found
        return (None, None)

    def value(self, path: Path) -> Position:
        """Where the value of an entry stands, else the nearest thing that holds it."""
        self._find()
        return self.values.get(path) or self.key(path)

    def within(self, path: Path, line: int, column: int) -> Position:
        """Where a character of a text stands in the file; where the text begins, when it is folded over lines.

        Parameters
        ----------
        path : Path
            Of the text.
        line, column : int
            Of the character in the text, from 1.
        """
        self._find()
        text = self.texts.get(path)
        if text is None:
            return self.value(path)
        raw = self.text[text.start : text.stop]
        if line != 1 or "\n" in raw.strip() or text.quotes not in ("", "'", '"'):
            return (text.line, text.column)
        return (text.line, text.column + _written(raw, text.quotes, column - 1))

    def problem(self, path: Path, message: str, position: Position | None = None) -> Problem:
        """Say what is wrong with the entry at `path`; by default its key is pointed at."""
        line, column = self.key(path) if position is None else position
        return Problem(line, column, ".".join(printable(str(word)) for word in path), message, self.name)

    def error(self, message: str, line: int | None = None, column: int | None = None) -> DietError:
        """Make the error of a document that cannot be read at all."""
        return together([Problem(line, column, "", message, self.name)])


def printable(text: str, most: int = 60) -> str:
    """Cut a text that arrived, and put ``?`` for what cannot be shown, for messages."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])


def _written(raw: str, quotes: str, count: int) -> int:
    """How many characters of the file stand before the text's character number `count`, its quote among them."""
    if not quotes:
        return count
    place = 1
    for _ in range(count):
        if place >= len(raw) - 1:
            break
        if quotes == "'":
            place += 2 if raw[place : place + 2] == "''" else 1
        elif raw[place] == "\\":
            place += 2 + {"x": 2, "u": 4, "U": 8}.get(raw[place + 1 : place + 2], 0)
        else:
            place += 1
    return place


def together(problems: Sequence[Problem]) -> DietError:
    """Make one error of problems: one a line, in the order in which they stand in the file.

    Examples
    --------
    >>> print(together([Problem(4, 3, "neurons.wher", "unknown key.", "a.yaml"), Problem(2, 1, "nam", "unknown key.")]))
    2:1: nam: unknown key.
    a.yaml:4:3: neurons.wher: unknown key.
    """
    ordered = sorted(dict.fromkeys(problems), key=lambda one: (one.line or 0, one.column or 0))
    lines = [str(problem) for problem in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        lines.append(f"and {len(ordered) - MAX_PROBLEMS} more.")
    return DietError("\n".join(lines), tuple(ordered[:MAX_PROBLEMS]))
