"""`ColumnLineage`: what a model's columns about neurons came from, to the frame, so that a leak can be found later."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd

from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.intervals import Intervals, as_intervals, intersect
from poyodata.splits import ROLES, Split

if TYPE_CHECKING:
    from poyodata.store import Store

Windows: TypeAlias = Mapping[str, Intervals]
"""Frames of recordings, by ``session_id``: arrays of shape (window, 2), int64, half-open."""

STRIDE = 2**40
"""Frames set aside for each recording where the time of several lies in a row."""

TRAIN_ROLES = ("train", "identify")
"""Roles of time that statistics may look at; ``identify`` is the train-role time of held-out animals."""


class TrainedOn(Protocol):
    """What `lineage_of` asks of a manifest."""

    @property
    def digest(self) -> str:
        """Digest of what is eaten."""

    def grounds(self) -> list[dict[str, Any]]:
        """What chose its neurons."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnLineage:
    """What a model's columns came from. `lineage_of` makes one from a split and the windows that were looked at.

    Attributes
    ----------
    producer, version : str
        What made the columns, such as ``"nuclr"``, and which version of it.
    checkpoint : str or None
        Digest of the model's weights; None for a model without any.
    store : str
        Digest of the store.
    recordings : mapping of session_id to str
        Digest of every recording that was looked at, for training or for the values.
    split : str or None
        Digest of the split it was trained under, which holds the fold too; None where there was none.
    fold : int
    manifests : tuple of str
        Digests of the manifests it was trained on.
    grounds : mapping of str to list of dict
        What chose the neurons of each of these manifests, by digest, where it is known: leak checks judge a diet that
        uses the columns by it.
    roles : tuple of str
        Roles of that split that were looked at.
    trained_on, computed_on : Windows
        Time that the weights were learnt from, and time that the values were computed from.
    window : {"train", "all"}
        ``"all"`` where more than train-role time was looked at.
    uses_labels : bool
        Whether labels of stimuli or behaviour were looked at.
    held_out_donors : tuple of str
        Donors that the split holds out.
    seed : int or None
    parents : mapping of str to str
        Digests of further learned columns that went in, by name: `write_columns` adds what these looked at.

    Raises
    ------
    StatisticError
        When it contradicts itself.
    """

    producer: str
    version: str
    store: str
    recordings: Mapping[str, str]
    trained_on: Windows
    computed_on: Windows
    checkpoint: str | None = None
    split: str | None = None
    fold: int = 0
    manifests: tuple[str, ...] = ()
    grounds: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    roles: tuple[str, ...] = ("train",)
    window: Literal["train", "all"] = "train"
    uses_labels: bool = False
    held_out_donors: tuple[str, ...] = ()
    seed: int | None = None
    parents: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in ("producer", "version", "store"):
            text = getattr(self, word)
            if not isinstance(text, str) or not text.strip() or not text.isprintable():
                raise StatisticError(f"{word} of a lineage is a text on one line; got {str(text)[:60]!r}.")
        object.__setattr__(self, "fold", operator.index(self.fold))
        object.__setattr__(self, "seed", None if self.seed is None else operator.index(self.seed))
        if self.window not in ("train", "all"):
            raise StatisticError(f"window is {str(self.window)[:60]!r}: {nearest(str(self.window), ('train', 'all'))}")
        for role in self.roles:
            if role not in (*ROLES, "identify"):
                raise StatisticError(f"no role is called {role!r}: {nearest(str(role), (*ROLES, 'identify'))}")
        beyond = [role for role in self.roles if role not in TRAIN_ROLES]
        if self.window == "train" and (beyond or self.split is None):
            what = f"looked at time of role {beyond[0]!r}" if beyond else "was trained under no split"
            raise StatisticError(f"{self.producer} {what}, so its lineage must say window='all'.")
        for word in ("trained_on", "computed_on"):
            given: Windows = getattr(self, word)
            for name, frames in given.items():
                if len(frames) and (np.min(frames) < 0 or np.max(frames) >= STRIDE):
                    raise StatisticError(f"a window of recording {name!r} lies at no frame that a recording can have.")
            object.__setattr__(self, word, joined(given))
        strange = [name for name in self.looked_at if name not in self.recordings]
        if strange:
            raise StatisticError(f"the lineage has windows of recording {strange[0]!r} but not its digest; add it.")

    @property
    def looked_at(self) -> dict[str, Intervals]:
        """Time that was looked at for training or for the values."""
        return joined(self.trained_on, self.computed_on)

    def document(self) -> dict[str, Any]:
        """Write the lineage as plain mappings and lists, for JSON: windows as start, stop, start, stop ..."""
        plain: dict[str, Any] = dict(vars(self))
        for word in ("trained_on", "computed_on"):
            plain[word] = {name: frames.ravel().tolist() for name, frames in plain[word].items()}
        for word in ("manifests", "roles", "held_out_donors"):
            plain[word] = list(plain[word])
        for word in ("recordings", "parents", "grounds"):
            plain[word] = dict(plain[word])
        return plain

    def summary(self) -> dict[str, Any]:
        """Say in short what `document` says: no windows, and the recordings counted."""
        short = replace(self, trained_on={}, computed_on={}, recordings={}).document()
        counted = ("trained_on", "computed_on", "recordings")
        return short | {word: f"{len(getattr(self, word))} recordings" for word in counted}


def windows_of(table: pd.DataFrame) -> dict[str, Intervals]:
    """Take the time of a table of windows, such as ``manifest.windows`` or ``split.windows``.

    Parameters
    ----------
    table : DataFrame
        session_id, start_frame, stop_frame.

    Returns
    -------
    dict of str to ndarray, shape (window, 2), int64

    Examples
    --------
    >>> table = pd.DataFrame({"session_id": ["a", "a"], "start_frame": [0, 5], "stop_frame": [5, 9]})
    >>> windows_of(table)["a"].tolist()
    [[0, 9]]
    """
    code, names = pd.factorize(table["session_id"], sort=True)
    rows = table[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return _apart(as_intervals(rows + code[:, None] * STRIDE), list(map(str, names)))


def lineage_of(
    store: Store,
    split: Split | None,
    *,
    producer: str,
    version: str,
    trained_on: Windows | pd.DataFrame,
    computed_on: Windows | pd.DataFrame | None = None,
    checkpoint: str | None = None,
    manifests: Sequence[str | TrainedOn] = (),
    window: Literal["train", "all"] = "train",
    uses_labels: bool = False,
    seed: int | None = None,
    parents: Mapping[str, str] | None = None,
) -> ColumnLineage:
    """Make the lineage of columns from the split of a model and the windows that it looked at.

    Parameters
    ----------
    store : Store
    split : Split or None
        None, with window ``"all"``, for a model that knows of no split.
    producer, version, checkpoint, uses_labels, seed, parents
        As in `ColumnLineage`.
    manifests : sequence of Manifest or str
        What the model was trained on. Of digests alone nothing is known, and leak checks say so.
    trained_on : Windows or DataFrame
        Time that the weights were learnt from, such as ``manifest.windows`` of role ``train``.
    computed_on : Windows or DataFrame, optional
        Time that the values were computed from; by default the same.
    window : {"train", "all"}
        ``"all"`` says that more than train-role time was looked at, on purpose.

    Returns
    -------
    ColumnLineage

    Raises
    ------
    StatisticError
        When time that the split holds out was looked at and `window` does not say so.
    UsageError
        For a recording that the store does not have.
    """
    trained = windows_of(trained_on) if isinstance(trained_on, pd.DataFrame) else dict(trained_on)
    source = trained if computed_on is None else computed_on
    computed = windows_of(source) if isinstance(source, pd.DataFrame) else dict(source)
    looked = joined(trained, computed)
    digests = dict(zip(store.sessions["session_id"], store.sessions["digest"], strict=True))
    for name in looked:
        if name not in digests:
            raise UsageError(f"the store holds no recording {name!r}: {nearest(name, digests)}")
    roles: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    if split is not None:
        split.require_content(store)
        touched = _overlap(looked, split.windows, {})
        roles = tuple(sorted(set(touched["role"])))
        held_out = tuple(sorted(split.sessions.loc[split.sessions["role"] != "train", "donor_id"].unique()))
        if window == "train":
            beyond = held_out_time(looked, split)
            if len(beyond):
                raise StatisticError(
                    f"{producer} looked at {describe_overlap(beyond)} of split {split.spec.name}, fold {split.fold}; "
                    "leave that time out, or say window='all'."
                )
    return ColumnLineage(
        producer=producer,
        version=version,
        checkpoint=checkpoint,
        store=store.digest,
        recordings={name: str(digests[name]) for name in sorted(looked)},
        split=None if split is None else split.digest,
        fold=0 if split is None else split.fold,
        manifests=tuple(one if isinstance(one, str) else one.digest for one in manifests),
        grounds={one.digest: one.grounds() for one in manifests if not isinstance(one, str)},
        roles=roles,
        trained_on=trained,
        computed_on=computed,
        window=window,
        uses_labels=uses_labels,
        held_out_donors=held_out,
        seed=seed,
        parents=dict(parents or {}),
    )


def held_out_time(looked_at: Windows, split: Split) -> pd.DataFrame:
    """Find the time looked at that a split holds out: its valid- and test-role time, and the guard around that.

    Returns
    -------
    DataFrame
        session_id, role, start_frame, stop_frame; empty when there is no leak.
    """
    held = split.windows[~split.windows["role"].isin(TRAIN_ROLES)]
    guards = dict(zip(split.sessions["session_id"], split.sessions["guard_frames"], strict=True))
    return _overlap(looked_at, held, guards)


def held_out_recordings(trained_on: Windows, split: Split) -> list[str]:
    """Recordings learnt from that a split across animals holds out; their train-role time is not for learning."""
    held = split.sessions.loc[split.sessions["role"] != "train", "session_id"]
    return sorted(set(map(str, held)) & {name for name, frames in trained_on.items() if len(frames)})


def describe_overlap(rows: pd.DataFrame) -> str:
    """Say in words what `held_out_time` found."""
    first, n_frames = rows.iloc[0], int((rows["stop_frame"] - rows["start_frame"]).sum())
    return (
        f"{n_frames:,} frames of {rows['session_id'].nunique()} recordings "
        f"in or beside {' and '.join(sorted(set(rows['role'])))} time (first {first['session_id']}, frames "
        f"{first['start_frame']} to {first['stop_frame']})"
    )


def joined(*all_windows: Windows) -> dict[str, Intervals]:
    """Time in any of several windows, merged where they overlap or touch.

    Examples
    --------
    >>> joined({"a": np.array([[0, 4]])}, {"a": np.array([[2, 9]]), "b": np.array([[1, 2]])})["a"].tolist()
    [[0, 9]]
    """
    names = sorted({name for windows in all_windows for name in windows})
    return _apart(as_intervals(np.concatenate([_on_one_axis(windows, names) for windows in all_windows])), names)


def _on_one_axis(windows: Windows, names: Sequence[str]) -> Intervals:
    """Lay the time of recordings in a row, so that one operation on intervals serves all of them."""
    laid = [np.reshape(windows[name], (-1, 2)) + place * STRIDE for place, name in enumerate(names) if name in windows]
    return np.concatenate([np.empty((0, 2), np.int64), *laid])


def _apart(rows: Intervals, names: Sequence[str]) -> dict[str, Intervals]:
    """Give each recording its own of what `_on_one_axis` laid in a row, sorted."""
    if not names:
        return {}
    place = rows[:, 0] // STRIDE
    parts = np.split(rows, np.searchsorted(place, np.arange(1, len(names))))
    return {name: part - at * STRIDE for at, (name, part) in enumerate(zip(names, parts, strict=True))}


def _overlap(looked_at: Windows, windows: pd.DataFrame, guards: Mapping[str, int]) -> pd.DataFrame:
    """Frames looked at that lie in windows, or within the guard of their recording around them, by role."""
    names = sorted(looked_at)
    place = pd.Index(names).get_indexer(pd.Index(windows["session_id"]))
    own, place = windows[place >= 0], place[place >= 0]
    guard = own["session_id"].map(dict(guards)).fillna(0).to_numpy(np.int64)
    frames = own[["start_frame", "stop_frame"]].to_numpy(np.int64) + guard[:, None] * np.array([-1, 1])
    frames += place[:, None] * STRIDE
    seen = as_intervals(_on_one_axis(looked_at, names))
    parts = []
    for role in sorted(own["role"].unique()):
        found = intersect(seen, as_intervals(frames[(own["role"] == role).to_numpy(bool)]))
        session = np.array(names, dtype=object)[found[:, 0] // STRIDE]
        start, stop = (found % STRIDE)[:, 0], found[:, 0] % STRIDE + found[:, 1] - found[:, 0]
        parts.append(pd.DataFrame({"session_id": session, "role": str(role), "start_frame": start, "stop_frame": stop}))
    if not parts:
        return pd.DataFrame(columns=["session_id", "role", "start_frame", "stop_frame"])
    return pd.concat(parts, ignore_index=True)
