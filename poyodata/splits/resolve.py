"""Resolve a specification on a store: session roles across, time roles within, and what they compose to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from poyodata.digests import hash_order, json_digest, table_digest
from poyodata.errors import SplitError, UsageError, nearest
from poyodata.intervals import covers
from poyodata.splits.specification import ROLES, SPLITS, Blocks, EpochOut, SplitSpec, split_spec
from poyodata.splits.split import Split
from poyodata.splits.time_roles import Recording, epochs_of, time_roles

if TYPE_CHECKING:
    from poyodata.store import Store

_resolved: WeakKeyDictionary[Store, dict[tuple[str, str, int], Split]] = WeakKeyDictionary()
"""Splits of whole stores that are open: reading every presentation again would cost more than any query."""

MIN_DONORS = 10
"""Below this many donors the default split stays within recordings: single animals would decide every number."""


def default_split(store: Store) -> SplitSpec:
    """Give the split that suits a store: across donors from `MIN_DONORS` on, else within recordings."""
    enough = store.sessions["donor_id"].nunique() >= MIN_DONORS
    return SPLITS["donor-70-10-20" if enough else "blocks-5fold"]


def n_folds(store: Store, spec: str | SplitSpec, sessions: Sequence[str] | None = None) -> int:
    """Count the folds of a split: those of its blocks, the epochs of the stimulus left out, else one.

    Raises
    ------
    SplitError
        When a recording has fewer than two epochs of the stimulus to leave out.
    """
    return _count_folds(list(_recordings(store, sessions)), split_spec(spec))


def _count_folds(recordings: Sequence[Recording], spec: SplitSpec) -> int:
    within = spec.within
    if isinstance(within, EpochOut):
        return min(len(epochs_of(recording, within.stimulus)) for recording in recordings)
    return (within.folds or 1) if isinstance(within, Blocks) else 1


def resolve_split(store: Store, spec: str | SplitSpec, fold: int = 0, sessions: Sequence[str] | None = None) -> Split:
    """Give every recording and every stretch of its time a role.

    The split of a whole store is kept as long as the store is open.

    Parameters
    ----------
    store : Store
    spec : str or SplitSpec
        A name of `SPLITS`, the path of a YAML file (``.yaml`` or ``.yml``), or a specification.
    fold : int
    sessions : sequence of str, optional
        Divide these recordings alone; all of the store by default.

    Returns
    -------
    Split

    Raises
    ------
    UsageError
        For an unknown split or recording.
    SplitError
        When a role stays empty or the fold does not exist; the message names the smallest number that would do.
    """
    spec = split_spec(spec)
    if sessions is not None:
        return _resolve(store, spec, fold, sessions)
    known, key = _resolved.setdefault(store, {}), (store.digest, spec.digest, fold)
    if key not in known:
        known[key] = _resolve(store, spec, fold, None)
    return known[key]


def _resolve(store: Store, spec: SplitSpec, fold: int, sessions: Sequence[str] | None) -> Split:
    recordings = list(_recordings(store, sessions))
    folds = _count_folds(recordings, spec)
    if not 0 <= fold < folds:
        what = "has only fold 0" if folds == 1 else f"has the folds 0 to {folds - 1}"
        raise SplitError(f"fold {fold} of {spec.name!r} does not exist on these recordings: it {what}.")
    ids = [recording.session_id for recording in recordings]
    table = store.sessions.set_index("session_id", drop=False).loc[ids].reset_index(drop=True)
    roles = _session_roles(table, spec)
    windows: dict[str, list[Any]] = {"session_id": [], "start_frame": [], "stop_frame": [], "role": []}
    trials: dict[str, list[Any]] = {"session_id": [], "stimulus": [], "trial": [], "role": []}
    for recording in recordings:
        roles_of_time = time_roles(recording, spec, fold)
        rows = sorted((int(a), int(b), role) for role, spans in roles_of_time.items() for a, b in spans)
        whole = _compose(roles[recording.session_id], spec.across is not None)
        shown = recording.presentations
        start, stop = shown["start_frame"].to_numpy(np.int64), shown["stop_frame"].to_numpy(np.int64)
        spans = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
        inside = np.flatnonzero(covers(spans, start, stop))
        at = np.searchsorted(spans[:, 0], start[inside], side="right") - 1
        windows["session_id"] += [recording.session_id] * len(rows)
        windows["start_frame"] += [row[0] for row in rows]
        windows["stop_frame"] += [row[1] for row in rows]
        windows["role"] += [whole[row[2]] for row in rows]
        trials["session_id"] += [recording.session_id] * len(inside)
        trials["stimulus"] += shown["stimulus"].iloc[inside].tolist()
        trials["trial"] += shown["trial"].iloc[inside].tolist()
        trials["role"] += [whole[rows[i][2]] for i in at]
    used = pd.DataFrame(
        {
            "session_id": pd.Series(ids, dtype="str"),
            "donor_id": table["donor_id"].astype("str"),
            "role": pd.Series([roles[session] for session in ids], dtype="str"),
            "guard_frames": [recording.guard_frames(spec.within.guard_s) for recording in recordings],
        }
    )
    kinds = {"session_id": "str", "role": "str", "stimulus": "str"}
    spans_table = pd.DataFrame(windows).astype({"session_id": "str", "role": "str"})
    digest = json_digest(
        {
            "spec": spec.digest,
            "fold": fold,
            "sources": table_digest(table[["session_id", "digest"]]),
            "sessions": table_digest(used),
            "windows": table_digest(spans_table),
        }
    )
    trials_table = pd.DataFrame(trials).astype(kinds | {"trial": "int64"})
    # After the digest, which is over the same by `sources`.
    used["digest"] = table["digest"].astype("str")
    return Split(spec, fold, digest, used, spans_table, trials_table).check()


def _compose(session_role: str, has_across: bool) -> dict[str, str]:
    """Role of a window from its session's role, for each role of time."""
    if session_role != "train":
        return {"train": "identify", "valid": session_role, "test": session_role}
    return {"train": "train", "valid": "valid", "test": "valid" if has_across else "test"}


def _recordings(store: Store, sessions: Sequence[str] | None) -> Iterator[Recording]:
    """Yield the tables of each recording asked for, in the store's order."""
    known = store.sessions["session_id"].tolist()
    for session in sessions or ():
        if session not in known:
            raise UsageError(f"the store holds no recording {session!r}: {nearest(session, known)}")
    wanted = known if sessions is None else [session for session in known if session in set(sessions)]
    if not wanted:
        raise SplitError("there are no recordings to split; ingest at least one.")
    rates = dict(zip(known, store.sessions["rate_hz"], strict=True))
    tables = [_by_session(table, wanted) for table in (store.segments, store.epochs)]
    for session in wanted:
        segments, epochs = (table(session) for table in tables)
        yield Recording(
            session_id=session,
            rate_hz=float(rates[session]),
            segments=segments[["start_frame", "stop_frame"]].to_numpy(np.int64),
            epochs=epochs,
            presentations=store.presentations_of(session),
        )


def _by_session(table: pd.DataFrame, wanted: Sequence[str]) -> Callable[[str], pd.DataFrame]:
    kept = table[table["session_id"].isin(wanted)]
    rows = kept.groupby("session_id", sort=False).indices
    empty = np.empty(0, np.intp)
    return lambda session: kept.iloc[rows.get(session, empty)].sort_values("start_frame", kind="stable")


def _session_roles(table: pd.DataFrame, spec: SplitSpec) -> dict[str, str]:
    """Give every recording its role by the across axis."""
    across = spec.across
    if across is None:
        return dict.fromkeys(table["session_id"], "train")
    keys = table[f"{across.by}_id"].astype("str")
    strata = pd.Series("", index=table.index) if across.stratify is None else table[across.stratify].astype("str")
    role_of: dict[str, str] = {}
    units = pd.DataFrame({"unit": keys, "stratum": strata}).drop_duplicates("unit")
    for stratum, rows in units.groupby("stratum"):
        names = rows["unit"].to_numpy()
        hashes = hash_order(names, across.seed)
        if across.assign == "rank":
            counts = across.fractions.counts(len(names))
            role_of |= dict(zip(names[np.argsort(hashes)], np.repeat(ROLES, counts).tolist(), strict=True))
        else:
            place = np.searchsorted(np.cumsum(across.fractions.shares)[:2], hashes / 2.0**64, side="right")
            counts = np.bincount(place, minlength=3)
            role_of |= dict(zip(names, [ROLES[i] for i in place], strict=True))
        if not across.fractions.fills(counts):
            where = f" of {across.stratify} {stratum!r}" if across.stratify else ""
            empty = ROLES[int(np.flatnonzero((counts == 0) & (across.fractions.shares > 0))[0])]
            need = across.fractions.smallest()
            advice = "or use 'blocks-5fold', which divides time within each recording"
            if len(names) >= need:
                advice = f"use `assign: rank`, which does with {need}"
            raise SplitError(
                f"split {spec.name!r} leaves the role {empty} without a {across.by}{where}: there are {len(names)} "
                f"and at least {need} are needed; {advice}."
            )
    return {session: role_of[key] for session, key in zip(table["session_id"], keys, strict=True)}
