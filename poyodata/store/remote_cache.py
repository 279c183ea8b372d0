"""The local cache of remote stores: where it is, and whole files in it.

One folder for every URL, under ``$POYODATA_CACHE`` or the user's cache folder: ``stores/<digest of the URL>/``, with
``store.json`` that names the URL. It may be removed at any time, as a whole or in parts. It grows with what is read:
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
from typing import Any

from poyodata.errors import StoreError
from poyodata.store.layout import TEMPORARY
from poyodata.store.remote import IN_FLIGHT, Remote

CACHE_VARIABLE = "POYODATA_CACHE"

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


class MismatchError(StoreError):
    """A file came twice with other bytes than it should have."""


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
        place(self.folder / "store.json", (json.dumps({"url": self.remote.url}) + "\n").encode())

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
            for at in range(0, len(wanted), 4 * IN_FLIGHT):
                names = wanted[at : at + 4 * IN_FLIGHT]
                for name, content in zip(names, self.read(names, check), strict=True):
                    place(files[name], content)

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
                raise MismatchError(
                    f"{self.remote.url}/{name} came twice with another digest than it should have; it is damaged "
                    "there, or the store was changed since it was opened. Open it again, or restore the file from a "
                    "copy."
                )
        return [contents[name] for name in names]

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
    with cache_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
