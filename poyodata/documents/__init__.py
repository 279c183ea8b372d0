"""Files that people write by hand: read safely, with the place of every entry, so that every problem has its line."""

from __future__ import annotations

from poyodata.documents.places import MAX_PROBLEMS, DocumentKind, Path, Places, Position, together
from poyodata.documents.plain_text import check_plain, read_file, read_json, read_yaml, write_yaml

__all__ = [
    "MAX_PROBLEMS",
    "DocumentKind",
    "Path",
    "Places",
    "Position",
    "check_plain",
    "read_file",
    "read_json",
    "read_yaml",
    "together",
    "write_yaml",
]
