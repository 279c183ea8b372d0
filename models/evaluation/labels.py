"""What a batch says of its windows: which trial or frame each is about, and the target of a task, in plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError
from poyodata.models.evaluation.stitching import Integers

if TYPE_CHECKING:
    from poyodata.models.tasks import Task

PICTURE_IDS = ("movie_frame", "image")
"""Columns of a batch that hold ids of pictures: targets of the loaders of these names."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled answers that a batch asks for, one row each.

    Attributes
    ----------
    window, at : ndarray, shape (row,), int64
        Row of the batch, and frame within that window; for a task with one answer a window, its middle.
    session, trial, frame : ndarray, shape (row,), int64
        ``session_index``; number of the trial that the answer is about, -1 for none; imaging frame of the recording.
    window_trial : ndarray, shape (row,), int64
        Number of the trial of the window, whatever the answer is about.
    target : ndarray
        As in `poyodata.models.evaluation.Answers`.
    shown : ndarray, shape (row,), int64, optional
    """

    window: Integers
    at: Integers
    session: Integers
    trial: Integers
    frame: Integers
    window_trial: Integers
    target: npt.NDArray[Any]
    shown: Integers | None


def labels_of(batch: Mapping[str, Any], task: Task) -> Labels | None:
    """Labels of a task in a batch of trial, fixed or one-frame windows; None where it lacks the task's columns.

    A class is about its trial where the window has one, else about the imaging frame in the middle of the window, as
    ``start_frame + length // 2``. A value is always about that frame: the windows of one trial may ask for means over
    other frames. Answers to every frame of a window are about ``start_frame + 0, 1, ...``. Blank sweeps, classes below
    0, and NaN have no row.

    Raises
    ------
    ModelError
        If the batch is no dense one, or the target has another shape than the task.
    """
    if not all(column in batch for column in task.columns):
        return None
    length = np.asarray(_column(batch, "values", task)).shape[-1]
    columns = [np.asarray(batch[column]) for column in task.columns]
    if task.kind == "value" and not (len(columns) == 1 and task.n_outputs > 1):
        target = np.stack(columns, axis=-1).astype(np.float64)
    else:
        target = columns[0]
    n_axes = {"class": 0, "value": 1, "image": 2}[task.kind]
    n_lead = 2 if task.at == "frames" else 1
    if target.ndim != n_lead + n_axes:
        raise ModelError(
            f"the target of task {task.name!r} has shape {target.shape}, expected {n_lead + n_axes} dimensions: one "
            f"answer a {'frame' if task.at == 'frames' else 'window'}; make the loader's target and the task alike"
        )
    known = target >= 0 if task.kind == "class" else np.isfinite(target).all(axis=tuple(range(n_lead, target.ndim)))
    for column in task.columns:
        if f"{column}_blank" in batch:
            known = known & ~np.asarray(batch[f"{column}_blank"], bool)
    picture = _pictures(batch, task, known.shape)
    places = np.nonzero(known)
    window = places[0].astype(np.int64)
    at = places[1].astype(np.int64) if task.at == "frames" else np.full(len(window), length // 2, np.int64)
    window_trial = np.asarray(_column(batch, "trial", task))[window].astype(np.int64)
    of_moment = task.at == "frames" or task.kind == "value"
    return Labels(
        window,
        at,
        np.asarray(_column(batch, "session_index", task))[window].astype(np.int64),
        np.full_like(window_trial, -1) if of_moment else window_trial,
        np.asarray(_column(batch, "start_frame", task))[window].astype(np.int64) + at,
        window_trial,
        target[places].astype(np.int64) if task.kind == "class" else target[places],
        None if picture is None else picture[places].astype(np.int64),
    )


def _pictures(batch: Mapping[str, Any], task: Task, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    if task.kind == "class":
        return np.asarray(batch[task.columns[0]]) if task.columns[0] in PICTURE_IDS else None
    if task.kind == "image":
        for name in PICTURE_IDS:
            if name in batch and np.shape(batch[name]) == shape:
                return np.asarray(batch[name])
    return None


def _column(batch: Mapping[str, Any], name: str, task: Task) -> Any:
    try:
        return batch[name]
    except KeyError:
        raise ModelError(
            f"the batch has no {name!r}, which says what answers to {task.name!r} are about; it has "
            f"{', '.join(sorted(batch))}. Give batches of the dense layout"
        ) from None
