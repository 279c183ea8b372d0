"""The file system under a store: files written whole and forced to disk, and its refusals said in one sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xxhash

from poyodata.errors import StoreError
from poyodata.store.layout import TEMPORARY

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
_READ_BYTES = 1 << 20
_SYNCS_AT_ONCE = 16


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full disk, or one that may not be written, into a `StoreError` that says what to do.

    Examples
    --------
    >>> with disk_errors(Path("allen.zarr")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    poyodata.errors.StoreError: the disk of the store allen.zarr is full (No space left on device); every recording \
finished so far is in the store. Free some space and run the same again: it goes on where it stopped.
    """
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        if named is not None and root not in (named, *named.parents) and named not in root.parents:
            raise  # a file of the source
        if error.errno in _FULL:
            raise StoreError(
                f"the disk of the store {root} is full ({error.strerror}); every recording finished so far is in the "
                "store. Free some space and run the same again: it goes on where it stopped."
            ) from error
        if error.errno in _REFUSED:
            raise StoreError(
                f"the store {root} cannot be written ({error.strerror}{f': {named}' if named else ''}); nothing was "
                "changed. Check who may write to that folder and whether its disk is read-only, or choose another."
            ) from error
        raise


def sync(path: Path) -> None:
    """Force one file or folder entry to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Force a folder and everything in it to disk.

    Several at a time: a file system writes what it is asked for together, and waiting is most of the price.
    """
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as threads:
        for done in [threads.submit(sync, path) for path in [*folder.rglob("*"), folder]]:
            done.result()


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, force it to disk and put it in place; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - one name for every step that a crash can fall on
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    # It is in place for everyone. A folder that cannot be synced only delays when that is safe from a power cut.
    with suppress(OSError):
        sync(path.parent)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """A JSON file of the store as it is written."""
    return json.dumps(value, indent=2, allow_nan=False).encode()


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put a JSON file in place atomically."""
    replace_file(path, json_bytes(value))


def move(source: Path, target: Path) -> None:
    """Rename a finished file or folder, over what a commit that failed in this process may have left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(target)
    os.rename(source, target)  # noqa: PTH104 - as everywhere in the store
    sync(target.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second name, or a copy where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        try:
            shutil.copyfile(source, target)
        except OSError as refused:
            if refused.errno in _FULL:  # which names the source, though it is the disk of the target
                raise OSError(refused.errno, refused.strerror, str(target)) from refused
            raise


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; it may be missing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def retire(path: Path, root: Path) -> None:
    """Remove what readers may have open: a folder goes whole from under its name before anything in it is removed."""
    if path.is_dir():
        aside = root / f"{TEMPORARY}{uuid.uuid4().hex[:16]}"
        os.rename(path, aside)  # noqa: PTH104 - as everywhere in the store
        path = aside
    remove(path)


def file_digest(path: Path) -> str:
    """xxh3 of a file's bytes: 64 bits, as 16 hexadecimal digits."""
    state = xxhash.xxh3_64()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            state.update(piece)
    return state.hexdigest()
