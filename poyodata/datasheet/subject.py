"""`Subject`: a manifest beside its store, and what is looked up once for all sections of its datasheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.curation import Diet, Manifest
from poyodata.datasheet.conditions import Thresholds, thresholds_of
from poyodata.digests import json_digest
from poyodata.errors import PoyodataError
from poyodata.splits import Split, SplitSpec, resolve_split
from poyodata.statistics import compute_statistics, select_columns
from poyodata.statistics.kept import KeptResults, time_key
from poyodata.statistics.pieces import cut_pieces
from poyodata.statistics.registry import find_statistics

if TYPE_CHECKING:
    from poyodata.store import Store

MOST_RECORDINGS = 100
"""Statistics that are not kept are computed for a datasheet on at most so many recordings: about a minute."""


@dataclass(frozen=True)
class Subject:
    """What a datasheet is about.

    Attributes
    ----------
    manifest : Manifest
    store : Store
        That it was resolved on.
    others : sequence of Diet, Manifest or str
        Diets whose neurons are compared with the manifest's, beside the presets.
    stages : sequence of (str, Manifest)
        Lineage whose leaks are listed; the manifest alone where there is none.
    allow_leakage : str or None
        Reason to go on in spite of leaks.
    """

    manifest: Manifest
    store: Store
    others: Sequence[Diet | Manifest | str] = ()
    stages: Sequence[tuple[str, Manifest]] = ()
    allow_leakage: str | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every neuron considered: answer, columns that the rule named, and all that the store says of it."""
        population = self.manifest.population
        known = self.store.neurons.astype({"neuron_id": "str"}).set_index("neuron_id")
        further = [name for name in known.columns if name not in population.columns]
        beside = known[further].reindex(population["neuron_id"].astype("str")).reset_index(drop=True)
        return pd.concat([population.reset_index(drop=True), beside], axis=1)

    @cached_property
    def thresholds(self) -> Thresholds:
        """Where the diet cuts the plane of moments, or where `predictable` would."""
        return thresholds_of(self.manifest)

    @cached_property
    def split(self) -> Split | None:
        """The manifest's split, resolved again; None where that does not give the same roles."""
        known = self.manifest.meta["split"]
        try:
            split = resolve_split(self.store, SplitSpec.model_validate(known["spec"]), fold=known["fold"])
        except (PoyodataError, ValueError):
            return None
        return split if split.digest == known["digest"] else None

    def column(self, name: str) -> pd.Series[Any] | str:
        """Values of a statistic for every neuron of `table`, on the manifest's window of time.

        Returns
        -------
        Series, or str
            A sentence that says why not.
        """
        if name in self.table.columns:
            return self.table[name].astype(np.float64)
        if self.split is None:
            return f"{name} is not shown: the split of the manifest cannot be resolved again on this store."
        (statistic,) = find_statistics(_statistic_of(name))
        if not self.affordable(statistic.name):
            return f"{name} is not shown: {self.advice(statistic.name)}"
        everything = self.manifest.meta["statistics"]["window"] == "all"
        try:
            computed = (
                compute_statistics(self.store, statistic.name, window="all")
                if everything
                else compute_statistics(self.store, statistic.name, self.split)
            )
        except PoyodataError as error:
            return f"{name} is not shown: {error}"
        values = computed.set_index(computed["neuron_id"].astype("str"))[name]
        return values.reindex(self.table["neuron_id"].astype("str")).astype(np.float64).reset_index(drop=True)

    def advice(self, statistic: str) -> str:
        """Say why a statistic is not computed for a page, and by which command it is."""
        if self.split is None:
            return "the split of the manifest cannot be resolved again on this store."
        command = f"poyodata stats {self.store.path} --only {statistic} --splits {self.split.spec.name}"
        fold = f" --fold {self.split.fold}" if self.split.fold else ""
        return (
            f"{statistic} is not kept for this split, and would have to be computed for {len(self.split.sessions):,} "
            f"recordings. Run first: {command}{fold}"
        )

    def affordable(self, statistic: str) -> bool:
        """Tell whether a statistic is kept for most recordings, or there are few."""
        split = self.split
        if split is None:
            return False
        sessions = split.sessions["session_id"].tolist()
        if len(sessions) <= MOST_RECORDINGS:
            return True
        (found,) = find_statistics(statistic)
        kept = KeptResults(self.store.statistics_folder)
        lineage = {found.name: json_digest(found.lineage)}
        pieces = cut_pieces(self.store, sessions, split, (found,), bounds=False)
        absent = sum(
            not kept.columns(piece.digest, time_key(piece.spans), lineage, len(piece.neurons)) for piece in pieces
        )
        return absent <= MOST_RECORDINGS


def _statistic_of(column: str) -> str:
    (name,) = select_columns([column])
    return name
