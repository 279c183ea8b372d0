"""Expression and table to a three-valued answer: true, false, or unknown where a value is missing (Kleene's logic)."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata import vocabulary
from poyodata.curation.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Node,
    Not,
    Operand,
    Or,
    to_text,
)
from poyodata.errors import DietError, nearest

Mask = npt.NDArray[np.bool_]

FIELD_NAMES: Mapping[str, Sequence[str]] = {
    "area": vocabulary.AREAS,
    "cre_line": vocabulary.CRE_LINES,
    "stimulus": (vocabulary.DRIFTING_GRATINGS, vocabulary.NATURAL_MOVIE_ONE, vocabulary.SPONTANEOUS),
}
"""Names of the field that a text may give although the store at hand has none of them: no typing error, just absent."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Kleene:
    """A three-valued answer for every row: `true`, `unknown`, and false for the rest.

    Attributes
    ----------
    true, unknown : ndarray, shape (row,), bool
        Never both at once.

    Examples
    --------
    >>> some = Kleene(np.array([True, False, False]), np.array([False, False, True]))
    >>> (~some).counts()
    (1, 1, 1)
    """

    true: Mask
    unknown: Mask

    @classmethod
    def known(cls, true: npt.ArrayLike) -> Kleene:
        """Make an answer without unknowns."""
        array = np.asarray(true, dtype=np.bool_)
        return cls(array, np.zeros(len(array), np.bool_))

    @property
    def false(self) -> Mask:
        """Rows that are known not to hold."""
        return ~(self.true | self.unknown)

    def __invert__(self) -> Kleene:
        return Kleene(self.false, self.unknown)

    def __and__(self, other: Kleene) -> Kleene:
        true = self.true & other.true
        return Kleene(true, ~(true | self.false | other.false))

    def __or__(self, other: Kleene) -> Kleene:
        true = self.true | other.true
        return Kleene(true, ~true & (self.unknown | other.unknown))

    def counts(self) -> tuple[int, int, int]:
        """Rows that are true, false and unknown; they sum to all rows."""
        true, unknown = int(self.true.sum()), int(self.unknown.sum())
        return true, len(self.true) - true - unknown, unknown


@dataclass(frozen=True)
class _Values:
    """Values of an operand: an array or one constant, what kind they are, and where they are missing."""

    kind: str  # bool | number | text | empty (a column in which everything is missing)
    values: Any
    missing: Mask | None
    shown: str


@dataclass(frozen=True)
class Evaluator:
    """Evaluates expressions over one table.

    Attributes
    ----------
    table : DataFrame
    noun : str
        What a row is, for messages: ``"neuron"`` or ``"presentation"``.
    holder : str
        What holds the rows, for messages.
    notes : list of str
        Remarks gathered while evaluating, such as a known name that the store does not have.

    Examples
    --------
    >>> from poyodata.curation.parse import parse_expression
    >>> table = pd.DataFrame({"skewness": [1.0, 5.0, np.nan]})
    >>> Evaluator(table).evaluate(parse_expression("skewness <= 3.51")).counts()
    (1, 1, 1)
    """

    table: pd.DataFrame
    noun: str = "neuron"
    holder: str = "the store"
    notes: list[str] = field(default_factory=list)
    _cache: dict[str, _Values] = field(default_factory=dict, repr=False)

    def evaluate(self, node: Node) -> Kleene:
        """Answer `node` for every row.

        Raises
        ------
        DietError
            Unknown column, kinds that cannot be compared, or a text that the column does not hold.
        """
        match node:
            case Literal():
                return Kleene.known(np.full(len(self.table), node.value is True))
            case Column():
                return self._bare_column(node)
            case Call():
                missing = self._column_values(node.operand).missing
                return Kleene.known(np.zeros(len(self.table), np.bool_) if missing is None else missing)
            case Not():
                return ~self.evaluate(node.term)
            case And():
                answers = [self.evaluate(term) for term in node.terms]
                joined = answers[0]
                for answer in answers[1:]:
                    joined = joined & answer
                return joined
            case Or():
                answers = [self.evaluate(term) for term in node.terms]
                joined = answers[0]
                for answer in answers[1:]:
                    joined = joined | answer
                return joined
            case Membership():
                return self._membership(node)
            case Compare():
                return self._compare(node)

    def _bare_column(self, node: Column) -> Kleene:
        column = self._column_values(node)
        if column.kind not in ("bool", "empty"):
            raise DietError(f"column {node.name} holds {_plural(column.kind)}; compare it, as in `{node.name} == ...`.")
        missing = column.missing if column.missing is not None else np.zeros(len(self.table), np.bool_)
        true = (
            np.zeros(len(self.table), np.bool_) if column.kind == "empty" else column.values.astype(np.bool_) & ~missing
        )
        return Kleene(true, missing)

    def _compare(self, node: Compare) -> Kleene:
        answer: Kleene | None = None
        for index, sign in enumerate(node.operators):
            link = self._pair(sign, node.operands[index], node.operands[index + 1])
            answer = link if answer is None else answer & link
        if answer is None:
            raise DietError(f"`{to_text(node)}` compares nothing.")
        return answer

    def _pair(self, sign: str, left: Operand, right: Operand) -> Kleene:
        a, b = self._column_values(left), self._column_values(right)
        missing = np.zeros(len(self.table), np.bool_)
        for side in (a, b):
            if side.missing is not None:
                missing = missing | side.missing
        if "empty" in (a.kind, b.kind):
            return Kleene(np.zeros(len(self.table), np.bool_), np.ones(len(self.table), np.bool_))
        if a.kind != b.kind:
            raise _mismatch(a, b)
        if a.kind != "number" and sign not in ("==", "!="):
            raise DietError(f"`{a.shown} {sign} {b.shown}`: {_plural(a.kind)} have no order; use ==, != or `in`.")
        for column, constant in ((a, right), (b, left)):
            if isinstance(constant, Literal) and column.kind == "text" and column.missing is not None:
                self._known_text(column, str(constant.value))
        true = np.broadcast_to(np.asarray(_OPERATORS[sign](a.values, b.values), dtype=np.bool_), missing.shape)
        return Kleene(true & ~missing, missing)

    def _membership(self, node: Membership) -> Kleene:
        column = self._column_values(node.operand)
        missing = column.missing if column.missing is not None else np.zeros(len(self.table), np.bool_)
        if column.kind == "empty":
            return Kleene(np.zeros(len(self.table), np.bool_), np.ones(len(self.table), np.bool_))
        for literal in node.values:
            constant = self._column_values(literal)
            if constant.kind != column.kind:
                raise _mismatch(column, constant)
            if column.kind == "text":
                self._known_text(column, str(literal.value))
        true = np.zeros(len(self.table), np.bool_)
        for literal in node.values:
            true = true | np.asarray(column.values == literal.value, dtype=np.bool_)
        answer = Kleene(true & ~missing, missing)
        return ~answer if node.negated else answer

    def _known_text(self, column: _Values, text: str) -> None:
        present = column.values[~column.missing] if column.missing is not None else column.values
        if bool((present == text).any()):
            return
        if text in FIELD_NAMES.get(column.shown, ()):
            note = f"{self.holder} has no {self.noun} with {column.shown} {text!r}"
            if note not in self.notes:
                self.notes.append(note)
            return
        counts = pd.Series(present).value_counts()
        names = [str(name) for name in counts.index]
        folded = {name.casefold(): name for name in names}
        close = difflib.get_close_matches(text.casefold(), folded, n=1, cutoff=0.6)
        close = close or [name for name in folded if text and text.casefold() in name][:1]
        shown = [folded[close[0]]] if close else names[:5]
        listed = ", ".join(f"{name!r} ({counts[name]:,} {self.noun}s)" for name in shown)
        raise DietError(f"no {self.noun} has {column.shown} {text!r}: {self.holder} has {listed}. Correct the text.")

    def _column_values(self, node: Node) -> _Values:
        match node:
            case Literal():
                kind = {"bool": "bool", "str": "text"}.get(node.kind, "number")
                return _Values(kind, node.value, None, to_text(node))
            case Column():
                if node.name not in self._cache:
                    self._cache[node.name] = self._read(node.name)
                return self._cache[node.name]
            case Call():
                return self._function(node)
            case _:
                raise DietError(f"`{to_text(node)}` has no value to compare.")

    def _function(self, node: Call) -> _Values:
        inner = self._column_values(node.operand)
        if inner.kind == "empty":
            return inner
        if inner.kind != "number":
            raise DietError(
                f"`{to_text(node)}`: {inner.shown} holds {_plural(inner.kind)}, {node.function}() takes numbers."
            )
        numbers = np.asarray(inner.values, dtype=np.float64)
        missing = np.zeros(len(self.table), np.bool_) if inner.missing is None else inner.missing
        if node.function == "abs":
            return _Values("number", np.abs(numbers), missing, to_text(node))
        defined = (numbers > 0) & ~missing
        logs = np.log10(numbers, where=defined, out=np.full(len(numbers), np.nan))
        return _Values("number", logs, ~defined, to_text(node))

    def _read(self, name: str) -> _Values:
        if name not in self.table.columns:
            raise DietError(f"unknown column {name!r}: {nearest(name, map(str, self.table.columns))}")
        return read_column(self.table[name], name)


def read_column(column: pd.Series[Any], name: str) -> _Values:
    """Bring a column to one of the kinds of the language: numbers, texts or truth values. An empty text is missing."""
    missing = column.isna().to_numpy(dtype=np.bool_)
    dtype = column.dtype
    inferred = (
        "" if not isinstance(dtype, np.dtype) or dtype.kind != "O" else pd.api.types.infer_dtype(column, skipna=True)
    )
    if missing.all() and len(column):
        return _Values("empty", None, missing, name)
    if pd.api.types.is_bool_dtype(dtype) or inferred == "boolean":
        return _Values("bool", column.fillna(False).to_numpy(dtype=np.bool_), missing, name)
    if pd.api.types.is_integer_dtype(dtype) or inferred == "integer":
        return _Values("number", column.fillna(0).to_numpy(dtype=np.int64), missing, name)
    if pd.api.types.is_float_dtype(dtype) or inferred in ("floating", "mixed-integer-float", "decimal"):
        return _Values("number", column.to_numpy(dtype=np.float64, na_value=np.nan), missing, name)
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype) or inferred in ("string", "empty"):
        texts = np.where(missing, "", column.astype(object).to_numpy(dtype=object))
        return _Values("text", texts, texts == "", name)
    raise DietError(
        f"column {name} holds {dtype} values, which an expression cannot compare; give numbers, texts or bools."
    )


def _plural(kind: str) -> str:
    return {"bool": "truth values", "number": "numbers", "text": "texts", "empty": "nothing"}[kind]


def _mismatch(a: _Values, b: _Values) -> DietError:
    column, constant = (a, b) if a.missing is not None else (b, a)
    advice = {
        ("text", "number"): f"set it in quotes: '{constant.shown}'",
        ("text", "bool"): "compare with a text in quotes",
        ("number", "text"): "write the number without quotes",
        ("number", "bool"): "compare with a number",
        ("bool", "number"): f"write `{column.shown}` or `not {column.shown}`",
        ("bool", "text"): f"write `{column.shown}` or `not {column.shown}`",
    }[(column.kind, constant.kind)]
    return DietError(
        f"{column.shown} holds {_plural(column.kind)} but is compared with {constant.shown} "
        f"({_plural(constant.kind)}); {advice}."
    )
