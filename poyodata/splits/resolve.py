"""Resolve a specification on a store: session roles across, time roles within, and what they compose to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from poyodata.digests import hash_order
from poyodata.errors import SplitError, UsageError, nearest
from poyodata.intervals import Intervals
from poyodata.splits.fractions import ROLES
from poyodata.splits.movie_segments import Segmentation
from poyodata.splits.recording import Epochs, Recording
from poyodata.splits.specification import SPLITS, SplitSpec, split_spec
from poyodata.splits.split import Split, split_digest
from poyodata.splits.time_roles import epochs_of, time_roles
from poyodata.splits.within import Blocks, EpochOut, MovieSegments

if TYPE_CHECKING:
    from poyodata.store import Store

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
    return _count_folds(_recordings(store, sessions), split_spec(spec))


def _count_folds(recordings: Sequence[Recording], spec: SplitSpec) -> int:
    within = spec.within
    if isinstance(within, EpochOut):
        return min(len(epochs_of(recording, within.stimulus).number) for recording in recordings)
    return (within.folds or 1) if isinstance(within, Blocks | MovieSegments) else 1


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
    # On the store itself: a split holds its store, so that a table elsewhere, weak or not, would keep both forever.
    known: dict[tuple[str, str, int], Split] = vars(store).setdefault("_splits", {})
    key = (store.digest, spec.model_dump_json(), fold)
    if key not in known:
        known[key] = _resolve(store, spec, fold, None)
    return known[key]


def _resolve(store: Store, spec: SplitSpec, fold: int, sessions: Sequence[str] | None) -> Split:
    recordings = _recordings(store, sessions)
    folds = _count_folds(recordings, spec)
    if not 0 <= fold < folds:
        what = "has only fold 0" if folds == 1 else f"has the folds 0 to {folds - 1}"
        raise SplitError(f"fold {fold} of {spec.name!r} does not exist on these recordings: it {what}.")
    ids = [recording.session_id for recording in recordings]
    table = store.sessions.set_index("session_id", drop=False).loc[ids].reset_index(drop=True)
    roles = _session_roles(table, spec)
    cuts: dict[str, Segmentation] = {}
    counts, frames, role = [], [np.empty((0, 2), np.int64)], []
    for recording in recordings:
        of_time = time_roles(recording, spec, fold, cuts)
        whole = _compose(roles[recording.session_id], spec.across is not None)
        spans = np.concatenate(list(of_time.values()))
        names = np.repeat([whole[name] for name in of_time], [len(rows) for rows in of_time.values()])
        order = np.lexsort((spans[:, 1], spans[:, 0]))
        counts.append(len(spans))
        frames.append(spans[order])
        role.append(names[order])
    joined = np.concatenate(frames)
    used = pd.DataFrame(
        {
            "session_id": pd.Series(ids, dtype="str"),
            "donor_id": table["donor_id"].astype("str"),
            "role": pd.Series([roles[session] for session in ids], dtype="str"),
            "guard_frames": [recording.guard_frames(spec.within.guard_s) for recording in recordings],
        }
    )
    windows = pd.DataFrame(
        {
            "session_id": pd.Series(np.repeat(np.array(ids, dtype=object), counts), dtype="str"),
            "start_frame": joined[:, 0],
            "stop_frame": joined[:, 1],
            "role": pd.Series(np.concatenate(role).astype(object), dtype="str"),
        }
    )
    digest = split_digest(spec, fold, table[["session_id", "digest"]], used, windows)
    # After the digest, which is over the same by `sources`.
    used["digest"] = table["digest"].astype("str")
    return Split(spec, fold, digest, used, windows, store, tuple(_warnings(spec, cuts))).check()


def _warnings(spec: SplitSpec, cuts: dict[str, Segmentation]) -> list[str]:
    texts = [spec.caution] if spec.caution is not None else []
    for movie, cut in sorted(cuts.items()):
        if cut.n_within:
            texts.append(
                f"split {spec.name!r}: {cut.n_within} of {len(cut.starts) - 1} cuts of {movie} lie within a scene: the "
                f"frames on both sides look alike, and only the guard of {spec.within.guard_s:g} s parts them"
            )
    return texts


def _compose(session_role: str, has_across: bool) -> dict[str, str]:
    """Role of a window from its session's role, for each role of time."""
    if session_role != "train":
        return {"train": "identify", "valid": session_role, "test": session_role}
    return {"train": "train", "valid": "valid", "test": "valid" if has_across else "test"}


def _recordings(store: Store, sessions: Sequence[str] | None) -> list[Recording]:
    """Each recording asked for, in the store's order; presentations are read when a specification looks at them."""
    known = store.sessions["session_id"].tolist()
    for session in sessions or ():
        if session not in known:
            raise UsageError(f"the store holds no recording {session!r}: {nearest(session, known)}")
    asked = set(known if sessions is None else sessions)
    wanted = [session for session in known if session in asked]
    if not wanted:
        raise SplitError("there are no recordings to split; ingest at least one.")
    rates = dict(zip(known, store.sessions["rate_hz"].tolist(), strict=True))
    segments, epochs = _by_session(store.segments, wanted), _by_session(store.epochs, wanted)
    stimulus, number = epochs.table["stimulus"].tolist(), epochs.table["epoch"].tolist()
    return [
        Recording(
            session_id=session,
            rate_hz=float(rates[session]),
            segments=segments.frames[segments.rows[at]],
            epochs=Epochs(
                epochs.frames[epochs.rows[at]], tuple(stimulus[epochs.rows[at]]), tuple(number[epochs.rows[at]])
            ),
            read=partial(store.presentations_of, session),
            movie=store.movie,
        )
        for at, session in enumerate(wanted)
    ]


class _InTurn(NamedTuple):
    """A table ordered by recording and time, its frames, and the rows of each recording."""

    table: pd.DataFrame
    frames: Intervals
    rows: list[slice]


def _by_session(table: pd.DataFrame, wanted: Sequence[str]) -> _InTurn:
    code = pd.Index(wanted).get_indexer(pd.Index(table["session_id"]))
    order = np.lexsort((table["start_frame"].to_numpy(), code))[(code < 0).sum() :]
    edges = np.searchsorted(code[order], np.arange(len(wanted) + 1)).tolist()
    ordered = table.iloc[order]
    frames = ordered[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return _InTurn(ordered, frames, [slice(*pair) for pair in pairwise(edges)])


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
            within = f"or 'blocks-5fold', which divides time within each recording and holds no {across.by} out"
            advice = f"add some, {within}" if across.stratify is None else f"leave `stratify` out, add some, {within}"
            if len(names) >= need:
                advice = f"use `assign: rank`, which does with {need}"
            raise SplitError(
                f"split {spec.name!r} leaves the role {empty} without a {across.by}{where}: there are {len(names)} "
                f"and at least {need} are needed. To go on: {advice}."
            )
    return {session: role_of[key] for session, key in zip(table["session_id"], keys, strict=True)}
