"""Where the entries of a file stand, and errors that say so in the form that editors jump to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from poyodata.errors import DietError, Problem, RecipeError, SplitError

MAX_PROBLEMS = 100

Path: TypeAlias = tuple[str | int, ...]
"""Where an entry stands in a document: keys and positions."""

DocumentError: TypeAlias = DietError | RecipeError | SplitError

Position: TypeAlias = tuple[int, int] | tuple[None, None]
"""Line and column, both counted from 1."""


@dataclass(frozen=True)
class DocumentKind:
    """What a file is: how messages call it, how it begins, what to do when it is too large, and its error."""

    noun: str
    begin: str
    shorten: str
    divide: str
    error: type[DietError] | type[RecipeError] | type[SplitError]


DIET = DocumentKind(
    "diet", "`diet: 1` and `neurons:`", "name neurons by a rule", "split the diet in several", DietError
)
RECIPE = DocumentKind("recipe", "`recipe: 1`", "leave entries out", "write several recipes", RecipeError)


@dataclass(frozen=True)
class TextPlace:
    """A text in a file: where it begins (line, column, offset in the file) and ends, its quotes, and what it says."""

    line: int
    column: int
    start: int
    stop: int
    quotes: str
    value: str


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
    kind : DocumentKind
    """

    name: str = ""
    text: str = field(default="", repr=False)
    keys: dict[Path, Position] = field(default_factory=dict, repr=False)
    values: dict[Path, Position] = field(default_factory=dict, repr=False)
    texts: dict[Path, TextPlace] = field(default_factory=dict, repr=False)
    late: list[Callable[[], Places]] = field(default_factory=list, repr=False)
    kind: DocumentKind = field(default=DIET, repr=False)

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
        """Where a character of a text stands in the file, also when the text is folded over lines or has escapes.

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
        lines = _LINE_END.split(text.value)[: line - 1]
        before = "".join(lines) + _LINE_END.split(text.value)[min(line - 1, len(lines))][: column - 1]
        signs = sum(not sign.isspace() for sign in before)
        raw = self.text[text.start : text.stop]
        offset = text.start + next((place for place in itertools.islice(_signs(raw, text.quotes), signs, None)), 0)
        return self.text.count("\n", 0, offset) + 1, offset - self.text.rfind("\n", 0, offset)

    def problem(self, path: Path, message: str, position: Position | None = None) -> Problem:
        """Say what is wrong with the entry at `path`; by default its key is pointed at."""
        line, column = self.key(path) if position is None else position
        return Problem(line, column, ".".join(printable(str(word)) for word in path), message, self.name)

    def error(self, message: str, line: int | None = None, column: int | None = None) -> DocumentError:
        """Make the error of a document that cannot be read at all."""
        return together([Problem(line, column, "", message, self.name)], self.kind)


def printable(text: str, most: int = 60) -> str:
    """Cut a text that arrived, and put ``?`` for what cannot be shown, for messages."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])


_LINE_END = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"\\(?:x(..)|u(....)|U(........)|(.))", re.DOTALL)
_BLANKS = "\t\r\n nrtvfNLP_"
"""What stands after a backslash, in double quotes, for something that is blank or for nothing."""


def _signs(raw: str, quotes: str) -> Iterator[int]:
    """Places of the characters of a text, as it stands in a file, that are not blank, in order.

    Folding adds and takes away blanks alone, so that the others can be counted.
    """
    if quotes in ("|", ">"):
        head = raw.find("\n") + 1  # the sign, what it says of indentation, a comment
        yield from (place for place in range(head, len(raw)) if not raw[place].isspace())
        return
    place, stop = (1, len(raw) - 1) if quotes else (0, len(raw))
    while place < stop:
        escape = _ESCAPE.match(raw, place) if quotes == '"' else None
        if escape:
            code = escape[1] or escape[2] or escape[3]
            if not (_is_blank(code) if code else escape[4] in _BLANKS):
                yield place
            place = escape.end()
            continue
        if not raw[place].isspace():
            yield place
        place += 2 if quotes == "'" and raw[place] == "'" else 1


def _is_blank(code: str) -> bool:
    try:
        return chr(int(code, 16)).isspace()
    except (ValueError, OverflowError):
        return False


def together(problems: Sequence[Problem], kind: DocumentKind = DIET) -> DocumentError:
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
    return kind.error("\n".join(lines), tuple(ordered[:MAX_PROBLEMS]))
