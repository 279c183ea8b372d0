"""Recordings that are known to lack no value: found by reading them once, and kept beside the store's statistics.

A file with the digest of a recording's content on each line: it says the same of every store that holds the recording,
and a recording that is replaced has another digest. What is no digest matches none. The file may be removed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from poyodata.store import Store

FILE = "complete_recordings.txt"

_log = logging.getLogger(__name__)


def complete_recordings(store: Store) -> set[str]:
    """Digests of recordings that were found without a missing value in any neuron and frame."""
    try:
        return set(_path(store).read_text(encoding="utf-8", errors="replace").split())
    except FileNotFoundError:
        return set()
    except OSError as error:
        _log.warning("%s cannot be read (%s); recordings are looked at again", _path(store), error.strerror)
        return set()


def note_complete(store: Store, digests: Iterable[str]) -> None:
    """Remember recordings without a missing value. Where that cannot be written, they are looked at again."""
    lines = list(digests)
    if not lines:
        return
    path = _path(store)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Lines are added and never rewritten, so that processes may do it at once; the first line break ends a line
        # that was cut short.
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(lines) + "\n")
    except OSError as error:
        _log.warning("%s cannot be written (%s); recordings are looked at again", path, error.strerror)


def _path(store: Store) -> Path:
    return store.statistics_folder / FILE
