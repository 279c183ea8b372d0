"""What a store looks like on disk: names, paths and the format version.

::

    allen.zarr/
      zarr.json                            Zarr v3 group; attributes: format, format_version
      sessions/<session_id>/               one recording; plain xarray opens it as a Dataset
        dff  [raw  corrected  ...]         Zarr arrays of traces, each one shard that can be memory-mapped
        time  neuron_id  mask_px  ...      clock, neurons, behavioural signals, masks and image, small Zarr arrays
      stimuli/<name>/frames                stimulus templates, mapped in the same way
      tables/sessions.parquet              the commit point: a recording exists if and only if it has a row here
      tables/{neurons,epochs,segments,blocks,parts}.parquet
      tables/presentations/<session_id>.parquet
      statistics/<digest>.parquet

Tables and commits. Recordings are only ever added. Every other table is replaced before ``sessions.parquet`` is, so
that it always holds at least the rows of every committed recording; readers leave out the rows of recordings which
their ``sessions.parquet`` does not name. Presentations can be tens of millions of rows, and so have one file a
recording: adding one costs the same however many there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poyodata.errors import StoreError, UsageError, nearest

FORMAT = "poyodata-store"
FORMAT_VERSION = 2

BLOCK_FRAMES = 1024
"""Frames in one inner chunk of a trace array, and under one digest of ``blocks``."""

MOVIE_BLOCK_FRAMES = 16
"""Frames in one inner chunk of a stimulus template."""

TEMPORARY = ".tmp-"
"""How the names of folders and files under construction begin; whatever bears one is garbage after a crash."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Paths:
    """Where everything lies under the root of a store.

    Examples
    --------
    >>> Paths(Path("allen.zarr")).session("501574836").as_posix()
    'allen.zarr/sessions/501574836'
    """

    root: Path

    @property
    def sessions(self) -> Path:
        """Folder of the recordings."""
        return self.root / "sessions"

    @property
    def stimuli(self) -> Path:
        """Folder of the stimulus templates."""
        return self.root / "stimuli"

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables."""
        return self.root / "tables"

    @property
    def statistics(self) -> Path:
        """Folder of the cached statistics."""
        return self.root / "statistics"

    @property
    def lock(self) -> Path:
        """File that the one writer holds locked."""
        return self.tables / ".lock"

    def session(self, session_id: str) -> Path:
        """Folder of one recording."""
        return self.sessions / session_id

    def table(self, name: str) -> Path:
        """File of a flat table."""
        return self.tables / f"{name}.parquet"

    def presentations(self, session_id: str) -> Path:
        """File of one recording's presentations."""
        return self.tables / "presentations" / f"{session_id}.parquet"


def check_name(name: str, what: str = "session_id") -> str:
    """Return `name` when it is safe as the name of a folder.

    Parameters
    ----------
    name : str
    what : str
        What the name is of, for the message.

    Raises
    ------
    StoreError
        When it has other characters than letters, digits, ``. _ -``, begins with one of those three, is longer than
        128 characters, or is ``zarr.json``.

    Examples
    --------
    >>> check_name("501574836")
    '501574836'
    """
    if not _SAFE_NAME.fullmatch(name) or name == "zarr.json":
        raise StoreError(
            f"{what} {name!r} cannot name a folder: expected up to 128 letters, digits, '.', '_' or '-', beginning "
            "with a letter or digit. Give the recording another name in its source or mapping."
        )
    return name


def group_json(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Content of the ``zarr.json`` of a Zarr v3 group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}


def check_format(root: Path) -> int:
    """Return the format version of the store at `root`.

    Raises
    ------
    UsageError
        When nothing lies there.
    StoreError
        When what lies there is no store, or one of another format version.
    """
    if not root.exists():
        siblings = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
        hint = nearest(root.name, siblings)
        raise UsageError(
            f"no store at {root}: "
            + (hint if hint.startswith("did") else "give the path of a store, or make one with `poyodata ingest`.")
        )
    try:
        attributes = json.loads((root / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        form, version = attributes["format"], attributes["format_version"]
    except (OSError, ValueError, KeyError, TypeError):
        form, version = None, None
    if form != FORMAT:
        raise StoreError(
            f"{root} is not a poyodata store (no zarr.json that says format {FORMAT!r}); give the store's top folder, "
            "or make one with `poyodata ingest`."
        )
    if version != FORMAT_VERSION:
        raise StoreError(
            f"the store {root} has format version {version!r}, this poyodata reads and writes {FORMAT_VERSION}; "
            "use the poyodata that wrote it, or ingest the recordings again into a new store."
        )
    return FORMAT_VERSION
