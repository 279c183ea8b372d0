"""Sources: every recording format becomes a `SessionRecord`, lazily, one recording at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from poyodata.errors import UsageError, nearest
from poyodata.sources.allen_nwb import read_allen_nwb
from poyodata.sources.arrays import read_arrays
from poyodata.sources.containers import ARRAY_SUFFIXES
from poyodata.sources.mapping import ArrayMapping, find_mapping, shipped_mappings
from poyodata.sources.record import SessionMetadata, SessionRecord, Signal

__all__ = [
    "ArrayMapping",
    "SessionMetadata",
    "SessionRecord",
    "Signal",
    "SourceFile",
    "find_mapping",
    "find_sources",
    "open_source",
    "read_allen_nwb",
    "read_arrays",
    "shipped_mappings",
]

KINDS = ("auto", "arrays", "allen-nwb")


@dataclass(frozen=True)
class SourceFile:
    """One recording found, not read yet.

    Attributes
    ----------
    path : Path
    kind : str
        ``arrays`` or ``allen-nwb``.
    mapping : ArrayMapping, optional
        For ``arrays``.
    """

    path: Path
    kind: Literal["arrays", "allen-nwb"]
    mapping: ArrayMapping | None = None

    def open(self) -> SessionRecord:
        """Read tables and metadata; traces stay in the file until blocks are asked for."""
        return read_arrays(self.path, self.mapping) if self.kind == "arrays" else read_allen_nwb(self.path)


def find_sources(
    path: str | Path, kind: str = "auto", mapping: str | Path | ArrayMapping | None = None
) -> list[SourceFile]:
    """Find the recordings under a path, without reading them.

    Parameters
    ----------
    path : str or Path
        An NWB file, a file of arrays, or a folder of either; one more level of folders is looked into when the folder
        itself holds none.
    kind : {"auto", "arrays", "allen-nwb"}
    mapping : str, Path or ArrayMapping, optional
        For ``arrays``: a mapping, the path of one, or the name of a shipped one.

    Returns
    -------
    list of SourceFile
        Sorted by path, never empty.

    Raises
    ------
    UsageError
        For an unknown kind, a path that does not exist, or nothing found.

    Examples
    --------
    >>> find_sources("nowhere")
    Traceback (most recent call last):
    poyodata.errors.UsageError: nowhere does not exist; give a recording file or a folder of recordings.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown source kind {kind!r}: {nearest(kind, KINDS)}")
    if kind == "allen-nwb" and mapping is not None:
        raise UsageError("a mapping goes with the arrays source; leave out --mapping, or read as `arrays`.")
    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist; give a recording file or a folder of recordings.")
    found = _find_here(place, kind, mapping)
    if not found and place.is_dir():
        inner = sorted(child for child in place.iterdir() if child.is_dir() and not child.name.startswith("."))
        found = [file for child in inner for file in _find_here(child, kind, mapping)]
    if not found:
        raise UsageError(
            f"no recording found in {place}: looked for "
            + {"auto": "*.nwb files, or an array file with its", "arrays": "an array file with its"}.get(
                kind, "*.nwb files"
            )
            + (
                " (or give the path of one file)."
                if kind == "allen-nwb"
                else " mapping (mapping.yaml beside it, or --mapping)."
            )
        )
    return found


def open_source(
    path: str | Path, kind: str = "auto", mapping: str | Path | ArrayMapping | None = None
) -> Iterator[SessionRecord]:
    """Iterate over the recordings under a path, opening each when its turn comes.

    Parameters and errors are those of `find_sources`, raised at once; a damaged file raises when it is reached.

    Yields
    ------
    SessionRecord

    Examples
    --------
    >>> next(open_source("nowhere", kind="nwb"))
    Traceback (most recent call last):
    poyodata.errors.UsageError: unknown source kind 'nwb': did you mean 'allen-nwb'?
    """
    files = find_sources(path, kind, mapping)
    return (file.open() for file in files)


def _find_here(place: Path, kind: str, mapping: str | Path | ArrayMapping | None) -> list[SourceFile]:
    if kind != "arrays" and mapping is None:
        if place.is_dir():
            files = sorted(file for file in place.glob("*.nwb") if not file.name.startswith("."))
            if files or kind == "allen-nwb":
                return [SourceFile(file, "allen-nwb") for file in files]
        elif place.suffix.lower() == ".nwb" or kind == "allen-nwb" or place.suffix.lower() not in ARRAY_SUFFIXES:
            return [SourceFile(place, "allen-nwb")]
    found = find_mapping(place, mapping)
    return [SourceFile(found[0], "arrays", found[1])] if found else []
