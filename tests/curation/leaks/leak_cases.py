"""Manifests made by hand for leak checks: small runs whose every leak can be counted on the fingers of one hand.

Every recording of `recording` has train-role time 0-100, valid 110-150 and test 160-200, ten frames of guard between
them. Two recordings of one mouse hold the same two cells. `held` is a recording that a split across animals holds out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation import Manifest
from poyodata.curation.leaks.fitted import Fitted
from poyodata.curation.leaks.grounds import grounds_of
from poyodata.curation.manifest import IDENTITY
from poyodata.splits.role_digests import role_digests

GUARD = 10
Span = tuple[str, int, int]
WITHIN: tuple[Span, ...] = (("train", 0, 100), ("valid", 110, 150), ("test", 160, 200))
TRAINED: tuple[Span, ...] = (("train", 0, 100), ("valid", 110, 200))
HELD: tuple[Span, ...] = (("identify", 0, 100), ("test", 110, 200))


@dataclass(frozen=True)
class Recording:
    """One recording as a manifest sees it: who it is of, the split's roles, and the windows that are eaten."""

    session: str
    donor: str | None
    container: str | None
    cells: tuple[int | None, ...]
    role: str = "train"
    time: tuple[Span, ...] = WITHIN
    eaten: tuple[Span, ...] | None = None
    guard: int = GUARD

    def eat(self, *spans: Span) -> Recording:
        """Eat these windows instead of all time that has a role."""
        return replace(self, eaten=spans)

    def but(self, **changes: Any) -> Recording:
        """Change some facts."""
        return replace(self, **changes)


def recording(number: int, **changes: Any) -> Recording:
    """Recording `number`: two in a row are of one mouse and of one plane, and hold the same two cells."""
    mouse = number // 2
    cells = (100 * mouse, 100 * mouse + 1)
    return Recording(f"s{number}", f"d{mouse}", f"c{mouse}", cells).but(**changes)


def trained(number: int, **changes: Any) -> Recording:
    """Make a recording to learn from, under a split across animals."""
    return recording(number, time=TRAINED, **changes)


def held(number: int, role: str = "test", **changes: Any) -> Recording:
    """Make a recording that a split across animals holds out."""
    time = HELD if role == "test" else (("identify", 0, 100), ("valid", 110, 200))
    return recording(number, role=role, time=time, **changes)


def manifest(
    *recordings: Recording,
    name: str = "all",
    split: str = "split a",
    across: str | None = None,
    store: str = "store a",
    neurons: slice = slice(None),
    diet: dict[str, Any] | None = None,
    statistics: dict[str, Any] | None = None,
    considered: Sequence[Recording] = (),
    **meta: Any,
) -> Manifest:
    """Make a manifest; `neurons` says which of each recording's neurons are kept, `meta` replaces entries.

    Of the recordings `considered` the split has roles and the rule saw the neurons, but kept none.
    """
    rows, windows, time = [], [], []
    for one in recordings:
        for column in range(len(one.cells))[neurons]:
            who = (f"{one.session}_{column}", one.session, column, one.donor, one.container, one.cells[column])
            rows.append((*who, "Sst-IRES-Cre", "VISp", one.role, ""))
        windows += [(one.session, *span) for span in (one.time if one.eaten is None else one.eaten)]
        time += [(one.session, *span, one.guard) for span in one.time]
    # One more neuron was considered, and is not kept.
    others = [
        (f"{one.session}_0", one.session, 0, one.donor, one.container, one.cells[0], "", "", one.role, "")
        for one in considered
    ]
    population = pd.DataFrame([*rows, ("s9_9", *rows[0][1:]), *others], columns=list(IDENTITY))
    every_role = [*time, *((one.session, *span, one.guard) for one in considered for span in one.time)]
    population["cell_specimen_id"] = pd.array(population["cell_specimen_id"], dtype="Int64")
    spans = ["session_id", "role", "start_frame", "stop_frame"]
    every = pd.DataFrame(every_role, columns=[*spans, "guard_frames"])
    facts: dict[str, Any] = {
        "name": name,
        "diet": {"diet": 1, "name": name, "neurons": "all"} | (diet or {}),
        "references": {},
        "store_digest": store,
        "recordings": {one.session: f"content of {one.session}" for one in recordings},
        "split": {"spec": {"name": split}, "fold": 0, "digest": split, "across": across},
        "roles": role_digests(every),
        "statistics": {"names": [], "window": "train", "split_digest": split, "uses_labels": []} | (statistics or {}),
        "learned": {},
        "counted": {},
        "frozen": {},
        "lineage": None,
        "funnel": [],
        "warnings": [],
    }
    return Manifest(
        neurons=population.iloc[: len(rows)],
        windows=pd.DataFrame(windows, columns=spans),
        role_time=pd.DataFrame(time, columns=[*spans, "guard_frames"]),
        population=population.drop(columns="term"),
        meta=facts | meta,
    )


def learned(**changes: Any) -> dict[str, Any]:
    """Say what a manifest knows of one file of learned columns."""
    return {"nuclr": {"beyond_train": False, "uses_labels": False, "digest": "f00", "columns": ["x"]} | changes}


def frozen(*names: str, reference: str = "train") -> dict[str, Any]:
    """Say what a manifest knows of thresholds."""
    return {name: {"value": 1.0, "n": 10, "reference": reference} for name in names}


def packed(
    source: Manifest,
    *,
    chosen_by: Sequence[str] = ("moments",),
    before: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Say what a store knows that was packed from a manifest whose neurons were chosen by these statistics too."""
    grounds = grounds_of(source)
    known = grounds.summary() | {"statistics": sorted({*grounds.statistics, *chosen_by})}
    return {
        "manifest": "made by hand",
        "diet": source.name,
        "name": source.name,
        "store": source.store_digest,
        "split": source.split_digest,
        "roles": role_digests(source.role_time),
        "evidence": [*known["statistics"], *grounds.thresholds],
        "grounds": known,
        "before": before,
    } | changes


def fit(kind: str = "normalisation", **changes: Any) -> Fitted:
    """Make something fitted on train-role time of recording 0, under split a."""
    facts: dict[str, Any] = {
        "name": "dff",
        "kind": kind,
        "manifest_digest": "made by hand",
        "split_digest": "split a",
        "roles": ("train",),
        "sessions": ("s0",),
        "donors": ("d0",),
        "looked_at": None,
    }
    return Fitted(**facts | changes)


def frames(**spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Say which frames something fitted looked at, by recording."""
    looked = {name: np.array(rows, np.int64).reshape(-1, 2) for name, rows in spans.items()}
    return {"looked_at": looked, "sessions": tuple(looked)}


@dataclass(frozen=True)
class Run:
    """Stages of a run, and what else `check_leaks` is told."""

    stages: list[tuple[str, Manifest]]
    options: dict[str, Any] = field(default_factory=dict)


def run(*manifests: Manifest, **options: Any) -> Run:
    """Make a run of one, two or three stages; the last is tested."""
    names = {1: ["train"], 2: ["pretrain", "test"], 3: ["pretrain", "finetune", "test"]}[len(manifests)]
    return Run(list(zip(names, manifests, strict=True)), options)


@dataclass(frozen=True)
class Planted:
    """A leak that must be found.

    Attributes
    ----------
    kind, mechanism : str
        Together they say what leaks, and how; no two cases have the same.
    make : callable
        Makes the run.
    check : str
        The check that must find it.
    found : int
        How many things.
    besides : tuple of str
        Further checks that must find something too; no others may.
    """

    kind: str
    mechanism: str
    make: Callable[..., Run]
    check: str
    found: int = 1
    besides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the case."""
        return f"{self.kind}: {self.mechanism}".replace(" ", "-")


@dataclass(frozen=True)
class Honest:
    """A set-up in which nothing leaks, however near it comes; `looked` is a check that must have found work."""

    kind: str
    mechanism: str
    make: Callable[..., Run]
    looked: str

    @property
    def id(self) -> str:
        """Name of the case."""
        return f"{self.kind}: {self.mechanism}".replace(" ", "-")


def leaks_named(message: str) -> dict[str, int]:
    """Read the checks that a `LeakError` names, with the largest count of each."""
    found: dict[str, int] = {}
    for check, count in re.findall(r"(?:test: |; )([a-z -]+) \[[^\]]*\]: (\d+) of", message):
        found[check] = max(int(count), found.get(check, 0))
    return found
