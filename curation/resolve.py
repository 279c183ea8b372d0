"""Resolving: split first, then statistics on its train-role time, then the diet's rule, then its windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.evidence import gather
from poyodata.curation.manifest import IDENTITY, Manifest, plain_meta
from poyodata.curation.selection import References, Step, select_neurons
from poyodata.curation.windows import PROMISED, Recordings, select_windows
from poyodata.errors import DietError
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.statistics import column_metadata

if TYPE_CHECKING:
    from poyodata.store import Store

SESSION_COLUMNS: tuple[str, ...] = ("indicator", "genotype", "sex", "age_days", "rate_hz", "duration_s", "n_neurons")
"""Columns of ``sessions`` that a rule may name beside those of ``neurons``."""


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
    references = References(diet)
    if isinstance(split, Split):
        split.require_content(store)
    else:
        split = resolve_split(store, split or diet.splits or default_split(store), fold=fold)
    population, invalid = _valid(_population(store, split, references.columns), references.columns)
    annotations = _annotations(diet, store, references.columns)
    evidence = gather(diet, store, split, population, references.columns, SESSION_COLUMNS, progress)
    table, warnings = evidence.table, list(evidence.warnings)
    selection = select_neurons(diet, table, references)
    role = split.sessions.set_index("session_id")["role"]
    neurons = table[selection.kept].reset_index(drop=True)
    neurons["role"] = neurons["session_id"].map(role).astype("str")
    neurons["term"] = pd.Series(selection.term[selection.kept], dtype="str")
    shown = [name for name in references.columns if name not in IDENTITY]
    neurons = neurons[[*IDENTITY, *shown]].sort_values(["session_id", "column"], kind="stable", ignore_index=True)

    recordings = _recordings(diet, store, split, neurons)
    promised = tuple(name for name in PROMISED if (split.windows["role"] == name).any())
    chosen = select_windows(diet, recordings, promised)
    windows = chosen.windows.sort_values(["session_id", "start_frame", "stop_frame"], kind="stable", ignore_index=True)
    idle = neurons["session_id"].nunique() - windows["session_id"].nunique()
    if idle:
        warnings.append(f"{idle} recordings hold selected neurons but no window")

    in_split = len(population) + invalid
    first = [Step("split", f"recordings of split {split.spec.name}", in_split, len(store.neurons) - in_split, 0)]
    if invalid:
        first.append(Step("valid_roi", "regions of interest without an exclusion label", len(population), invalid, 0))
    meta: dict[str, Any] = {
        "name": diet.name,
        "diet": diet.to_dict(),
        "references": references.documents,
        "store_digest": store.digest,
        "split": {
            "spec": split.spec.model_dump(mode="json"),
            "fold": split.fold,
            "digest": split.digest,
            "across": split.spec.across.by if split.spec.across is not None else None,
        },
        "statistics": evidence.statistics,
        "learned": evidence.learned,
        "annotations": annotations,
        "frozen": selection.frozen,
        "funnel": [asdict(step) for step in (*first, *selection.steps, *chosen.steps)],
        "warnings": [*warnings, *selection.warnings, *chosen.warnings],
    }
    return Manifest(neurons, windows, _role_time(split, neurons), plain_meta(meta))


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


def _role_time(split: Split, neurons: pd.DataFrame) -> pd.DataFrame:
    """Time with a role in the recordings that hold a kept neuron, each stretch with its recording's guard."""
    time = split.windows[split.windows["session_id"].isin(neurons["session_id"])]
    guard = split.sessions.set_index("session_id")["guard_frames"].reindex(time["session_id"])
    time = time[["session_id", "role", "start_frame", "stop_frame"]].assign(guard_frames=guard.to_numpy(np.int64))
    return time.sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)


def _population(store: Store, split: Split, columns: Sequence[str]) -> pd.DataFrame:
    """Neurons of the recordings that the split holds, with the columns of their recordings that the rule names."""
    neurons = store.neurons
    population = neurons[neurons["session_id"].isin(split.sessions["session_id"])].reset_index(drop=True)
    wanted = [name for name in SESSION_COLUMNS if name in columns and name not in population.columns]
    if wanted:
        of_session = store.sessions.set_index("session_id")[wanted].reindex(population["session_id"])
        population = pd.concat([population, of_session.reset_index(drop=True)], axis=1)
    return population


def _valid(population: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Neurons that the source did not label for exclusion, and how many it did; all, where the rule asks about that."""
    if "valid_roi" in columns or "exclusion_label" in columns:
        return population, 0
    valid = population["valid_roi"].to_numpy(bool)
    return population[valid].reset_index(drop=True), int((~valid).sum())


def statistic_columns() -> dict[str, str]:
    """Name of the statistic that yields each column, registered ones included."""
    return {column: str(known["statistic"]) for column, known in column_metadata().items()}


def _recordings(diet: Diet, store: Store, split: Split, neurons: pd.DataFrame) -> Recordings:
    """Tables of the recordings with a kept neuron; presentations are read for these alone, and only when asked for."""
    kept = sorted(map(str, neurons["session_id"].unique()))
    asked = kept[:1] if diet.windows.where is None else kept
    sessions = store.sessions[store.sessions["session_id"].isin(kept)].sort_values("session_id").reset_index(drop=True)
    return Recordings(
        sessions=sessions,
        presentations=pd.concat([store.presentations_of(name) for name in asked], ignore_index=True),
        epochs=store.epochs,
        segments=store.segments,
        roles=split.windows,
    )
