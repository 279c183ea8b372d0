"""`StoreChange`: what of a store is another than when a manifest was resolved on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poyodata.errors import PoyodataError
from poyodata.statistics.learned.columns import read_lineage

if TYPE_CHECKING:
    from poyodata.store import Store

_NAMED = 3


@dataclass(frozen=True)
class StoreChange:
    """What moved between a manifest and a store, or between two manifests.

    Attributes
    ----------
    added, removed, changed : tuple of str
        Recordings, by session_id.
    annotations, learned : tuple of str
        Those that the diet used and that have other content now, or are gone.
    other : bool
        Something else did, such as a stimulus template, or it cannot be said what.

    Examples
    --------
    >>> change = StoreChange(added=("a", "b"), changed=("c",))
    >>> change.text()
    '2 recordings were added (a, b), 1 recording was changed (c)'
    >>> bool(StoreChange())
    False
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    other: bool = False

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def text(self) -> str:
        """Say it in words: how many, and the first few by name."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        parts = [_counted(names, "recording", f"{word}") for word, names in kinds.items() if names]
        if self.annotations:
            parts.append(_counted(self.annotations, "annotation", "changed or removed"))
        if self.learned:
            parts.append(_counted(self.learned, "file of learned columns", "changed or removed"))
        if self.other:
            parts.append("a stimulus template or the format was changed")
        return ", ".join(parts)


def store_change(meta: Mapping[str, Any], store: Store) -> StoreChange:
    """Compare a store with the one that a manifest was resolved on.

    Parameters
    ----------
    meta : mapping
        ``Manifest.meta``.
    store : Store

    Returns
    -------
    StoreChange
        Of annotations and learned columns, those that the diet used.
    """
    annotations = {name: known.digest for name, known in store.annotations.items()}
    learned = {name: _learned_digest(store, name) for name in meta["learned"]}
    used = {name: known["digest"] for name, known in meta["learned"].items()}
    recordings = _recordings_change(meta, recording_digests(store), meta["store_digest"] != store.digest)
    return StoreChange(
        **recordings,
        annotations=_changed(meta["annotations"], annotations),
        learned=_changed(used, learned),
    )


def recording_digests(store: Store) -> dict[str, str]:
    """Digest of every recording of a store, by session_id: ``recordings`` of a manifest's meta."""
    sessions = store.sessions
    return dict(sorted(zip(sessions["session_id"].tolist(), sessions["digest"].tolist(), strict=True)))


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> StoreChange:
    """Compare the stores that two manifests were resolved on, by their meta.

    Annotations and learned columns count that both used.
    """
    recordings = _recordings_change(before, after["recordings"], before["store_digest"] != after["store_digest"])
    files = [{name: known["digest"] for name, known in meta["learned"].items()} for meta in (before, after)]
    labels = before["annotations"], after["annotations"]
    return StoreChange(**recordings, annotations=_changed(*labels, both=True), learned=_changed(*files, both=True))


def _recordings_change(meta: Mapping[str, Any], now: Mapping[str, str], moved: bool) -> dict[str, Any]:
    before: Mapping[str, str] = meta["recordings"]
    found: dict[str, Any] = {
        "added": tuple(sorted(now.keys() - before.keys())),
        "removed": tuple(sorted(before.keys() - now.keys())),
        "changed": tuple(sorted(name for name in before.keys() & now.keys() if before[name] != now[name])),
    }
    return found | {"other": moved and not any(found.values())}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], *, both: bool = False) -> tuple[str, ...]:
    return tuple(sorted(name for name in before if before[name] != after.get(name) and (name in after or not both)))


def _learned_digest(store: Store, name: str) -> str | None:
    try:
        return read_lineage(store, name).digest
    except PoyodataError:  # gone, or damaged
        return None


def _counted(names: Sequence[str], noun: str, what: str) -> str:
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    plural = noun.replace("file of", "files of") if noun.startswith("file") else f"{noun}s"
    return (
        f"{len(names):,} {noun if len(names) == 1 else plural} {'was' if len(names) == 1 else 'were'} {what} ({shown})"
    )
