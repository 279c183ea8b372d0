"""What a call asks for, checked at its door: a store, its recordings, their time, and how intervals are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.statistics.statistic import Resampling

if TYPE_CHECKING:
    from poyodata.store import Store


def require_store(store: Store) -> None:
    """Raise unless this is an open store: its path alone is not.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> require_store("allen.zarr")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: statistics are of an open store; 'allen.zarr' arrived: open it first, open_store(...).
    """
    if not hasattr(store, "sessions"):
        raise UsageError(f"statistics are of an open store; {store!r} arrived: open it first, open_store(...).")


def asked_sessions(store: Store, sessions: str | Sequence[str] | None, split: Split | None) -> list[str]:
    """Give the recordings asked for, in the store's order; by default those of the split, or all.

    Raises
    ------
    UsageError
        For a recording that the store does not hold, and for one that is not named by a text.
    """
    known: list[str] = store.sessions["session_id"].tolist()
    if sessions is None:
        # A split of some recordings has train time of these alone.
        asked = set(known if split is None else split.sessions["session_id"])
    else:
        try:
            asked = {sessions} if isinstance(sessions, str) else set(sessions)
        except TypeError:
            asked = {sessions}
        for session in asked.difference(known):
            if not isinstance(session, str):
                kind = type(session).__name__
                raise UsageError(f"recordings are named by texts, and {session!r} ({kind}) arrived; write '{session}'.")
            raise UsageError(f"the store holds no recording {session!r}: {nearest(session, known)}")
    return [session for session in known if session in asked]


def split_for(store: Store, split: Split | SplitSpec | str | None, window: str) -> Split | None:
    """Give the split whose train-role time is looked at; None for all time.

    Raises
    ------
    StatisticError
        For an unknown window, a split beside ``"all"``, or what is no split.
    SplitError
        When it cannot be made from the store, or was resolved for recordings of other content.
    """
    if window == "all":
        if split is not None:
            raise StatisticError("window 'all' looks at all time, so a split has no meaning; leave one of them out.")
        return None
    if window != "train":
        raise StatisticError(f"window is {window!r}: {nearest(str(window), ('train', 'all'))}")
    if isinstance(split, Split):
        return split.require_content(store)
    if not isinstance(split, SplitSpec | str | None):
        raise StatisticError(
            f"split is {split!r}; give the name of one, such as 'blocks-5fold', a SplitSpec, or what resolve_split "
            "gives (which takes a fold)."
        )
    return resolve_split(store, default_split(store) if split is None else split)


def as_resampling(intervals: Resampling | float | None) -> Resampling | None:
    """Take a level for how intervals are drawn at that level; None stays None.

    Raises
    ------
    UsageError
        When the level is no number between 0 and 1.

    Examples
    --------
    >>> as_resampling(0.9)
    Resampling(level=0.9, draws=1000, seed=0)
    """
    if intervals is None or isinstance(intervals, Resampling):
        return intervals
    level: object = intervals
    if not isinstance(level, float | int | np.number) or isinstance(level, bool):
        raise UsageError(f"intervals is {intervals!r}; give a share between 0 and 1, such as 0.95, or a Resampling.")
    return Resampling(level=float(intervals))
