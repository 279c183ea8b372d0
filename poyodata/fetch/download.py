"""One file: resumed where it can be, checked before it takes its name, never in the way of a good one."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from poyodata.errors import SourceError
from poyodata.fetch.completeness import is_complete, stored_end
from poyodata.fetch.display import human_bytes
from poyodata.fetch.web import Web, WebError

Status = Literal["already here", "downloaded", "replaced"]

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")


class BusyError(SourceError):
    """Another process is downloading the same file."""


class _Origin(BaseModel):
    """What the partial file is a part of; lies beside it."""

    url: str
    length: int | None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, else the date; None where the server gives neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def differs(self, other: _Origin) -> bool:
        """Whether `other` states a version or a length that is not ours; an answer in parts need not repeat all."""
        pairs = (
            (self.etag, other.etag),
            (self.last_modified, other.last_modified),
            (self.length, other.length),
        )
        return any(ours is not None and theirs is not None and ours != theirs for ours, theirs in pairs)


@dataclass(frozen=True)
class Partial:
    """The unfinished form of one file: ``<name>.partial``, and ``<name>.partial.json`` on where it comes from.

    Attributes
    ----------
    target : Path
        The file that it will be.

    Examples
    --------
    >>> Partial(Path("5.nwb")).path.name
    '5.nwb.partial'
    """

    target: Path

    @property
    def path(self) -> Path:
        """The bytes that have arrived."""
        return self.target.with_name(self.target.name + ".partial")

    @property
    def origin_path(self) -> Path:
        """Address, length and version of the whole."""
        return self.target.with_name(self.target.name + ".partial.json")

    def held(self) -> int:
        """Bytes that have arrived."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def origin(self, url: str) -> _Origin | None:
        """What the partial file is a part of; None where it cannot be continued from `url`."""
        try:
            origin = _Origin.model_validate_json(self.origin_path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        within = origin.length is None or self.held() <= origin.length
        return origin if origin.url == url and origin.validator and within else None

    def begin(self, origin: _Origin) -> None:
        """Forget what has arrived, and start anew."""
        # The bytes go first: should we die between the two, nothing is left under the old origin.
        os.truncate(self.path, 0)
        self.origin_path.write_text(origin.model_dump_json(), encoding="utf-8")

    def finish(self) -> None:
        """Give the file its name, atomically, unless a good one has taken it meanwhile."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        if not is_complete(self.target):
            self.path.replace(self.target)
        self.path.unlink(missing_ok=True)
        self.origin_path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer; the system releases the lock when the process dies.

        Raises
        ------
        BusyError
            When another one is.
        """
        import fcntl

        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise BusyError(f"another process is downloading {self.target.name}") from error
                except OSError as error:
                    if error.errno not in _NO_LOCKS:  # some cluster file systems have none: go on without
                        raise
                if not self._is_ours(handle):
                    continue  # finished and renamed between our opening and locking it
                try:
                    yield
                finally:
                    if self._is_ours(handle) and self.held() == 0:
                        self.path.unlink()
                        self.origin_path.unlink(missing_ok=True)
                return
            finally:
                os.close(handle)

    def _is_ours(self, handle: int) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(handle))
        except FileNotFoundError:
            return False


def download(web: Web, url: str, target: Path, held: Callable[[int], None] = lambda _bytes: None) -> tuple[Status, int]:
    """Download one HDF5 file, or leave it alone where it is there and whole.

    Parameters
    ----------
    web : Web
    url : str
    target : Path
        Takes the file when it is complete, atomically; one that is cut off is replaced then and not before.
    held : callable, optional
        Called with the number of bytes that are safe, whenever it changes.

    Returns
    -------
    status : {"already here", "downloaded", "replaced"}
    size : int
        Bytes of the file.

    Raises
    ------
    WebError
        When the bound of the retries is reached; what has arrived stays as ``<name>.partial``, and the next call goes
        on from it.
    BusyError
        When another process is downloading it.
    """
    if is_complete(target):
        return "already here", target.stat().st_size
    partial = Partial(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with partial.locked():
        if is_complete(target):  # finished by another process while we came
            return "already here", target.stat().st_size
        damaged = target.exists()
        held(partial.held())
        web.persist(target.name, lambda: _attempt(web, url, partial, held), partial.held)
        partial.finish()
    return "replaced" if damaged else "downloaded", target.stat().st_size


def _attempt(web: Web, url: str, partial: Partial, held: Callable[[int], None]) -> None:
    """One request that brings what is missing; returns when the partial file is whole."""
    known = partial.origin(url)
    have = partial.held() if known else 0
    if known and have and have == known.length and is_complete(partial.path):
        return  # all had arrived when we were stopped
    headers = {"Range": f"bytes={have}-", "If-Range": str(known.validator)} if known and have else {}
    try:
        with web.open(url, headers=headers) as response:
            origin = _Origin(
                url=url,
                length=_length(response.headers.get("Content-Length")),
                etag=response.headers.get("ETag"),
                last_modified=response.headers.get("Last-Modified"),
            )
            if response.status == 206:
                start, origin.length = _content_range(response.headers.get("Content-Range", ""))
                if known is None or start != have or known.differs(origin):
                    _discard(partial, known, held)
                    raise WebError("the file has changed on the server, so it starts again")
            else:
                partial.begin(origin)
                held(0)
            _append(web.pieces(response), partial, held)
    except WebError as fault:
        if fault.status != 416 or not have:  # asked beyond the end: all is here, or what is here is of another file
            raise
        if not is_complete(partial.path):
            _discard(partial, known, held)
            raise WebError("what had arrived does not fit the server's file, so it starts again") from fault
        return
    _check(partial, origin, held)


def _append(pieces: Iterator[bytes], partial: Partial, held: Callable[[int], None]) -> None:
    # Unbuffered: what is counted as held is in the file, whatever ends this process.
    with partial.path.open("ab", buffering=0) as file:
        size = partial.held()
        for piece in pieces:
            if size == 0 and piece.lstrip()[:1] in (b"<", b"{"):
                raise WebError(f"a web page came in place of the file, it begins {piece[:40]!r}")
            rest = memoryview(piece)
            while rest:  # a raw write may be short, as on a disk that fills up
                rest = rest[file.write(rest) :]
            size += len(piece)
            held(size)


def _check(partial: Partial, origin: _Origin, held: Callable[[int], None]) -> None:
    size = partial.held()
    if origin.length is not None and size < origin.length:
        raise WebError(f"the connection ended after {human_bytes(size)} of {human_bytes(origin.length)}")
    end = stored_end(partial.path)
    if end is not None and end <= size and (origin.length is None or size == origin.length):
        return
    _discard(partial, origin, held)
    if end is None:
        raise WebError("what came is no HDF5 file")
    if end > size:
        raise WebError(f"the file that came has {size} bytes and says itself that it has {end}")
    raise WebError(f"{size} bytes came where the server spoke of {origin.length}")


def _discard(partial: Partial, origin: _Origin | None, held: Callable[[int], None]) -> None:
    if origin is not None:
        partial.begin(origin)
        held(0)


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _content_range(text: str) -> tuple[int | None, int | None]:
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
