"""Reading MATLAB's version 5 format (up to 7.2), without believing anything that a file says of its own size.

A file is a row of elements, each a tag (type and number of bytes) and content padded to 8 bytes; a variable is an
element that holds elements: flags, dimensions, name and values. Arrays become views of the file, or of what was
decompressed; nothing is copied until it is read.
"""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError

HEADER_BYTES = 128
_COMPRESSED, _MATRIX = 15, 14
_CELL, _STRUCT, _CHAR = 1, 2, 4
# Types that values are stored in, which may be narrower than the class of the array.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX, _LOGICAL = 0x08, 0x02
_LARGEST_BYTES = 2**31  # of a variable, as the format has it
_DEEPEST = 16


@dataclass(frozen=True)
class Opaque:
    """A variable that is no array of numbers, texts, cells or fields.

    Attributes
    ----------
    fault : str
        What it is instead.
    """

    fault: str


@dataclass(frozen=True)
class Cells:
    """A cell array.

    Attributes
    ----------
    items : list
    """

    items: list[Any]


def read_matlab_v5(path: Path) -> dict[str, Any]:
    """Read every variable of a file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to ndarray, list of str, Cells, dict or Opaque
        Numbers in MATLAB's shape, texts as a list of rows, structs of one element as a dict.

    Raises
    ------
    SourceError
        When the file is damaged.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:HEADER_BYTES]))
        if order is None:
            raise SourceError("has no byte order.")
        variables: dict[str, Any] = {}
        elements = _Elements(content[HEADER_BYTES:], order)
        while elements.left():
            name, value = _variable(elements)
            if name and not name.startswith("__"):
                variables[name] = value
        return variables
    except (SourceError, OSError, ValueError, zlib.error, IndexError, OverflowError, MemoryError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise SourceError(f"{path} cannot be read (it {said}); the file is damaged, copy it again.") from error


class _Elements:
    """Elements one after the other; every step is checked against what is there."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.content = content
        self.order = order
        self.place = 0

    def left(self) -> int:
        return len(self.content) - self.place

    def take(self, count: int) -> memoryview:
        if count < 0 or count > self.left():
            raise SourceError("ends within a variable.")
        part = self.content[self.place : self.place + count]
        self.place += count
        return part

    def next(self) -> tuple[int, memoryview]:
        """Type and content of the next element."""
        tag = self.take(8)
        kind, count = (int(number) for number in np.frombuffer(tag, f"{self.order}u4"))
        if kind >> 16:  # a small element: its content stands in its tag
            if kind >> 16 > 4:
                raise SourceError("has an element of an impossible size.")
            return kind & 0xFFFF, tag[4 : 4 + (kind >> 16)]
        content = self.take(count)
        if kind != _COMPRESSED:
            self.take(min(-count % 8, self.left()))
        return kind, content

    def integers(self, dtype: str) -> npt.NDArray[Any]:
        kind, content = self.next()
        if _STORED.get(kind) != dtype:
            raise SourceError(f"has values of type {kind} where {dtype} were expected.")
        return np.frombuffer(content[: len(content) // 4 * 4], f"{self.order}{dtype}")

    def text(self) -> str:
        return bytes(self.next()[1]).decode("latin-1")


def _variable(elements: _Elements, depth: int = 0) -> tuple[str, Any]:
    if depth > _DEEPEST:
        raise SourceError("has structs within structs without end.")
    kind, content = elements.next()
    if kind == _COMPRESSED and depth == 0:
        unpacked = zlib.decompressobj().decompress(content, _LARGEST_BYTES)
        inner = _Elements(memoryview(unpacked), elements.order)
        kind, content = inner.next()
    if kind != _MATRIX:
        raise SourceError(f"has an element of type {kind} where a variable was expected.")
    if len(content) == 0:
        return "", np.zeros((0, 0))
    parts = _Elements(content, elements.order)
    flags = int(parts.integers("u4")[0])
    sort = flags & 0xFF
    if sort not in (_CELL, _STRUCT, _CHAR, *_CLASSES):
        # Objects have no dimensions, so that their name is told otherwise.
        name = parts.text() if sort == 17 else (parts.next(), parts.text())[1]
        what = {5: "is sparse", 16: "is a function", 3: "is a MATLAB object"}
        return name, Opaque(what.get(sort, "is a MATLAB object (a table, string, class or function)"))
    shape = tuple(int(length) for length in parts.integers("i4"))
    if len(shape) < 2 or any(length < 0 for length in shape):
        raise SourceError(f"has a variable of the impossible shape {shape}.")
    name = parts.text()
    count = 1
    for length in shape:
        count *= length
    if sort in _CLASSES:
        return name, _numbers(parts, sort, flags >> 8 & 0xFF, shape, count)
    if sort == _CHAR:
        return name, _rows(parts, shape, count)
    if sort == _CELL:
        return name, Cells(_values(parts, count, depth))
    return name, _struct(parts, count, depth)


def _numbers(parts: _Elements, sort: int, flags: int, shape: tuple[int, ...], count: int) -> Any:
    if flags & _COMPLEX:
        return Opaque("is complex")
    kind, content = parts.next()
    if kind not in _STORED:
        raise SourceError(f"has numbers of the unknown type {kind}.")
    stored = np.frombuffer(content, f"{parts.order}{_STORED[kind]}") if len(content) else np.zeros(0)
    if len(stored) != count:
        raise SourceError(f"has {len(stored)} numbers for the shape {shape}.")
    values = stored.reshape(shape, order="F")
    dtype = bool if flags & _LOGICAL else np.dtype(_CLASSES[sort])
    return values if values.dtype == dtype else values.astype(dtype)


def _rows(parts: _Elements, shape: tuple[int, ...], count: int) -> list[str]:
    if count == 0:
        return [""]
    kind, content = parts.next()
    if kind not in _TEXTS:
        raise SourceError(f"has a text of the unknown type {kind}.")
    encoding = _TEXTS[kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if parts.order == "<" else "-be"
    text = bytes(content).decode(encoding, "replace")
    if shape[0] == 1 or len(text) != count:
        return [text]
    return ["".join(row) for row in np.array(list(text)).reshape(shape[0], -1, order="F").tolist()]


def _values(parts: _Elements, count: int, depth: int) -> list[Any]:
    if count > parts.left() // 8:  # each has a tag at least
        raise SourceError(f"has {count} cells or fields, more than its bytes.")
    return [_variable(parts, depth + 1)[1] for _ in range(count)]


def _struct(parts: _Elements, count: int, depth: int) -> Any:
    length = int(parts.integers("i4")[0])
    names = bytes(parts.next()[1])
    if length <= 0 or len(names) % length:
        raise SourceError("has a struct without names of its fields.")
    fields = [names[start : start + length].split(b"\0")[0].decode("latin-1") for start in range(0, len(names), length)]
    if count != 1:
        return Opaque(f"is a struct array of {count} elements")
    return dict(zip(fields, _values(parts, len(fields), depth), strict=True))
