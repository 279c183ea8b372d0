"""`Responses`: what every neuron did in every labelled window; the data that linear decoders read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.labels import Labels, labels_of
from poyodata.models.evaluation.stitching import Integers, Kind

if TYPE_CHECKING:
    from poyodata.models.tasks import Task

Floats = npt.NDArray[np.float64]


BINS = (1, 2, 4, 8, 16)
"""Parts of a window that a linear decoder may read, of which training windows choose."""
N_BLOCKS = 6
"""Blocks of training windows that are left out in turn when a linear decoder's settings are chosen."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Labelled windows of one recording, as features and targets.

    Attributes
    ----------
    task, kind : str
    session_id : str
    features : ndarray, shape (row, feature), float64
        Mean of each neuron over the window, or over each of its `bins` parts; for a task at frames, each neuron's
        value at that frame.
    trial, frame, target, shown
        As in `poyodata.models.evaluation.Answers`.
    widths : tuple of int
        Frames of each part of the window.
    neurons : ndarray, shape (neuron,), int64, optional
        ``neuron_index`` of the features of each part: which neurons are read, in which order.
    """

    task: str
    kind: Kind
    session_id: str
    features: Floats
    trial: Integers
    frame: Integers
    target: npt.NDArray[Any]
    shown: Integers | None = None
    widths: tuple[int, ...] = (1,)
    neurons: Integers | None = None

    def __len__(self) -> int:
        return len(self.trial)

    def take(self, rows: npt.NDArray[Any]) -> Responses:
        """Give rows by position or by a mask."""
        return replace(
            self,
            features=self.features[rows],
            trial=self.trial[rows],
            frame=self.frame[rows],
            target=self.target[rows],
            shown=None if self.shown is None else self.shown[rows],
        )

    def coarsened(self, bins: int) -> Responses:
        """Give means over fewer parts of the windows; `bins` divides the number of parts.

        Raises
        ------
        ModelError
            If it does not.
        """
        n_parts = len(self.widths)
        if bins < 1 or n_parts % bins:
            raise ModelError(f"bins={bins}: {n_parts} parts of a window can be put together in a divisor of {n_parts}")
        together = n_parts // bins
        widths = np.asarray(self.widths, np.float64)
        parts = self.features.reshape(len(self), n_parts, -1) * widths[:, None]
        sums = parts.reshape(len(self), bins, together, -1).sum(axis=2)
        whole = widths.reshape(bins, together).sum(axis=1)
        features = (sums / whole[:, None]).reshape(len(self), -1)
        return replace(self, features=features, widths=tuple(int(one) for one in whole))

    def blocks(self) -> tuple[Integers, npt.NDArray[np.bool_]] | None:
        """Groups of windows that are left out together when settings are chosen, and which windows then count.

        Pictures are cut in 6 blocks of neighbouring ids, so that repeats of one and frames 33 ms apart go together;
        windows of time in 6 blocks of neighbouring frames; windows of trials, where a trial has several, in 6 blocks of
        trials. Of blocks of neighbours the middle third counts: those at their ends are next to what is learnt from.

        Returns
        -------
        tuple of ndarray or None
            None where every window is a trial of its own, or all are of one id: they are left out singly.
        """
        if self.kind == "image" and self.shown is not None and bool((self.shown >= 0).all()):
            number, ends = self.shown, True
        elif bool((self.trial >= 0).all()):
            number, ends = self.trial, False
        else:
            number, ends = self.frame, True
        ids, rank = np.unique(number, return_inverse=True)
        if len(ids) < 2 or (not ends and len(ids) == len(self)):
            return None
        n_blocks = min(N_BLOCKS, len(ids))
        place = rank * n_blocks / len(ids)
        inside = place - np.floor(place)
        counted = np.ones(len(rank), np.bool_)
        if ends and len(ids) >= 3 * n_blocks:
            counted = np.abs(inside + 0.5 * n_blocks / len(ids) - 0.5) <= 1 / 6
        return np.floor(place).astype(np.int64), counted


def read_responses(
    batches: Iterable[Mapping[str, Any]],
    task: Task,
    session_ids: Sequence[str] | None = None,
    *,
    bins: int | None = 1,
    recordings: int | None = None,
) -> dict[str, Responses]:
    """Read the responses to every labelled window of some batches, by recording.

    Parameters
    ----------
    batches : iterable of batch
        One pass over a loader, of the dense layout, as arrays or tensors.
    task : Task
    session_ids : sequence of str, optional
        Names of the recordings, by ``session_index``; by default the loader's own.
    bins : int
        Parts of a window of which each gives a mean; 1 is the mean over the window, and None as many as a window can
        have of `BINS`.
    recordings : int, optional
        Read so many alone, the first that come.

    Raises
    ------
    ModelError
        If no window has the task's target, or a neuron is missing in some windows of its recording.

    Examples
    --------
    >>> from poyodata.models.tasks import TASKS
    >>> batch = {
    ...     "values": np.ones((2, 3, 4)), "neuron_index": np.array([[1, 2, 3]] * 2),
    ...     "neuron_mask": np.ones((2, 3), bool), "session_index": np.array([0, 0]), "trial": np.array([5, 6]),
    ...     "start_frame": np.array([0, 9]), "direction": np.array([7, -1]),
    ... }
    >>> read_responses([batch], TASKS["direction"], ["a"])["a"].features.tolist()
    [[1.0, 1.0, 1.0]]
    """
    names = session_ids if session_ids is not None else getattr(batches, "session_ids", None)
    if names is None:
        raise ModelError("the batches do not name their recordings; give session_ids")
    found: dict[int, list[tuple[Integers, Floats, Labels, Integers]]] = {}
    widths: tuple[int, ...] = (1,)
    for batch in batches:
        labels = labels_of(batch, task)
        if labels is None or not len(labels.window):
            continue
        features, widths = _features(batch, task, labels, bins)
        index = np.asarray(batch["neuron_index"])
        mask = np.asarray(batch.get("neuron_mask", np.ones(index.shape)), bool)
        for session in np.unique(labels.session).tolist():
            if recordings is not None and session not in found and len(found) >= recordings:
                continue
            rows = np.flatnonzero(labels.session == session)
            for same in _same_neurons(index[labels.window[rows]], mask[labels.window[rows]]):
                chosen = rows[same]
                neurons = mask[labels.window[chosen[0]]]
                here = index[labels.window[chosen[0]], neurons].astype(np.int64)
                # A copy: a loader may fill the same memory again.
                found.setdefault(session, []).append((here, features[chosen][:, :, neurons].copy(), labels, chosen))
    if not found:
        raise ModelError(
            f"no window of the loader has {' and '.join(task.columns)} of task {task.name!r}; choose a role and a "
            "stimulus that has it, and give the loader that target"
        )
    return {
        str(names[session]): replace(_joined(str(names[session]), task, found[session]), widths=widths)
        for session in sorted(found)
    }


def _features(batch: Mapping[str, Any], task: Task, labels: Labels, bins: int | None) -> tuple[Floats, tuple[int, ...]]:
    """Shape (row, bin, neuron), and the frames of each bin."""
    values = np.asarray(batch["values"])
    if task.at == "frames":
        return np.asarray(values[labels.window, :, labels.at], np.float64)[:, None], (1,)
    if bins is None:
        bins = max(one for one in BINS if one <= values.shape[2])
    if not 1 <= bins <= values.shape[2]:
        raise ModelError(f"bins={bins}: a window of {values.shape[2]} frames has 1 to {values.shape[2]} parts")
    if "time_mask" in batch and not np.asarray(batch["time_mask"], bool).all():
        raise ModelError("windows differ in length; a linear decoder reads windows of one length")
    edges = np.linspace(0, values.shape[2], bins + 1).round().astype(int)
    parts = [values[:, :, a:b].mean(axis=2, dtype=np.float64) for a, b in pairwise(edges)]
    return np.asarray(np.stack(parts, axis=1)[labels.window]), tuple(np.diff(edges).tolist())


def _same_neurons(index: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> list[Integers]:
    """Rows that hold the same neurons in the same columns, together."""
    _, group = np.unique(np.where(mask, index, 0), axis=0, return_inverse=True)
    group = group.reshape(-1)
    return [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]


def _joined(session_id: str, task: Task, parts: Sequence[tuple[Integers, Floats, Labels, Integers]]) -> Responses:
    neurons = np.unique(np.concatenate([here for here, _, _, _ in parts]))
    short = [here for here, _, _, _ in parts if len(here) != len(neurons)]
    if short:
        raise ModelError(
            f"recording {session_id} has {len(neurons)} neurons, and some of its windows hold {len(short[0])}; read "
            "responses from a loader that drops no neurons"
        )
    ordered = [features[:, :, np.argsort(here)] for here, features, _, _ in parts]

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(labels, name)[rows] for _, _, labels, rows in parts])

    features = np.concatenate(ordered)
    has_pictures = all(labels.shown is not None for _, _, labels, _ in parts)
    return Responses(
        task.name,
        task.kind,
        session_id,
        features.reshape(len(features), -1),
        column("trial"),
        column("frame"),
        column("target"),
        column("shown") if has_pictures else None,
        neurons=neurons,
    )
