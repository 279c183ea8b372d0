"""Sources: every recording format becomes a `SessionRecord`, lazily, one recording at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poyodata.errors import UsageError, nearest
from poyodata.sources import kinds
from poyodata.sources.allen_nwb import read_allen_nwb
from poyodata.sources.arrays import read_arrays
from poyodata.sources.mapping import ArrayMapping, find_mapping, shipped_mappings
from poyodata.sources.nwb2 import read_nwb2
from poyodata.sources.record import SessionMetadata, SessionRecord, Signal
from poyodata.sources.recording_mapping import AnyMapping, load_mapping
from poyodata.sources.remote import Place, RemoteFile, place_of
from poyodata.sources.suite2p import read_suite2p
from poyodata.sources.torch_brain import read_torch_brain

__all__ = [
    "KINDS",
    "ArrayMapping",
    "RemoteFile",
    "SessionMetadata",
    "SessionRecord",
    "Signal",
    "SourceFile",
    "find_mapping",
    "find_sources",
    "load_mapping",
    "open_source",
    "read_allen_nwb",
    "read_arrays",
    "read_nwb2",
    "read_suite2p",
    "read_torch_brain",
    "shipped_mappings",
]

KINDS = ("auto", *kinds.KINDS)
"""What ``--kind`` takes."""


@dataclass(frozen=True)
class SourceFile:
    """One recording found, not read yet; it may travel to another process.

    Attributes
    ----------
    path : Path or RemoteFile
        A file, a folder of suite2p, or a URL.
    kind : str
        A name of `poyodata.sources.kinds.KINDS`.
    mapping : AnyMapping, optional
        What the file does not say.
    """

    path: Place
    kind: str
    mapping: AnyMapping | None = None

    def open(self) -> SessionRecord:
        """Read tables and metadata; traces stay in the file until blocks are asked for."""
        return kinds.KINDS[self.kind].read(self.path, self.mapping)


def find_sources(
    path: str | Place, kind: str = "auto", mapping: str | Path | AnyMapping | None = None
) -> list[SourceFile]:
    """Find the recordings under a path, without reading them.

    Parameters
    ----------
    path : str, Path or RemoteFile
        A file, a URL (``https://``, ``s3://``), or a folder; one more level of folders is looked into when the folder
        itself holds none.
    kind : str
        One of `KINDS`: ``auto`` looks into the files to tell.
    mapping : str, Path or mapping, optional
        A mapping, the path of one, or the name of a shipped one; its kind is read then. Left out, ``mapping.yaml``
        beside a recording is taken where it is of that kind.

    Returns
    -------
    list of SourceFile
        Sorted by path, never empty.

    Raises
    ------
    UsageError
        For an unknown kind, a path that does not exist, or nothing found.
    SourceError
        When a URL cannot be reached, or a mapping is none.

    Examples
    --------
    >>> find_sources("nowhere")
    Traceback (most recent call last):
    poyodata.errors.UsageError: nowhere does not exist; give a recording file or a folder of recordings.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown source kind {kind!r}: {nearest(kind, KINDS)}")
    given = None if mapping is None else load_mapping(mapping)
    if given is not None and kind not in ("auto", given.source):
        raise UsageError(
            f"the mapping is one of the {given.source} source; leave out --mapping, or read as `{given.source}`."
        )
    place = place_of(path)
    if isinstance(place, Path) and not place.exists():
        raise UsageError(f"{place} does not exist; give a recording file or a folder of recordings.")
    found = kinds.find_here(place, kind, given)
    if not found and isinstance(place, Path) and place.is_dir():
        inner = sorted(child for child in place.iterdir() if child.is_dir() and not child.name.startswith("."))
        found = [one for child in inner for one in kinds.find_here(child, kind, given)]
    if not found:
        looked = [known.looked_for for known in kinds.KINDS.values() if kind in ("auto", known.name)]
        listed = " or ".join(filter(None, [", ".join(looked[:-1]), looked[-1]]))
        raise UsageError(f"no recording found in {place}: looked for {listed}.")
    return [SourceFile(*one) for one in found]


def open_source(
    path: str | Place, kind: str = "auto", mapping: str | Path | AnyMapping | None = None
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
    poyodata.errors.UsageError: unknown source kind 'nwb': did you mean 'nwb2'?
    """
    files = find_sources(path, kind, mapping)
    return (file.open() for file in files)
