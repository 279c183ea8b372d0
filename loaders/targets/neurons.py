"""What is known of each neuron: where it lies, its CRE line, and any statistic, beside the neurons of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import array_digest, json_digest
from poyodata.errors import LoaderError, StatisticError, UsageError, nearest
from poyodata.loaders.checks import names as names_of
from poyodata.loaders.targets.target import IntArray, TargetColumn
from poyodata.loaders.targets.vocabulary import Vocabulary, neuron_vocabulary

if TYPE_CHECKING:
    from poyodata.curation.view import View

METADATA: tuple[str, ...] = ("cre_line", "area", "depth_um", "x_um", "y_um")
"""What every store knows of a neuron. Annotations, and statistics that the diet looked at, are columns like these."""


class NeuronColumns:
    """Values of neurons, by ``neuron_index``: one table of every column, from which batches take.

    Column ``neuron_<name>`` of shape (batch, neuron): float32 for numbers and truth values, NaN where missing; int64
    for texts and ids, the class in `classes`, -1 where missing. Padding is missing too. 4 or 8 bytes a neuron are kept.

    Parameters
    ----------
    view : View
    names : str, or sequence of str
        Columns of ``manifest.neurons``, of ``store.neurons`` (annotations too), of `table`, or of statistics, looked
        for in this order. Statistics that are not kept are computed, on the time that the diet's are of
        (`View.statistics`).
    table : DataFrame, optional
        Columns of your own, by ``neuron_id``.
    neurons : Vocabulary, optional
        What ``neuron_index - 1`` counts; by default the selected neurons in the order of the manifest.
    classes : mapping of str to Vocabulary, optional
        Of columns of texts and ids, from an earlier store. By default every value in the store, sorted.
    grow : bool
        Append texts that `classes` lack, in place of refusing them.

    Raises
    ------
    UsageError
        For a name that is nowhere, or a `table` without ``neuron_id``, or with one twice.
    LoaderError
        When no selected neuron has a value, or when a text is not in the `classes` given and they are not to grow.

    Attributes
    ----------
    neurons : Vocabulary
    classes : dict of str to Vocabulary
        Of the columns of texts and ids.
    digest : str
        Sha256 of names and values.
    """

    def __init__(
        self,
        view: View,
        names: str | Sequence[str],
        *,
        table: pd.DataFrame | None = None,
        neurons: Vocabulary | None = None,
        classes: Mapping[str, Vocabulary] | None = None,
        grow: bool = False,
    ) -> None:
        selected = neuron_vocabulary(view)
        self.neurons = selected if neurons is None else neurons
        self.classes: dict[str, Vocabulary] = {}
        self._given = dict(classes or {})
        self._tables: dict[str, npt.NDArray[Any]] = {}
        self._grow = grow
        rows = 1 + self.neurons.index(selected.names)
        asked = list(dict.fromkeys(names_of("neuron columns", names)))
        for name, values in _columns(view, asked, table).items():
            if values.isna().all():
                raise LoaderError(
                    f"no one of the {len(values):,} selected neurons has a value of {name!r}; leave it out, or give it "
                    "to the source, as an annotation or in `table`."
                )
            self._tables[name] = self._table(name, values, rows, view)
        # Of the selected neurons alone: a vocabulary that holds others too changes nothing that batches hold.
        self.digest = json_digest([[name, array_digest(values[rows])] for name, values in self._tables.items()])

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        """Arrays that it adds to a batch."""
        return {
            f"neuron_{name}": TargetColumn(
                str(values.dtype), "(batch, neuron)", "class" if name in self.classes else _unit(name)
            )
            for name, values in self._tables.items()
        }

    def of(self, neuron_index: IntArray) -> dict[str, npt.NDArray[Any]]:
        """Values of the neurons of a batch, after whatever was cut from them.

        Parameters
        ----------
        neuron_index : ndarray, any shape, int64
            0 is padding, else 1 + number in `neurons`.
        """
        return {f"neuron_{name}": values[neuron_index] for name, values in self._tables.items()}

    def _table(self, name: str, values: pd.Series[Any], rows: IntArray, view: View) -> npt.NDArray[Any]:
        if _is_text(values) or name.endswith("_id"):
            everything = view.store.neurons[name] if name in view.store.neurons.columns else values
            texts = sorted({str(text) for text in everything.dropna().unique()} - {""})
            known = self._given.get(name, Vocabulary(name, tuple(texts)))
            known = known.grow(texts) if self._grow else known
            self.classes[name] = known
            missing = (values.isna() | (values == "")).to_numpy(bool)
            numbers = np.full(1 + len(self.neurons), -1, np.int64)
            numbers[rows[~missing]] = known.index(str(text) for text in values[~missing].tolist())
            return numbers
        table = np.full(1 + len(self.neurons), np.nan, np.float32)
        table[rows] = values.to_numpy(np.float32, na_value=np.nan)
        return table


def _columns(view: View, names: Sequence[str], table: pd.DataFrame | None) -> dict[str, pd.Series[Any]]:
    """Columns of the selected neurons, in the order of the manifest."""
    own, store = view.manifest.neurons, view.store.neurons
    neuron_ids = own["neuron_id"]
    beside = _by_neuron(table) if table is not None else pd.DataFrame()
    found: dict[str, pd.Series[Any]] = {}
    further: list[str] = []
    for name in names:
        if name in own.columns:
            found[name] = own[name].reset_index(drop=True)
        elif name in store.columns:
            found[name] = store.set_index("neuron_id")[name].reindex(neuron_ids).reset_index(drop=True)
        elif name in beside.columns:
            found[name] = beside[name].reindex(neuron_ids).reset_index(drop=True)
        else:
            further.append(name)
    if further:
        computed = _statistics(view, further, {*own.columns, *store.columns, *beside.columns})
        found |= {name: computed[name].reset_index(drop=True) for name in further}
    return {name: found[name] for name in names}


def _statistics(view: View, names: Sequence[str], known: set[str]) -> pd.DataFrame:
    try:
        return view.statistics(names)
    except StatisticError as error:
        raise UsageError(
            f"no column {names[0]!r} of neurons: {nearest(names[0], known)} Nor can it be had as a statistic: {error}"
        ) from error


def _by_neuron(table: pd.DataFrame) -> pd.DataFrame:
    if "neuron_id" not in table.columns:
        raise UsageError(f"a table of neurons needs a column 'neuron_id': {nearest('neuron_id', table.columns)}")
    twice = table["neuron_id"].duplicated()
    if twice.any():
        raise UsageError(
            f"the table of neurons has neuron {table['neuron_id'][twice].iloc[0]!r} twice; keep one row for each."
        )
    return table.set_index("neuron_id")


def _is_text(values: pd.Series[Any]) -> bool:
    return not (pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype))


def _unit(name: str) -> str:
    """Unit at the end of a name: ``depth_um`` is in um."""
    end = name.rsplit("_", 1)[-1]
    return end if end in ("um", "s", "hz", "deg", "cpd", "px") else "1"
