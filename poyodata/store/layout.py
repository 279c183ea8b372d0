"""What a store looks like on disk: names, paths and the format version.

::

    allen.zarr/
      zarr.json                            Zarr v3 group; attributes: format, format_version
      sessions/<recording>/                one recording; plain xarray opens it as a Dataset
        dff  [events  raw  corrected ...]  Zarr arrays of traces, each one shard that can be memory-mapped
        time  neuron_id  mask_px  ...      clock, neurons, behavioural signals, masks and image, small Zarr arrays
      stimuli/<name>/frames                stimulus templates, mapped in the same way
      tables/sessions.parquet              the commit point: a recording exists if and only if it has a row here
      tables/{neurons,epochs,segments}.parquet
      tables/presentations/<recording>.parquet
      tables/digests/<recording>.parquet   of every block, part and file of the recording
      tables/digests/stimuli/<name>.parquet
      statistics/<digest>.parquet
      .tmp-<token>/                        a recording that is being written; garbage after a crash

``<recording>`` is the session_id, followed by ``~`` and its generation once the recording was updated: nothing that a
reader may have open ever changes under its name. The same holds for stimulus templates.

Commits. Adding, updating, removing and merging are each one atomic replacement of ``sessions.parquet``. All else is in
place before it, and what it no longer names is removed after it. So every other table holds at least the rows of every
committed recording, and readers leave out the rows of those which their ``sessions.parquet`` does not name.
The same file carries annotations' digests and, of a store that was made from a part of another one, its lineage.
Presentations can be tens of millions of rows (45,000 a recording where movies are shown), so they have one file a
recording, and adding one does not write those of all others again. Reading those of one takes some milliseconds
(`Store.presentations_of`), those of a thousand recordings a few seconds and the memory of all their rows.
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
FORMAT_VERSION = 3
OLDEST_VERSION = 2
"""The oldest format version that `poyodata.store.migrate` brings up to date."""

BLOCK_FRAMES = 1024
"""Frames in one inner chunk of a trace array, and under one digest of ``Store.blocks``."""

MOVIE_BLOCK_FRAMES = 16
"""Frames in one inner chunk of a stimulus template."""

TEMPORARY = ".tmp-"
"""How the names of folders and files under construction begin; whatever bears one is garbage after a crash."""

_RENAMED = {
    "session_id": "Give the recording another name in its source or mapping.",
    "annotation": "Give the annotation another name (--name).",
    "columns": "Give these columns another name.",
}
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

    def session(self, session_id: str, generation: int = 0) -> Path:
        """Folder of one recording."""
        return self.sessions / generation_name(session_id, generation)

    def stimulus(self, name: str, generation: int = 0) -> Path:
        """Folder of one stimulus template."""
        return self.stimuli / generation_name(name, generation)

    def table(self, name: str) -> Path:
        """File of a flat table."""
        return self.tables / f"{name}.parquet"

    def presentations(self, session_id: str, generation: int = 0) -> Path:
        """File of one recording's presentations."""
        return self.tables / "presentations" / f"{generation_name(session_id, generation)}.parquet"

    def annotation(self, name: str, digest: str) -> Path:
        """File of the labels of one annotation."""
        return self.tables / "annotations" / f"{name}~{digest[:12]}.parquet"

    def digests(self, session_id: str, generation: int = 0) -> Path:
        """File of the digests of one recording."""
        return self.tables / "digests" / f"{generation_name(session_id, generation)}.parquet"

    def stimulus_digests(self, name: str, generation: int = 0) -> Path:
        """File of the digests of one stimulus template."""
        return self.tables / "digests" / "stimuli" / f"{generation_name(name, generation)}.parquet"


def generation_name(name: str, generation: int) -> str:
    """Name of the folder or file of one generation: ``~`` cannot be in a name, so that no two are the same.

    Examples
    --------
    >>> generation_name("501574836", 0), generation_name("501574836", 2)
    ('501574836', '501574836~2')
    """
    return f"{name}~{generation}" if generation else name


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
            f"with a letter or digit. {_RENAMED.get(what, 'Give it another name in its source or mapping.')}"
        )
    return name


def group_json(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Content of the ``zarr.json`` of a Zarr v3 group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}


def check_format(root: Path) -> int:
    """Return the format version that the top folder says; the commit point has the last word on it.

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
    version = root_version(root)
    if version is None:
        raise StoreError(
            f"{root} is not a poyodata store (no zarr.json that says format {FORMAT!r}); give the store's top folder, "
            "or make one with `poyodata ingest`."
        )
    return version


def root_version(root: Path) -> int | None:
    """Format version that the store's top ``zarr.json`` says, or None when it does not say one."""
    try:
        return version_in((root / "zarr.json").read_bytes())
    except OSError:
        return None


def version_in(content: bytes) -> int | None:
    """Format version that the bytes of a store's top ``zarr.json`` say, or None when they do not say one.

    Examples
    --------
    >>> version_in(b'{"attributes": {"format": "poyodata-store", "format_version": 3}}')
    3
    """
    try:
        attributes = json.loads(content)["attributes"]
        return int(attributes["format_version"]) if attributes["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError):
        return None


def require_version(root: Path | str, version: int) -> None:
    """Raise unless this poyodata reads stores of that format version.

    Raises
    ------
    StoreError
        With the command that migrates an older store, or what to do about a newer one.

    Examples
    --------
    >>> require_version("allen.zarr", 3)
    """
    if version == FORMAT_VERSION:
        return
    if version > FORMAT_VERSION:
        advice = "a newer poyodata wrote it: update poyodata to open it."
    elif version >= OLDEST_VERSION and "://" in str(root):
        advice = "run `poyodata migrate` on its folder where it lies, or on a copy, and copy that to the URL."
    elif version >= OLDEST_VERSION:
        advice = f"bring it up to date with `poyodata migrate {root}`."
    else:
        advice = "that version cannot be migrated: ingest the recordings again into a new store."
    raise StoreError(
        f"the store {root} has format version {version}, this poyodata reads and writes {FORMAT_VERSION}; {advice}"
    )
