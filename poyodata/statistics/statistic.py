"""`Statistic`: what a column of numbers about neurons is, what it may look at and how it is computed.

A statistic is a value, not code that runs: chunk, combine and finalize. ``chunk`` sees one stretch of a recording and
returns a state, ``combine`` merges two states, ``finalize`` turns the last one into columns. The runner decides which
stretches there are, so that a statistic cannot look at time it must not see: it is never handed any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import UsageError

Interval: TypeAlias = Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
"""Column name to lower and upper bounds, each of shape (neuron,)."""

GROUPS = ("moments", "robust", "dynamics", "tuning", "information", "quality", "own")
"""What kinds of statistics there are; ``own`` are a user's."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of results.

    Attributes
    ----------
    dtype : str
    unit : str
        ``"1"`` for plain numbers.
    definition : str
        One sentence with the convention in it (biased or not, excess or not).
    low, high : float
        The range that values lie in, both ends included.
    """

    dtype: str
    unit: str
    definition: str
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How intervals are drawn.

    Attributes
    ----------
    level : float
        Nominal coverage of an interval, between 0 and 1.
    draws : int
        Bootstrap samples.
    seed : int
        The same seed gives the same intervals, on any machine and with any number of workers.
    """

    level: float = 0.95
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        level: object = self.level
        if not isinstance(level, float | int | np.number) or not 0 < level < 1:
            raise UsageError(f"the level of intervals is {self.level!r}; give a share between 0 and 1, such as 0.95.")
        for name, least in (("draws", 1), ("seed", 0)):
            value: object = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name} is {value!r}; give a whole number, at least {least}.")
            object.__setattr__(self, name, int(value))  # numpy's own would not be written into a lineage


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """All that a statistic sees at a time: one contiguous piece of one recording.

    Attributes
    ----------
    traces : ndarray, shape (time, neuron), float32, dF/F
        The frames of this piece alone.
    trials : DataFrame
        Presentations that lie whole within the piece, columns as in the store; `start_frame` and `stop_frame` count
        from the start of the piece.
    rate_hz : float
    start_frame : int
        Of the recording, where this piece begins.
    neurons : DataFrame
        Rows of the store's ``neurons`` for the recording, in the order of the columns of `traces`: ids, positions.
    signals : mapping of name to ndarray, shape (time,), float64
        Behaviour at the times of the frames, as far as the statistic declares it and the recording has it; NaN where a
        signal was not taken.
    """

    traces: npt.NDArray[np.float32]
    trials: pd.DataFrame
    rate_hz: float
    start_frame: int = 0
    neurons: pd.DataFrame = field(default_factory=pd.DataFrame)
    signals: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KeptBlocks:
    """How states of whole blocks of frames are kept, so that any union of them is a merge and not a reading.

    For a statistic whose ``chunk`` looks at traces alone, and whose results are the same, up to rounding, however time
    is cut. Its state must be one set of numbers a neuron.

    Attributes
    ----------
    pack : callable ``state -> mapping of name to ndarray of shape (neuron,)``
    unpack : callable ``mapping of name to ndarray of shape (neuron,) -> state``
        The inverse, bit by bit.
    """

    pack: Callable[[Any], Mapping[str, npt.NDArray[Any]]]
    unpack: Callable[[Mapping[str, npt.NDArray[Any]]], Any]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A declared statistic.

    Attributes
    ----------
    name : str
    version : int
        Raised when results change, also when only the code does; part of every cache key and lineage.
    columns : mapping of column name to Column
    chunk : callable ``(stretch, params) -> state``
    combine : callable ``(state, state) -> state``, associative up to rounding
    finalize : callable ``(state, params) -> mapping of column name to ndarray of shape (neuron,)``
    nan_policy : str
        What missing samples do, and which results are NaN.
    uses_labels : bool
        Whether it looks at stimulus labels; held-out donors then yield labels to it. Without, it is handed no trials.
    stimulus : str or None
        The stimulus it needs; neurons of recordings without it get NaN.
    signals : tuple of str
        Behaviour it looks at, and is handed; a recording without it is no error.
    params : mapping
        Plain values that change results.
    group : str
        One of `GROUPS`.
    interval : callable ``(stretches, params, resampling) -> Interval``, or None
        Confidence intervals of its columns, from the same stretches that ``chunk`` sees; None leaves them to the
        jackknife over pieces of time, which needs nothing but chunk, combine and finalize.
    kept_blocks : KeptBlocks or None
        How states of blocks are kept; None where a state is not of that kind.
    during : str or None
        The stimulus within whose epochs alone it looks; None for all of the time that it may see.
    """

    name: str
    version: int
    columns: Mapping[str, Column]
    chunk: Callable[[Stretch, Mapping[str, Any]], Any]
    combine: Callable[[Any, Any], Any]
    finalize: Callable[[Any, Mapping[str, Any]], Mapping[str, npt.NDArray[Any]]]
    nan_policy: str
    uses_labels: bool = False
    stimulus: str | None = None
    signals: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    group: str = "own"
    interval: Callable[[Sequence[Stretch], Mapping[str, Any], Resampling], Interval] | None = None
    kept_blocks: KeptBlocks | None = None
    during: str | None = None

    @property
    def lineage(self) -> dict[str, Any]:
        """What results depend on besides the recordings: name, version, params, whether labels are used, and when."""
        return {
            "name": self.name,
            "version": self.version,
            "params": dict(self.params),
            "uses_labels": self.uses_labels,
            **({} if self.during is None else {"during": self.during}),
        }
