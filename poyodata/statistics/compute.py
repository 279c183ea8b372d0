"""Run statistics over the recordings of a store, on train-role time, and keep the results by what they depend on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.digests import json_digest, table_digest
from poyodata.errors import StatisticError, StoreError, UsageError, nearest
from poyodata.intervals import Intervals, covers
from poyodata.runner import check_workers, run
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.statistics.behaviour import at_frames
from poyodata.statistics.registry import find_statistics
from poyodata.statistics.statistic import Statistic, Stretch
from poyodata.store.commit import read_table, replace_table
from poyodata.store.disk import replace_file
from poyodata.store.seal import seal_json

if TYPE_CHECKING:
    from poyodata.store import Store

FloatArray = npt.NDArray[np.float64]
Window = Literal["train", "all"]
SAMPLES_PER_S = 100e6
"""Samples (frames times neurons) that a statistic takes in a second, roughly: whether other processes pay."""

_log = logging.getLogger(__name__)


def compute_statistics(
    store: Store,
    names: str | Sequence[str] = ("moments", "fisher_direction"),
    split: Split | SplitSpec | str | None = None,
    window: Window = "train",
    sessions: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Compute statistics of every neuron, or read them where they were computed before.

    Parameters
    ----------
    store : Store
    names : str or sequence of str
        Of `STATISTICS`.
    split : Split, SplitSpec or str, optional
        Whose train-role time is looked at; a name or specification is resolved at fold 0. By default the split that
        `default_split` gives for the store. Must be left out when `window` is ``"all"``.
    window : {"train", "all"}
        ``"all"`` looks at test time too and is written into the lineage.
    sessions : sequence of str, optional
        These recordings alone.
    progress : callable, optional
        Called with 1 after each recording.
    workers : int, optional
        Local processes; results are the same bit by bit. By default as many as cores from some 10^9
        samples (frames times neurons times statistics) on.
    scheduler : str, optional
        Address of a dask.distributed scheduler to be used instead; its workers must see the store at the same path.

    Returns
    -------
    DataFrame
        One row a neuron, in the store's order: ``neuron_id`` and the columns of the statistics. ``attrs["digest"]``
        names what the numbers depend on, ``attrs["lineage"]`` spells it out. Neurons without data have NaN.

    Raises
    ------
    StatisticError
        For an unknown statistic or window.
    UsageError
        For an unknown recording or split, or workers and a scheduler at once.
    SplitError
        When the split cannot be made from the store.
    WorkerError
        When a worker was killed, or the cluster does not answer.
    """
    check_workers(workers, scheduler)
    statistics = find_statistics(names)
    known = store.sessions["session_id"].tolist()
    for session in sessions or ():
        if session not in known:
            raise UsageError(f"the store holds no recording {session!r}: {nearest(session, known)}")
    chosen = known if sessions is None else [session for session in known if session in set(sessions)]
    split = _split_for(store, split, window)
    if split is not None and sessions is None:
        # A split of some recordings has train time of these alone.
        chosen = [session for session in chosen if session in set(split.sessions["session_id"])]
    lineage = {
        "store": store.digest,
        "split": None if split is None else {"name": split.spec.name, "fold": split.fold, "digest": split.digest},
        "window": window,
        "sessions": chosen,
        "statistics": [statistic.lineage for statistic in statistics],
    }
    digest = json_digest(lineage | {"split": None if split is None else split.digest})
    table = _read(store.statistics_folder, digest)
    if table is not None:
        if progress is not None:
            progress(len(chosen))
    else:
        pieces = [_piece(store, session, split) for session in chosen]
        results: dict[int, dict[str, npt.NDArray[Any]]] = {}

        def keep(index: int, result: dict[str, npt.NDArray[Any]]) -> None:
            results[index] = result
            if progress is not None:
                progress(1)

        run(
            partial(_of_recording, store, statistics),
            pieces,
            keep,
            workers=workers,
            scheduler=scheduler,
            work_s=_work_s(store, chosen) * len(statistics),
            name=lambda piece: piece.session_id,
        )
        table = _join(store, chosen, [results[index] for index in range(len(chosen))])
        _keep(store.statistics_folder, digest, table, lineage)
    table.attrs = {"digest": digest, "lineage": lineage}
    return table


def _split_for(store: Store, split: Split | SplitSpec | str | None, window: str) -> Split | None:
    if window == "all":
        if split is not None:
            raise StatisticError("window 'all' looks at all time, so a split has no meaning; leave one of them out.")
        return None
    if window != "train":
        raise StatisticError(f"window is {window!r}: {nearest(window, ('train', 'all'))}")
    if isinstance(split, Split):
        return split
    return resolve_split(store, default_split(store) if split is None else split)


@dataclass(frozen=True)
class _Piece:
    """What a worker is told of one recording: its content, and the time that statistics may see."""

    session_id: str
    digest: str
    spans: Intervals


def _piece(store: Store, session: str, split: Split | None) -> _Piece:
    if split is not None:
        spans: Intervals = split.train_time(session)
    else:
        segments = store.segments[store.segments["session_id"] == session]
        spans = segments[["start_frame", "stop_frame"]].to_numpy(np.int64)
    return _Piece(session, _row(store, session)["digest"], spans)


def _row(store: Store, session: str) -> pd.Series[Any]:
    return store.sessions[store.sessions["session_id"] == session].iloc[0]


def _work_s(store: Store, sessions: Sequence[str]) -> float:
    chosen = store.sessions[store.sessions["session_id"].isin(sessions)]
    return float((chosen["n_frames"] * chosen["n_neurons"]).sum()) / SAMPLES_PER_S


def _of_recording(store: Store, statistics: Sequence[Statistic], piece: _Piece) -> dict[str, npt.NDArray[Any]]:
    """Compute every column for one recording, in the order of its traces."""
    if piece.session_id not in set(store.sessions["session_id"]) or (
        _row(store, piece.session_id)["digest"] != piece.digest
    ):
        # In another process the store was opened again.
        raise StoreError(f"recording {piece.session_id!r} was changed meanwhile; open the store again, then compute.")
    results: dict[str, npt.NDArray[Any]] = {}
    signals = sorted({name for statistic in statistics for name in statistic.signals})
    stretches = list(_stretches(store, piece, signals))
    for statistic in statistics:
        states = (statistic.chunk(stretch, statistic.params) for stretch in stretches)
        values = statistic.finalize(reduce(statistic.combine, states), statistic.params)
        for name, declared in statistic.columns.items():
            results[name] = np.asarray(values[name]).astype(declared.dtype)
    return results


def _stretches(store: Store, piece: _Piece, names: Sequence[str]) -> Iterator[Stretch]:
    """Yield what statistics may see of a recording; an empty stretch where that is nothing."""
    rate_hz = float(_row(store, piece.session_id)["rate_hz"])
    traces: npt.NDArray[np.float32] = store.traces(piece.session_id)
    trials = store.presentations_of(piece.session_id)
    signals = _signals(store, piece.session_id, names)
    time_s = store.time_s(piece.session_id) if signals else np.empty(0)
    neurons = store.neurons[store.neurons["session_id"] == piece.session_id].reset_index(drop=True)
    for start, stop in piece.spans if len(piece.spans) else np.zeros((1, 2), np.int64):
        inside = trials[covers(np.array([[start, stop]]), trials["start_frame"], trials["stop_frame"])]
        yield Stretch(
            traces=traces[start:stop],
            trials=inside.assign(start_frame=inside["start_frame"] - start, stop_frame=inside["stop_frame"] - start),
            rate_hz=rate_hz,
            start_frame=int(start),
            neurons=neurons,
            signals={name: _within(time_s[start:stop], *signal) for name, signal in signals.items()},
        )


def _signals(store: Store, session: str, names: Sequence[str]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Values and times of those signals that the recording has."""
    found = {}
    for name in names:
        try:
            found[name] = store.signal(session, name)
        except UsageError:
            continue  # a recording without eye tracking, say: statistics that want it give NaN
    return found


def _within(frame_s: FloatArray, values: FloatArray, sample_s: FloatArray) -> FloatArray:
    """Give a signal at the times of a stretch's frames, from samples taken within it: none of test time."""
    if len(frame_s) == 0:
        return np.empty(0)
    own = (sample_s >= frame_s[0]) & (sample_s <= frame_s[-1])
    return at_frames(values[own], sample_s[own], frame_s)


def _join(store: Store, chosen: Sequence[str], results: Sequence[dict[str, npt.NDArray[Any]]]) -> pd.DataFrame:
    """One table of all recordings, a row a neuron, in the order of the store."""
    neurons = store.neurons[["neuron_id", "session_id", "column"]]
    rows = neurons.groupby("session_id", sort=False).indices
    parts = []
    for session, result in zip(chosen, results, strict=True):
        own = neurons.iloc[rows[session]]
        column = own["column"].to_numpy(np.int64)
        ids = {"neuron_id": own["neuron_id"].astype("str").to_numpy()}
        parts.append(pd.DataFrame(ids | {name: values[column] for name, values in result.items()}))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"neuron_id": []})
    return table.astype({"neuron_id": "str"})


def _read(folder: Path, digest: str) -> pd.DataFrame | None:
    """Read kept results; None when there are none, or when they are not what was written."""
    paths = folder / f"{digest}.json", folder / f"{digest}.parquet"
    if not all(path.exists() for path in paths):
        return None
    try:
        lineage = json.loads(paths[0].read_text(encoding="utf-8"))
        table, _ = read_table(paths[1])
        if lineage["digest"] == digest and lineage["table_digest"] == table_digest(table):
            return table
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("kept statistics %s are damaged (%s) and are computed again", digest[:12], type(error).__name__)
        return None
    _log.warning("kept statistics %s were changed since they were written and are computed again", digest[:12])
    return None


def _keep(folder: Path, digest: str, table: pd.DataFrame, lineage: dict[str, Any]) -> None:
    """Write results, then the lineage that makes them count; a folder that cannot be written costs only the keeping."""
    known = lineage | {"digest": digest, "table_digest": table_digest(table), "poyodata": version}
    try:
        replace_table(folder / f"{digest}.parquet", table)
        replace_file(folder / f"{digest}.json", seal_json(known))
    except OSError as error:
        _log.warning("statistics are not kept: %s cannot be written (%s)", folder, error)
