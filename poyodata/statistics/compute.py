"""Run statistics over the recordings of a store, on train-role time, and keep the results by what they depend on."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.digests import json_digest, table_digest
from poyodata.errors import StatisticError, UsageError, nearest
from poyodata.intervals import Intervals, covers
from poyodata.splits import Split, SplitSpec, default_split, resolve_split
from poyodata.statistics.registry import find_statistics
from poyodata.statistics.statistic import Statistic, Stretch

if TYPE_CHECKING:
    from poyodata.store import Store

Window = Literal["train", "all"]
_log = logging.getLogger(__name__)


def compute_statistics(
    store: Store,
    names: str | Sequence[str] = ("moments", "fisher_direction"),
    split: Split | SplitSpec | str | None = None,
    window: Window = "train",
    sessions: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
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
        For an unknown recording or split.
    SplitError
        When the split cannot be made from the store.
    """
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
        parts = []
        neurons = store.neurons[["neuron_id", "session_id", "column"]]
        rows = neurons.groupby("session_id", sort=False).indices
        for session in chosen:
            parts.append(_of_recording(store, session, neurons.iloc[rows[session]], statistics, split))
            if progress is not None:
                progress(1)
        table = (
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"neuron_id": pd.Series([], dtype="str")})
        )
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


def _of_recording(
    store: Store, session: str, neurons: pd.DataFrame, statistics: Sequence[Statistic], split: Split | None
) -> pd.DataFrame:
    """Compute one recording's rows, in the order of `neurons`."""
    column = neurons["column"].to_numpy(np.int64)
    results: dict[str, Any] = {"neuron_id": neurons["neuron_id"].astype("str").to_numpy()}
    stretches = list(_stretches(store, session, split))
    for statistic in statistics:
        states = (statistic.chunk(stretch, statistic.params) for stretch in stretches)
        values = statistic.finalize(reduce(statistic.combine, states), statistic.params)
        for name, declared in statistic.columns.items():
            results[name] = np.asarray(values[name])[column].astype(declared.dtype)
    return pd.DataFrame(results).astype({"neuron_id": "str"})


def _stretches(store: Store, session: str, split: Split | None) -> Iterator[Stretch]:
    """Yield what statistics may see of a recording; an empty stretch where that is nothing."""
    row = store.sessions[store.sessions["session_id"] == session].iloc[0]
    if split is not None:
        spans: Intervals = split.train_time(session)
    else:
        segments = store.segments[store.segments["session_id"] == session]
        spans = segments[["start_frame", "stop_frame"]].to_numpy(np.int64)
    traces: npt.NDArray[np.float32] = store.traces(session)
    trials = store.presentations_of(session)
    for start, stop in spans if len(spans) else np.zeros((1, 2), np.int64):
        inside = trials[covers(np.array([[start, stop]]), trials["start_frame"], trials["stop_frame"])]
        yield Stretch(
            traces=traces[start:stop],
            trials=inside.assign(start_frame=inside["start_frame"] - start, stop_frame=inside["stop_frame"] - start),
            rate_hz=float(row["rate_hz"]),
        )


def _read(folder: Path, digest: str) -> pd.DataFrame | None:
    """Read kept results; None when there are none, or when they are not what was written."""
    try:
        lineage = json.loads((folder / f"{digest}.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / f"{digest}.parquet")
        if lineage["digest"] == digest and lineage["table_digest"] == table_digest(table):
            return table
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("kept statistics %s are damaged (%s) and are computed again", digest[:12], type(error).__name__)
        return None
    _log.warning("kept statistics %s were changed since they were written and are computed again", digest[:12])
    return None


def _keep(folder: Path, digest: str, table: pd.DataFrame, lineage: dict[str, Any]) -> None:
    """Write results, then the lineage that makes them count; a folder that cannot be written costs only the keeping."""
    text = json.dumps(
        lineage | {"digest": digest, "table_digest": table_digest(table), "poyodata": version}, indent=1, sort_keys=True
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / f"{digest}.parquet", lambda path: table.to_parquet(path, index=False))
        _replace(folder / f"{digest}.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))
    except OSError as error:
        _log.warning("statistics are not kept: %s cannot be written (%s)", folder, error)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under a name of its own and move it in place."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:12]}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
