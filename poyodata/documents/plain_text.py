"""Safe reading of YAML and JSON: plain mappings, lists, texts, numbers and truth values, with the place of each."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path as FilePath
from typing import Any

import yaml

from poyodata.documents.places import DIET, DocumentKind, Path, Places, Position, TextPlace, printable
from poyodata.errors import DietError, PoyodataError, UsageError

MAX_BYTES = 64 * 1024
MAX_ENTRIES = 8000
MAX_YAML_DEPTH = 100

NO_WORD = "a key must be a plain word."
TWICE = "stands there twice; keep one."

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
"""What is no number of JSON; texts are among the matches so that it is not looked for within them."""

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
"""Numbers that YAML 1.1 takes for texts, such as 1e9; people, JSON and YAML 1.2 take them for numbers."""

_NUMBERS = ("int", "float", "timestamp")
"""What YAML 1.1 takes a bare ``527745328_517399188`` for; in a list under ``ids`` it is the text that stands there."""


class _Loader(yaml.SafeLoader):
    """Composes nodes and nothing more; a bomb is met at its first event, before anything is built."""

    depth = 0
    entries = 0
    kind = DIET

    def too_deep(self) -> str:
        return f"a {self.kind.noun} may be nested {MAX_YAML_DEPTH} levels deep at most."

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        # Here already: brackets are looked ahead at, at a price that grows with the square of their number.
        if self.flow_level >= MAX_YAML_DEPTH:
            raise _RefusedError(self.get_mark(), self.too_deep())
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        self.entries += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise _RefusedError(
                mark, f"anchors and aliases (& and *) are not read in a {self.kind.noun}; write the value out."
            )
        if event.tag:
            raise _RefusedError(
                mark, f"tags ({str(event.tag)[:40]!r}) are not read in a {self.kind.noun}; write plain values."
            )
        if self.depth >= MAX_YAML_DEPTH:
            raise _RefusedError(mark, self.too_deep())
        if self.entries > MAX_ENTRIES:
            raise _RefusedError(
                mark, f"a {self.kind.noun} may have {MAX_ENTRIES:,} entries at most; {self.kind.shorten}."
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Sets texts in quotes that `_Loader` would read as numbers."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _RefusedError(Exception):
    """Something of YAML that is not read here, and where it stands."""

    def __init__(self, mark: Any, message: str) -> None:
        super().__init__(message)
        self.line, self.column = mark.line + 1, mark.column + 1


def read_yaml(text: str, name: str = "<yaml>", kind: DocumentKind = DIET) -> tuple[Any, Places]:
    r"""Read one YAML document of plain mappings, lists, texts, numbers and truth values.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for messages.
    kind : DocumentKind
        How messages call it, and which error is raised.

    Returns
    -------
    value : dict, list or scalar
    places : Places
        Where every entry stands.

    Raises
    ------
    DietError, RecipeError or SplitError
        Not YAML, above 64 KiB, nested too deeply, or with aliases, tags, dates or keys that stand there twice.

    Examples
    --------
    >>> value, places = read_yaml("diet: 1\nneurons:\n  where: skewness <= 1e1")
    >>> value["neurons"], places.key(("neurons", "where")), places.value(("neurons", "where"))
    ({'where': 'skewness <= 1e1'}, (3, 3), (3, 10))
    """
    return _read_yaml(text, name, bare_ids=True, kind=kind)


def _read_yaml(text: str, name: str, *, bare_ids: bool, kind: DocumentKind = DIET) -> tuple[Any, Places]:
    check_length(text, name, kind)
    places = Places(name, text, kind=kind)
    try:
        loader = _Loader(text)
        loader.kind = kind
        root = loader.get_single_node()
        if root is None:
            raise places.error(f"the {kind.noun} is empty; begin with {kind.begin}.")
        return _plain(root, (), places, bare_ids), places
    except _RefusedError as refused:
        raise places.error(str(refused), refused.line, refused.column) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (None, None)
        said = f"not YAML ({error.problem or error.context}); check indentation, colons and quotes."
        raise places.error(printable(said, 300), *at) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, PoyodataError):
            raise
        raise places.error("not YAML: the text holds characters that cannot be read; write plain UTF-8 text.") from None


def _plain(node: yaml.Node, path: Path, places: Places, bare_ids: bool) -> Any:
    start = (node.start_mark.line + 1, node.start_mark.column + 1)
    places.values[path] = start
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), places, bare_ids) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or not name.isprintable():
                raise _RefusedError(key.start_mark, NO_WORD)
            if name in mapping:
                raise _RefusedError(key.start_mark, f"{name[:60]!r} {TWICE}")
            mapping[name] = _plain(value, (*path, name), places, bare_ids)
            places.keys[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
        return mapping
    kind = node.tag.rsplit(":", 1)[-1]
    style = getattr(node, "style", None)
    if bare_ids and kind in _NUMBERS and path[-2:-1] == ("ids",) and isinstance(path[-1], int):
        kind = "str"
    try:
        match kind:
            case "str":
                ends = node.start_mark.index, node.end_mark.index
                places.texts[path] = TextPlace(*start, *ends, style or "", node.value)
                return node.value
            case "null":
                return None
            case "bool":
                return node.value.casefold() in ("true", "yes", "on")
            case "int" if node.value.lstrip("+-") == "0" or not node.value.lstrip("+-").startswith("0"):
                return int(node.value.replace("_", ""), 10)  # 017 is 15 to YAML 1.1 and 17 to people
            case "float":
                return float(node.value.replace("_", ""))
    except (ValueError, OverflowError):
        pass
    raise _RefusedError(
        node.start_mark, f"{node.value[:40]!r} would be read as a {kind}; set it in quotes if it is a text."
    )


def write_yaml(value: dict[str, Any], kind: DocumentKind = DIET) -> str:
    """Write plain mappings, lists and scalars as `read_yaml` reads them.

    Raises
    ------
    DietError, RecipeError or SplitError
        It has more entries than are read.

    Examples
    --------
    >>> print(write_yaml({"diet": 1, "name": "1e9"}), end="")
    diet: 1
    name: '1e9'
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    entries, stack = 0, [value]
    while stack:
        current: Any = stack.pop()
        entries += 1
        if isinstance(current, dict):
            entries += len(current)
            stack += current.values()
        elif isinstance(current, list):
            stack += current
    if entries > MAX_ENTRIES:
        raise kind.error(f"the {kind.noun} has {entries:,} entries, and {MAX_ENTRIES:,} are read; {kind.shorten}.")
    return text


def read_json(text: str, name: str = "<json>") -> tuple[Any, Places]:
    """Read one JSON document.

    Raises
    ------
    DietError
        Not JSON, above 64 KiB, nested too deeply, or with keys that stand there twice.
    """
    check_length(text, name)
    text = text.removeprefix("\ufeff")  # as YAML does: some editors write one
    places = Places(name, text)

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, value in pairs:
            if not key.isprintable():
                raise places.error(NO_WORD, *_place_as_yaml(text))
            if key in read:
                raise places.error(f"{key[:60]!r} {TWICE}", *_place_as_yaml(text))
            read[key] = value
        return read

    def constant(word: str) -> Any:
        found = (match for match in _CONSTANT.finditer(text) if match[0] == word)
        at = next((_place(text, match.start()) for match in found), (None, None))
        raise places.error(f"{word} is no number of JSON; write one, or leave the entry out.", *at)

    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise places.error(f"not JSON ({error.msg}).", error.lineno, error.colno) from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, PoyodataError):
            raise
        raise places.error("not JSON that can be read: a number is too long, or it is nested too deeply.") from None
    places.late.append(lambda: _places_of_json(text, value, places))
    return value, places


def _place(text: str, offset: int) -> Position:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _place_as_yaml(text: str) -> Position:
    """Where YAML, of which JSON is a part, refuses the same key."""
    try:
        read_yaml(text)
    except DietError as error:
        one = error.problems[0]
        if one.line is not None and one.column is not None and one.message.endswith((NO_WORD, TWICE)):
            return one.line, one.column
    return None, None


def _places_of_json(text: str, value: Any, bare: Places) -> Places:
    """Places of the entries of a JSON document, by reading it as YAML; none where YAML reads it otherwise."""
    try:
        read, places = _read_yaml(text, bare.name, bare_ids=False)
    except DietError:
        return bare
    return places if read == value else bare


def read_file(path: FilePath, kind: DocumentKind = DIET) -> str:
    """Read the text of a file, and no more of it than may be there.

    Raises
    ------
    UsageError
        No such file, or no plain file: pipes and devices never end.
    DietError, RecipeError or SplitError
        Not UTF-8.
    """
    shown = printable(str(path), 200)
    try:
        # Without waiting: a pipe that nobody writes to would never open.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(
                    f"no {kind.noun} can be read from {shown!r} (no plain file); give the path of a YAML file."
                )
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        why = getattr(error, "strerror", None) or "no name that a file can have"
        raise UsageError(f"no {kind.noun} can be read from {shown!r} ({why}); give the path of a YAML file.") from None
    if len(raw) > MAX_BYTES:
        raise Places(shown, kind=kind).error(too_long(kind))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Places(shown, kind=kind).error(f"not UTF-8 text; save the {kind.noun} as UTF-8.") from None


def too_long(kind: DocumentKind) -> str:
    """Say how long a document may be."""
    return f"a {kind.noun} is {MAX_BYTES // 1024} KiB at most; {kind.shorten}, or {kind.divide}."


def check_length(text: str, name: str, kind: DocumentKind = DIET) -> None:
    """Refuse a document above `MAX_BYTES`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise Places(name, kind=kind).error(too_long(kind))


def check_plain(value: Any, places: Places) -> None:
    """Refuse what is not made of mappings with texts as keys, lists and scalars, or is too large.

    Without recursion, and so also what holds itself.

    Raises
    ------
    DietError
    """
    stack: list[tuple[Any, Path]] = [(value, ())]
    entries = 0
    while stack:
        current, path = stack.pop()
        if not isinstance(current, dict | list):
            continue
        entries += len(current) if places.text else 1  # what was made in Python may list as many neurons as it likes
        if len(path) >= MAX_YAML_DEPTH or entries > MAX_ENTRIES:
            raise places.error(
                f"a {places.kind.noun} may be nested {MAX_YAML_DEPTH} levels deep and have {MAX_ENTRIES:,} entries at "
                f"most; simplify it, and {places.kind.shorten}."
            )
        for key in current if isinstance(current, dict) else ():
            if not isinstance(key, str) or not key.isprintable():
                raise places.error(f"a key must be a plain word, got {str(key)[:60]!r}.", *places.key(path))
        for key, item in current.items() if isinstance(current, dict) else enumerate(current):
            if isinstance(item, dict | list):
                stack.append((item, (*path, key)))
            elif isinstance(item, int) and not -(2**63) <= item < 2**63:
                raise places.error("a whole number does not fit into 64 bits.", *places.value((*path, key)))
