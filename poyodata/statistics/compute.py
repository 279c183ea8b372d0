"""Run statistics over the recordings of a store, on train-role time, and keep the results by what they depend on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import pandas as pd

from poyodata.digests import json_digest
from poyodata.errors import PoyodataError, StatisticError, StoreError, nearest
from poyodata.runner import check_workers, run
from poyodata.splits import Split, SplitSpec
from poyodata.statistics.asked import as_resampling, asked_sessions, require_store, split_for
from poyodata.statistics.joined import column_meanings, join, notes
from poyodata.statistics.kept import KeptResults, time_key
from poyodata.statistics.pieces import Piece, cut_pieces
from poyodata.statistics.recording import Outcome, block_lineage, compute_recording
from poyodata.statistics.registry import as_names, find_statistics
from poyodata.statistics.statistic import Resampling, Statistic

if TYPE_CHECKING:
    from poyodata.store import Store

Window = Literal["train", "all"]
FORMAT = 2
"""Part of the digest of joined tables: those of another format are not looked at."""

SAMPLES_PER_S = 100e6
"""Samples (frames times neurons) that a statistic takes in a second, roughly: whether other processes pay."""

INTERVALS_COST = 10
"""How much longer an interval takes than its statistic, roughly."""

_log = logging.getLogger(__name__)


def compute_statistics(
    store: Store,
    names: str | Sequence[str] | None = None,
    split: Split | SplitSpec | str | None = None,
    window: Window = "train",
    sessions: str | Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    intervals: Resampling | float | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Compute statistics of every neuron, or read them where they were computed before.

    Results are kept as soon as a recording is ready. A new recording computes itself alone, a changed statistic itself
    alone, and a call that was interrupted goes on where it stopped.

    Parameters
    ----------
    store : Store
    names : str or sequence of str, optional
        Of statistics; ``"moments@drifting_gratings"`` looks within the epochs of that stimulus alone. By default all
        that are built in, `BUILT_IN`.
    split : Split, SplitSpec or str, optional
        Whose train-role time is looked at; a name or specification is resolved at fold 0. By default the split that
        `default_split` gives for the store. Must be left out when `window` is ``"all"``.
    window : {"train", "all"}
        ``"all"`` looks at test time too and is written into the lineage.
    sessions : str or sequence of str, optional
        These recordings alone.
    progress : callable, optional
        Called with 1 after each recording.
    intervals : Resampling or float, optional
        Confidence intervals of this level, as columns ``skewness_low`` and ``skewness_high`` after each column that has
        one. A `Resampling` also says how many samples are drawn, and from which seed.
    workers : int, optional
        Local processes; results are the same bit by bit. By default as many as cores from some 10^9
        samples (frames times neurons times statistics) on.
    scheduler : str, optional
        Address of a dask.distributed scheduler to be used instead; its workers must see the store at the same path. It
        is asked, and its address looked at, only where something is left to compute.

    Returns
    -------
    DataFrame
        One row a neuron, in the store's order: ``neuron_id`` and the columns of the statistics; NaN where there is no
        value. In its ``attrs``: ``digest`` names what the numbers depend on and ``lineage`` spells it out; ``columns``
        has unit, definition, statistic and version of every column; ``notes`` says in words where values are missing.

    Raises
    ------
    StatisticError
        For an unknown statistic or window, a stimulus that no recording was shown, a split without train-role time, or
        a statistic that fails.
    StoreError
        When recordings are damaged. After this and a `StatisticError` about some of what was asked for, everything
        else was computed and is kept.
    UsageError
        For an unknown recording or split, workers and a scheduler at once, or the path of a store in place of it.
    SplitError
        When the split cannot be made from the store, or was resolved for recordings of other content.
    WorkerError
        When a worker was killed, or the cluster does not answer.

    Examples
    --------
    >>> compute_statistics(open_store("allen.zarr"), "moments", intervals=0.95)  # doctest: +SKIP
    """
    require_store(store)
    check_workers(workers, scheduler)
    statistics, unknown = _find(store, names)
    resampling = as_resampling(intervals)
    split = split_for(store, split, window)
    chosen = asked_sessions(store, sessions, split)
    lineage = {
        "store": store.digest,
        "split": None if split is None else {"name": split.spec.name, "fold": split.fold, "digest": split.digest},
        "window": window,
        "sessions": chosen,
        "statistics": [statistic.lineage for statistic in statistics.values()],
        "intervals": None if resampling is None else vars(resampling),
    }
    digest = json_digest(lineage | {"split": None if split is None else split.digest, "format": FORMAT})
    kept = KeptResults(store.statistics_folder)
    table = kept.table(digest)
    if table is not None:
        if progress is not None:
            progress(len(chosen))
    else:
        pieces = cut_pieces(store, chosen, split, statistics.values(), bounds=resampling is not None)
        call = _Call(store, statistics, resampling, kept, progress)
        outcomes = call.compute(pieces, workers, scheduler)
        table = join(store, statistics.values(), chosen, outcomes)
        columns = column_meanings(statistics.values(), set(table.columns), resampling)
        kept.keep_table(digest, table, lineage, columns)
    columns = column_meanings(statistics.values(), set(table.columns), resampling)
    missing = notes(store, statistics.values(), split, table)
    table.attrs = {"digest": digest, "lineage": lineage, "columns": columns, "notes": missing}
    if unknown:
        raise StatisticError(f"{' '.join(unknown)} All else that was asked for is computed and kept.")
    return table


def _find(store: Store, names: str | Sequence[str] | None) -> tuple[dict[str, Statistic], list[str]]:
    """Statistics by name, and what is wrong with the names that mean none: the others are computed first."""
    if names is None or isinstance(names, str):
        names = [statistic.name for statistic in find_statistics(names)]
    names = as_names(names)
    shown, statistics, unknown = None, {}, []
    for name in names:
        try:
            (statistic,) = find_statistics(name)
        except StatisticError as error:
            unknown.append(str(error))
            continue
        if statistic.during is not None:
            shown = set(store.epochs["stimulus"].unique()) if shown is None else shown
            if statistic.during not in shown:
                close = nearest(statistic.during, shown)
                unknown.append(f"{name!r}: no recording was shown {statistic.during!r}; {close}")
                continue
        statistics[name] = statistic
    if not statistics:
        raise StatisticError(" ".join(unknown))
    for text in unknown:
        _log.warning("%s The rest is computed.", text)
    return statistics, unknown


class _Call:
    """What one call computes: all that is not kept, each recording's results written as soon as they are there."""

    def __init__(
        self,
        store: Store,
        statistics: Mapping[str, Statistic],
        resampling: Resampling | None,
        kept: KeptResults,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.store, self.statistics, self.resampling, self.kept = store, statistics, resampling, kept
        self.progress = progress or (lambda _steps: None)
        self.lineages = {name: json_digest(statistic.lineage) for name, statistic in statistics.items()}
        self.block_lineages = dict(map(block_lineage, statistics.values()))
        self.outcomes: dict[str, Outcome] = {}

    def compute(self, pieces: Sequence[Piece], workers: int | None, scheduler: str | None) -> dict[str, Outcome]:
        """Give what there is of every recording; raise once all that can be computed is, where something cannot."""
        todo = [piece for piece in map(self._without_kept, pieces) if piece.points or piece.bounds]
        if len(todo) < len(pieces):
            self.progress(len(pieces) - len(todo))
        run(
            partial(compute_recording, self.store, self.statistics, self.resampling),
            todo,
            lambda index, outcome: self._keep(todo[index], outcome),
            workers=workers,
            scheduler=scheduler,
            work_s=self._work_s(todo),
            name=lambda piece: piece.session_id,
        )
        failed = {session: one.failures for session, one in self.outcomes.items() if one.failures}
        if failed:
            raise _failure(failed, len(pieces))
        return self.outcomes

    def _without_kept(self, piece: Piece) -> Piece:
        outcome = self.outcomes[piece.session_id] = Outcome()
        n_neurons = len(piece.neurons)
        outcome.points.update(self.kept.columns(piece.digest, time_key(piece.spans), self.lineages, n_neurons))
        if piece.bounds:
            time = time_key(piece.spans, self.resampling)
            outcome.bounds.update(self.kept.columns(piece.digest, time, self.lineages, n_neurons))
        return replace(
            piece,
            points=tuple(name for name in piece.points if name not in outcome.points),
            bounds=tuple(name for name in piece.bounds if name not in outcome.bounds),
        )

    def _keep(self, piece: Piece, new: Outcome) -> None:
        if new.points:
            self.kept.keep_columns(piece.digest, time_key(piece.spans), new.points, self.lineages)
        if new.bounds:
            time = time_key(piece.spans, self.resampling)
            self.kept.keep_columns(piece.digest, time, new.bounds, self.lineages)
        for name, states in new.blocks.items():
            self.kept.keep_blocks(piece.digest, name, self.block_lineages[name], states)
        outcome = self.outcomes[piece.session_id]
        outcome.points.update(new.points)
        outcome.bounds.update(new.bounds)
        outcome.failures.extend(new.failures)
        self.progress(1)

    def _work_s(self, pieces: Sequence[Piece]) -> float:
        sessions = self.store.sessions
        samples = dict(zip(sessions["session_id"], sessions["n_frames"] * sessions["n_neurons"], strict=True))
        times = {piece.session_id: len(piece.points) + INTERVALS_COST * len(piece.bounds) for piece in pieces}
        return float(sum(samples[session] * own for session, own in times.items())) / SAMPLES_PER_S


def _failure(failed: Mapping[str, Sequence[tuple[str, bool]]], n_recordings: int) -> PoyodataError:
    """One error for all that could not be computed."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for session, failures in failed.items():
        for text, _ in failures:
            # What differs in the recording, or in a number, is the same mistake.
            alike.setdefault(re.sub(r"\d+", "#", text.replace(session, "#")), []).append((text.rstrip("."), session))
    texts = []
    for own in alike.values():
        named = ", ".join(repr(session) for _, session in own[:3]) + (", ..." if own[3:] else "")
        texts.append(own[0][0] + (f" (so in {len(own)} recordings: {named})" if own[1:] else ""))
    said = "; ".join(texts[:5]) + (f"; and {len(texts) - 5} more" if texts[5:] else "")
    every = [of_store for failures in failed.values() for _, of_store in failures]
    kind = StoreError if all(every) else StatisticError
    return kind(
        f"of {n_recordings} recordings, {len(failed)} could not be computed, or not wholly: {said}. All else is "
        "computed and kept: mend these, or leave them out (sessions=..., names=...), and call again."
    )
