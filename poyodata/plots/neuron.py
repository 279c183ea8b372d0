"""One neuron as statistics see it: its traces and presentations within the time that may be looked at, in words too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.statistics.asked import split_for
from poyodata.statistics.pieces import cut_pieces
from poyodata.statistics.seen import Seen
from poyodata.statistics.statistic import Statistic, Stretch
from poyodata.statistics.tuning.conditions import Conditions
from poyodata.statistics.tuning.gratings import TUNING_DRIFTING_GRATINGS, TUNING_STATIC_GRATINGS
from poyodata.statistics.tuning.scenes import TUNING_NATURAL_SCENES
from poyodata.statistics.tuning.sweeps import Sweeps, cut_sweeps
from poyodata.vocabulary import DRIFTING_GRATINGS, NATURAL_SCENES, STATIC_GRATINGS

if TYPE_CHECKING:
    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

SWEPT: Mapping[str, Statistic] = {
    DRIFTING_GRATINGS: TUNING_DRIFTING_GRATINGS,
    STATIC_GRATINGS: TUNING_STATIC_GRATINGS,
    NATURAL_SCENES: TUNING_NATURAL_SCENES,
}
"""Stimuli shown in sweeps, with the statistic whose responses are drawn."""


@dataclass(frozen=True, eq=False)
class OneNeuron:
    """A neuron within the time that is looked at.

    Attributes
    ----------
    neuron_id : str
    origin : str
        CRE line and area.
    stretches : tuple of Stretch
        With the traces of this neuron alone: shape (time, 1).
    window : str
        Which time that is, for a title.
    """

    neuron_id: str
    origin: str
    stretches: tuple[Stretch, ...]
    window: str

    def title(self, shown: str) -> str:
        """Two lines: who it is; what is shown of it, and of which time."""
        return f"neuron {self.neuron_id}, {self.origin}\n{shown}, {self.window}"


def one_neuron(
    store: Store, neuron_id: str, stimulus: str, split: Split | SplitSpec | str | None, window: str
) -> OneNeuron:
    """Find a neuron and cut out of its recording what the tuning statistic of a stimulus sees of it.

    Parameters
    ----------
    store : Store
    neuron_id : str
    stimulus : str
    split : Split, SplitSpec or str, optional
        Whose train-role time is looked at; by default the split that `default_split` gives for the store.
    window : {"train", "all"}

    Raises
    ------
    UsageError
        When the store has no such neuron, or the split none of its recording.
    StatisticError
        For an unknown window, a split beside ``"all"``, a stimulus that is not shown in sweeps, or a split without
        train-role time.
    """
    statistic = statistic_of(stimulus)
    neurons = store.neurons
    rows = neurons[neurons["neuron_id"].astype("str") == str(neuron_id)]
    if rows.empty:
        raise UsageError(f"the store holds no neuron {neuron_id!r}: {nearest(str(neuron_id), neurons['neuron_id'])}")
    session_id, column = str(rows["session_id"].iloc[0]), int(rows["column"].iloc[0])
    split = split_for(store, split, window)
    words = "all time, that of tests too" if split is None else f"train-role time of {split.spec.name}"
    (piece,) = cut_pieces(store, [session_id], split, [statistic], bounds=False)
    stretches = tuple(
        replace(stretch, traces=stretch.traces[:, column : column + 1], neurons=rows, signals={})
        for stretch in Seen(store, piece).stretches(statistic)
    )
    recording = store.sessions[store.sessions["session_id"] == session_id].iloc[0]
    origin = ", ".join(str(recording[name]) for name in ("cre_line", "area") if str(recording[name]))
    return OneNeuron(str(neuron_id), origin, stretches, words)


def responses(neuron: OneNeuron, stimulus: str) -> Conditions:
    """Responses to the sweeps of a stimulus, sorted by what was shown: those that the tuning columns are made of.

    Raises
    ------
    StatisticError
        When the stimulus is not shown in sweeps, or no sweep of it lies within the time looked at.
    """
    statistic = statistic_of(stimulus)
    sweeps = [cut_sweeps(stretch, statistic.params) for stretch in neuron.stretches]
    conditions = Conditions.of(reduce(Sweeps.merge, sweeps)) if sweeps else None
    if conditions is None or not conditions.known.any():
        raise StatisticError(
            f"neuron {neuron.neuron_id!r} has no response to {stimulus} in {neuron.window}; the recording may lack the "
            "stimulus, or all of its sweeps may lie in other time."
        )
    return conditions


def statistic_of(stimulus: str) -> Statistic:
    """Give the statistic that defines responses to a stimulus.

    Raises
    ------
    StatisticError
        When the stimulus is not shown in sweeps.
    """
    if stimulus not in SWEPT:
        raise StatisticError(f"no responses to single sweeps of {stimulus!r} are drawn: {nearest(stimulus, SWEPT)}")
    return SWEPT[stimulus]
