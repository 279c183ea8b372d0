"""Leak checks over the whole lineage of a run: what a model is tested on must not have been seen before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation.manifest import Manifest
from poyodata.curation.windows import STRIDE
from poyodata.errors import LeakError, UsageError, nearest
from poyodata.intervals import as_intervals

LEARNING: tuple[str, ...] = ("train", "valid")
UNITS = {
    "donor": "donor_id",
    "container": "container_id",
    "session": "session_id",
    "cell": "cell_specimen_id",
    "neuron": "neuron_id",
}

Stage = tuple[str, Manifest]


@dataclass(frozen=True)
class LeakCheck:
    """One check of one stage or pair of stages.

    Attributes
    ----------
    check : str
        What must not be.
    stages : str
    checked, found : int
        How many things were looked at, and how many of them leak.
    detail : str
        The first of those found.
    """

    check: str
    stages: str
    checked: int
    found: int
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return self.found == 0


@dataclass(frozen=True)
class LeakReport:
    """Result of `check_leaks`.

    Attributes
    ----------
    checks : tuple of LeakCheck
    allow_leakage : str or None
        The reason given for going on all the same.
    """

    checks: tuple[LeakCheck, ...]
    allow_leakage: str | None = None

    @property
    def leaks(self) -> tuple[LeakCheck, ...]:
        """Checks that found something."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def ok(self) -> bool:
        """No leak at all, allowed or not."""
        return not self.leaks

    def table(self) -> pd.DataFrame:
        """One row a check: check, stages, checked, found, ok, detail, allowed (the reason, where one was given)."""
        reason = self.allow_leakage or ""
        rows = [
            (item.check, item.stages, item.checked, item.found, item.ok, item.detail, "" if item.ok else reason)
            for item in self.checks
        ]
        return pd.DataFrame(rows, columns=["check", "stages", "checked", "found", "ok", "detail", "allowed"])

    def __repr__(self) -> str:
        state = "no leak" if self.ok else f"{len(self.leaks)} leaks, allowed: {self.allow_leakage}"
        return f"LeakReport({len(self.checks)} checks, {state})"

    def _repr_html_(self) -> str:
        return self.table().to_html(index=False)


def check_leaks(
    stages: Sequence[Stage],
    *,
    test_role: str = "test",
    allow_leakage: str | None = None,
    label_free: Sequence[str] = (),
) -> LeakReport:
    """Check the lineage of a run, first stage first.

    Parameters
    ----------
    stages : sequence of (name, Manifest)
        In the order in which the model goes through them, as in ``[("pretrain", a), ("finetune", b), ("test", b)]``.
        A stage learns from its train and valid windows; the test windows of every stage must be new to it and to all
        stages before it.
    test_role : str
        Role that is tested on.
    allow_leakage : str, optional
        A reason to go on all the same; it then stands in the report.
    label_free : sequence of str
        Stages that use no labels at all, which may see held-out donors' train-role time.

    Returns
    -------
    LeakReport

    Raises
    ------
    LeakError
        Naming every leak with its count, unless `allow_leakage` gives a reason.
    UsageError
        No stage, a stage named twice, or a role or name that does not exist.
    """
    names = [name for name, _ in stages]
    if not stages or len(set(names)) < len(names):
        raise UsageError(f"a lineage has at least one stage, each with a name of its own; got {names}.")
    if allow_leakage is not None and not allow_leakage.strip():
        raise UsageError("allow_leakage must give a reason, which then stands in every report.")
    for name in label_free:
        if name not in names:
            raise UsageError(f"label_free names no stage {name!r}: {nearest(name, names)}")
    if test_role in LEARNING or not any((manifest.windows["role"] == test_role).any() for _, manifest in stages):
        roles = sorted({role for _, manifest in stages for role in manifest.roles} - set(LEARNING))
        raise UsageError(f"no stage has windows of role {test_role!r} to test on: {nearest(test_role, roles)}")
    report = LeakReport(tuple(_checks(stages, test_role, frozenset(label_free))), allow_leakage)
    if report.leaks and allow_leakage is None:
        listed = "; ".join(
            f"{leak.check} [{leak.stages}]: {leak.found} of {leak.checked}, {leak.detail}" for leak in report.leaks
        )
        raise LeakError(
            f"{len(report.leaks)} leaks from training into the test: {listed}. Resolve all stages on one store with "
            'one split and fold, or give allow_leakage="<reason>", which then stands in every report.'
        )
    return report


def _checks(stages: Sequence[Stage], test_role: str, label_free: frozenset[str]) -> Iterator[LeakCheck]:
    for (a, first), (b, second) in combinations(stages, 2):
        moved = int(first.store_digest != second.store_digest)
        detail = f"{first.store_digest[:12]} and {second.store_digest[:12]}" if moved else ""
        yield LeakCheck("stages of different stores", _pair(a, b), 1, moved, detail)
    for name, manifest in stages:
        yield _statistics_window(name, manifest)
        yield _statistics_labels(name, manifest)
        for unit in ("donor", "cell"):
            yield _two_roles(name, manifest, unit)
    for (a, earlier), (b, later) in combinations_with_replacement(stages, 2):
        tested = later.windows[(later.windows["role"] == test_role).to_numpy(bool)]
        if tested.empty:
            continue
        yield _time(_pair(a, b), earlier, tested)
        yield _statistics_split(_pair(a, b), earlier, later)
        for unit in ("donor", "cell"):
            if a not in label_free:
                yield _held_out(_pair(a, b), earlier, later, tested, unit)
    for (a, first), (b, second) in combinations(stages, 2):
        yield from _disjoint(a, first, b, second)
        yield from _disjoint(b, second, a, first)


def _pair(a: str, b: str) -> str:
    return a if a == b else f"{a} -> {b}"


def _time(stages: str, earlier: Manifest, tested: pd.DataFrame) -> LeakCheck:
    """Test windows that share a frame with a window learnt from, whatever the neurons."""
    learnt = earlier.windows[earlier.windows["role"].isin(LEARNING)]
    sessions = pd.Index(pd.unique(pd.concat([learnt["session_id"], tested["session_id"]])))
    seen = as_intervals(_frames(learnt, sessions))
    test = _frames(tested, sessions)
    hit = np.zeros(len(test), np.bool_)
    if len(seen):
        before = np.searchsorted(seen[:, 0], test[:, 1], side="left") - 1
        hit = (before >= 0) & (seen[np.maximum(before, 0), 1] > test[:, 0])
    detail = ""
    if hit.any():
        row = tested.iloc[int(np.flatnonzero(hit)[0])]
        detail = f"first recording {row['session_id']}, frames {row['start_frame']} to {row['stop_frame']}"
    return LeakCheck("test windows seen in training", stages, len(test), int(hit.sum()), detail)


def _frames(windows: pd.DataFrame, sessions: pd.Index[Any]) -> Any:
    offset = sessions.get_indexer(pd.Index(windows["session_id"])).astype(np.int64) * STRIDE
    return windows[["start_frame", "stop_frame"]].to_numpy(np.int64) + offset[:, None]


def _held_out(stages: str, earlier: Manifest, later: Manifest, tested: pd.DataFrame, unit: str) -> LeakCheck:
    """Donors (cells) that a split across animals holds out for the test, but that an earlier stage learnt from."""
    column = UNITS[unit]
    rows = later.neurons
    out = set()
    if later.meta["split"]["across"] is not None:
        held = (rows["role"] == "test") & rows["session_id"].isin(tested["session_id"])
        out = set(rows.loc[held.to_numpy(bool), column].dropna())
    learnt = earlier.windows.loc[earlier.windows["role"].isin(LEARNING), "session_id"]
    seen = set(earlier.neurons.loc[earlier.neurons["session_id"].isin(learnt), column].dropna())
    return _shared(f"test {unit}s learnt from with labels", stages, out, seen)


def _shared(check: str, stages: str, held: set[Any], seen: set[Any]) -> LeakCheck:
    found = sorted(map(str, held & seen))
    return LeakCheck(check, stages, len(held), len(found), f"first {found[0]}" if found else "")


def _two_roles(stage: str, manifest: Manifest, unit: str) -> LeakCheck:
    roles = manifest.neurons[[UNITS[unit], "role"]].dropna().groupby(UNITS[unit])["role"].nunique()
    found = sorted(map(str, roles.index[(roles > 1).to_numpy(bool)]))
    return LeakCheck(
        f"{unit}s in two roles of the split", stage, len(roles), len(found), f"first {found[0]}" if found else ""
    )


def _statistics_window(stage: str, manifest: Manifest) -> LeakCheck:
    statistics = manifest.meta["statistics"]
    names, learned = statistics["names"], _learned(manifest)
    moved = statistics["split_digest"] != manifest.split_digest
    own = names if statistics["window"] != "train" or moved else []
    beyond = [*own, *(name for name, known in learned.items() if known["beyond_train"] or moved)]
    what = f"{', '.join(beyond)} on window {statistics['window']!r}" if beyond else ""
    return LeakCheck("statistics beyond train-role time", stage, int(bool(names or learned)), int(bool(beyond)), what)


def _learned(manifest: Manifest) -> Mapping[str, Any]:
    """Learned columns that a diet named; manifests of before there were any say nothing of them."""
    known: Mapping[str, Any] = manifest.meta.get("learned", {})
    return known


def _statistics_labels(stage: str, manifest: Manifest) -> LeakCheck:
    """Held-out neurons that were selected by a statistic, or a model's column, which looks at labels."""
    using = [
        *manifest.meta["statistics"]["uses_labels"],
        *(name for name, known in _learned(manifest).items() if known["uses_labels"]),
    ]
    held = manifest.neurons["role"] != "train"
    found = int(held.sum()) if using else 0
    detail = f"by {', '.join(using)}" if found else ""
    return LeakCheck("held-out neurons selected by labels", stage, int(held.sum()), found, detail)


def _statistics_split(stages: str, earlier: Manifest, later: Manifest) -> LeakCheck:
    statistics = earlier.meta["statistics"]
    used = bool(statistics["names"] or _learned(earlier))
    found = int(used and statistics["split_digest"] != later.split_digest)
    detail = f"split {str(statistics['split_digest'])[:12]}, tested under {later.split_digest[:12]}" if found else ""
    return LeakCheck("statistics under another split than the test", stages, int(used), found, detail)


def _disjoint(a: str, first: Manifest, b: str, second: Manifest) -> Iterator[LeakCheck]:
    for pair in first.meta["diet"].get("disjoint", ()):
        if pair["from"] == second.name:
            column = UNITS[pair["by"]]
            mine, other = (set(manifest.neurons[column].dropna()) for manifest in (first, second))
            yield _shared(f"{pair['by']}s shared although declared disjoint", f"{a} | {b}", mine, other)
