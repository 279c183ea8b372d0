"""Whether an HDF5 file is all there: its superblock says where the file ends."""

from __future__ import annotations

from pathlib import Path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAST_USER_BLOCK = 1 << 20
_SUPERBLOCK = 128


def stored_end(path: Path) -> int | None:
    """Byte at which an HDF5 file says that it ends.

    The format's own record, read from the first bytes: it needs no HDF5 library and costs the same for a file of any
    size. A file that was cut off keeps its header, so this is what tells it from a whole one.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    int or None
        The end-of-file address in bytes; None when this is no HDF5 file.

    Examples
    --------
    >>> stored_end(Path(__file__)) is None
    True
    """
    with path.open("rb") as file:
        offset = 0
        while offset <= _LAST_USER_BLOCK:  # a superblock stands at 0, or after a user block of 512, 1024, ... bytes
            file.seek(offset)
            block = file.read(_SUPERBLOCK)
            if block.startswith(SIGNATURE):
                return _end_address(block)
            if len(block) < len(SIGNATURE):
                return None
            offset = offset * 2 or 512
    return None


def is_complete(path: Path) -> bool:
    """Whether `path` is an HDF5 file and holds every byte up to the end that it states.

    Parameters
    ----------
    path : Path
        A file that may be missing, cut off, or something else altogether.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_complete(Path("nowhere.nwb"))
    False
    """
    if not path.is_file():
        return False
    end = stored_end(path)
    return end is not None and path.stat().st_size >= end


def _end_address(block: bytes) -> int | None:
    if len(block) < 48:  # the shortest superblock; cut off within it
        return None
    version = block[8]
    # Versions 0 and 1 count B-tree nodes before the addresses; 2 and 3 begin with them (HDF5 file format, II.A).
    width_at, first_address = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}.get(version, (0, 0))
    if not width_at:
        return None
    width = block[width_at]
    end = block[first_address + 2 * width : first_address + 3 * width]
    return int.from_bytes(end, "little") if width in (2, 4, 8) and len(end) == width else None
