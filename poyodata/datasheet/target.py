"""Files that pages and pictures may be written to: nothing that somebody else wrote is lost to them."""

from __future__ import annotations

from pathlib import Path

from poyodata.errors import UsageError

PAGES: tuple[str, ...] = (".html", ".htm")
PICTURES: tuple[str, ...] = (".svg", ".png")

MARK = '<meta name="generator" content="poyodata">'
"""Stands in the head of every page that is written here, which may therefore be replaced."""

_HEAD = 2000
"""Characters of a page in which the mark is looked for."""


def check_target(path: str | Path, endings: tuple[str, ...], what: str) -> Path:
    """Refuse a file that `what` may not be written to, before anything is computed for it.

    Parameters
    ----------
    path : str or Path
    endings : tuple of str
        `PAGES` or `PICTURES`.
    what : str
        For messages: "a datasheet".

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        Another ending, a folder, a place within a store, or a page that poyodata did not write.

    Examples
    --------
    >>> check_target("mine.yaml", PAGES, "a datasheet")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: 'mine.yaml' ends in .yaml; a datasheet is written to .html or .htm; give another file.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in endings:
        raise UsageError(
            f"{str(path)!r} ends in {ending or 'nothing'}; {what} is written to {' or '.join(endings)}; "
            "give another file."
        )
    try:
        if target.is_dir():
            raise UsageError(f"{str(path)!r} is a folder; {what} is one file; give another file.")
        holder = next((folder for folder in target.resolve().parents if (folder / "zarr.json").exists()), None)
        if holder is not None:
            raise UsageError(f"{str(path)!r} lies within the store {str(holder)!r}; give another file, outside of it.")
        if endings == PAGES and target.exists() and not _is_ours(target):
            raise UsageError(f"{str(path)!r} is there already, and poyodata did not write it; give another file.")
    except OSError as error:
        raise UsageError(f"{what} cannot be written to {path} ({error.strerror}); give another file.") from error
    return target


def _is_ours(page: Path) -> bool:
    """Whether a file is a page of poyodata; what is no plain file never is."""
    if not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(_HEAD)
