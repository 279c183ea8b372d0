"""`Grounds`: what chose the neurons of a manifest by looking at time or at other animals, also before it was packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from poyodata.curation.leaks.fitted import TRAIN_ROLES
from poyodata.splits.role_digests import role_digests

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What chose neurons: a manifest's own, or that of a manifest which a store was packed from.

    A packed store holds chosen neurons alone, so that whatever is resolved on it inherits how they were chosen. Its
    lineage carries this in full, and the checks for leaks treat it as the manifest's own.

    Attributes
    ----------
    statistics, learned : tuple of str
        Statistics, and files of learned columns, that the rule named.
    window : str
        Time that statistics looked at.
    beyond : tuple of str
        Those of them that looked past the train-role time of the split.
    labels : tuple of str
        Those of them that look at labels.
    thresholds : mapping of text to str
        Reference population of every quantile, z score and rank.
    counted : mapping of str to tuple of str
        Roles of the time whose windows or tokens controls were matched by.
    across : str or None
        What the split holds out as a whole.
    held_out : tuple of str
        Recordings that the split holds out.
    split : str
        Digest of the split.
    roles : mapping of session id to str
        Digest of the roles of every recording of the split, kept neurons or not: thresholds look at all of them.
    donors : mapping of session id to str
        Animal of every recording considered, where it is known.
    kept : tuple of str
        Recordings with a kept neuron: a statistic of theirs looks at them alone. None where that is not known.
    annotations : tuple of str
        Annotations that the rule named; nothing says what they looked at.
    untold : tuple of str
        Files of learned columns whose model was trained on manifests of which no more than digests are known.
    behind : tuple of Grounds
        Of the manifests that the models of learned columns were trained on.
    packed_as : str or None
        Name of the diet, where a store was packed between these grounds and the manifest at hand.
    learned_as : str or None
        File of learned columns, where these are the grounds of a manifest that its model was trained on.
    """

    statistics: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    window: str = "train"
    beyond: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    thresholds: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    across: str | None = None
    held_out: tuple[str, ...] = ()
    split: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    donors: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    behind: tuple[Grounds, ...] = ()
    packed_as: str | None = None
    learned_as: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """Statistics and files of learned columns."""
        return (*self.statistics, *self.learned)

    @property
    def past_train(self) -> list[str]:
        """Names of what was counted in more than train-role time."""
        return [name for name, roles in self.counted.items() if set(roles) - set(TRAIN_ROLES)]

    @property
    def knows_held_out(self) -> list[str]:
        """Thresholds whose reference population holds animals that the split holds out."""
        # Without an axis across recordings all of them are train, so that "all" is the same population.
        return [name for name, reference in self.thresholds.items() if reference != "train" and self.across is not None]

    @property
    def place(self) -> str:
        """Words on where these grounds come from, for details of a report."""
        packed = "" if self.packed_as is None else f", packed as {self.packed_as!r}"
        return packed if self.learned_as is None else f", in training for the column {self.learned_as!r}{packed}"

    @property
    def names(self) -> list[str]:
        """Everything that chose, sorted: statistics, learned columns, what was counted, thresholds."""
        return sorted({*self.named, *self.counted, *self.thresholds})

    @property
    def all_behind(self) -> tuple[Grounds, ...]:
        """Grounds of the manifests that learned columns were trained on, and of those that these rest on."""
        return tuple(one for behind in self.behind for one in (behind, *behind.all_behind))

    def summary(self) -> dict[str, Any]:
        """Give it as plain values, for the lineage of a packed store; `grounds_of_entry` reads them."""
        return _plain(asdict(self))


_OF_READING = ("packed_as", "learned_as")
"""Said by who reads the grounds, and no part of them."""


def _plain(known: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in known.items()}
    plain = {key: value for key, value in plain.items() if key not in _OF_READING}
    return plain | {"behind": [_plain(one) | {"learned_as": one["learned_as"]} for one in known["behind"]]}


def grounds_of(manifest: Manifest) -> Grounds:
    """Say what chose the neurons of a manifest on its own store.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    Grounds
    """
    meta = manifest.meta
    statistics, learned = meta["statistics"], meta.get("learned") or {}
    names = tuple(statistics["names"])
    moved = statistics["split_digest"] != manifest.split_digest
    who = manifest.population if len(manifest.population) else manifest.neurons
    who = who[["session_id", "donor_id", "role"]].drop_duplicates("session_id")
    known = who.dropna(subset="donor_id")
    return Grounds(
        statistics=names,
        learned=tuple(learned),
        window=str(statistics["window"]),
        beyond=(
            *(names if statistics["window"] != "train" or moved else ()),
            *(name for name, one in learned.items() if one["beyond_train"] or moved),
        ),
        labels=(*statistics["uses_labels"], *(name for name, one in learned.items() if one["uses_labels"])),
        thresholds={
            _threshold(name, entry): str(entry["reference"])
            for name, entry in (meta.get("frozen") or {}).items()
            if "reference" in entry
        },
        counted={name: tuple(roles) for name, roles in (meta.get("counted") or {}).items()},
        across=meta["split"]["across"],
        held_out=tuple(sorted(map(str, who.loc[(who["role"] != "train").to_numpy(bool), "session_id"]))),
        split=manifest.split_digest,
        roles=roles_of(manifest),
        donors=dict(zip(map(str, known["session_id"]), map(str, known["donor_id"]), strict=True)),
        kept=tuple(sorted(map(str, manifest.neurons["session_id"].unique()))),
        annotations=tuple(meta.get("annotations") or {}),
        untold=tuple(
            name for name, one in learned.items() if set(one.get("manifests") or ()) - set(one.get("grounds") or {})
        ),
        behind=tuple(
            replace(_read(known), learned_as=name)
            for name, one in learned.items()
            for digest, every in (one.get("grounds") or {}).items()
            for known in every
        ),
    )


def lineage_grounds(manifest: Manifest) -> list[dict[str, Any]]:
    """Say what chose the neurons of a manifest, and those of the packed stores it was resolved on, as plain values.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    list of dict
        The manifest's own first; kept beside learned columns, and read by `grounds_of`.
    """
    before, entry = [], manifest.meta.get("lineage")
    while entry:
        before.append(grounds_of_entry(entry).summary())
        entry = entry.get("before")
    return [grounds_of(manifest).summary(), *before]


def _threshold(name: str, entry: Mapping[str, Any]) -> str:
    """How a threshold is called: by its text; `top`, which stands there by its place in the rule, by what it ranks."""
    return f"top {entry['k']} by {entry['by']}" if "k" in entry else name


def roles_of(manifest: Manifest) -> dict[str, str]:
    """Digest of the roles of every recording of a manifest's split; of those with a kept neuron where no more is known.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    dict of session id to str
    """
    known: Mapping[str, str] | None = manifest.meta.get("roles")
    return dict(known) if known else role_digests(manifest.role_time)


def grounds_of_entry(entry: Mapping[str, Any]) -> Grounds:
    """Read what chose the neurons of a packed store from an entry of its lineage.

    Parameters
    ----------
    entry : mapping
        As `poyodata.curation.packing.lineage_of` writes it. Where it names what chose the neurons but not how, all of
        that counts as having looked past train-role time: nothing says that it did not.

    Returns
    -------
    Grounds

    Examples
    --------
    >>> grounds_of_entry({"name": "low", "split": "9f", "evidence": ["moments"]}).beyond
    ('moments',)
    """
    name, roles = str(entry.get("name", "")), entry.get("roles") or {}
    known = entry.get("grounds")
    if known is None:
        names = tuple(entry.get("evidence", ("what chose its neurons",)))
        split = str(entry["split"])
        return Grounds(statistics=names, window="unknown", beyond=names, split=split, roles=roles, packed_as=name)
    return replace(_read(known), packed_as=name)


def _read(known: Mapping[str, Any]) -> Grounds:
    """Read what `Grounds.summary` wrote."""
    lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}
    lists["counted"] = {key: tuple(value) for key, value in known["counted"].items()}
    return Grounds(**lists | {"behind": tuple(map(_read, known.get("behind", ())))})
