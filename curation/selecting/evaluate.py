"""Expression and table to a three-valued answer: true, false, or unknown where a value is missing (Kleene's logic)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from poyodata import vocabulary
from poyodata.curation.language.expressions import (
    REFERENCE_FUNCTIONS,
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
    Quantile,
    to_text,
)
from poyodata.curation.language.parameters import Parameter
from poyodata.curation.language.rule_document import numbered
from poyodata.curation.selecting.column_values import PLURALS, Values, read_column
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.reference_population import ReferencePopulation
from poyodata.documents.places import printable
from poyodata.errors import DietError, nearest

__all__ = ["FIELD_NAMES", "Evaluator", "Kleene", "Mask"]

FIELD_NAMES: Mapping[str, Sequence[str]] = {
    "area": vocabulary.AREAS,
    "cre_line": vocabulary.CRE_LINES,
    "role": ("train", "valid", "test", "identify"),
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
    reference : ReferencePopulation
        Rows that quantile, zscore and rank compare with; every row by default. What they came to stands in its
        ``frozen``.
    stand_ins : frozenset of str
        Columns that hold every name that there is instead of what the rows have, of which no counts can be told.

    Examples
    --------
    >>> from poyodata.curation.language.parse import parse_expression
    >>> table = pd.DataFrame({"skewness": [1.0, 5.0, np.nan]})
    >>> Evaluator(table).evaluate(parse_expression("skewness <= 3.51")).counts()
    (1, 1, 1)
    >>> Evaluator(table).evaluate(parse_expression("skewness >= quantile(skewness, 0.5)")).counts()
    (1, 1, 1)
    """

    table: pd.DataFrame
    noun: str = "neuron"
    holder: str = "the store"
    notes: list[str] = field(default_factory=list)
    reference: ReferencePopulation = field(default_factory=ReferencePopulation)
    stand_ins: frozenset[str] = frozenset()
    _cache: dict[str, Values] = field(default_factory=dict, repr=False)

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
            case Parameter():
                return Kleene.known(np.full(len(self.table), node.default is True))
            case Call():
                missing = self.values(node.operand).missing
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
            case Quantile():
                raise DietError(
                    f"`{to_text(node)}` is a number; compare it with something, as in `x > {to_text(node)}`."
                )

    def _bare_column(self, node: Column) -> Kleene:
        column = self.values(node)
        if column.kind not in ("bool", "empty"):
            raise DietError(f"column {node.name} holds {PLURALS[column.kind]}; compare it, as in `{node.name} == ...`.")
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
        a, b = self.values(left), self.values(right)
        missing = np.zeros(len(self.table), np.bool_)
        for side in (a, b):
            if side.missing is not None:
                missing = missing | side.missing
        if "empty" in (a.kind, b.kind):
            return Kleene(np.zeros(len(self.table), np.bool_), np.ones(len(self.table), np.bool_))
        if a.kind != b.kind:
            raise _mismatch(a, b)
        if a.kind != "number" and sign not in ("==", "!="):
            raise DietError(f"`{a.shown} {sign} {b.shown}`: {PLURALS[a.kind]} have no order; use ==, != or `in`.")
        first, second = a.values, b.values
        if a.kind == "text":
            first, second = self._codes(a, b)
        true = np.broadcast_to(np.asarray(_OPERATORS[sign](first, second), dtype=np.bool_), missing.shape)
        return Kleene(true & ~missing, missing)

    def _membership(self, node: Membership) -> Kleene:
        column = self.values(node.operand)
        missing = column.missing if column.missing is not None else np.zeros(len(self.table), np.bool_)
        if column.kind == "empty":
            return Kleene(np.zeros(len(self.table), np.bool_), np.ones(len(self.table), np.bool_))
        constants = [self.values(literal) for literal in node.values]
        for constant in constants:
            if constant.kind != column.kind:
                raise _mismatch(column, constant)
        if column.kind == "text":
            codes = [self._code(column, constant.values) for constant in constants]
            true = np.isin(column.values, np.array(codes, np.int64))
        else:
            true = np.zeros(len(self.table), np.bool_)
            for constant in constants:
                true |= np.asarray(column.values == constant.values, dtype=np.bool_)
        answer = Kleene(true & ~missing, missing)
        return ~answer if node.negated else answer

    def _codes(self, a: Values, b: Values) -> tuple[Any, Any]:
        """Bring two texts, of which one may be a constant, to codes that are equal where the texts are."""
        if a.missing is None:
            return self._code(b, a.values), b.values
        if b.missing is None:
            return a.values, self._code(a, b.values)
        return a.values, b.codes_like(a)

    def _code(self, column: Values, text: str) -> int:
        """Code of a text in a column; -2 for a name of the field that the store does not have."""
        counts = column.counts()
        if text in counts:
            return column.code_of[text]
        if text in FIELD_NAMES.get(column.shown, ()):
            note = f"{self.holder} has no {self.noun} with {column.shown} {text!r}"
            if note not in self.notes and column.shown not in self.stand_ins:
                self.notes.append(note)
            return -2
        if column.shown in self.stand_ins:
            raise DietError(f"there is no {column.shown} {printable(text)!r}: {nearest(text[:60], counts)}")
        meant = column.near.find(text)
        shown = list(counts)[:5] if meant is None else [meant]
        listed = ", ".join(f"{name!r} ({numbered(counts[name], self.noun)})" for name in shown)
        raise DietError(
            f"no {self.noun} has {column.shown} {printable(text)!r}: {self.holder} has {listed}. Correct the text."
        )

    def values(self, node: Node) -> Values:
        """Values of an operand for every row, or its one constant.

        Raises
        ------
        DietError
            Unknown column, a function of texts, or a reference population without a finite value.
        """
        match node:
            case Literal() | Parameter():
                constant = node.value if isinstance(node, Literal) else node.default
                kind = {"bool": "bool", "str": "text"}.get(type(constant).__name__, "number")
                return Values(kind, constant, None, repr(constant))
            case Column():
                key = node.name
            case Call() | Quantile():
                key = to_text(node)
            case _:
                raise DietError(f"`{to_text(node)}` has no value to compare.")
        if key not in self._cache:
            self._cache[key] = self._read(key) if isinstance(node, Column) else self._function(node, key)
        return self._cache[key]

    def _function(self, node: Call | Quantile, text: str) -> Values:
        inner = self.values(node.operand)
        name = node.function if isinstance(node, Call) else "quantile"
        if inner.kind == "empty":
            return Values("empty", None, inner.missing, text)
        if inner.kind != "number":
            raise DietError(f"`{text}`: {inner.shown} holds {PLURALS[inner.kind]}, {name}() takes numbers.")
        numbers = np.asarray(inner.values, dtype=np.float64)
        missing = np.zeros(len(self.table), np.bool_) if inner.missing is None else inner.missing
        if isinstance(node, Quantile):
            share = node.q.default if isinstance(node.q, Parameter) else node.q
            value = self.reference.quantile(numbers, missing, float(share), text)
            return Values("number", value, None, text)
        if name in REFERENCE_FUNCTIONS:
            if name == "rank":
                return Values("number", self.reference.rank(numbers, missing, text), missing, text)
            scores = self.reference.zscore(numbers, missing, text)
            if scores is not None:
                return Values("number", scores, missing, text)
            note = f"{text} is unknown: {inner.shown} is the same for all of the reference population"
            if note not in self.notes:
                self.notes.append(note)
            return Values("number", np.full(len(numbers), np.nan), np.ones(len(numbers), np.bool_), text)
        if name == "abs":
            return Values("number", np.abs(numbers), missing, text)
        defined = (numbers > 0) & ~missing
        logs = np.log10(numbers, where=defined, out=np.full(len(numbers), np.nan))
        return Values("number", logs, ~defined, text)

    def _read(self, name: str) -> Values:
        if name not in self.table.columns:
            raise DietError(f"unknown column {name!r}: {nearest(name, map(str, self.table.columns))}")
        return read_column(self.table[name], name)


def _mismatch(a: Values, b: Values) -> DietError:
    column, constant = (a, b) if a.missing is not None else (b, a)
    if constant.missing is not None or constant.shown != repr(constant.values):  # a column, or made of one
        return DietError(
            f"{a.shown} holds {PLURALS[a.kind]} but is compared with {b.shown}, which holds {PLURALS[b.kind]}; compare "
            "each with something of its own kind."
        )
    advice = {
        ("text", "number"): f"set it in quotes: '{constant.shown}'",
        ("text", "bool"): "compare with a text in quotes",
        ("number", "text"): "write the number without quotes",
        ("number", "bool"): "compare with a number",
        ("bool", "number"): f"write `{column.shown}` or `not {column.shown}`",
        ("bool", "text"): f"write `{column.shown}` or `not {column.shown}`",
    }[(column.kind, constant.kind)]
    return DietError(
        f"{column.shown} holds {PLURALS[column.kind]} but is compared with {constant.shown} "
        f"({PLURALS[constant.kind]}); {advice}."
    )
