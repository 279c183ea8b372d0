"""`Answers`: what a decoder said about trials and frames; answers to the same one are stitched by integer id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import ModelError

Kind = Literal["class", "value", "image"]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of a decoder to windows, one row an answer: plain arrays, whoever gave them.

    An answer is about a trial of a recording, or, where `trial` is -1, about an imaging frame of it. Both are integers:
    no answer is ever joined by a float of time.

    Attributes
    ----------
    task : str
        What was asked: ``direction``, ``running``, ``movie_pixels``, ...
    kind : {"class", "value", "image"}
    session_id : ndarray, shape (row,), str
    trial, frame : ndarray, shape (row,), int64
        Number of the trial within its recording, -1 for none; imaging frame in the middle of the window.
    target, output : ndarray
        Classes: (row,) int64, and (row, class) logits or probabilities. Values: both (row, value) float64. Images:
        both (row, height, width), 0 for black to 1 for white.
    shown : ndarray, shape (row,), int64, optional
        Id of the movie frame or scene that was shown; -1 where unknown.
    seen : ndarray, shape (row,), bool, optional
        Whether that picture was shown in training too (`mark_seen`): of each row, so that it stays true when the
        answers of several folds are put together.

    Raises
    ------
    ModelError
        If shapes do not fit, a target or output is missing (NaN), or a class is beyond the outputs.

    Examples
    --------
    >>> given = Answers.of_classes("direction", ["a", "a"], [0, 1], prediction=[3, 5], target=[3, 4], n_classes=8)
    >>> given.prediction, len(given)
    (array([3, 5]), 2)
    """

    task: str
    kind: Kind
    session_id: npt.NDArray[Any]
    trial: Integers
    frame: Integers
    target: npt.NDArray[Any]
    output: npt.NDArray[Any]
    shown: Integers | None = None
    seen: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.session_id)
        lengths = {f.name: len(getattr(self, f.name)) for f in fields(self)[2:] if getattr(self, f.name) is not None}
        if set(lengths.values()) != {n}:
            raise ModelError(f"answers to {self.task!r} differ in length: {lengths}; give one of each a row")
        one_shape = self.target.shape == (self.output.shape[:1] if self.kind == "class" else self.output.shape)
        if not one_shape or self.output.ndim != (3 if self.kind == "image" else 2):
            raise ModelError(
                f"answers to {self.task!r} have outputs of shape {self.output.shape} and targets of shape "
                f"{self.target.shape}; expected {_SHAPES[self.kind]}"
            )
        if not (np.isfinite(self.output).all() and np.isfinite(self.target).all()):
            raise ModelError(
                f"outputs or targets of {self.task!r} are not finite; leave rows without a target out, and look for "
                "NaN in the model's answers"
            )
        if self.kind == "class" and n and not 0 <= self.target.min() <= self.target.max() < self.output.shape[1]:
            raise ModelError(
                f"targets of {self.task!r} are classes {self.target.min()} to {self.target.max()}, and there are "
                f"{self.output.shape[1]} outputs; give labelled rows alone, and an output for every class"
            )

    def __len__(self) -> int:
        return len(self.session_id)

    @property
    def prediction(self) -> npt.NDArray[Any]:
        """What was answered: classes (row,) int64, else the outputs themselves."""
        return self.output.argmax(axis=1).astype(np.int64) if self.kind == "class" else self.output

    @property
    def keys(self) -> pd.MultiIndex:
        """What each answer is about: (session_id, ``"trial"`` or ``"frame"``, number)."""
        of_trial = self.trial >= 0
        unit = np.where(of_trial, "trial", "frame").astype(object)
        number = np.where(of_trial, self.trial, self.frame)
        return pd.MultiIndex.from_arrays([self.session_id.astype(object), unit, number])

    def take(self, rows: npt.NDArray[Any]) -> Answers:
        """Give rows by position or by a mask."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)[2:]}
        taken: dict[str, Any] = {name: None if values is None else values[rows] for name, values in arrays.items()}
        return Answers(self.task, self.kind, **taken)

    @classmethod
    def of_classes(
        cls,
        task: str,
        session_id: npt.ArrayLike,
        trial: npt.ArrayLike,
        *,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        n_classes: int,
    ) -> Answers:
        """Answers of a decoder that names a class and gives no logits; several to one trial are put to the vote."""
        named, number = np.asarray(prediction, np.int64), np.asarray(trial, np.int64)
        if len(named) and not 0 <= named.min() <= named.max() < n_classes:
            raise ModelError(
                f"predictions are classes {named.min()} to {named.max()}, beyond the {n_classes} there are"
            )
        return cls(
            task,
            "class",
            np.asarray(session_id, dtype=object),
            number,
            np.full(len(number), -1, np.int64),
            np.asarray(target, np.int64),
            np.eye(n_classes)[named],
        )


_SHAPES = {
    "class": "(row, class) and (row,)",
    "value": "(row, value) of both",
    "image": "(row, height, width) of both",
}


def concatenate(parts: Sequence[Answers]) -> Answers:
    """Answers to the same task from several batches or recordings, one after the other."""
    if not parts:
        raise ModelError("there are no answers; choose windows that have the target")
    first = parts[0]
    if any((one.task, one.kind) != (first.task, first.kind) for one in parts):
        raise ModelError(f"answers to {sorted({one.task for one in parts})} are of different tasks; judge each alone")
    arrays: dict[str, Any] = {}
    for field in fields(Answers)[2:]:
        columns = [getattr(one, field.name) for one in parts]
        arrays[field.name] = None if any(column is None for column in columns) else np.concatenate(columns)
    return Answers(first.task, first.kind, **arrays)


def stitch(answers: Answers, average: Literal["logits", "probabilities"] = "logits") -> Answers:
    """Bring answers of overlapping windows to the same trial or frame together: one row each, sorted by id.

    Outputs are averaged: logits (or probabilities) of classes, values, and pixels. Targets of values and of pixels are
    averaged as their answers are, since windows that differ may ask for means over other frames; those of classes must
    agree.

    Parameters
    ----------
    answers : Answers
    average : {"logits", "probabilities"}
        Of classes. ``probabilities`` applies a softmax first.

    Returns
    -------
    Answers
        In an order that does not depend on that of the rows given.

    Raises
    ------
    ModelError
        If a trial or frame has two classes, or was of two pictures.

    Examples
    --------
    >>> twice = Answers(
    ...     "direction", "class", np.array(["a", "a"]), np.array([7, 7]), np.array([30, 33]), np.array([1, 1]),
    ...     np.array([[1.0, 0.0], [0.0, 3.0]]),
    ... )
    >>> stitch(twice).output
    array([[0.5, 1.5]])
    """
    output = answers.output
    if answers.kind == "class" and average == "probabilities":
        shifted = np.exp(output - output.max(axis=1, keepdims=True))
        output = shifted / shifted.sum(axis=1, keepdims=True)
    if not len(answers):
        return answers
    names, session = np.unique(answers.session_id.astype(str), return_inverse=True)
    of_trial = answers.trial >= 0
    number = np.where(of_trial, answers.trial, answers.frame)
    # Equal frames come in the order of their outputs: a sum of floats then never depends on the order of the rows.
    order = np.lexsort((output.reshape(len(output), -1)[:, 0], answers.frame, number, of_trial, session))
    key = np.column_stack([session, of_trial, number])[order]
    starts = np.flatnonzero(np.r_[True, (key[1:] != key[:-1]).any(axis=1)])
    counts = np.diff(np.r_[starts, len(key)])

    def mean(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if len(starts) == len(values):
            return values[order]
        share = counts.reshape(-1, *[1] * (values.ndim - 1))
        summed = np.add.reduceat(values[order], starts, axis=0, dtype=np.float64) / share
        return np.asarray(summed, np.result_type(values.dtype, np.float32))

    def agreed(values: Integers, what: str) -> Integers:
        least, most = (f.reduceat(values[order], starts) for f in (np.minimum, np.maximum))
        odd = np.flatnonzero(least != most)
        if len(odd):
            at = odd[0]
            name, unit, which = names[key[starts[at], 0]], key[starts[at], 1], key[starts[at], 2]
            raise ModelError(
                f"{'trial' if unit else 'frame'} {which} of recording {name} has {what} {least[at]} and {most[at]}; "
                "one id must mean one thing: ids of two stimuli may not be mixed"
            )
        return least

    first = order[starts]
    return Answers(
        answers.task,
        answers.kind,
        answers.session_id[first],
        answers.trial[first],
        np.minimum.reduceat(answers.frame[order], starts),
        agreed(answers.target, "classes") if answers.kind == "class" else mean(answers.target),
        mean(output),
        None if answers.shown is None else agreed(answers.shown, "pictures"),
        None if answers.seen is None else answers.seen[first],
    )


def aligned(answers: Answers, other: Answers, name: str) -> Answers:
    """Rows of `other` in the order of `answers`; both are stitched.

    Raises
    ------
    ModelError
        If the two are not about exactly the same trials or frames, or not with the same targets.
    """
    at = other.keys.get_indexer(answers.keys)
    missing = int((at < 0).sum())
    if missing or len(other) != len(answers):
        raise ModelError(
            f"{name!r} answers {len(other) - len(answers) + missing} other trials or frames and lacks {missing} of the "
            f"{len(answers)} of {answers.task!r}; compare decoders on exactly the same windows"
        )
    found = other.take(at)
    if found.target.shape != answers.target.shape or not np.allclose(found.target, answers.target, atol=1e-5):
        raise ModelError(f"{name!r} was given other targets than the model for the same windows; read both alike")
    return found
