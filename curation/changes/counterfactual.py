"""From one manifest to another in single steps: neurons and diet in between, and the rule asked again each time.

The first manifest's rule and population are turned into the second's one step after another, always in the same order:
recordings that went or came, recordings that changed, the split, the values of each column, each change of the diet. A
neuron that one manifest has and the other has not is due to the first step after which the answer is the second's. So
every changed neuron has one cause, and the causes add up to the change. No store is needed: manifests hold what the
rule looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.changes.causes import (
    OTHER,
    Cause,
    asked_of_split,
    column_cause,
    counted_cause,
    counts,
    named,
    split_cause,
)
from poyodata.curation.changes.document_change import Document, Edit, edits_between
from poyodata.curation.changes.store_change import between
from poyodata.curation.diet import Diet
from poyodata.curation.language.rules import COUNTED
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import select_neurons
from poyodata.errors import DietError

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest

Mask = npt.NDArray[np.bool_]
States = npt.NDArray[np.object_]

VERDICT: tuple[str, ...] = ("answer", "decided_by")


@dataclass(frozen=True)
class Step:
    """A cause, and how the world in between takes it in."""

    cause: Cause
    take: Callable[[World], None]


def neuron_causes(before: Manifest, after: Manifest) -> tuple[pd.DataFrame, list[Cause]]:
    """Find the neurons that come, go or move from one manifest to another, and the first cause of each.

    Parameters
    ----------
    before, after : Manifest

    Returns
    -------
    neurons : DataFrame
        One row a changed neuron: neuron_id, session_id, change (came, went, moved: to another role of the split or
        term of the mix), cause, what, before, after; sorted by (session_id, neuron_id).
    causes : list of Cause
        All in which the two differ, in the order of the steps, whether they changed a neuron or not.
    """
    world = World(before, after)
    steps = list(_steps(world))
    first, last = world.states(before), world.states(after)
    changed = first != last
    index = np.full(len(changed), -1, np.int64)
    waiting: int | None = None
    for number, step in enumerate(steps):
        if not (changed & (index < 0)).any():
            break
        waiting = number if waiting is None else waiting
        try:
            step.take(world)
            now = world.answer()
        except DietError:
            continue  # nothing can be said of this world; what it changed is seen after the next step
        index[changed & (index < 0) & (now == last)] = waiting
        waiting = None
    causes = _told_apart([step.cause for step in steps])
    left = changed & (index < 0)
    if left.any():
        # Steps that could not be told apart at the end share their first; with none there is nothing to name.
        index[left] = len(causes) if waiting is None else waiting
        if waiting is None:
            causes.append(Cause(OTHER, "nothing that the manifests say"))
    return _table(world, first, last, index, causes), causes


class World:
    """A population of neurons and a diet between two manifests, which steps turn from the one's into the other's."""

    def __init__(self, before: Manifest, after: Manifest) -> None:
        self.before, self.after = before, after
        ids = [manifest.population["neuron_id"].astype("str") for manifest in (before, after)]
        self.neuron_id: pd.Index[Any] = pd.Index(ids[0]).union(pd.Index(ids[1]), sort=True)
        self._own = [self._placed(manifest.population) for manifest in (before, after)]
        self.held: list[Mask] = [pd.Index(own).get_indexer(self.neuron_id) >= 0 for own in ids]
        one, other = self._own
        self.session_id = one["session_id"].where(self.held[0], other["session_id"]).to_numpy(dtype=object)
        self.columns: list[str] = list(dict.fromkeys(map(str, [*one.columns, *other.columns])))
        self.present: Mask = self.held[0].copy()
        both = self.held[0] & self.held[1]
        # What the first rule did not ask for has no other value than the second's.
        self._values = {name: one[name] if name in one else other[name].where(both) for name in self.columns}
        self.diet: Document = copy.deepcopy(documents(before))
        for key, diet in after.meta["references"].items():
            self.diet["references"].setdefault(key, copy.deepcopy(diet))

    def _placed(self, population: pd.DataFrame) -> pd.DataFrame:
        table = population.drop(columns=[name for name in VERDICT if name in population.columns])
        return table.set_index(table["neuron_id"].astype("str")).drop(columns="neuron_id").reindex(self.neuron_id)

    @property
    def both(self) -> Mask:
        """Neurons that both manifests considered."""
        both: Mask = self.held[0] & self.held[1]
        return both

    @property
    def in_one_split(self) -> Mask:
        """Neurons of recordings of which only one manifest considered any."""
        sessions = [set(self.session_id[held].tolist()) for held in self.held]
        return np.isin(self.session_id, sorted(sessions[0] ^ sessions[1]))

    def differs(self, name: str) -> Mask:
        """Neurons that both considered and that have another value in a column now than in the second manifest."""
        if name not in self._own[1]:
            return np.zeros(len(self.neuron_id), np.bool_)
        now, then = self._values[name], self._own[1][name]
        same = ((now == then) | (now.isna() & then.isna())).fillna(False).to_numpy(np.bool_)
        return self.both & ~same

    def value(self, name: str, row: int, side: int) -> str:
        """Write a neuron's value in one of the manifests."""
        if name not in self._own[side]:
            return ""
        value = self._own[side][name].iloc[row]
        return "missing" if pd.isna(value) else f"{value:.6g}" if isinstance(value, float) else str(value)

    def take_rows(self, rows: Mask) -> None:
        """Make some neurons what they are in the second manifest, those that it has not considered included."""
        self.present = np.where(rows, self.held[1], self.present)
        for name in self.columns:
            self.take_column(name, rows & self.held[1])

    def take_column(self, name: str, rows: Mask) -> None:
        """Give some neurons the value that they have in the second manifest."""
        if name in self._own[1]:
            self._values[name] = self._values[name].where(~rows, self._own[1][name])

    def answer(self) -> States:
        """Ask the rule of the population as they are now."""
        table = pd.DataFrame({name: values[self.present] for name, values in self._values.items()})
        table = table.rename_axis("neuron_id").reset_index()
        diet = Diet.from_dict(self.diet["diet"])
        selection = select_neurons(diet, table, References.from_documents(diet, self.diet["references"]))
        states = np.full(len(self.neuron_id), "", dtype=object)
        rows = np.flatnonzero(self.present)[selection.kept]
        states[rows] = _states(table["role"][selection.kept], selection.term[selection.kept], diet.name)
        return states

    def states(self, manifest: Manifest) -> States:
        """What became of every neuron in a manifest: ``""``, or its role and term."""
        states = np.full(len(self.neuron_id), "", dtype=object)
        kept = manifest.neurons
        rows = self.neuron_id.get_indexer(pd.Index(kept["neuron_id"].astype("str")))
        states[rows] = _states(kept["role"], kept["term"].to_numpy(dtype=object), manifest.name)
        return states


def documents(manifest: Manifest) -> Document:
    """Give the diet of a manifest, and those it refers to, as one document."""
    return {"diet": manifest.meta["diet"], "references": dict(manifest.meta["references"])}


def diet_edits(before: Manifest, after: Manifest) -> tuple[Edit, ...]:
    """List the changes of the rule for neurons and of its policies, in the diet and those it refers to."""
    pair = [documents(manifest) for manifest in (before, after)]
    for document in pair:
        document["diet"] = {key: value for key, value in document["diet"].items() if key not in _NO_RULE}
    for key in set(pair[0]["references"]) ^ set(pair[1]["references"]):
        # Who refers to it is another rule already; by itself it changes nothing.
        for document in pair:
            document["references"].pop(key, None)
    for document in pair:
        document["references"] = {
            key: {word: value for word, value in diet.items() if word in ("neurons", "missing")}
            for key, diet in document["references"].items()
        }
    return edits_between(pair[0], pair[1], (before.meta["parameters"], after.meta["parameters"]))


_NO_RULE = ("diet", "name", "description", "splits", "disjoint", "windows")


# -- the steps -------------------------------------------------------------------------------------------------------


def _steps(world: World) -> Iterator[Step]:
    before, after = world.before, world.after
    change = between(before.meta, after.meta)
    for kind, names in (("recording removed", change.removed), ("recording added", change.added)):
        if names:
            yield Step(Cause(kind, named(names), *counts(before, after)), _taking(world, names))
    if change.changed:
        yield Step(Cause("recording changed", named(change.changed)), _taking(world, change.changed))
    fresh = np.isin(world.session_id, [*change.removed, *change.added, *change.changed])
    in_one = (world.held[0] != world.held[1]) & ~fresh
    if before.split_digest != after.split_digest:
        moved = in_one & world.in_one_split
        # A split's digest is over its recordings too: without another role it is not the split that changed.
        if asked_of_split(before) != asked_of_split(after) or (moved | (world.differs("role") & ~fresh)).any():
            yield Step(split_cause(before, after), lambda world: _take_split(world, moved))
        in_one &= ~moved
    differ = [name for name in sorted(world.columns) if name not in _IDENTITY and (world.differs(name) & ~fresh).any()]
    counted = [name for name in differ if name in COUNTED]
    cause = counted_cause(before, after) if counted else None
    if cause is not None:
        yield Step(cause, partial(_take_columns, counted))
        differ = [name for name in differ if name not in counted]
    for name in differ:
        yield Step(column_cause(before, after, name), partial(_take_columns, [name]))
    if in_one.any():
        what = "regions with an exclusion label, which only a rule that names them considers"
        yield Step(Cause("clause", what), lambda world: world.take_rows(in_one))
    for edit in diet_edits(before, after):
        yield Step(Cause(edit.cause, edit.place, edit.before, edit.after), partial(_take_edit, edit))


_IDENTITY = ("session_id", "column", "donor_id", "container_id", "cell_specimen_id", "cre_line", "area", "role")


def _taking(world: World, sessions: tuple[str, ...]) -> Callable[[World], None]:
    rows = np.isin(world.session_id, list(sessions))
    return lambda world: world.take_rows(rows)


def _take_split(world: World, moved: Mask) -> None:
    """Take recordings in and out, and all roles; the values of those that stay are steps of their own."""
    world.take_rows(moved)
    world.take_column("role", world.held[1])


def _take_columns(names: Sequence[str], world: World) -> None:
    for name in names:
        world.take_column(name, world.both)


def _take_edit(edit: Edit, world: World) -> None:
    edit.apply(world.diet)


def _told_apart(causes: list[Cause]) -> list[Cause]:
    """Give causes of one name another: a clause that went and one that came may have had the same place."""
    known: set[tuple[str, str]] = set()
    apart = []
    for cause in causes:
        what = cause.what
        while (cause.cause, what) in known:
            what += f" ({cause.before or cause.after})"
        known.add((cause.cause, what))
        apart.append(replace(cause, what=what))
    return apart


# -- the result ------------------------------------------------------------------------------------------------------


def _states(roles: pd.Series[Any], terms: States, name: str) -> States:
    """Role and term of kept neurons; a term that is the diet's own name says nothing."""
    own = ["" if term == name else str(term) for term in terms]
    return np.array([f"{role}|{term}" for role, term in zip(roles, own, strict=True)], dtype=object)


def _table(
    world: World, first: States, last: States, index: npt.NDArray[np.int64], causes: list[Cause]
) -> pd.DataFrame:
    rows = np.flatnonzero(first != last)
    at = index[rows]
    table = pd.DataFrame(
        {
            "neuron_id": world.neuron_id[rows],
            "session_id": world.session_id[rows],
            "change": np.where(first[rows] == "", "came", np.where(last[rows] == "", "went", "moved")),
            **{
                name: np.array([getattr(cause, name) for cause in causes], dtype=object)[at]
                for name in ("cause", "what", "before", "after")
            },
        },
        dtype="str",
    )
    for number, cause in enumerate(causes):
        if cause.column:  # each neuron has values of its own
            own = np.flatnonzero(at == number)
            for side, name in enumerate(("before", "after")):
                table.loc[own, name] = [world.value(cause.column, int(row), side) for row in rows[own]]
    return table.sort_values(["session_id", "neuron_id"], kind="stable", ignore_index=True)
