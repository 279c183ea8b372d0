"""What a fetch has done, recording by recording."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from poyodata.fetch.display import human_bytes

_MISSING = ("failed", "busy", "not tried")


@dataclass(frozen=True)
class FetchedFile:
    """What became of one recording.

    Attributes
    ----------
    session_id : int
    status : str
        "already here", "downloaded", "replaced" (the file was cut off before), "no file" (the warehouse has none),
        "failed", "busy" (another process downloads it), or "not tried".
    path : Path
    size_bytes : int
        Of the file, or of what has arrived of it.
    message : str
        Why it is not there.
    """

    session_id: int
    status: str
    path: Path
    size_bytes: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a fetch has done.

    Attributes
    ----------
    out : Path
    files : tuple of FetchedFile
        One a recording, by session id.
    """

    out: Path
    files: tuple[FetchedFile, ...]

    @property
    def missing(self) -> list[FetchedFile]:
        """Recordings that the same call, repeated, would try again."""
        return [file for file in self.files if file.status in _MISSING]

    @property
    def without_file(self) -> list[FetchedFile]:
        """Recordings that the warehouse has no file of."""
        return [file for file in self.files if file.status == "no file"]

    @property
    def present(self) -> list[FetchedFile]:
        """Recordings that are there and whole."""
        return [file for file in self.files if file.status not in (*_MISSING, "no file")]

    @property
    def complete(self) -> bool:
        """Whether all is there that can be had, and that is something."""
        return bool(self.present) and not self.missing

    def summary(self) -> str:
        """One sentence."""
        new = [file for file in self.present if file.status != "already here"]
        without = [str(file.session_id) for file in self.without_file]
        return (
            f"{len(self.present)} of {len(self.files)} recordings are in {self.out}: "
            f"{len(self.present) - len(new)} were there already, {len(new)} came "
            f"({human_bytes(sum(file.size_bytes for file in new))})."
            + (f" The warehouse has no NWB file of {', '.join(without)}." if without else "")
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        files = [{**asdict(file), "path": str(file.path)} for file in self.files]
        return {"out": str(self.out), "complete": self.complete, "files": files}
