"""What a diet says of numbers: its conditions, and the two thresholds that make regions of a plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poyodata.curation import Diet, Manifest
from poyodata.curation.language.expressions import (
    Call,
    Column,
    Compare,
    Literal,
    Node,
    Quantile,
    columns_of,
    to_text,
    walk,
)
from poyodata.curation.language.rules import Where, walk_rules
from poyodata.plots import MAX_KURTOSIS, MAX_SKEWNESS
from poyodata.statistics import column_metadata


def diets_of(manifest: Manifest) -> list[Diet]:
    """Give the diet of a manifest and, after it, every diet that it refers to."""
    documents = [manifest.meta["diet"], *manifest.meta["references"].values()]
    return [Diet.from_dict(document).bound() for document in documents]


def conditions_of(manifest: Manifest) -> list[Node]:
    """Conditions of all ``where`` of a manifest's diet and of those it refers to, each once."""
    found = {
        to_text(rule.condition): rule.condition
        for diet in diets_of(manifest)
        for rule, _ in walk_rules(diet.neurons)
        if isinstance(rule, Where)
    }
    return list(found.values())


def of_moments(condition: Node) -> bool:
    """Tell whether a condition is answered by a neuron's own moments, whatever the other neurons are."""
    home = column_metadata()
    statistics = {str(home.get(name, {}).get("statistic", "")) for name in columns_of(condition)}
    compared = any(
        isinstance(part, Quantile) or (isinstance(part, Call) and part.function in ("rank", "zscore"))
        for part, _ in walk(condition)
    )
    return bool(statistics) and all(name.partition("@")[0] == "moments" for name in statistics) and not compared


@dataclass(frozen=True)
class Thresholds:
    """The plane of two columns, and where it is cut.

    Attributes
    ----------
    x, y : str
        Columns: skewness and kurtosis, perhaps on the time of one stimulus.
    max_x, max_y : float
    own : bool
        The diet names both; otherwise they are those of the preset ``predictable``, for comparison.
    further : tuple of (str, float)
        Other thresholds of the same columns that the diet names.
    """

    x: str = "skewness"
    y: str = "kurtosis"
    max_x: float = MAX_SKEWNESS
    max_y: float = MAX_KURTOSIS
    own: bool = False
    further: tuple[tuple[str, float], ...] = ()

    @property
    def published(self) -> bool:
        """Whether the diet's thresholds are those of POYO-CAP."""
        return self.own and (self.max_x, self.max_y) == (MAX_SKEWNESS, MAX_KURTOSIS)


def thresholds_of(manifest: Manifest) -> Thresholds:
    """Find the thresholds of skewness and kurtosis in what a diet says."""
    named: dict[str, list[float]] = {}
    for condition in conditions_of(manifest):
        for column, value in _compared(condition):
            values = named.setdefault(column, [])
            if value not in values:
                values.append(value)
    during = next((name.partition("@")[2] for name in named if name.startswith(("skewness@", "kurtosis@"))), "")
    plain = "skewness" in named or "kurtosis" in named or not during
    x, y = ("skewness", "kurtosis") if plain else (f"skewness@{during}", f"kurtosis@{during}")
    if x not in named or y not in named:
        return Thresholds(x, y, further=tuple((name, value) for name in (x, y) for value in named.get(name, [])))
    further = tuple((name, value) for name in (x, y) for value in named[name][1:])
    return Thresholds(x, y, named[x][0], named[y][0], own=True, further=further)


def _compared(condition: Node) -> Iterator[tuple[str, float]]:
    """Columns that are compared with a number: in ``0 < skewness <= 3.51`` skewness, with 0 and with 3.51."""
    for part, _ in walk(condition):
        if isinstance(part, Compare):
            for left, right in zip(part.operands, part.operands[1:], strict=False):
                column, number = (left, right) if isinstance(left, Column) else (right, left)
                if isinstance(column, Column) and isinstance(number, Literal) and number.kind in ("int", "float"):
                    yield column.name, float(number.value)
