"""What the neurons of a recording know together about the direction of drifting gratings, against how many they are.

The estimand, in rad^-2, is the mean over the eight neighbouring pairs of directions of

    dmu' Sigma^-1 dmu / dtheta^2,     dtheta = pi / 4,

with dmu the difference of the mean responses (mean dF/F of a sweep) and Sigma the mean of the two covariances over
trials; then the mean over random sets of so many neurons of the recording. It is estimated without bias for Gaussian
responses (`poyodata.statistics.information.population_subsets`), which takes T1 + T2 > N + 3 trials of each pair; where
there are fewer, it is refused with the reason. Negative estimates stay negative.

Temporal frequency: the value is estimated within each temporal frequency and averaged. Taken together, the spread of
the responses over temporal frequencies would count as noise, which it is not: the animal sees the frequency. The price
is that T counts the trials of one direction at one temporal frequency: 15 in a whole recording of the observatory with
its five, and 9 or so in the train-role time of five folds, hence 26 and 14 neurons at most.

One set of random orders serves all sizes: sets grow by adding neurons. Neurons and trials that cannot be used: a sweep
without a response in more than half of the neurons is left out, then neurons with a response missing in any other
sweep, that never vary, or that repeat another one's responses exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import json_digest
from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.runner import check_workers, run
from poyodata.splits import Split, SplitSpec
from poyodata.statistics.asked import as_resampling, asked_sessions, require_store, split_for
from poyodata.statistics.information import FISHER_DIRECTION
from poyodata.statistics.information.population_subsets import draw_orders, information_of_sets
from poyodata.statistics.information.trials import STIMULUS, TrialResponses, by_condition, trial_responses
from poyodata.statistics.kept import KeptResults
from poyodata.statistics.pieces import Piece, cut_pieces
from poyodata.statistics.seen import Seen
from poyodata.statistics.statistic import Column, Resampling
from poyodata.vocabulary import DIRECTIONS_DEG

if TYPE_CHECKING:
    from poyodata.store import Store

FloatArray = npt.NDArray[np.float64]

VERSION = 2
"""Raised when results change."""

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
"""Sizes of sets by default; besides, as many neurons as the trials allow, and all of them."""

D_THETA = 2 * np.pi / len(DIRECTIONS_DEG)

COLUMNS = {
    "n_neurons": Column(dtype="int64", unit="neurons", definition="Neurons in a set.", low=1),
    "fisher_population": Column(
        dtype="float64",
        unit="rad^-2",
        definition="Linear Fisher information of a set of neurons between neighbouring directions of drifting gratings "
        "in one trial: mean of eight pairs, within each temporal frequency and averaged over them, mean over random "
        "sets; bias-corrected (Kanitscheider et al. 2015), may be negative.",
    ),
    "fisher_population_low": Column(
        dtype="float64", unit="rad^-2", definition="Lower end of the confidence interval, over trials, of these sets."
    ),
    "fisher_population_high": Column(
        dtype="float64", unit="rad^-2", definition="Upper end of the confidence interval, over trials, of these sets."
    ),
    "fisher_population_per_frame": Column(
        dtype="float64",
        unit="rad^-2",
        definition="fisher_population over the frames of a sweep: as if every frame told as much.",
    ),
    "subset_std": Column(
        dtype="float64", unit="rad^-2", definition="Standard deviation over sets of so many neurons.", low=0.0
    ),
    "n_subsets": Column(dtype="int64", unit="sets", definition="Random sets behind the mean.", low=0),
    "n_available": Column(dtype="int64", unit="neurons", definition="Neurons that sets are drawn from.", low=0),
    "n_trials": Column(
        dtype="float64",
        unit="trials",
        definition="Trials of a direction at a temporal frequency: the smallest mean over a neighbouring pair.",
        low=0.0,
    ),
    "n_frequencies": Column(dtype="int64", unit="frequencies", definition="Temporal frequencies averaged.", low=0),
    "reason": Column(dtype="str", unit="1", definition="Why there is no value, in words; empty where there is one."),
}
"""Columns of `population_information` after ``session_id``."""


@dataclass(frozen=True)
class _Wanted:
    """What is computed of every recording."""

    sizes: tuple[int, ...] | None
    subsets: int
    seed: int
    level: float | None


def population_information(
    store: Store,
    sessions: str | Sequence[str] | None = None,
    split: Split | SplitSpec | str | None = None,
    window: str = "train",
    sizes: Sequence[int] | None = None,
    subsets: int = 50,
    seed: int = 0,
    intervals: Resampling | float | None = 0.95,
    progress: Callable[[int], None] | None = None,
    *,
    neurons: Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Estimate the Fisher information of growing sets of neurons about the direction of drifting gratings.

    Parameters
    ----------
    store : Store
    sessions : str or sequence of str, optional
        These recordings alone.
    split : Split, SplitSpec or str, optional
        Whose train-role time is looked at, as for `compute_statistics`.
    window : {"train", "all"}
        ``"all"`` looks at test time too and is written into the lineage. Trials are few: train-role time alone
        allows about half as many neurons.
    sizes : sequence of int, optional
        Numbers of neurons; `SIZES`, the most that the trials allow, and all neurons by default.
    subsets : int
        Random sets of each size.
    seed : int
    intervals : Resampling or float, optional
        Level of the confidence intervals over trials; None for none. Of a `Resampling` only the level is used: nothing
        is drawn.
    progress : callable, optional
        Called with 1 after each recording.
    neurons : sequence of str, optional
        Draw from these alone, by ``neuron_id``: those of a diet, say.
    workers, scheduler : optional
        As for `compute_statistics`.

    Returns
    -------
    DataFrame
        One row a recording and size: ``session_id`` and `COLUMNS`. A size that is refused has NaN and the ``reason``;
        every recording has a row, at one neuron where it has none that can be used. In its ``attrs`` are ``digest``
        and ``lineage``.

    Raises
    ------
    StatisticError
        For a window, size, level or number of sets that makes no sense, or a split without train-role time.
    UsageError
        For an unknown recording, neuron or split.
    SplitError
        When the split cannot be made from the store, or was resolved for recordings of other content.

    Examples
    --------
    >>> population_information(open_store("allen.zarr"), sizes=[1, 10, 100])  # doctest: +SKIP
    """
    require_store(store)
    check_workers(workers, scheduler)
    wanted = _wanted(sizes, subsets, seed, intervals)
    split = split_for(store, split, window)
    chosen = asked_sessions(store, sessions, split)
    mine = _known_neurons(store, neurons)
    lineage: dict[str, Any] = {
        "statistic": {"name": "fisher_population", "version": VERSION, "uses_labels": True, "params": vars(wanted)},
        "store": store.digest,
        "split": None if split is None else {"name": split.spec.name, "fold": split.fold, "digest": split.digest},
        "window": window,
        "sessions": chosen,
        "neurons": None if mine is None else sorted(mine),
    }
    digest = json_digest(lineage | {"split": None if split is None else split.digest})
    kept = KeptResults(store.statistics_folder)
    table = kept.table(digest)
    if table is not None:
        if progress is not None:
            progress(len(chosen))
    else:
        pieces = cut_pieces(store, chosen, split, [FISHER_DIRECTION], bounds=False)
        found: dict[int, pd.DataFrame] = {}

        def done(index: int, rows: pd.DataFrame) -> None:
            found[index] = rows
            if progress is not None:
                progress(1)

        run(
            partial(_of_recording, store, wanted, mine),
            pieces,
            done,
            workers=workers,
            scheduler=scheduler,
            work_s=float(len(pieces)),
            name=lambda piece: piece.session_id,
        )
        parts = [found[index] for index in range(len(pieces))]
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["session_id", *COLUMNS])
        meanings = {name: {"unit": column.unit, "definition": column.definition} for name, column in COLUMNS.items()}
        kept.keep_table(digest, table, lineage, meanings)
    table.attrs = {"digest": digest, "lineage": lineage}
    return table


def information_of_responses(
    responses: TrialResponses,
    sizes: Sequence[int] | None = None,
    subsets: int = 50,
    seed: int | np.random.SeedSequence = 0,
    intervals: Resampling | float | None = 0.95,
) -> pd.DataFrame:
    """Estimate the information of growing sets of neurons from responses to single sweeps.

    Parameters
    ----------
    responses : TrialResponses
    sizes, subsets, intervals
        As for `population_information`.
    seed : int or SeedSequence

    Returns
    -------
    DataFrame
        One row a size, with `COLUMNS`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> direction = np.tile(DIRECTIONS_DEG, 40)
    >>> tuning = np.cos(np.deg2rad(direction)[:, None] - rng.uniform(0, 6, 30))
    >>> responses = TrialResponses(tuning + rng.normal(size=tuning.shape), direction, np.ones(len(direction)))
    >>> table = information_of_responses(responses, [1, 10, 100])
    >>> bool(table["fisher_population"][1] > 5 * table["fisher_population"][0]), table["reason"][2]
    (True, '100 neurons are wanted, and this recording has 30 that can be used')
    """
    wanted = _wanted(sizes, subsets, 0, intervals)
    values = _usable(by_condition(responses))
    n_available = values[0][0].shape[1]
    # A pair of directions with too few trials bars the recording: the mean would be over other pairs.
    pairs = [len(a) + len(b) for row in values for a, b in zip(row, [*row[1:], row[0]], strict=True)]
    trials, fewest = min(pairs), min(len(each) for row in values for each in row)
    most = min(n_available, trials - 4) if fewest > 1 else 0
    asked = sorted(set(wanted.sizes or [*(n for n in SIZES if n < n_available), most, n_available]) - {0}) or [1]
    rows = pd.DataFrame({"n_neurons": np.array(asked, np.int64)})
    for name, column in COLUMNS.items():
        if column.dtype == "float64":
            rows[name] = np.nan
    possible = [size for size in asked if size <= most]
    if possible:
        orders = draw_orders(n_available, possible[-1], wanted.subsets, np.random.default_rng(seed))
        value, variance = information_of_sets(values, orders, possible, D_THETA)
        mean, at = value.mean(axis=0), slice(0, len(possible) - 1)
        rows.loc[at, "fisher_population"] = mean
        rows.loc[at, "fisher_population_per_frame"] = mean / responses.sweep_frames
        rows.loc[at, "subset_std"] = value.std(axis=0, ddof=1 if wanted.subsets > 1 else 0)
        if wanted.level is not None:
            from scipy.special import ndtri

            reach = float(ndtri(0.5 + wanted.level / 2)) * np.sqrt(variance)
            rows.loc[at, "fisher_population_low"] = mean - reach
            rows.loc[at, "fisher_population_high"] = mean + reach
    rows["n_subsets"] = np.where(rows["n_neurons"] <= most, wanted.subsets, 0)
    rows["n_available"], rows["n_trials"], rows["n_frequencies"] = n_available, trials / 2, len(values)
    nobody = "" if responses.response.shape[1] else "this recording has none of the neurons that sets are drawn from"
    rows["reason"] = [nobody or _reason(size, n_available, trials, fewest) for size in asked]
    return rows[list(COLUMNS)].astype({name: column.dtype for name, column in COLUMNS.items()})


def _reason(size: int, n_available: int, trials: int, fewest: int) -> str:
    if trials == 0:
        return "this recording has no trials of drifting gratings in the time that is looked at"
    if not n_available:
        return "this recording has no neuron that can be used"
    if size > n_available:
        return f"{size} neurons are wanted, and this recording has {n_available} that can be used"
    if trials <= size + 3 or fewest < 2:
        have = f"{trials / 2:g}" if fewest > 1 else f"{fewest} of some"
        return (
            f"{size} neurons need more than {max((size + 3) // 2, 2)} trials of a direction at each temporal "
            f"frequency; this recording has {have}"
        )
    return ""


def _usable(values: FloatArray) -> list[list[FloatArray]]:
    """Trials and neurons without gaps: by temporal frequency and direction, each of shape (trial, neuron)."""
    if not values.size:
        return [[np.empty((0, values.shape[3]))] * values.shape[1]]
    seen = np.isfinite(values)
    shown = 2 * seen.sum(axis=3) >= max(values.shape[3], 1)
    whole = (seen | ~shown[..., None]).all(axis=(0, 1, 2)) & shown.any()
    trials = np.where(shown[..., None], values, 0.0)
    count = np.maximum(shown.sum(axis=2), 1)[:, :, None, None]
    rest = np.where(shown[..., None], trials - trials.sum(axis=2, keepdims=True) / count, 0.0)
    size = (rest**2).sum(axis=2)
    size = np.sqrt(size + np.roll(size, -1, axis=1))  # over each pair of neighbouring directions
    varies = whole & (size > 1e-9 * np.abs(trials).max(axis=(0, 1, 2))).all(axis=(0, 1))
    first = np.flatnonzero(varies)
    if len(first):
        # A trace that repeats another makes every covariance singular.
        _, index = np.unique(values[shown][:, first], axis=1, return_index=True)
        first = first[np.sort(index)]
    return [
        [values[f, d, shown[f, d]][:, first] for d in range(values.shape[1])]
        for f in range(len(values))
        if shown[f].any() or len(values) == 1
    ]


def _of_recording(store: Store, wanted: _Wanted, mine: frozenset[str] | None, piece: Piece) -> pd.DataFrame:
    stretches = Seen(store, piece).stretches(FISHER_DIRECTION)
    responses = reduce(TrialResponses.merge, [trial_responses(stretch, STIMULUS) for stretch in stretches])
    if mine is not None:
        own = piece.neurons["neuron_id"].isin(mine).to_numpy(bool)
        responses = TrialResponses(
            responses.response[:, own], responses.direction_deg, responses.temporal_frequency_hz, responses.frames
        )
    # Of the recording itself: whichever others are asked for, it draws the same sets.
    seed = np.random.SeedSequence([wanted.seed, *piece.session_id.encode()])
    rows = information_of_responses(responses, wanted.sizes, wanted.subsets, seed, wanted.level)
    rows.insert(0, "session_id", piece.session_id)
    return rows


def _wanted(sizes: Sequence[int] | None, subsets: int, seed: int, intervals: Resampling | float | None) -> _Wanted:
    resampling = as_resampling(intervals)
    for name, value, least in (("subsets", subsets, 1), ("seed", seed, 0)):
        if not _is_whole(value) or value < least:
            raise StatisticError(f"{name} is {value!r}; give a whole number, at least {least}.")
    given: tuple[Any, ...] | None = None
    if sizes is not None:
        several: object = sizes
        given = tuple(several) if isinstance(several, Iterable) else (sizes,)
        if not given or not all(_is_whole(size) and size >= 1 for size in given):
            raise StatisticError(f"sizes of sets are {sizes!r}; give one or more whole numbers, each at least 1.")
        given = tuple(map(int, given))
    return _Wanted(given, int(subsets), int(seed), None if resampling is None else resampling.level)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _known_neurons(store: Store, neurons: Sequence[str] | None) -> frozenset[str] | None:
    if neurons is None:
        return None
    unknown = sorted(set(neurons).difference(store.neurons["neuron_id"]))
    if unknown:
        close = nearest(unknown[0], store.neurons["neuron_id"])
        raise UsageError(f"the store holds no neuron {unknown[0]!r}: {close}")
    return frozenset(neurons)
