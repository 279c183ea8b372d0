"""Recordings that are known to lack no value: found while they are written or read, and kept beside the statistics.

A file with the digest of a recording's content on each line, and the xxh3 of that digest: it says the same of every
store that holds the recording, and a recording that is replaced has another digest. The file may be removed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import xxhash

from poyodata.store.disk import replace_file

FILE = "complete_recordings.txt"

_log = logging.getLogger(__name__)


def complete_recordings(statistics: Path) -> set[str]:
    """Digests of recordings that were found without a missing value in any neuron and frame of dF/F.

    Parameters
    ----------
    statistics : Path
        ``Store.statistics_folder``.
    """
    path = statistics / FILE
    try:
        return noted(path.read_bytes())[0]
    except FileNotFoundError:
        return set()
    except OSError as error:
        _log.warning("%s cannot be read (%s); recordings are looked at again", path, error.strerror)
        return set()


def noted(content: bytes) -> tuple[set[str], bool]:
    """Digests on the lines of the file that are whole, and whether all are.

    Examples
    --------
    >>> noted(_line("abc") + b"half a li")
    ({'abc'}, False)
    """
    lines = [line for line in content.split(b"\n") if line]
    whole = [line for line in lines if line + b"\n" == _line(line.partition(b" ")[0].decode(errors="replace"))]
    return {line.partition(b" ")[0].decode() for line in whole}, len(whole) == len(lines)


def _line(digest: str) -> bytes:
    return f"{digest} {xxhash.xxh3_64_hexdigest(digest.encode())}\n".encode()


def note_complete(statistics: Path, digests: Iterable[str]) -> None:
    """Remember recordings without a missing value. Where that cannot be written, they are looked at again."""
    digests = set(digests)
    if not digests:
        return
    path = statistics / FILE
    # Replaced whole, where adding lines would leave half a line after a crash. Of two processes that do it at once the
    # last one counts: what the other found is looked at again.
    known = complete_recordings(statistics).union(digests)
    try:
        replace_file(path, b"".join(map(_line, sorted(known))))
    except OSError as error:
        _log.warning("%s cannot be written (%s); recordings are looked at again", path, error.strerror)
