"""`ManifestDiff`: which neurons and windows come and go from one manifest to another, and what each is due to."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.changes.causes import Cause, split_cause, window_cause, window_causes
from poyodata.curation.changes.counterfactual import neuron_causes
from poyodata.curation.changes.document_change import shown
from poyodata.curation.changes.store_change import between
from poyodata.intervals import as_intervals, covers

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest

CHANGES: tuple[str, ...] = ("came", "went", "moved")
_SPAN = ["session_id", "role", "start_frame", "stop_frame"]
_STRIDE = 2**40
_ROWS = 20


@dataclass(frozen=True, eq=False)
class ManifestDiff:
    """What differs between two manifests. Made by ``before.diff(after)``.

    Attributes
    ----------
    before, after : Manifest
    neurons : DataFrame
        One row a changed neuron: neuron_id, session_id, change (``came``, ``went``, or ``moved`` to another role of the
        split or term of the mix), and its one cause: cause, what, before, after.
    windows : DataFrame
        One row a changed window: session_id, role, start_frame, stop_frame (half-open), stimulus, trial, change
        (``came``, ``went``) and its cause as above.
    causes : tuple of Cause
        All in which the two differ, whether it changed anything or not.
    """

    before: Manifest = field(repr=False)
    after: Manifest = field(repr=False)
    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    causes: tuple[Cause, ...]

    @property
    def same(self) -> bool:
        """Nothing differs: neither what is eaten nor what it came from."""
        return not self.causes and self.neurons.empty and self.windows.empty

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many neurons came, went and moved, and how many windows came and went."""
        found = {f"neurons_{change}": int((self.neurons["change"] == change).sum()) for change in CHANGES}
        return found | {f"windows_{change}": int((self.windows["change"] == change).sum()) for change in CHANGES[:2]}

    def table(self) -> pd.DataFrame:
        """One row a cause.

        Returns
        -------
        DataFrame
            cause, what, before, after, neurons_came, neurons_went, neurons_moved, windows_came, windows_went. The
            counts add up to `counts`: every neuron and window has one cause.
        """
        names = ["cause", "what", "before", "after"]
        table = pd.DataFrame([[getattr(cause, name) for name in names] for cause in self.causes], columns=names)
        for kind, rows in (("neurons", self.neurons), ("windows", self.windows)):
            counted = rows.groupby(["cause", "what", "change"]).size()
            for change in CHANGES if kind == "neurons" else CHANGES[:2]:
                keys = [(cause.cause, cause.what, change) for cause in self.causes]
                table[f"{kind}_{change}"] = np.array([int(counted.get(key, 0)) for key in keys], np.int64)
        return table

    def _title(self) -> str:
        if self.same:
            return f"{self.before.name} ({self.before.digest[:12]}) is the same in both"
        one, other = (f"{manifest.name} ({manifest.digest[:12]})" for manifest in (self.before, self.after))
        return f"{one} -> {other}"

    def _facts(self) -> dict[str, str]:
        facts = {}
        for kind, changes in (("neurons", CHANGES), ("windows", CHANGES[:2])):
            counts = (len(getattr(manifest, kind)) for manifest in (self.before, self.after))
            said = ", ".join(f"{self.counts[f'{kind}_{change}']:,} {change}" for change in changes)
            facts[kind] = " -> ".join(f"{count:,}" for count in counts) + f" ({said})"
        return facts

    def __repr__(self) -> str:
        lines = ["<ManifestDiff>", f"  {self._title()}"]
        if not self.same:
            lines += [f"  {key:<8} {value}" for key, value in self._facts().items()]
            lines += ["", *_aligned(self.table())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        page = f"<div><b>{html.escape(self._title())}</b></div>"
        if self.same:
            return page
        facts = "".join(f"<div>{key}: {html.escape(value)}</div>" for key, value in self._facts().items())
        return page + facts + self.table().to_html(index=False, max_rows=_ROWS)


def diff_manifests(before: Manifest, after: Manifest) -> ManifestDiff:
    """Compare two manifests; see `Manifest.diff`.

    Parameters
    ----------
    before, after : Manifest

    Returns
    -------
    ManifestDiff
    """
    neurons, causes = neuron_causes(before, after)
    windows, further = _window_causes(before, after, causes)
    known = [*causes, *further]
    known += [cause for cause in _settings(before, after) if cause not in known]
    return ManifestDiff(before, after, neurons, windows, tuple(known))


def _window_causes(before: Manifest, after: Manifest, causes: list[Cause]) -> tuple[pd.DataFrame, list[Cause]]:
    """Find the windows that come and go, and the cause of each; causes that neurons do not have follow."""
    keys = [*_SPAN, "stimulus", "trial"]
    joined = before.windows[keys].merge(after.windows[keys], how="outer", on=keys, indicator="change")
    rows = joined[joined["change"] != "both"].reset_index(drop=True)
    came = (rows["change"] == "right_only").to_numpy(bool)
    rows["change"] = pd.Series(np.where(came, "came", "went"), dtype="str")
    said = np.full(len(rows), -1, np.int64)
    reasons: list[Cause] = []
    for cause, applies in _reasons(before, after, rows, came, causes):
        hit = applies & (said < 0)
        said[hit] = len(reasons)
        reasons.append(cause)
    for name in ("cause", "what", "before", "after"):
        words = [getattr(cause, name) for cause in reasons]
        rows[name] = pd.Series([words[index] for index in said], dtype="str")
    rows = rows.sort_values(["session_id", "start_frame", "stop_frame", "role"], kind="stable", ignore_index=True)
    used = [reasons[index] for index in sorted(set(said.tolist()))]
    asked = window_causes(before, after)
    return rows, [cause for cause in dict.fromkeys([*used, *asked]) if cause not in causes]


def _reasons(
    before: Manifest, after: Manifest, rows: pd.DataFrame, came: npt.NDArray[np.bool_], causes: list[Cause]
) -> Iterator[tuple[Cause, npt.NDArray[np.bool_]]]:
    """Causes of changed windows in the order in which they are asked for, and the windows each could be of."""
    sessions = rows["session_id"]
    change = between(before.meta, after.meta)
    kinds = {"recording removed": change.removed, "recording added": change.added, "recording changed": change.changed}
    for cause in causes:
        if cause.cause in kinds:
            yield cause, sessions.isin(kinds[cause.cause]).to_numpy(bool)
    eaten = [set(manifest.neurons["session_id"]) for manifest in (before, after)]
    # Windows go with the last neuron of a recording, and come with the first: not by a rule of their own.
    alone = sessions.isin(eaten[0] ^ eaten[1]).to_numpy(bool)
    yield Cause("neurons", "recordings in which only one of the two has a neuron"), alone
    everything = np.ones(len(rows), np.bool_)
    split = split_cause(before, after)
    if before.split_digest != after.split_digest:
        yield split, np.where(came, ~_has_role(rows, before), ~_has_role(rows, after))
    rule = window_cause(before, after)
    if rule is not None:
        yield rule, everything
    for cause in causes:
        if cause == split or cause.cause in kinds:  # thresholds of windows compare with those of other recordings
            yield cause, everything
    yield Cause("other", "nothing that the manifests say of windows"), everything


def _has_role(rows: pd.DataFrame, manifest: Manifest) -> npt.NDArray[np.bool_]:
    """Whether a window lies within one role of a manifest's split, and that is its own role."""
    time = manifest.role_time
    names = pd.Index(pd.unique(pd.concat([rows["session_id"], time["session_id"]])))
    inside = np.zeros(len(rows), np.bool_)
    for role in rows["role"].unique():
        own, given = ((table["role"] == role).to_numpy(bool) for table in (rows, time))
        spans, windows = _frames(time[given], names), _frames(rows[own], names)
        inside[own] = covers(as_intervals(spans), windows[:, 0], windows[:, 1])
    return inside


def _frames(table: pd.DataFrame, names: pd.Index[str]) -> npt.NDArray[np.int64]:
    offset = names.get_indexer(pd.Index(table["session_id"])).astype(np.int64) * _STRIDE
    frames: npt.NDArray[np.int64] = table[["start_frame", "stop_frame"]].to_numpy(np.int64) + offset[:, None]
    return frames


def _settings(before: Manifest, after: Manifest) -> Iterator[Cause]:
    """Differences that change neither a neuron nor a window by themselves, or have not done so here."""
    one, other = before.meta, after.meta
    for word in ("name", "description", "disjoint"):
        pair = [shown(meta["diet"].get(word, "")) for meta in (one, other)]
        if pair[0] != pair[1]:
            yield Cause(word, "", *pair)
    versions = [meta["statistics"]["versions"] for meta in (one, other)]
    for name in sorted(versions[0].keys() & versions[1].keys()):
        if versions[0][name] != versions[1][name]:
            yield Cause("statistic version", name, *(str(known[name]) for known in versions))
    change = between(one, other)
    for name in change.annotations:
        yield Cause("annotation", name, *(meta["annotations"][name][:12] for meta in (one, other)))
    gone, come = (
        sorted(here["annotations"].keys() - there["annotations"].keys()) for here, there in ((one, other), (other, one))
    )
    if gone and come and one["diet"] == other["diet"]:  # of another diet, it is the diet that asks for them
        yield Cause("annotation", f"{', '.join(gone)} -> {', '.join(come)}")
    for name in change.learned:
        yield Cause("learned column", name, *(meta["learned"][name]["digest"][:12] for meta in (one, other)))
    if change.other:
        yield Cause("store", "a stimulus template or the format", before.store_digest[:12], after.store_digest[:12])


def _aligned(table: pd.DataFrame) -> list[str]:
    """A table as lines of text; columns of counts in which nothing is left out."""
    shown_columns = [
        name for name in table.columns if not name.startswith(("neurons_", "windows_")) or table[name].any()
    ]
    text: str = table[shown_columns].head(_ROWS).to_string(index=False, max_colwidth=48)
    more = len(table) - _ROWS
    return [f"  {line}" for line in text.splitlines()] + ([f"  and {more} more: .table()"] if more > 0 else [])
