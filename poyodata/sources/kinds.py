"""The kinds of source: how the recordings of each are found, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from poyodata.errors import SourceError
from poyodata.sources.allen_nwb import read_allen_nwb
from poyodata.sources.arrays import read_arrays
from poyodata.sources.hdf5 import open_hdf5
from poyodata.sources.mapping import ArrayMapping, find_mapping
from poyodata.sources.nwb2 import nwb_version, read_nwb2
from poyodata.sources.record import SessionRecord
from poyodata.sources.recording_mapping import AnyMapping, mapping_beside
from poyodata.sources.remote import Place, RemoteFile
from poyodata.sources.suite2p import planes_of, read_suite2p
from poyodata.sources.torch_brain import is_torch_brain, read_torch_brain

Found = list[tuple[Place, AnyMapping | None]]

_HDF5_SUFFIXES = (".nwb", ".h5", ".hdf5")


class Seen:
    """A path, and what the files there look like from inside.

    Parameters
    ----------
    place : Path or RemoteFile
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @cached_property
    def kinds(self) -> dict[Place, str]:
        """Kind of every HDF5 file here, as far as it tells one: of the path itself, or within the folder."""
        if isinstance(self.place, Path) and self.place.is_dir():
            if self.place.suffix == ".zarr":
                return {}
            inside = sorted(file for file in self.place.iterdir() if file.suffix.lower() in _HDF5_SUFFIXES)
            return {file: _kind_of(file) for file in inside if file.is_file() and not file.name.startswith(".")}
        return {self.place: _kind_of(self.place)}

    def of(self, kind: str) -> list[Place]:
        """Files that look like a kind."""
        return [file for file, looks_like in self.kinds.items() if looks_like == kind]


@dataclass(frozen=True)
class SourceKind:
    """One way in.

    Attributes
    ----------
    name : str
        As ``--kind`` takes it.
    looked_for : str
        What messages say was looked for.
    find : callable ``(seen, mapping) -> list of (place, mapping)``
        Recordings of this kind, not read; `mapping` is one that was given, and is of this kind.
    read : callable ``(place, mapping) -> SessionRecord``
    """

    name: str
    looked_for: str
    find: Callable[[Seen, Any], Found]
    read: Callable[[Any, Any], SessionRecord]


def _files(name: str) -> Callable[[Seen, Any], Found]:
    """Finder of files that look like a kind from inside, each with a mapping that lies beside it."""

    def find(seen: Seen, mapping: AnyMapping | None) -> Found:
        files = seen.of(name)
        if not files or mapping is not None or isinstance(seen.place, RemoteFile) or name == "allen-nwb":
            return [(file, mapping) for file in files]
        beside = mapping_beside([seen.place if seen.place.is_dir() else seen.place.parent], name)
        return [(file, beside) for file in files]

    return find


def _suite2p(seen: Seen, mapping: AnyMapping | None) -> Found:
    place = seen.place
    if isinstance(place, RemoteFile) or not place.is_dir() or not planes_of(place):
        return []
    if mapping is None:
        # The mapping may lie beside the folder that suite2p made, or beside that of a plane.
        folders = [place, place / "suite2p"]
        if (place / "F.npy").is_file() or place.name == "suite2p":
            folders += [place.parent, place.parent.parent][: 2 if (place / "F.npy").is_file() else 1]
        mapping = mapping_beside(folders, "suite2p")
    return [(place, mapping)]


def _arrays(seen: Seen, mapping: ArrayMapping | None) -> Found:
    if isinstance(seen.place, RemoteFile):
        return [] if mapping is None else [(seen.place, mapping)]
    found = find_mapping(seen.place, mapping)
    return [] if found is None else [found]


KINDS: Mapping[str, SourceKind] = {
    kind.name: kind
    for kind in (
        SourceKind("allen-nwb", "*.nwb files", _files("allen-nwb"), lambda place, _: read_allen_nwb(place)),
        SourceKind("nwb2", "NWB 2 files", _files("nwb2"), read_nwb2),
        SourceKind("torch-brain", "*.h5 files of torch_brain", _files("torch-brain"), read_torch_brain),
        SourceKind("suite2p", "folders of suite2p", _suite2p, read_suite2p),
        SourceKind(
            "arrays", "an array file with its mapping (mapping.yaml beside it, or --mapping)", _arrays, read_arrays
        ),
    )
}
"""Every kind by its name, in the order in which they are looked for; `arrays` where no other is found."""


def find_here(place: Place, kind: str, mapping: AnyMapping | None) -> list[tuple[Place, str, AnyMapping | None]]:
    """Find the recordings at a path itself, of one kind or (``auto``) of any.

    Parameters
    ----------
    place : Path or RemoteFile
    kind : str
        ``auto`` or a name in `KINDS`.
    mapping : AnyMapping, optional
        Of that kind; with ``auto`` it decides the kind.

    Returns
    -------
    list of (place, kind, mapping)
        Sorted by place.

    Raises
    ------
    SourceError
        When a URL cannot be reached, or a mapping beside a recording is none.
    """
    if mapping is not None:
        kind = str(mapping.source)
    seen = Seen(place)
    if kind != "auto":
        found = KINDS[kind].find(seen, mapping)
        if not found and not (isinstance(place, Path) and place.is_dir()) and kind != "arrays":
            found = [(place, mapping)]  # its reader says best why it cannot be
        return [(one, kind, its) for one, its in found]
    every = [
        (one, name, its) for name, known in KINDS.items() if name != "arrays" for one, its in known.find(seen, None)
    ]
    return sorted(every, key=lambda one: str(one[0])) or [
        (one, "arrays", its) for one, its in KINDS["arrays"].find(seen, None)
    ]


def _kind_of(place: Place) -> str:
    """Kind that an HDF5 file tells of itself; empty when it tells none."""
    named_nwb = place.suffix.lower() == ".nwb"
    try:
        with open_hdf5(place) as file:
            version = nwb_version(file)
            if version or named_nwb:
                return "nwb2" if version.startswith("2") else "allen-nwb"
            return "torch-brain" if is_torch_brain(file) else ""
    except (SourceError, OSError, RuntimeError, KeyError):
        if isinstance(place, RemoteFile):
            raise
        return "allen-nwb" if named_nwb else ""  # whose reader says why it cannot be read
