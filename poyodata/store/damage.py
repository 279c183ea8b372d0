"""What is found damaged in a store."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd

STIMULI_PLACES = ("stimuli/", "tables/digests/stimuli/")
"""Where the files of stimulus templates lie below a store."""


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written.

    Attributes
    ----------
    recording : str
        Session_id; empty where what is damaged is of no single recording.
    file : str
        Path below the store.
    what : str
        What is wrong with it.
    traces : str
        Which traces, where blocks of traces are damaged.
    block : int or None
        Which block of the array.
    start_frame, stop_frame : int or None
        Frames of that block.
    """

    recording: str
    file: str
    what: str
    traces: str = ""
    block: int | None = None
    start_frame: int | None = None
    stop_frame: int | None = None


@dataclass(frozen=True)
class Verification:
    """What `verify_store` found.

    Attributes
    ----------
    damages : tuple of Damage
        Empty when every byte is as it was written.
    unexpected : tuple of str
        Files below the store that no writer of this store is known to have finished. They do no harm.
    unnamed : tuple of str
        Recordings that lie there whole, and that the table of sessions does not name. The next writer removes them.
    n_recordings, n_files, n_bytes : int
        What was read.
    """

    damages: tuple[Damage, ...]
    unexpected: tuple[str, ...]
    n_recordings: int
    n_files: int
    n_bytes: int
    unnamed: tuple[str, ...] = ()

    @property
    def is_of_recordings(self) -> bool:
        """Whether an update (``poyodata ingest --update``) writes all anew that is damaged."""
        return all(
            one.recording or (one.file.startswith(STIMULI_PLACES) and one.file != "stimuli/zarr.json")
            for one in self.damages
        )

    def table(self) -> pd.DataFrame:
        """One row a damage."""
        names = [field.name for field in fields(Damage)]
        table = pd.DataFrame([[getattr(one, name) for name in names] for one in self.damages], columns=names)
        return table.astype(dict.fromkeys(("block", "start_frame", "stop_frame"), "Int64"))
