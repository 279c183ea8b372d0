"""Causes: in what two manifests differ, said of splits, rules for windows, and the values that they looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from poyodata.curation.changes.document_change import shown
from poyodata.curation.changes.store_change import between
from poyodata.curation.evidence import source_of
from poyodata.digests import canonical_json
from poyodata.errors import StatisticError

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest

OTHER = "other"
"""Cause of what no step explains: another version of the package, or a choice that a table of neurons cannot repeat."""

DEALT_ANEW = "roles dealt anew"
"""Cause of other roles under the same split and fold: the recordings that it was asked of went, came or changed."""


@dataclass(frozen=True)
class Cause:
    """One thing in which two manifests differ.

    Attributes
    ----------
    cause : str
        What kind of thing: ``threshold``, ``recording added``, ``statistic version`` ...
    what : str
        Which one.
    before, after : str
    column : str
        Column whose values changed; ``""`` for other causes.
    """

    cause: str
    what: str = ""
    before: str = ""
    after: str = ""
    column: str = field(default="", compare=False)


def split_cause(before: Manifest, after: Manifest) -> Cause:
    """Say how the splits of two manifests differ: in what was asked for, or in the recordings that it was asked of."""
    pair = [manifest.meta["split"] for manifest in (before, after)]
    one, other = (f"{split['spec'].get('name', '')}, fold {split['fold']}" for split in pair)
    if asked_of_split(before) == asked_of_split(after):
        change = between(before.meta, after.meta)
        kinds = (("without", change.removed), ("with", change.added), ("changed", change.changed))
        said = [f"{word} {named(names)}" for word, names in kinds if names]
        if said:
            return Cause(DEALT_ANEW, "; ".join(said), *counts(before, after))
        one, other = (f"{text} ({split['digest'][:12]})" for text, split in zip((one, other), pair, strict=True))
        return Cause("split", "recordings that it divides, or how it divides them", one, other)
    if one == other:
        one, other = (f"{text} ({split['digest'][:12]})" for text, split in zip((one, other), pair, strict=True))
    return Cause("split", "fold" if pair[0]["spec"] == pair[1]["spec"] else "specification", one, other)


def window_causes(before: Manifest, after: Manifest) -> list[Cause]:
    """Parts of the rule for windows that differ: where, while, min_length_s, sample."""
    pair = [manifest.meta["diet"].get("windows", {}) for manifest in (before, after)]
    parts = [part for part in dict.fromkeys([*pair[0], *pair[1]]) if pair[0].get(part) != pair[1].get(part)]
    return [Cause("windows", part, *(shown(rule.get(part, "")) for rule in pair)) for part in parts]


def window_cause(before: Manifest, after: Manifest) -> Cause | None:
    """The one cause that the rule for windows is; None where it is the same in both."""
    parts = window_causes(before, after)
    if len(parts) > 1:  # which of several cut one window cannot be told without the recording
        return Cause("windows", ", ".join(cause.what for cause in parts))
    return parts[0] if parts else None


def asked_of_split(manifest: Manifest) -> tuple[str, int]:
    """Specification and fold of a manifest's split; its digest is over the recordings and their roles too."""
    split = manifest.meta["split"]
    return canonical_json(split["spec"]), int(split["fold"])


def counted_cause(before: Manifest, after: Manifest) -> Cause | None:
    """Say why recordings have another number of windows or tokens, which controls were matched on."""
    rule = window_cause(before, after)
    if before.split_digest == after.split_digest:
        return rule
    if rule is None:
        split = split_cause(before, after)
        return replace(split, what=f"{split.what} (windows and tokens)")
    if asked_of_split(before) != asked_of_split(after):
        return Cause("windows", f"{rule.what}, under another split")
    return rule


def column_cause(before: Manifest, after: Manifest, name: str) -> Cause:
    """Say why the values of a column are others, although its recordings are the same."""
    one, other = before.meta, after.meta
    try:
        source = source_of(name)
    except StatisticError:
        source = None
    if source is not None:
        statistic = source.statistic
        pair = [meta["statistics"] for meta in (one, other)]
        versions = [known["versions"].get(statistic) for known in pair]
        if versions[0] != versions[1]:
            return Cause("statistic version", f"{statistic} ({name})", str(versions[0]), str(versions[1]), name)
        if pair[0]["window"] != pair[1]["window"]:
            return Cause("statistics window", name, pair[0]["window"], pair[1]["window"], column=name)
        if pair[0]["window"] == "train" and asked_of_split(before) != asked_of_split(after):
            cause = split_cause(before, after)
            return Cause("split", f"{name} on other train time", cause.before, cause.after, column=name)
    files = [_file_of(name, meta["learned"]) for meta in (one, other)]
    if all(files):
        digests = [meta["learned"][file]["digest"][:12] for meta, file in zip((one, other), files, strict=True)]
        if digests[0] != digests[1]:
            return Cause(
                "learned column", f"{name} of {_renamed(*([file] for file in files))}", digests[0], digests[1], name
            )
    labels = [meta["annotations"] for meta in (one, other)]
    # Which of several annotations holds a column is not written down.
    moved = [sorted(own.items() - labels[1 - side].items()) for side, own in enumerate(labels)]
    if source is None and not any(files) and any(moved):
        names, held = ([[pair[at] for pair in own] for own in moved] for at in (0, 1))
        digests = [", ".join(digest[:12] for digest in own) for own in held]
        return Cause("annotation", f"{name} of {_renamed(*names)}", digests[0], digests[1], name)
    return Cause("value", name, column=name)


def _file_of(name: str, learned: Mapping[str, Any]) -> str:
    return next((file for file, known in learned.items() if name in known["columns"]), "")


def _renamed(before: Sequence[str], after: Sequence[str]) -> str:
    one, other = (", ".join(names) or "(none)" for names in (before, after))
    return one if one == other else f"{one} -> {other}"


def named(names: tuple[str, ...]) -> str:
    """Write how many recordings, and the first of them."""
    return f"{len(names):,}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def counts(before: Manifest, after: Manifest) -> tuple[str, str]:
    """Write how many recordings the store of each manifest had."""
    one, other = (f"{len(manifest.meta['recordings']):,} recordings" for manifest in (before, after))
    return one, other
