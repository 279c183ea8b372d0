"""Centring and scaling of neurons, fitted on train-role frames only; its state is a file with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.leaks.fitted import TRAIN_ROLES, Fitted, fitted_on
from poyodata.curation.view import View
from poyodata.digests import byte_view, json_digest
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.intervals import Intervals, as_intervals
from poyodata.statistics.moments import MomentState

By = Literal["neuron", "recording"]
KINDS = ("neuron", "recording")
BLOCK_FRAMES = 4096
FORMAT = 1

FloatVector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normalise:
    """Ask for normalisation in a recipe.

    Parameters
    ----------
    by : {"neuron", "recording"}
        ``neuron``: every neuron has mean 0 and variance 1. ``recording``: one mean and one standard deviation for all
        selected neurons of a recording, so that bright neurons stay brighter.
    """

    name: ClassVar[str] = "normalise"
    training_only: ClassVar[bool] = False

    by: By = "neuron"

    def __post_init__(self) -> None:
        if self.by not in KINDS:
            raise LoaderError(f"normalisation is by neuron or by recording, got {self.by!r}: {nearest(self.by, KINDS)}")

    def fit(self, view: View) -> Normalisation:
        """Fit on a manifest's train-role windows."""
        return fit_normalisation(view, self.by)


@dataclass(frozen=True)
class Normalisation:
    """Mean and inverse standard deviation of each selected neuron, by recording.

    Attributes
    ----------
    shift, scale : mapping of session id to ndarray, shape (selected neuron,), float32
        ``(dff - shift) * scale`` has mean 0 and variance 1 over the frames it was fitted on. A neuron that never
        changes, or that was never recorded there, has scale 0.
    digest : str
        Of both, of whose they are, and of the frames they were fitted on.
    fitted : Fitted or None
        What was looked at for it, for ``check_leaks(stages, fitted=[...])``; None where nothing was fitted.
    neuron_ids : mapping of session id to tuple of str
        Whose `shift` and `scale` are.
    by : {"neuron", "recording"} or None
        None where nothing was fitted.
    store_digest : str
    """

    shift: Mapping[str, FloatVector]
    scale: Mapping[str, FloatVector]
    digest: str
    fitted: Fitted | None = None
    neuron_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    by: By | None = None
    store_digest: str = ""

    def save(self, path: str | Path) -> Path:
        """Write the state to a Parquet file: neuron_id, session_id, shift, scale, and what it was fitted on.

        Raises
        ------
        UsageError
            Nothing was fitted, or the file cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        target = Path(path)
        if self.fitted is None:
            raise UsageError("there is nothing to save of a loader that does not normalise.")
        table = pa.Table.from_pandas(_table(self.shift, self.scale, self.neuron_ids), preserve_index=False)
        record = {
            "format": FORMAT,
            "by": self.by,
            "store": self.store_digest,
            "digest": self.digest,
            "fitted": _record(self.fitted),
        }
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f".{target.name}.part")
            pq.write_table(table.replace_schema_metadata({"poyodata.normalisation": json.dumps(record)}), scratch)
            scratch.replace(target)
        except OSError as error:
            raise UsageError(f"{target} cannot be written ({error.strerror}); give another path.") from error
        return target


def fit_normalisation(view: View, by: By = "neuron", sessions: Collection[str] | None = None) -> Normalisation:
    """Fit on the windows of roles ``train`` and ``identify``: never on what is validated or tested.

    Every frame is read once, block by block; memory does not grow with the length of a recording. Recordings without
    such a window are left as they are.

    Parameters
    ----------
    view : View
    by : {"neuron", "recording"}
    sessions : collection of str, optional
        Recordings that are going to be read and so have to be fitted; by default all that have a window of any role.

    Raises
    ------
    LoaderError
        When one of `sessions` has no window to fit on.
    """
    if by not in KINDS:
        raise LoaderError(f"normalisation is by neuron or by recording, got {by!r}: {nearest(str(by), KINDS)}")
    windows = view.manifest.windows
    used: pd.DataFrame = windows[windows["role"].isin(TRAIN_ROLES)]
    rows = used.groupby("session_id").indices
    frames = used[["start_frame", "stop_frame"]].to_numpy(np.int64)
    shift: dict[str, FloatVector] = {}
    scale: dict[str, FloatVector] = {}
    require_fitted(set(map(str, rows)), set(windows["session_id"]) if sessions is None else sessions)
    for session_id in view.session_ids:
        if session_id not in rows:
            n = len(view.columns(session_id))
            shift[session_id], scale[session_id] = np.zeros(n, np.float32), np.ones(n, np.float32)
            continue
        mean, std = _moments(view, session_id, as_intervals(frames[rows[session_id]]), by)
        usable = np.isfinite(std) & (std > 0)
        shift[session_id] = np.where(np.isfinite(mean), mean, 0.0).astype(np.float32)
        scale[session_id] = np.where(usable, 1.0 / np.where(usable, std, 1.0), 0.0).astype(np.float32)
    neuron_ids = _neuron_ids(view)
    fitted = fitted_on(view.manifest, "dff", "normalisation")
    store_digest = view.manifest.store_digest
    digest = _digest(shift, scale, neuron_ids, by, store_digest, _record(fitted))
    return Normalisation(shift, scale, digest, fitted, neuron_ids, by, store_digest)


def require_fitted(fitted: Collection[str], read: Collection[str]) -> None:
    """Refuse to read recordings that no normalisation was fitted for.

    Raises
    ------
    LoaderError
        With how many there are, and what to do.
    """
    without = sorted(set(map(str, read)) - set(fitted))
    if without:
        raise LoaderError(
            f"recording {without[0]!r} has no train-role window to fit the normalisation on, as {len(without)} of "
            f"{len(read)} recordings with windows have none; do not normalise (normalise=False), leave such recordings "
            "out of the diet, or use a split that gives each recording train time."
        )


def identity_normalisation(view: View) -> Normalisation:
    """Leave dF/F as it is."""
    counts = {key: len(view.columns(key)) for key in view.session_ids}
    return Normalisation(
        {key: np.zeros(n, np.float32) for key, n in counts.items()},
        {key: np.ones(n, np.float32) for key, n in counts.items()},
        json_digest("identity"),
    )


def load_normalisation(path: str | Path, view: View) -> Normalisation:
    """Read what `Normalisation.save` wrote, for the neurons of a view.

    A normalisation may serve another manifest than the one it was fitted on, as long as that is of the same store and
    the same split (so that its train time is no other's test time), and every neuron is there.

    Raises
    ------
    UsageError
        No such file.
    LoaderError
        The file is no normalisation, was changed after it was saved, or belongs to another store, split or other
        neurons.
    """
    target = Path(path)
    table, record = _read(target)
    try:
        shift, scale, neuron_ids = _arrays(table)
        digest = _digest(shift, scale, neuron_ids, record["by"], record["store"], record["fitted"])
        intact = digest == record["digest"]
        fitted = _fitted(record["fitted"])
        by, store_digest = record["by"], str(record["store"])
    except (KeyError, TypeError, ValueError) as error:
        raise LoaderError(f"{target}: the normalisation is damaged ({error}); fit it again.") from None
    if not intact:
        raise LoaderError(
            f"{target}: the content does not match the digest {str(record['digest'])[:12]}, so it was changed after it "
            "was saved. Restore it from a copy, or fit it again."
        )
    read = Normalisation(shift, scale, digest, fitted, neuron_ids, by, store_digest)
    return normalisation_for(read, view, where=f"{target}: ")


def normalisation_for(normalisation: Normalisation, view: View, where: str = "") -> Normalisation:
    """Give a normalisation for the neurons of a view, which may be some of those it was fitted on.

    Parameters
    ----------
    normalisation : Normalisation
        Of a loader, or read from a file; one that leaves values as they are goes with every view.
    view : View
    where : str
        What the message of an error begins with.

    Raises
    ------
    LoaderError
        It is of another store, split or other neurons.
    """
    fitted, wanted = normalisation.fitted, _neuron_ids(view)
    if fitted is None:
        return normalisation
    for what, mine, its in (
        ("store", view.manifest.store_digest, normalisation.store_digest),
        ("split", view.manifest.split_digest, fitted.split_digest),
    ):
        if mine != its:
            raise LoaderError(
                f"{where}the normalisation was fitted on {what} {str(its)[:12]}, and manifest "
                f"{view.manifest.name!r} is of {what} {mine[:12]}. Fit it again on this manifest."
            )
    if dict(normalisation.neuron_ids) == wanted:
        return normalisation
    shift: dict[str, FloatVector] = {}
    scale: dict[str, FloatVector] = {}
    for session_id, names in wanted.items():
        place = {name: at for at, name in enumerate(normalisation.neuron_ids.get(session_id, ()))}
        absent = [name for name in names if name not in place]
        if absent:
            raise LoaderError(
                f"{where}the normalisation knows nothing of neuron {absent[0]!r} of recording {session_id!r} "
                f"({len(absent)} of its {len(names)} are missing). Fit it again on manifest {view.manifest.name!r}."
            )
        rows = [place[name] for name in names]
        shift[session_id] = normalisation.shift[session_id][rows]
        scale[session_id] = normalisation.scale[session_id][rows]
    return replace(normalisation, shift=shift, scale=scale, neuron_ids=wanted)


def _moments(view: View, session_id: str, stretches: Intervals, by: By) -> tuple[Any, Any]:
    """Mean and standard deviation of the selected neurons over disjoint stretches, shape (neuron,) each."""
    traces, columns = view.traces(session_id), view.columns(session_id)
    whole = len(columns) == traces.shape[1]
    moments: MomentState | None = None
    for begin, end in stretches.tolist():
        for start in range(begin, end, BLOCK_FRAMES):
            block = traces[start : min(start + BLOCK_FRAMES, end)]
            state = MomentState.of(block if whole else block[:, columns])
            moments = state if moments is None else moments.merge(state)
    if moments is None:  # windows have frames; a view that has none would be damaged
        raise LoaderError(f"recording {session_id!r} has no train-role frame to fit the normalisation on.")
    if by == "neuron":
        result = moments.finalize()
        return result["mean"], result["std"]
    n = moments.n
    known = n > 0
    mean = np.average(moments.mean[known], weights=n[known]) if known.any() else np.nan
    squares = moments.m2[known] + n[known] * (moments.mean[known] - mean) ** 2
    std = np.sqrt(squares.sum() / n.sum()) if known.any() else np.nan
    return np.full(len(n), mean), np.full(len(n), std)


def _neuron_ids(view: View) -> dict[str, tuple[str, ...]]:
    return {key: tuple(map(str, view.neurons(key)["neuron_id"])) for key in view.session_ids}


def _digest(
    shift: Mapping[str, FloatVector],
    scale: Mapping[str, FloatVector],
    neuron_ids: Mapping[str, tuple[str, ...]],
    by: str,
    store_digest: str,
    fitted: Mapping[str, Any],
) -> str:
    state = [
        [key, list(neuron_ids[key]), *(hashlib.sha256(byte_view(one[key])).hexdigest() for one in (shift, scale))]
        for key in sorted(shift)
    ]
    return json_digest({"format": FORMAT, "by": by, "store": store_digest, "fitted": fitted, "state": state})


def _record(fitted: Fitted) -> dict[str, Any]:
    looked_at = fitted.looked_at or {}
    return {
        "name": fitted.name,
        "kind": fitted.kind,
        "manifest_digest": fitted.manifest_digest,
        "split_digest": fitted.split_digest,
        "roles": list(fitted.roles),
        "sessions": list(fitted.sessions),
        "donors": list(fitted.donors),
        "looked_at": {key: looked_at[key].tolist() for key in sorted(looked_at)},
    }


def _fitted(record: Mapping[str, Any]) -> Fitted:
    roles, sessions, donors = (tuple(map(str, record[word])) for word in ("roles", "sessions", "donors"))
    return Fitted(
        name=record["name"],
        kind=record["kind"],
        manifest_digest=record["manifest_digest"],
        split_digest=record["split_digest"],
        roles=roles,
        sessions=sessions,
        donors=donors,
        looked_at={key: np.array(rows, np.int64).reshape(-1, 2) for key, rows in record["looked_at"].items()},
    )


def _table(
    shift: Mapping[str, FloatVector], scale: Mapping[str, FloatVector], neuron_ids: Mapping[str, tuple[str, ...]]
) -> pd.DataFrame:
    keys = sorted(shift)
    return pd.DataFrame(
        {
            "neuron_id": [name for key in keys for name in neuron_ids[key]],
            "session_id": [key for key in keys for _ in neuron_ids[key]],
            "shift": np.concatenate([shift[key] for key in keys]).astype(np.float32),
            "scale": np.concatenate([scale[key] for key in keys]).astype(np.float32),
        }
    )


def _read(target: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pyarrow.parquet as pq

    if not target.is_file():
        raise UsageError(f"no normalisation at {str(target)!r}; give the file that `Normalisation.save` wrote.")
    foreign = LoaderError(f"{target} is no normalisation; give the file that `Normalisation.save` wrote.")
    try:
        table = pq.read_table(target, partitioning=None)
        record = json.loads((table.schema.metadata or {})[b"poyodata.normalisation"])
    except (OSError, ValueError, KeyError):  # pyarrow's errors are ValueErrors or OSErrors
        raise foreign from None
    if not isinstance(record, dict):
        raise foreign
    if record.get("format") != FORMAT:
        raise LoaderError(
            f"{target}: format {record.get('format')!r} of a normalisation, this version reads {FORMAT}; fit it again."
        )
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame, record


def _arrays(table: pd.DataFrame) -> tuple[dict[str, FloatVector], dict[str, FloatVector], dict[str, tuple[str, ...]]]:
    shift: dict[str, FloatVector] = {}
    scale: dict[str, FloatVector] = {}
    names: dict[str, tuple[str, ...]] = {}
    for key, mine in table.groupby("session_id", sort=True):
        shift[str(key)] = mine["shift"].to_numpy(np.float32)
        scale[str(key)] = mine["scale"].to_numpy(np.float32)
        names[str(key)] = tuple(map(str, mine["neuron_id"]))
    return shift, scale, names
