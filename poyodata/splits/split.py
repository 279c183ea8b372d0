"""`Split`: a specification resolved on a store, with its rows and its invariants."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import json_digest, table_digest
from poyodata.errors import SplitError, UsageError, nearest
from poyodata.intervals import Intervals, covers
from poyodata.splits.fractions import ROLES
from poyodata.splits.role_digests import role_digests
from poyodata.splits.specification import SplitSpec

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
    store : Store
        Where `trials` are read from.
    warnings : tuple of str
        What a reader of results must know; goes into every manifest made under it.
    """

    spec: SplitSpec
    fold: int
    digest: str
    sessions: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    store: Store = field(repr=False)
    warnings: tuple[str, ...] = ()

    @cached_property
    def role_digests(self) -> dict[str, str]:
        """Digest of every recording's time with a role, without its content: equal where a split does the same."""
        return role_digests(self.windows)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """``session_id, stimulus, trial, role``: the presentations whose frames all lie in one window; no others.

        Read when first asked for: with the frames of movies, these are tens of millions in a thousand recordings.
        """
        parts = [self._trials_of(session) for session in self.sessions["session_id"]]
        kinds = {"session_id": "str", "stimulus": "str", "trial": "int64", "role": "str"}
        return pd.concat(parts, ignore_index=True).astype(kinds)

    def _trials_of(self, session_id: str) -> pd.DataFrame:
        shown = self.store.presentations_of(session_id, ("stimulus", "trial", "start_frame", "stop_frame"))
        rows = self._rows.get(session_id, np.empty(0, np.int64))
        spans = self.windows[["start_frame", "stop_frame"]].to_numpy(np.int64)[rows]
        start, stop = shown["start_frame"].to_numpy(np.int64), shown["stop_frame"].to_numpy(np.int64)
        inside = np.flatnonzero(covers(spans, start, stop))
        trials = shown[["stimulus", "trial"]].iloc[inside].reset_index(drop=True)
        trials.insert(0, "session_id", pd.Series(session_id, index=trials.index, dtype="str"))
        at = rows[np.searchsorted(spans[:, 0], start[inside], side="right") - 1]
        return trials.assign(role=self.windows["role"].to_numpy()[at])

    @cached_property
    def _rows(self) -> dict[str, npt.NDArray[np.int64]]:
        """Rows of `windows` of each recording, in order of time."""
        order = np.argsort(self.windows["start_frame"].to_numpy(), kind="stable")
        groups = self.windows["session_id"].iloc[order].groupby(self.windows["session_id"].to_numpy()[order]).indices
        return {str(session): order[rows] for session, rows in groups.items()}

    @cached_property
    def _intervals(self) -> dict[tuple[str, str], Intervals]:
        frames = self.windows[["start_frame", "stop_frame"]].to_numpy(np.int64)
        groups: dict[Any, Any] = dict(self.windows.groupby(["session_id", "role"], sort=False).indices)
        return {(str(session), str(role)): frames[rows] for (session, role), rows in groups.items()}

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

    def on(self, store: Store) -> Split:
        """Return self for a store that it was resolved for, or its part for a store that was packed from one.

        A packed store may lack animals, so that dividing it anew would give others other roles; its own record says
        under which split it was packed, and which roles every recording had.

        Raises
        ------
        SplitError
            The store is neither, or a recording of it had other roles.
        """
        entry = store.lineage
        while entry and entry["split"] != self.digest:
            entry = entry.get("before")
        if not entry:
            return self.require_content(store)
        roles, table = entry.get("roles") or {}, store.sessions
        for session in table["session_id"]:
            if self.role_digests.get(session) != roles.get(session):
                raise SplitError(
                    f"recording {session!r} of the packed store had other roles than split {self.spec.name!r} gives "
                    "it; resolve the split again on the store that was packed."
                )
        ids = table["session_id"].tolist()
        sessions = self.sessions.set_index("session_id", drop=False).loc[ids].reset_index(drop=True)
        windows = self.windows[self.windows["session_id"].isin(ids)].reset_index(drop=True)
        sources = table[["session_id", "digest"]].reset_index(drop=True)
        digest = split_digest(self.spec, self.fold, sources, sessions.drop(columns="digest"), windows)
        sessions = sessions.assign(digest=sources["digest"].astype("str"))
        return replace(self, digest=digest, sessions=sessions, windows=windows, store=store)

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
        session = pd.Index(self.sessions["session_id"]).get_indexer(self.windows["session_id"])
        start, stop = (self.windows[name].to_numpy(np.int64) for name in ("start_frame", "stop_frame"))
        order = np.lexsort((start, session))
        session, start, stop = session[order], start[order], stop[order]
        role, _ = pd.factorize(self.windows["role"])
        changes = role[order][1:] != role[order][:-1]
        guard = self.sessions["guard_frames"].to_numpy(np.int64)[session[1:]]
        bad = (session[1:] == session[:-1]) & (start[1:] - stop[:-1] < np.where(changes, guard, 0))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise SplitError(
                f"recording {self.sessions['session_id'].iloc[session[at]]}: windows overlap or lie within the guard "
                f"of {guard[at]} frames at frame {stop[at]}."
            )
        return self


def split_digest(
    spec: SplitSpec, fold: int, sources: pd.DataFrame, sessions: pd.DataFrame, windows: pd.DataFrame
) -> str:
    """Digest of what a split says, of the content it was made from (session_id and digest), and of what it does."""
    return json_digest(
        {
            "spec": spec.digest,
            "fold": fold,
            "sources": table_digest(sources),
            "sessions": table_digest(sessions),
            "windows": table_digest(windows),
        }
    )
