"""Values of a column in one of the kinds of the language: numbers, truth values, or texts as codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.selecting.kleene import Mask
from poyodata.curation.selecting.near_texts import NearTexts
from poyodata.documents.places import printable
from poyodata.errors import DietError

_LOOKED_AT = 10_000
"""Values of a column that are looked at to say of what kinds they are."""

PLURALS = {"bool": "truth values", "number": "numbers", "text": "texts", "empty": "nothing"}


@dataclass(frozen=True)
class Values:
    """Values of an operand: an array or one constant, what kind they are, and where they are missing.

    Attributes
    ----------
    kind : {"bool", "number", "text", "empty"}
        ``empty`` is a column in which everything is missing.
    values : array or constant
        Of texts, the code of each: its place in `names`. So ten million texts cost ten million small integers, and a
        comparison with a text looks at no string but those of `names`.
    missing : ndarray of bool, or None
        None for a constant.
    shown : str
        How it is called in messages.
    names : ndarray of object
        Texts that occur, by code.
    """

    kind: str
    values: Any
    missing: Mask | None
    shown: str
    names: npt.NDArray[np.object_] | None = None

    @cached_property
    def code_of(self) -> dict[str, int]:
        """Code of every text."""
        return {} if self.names is None else {str(name): code for code, name in enumerate(self.names)}

    def counts(self) -> dict[str, int]:
        """How often every text occurs, the most frequent first."""
        return self._counts

    @cached_property
    def near(self) -> NearTexts:
        """Finds the text that is meant by one that does not occur."""
        return NearTexts(self._counts)

    @cached_property
    def _counts(self) -> dict[str, int]:
        if self.names is None:
            return {}
        counts = np.bincount(self.values[self.values >= 0], minlength=len(self.names))
        order = np.argsort(-counts, kind="stable")
        return {str(self.names[code]): int(counts[code]) for code in order if counts[code]}

    def codes_like(self, other: Values) -> npt.NDArray[np.int64]:
        """Codes of these texts among the names of `other`; -2 for those that it does not have."""
        names = [] if self.names is None else self.names.tolist()
        table = np.array([*(other.code_of.get(str(name), -2) for name in names), -2], np.int64)
        codes: npt.NDArray[np.int64] = table[self.values]
        return codes


def read_column(column: pd.Series[Any], name: str) -> Values:
    """Bring a column to one of the kinds of the language: numbers, texts or truth values. An empty text is missing.

    Raises
    ------
    DietError
        Dates, lists and other things that cannot be compared.

    Examples
    --------
    >>> read_column(pd.Series(["a", "", "b", "a"]), "x").counts()
    {'a': 2, 'b': 1}
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) and not pd.api.types.is_string_dtype(dtype.categories.dtype):
        column = pd.Series(np.asarray(column.array))  # categories that are numbers count as numbers
        dtype = column.dtype
    is_object = isinstance(dtype, np.dtype) and dtype.kind == "O"
    inferred = pd.api.types.infer_dtype(column, skipna=True) if is_object else ""
    missing = column.isna().to_numpy(dtype=np.bool_)
    if missing.all() and len(column):
        return Values("empty", None, missing, name)
    if pd.api.types.is_bool_dtype(dtype) or inferred == "boolean":
        return Values("bool", column.fillna(False).to_numpy(dtype=np.bool_), missing, name)
    if pd.api.types.is_integer_dtype(dtype) or inferred == "integer":
        return Values("number", _whole_numbers(column.fillna(0), name), missing, name)
    if pd.api.types.is_float_dtype(dtype) or inferred in ("floating", "mixed-integer-float", "decimal"):
        return Values("number", column.to_numpy(dtype=np.float64, na_value=np.nan), missing, name)
    if isinstance(dtype, pd.CategoricalDtype) or inferred in ("string", "empty"):
        return _texts(column, name)
    if not is_object and pd.api.types.is_string_dtype(dtype):
        return _texts(column, name)
    raise DietError(
        f"column {name} holds {_shown_kinds(column, missing) if is_object else f'{dtype} values'}, which an expression "
        "cannot compare; give numbers, texts or truth values, of one kind."
    )


def _shown_kinds(column: pd.Series[Any], missing: Mask) -> str:
    """Name the kinds of what a column holds, each with an example."""
    found: dict[str, Any] = {}
    for value in column.to_numpy()[~missing][:_LOOKED_AT]:
        found.setdefault(type(value).__name__, value)
    return " beside ".join(f"{kind} values ({printable(str(value), 40)})" for kind, value in list(found.items())[:3])


def _whole_numbers(column: pd.Series[Any], name: str) -> npt.NDArray[np.int64]:
    wide = pd.api.types.is_unsigned_integer_dtype(column.dtype) or column.dtype == object
    ends = (int(column.min()), int(column.max())) if wide and len(column) else (0, 0)
    if ends[0] < -(2**63) or ends[1] >= 2**63:  # they would wrap around to numbers of the other sign
        outside = ends[1] if ends[1] >= 2**63 else ends[0]
        raise DietError(
            f"column {name} holds {outside}, which is beyond 64 bits with a sign; give its values as floats, or as "
            "texts where they are names."
        )
    numbers: npt.NDArray[np.int64] = column.to_numpy(dtype=np.int64)
    return numbers


def _texts(column: pd.Series[Any], name: str) -> Values:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, names = column.cat.codes.to_numpy(np.int64), column.cat.categories
    else:
        found, names = pd.factorize(column)
        codes = found.astype(np.int64, copy=False)
    texts = np.asarray(names, dtype=object)
    empty = np.flatnonzero(texts == "")
    if len(empty):
        codes = np.where(codes == empty[0], -1, codes)
    missing = codes < 0
    if missing.all() and len(codes):
        return Values("empty", None, missing, name)
    return Values("text", codes, missing, name, texts)
