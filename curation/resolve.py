"""Resolving: split first, then statistics on its train-role time, then the diet's rule, then its windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.evidence import Evidence, gather
from poyodata.curation.manifest import IDENTITY, Manifest, plain_meta
from poyodata.curation.selecting.deciding import decided_by
from poyodata.curation.selecting.matching import MatchPlan
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import Selection, Step, select_neurons
from poyodata.curation.windows.choice import PROMISED, WindowSelection, select_windows
from poyodata.curation.windows.recordings import Recordings
from poyodata.errors import DietError
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.statistics import column_metadata

if TYPE_CHECKING:
    from poyodata.store import Store

SESSION_COLUMNS: tuple[str, ...] = ("indicator", "genotype", "sex", "age_days", "rate_hz", "duration_s", "n_neurons")
"""Columns of ``sessions`` that a rule may name beside those of ``neurons``."""

TRAIN_TIME: tuple[str, ...] = ("train", "identify")
"""Roles of time that models learn from; ``identify`` is that of held-out animals."""


def resolve_diet(
    diet: Diet,
    store: Store,
    split: Split | SplitSpec | str | None = None,
    fold: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Find out which neurons and windows of a store a diet means.

    Parameters
    ----------
    diet : Diet
    store : Store
    split : Split, SplitSpec or str, optional
        Default: what the diet names, else the store's default split.
    fold : int
        Fold of a split given by name or specification.
    progress : callable, optional
        Called with 1 after each recording whose statistics are there; not called for a diet that needs none.

    Returns
    -------
    Manifest

    Raises
    ------
    DietError
        Unknown column or text, a learned column that saw what the split holds out, nothing kept, or a role of the
        split left empty: with the step that did it.
    SplitError
        The split cannot be made from this store.
    """
    return Ground.prepare(diet, store, split, fold, progress).resolve(diet)


@dataclass
class Ground:
    """All that diets of the same columns are resolved on, gathered once: draws of one match differ in nothing else.

    Attributes
    ----------
    store : Store
    split : Split
    references : References
    evidence : Evidence
        Its table has one row for every neuron considered, sorted by (session_id, column).
    annotations : dict
        Digest of every annotation with a column that the rule names.
    invalid : int
        Neurons that the source labels for exclusion, which are not considered.
    """

    store: Store
    split: Split
    references: References
    evidence: Evidence
    annotations: dict[str, str]
    invalid: int
    _plans: dict[str, MatchPlan] = field(default_factory=dict)
    _windows: dict[tuple[str, ...], tuple[WindowSelection, pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        diet: Diet,
        store: Store,
        split: Split | SplitSpec | str | None = None,
        fold: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> Ground:
        """Resolve the split, and join to its neurons every column that the diet names; see `resolve_diet`."""
        references = References(diet)
        diet = references.diet
        if isinstance(split, Split):
            split = split.on(store)
        else:
            split = resolve_split(store, split or diet.splits or default_split(store), fold=fold)
        considered, invalid = _population(store, split, references.columns)
        annotations = _annotations(diet, store, references.columns)
        evidence = gather(diet, store, split, considered, references.columns, SESSION_COLUMNS, progress)
        ground = cls(store, split, references, evidence, annotations, invalid)
        role = split.sessions.set_index("session_id")["role"].astype("str")
        evidence.table["role"] = _of_session(evidence.table, role)
        if references.counted:
            ground._count(diet)
        return ground

    def resolve(self, diet: Diet) -> Manifest:
        """Choose neurons and windows."""
        parameters, diet = diet.parameters, diet.bound()
        table = self.evidence.table
        selection = select_neurons(diet, table, self.references, trace=True, plans=self._plans)
        shown = [name for name in (*self.references.columns, *self.references.counted) if name not in IDENTITY]
        neurons = table[selection.kept].reset_index(drop=True)
        neurons["term"] = pd.Series(selection.term[selection.kept], dtype="str")
        neurons = neurons[[*IDENTITY, *shown]]
        sessions = tuple(map(str, neurons["session_id"].unique()))
        chosen, windows, role_time = self._time(diet, sessions)
        warnings = [
            *self.split.warnings,
            *self._packed_otherwise(),
            *self.evidence.warnings,
            *selection.warnings,
            *chosen.warnings,
        ]
        idle = len(sessions) - windows["session_id"].nunique()
        if idle:
            warnings.append(f"{idle} recordings hold selected neurons but no window")
        meta: dict[str, Any] = {
            "name": diet.name,
            "diet": diet.to_dict(),
            "parameters": parameters,
            "references": self.references.documents,
            "store_digest": self.store.digest,
            "recordings": dict(zip(self.store.sessions["session_id"], self.store.sessions["digest"], strict=True)),
            "lineage": self.store.lineage,
            "split": {
                "spec": self.split.spec.model_dump(mode="json"),
                "fold": self.split.fold,
                "digest": self.split.digest,
                "across": self.split.spec.across.by if self.split.spec.across is not None else None,
            },
            "roles": self.split.role_digests,
            "statistics": self.evidence.statistics,
            "reference": diet.statistics_reference,
            "learned": self.evidence.learned,
            "annotations": self.annotations,
            "counted": {name: list(TRAIN_TIME) for name in self.references.counted},
            "frozen": selection.frozen | chosen.frozen,
            "matched": selection.matched,
            "funnel": [asdict(step) for step in (*self._first_steps(), *selection.steps, *chosen.steps)],
            "warnings": warnings,
        }
        return Manifest(
            neurons=neurons,
            windows=windows,
            role_time=role_time,
            population=self._considered(diet, selection, shown),
            meta=plain_meta(meta),
        )

    def _count(self, diet: Diet) -> None:
        """Add the windows and tokens of train-role time that the recording of every neuron would give a model."""
        table = self.evidence.table
        sessions = tuple(map(str, table["session_id"].unique()))
        rows = select_windows(diet, self._recordings(sessions), promised=()).windows
        rows = rows[rows["role"].isin(TRAIN_TIME)]
        frames = (rows["stop_frame"] - rows["start_frame"]).groupby(rows["session_id"]).agg(["size", "sum"])
        for name, column in (("windows", "size"), ("tokens", "sum")):
            if name in self.references.counted:
                table[name] = _of_session(table, frames[column].reindex(list(sessions), fill_value=0)).astype("int64")

    def _time(self, diet: Diet, sessions: tuple[str, ...]) -> tuple[WindowSelection, pd.DataFrame, pd.DataFrame]:
        """Windows of some recordings, and their time with a role; of the same recordings but once."""
        if sessions not in self._windows:
            promised = tuple(name for name in PROMISED if (self.split.windows["role"] == name).any())
            chosen = select_windows(diet, self._recordings(sessions), promised)
            order = ["session_id", "start_frame", "stop_frame"]
            windows = chosen.windows.sort_values(order, kind="stable", ignore_index=True)
            self._windows[sessions] = (chosen, windows, _role_time(self.split, sessions))
        return self._windows[sessions]

    def _recordings(self, sessions: Sequence[str]) -> Recordings:
        """Some recordings; presentations are read later, for these alone and only when asked for."""
        known = self.store.sessions
        return Recordings(
            sessions=known[known["session_id"].isin(sessions)].sort_values("session_id").reset_index(drop=True),
            epochs=self.store.epochs,
            segments=self.store.segments,
            roles=self.split.windows,
            store=self.store,
        )

    def _packed_otherwise(self) -> list[str]:
        """Say where a packed store is divided otherwise than when its neurons were chosen."""
        entry = self.store.lineage
        then = (entry or {}).get("roles") or {}
        moved = [name for name, digest in self.split.role_digests.items() if then.get(name) != digest]
        if not entry or not moved:
            return []
        under = f"{entry.get('split_name', '')!r}, fold {entry.get('fold', 0)}"
        return [
            f"the store was packed under split {under}, which gave {len(moved)} of its recordings (first {moved[0]}) "
            "other roles; to keep them, resolve under the Split it was packed under"
        ]

    def _first_steps(self) -> list[Step]:
        considered = len(self.evidence.table)
        in_split = considered + self.invalid
        total = len(self.store.neurons)
        steps = [Step("split", f"recordings of split {self.split.spec.name}", in_split, total - in_split, 0)]
        if self.invalid:
            what = "regions of interest without an exclusion label"
            steps.append(Step("valid_roi", what, considered, self.invalid, 0))
        return steps

    def _considered(self, diet: Diet, selection: Selection, shown: Sequence[str]) -> pd.DataFrame:
        """One row for every neuron considered: what the rule saw of it, its answer, and the step that dropped it."""
        # Who is valid decides on the reference population: where the rule looks past that, it must be known later.
        also = ["valid_roi"] if "exclusion_label" in shown and "valid_roi" not in shown else []
        rows = self.evidence.table[[*(name for name in IDENTITY if name != "term"), *shown, *also]].copy()
        unknown = selection.trace[-1][1].unknown
        answer = np.where(selection.kept, 0, np.where(unknown, 2, 1))
        rows["answer"] = pd.Series(pd.Index(["kept", "rejected", "unknown"], dtype="str").take(answer), dtype="str")
        rows["decided_by"] = decided_by(diet, selection, self.references)
        return rows


def _of_session(table: pd.DataFrame, values: pd.Series[Any]) -> pd.Series[Any]:
    """Give every neuron the value of its recording: the recordings are looked up once each."""
    code, sessions = pd.factorize(table["session_id"])
    return values.reindex(sessions).iloc[code].reset_index(drop=True)


def _annotations(diet: Diet, store: Store, columns: Sequence[str]) -> dict[str, str]:
    """Digest of every annotation with a column that the rule names: the store's own digest does not know of them."""
    home = statistic_columns()
    used: dict[str, str] = {}
    for name, known in store.annotations.items():
        for column in known.columns:
            if column in columns:
                used[name] = known.digest
                if column in home:
                    raise DietError(
                        f"diet {diet.name!r} names {column!r}, which is a column of the annotation {name!r} and of a "
                        "statistic; give the annotation's column another name."
                    )
    return used


def _role_time(split: Split, sessions: Sequence[str]) -> pd.DataFrame:
    """Time with a role in recordings that hold a kept neuron, each stretch with its recording's guard."""
    time = split.windows[split.windows["session_id"].isin(sessions)]
    guard = split.sessions.set_index("session_id")["guard_frames"].reindex(time["session_id"])
    time = time[["session_id", "role", "start_frame", "stop_frame"]].assign(guard_frames=guard.to_numpy(np.int64))
    return time.sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)


def _population(store: Store, split: Split, columns: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Neurons of the recordings of the split, sorted, with the columns of their recordings that the rule names.

    Without those that the source labels for exclusion, and how many these are; with them, where the rule asks for that.
    """
    neurons = store.neurons
    code, sessions = pd.factorize(neurons["session_id"], sort=True)
    column = neurons["column"].to_numpy(np.int64)
    inside = np.isin(sessions, split.sessions["session_id"].to_numpy())[code]
    in_split = int(inside.sum())
    if "valid_roi" not in columns and "exclusion_label" not in columns:
        inside = inside & neurons["valid_roi"].to_numpy(bool)
    held = np.flatnonzero(inside)
    step = np.diff(code[held])
    if not ((step > 0) | ((step == 0) & (np.diff(column[held]) > 0))).all():
        held = held[np.lexsort((column[held], code[held]))]
    population = neurons.iloc[held].reset_index(drop=True)
    wanted = [name for name in SESSION_COLUMNS if name in columns and name not in population.columns]
    if wanted:
        of_session = store.sessions.set_index("session_id")[wanted].reindex(population["session_id"])
        population = pd.concat([population, of_session.reset_index(drop=True)], axis=1)
    return population, in_split - len(held)


def statistic_columns() -> dict[str, str]:
    """Name of the statistic that yields each column, registered ones included."""
    return {column: str(known["statistic"]) for column, known in column_metadata().items()}
