"""Bytes under a URL: whole files and ranges, several in flight, with bounded retries and refusals in one sentence.

fsspec brings the protocols, their credentials and the event loop. Its caches are not used. ``blockcache`` counts a
block as present before it was fetched, writes down which it has only when a file is closed, and believes whatever
arrives; ``filecache`` and ``simplecache`` fetch 92 MB to read one second of a recording. What we keep instead, and how
it is checked, is in `poyodata.store.remote_blocks` and `poyodata.store.remote_files`.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poyodata.errors import PoyodataError, StoreError, UsageError

IN_FLIGHT = 8
"""Requests at a time."""

_PAUSES_S = (0.2, 1.0)
"""Before the second and the third attempt; there is no fourth."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_MANGLED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/[^/]")
_IN_EXTRA = ("s3", "s3a", "http", "https")
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"}
_CONNECT_S, _READ_S = 15, 60


def is_url(path: object) -> bool:
    """Whether a path of a store is a URL. ``file://`` is one too: see `local_path`.

    Raises
    ------
    UsageError
        When it was a URL before ``pathlib.Path`` took one of its slashes.

    Examples
    --------
    >>> is_url("s3://lab/allen.zarr"), is_url("allen.zarr")
    (True, False)
    """
    text = str(path)
    if isinstance(path, Path) and _MANGLED.match(text) and not path.exists():
        raise UsageError(f"{text} was a URL before it was made a Path; give it as text, with both slashes.")
    return _URL.match(text) is not None


def written_folder(path: str | os.PathLike[str], what: str = "a store") -> Path:
    """Folder that something is to be written to.

    Parameters
    ----------
    path : path-like
        ``file://`` is taken too.
    what : str
        What is written there, for the message.

    Raises
    ------
    UsageError
        When it is a URL.

    Examples
    --------
    >>> written_folder("file:///lab/allen.zarr").as_posix()
    '/lab/allen.zarr'
    >>> written_folder("s3://lab/allen.zarr")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: s3://lab/allen.zarr is a URL, and a store is written to a folder of this machine: give \
one, and copy it to the URL, tables/sessions.parquet last.
    """
    url = _as_url(path)
    if url is not None:
        last = ", tables/sessions.parquet last" if what == "a store" else ""
        raise UsageError(
            f"{url} is a URL, and {what} is written to a folder of this machine: give one, and copy it to the "
            f"URL{last}."
        )
    return Path(local_path(os.fspath(path)) or path)


def local_folder(path: str | os.PathLike[str], doing: str) -> Path:
    """Folder of a store that lies on this machine.

    Parameters
    ----------
    path : path-like
        ``file://`` is taken too.
    doing : str
        What cannot be done to a store at a URL: "verified", "merged from".

    Raises
    ------
    UsageError
        When it is a URL.

    Examples
    --------
    >>> local_folder("s3://lab/allen.zarr", "merged from")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: s3://lab/allen.zarr is a URL, and a store at a URL can be read but not merged from: \
copy it to a folder of this machine and give that.
    """
    url = _as_url(path)
    if url is not None:
        raise UsageError(
            f"{url} is a URL, and a store at a URL can be read but not {doing}: copy it to a folder of this machine "
            "and give that."
        )
    return Path(local_path(os.fspath(path)) or path)


def _as_url(path: str | os.PathLike[str]) -> str | None:
    """A URL, also when a Path took one of its slashes; None for a path, and for ``file://``."""
    text = os.fspath(path)
    if local_path(text) is not None:
        return None
    if _URL.match(text):
        return text
    return text.replace(":/", "://", 1) if _MANGLED.match(text) and not Path(text).exists() else None


def local_path(path: str) -> str | None:
    """Path of a ``file://`` URL, also when a Path took some of its slashes; None for all else.

    Examples
    --------
    >>> local_path("file:///lab/allen.zarr"), local_path("s3://lab/allen.zarr")
    ('/lab/allen.zarr', None)
    """
    if path.startswith("file:/") and not os.path.lexists(path):
        return "/" + path.removeprefix("file:").lstrip("/")
    return None


class Missing(Exception):  # noqa: N818 - an answer, not an error; never leaves the store
    """What was asked for is not there."""


class Remote:
    """A folder under a URL. Can be pickled, with the credentials in `storage_options`.

    Parameters
    ----------
    url : str
    storage_options : mapping, optional
        For fsspec's file system of that protocol: credentials, ``endpoint_url``, ``anon``, ...

    Raises
    ------
    UsageError
        For a protocol that fsspec does not know, or whose package is not installed.

    Attributes
    ----------
    url : str
        Without a slash at its end.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self._process = 0
        self._has_ranges = False  # as far as is known
        self._warned = False
        self._connect()

    def __reduce__(self) -> tuple[Any, ...]:
        return Remote, (self.url, self.storage_options)

    def read(self, names: Sequence[str]) -> list[bytes]:
        """Read whole files.

        Parameters
        ----------
        names : sequence of str
            Below the folder, with forward slashes.

        Raises
        ------
        Missing
            When one of them is not there.
        UsageError, StoreError
            When access is denied, or the server cannot be reached or fails three times.
        """
        return self._attempt([(name, None, None) for name in names])

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]], size: int) -> list[bytes]:
        """Read parts of one file.

        Parameters
        ----------
        name : str
        ranges : sequence of (int, int)
            Byte of the start, and of the stop (exclusive).
        size : int
            Bytes of the whole file.

        Returns
        -------
        list of bytes
            One for each range. From a server that knows no ranges, the whole file once, with a warning.

        Raises
        ------
        Missing, UsageError, StoreError
            As `read`; StoreError also when another number of bytes comes three times than was asked for.
        """
        wanted = [(name, start, stop) for start, stop in ranges]
        if self._has_ranges:
            return self._attempt(wanted)
        # A server without ranges must not be asked for the same whole file many times at once.
        first = self._attempt(wanted[:1], size)
        if len(first[0]) == size != ranges[0][1] - ranges[0][0]:
            self._warn_of_whole_files()
            return first
        self._has_ranges = True
        return first + self._attempt(wanted[1:])

    def identity(self, name: str) -> str | None:
        """What changes when a file does, such as its ETag; None when the server does not say, or it is not there.

        A time counts only for a file that was a minute old when it was asked for: one that was written in the same
        second as it was read could change without its time changing.

        Raises
        ------
        UsageError, StoreError
            As `read`.
        """
        self._connect()
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(f"{self._root}/{name}")
        except Exception as error:  # every protocol has classes of its own
            if isinstance(error, FileNotFoundError):
                return None
            raise self._refusal(error, name) from error
        if info.get("ETag"):
            return f"{info['ETag']} {info.get('size')}"
        changed = _seconds(info.get("Last-Modified") or info.get("LastModified") or info.get("mtime"))
        if changed is None or time.time() - changed < 60:
            return None
        return f"{changed} {info.get('size')}"

    def _connect(self) -> None:
        """Make the file system; once more in a forked process, where fsspec's would not answer."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._fs, self._root = _file_system(self.url, self.storage_options)

    def _attempt(self, wanted: Sequence[tuple[str, int | None, int | None]], size: int | None = None) -> list[bytes]:
        """Answers to all requests; a part may be a whole file of that size."""
        found: dict[int, bytes] = {}
        for pause in (*_PAUSES_S, None):
            asked = [at for at in range(len(wanted)) if at not in found]
            for at, answer in zip(asked, self._ask([wanted[at] for at in asked]), strict=True):
                name, start, stop = wanted[at]
                error = answer if isinstance(answer, Exception) else _short(answer, start, stop, size)
                if error is None:
                    found[at] = answer
                elif isinstance(error, FileNotFoundError):
                    raise Missing(name) from error
                elif pause is None or not _may_pass(error):
                    raise self._refusal(error, name) from error
            if len(found) == len(wanted):
                break
            if pause is not None:
                time.sleep(pause)
        return [found[at] for at in range(len(wanted))]

    def _ask(self, wanted: Sequence[tuple[str, int | None, int | None]]) -> list[Any]:
        if not wanted:
            return []
        self._connect()
        names, starts, stops = (list(column) for column in zip(*wanted, strict=True))
        options = {"batch_size": IN_FLIGHT} if self._fs.async_impl else {}
        answers: list[Any] = self._fs.cat_ranges(
            [f"{self._root}/{name}" for name in names], starts, stops, on_error="return", **options
        )
        return answers

    def _warn_of_whole_files(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the server of {self.url} sends whole files when asked for parts of them, so every recording that is "
                "read is fetched whole; a server with range requests spares this.",
                stacklevel=2,
            )

    def _refusal(self, error: Exception, name: str) -> PoyodataError:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":.")
        if _denied(error):
            return UsageError(
                f"{self.url} may not be read ({reason}); give credentials in storage_options or in the protocol's own "
                f"settings, and {{'anon': True}} for a public bucket{_variables(self.url)}."
            )
        if isinstance(error, TypeError):  # s3fs makes its connection at the first request
            return _not_understood(self.url, error)
        return StoreError(
            f"{self.url}/{name} could not be read ({reason}); check the URL and the connection"
            f"{_variables(self.url)}, then try again: what has arrived is kept."
        )


def _variables(url: str) -> str:
    """The same as environment variables, for the command line."""
    if not url.startswith(("s3://", "s3a://")):
        return ""
    return (
        " (from the command line: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or FSSPEC_S3_ANON=true; "
        "AWS_ENDPOINT_URL for another server than Amazon's)"
    )


def _file_system(url: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    import fsspec

    protocol = url.split("://", 1)[0].split("::")[0].lower()
    options = {**_defaults(protocol, storage_options), **storage_options}
    try:
        fs, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        how = "pip install 'poyodata[remote]'" if protocol in _IN_EXTRA else str(error)
        raise UsageError(
            f"{protocol}:// needs a package that is not installed ({error.name or error}): {how}"
        ) from error
    except (ValueError, TypeError) as error:
        raise _not_understood(url, error) from error
    return fs, root.rstrip("/")


def _not_understood(url: str, error: Exception) -> UsageError:
    return UsageError(
        f"{url} cannot be opened ({error}); expected a URL such as s3://bucket/allen.zarr or https://host/allen.zarr, "
        "and storage_options that fsspec's file system of that protocol knows."
    )


def _defaults(protocol: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that bound how long we wait for a server that does not answer."""
    if protocol in ("http", "https") and "client_kwargs" not in given:
        try:
            import aiohttp
        except ImportError:
            return {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
        return {"client_kwargs": {"timeout": timeout}}
    if protocol in ("s3", "s3a"):
        # One request a file: s3fs otherwise asks for the size of every file before it reads it.
        return {
            "max_concurrency": 1,
            "config_kwargs": {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"max_attempts": 1}},
        }
    return {}


def _short(answer: bytes, start: int | None, stop: int | None, size: int | None) -> Exception | None:
    """What is wrong with the length of an answer; None when nothing is."""
    if start is None or stop is None or len(answer) in (stop - start, size):
        return None
    return ConnectionError(f"{len(answer)} bytes came, {stop - start} were asked for from byte {start} on")


def _denied(error: Exception) -> bool:
    return (
        isinstance(error, PermissionError)
        or getattr(error, "status", None) in (401, 403)
        or type(error).__name__ in _NO_CREDENTIALS
    )


def _may_pass(error: Exception) -> bool:
    """Whether asking again can help: a lost connection or a server in trouble, not a refusal."""
    status = getattr(error, "status", None)
    return (
        not _denied(error)
        and not isinstance(error, TypeError)
        and (status is None or status >= 500 or status in (408, 429))
    )


def _seconds(moment: Any) -> float | None:
    if hasattr(moment, "timestamp"):
        return float(moment.timestamp())
    if isinstance(moment, int | float):
        return float(moment)
    if not moment:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(str(moment)).timestamp()
    except (ValueError, TypeError):
        return None
