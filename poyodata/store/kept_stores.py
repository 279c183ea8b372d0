"""What the cache of remote stores holds on this machine: how large it is, and how it is cleared or made smaller.

Nothing here may be needed: whatever is removed is fetched again when it is read. A store that is open in another
process goes on: it fetches anew what it finds gone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poyodata.errors import UsageError, nearest
from poyodata.store.layout import TEMPORARY
from poyodata.store.remote_cache import cache_errors, stores_folder

_FOLDER = re.compile(r"[0-9a-f]{16}")
_DISK_BLOCK_BYTES = 512


@dataclass(frozen=True)
class KeptStore:
    """One remote store of which something is kept.

    Attributes
    ----------
    url : str
        Empty where the folder does not say it any more.
    folder : Path
    n_bytes : int
        On this disk; parts of recordings that were never read take no room.
    n_recordings : int
        Of which something is kept.
    used : float
        When it was last opened, or something was fetched; seconds since 1970.
    """

    url: str
    folder: Path
    n_bytes: int
    n_recordings: int
    used: float


def kept_stores(cache: str | Path | None = None) -> list[KeptStore]:
    """List what the cache holds, the largest first.

    Parameters
    ----------
    cache : path-like, optional
        Folder of the cache; ``$POYODATA_CACHE``, else the user's.

    Returns
    -------
    list of KeptStore

    Examples
    --------
    >>> kept_stores("no-such-folder")
    []
    """
    found = []
    for folder in _folders(cache):
        n_bytes, used = _size_and_use(folder)
        n_recordings = len(_children(folder / "recordings"))
        found.append(KeptStore(_url(folder), folder, n_bytes, n_recordings, used))
    return sorted(found, key=lambda one: (-one.n_bytes, one.url))


def clear_kept_stores(url: str = "", cache: str | Path | None = None) -> int:
    """Remove all that is kept of one remote store, or of every one.

    Parameters
    ----------
    url : str
        Of the store, also where several servers have one of that name; every store when empty.
    cache : path-like, optional

    Returns
    -------
    int
        Bytes that were given back.

    Raises
    ------
    UsageError
        When nothing is kept of that store.
    StoreError
        When the cache cannot be written.
    """
    known = kept_stores(cache)
    chosen = [one for one in known if not url or one.url == url.rstrip("/")]
    if url and not chosen:
        raise UsageError(f"nothing is kept of {url}: {nearest(url, [one.url for one in known])}")
    for one in chosen:
        _remove(one.folder)
    return sum(one.n_bytes for one in chosen)


def trim_kept_stores(limit_bytes: int, cache: str | Path | None = None) -> int:
    """Make the cache no larger than a limit: what was not used for longest goes first, a recording or movie at a time.

    Tables of a store, and statistics that were computed of it, stay unless the limit is below their size: then stores
    go as a whole.

    Parameters
    ----------
    limit_bytes : int
    cache : path-like, optional

    Returns
    -------
    int
        Bytes that were given back.

    Raises
    ------
    UsageError
        When the limit is negative.
    StoreError
        When the cache cannot be written.
    """
    if limit_bytes < 0:
        raise UsageError(f"a limit of {limit_bytes} bytes was given; 0 or more were expected.")
    size = before = sum(one.n_bytes for one in kept_stores(cache))
    parts = [
        part for folder in _folders(cache) for kind in ("recordings", "stimuli") for part in _children(folder / kind)
    ]
    for removable in (parts, list(_folders(cache))):
        measured = [(*_size_and_use(folder), folder) for folder in removable]
        for n_bytes, _, folder in sorted(measured, key=lambda one: (one[1], one[2])):
            if size <= limit_bytes:
                return before - size
            _remove(folder)
            size -= n_bytes
    return before - size


def _folders(cache: str | Path | None) -> Iterator[Path]:
    """Folders of the cache that are of stores; whatever else lies there is not ours."""
    for child in _children(stores_folder(cache)):
        if _FOLDER.fullmatch(child.name) and child.is_dir():
            yield child


def _children(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing in one that is not there, or not any more."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _url(folder: Path) -> str:
    try:
        return str(json.loads((folder / "store.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _size_and_use(folder: Path) -> tuple[int, float]:
    """Bytes that a folder takes on the disk, and when one of its files was last written or opened by a store."""
    n_bytes, used = 0, 0.0
    # Unlike Path.rglob, os.walk passes over folders that are removed meanwhile.
    for path in (os.path.join(top, name) for top, _, names in os.walk(folder) for name in names):  # noqa: PTH118
        try:
            status = os.lstat(path)
        except OSError:
            continue
        n_bytes += getattr(status, "st_blocks", -(-status.st_size // _DISK_BLOCK_BYTES)) * _DISK_BLOCK_BYTES
        used = max(used, status.st_mtime)
    return n_bytes, used


def _remove(folder: Path) -> None:
    """Take a folder away as a whole before its files are removed, so that nobody finds half of it."""
    going = folder.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}")
    with cache_errors(folder):
        try:
            folder.rename(going)
        except FileNotFoundError:  # another process was faster
            return
        shutil.rmtree(going, onerror=_raise_unless_gone)


def _raise_unless_gone(_what: object, _path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    """Where another process removes the same, that it is gone is what was wanted."""
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
