"""`KnownNames`: columns and texts that a diet may name in a store, known without computing a statistic."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.curation.evidence import BOUNDS, source_of
from poyodata.curation.language.expressions import Node, columns_of
from poyodata.curation.language.window_rule import FRAME_COLUMNS, SAMPLED_ROLES, WINDOW_COLUMNS, told_of_windows
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.errors import StatisticError, nearest
from poyodata.splits import Split
from poyodata.statistics import column_metadata
from poyodata.statistics.learned.columns import learned_columns, read_learned

if TYPE_CHECKING:
    from poyodata.store import Store

TEXTS: tuple[str, ...] = ("stimulus", "role")
TRUTHS: tuple[str, ...] = ("blank",)
"""Columns of presentations that hold texts, and those that hold truth values; the others hold numbers."""


class KnownNames:
    """Columns and texts of a store, for neurons and for windows.

    Parameters
    ----------
    store : Store
    split : Split, optional
        Only neurons of recordings that it holds are looked at.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> neurons = pd.DataFrame({"neuron_id": ["a"], "session_id": ["s"], "valid_roi": [True], "area": ["VISp"]})
    >>> store = SimpleNamespace(neurons=neurons, sessions=pd.DataFrame({"session_id": ["s"]}))
    >>> store.path = store.statistics_folder = __import__("pathlib").Path("nowhere")
    >>> KnownNames(store).unknown("skewnes")
    "unknown column 'skewnes': did you mean 'skewness'?"
    """

    def __init__(self, store: Store, split: Split | None = None) -> None:
        self.store, self.split = store, split
        neurons = store.neurons
        if split is not None:
            neurons = neurons[neurons["session_id"].isin(split.sessions["session_id"])].reset_index(drop=True)
        self.neurons = neurons
        self._evaluators: dict[tuple[str, bool], Evaluator] = {}

    @cached_property
    def neuron_ids(self) -> set[str]:
        """Every neuron."""
        return set(self.neurons["neuron_id"].astype(str))

    @cached_property
    def learned(self) -> dict[str, str]:
        """Name of the file of each learned column; none where the files cannot be told apart."""
        try:
            return learned_columns(self.store)
        except StatisticError:
            return {}

    def unknown(self, name: str, table: str = "neurons") -> str | None:
        """Say why nothing is called so; None where something is.

        Parameters
        ----------
        name : str
            A column, restricted or not.
        table : {"neurons", "where", "while"}
            Where it is looked for; columns of windows were checked when the diet was read.
        """
        if table != "neurons" or name in self._plain or name in self.learned:
            return None
        column, _, stimulus = name.partition("@")
        try:
            found = source_of(name)
        except StatisticError as error:
            return str(error)
        if found is None:
            if stimulus and column in self._plain:
                return f"unknown column {name!r}: only statistics can be restricted to a stimulus."
            known = [*self._plain, *column_metadata(), *self.learned]
            return f"unknown column {column!r}: {told_of_windows(name) or nearest(column, known)}"
        if stimulus:
            shown = self.store.epochs["stimulus"].unique().tolist()
            if stimulus not in shown:
                return f"no recording of the store shows {stimulus!r}: {nearest(stimulus, shown)}"
        return None

    def evaluator(self, table: str, node: Node) -> Evaluator:
        """Evaluate `node` on texts of the store, and on stand-ins for what is not known before it is computed."""
        labelled = "valid_roi" in columns_of(node) or "exclusion_label" in columns_of(node)
        key = (table, labelled)
        if key not in self._evaluators:
            made = self._of_windows(table) if table != "neurons" else self._of_neurons(labelled)
            self._evaluators[key] = made
        evaluator = self._evaluators[key]
        for name in columns_of(node):
            if name not in evaluator.table.columns:
                evaluator.table[name] = self._stand_in(name, evaluator.table)
        return evaluator

    @property
    def _plain(self) -> list[str]:
        from poyodata.curation.resolve import SESSION_COLUMNS

        return [*self.neurons.columns, *(name for name in SESSION_COLUMNS if name in self.store.sessions.columns)]

    def _of_neurons(self, labelled: bool) -> Evaluator:
        neurons = self.neurons if labelled else self.neurons[self.neurons["valid_roi"].to_numpy(bool)]
        return Evaluator(neurons.reset_index(drop=True))

    def _of_windows(self, table: str) -> Evaluator:
        epochs = self.store.epochs
        rows: dict[str, Any] = {"stimulus": epochs["stimulus"].to_numpy()}
        for name in WINDOW_COLUMNS if table == "where" else FRAME_COLUMNS:
            if name not in TEXTS:
                rows[name] = _numbers(len(epochs)) > 0 if name in TRUTHS else _numbers(len(epochs))
        rows["role"] = np.resize(np.array(SAMPLED_ROLES, dtype=object), len(epochs))
        noun = "epoch" if table == "where" else "frame"
        return Evaluator(pd.DataFrame(rows), noun=noun, stand_ins=frozenset({"role"}))

    def _stand_in(self, name: str, table: pd.DataFrame) -> Any:
        """Values of a column that `table` has not: real ones where they are at hand, else some of the right kind."""
        if name in self.store.sessions.columns:
            of_session = self.store.sessions.set_index("session_id")[name]
            return of_session.reindex(table["session_id"]).to_numpy()
        if name in self.learned:
            _, values = read_learned(self.store, self.learned[name])
            return values.set_index("neuron_id")[name].reindex(table["neuron_id"]).to_numpy()
        column = name.partition("@")[0]
        known = column_metadata()
        for end in BOUNDS if column not in known else ():
            column = column.removesuffix(end)
        dtype = known[column]["dtype"] if column in known else "float64"
        if dtype == "bool":
            return _numbers(len(table)) > 0
        return _numbers(len(table)) if dtype.startswith(("float", "int")) else np.full(len(table), None, dtype=object)


def _numbers(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers that are not all the same."""
    return np.arange(count, dtype=np.float64)
