"""`Eaten`: what one stage of a run learns from and tests on, laid out so that stages can be held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.leaks.grounds import Grounds, grounds_of, grounds_of_entry, roles_of
from poyodata.curation.manifest import Manifest
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import select_neurons
from poyodata.curation.windows.recordings import STRIDE
from poyodata.errors import DietError
from poyodata.intervals import Intervals, as_intervals
from poyodata.splits.role_digests import role_digests

Mask: TypeAlias = npt.NDArray[np.bool_]

LEARNING: tuple[str, ...] = ("train", "valid")
"""Roles that a model learns from, labels and all."""
SEEN: tuple[str, ...] = (*LEARNING, "identify")
"""Roles whose frames a model looks at before it is tested."""
UNITS: Mapping[str, str] = {
    "donor": "donor_id",
    "container": "container_id",
    "session": "session_id",
    "cell": "cell_specimen_id",
    "neuron": "neuron_id",
}


@dataclass(frozen=True, eq=False)
class Eaten:
    """One stage of a run; frames of all recordings lie on one common axis, the same for every stage.

    Attributes
    ----------
    manifest : Manifest
    test_role : str
    recordings : Index
        Recordings in the order of the common axis, `STRIDE` frames each.
    label_free : bool
        Whether the stage uses no labels at all.
    """

    manifest: Manifest
    test_role: str
    recordings: pd.Index[Any]
    label_free: bool = False

    @cached_property
    def _roles(self) -> tuple[npt.NDArray[np.int64], list[str]]:
        code, names = pd.factorize(self.manifest.windows["role"])
        return code, list(map(str, names))

    @cached_property
    def _frames(self) -> Intervals:
        windows = self.manifest.windows
        code, names = pd.factorize(windows["session_id"])
        place = self.recordings.get_indexer(pd.Index(names))[code].astype(np.int64)
        frames: Intervals = windows[["start_frame", "stop_frame"]].to_numpy(np.int64) + place[:, None] * STRIDE
        return frames

    def _of(self, roles: Sequence[str]) -> Intervals:
        code, names = self._roles
        return self._frames[np.array([name in roles for name in names], np.bool_)[code]]

    @cached_property
    def seen(self) -> Intervals:
        """Frames looked at before any test: sorted, merged where they overlap or touch."""
        return as_intervals(self._of([role for role in SEEN if role != self.test_role]))

    @cached_property
    def tested(self) -> Intervals:
        """Windows that are tested on, one row each, in the manifest's order."""
        return self._of([self.test_role])

    @cached_property
    def guard(self) -> npt.NDArray[np.int64]:
        """Frames that a window learnt from must keep from a window tested on, by recording of the common axis."""
        time = self.manifest.role_time
        code, names = pd.factorize(time["session_id"])
        place = self.recordings.get_indexer(pd.Index(names))[code]
        known = np.zeros(len(self.recordings), np.int64)
        np.maximum.at(known, place[place >= 0], time["guard_frames"].to_numpy(np.int64)[place >= 0])
        return known

    @cached_property
    def learnt_recordings(self) -> frozenset[str]:
        """Recordings with a window to learn from."""
        return self._named(self._of(LEARNING))

    @cached_property
    def tested_recordings(self) -> frozenset[str]:
        """Recordings with a window to test on."""
        return self._named(self.tested)

    def _named(self, frames: Intervals) -> frozenset[str]:
        return frozenset(self.recordings[_present(frames[:, 0] // STRIDE, len(self.recordings))])

    @cached_property
    def _known(self) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]]:
        return {}

    def _coded(self, unit: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
        """Donor (container, session, cell, neuron, role) of every neuron as a code, -1 where unknown, and its names."""
        if unit not in self._known:
            code, names = pd.factorize(self.manifest.neurons[UNITS.get(unit, unit)])
            self._known[unit] = code, np.array(list(map(str, names.tolist())), dtype=object)
        return self._known[unit]

    def units(self, unit: str, rows: Mask | None = None) -> set[str]:
        """Donors (containers, sessions, cells, neurons) of the neurons at `rows`, or of all; unknown ones left out."""
        code, names = self._coded(unit)
        return set(names[_present(code if rows is None else code[rows], len(names))].tolist())

    def in_two_roles(self, unit: str) -> tuple[int, list[str]]:
        """Count units, and name those of which one recording has one role of the split and another has another."""
        (code, names), (role, roles) = self._coded(unit), self._coded("role")
        pairs = np.unique(code[code >= 0] * len(roles) + role[code >= 0])
        times = np.bincount(pairs // max(len(roles), 1), minlength=len(names))
        return len(names), names[times > 1].tolist()

    def _in(self, recordings: Set[str]) -> Mask:
        code, names = self._coded("session")
        found: Mask = np.array([name in recordings for name in names], np.bool_)[code]
        return found

    @property
    def across(self) -> str | None:
        """What the split holds out as a whole: donor, container or session; None where it divides time alone."""
        by: str | None = self.manifest.meta["split"]["across"]
        return by

    @cached_property
    def _held(self) -> Mask:
        """Neurons of recordings that the split holds out and that are tested on."""
        code, names = self._coded("role")
        held: Mask = (names != "train")[code] & self._in(self.tested_recordings)
        return held if self.across is not None else np.zeros_like(held)

    def held_out(self, unit: str) -> set[str]:
        """Units that the split holds out and that are tested on."""
        return self.units(unit, self._held)

    def held_out_animals(self) -> dict[str, str]:
        """Animal of every recording that the split holds out and that is tested on; the recording's name if unknown."""
        rows = self.manifest.neurons.loc[self._held, ["session_id", "donor_id"]].drop_duplicates("session_id")
        names = rows["donor_id"].astype(object).where(rows["donor_id"].notna(), "recording " + rows["session_id"])
        return dict(zip(map(str, rows["session_id"]), map(str, names), strict=True))

    def learnt(self, unit: str) -> set[str]:
        """Units in recordings with a window to learn from."""
        return self.units(unit, self._in(self.learnt_recordings))

    @cached_property
    def grounds(self) -> tuple[Grounds, ...]:
        """What chose the neurons: the diet first, then whatever chose those of a packed store, newest first.

        Last come the manifests that the models of learned columns were trained on.
        """
        chose = (grounds_of(self.manifest), *self.grounds_before)
        return (*chose, *(one for own in chose for one in own.all_behind))

    @cached_property
    def grounds_before(self) -> tuple[Grounds, ...]:
        """What chose the neurons of the packed store that this was resolved on, and of the one before it."""
        return tuple(grounds_of_entry(entry) for entry, _ in self.packed)

    def held_now_or_in(self, recordings: Set[str]) -> Mask:
        """Neurons of recordings that the split holds out, or that are among these."""
        code, names = self._coded("role")
        held: Mask = (names != "train")[code] | self._in(recordings)
        return held

    def moved(self, grounds: Grounds, kept_only: bool = False) -> list[str]:
        """Name what is tested on here, and what these grounds saw under another split.

        That is recordings tested on to which the other split gives other roles, and animals that are held out here
        and were train there, in a recording that this stage does not know. With `kept_only` recordings without a kept
        neuron are let be: a statistic of one recording says nothing of another.
        """
        if grounds.split in self.splits:
            return []
        if not grounds.roles:
            return [f"split {grounds.split[:12]}, whose roles are not known"]
        roles, donors = grounds.roles, grounds.donors
        if kept_only and grounds.kept:
            roles, donors = ({name: one[name] for name in grounds.kept if name in one} for one in (roles, donors))
        mine = self.roles
        same = {name for name, digest in roles.items() if mine.get(name) == digest}
        found = sorted((self.tested_recordings & set(roles)) - same)
        compared = {*same, *found, *grounds.held_out}
        seen = {donor for session, donor in donors.items() if session not in compared}
        return found + sorted(self.held_out("donor") & seen)

    def movie_split(self) -> tuple[Any, ...] | None:
        """Say which segments of movies the split holds out, guards apart; None where it holds none out."""
        split = self.manifest.meta["split"]
        within = split["spec"].get("within") or {}
        if within.get("kind") != "movie-segments":
            return None
        return (split["fold"], *sorted((key, str(value)) for key, value in within.items() if key != "guard_s"))

    def shown(self, roles: Sequence[str]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
        """Stimulus and movie frame of the windows of some roles that may be of a movie; ``""`` and -1 where unknown."""
        windows = self.manifest.windows
        windows = windows[windows["role"].isin(list(roles)).to_numpy(bool)]
        name, frame = np.full(len(windows), "", dtype=object), np.full(len(windows), -1)
        if "stimulus" in windows.columns:
            name = windows["stimulus"].to_numpy(object)
        if "movie_frame" in windows.columns:
            frame = windows["movie_frame"].to_numpy(np.int64)
        code, names = pd.factorize(name)
        may = np.array([not one or "movie" in one for one in names], np.bool_)[code] | (frame >= 0)
        return name[may], frame[may]

    @cached_property
    def roles(self) -> Mapping[str, str]:
        """Digest of the roles of every recording of the split."""
        return roles_of(self.manifest)

    @cached_property
    def packed(self) -> list[tuple[Mapping[str, Any], list[str]]]:
        """For every time that the store was packed, newest first, its record and the recordings whose roles differ."""
        entries = chain(self.manifest.meta.get("lineage"))
        own = role_digests(self.manifest.role_time) if entries else {}
        found = []
        for entry in entries:
            then = entry.get("roles") or {}
            same = entry["split"] == self.manifest.split_digest
            found.append((entry, [] if same else [name for name, digest in own.items() if then.get(name) != digest]))
        return found

    @cached_property
    def splits(self) -> frozenset[str]:
        """Digest of the split, and of those that gave every recording the same roles before it was packed."""
        return frozenset([self.manifest.split_digest, *(str(one["split"]) for one, moved in self.packed if not moved)])

    @cached_property
    def stores(self) -> frozenset[str]:
        """Digest of the store and, where it was packed, of those that it was packed from."""
        return frozenset([self.manifest.store_digest, *(str(entry["store"]) for entry, _ in self.packed)])

    def meant_by(self, name: str) -> Mask | None:
        """Neurons of this stage that the diet `name` means: all where it is the stage's own; None where it knows none.

        A diet that is a reference inside is evaluated on the neurons that were considered, so that it means exactly
        what it meant when the stage was resolved.
        """
        if self._is_own(name):
            return np.ones(len(self.manifest.neurons), np.bool_)
        masks = [_kept_by(self.manifest, key) for key in self._references_named(name)]
        return np.logical_or.reduce(masks) if masks else None

    def is_part(self, name: str) -> bool:
        """Whether the stage's diet refers to the diet `name`, and is not that diet itself."""
        return not self._is_own(name) and bool(self._references_named(name))

    def _is_own(self, name: str) -> bool:
        return self.manifest.name in (name, Path(name).stem if _is_file(name) else name)

    def _references_named(self, name: str) -> list[str]:
        # Files stand in the references by their place, written without a leading "./".
        name = Path(name).as_posix() if _is_file(name) else name
        documents = self.manifest.meta.get("references") or {}
        return [key for key, document in documents.items() if name in (key, document.get("name"))]


def lay_out(
    stages: Sequence[tuple[str, Manifest]], test_role: str, label_free: Sequence[str] = ()
) -> list[tuple[str, Eaten]]:
    """Put the stages of a run on one common axis; a manifest that stands in several stages is laid out once."""
    parts = [manifest.windows["session_id"].unique() for _, manifest in stages]
    recordings = pd.Index(sorted({str(name) for part in parts for name in part}), dtype=object)
    known: dict[tuple[int, bool], Eaten] = {}
    for name, manifest in stages:
        free = name in label_free
        known.setdefault((id(manifest), free), Eaten(manifest, test_role, recordings, free))
    return [(name, known[id(manifest), name in label_free]) for name, manifest in stages]


def _is_file(name: str) -> bool:
    return Path(name).suffix in (".yaml", ".yml")


def _present(code: npt.NDArray[np.int64], n: int) -> Mask:
    """Tell which of `n` codes occur; -1 is none. Counting costs less than sorting or hashing them."""
    found: Mask = np.bincount(code + 1, minlength=n + 1)[1:] > 0
    return found


def chain(lineage: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Walk from a packed store back to the first store: one entry for every time that it was packed, newest first."""
    entries: list[Mapping[str, Any]] = []
    while lineage:
        entries.append(lineage)
        lineage = lineage.get("before")
    return entries


def _kept_by(manifest: Manifest, key: str) -> Mask:
    """Neurons of a manifest that a diet referred to keeps of those that were considered; on doubt all of them."""
    documents, neurons = manifest.meta["references"], manifest.neurons
    table = manifest.population if len(manifest.population) else neurons
    place = Path(key.partition(" with ")[0]).parent
    try:
        references = References.from_documents(Diet.from_dict(manifest.meta["diet"]), documents)
        kept = select_neurons(Diet.from_dict(documents[key], folder=place), table, references).kept
    except DietError:
        return np.ones(len(neurons), np.bool_)
    found: Mask = neurons["neuron_id"].isin(table["neuron_id"].to_numpy()[kept]).to_numpy(bool)
    return found
