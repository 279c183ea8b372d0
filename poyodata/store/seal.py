"""Seals: a digest of a Parquet or JSON file inside the file itself, so that a flip of any of its bits is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import xxhash

SEAL_KEY = b"poyodata.seal"
_MARK = b"poyodata-seal:"
_BLANK = b"0" * 16
BLANK_SEAL = _MARK + _BLANK
"""Value of `SEAL_KEY` in the metadata of a table that is to be sealed."""


def seal(content: bytes) -> bytes:
    """Put the digest of a file into the place that `BLANK_SEAL` keeps for it.

    The digest is of the whole file with that place blank.

    Examples
    --------
    >>> seal(b"table " + BLANK_SEAL + b" footer")
    b'table poyodata-seal:60898794347ccac6 footer'
    """
    # The last one: values of the table come before the metadata of the footer.
    at = content.rindex(_MARK) + len(_MARK)
    return b"".join([content[:at], xxhash.xxh3_64_hexdigest(content).encode(), content[at + len(_BLANK) :]])


def has_seal(content: bytes) -> bool:
    """Whether a file bears a seal, unbroken or not."""
    return _MARK in content


def is_intact(content: bytes) -> bool:
    """Whether a file bears a seal and is byte for byte what was sealed.

    Examples
    --------
    >>> sealed = seal(b"table " + BLANK_SEAL + b" footer")
    >>> is_intact(sealed), is_intact(sealed.replace(b"table", b"tablf")), is_intact(b"no seal")
    (True, False, False)
    """
    at = content.rfind(_MARK) + len(_MARK)
    if at < len(_MARK):
        return False
    state = xxhash.xxh3_64(memoryview(content)[:at])
    state.update(_BLANK)
    state.update(memoryview(content)[at + len(_BLANK) :])
    return content[at : at + len(_BLANK)] == state.hexdigest().encode()


def seal_json(value: Mapping[str, Any]) -> bytes:
    """A JSON file with a seal.

    Examples
    --------
    >>> is_intact(seal_json({"a": 1})), is_intact(seal_json({"a": 1}).replace(b"1", b"3"))
    (True, False)
    """
    return seal(json.dumps({**value, "seal": BLANK_SEAL.decode()}, indent=1, sort_keys=True).encode() + b"\n")
