"""`Split`: a specification resolved on a store, with its rows and its invariants."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from poyodata.errors import SplitError, UsageError, nearest
from poyodata.intervals import Intervals
from poyodata.splits.specification import ROLES, SplitSpec

if TYPE_CHECKING:
    from poyodata.store import Store


@dataclass(frozen=True, eq=False)
class Split:
    """A specification resolved on a store: who and when has which role.

    Attributes
    ----------
    spec : SplitSpec
    fold : int
    digest : str
        Over what the specification says, the fold, the recordings used (ids and digests) and the rows below.
    sessions : DataFrame
        ``session_id, donor_id, role, guard_frames, digest``: the session role, ``train`` for all without an across
        axis; the digest of the recording's content.
    windows : DataFrame
        ``session_id, start_frame, stop_frame, role``: half-open, inside one segment, sorted, disjoint.
    trials : DataFrame
        ``session_id, stimulus, trial, role``: the presentations whose frames all lie in one window; no others.
    """

    spec: SplitSpec
    fold: int
    digest: str
    sessions: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    trials: pd.DataFrame = field(repr=False)

    @cached_property
    def _intervals(self) -> dict[tuple[str, str], Intervals]:
        groups = self.windows.groupby(["session_id", "role"], sort=False)
        return {
            (str(session), str(role)): rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
            for (session, role), rows in groups
        }

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.sessions["session_id"])

    def intervals(self, session_id: str, role: str) -> Intervals:
        """Frames of a recording with this role: shape (interval, 2), int64, possibly none.

        Raises
        ------
        UsageError
            When the split does not hold the recording, or no role is called so.
        """
        if session_id not in self._known:
            raise UsageError(f"the split holds no recording {session_id!r}: {nearest(session_id, self._known)}")
        if role not in (*ROLES, "identify"):
            raise UsageError(f"no role is called {role!r}: {nearest(role, (*ROLES, 'identify'))}")
        return self._intervals.get((session_id, role), np.empty((0, 2), np.int64))

    def train_time(self, session_id: str) -> Intervals:
        """Train-role time of a recording, held-out animals included: all that a statistic may look at."""
        rows = np.concatenate([self.intervals(session_id, "train"), self.intervals(session_id, "identify")])
        return rows[np.argsort(rows[:, 0], kind="stable")]

    def require_content(self, store: Store) -> Split:
        """Return self when the store's recordings are those that the split was resolved for.

        Recordings that the store does not hold are let be.

        Raises
        ------
        SplitError
            Naming a recording of other content: its frames are not those that were given roles.
        """
        has = dict(zip(store.sessions["session_id"], store.sessions["digest"], strict=True))
        for session, digest in zip(self.sessions["session_id"], self.sessions["digest"], strict=True):
            if has.get(session, digest) != digest:
                what = f"other content of recording {session!r}"
                raise SplitError(f"the split was resolved for {what}; resolve it again.")
        return self

    def check(self) -> Split:
        """Return self when roles are disjoint, guards kept and no unit has two session roles.

        Raises
        ------
        SplitError
            Naming the recording or donor.
        """
        across = self.spec.across
        if across is not None and across.by == "donor":
            roles = self.sessions.groupby("donor_id")["role"].nunique()
            if (roles > 1).any():
                raise SplitError(f"donor {roles.index[roles > 1][0]} has two session roles; a donor belongs to one.")
        guards = dict(zip(self.sessions["session_id"], self.sessions["guard_frames"], strict=True))
        for session_id, rows in self.windows.sort_values(["session_id", "start_frame"]).groupby("session_id"):
            gap = rows["start_frame"].to_numpy()[1:] - rows["stop_frame"].to_numpy()[:-1]
            changes = rows["role"].to_numpy()[1:] != rows["role"].to_numpy()[:-1]
            if (gap < np.where(changes, guards[str(session_id)], 0)).any():
                at = int(rows["stop_frame"].to_numpy()[:-1][gap < np.where(changes, guards[str(session_id)], 0)][0])
                raise SplitError(
                    f"recording {session_id}: windows overlap or lie within the guard of "
                    f"{guards[str(session_id)]} frames at frame {at}."
                )
        return self
