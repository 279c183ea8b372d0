"""The local cache of remote stores: where it is, and whole files in it.

One folder for every URL, under ``$POYODATA_CACHE`` or the user's cache folder: ``stores/<digest of the URL>/``, with
``store.json`` that names the URL. It may be removed at any time, as a whole or in parts, also while it is read from:
so nobody is told a path here and trusts that a file lies there. It grows with what is read:
`poyodata.store.kept_stores` (``poyodata cache``) says how large it is, clears it, and brings it down to a limit.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from poyodata.errors import StoreError
from poyodata.store.layout import TEMPORARY
from poyodata.store.remote import IN_FLIGHT, Missing, Remote

T = TypeVar("T")

CACHE_VARIABLE = "POYODATA_CACHE"

_TRIES = 100
"""Of writing into a folder that somebody else removes again and again."""

Check = Callable[[str, bytes], bool]
"""Whether the bytes of a file, given by its name, are those that the store's tables say."""


def store_cache(url: str, storage_options: Mapping[str, Any] | None = None, cache: str | Path | None = None) -> Path:
    """Folder that keeps what was fetched of one remote store.

    Parameters
    ----------
    url : str
    storage_options : mapping, optional
        Of these, ``endpoint_url`` counts: the same bucket name at another server is another store.
    cache : path-like, optional
        Folder of all remote stores, instead of the user's.

    Returns
    -------
    Path

    Examples
    --------
    >>> store_cache("s3://lab/allen.zarr", cache="kept").as_posix()
    'kept/stores/316f73959691c8c5'
    """
    options = storage_options or {}
    endpoint = options.get("endpoint_url") or (options.get("client_kwargs") or {}).get("endpoint_url") or ""
    return stores_folder(cache) / hashlib.sha256(f"{endpoint}\n{url.rstrip('/')}".encode()).hexdigest()[:16]


def stores_folder(cache: str | Path | None = None) -> Path:
    """Folder that has one folder for each remote store: below `cache`, ``$POYODATA_CACHE``, or the user's cache folder.

    Examples
    --------
    >>> stores_folder("kept").as_posix()
    'kept/stores'
    """
    import platformdirs

    named = os.environ.get(CACHE_VARIABLE)
    if cache is not None:
        folder = Path(cache).expanduser()
    else:
        folder = Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("poyodata")
    return folder / "stores"


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or one that may not be written, into a `StoreError` that says what to do.

    Examples
    --------
    >>> with cache_errors(Path("kept/dff")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    poyodata.errors.StoreError: the cache kept of remote stores is full (No space left on device); free some space, \
or set POYODATA_CACHE to another folder.
    """
    try:
        yield
    except OSError as error:
        what = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot be written"
        raise StoreError(
            f"the cache {path.parent} of remote stores {what} ({error.strerror or error}); free some space, or set "
            f"{CACHE_VARIABLE} to another folder."
        ) from error


def in_folder(path: Path, write: Callable[[], T]) -> T:
    """Make the folder of a file and write the file; again where the cache was emptied in between.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    for _ in range(_TRIES - 1):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write()
        except (FileNotFoundError, FileExistsError):  # the second where a folder goes while it is looked at
            continue
    path.parent.mkdir(parents=True, exist_ok=True)
    return write()


class MismatchError(StoreError):
    """A file came twice with other bytes than it should have.

    Attributes
    ----------
    came : str
        What came instead, in a few words.
    """

    came = ""


class KeptFile:
    """A file of a remote store: read from the cache, and fetched anew where it went from there meanwhile.

    Parameters
    ----------
    copies : Copies
    name : str
        Below the store.
    path : Path
        In the cache.
    check : callable
    gone : callable
        Error to raise where the server has the file no more.
    """

    def __init__(
        self, copies: Copies, name: str, path: Path, check: Check, gone: Callable[[Missing], StoreError]
    ) -> None:
        self._copies, self._name, self._path, self._check, self._gone = copies, name, path, check, gone

    def __str__(self) -> str:
        return str(self._path)

    def read_bytes(self) -> bytes:
        """Its bytes, checked."""
        try:
            return self._copies.contents({self._name: self._path}, self._check)[self._name]
        except Missing as missing:
            raise self._gone(missing) from missing


class Copies:
    """Whole files of a remote store, copied into its cache when they are asked for.

    Parameters
    ----------
    remote : Remote
    folder : Path
        From `store_cache`.
    """

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote = remote
        self.folder = folder
        self._lock = threading.RLock()
        self._intact: dict[Path, tuple[int, int, int]] = {}

    def claim(self) -> None:
        """Write down which store the folder is of."""
        place(self._claimed, (json.dumps({"url": self.remote.url}) + "\n").encode())

    @property
    def _claimed(self) -> Path:
        return self.folder / "store.json"

    def bring(self, files: Mapping[str, Path], check: Check) -> None:
        """Fetch the files that are not in the cache; those never change under the path that they have there.

        A file that lies there is checked before it is first used, and fetched anew when it was damaged.

        Parameters
        ----------
        files : mapping of str to Path
            Name below the store, and path in the cache.
        check : callable
            A file that fails it is fetched once more.

        Raises
        ------
        Missing
            When one is not there.
        StoreError
            When one fails the check twice, or the cache cannot be written.
        """
        with self._lock:
            wanted = [name for name, path in files.items() if not self._is_kept(name, path, check)]
            for _ in self._fetch(files, wanted, check):
                pass

    def contents(self, files: Mapping[str, Path], check: Check) -> dict[str, bytes]:
        """Bytes of files, of the cache or else of the server: right whatever becomes of the cache meanwhile.

        Parameters, and what is raised, as of `bring`.

        Returns
        -------
        dict of str to bytes
            By name.
        """
        with self._lock:
            found = {}
            for name, path in files.items():
                try:
                    content = path.read_bytes()
                except OSError:  # what cannot be read is fetched; writing it says what is wrong
                    continue
                if check(name, content):
                    found[name] = content
            found.update(self._fetch(files, [name for name in files if name not in found], check))
        return found

    def bring_changing(self, name: str, path: Path, check: Check) -> None:
        """Fetch a file unless what is in the cache is what the server has now.

        Raises
        ------
        Missing, StoreError
            As `bring`.
        """
        noted = path.with_name(f"{path.name}.identity")
        with self._lock:
            # Asked before the file is read: one that changes in between has another identity at the next look.
            identity = self.remote.identity(name)
            if identity is not None and _text(noted) == identity and self._is_kept(name, path, check):
                return
            (content,) = self.read([name], check)
            noted.unlink(missing_ok=True)
            place(path, content)
            if identity is not None:
                place(noted, identity.encode())

    def read(self, names: Sequence[str], check: Check) -> list[bytes]:
        """Read files from the server and check them; nothing is kept.

        Raises
        ------
        Missing, StoreError
            As `bring`.
        """
        contents = dict(zip(names, self.remote.read(names), strict=True))
        wrong = [name for name, content in contents.items() if not check(name, content)]
        if wrong:
            contents.update(zip(wrong, self.remote.read(wrong), strict=True))
        for name in wrong:
            if not check(name, contents[name]):
                came = described(contents[name])
                error = MismatchError(
                    f"{self.remote.url}/{name} came twice with another digest than it should have ({came}): the server "
                    "or the transfer sent something else or not all of it, the file is damaged there, or the store was "
                    "changed since it was opened. Try again, open it again, or restore the file from a copy."
                )
                error.came = came
                raise error
        return [contents[name] for name in names]

    def _fetch(self, files: Mapping[str, Path], names: Sequence[str], check: Check) -> Iterator[tuple[str, bytes]]:
        """Read files from the server, some at a time, and keep them."""
        if names and not self._claimed.exists():  # the cache was emptied since
            self.claim()
        for at in range(0, len(names), 4 * IN_FLIGHT):
            some = names[at : at + 4 * IN_FLIGHT]
            for name, content in zip(some, self.read(some, check), strict=True):
                place(files[name], content)
                yield name, content

    def _is_kept(self, name: str, path: Path, check: Check) -> bool:
        """Whether the cache has a file, and whole; read once, and again only when it was written since."""
        try:
            status = path.stat()
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._intact.get(path) == state:
                return True
            if not check(name, path.read_bytes()):
                return False
        except OSError:  # what cannot be read is fetched; writing it says what is wrong
            return False
        self._intact[path] = state
        return True


def place(path: Path, content: bytes) -> None:
    """Put a file into the cache whole."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{path.name}")

    def write() -> None:
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    with cache_errors(path):
        in_folder(path, write)


def described(content: bytes) -> str:
    """What came, in a few words.

    Examples
    --------
    >>> described(b"<!DOCTYPE html><title>Log in</title>"), described(b"")
    ('36 bytes, a web page', '0 bytes')
    """
    start = content[:512].lstrip().lower()
    return f"{len(content):,} bytes" + (", a web page" if start.startswith((b"<!doctype", b"<html")) else "")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
