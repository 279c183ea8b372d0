"""`RemoteFile`: a recording behind a URL, of which only the blocks that are asked for are fetched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import h5py

from poyodata.digests import json_digest
from poyodata.errors import SourceError, UsageError

_BLOCK_BYTES = 2**20
_BLOCKS = 32
_CHUNK_SLOTS = 100_003
# A URL that went through a `Path` has lost one of its slashes. Drives of Windows have one letter.
_URL = re.compile(r"([a-z][a-z0-9+]+):/{1,2}(?=[^/])", re.IGNORECASE)
_LOCAL_URL = re.compile(r"file:/+", re.IGNORECASE)


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL that fsspec understands: ``https://``, ``s3://`` and the like.

    It is read through blocks of 1 MiB, of which 32 stay in memory. Where a server asks who is there, fsspec's own
    configuration answers (``FSSPEC_S3_ANON=true`` for a public bucket, ``FSSPEC_S3_ENDPOINT_URL`` for another server).

    Attributes
    ----------
    url : str

    Examples
    --------
    >>> file = RemoteFile("https://example.org/sub-1/ses-2_ophys.nwb?signature=abc")
    >>> file.name, file.suffix, str(file)
    ('ses-2_ophys.nwb', '.nwb', 'https://example.org/sub-1/ses-2_ophys.nwb')
    """

    url: str

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def suffix(self) -> str:
        """Ending of the last part, such as ``.nwb``."""
        return PurePosixPath(self.name).suffix

    def __str__(self) -> str:
        # What follows the path may be a signature, which is nobody else's.
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def open_hdf5(self, cache_bytes: int = 2**20) -> h5py.File:
        """Open it as HDF5; what is read is fetched.

        Raises
        ------
        SourceError
            When it cannot be reached, is truncated or is no HDF5 file.
        """
        blocks, _ = self._blocks()
        if not blocks.size or not blocks.seekable():
            raise SourceError(f"the server of {self} does not serve parts of files; download it and ingest the copy.")
        try:
            # Not every server says that it knows no ranges, and HDF5 would look in many places: each a whole file.
            blocks.seek(blocks.size - 1)
            blocks.read(1)
        except ValueError as error:  # a whole file came
            raise SourceError(
                f"the server of {self} does not serve parts of files ({self._short(error)}); download it and ingest "
                "the copy."
            ) from error
        except Exception as error:  # each of fsspec's file systems has errors of its own
            raise SourceError(f"{self} cannot be read ({self._short(error)}); check the connection.") from error
        try:
            return h5py.File(blocks, "r", rdcc_nbytes=cache_bytes, rdcc_nslots=_CHUNK_SLOTS)
        except Exception as error:  # each of fsspec's file systems has errors of its own
            raise SourceError(f"{self} cannot be read as HDF5 ({self._short(error)}); {self._fault(blocks)}") from error

    def digest(self) -> str:
        """Digest of the URL, the size and the server's ETag (or time of change): the content is not fetched for it.

        Returns
        -------
        str
            32 hexadecimal digits.

        Raises
        ------
        SourceError
            When the server tells neither ETag nor time of change, so that another version could not be told.
        """
        blocks, details = self._blocks()
        seen = {str(key).casefold().replace("-", ""): value for key, value in details.items()}
        tag = next((str(seen[key]) for key in ("etag", "md5", "contentmd5", "lastmodified") if seen.get(key)), "")
        if not tag:
            raise SourceError(f"the server of {self} tells no ETag; download the file and ingest the copy.")
        return json_digest({"url": str(self), "size": blocks.size, "etag": tag.strip('"')})[:32]

    def _blocks(self) -> tuple[Any, dict[str, Any]]:
        try:
            return _opened(self.url, os.getpid())
        except Exception as error:  # each of fsspec's file systems has errors of its own
            hint = "check the URL"
            if isinstance(error, FileNotFoundError):
                raise SourceError(f"{self} is not there, or cannot be reached; check the URL.") from error
            if isinstance(error, ImportError):
                hint = "install what it needs with `pip install 'poyodata[remote]'`"
            elif "credentials" in str(error).lower():
                hint = "set FSSPEC_S3_ANON=true where the bucket is public, or give credentials"
            raise SourceError(f"{self} cannot be opened ({self._short(error)}); {hint}.") from error

    def _short(self, error: Exception) -> str:
        return (str(error).replace(self.url, str(self)).splitlines() or [type(error).__name__])[0][:160]

    def _fault(self, blocks: Any) -> str:
        try:
            blocks.seek(0)
            is_hdf5 = blocks.read(8) == b"\x89HDF\r\n\x1a\n"
        except Exception:  # as above
            return "the server must allow ranges to be read; download the file and ingest the copy."
        if is_hdf5:
            return f"its {blocks.size:,} bytes are truncated or damaged."
        return "an .h5 or .nwb recording was expected."


Place: TypeAlias = Path | RemoteFile
"""Where a recording lies."""


def place_of(text: str | Place) -> Place:
    """Tell URLs from paths.

    Parameters
    ----------
    text : str, Path or RemoteFile
        A URL may have gone through a `Path`, which takes one of its slashes.

    Returns
    -------
    Path or RemoteFile

    Examples
    --------
    >>> place_of(Path("https://example.org/one.nwb"))
    RemoteFile(url='https://example.org/one.nwb')
    >>> place_of("recordings/one.nwb").name
    'one.nwb'
    """
    if isinstance(text, RemoteFile):
        return text
    if _LOCAL_URL.match(str(text)):
        return Path("/" + _LOCAL_URL.sub("", str(text)))
    url = _URL.match(str(text))
    if url is None:
        return Path(text)
    return RemoteFile(f"{url.group(1).casefold()}://{str(text)[url.end() :]}")


def local(place: Place) -> Path:
    """Return a path, or say that what is asked for works with files of this machine only."""
    if isinstance(place, RemoteFile):
        raise UsageError(f"{place} is a URL, which is read where one HDF5 file holds the recording; download it.")
    return place


@lru_cache(maxsize=2)
def _opened(url: str, _process: int) -> tuple[Any, dict[str, Any]]:
    """File object of a URL and what its server tells of it, shared by a process so that no block is fetched twice."""
    import fsspec

    if url.endswith("/"):
        raise ValueError("it names a folder, the URL of one file was expected")
    system, path = fsspec.core.url_to_fs(url)
    details = system.info(path)
    blocks = system.open(
        path, "rb", block_size=_BLOCK_BYTES, cache_type="blockcache", cache_options={"maxblocks": _BLOCKS}
    )
    return blocks, details
