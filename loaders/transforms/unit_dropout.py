"""`UnitDropout`: each window shows a random part of its neurons, so that a model works with any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from poyodata.errors import LoaderError, nearest
from poyodata.loaders.checks import whole_number
from poyodata.loaders.order import IntArray, draws_at
from poyodata.loaders.transforms.transform import FloatArray, sample_keys, smallest, uniforms

LAWS = ("triangular", "uniform")


@dataclass(frozen=True)
class UnitDropout:
    """Keep a random number of neurons of each window, and a random subset of that size.

    The number comes from a law over ``min_units .. max_units``. ``triangular``: the probability of n is proportional to
    a density that is 1 at `min_units`, rises linearly to `peak` at `mode_units`, falls linearly to 1 at `tail_units`,
    and stays 1 up to `max_units`. ``uniform``: every number is equally likely. The probabilities are exact, and
    nothing is drawn twice: a draw takes one random word. (Implementations that reject proposals by a second random
    number draw from another law, with a longer tail.)

    A window of fewer than `min_units` neurons keeps them all, and so does one of fewer than the number drawn.

    Parameters
    ----------
    law : {"triangular", "uniform"}
    min_units, max_units : int
    mode_units, tail_units : int
        Only for ``triangular``; ``min_units <= mode_units <= tail_units <= max_units``.
    peak : float
        Only for ``triangular``; density at the mode relative to that at the ends, at least 1.

    Raises
    ------
    LoaderError
        The numbers contradict each other, or neurons are not counted in whole ones.

    Examples
    --------
    >>> dropout = UnitDropout(min_units=10, mode_units=50, max_units=300, tail_units=100, peak=50)
    >>> float(dropout.probabilities[: 100 - 10 + 1].sum().round(2)), float(dropout.mean.round(0))
    (0.92, 65.0)
    >>> kept = dropout.choose([np.arange(400), np.arange(7)], np.array([0, 1]), seed=0, epoch=0)
    >>> [len(columns) for columns in kept]
    [63, 7]
    """

    name: ClassVar[str] = "unit_dropout"
    training_only: ClassVar[bool] = True

    law: Literal["triangular", "uniform"] = "triangular"
    min_units: int = 10
    max_units: int = 300
    mode_units: int = 50
    tail_units: int = 100
    peak: float = 50.0

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise LoaderError(f"unit dropout knows no law {self.law!r}: {nearest(self.law, LAWS)}")
        for name in ("min_units", "max_units", "mode_units", "tail_units"):
            whole_number(f"{name} of unit dropout", getattr(self, name))
        if not 1 <= self.min_units <= self.max_units:
            raise LoaderError(
                f"unit dropout keeps {self.min_units} to {self.max_units} neurons; min_units must be at least 1, and "
                "max_units no smaller."
            )
        if self.law == "triangular":
            if not self.min_units <= self.mode_units <= self.tail_units <= self.max_units:
                raise LoaderError(
                    f"the triangular law needs min_units <= mode_units <= tail_units <= max_units; got "
                    f"{self.min_units}, {self.mode_units}, {self.tail_units}, {self.max_units}."
                )
            if not 1 <= self.peak < np.inf:
                raise LoaderError(f"the peak of the triangular law is at least 1, its ends' density; got {self.peak}.")

    @cached_property
    def counts(self) -> IntArray:
        """Numbers of neurons that can be drawn, shape (number,), int64."""
        return np.arange(self.min_units, self.max_units + 1, dtype=np.int64)

    @cached_property
    def probabilities(self) -> FloatArray:
        """Probability of each of `counts`, shape (number,), float64."""
        density = np.ones(len(self.counts))
        if self.law == "triangular":
            # Where min is the mode, or the mode is the tail, a flank has no width: then the mode is the peak.
            knots = np.array([self.min_units, self.mode_units, self.tail_units], np.float64)
            heights = np.array([1.0, self.peak, 1.0])
            strict = np.r_[knots[0] < knots[1], True, knots[1] < knots[2]]
            inside = self.counts <= self.tail_units
            density[inside] = np.interp(self.counts[inside], knots[strict], heights[strict])
        probabilities: FloatArray = density / density.sum()
        return probabilities

    @property
    def mean(self) -> np.float64:
        """Mean number of neurons, where there are enough."""
        return np.float64(self.counts @ self.probabilities)

    def n_units(self, u: FloatArray) -> IntArray:
        """Quantile function of the law: the number of neurons for each `u` in [0, 1)."""
        edges = np.cumsum(self.probabilities)
        at = np.searchsorted(edges, u, side="right")
        return self.counts[np.minimum(at, len(edges) - 1)]

    def choose(
        self, columns: Sequence[IntArray], sample: IntArray, seed: int, epoch: int, place: int = 0
    ) -> list[IntArray]:
        """Choose the columns that are read; as in `NeuronTransform`.

        Every field that has an entry for each neuron is cut by what this gives, in one place.
        """
        sample = np.asarray(sample, np.int64)
        how_many = sample_keys("unit dropout: how many", seed, epoch, sample, place)
        drawn = self.n_units(uniforms(draws_at(how_many, np.zeros(len(sample), np.int64))))
        which = sample_keys("unit dropout: which", seed, epoch, sample, place)
        kept: list[IntArray] = []
        for at, mine in enumerate(columns):
            if len(mine) <= max(self.min_units, drawn[at]):
                kept.append(mine)
                continue
            words = draws_at(which[at : at + 1], np.arange(len(mine), dtype=np.int64))
            kept.append(mine[smallest(words, int(drawn[at]))])
        return kept
